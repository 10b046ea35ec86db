"""Filters of our own: literal bytes of each, and what numcodecs writes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numcodecs
import numpy as np
import pytest
from harness import assert_codec, read_v2, smooth

from gpuzarr.errors import ChunkSizeError, CorruptChunkError

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")


@pytest.mark.parametrize("size", [2, 3, 4, 8, 16])
def test_shuffle_is_byte_planes(tmp_path: Path, size: int) -> None:
    """All first bytes of the elements, then all second ones, and so on."""
    data = bytes(range(6 * size))
    literal = b"".join(data[byte::size] for byte in range(size))
    v3 = {"name": "numcodecs.shuffle", "configuration": {"elementsize": size}}
    arrays = [smooth(48 * n, "u1") for n in (1, 5, 100)]
    values = np.frombuffer(data, "u1")
    assert_codec(tmp_path, numcodecs.Shuffle(size), literal, values, v3=None, arrays=arrays)
    assert_codec(tmp_path / "v3", numcodecs.Shuffle(size), literal, values, v3=v3, arrays=[])


@pytest.mark.parametrize("size", [0, 1, -2, -0.0, 0.5])
def test_shuffle_of_single_bytes_moves_nothing(tmp_path: Path, size: float) -> None:
    values = np.arange(7, dtype="u1")
    assert_codec(tmp_path, numcodecs.Shuffle(size), values.tobytes(), values)


def test_shuffle_takes_whole_elements_only(tmp_path: Path) -> None:
    """numcodecs refuses a remainder; HDF5, which leaves it at the end, is another codec."""
    codec = {"id": "shuffle", "elementsize": 4}
    with pytest.raises(ValueError, match="multiple of elementsize"):
        numcodecs.get_codec(codec).decode(bytes(7))
    with pytest.raises(CorruptChunkError, match=r"elements of 4.*'shuffle'"):
        read_v2(tmp_path, bytes(7), 7, "u1", compressor=codec)


INTEGERS = [smooth((3, 5), "<i2"), smooth(1000, "<i2"), np.array([-32768, 32767, 0], "<i2")]


def test_delta_is_the_first_value_and_differences(tmp_path: Path) -> None:
    v3 = {"name": "numcodecs.delta", "configuration": {"dtype": "<i2"}}
    values, literal = np.array([7, 5, 6], "<i2"), bytes.fromhex("0700 feff 0100")
    codec = numcodecs.Delta("<i2")
    assert_codec(tmp_path, codec, literal, values, v3=v3, arrays=INTEGERS, as_filter=True)


def test_delta_is_stored_as_another_type(tmp_path: Path) -> None:
    values, codec = np.array([300, 301, 299], "<i2"), numcodecs.Delta("<i2", astype="<i4")
    literal = bytes.fromhex("2c010000 01000000 feffffff")
    assert_codec(tmp_path, codec, literal, values, arrays=INTEGERS, as_filter=True)


@pytest.mark.parametrize("size", [5, 4, 8])
def test_delta_takes_as_many_numbers_as_the_chunk_has(tmp_path: Path, size: int) -> None:
    codec = {"id": "delta", "dtype": "<i2"}
    with pytest.raises(ChunkSizeError, match=f"expected 6 bytes of numbers of int16, found {size}"):
        read_v2(tmp_path, bytes(size), 3, "<i2", filters=[codec])


@pytest.mark.parametrize("dtype", ["<u8", "<f4", "<c8", "<i1"])
@pytest.mark.parametrize("astype", ["<u8", "<i8", "<f4", "<f8", "<i1"])
def test_delta_adds_up_as_numcodecs_does(tmp_path: Path, dtype: str, astype: str) -> None:
    """Whatever the two types are, overflow and narrowing included."""
    values = (np.arange(50) % 7 * 1.5).astype(dtype)
    codec = numcodecs.Delta(dtype, astype)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
        encoded = codec.encode(values)
        try:
            expected = codec.decode(encoded)
        except TypeError:
            return  # a sum that NumPy does not cast
        found = read_v2(tmp_path, encoded.tobytes(), 50, dtype, filters=[codec.get_config()])
    assert found.tobytes() == expected.tobytes()
