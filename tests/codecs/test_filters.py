"""Filters of our own: literal bytes of each, and what numcodecs writes."""

from __future__ import annotations

from pathlib import Path

import numcodecs
import numpy as np
import pytest
from harness import assert_codec, read_v2, smooth

from gpuzarr.errors import CorruptChunkError

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


@pytest.mark.parametrize("size", [0, 1])
def test_shuffle_of_single_bytes_moves_nothing(tmp_path: Path, size: int) -> None:
    values = np.arange(7, dtype="u1")
    assert_codec(tmp_path, numcodecs.Shuffle(size), values.tobytes(), values)


def test_shuffle_takes_whole_elements_only(tmp_path: Path) -> None:
    """numcodecs refuses a remainder; HDF5, which leaves it at the end, is another codec."""
    codec = {"id": "shuffle", "elementsize": 4}
    with pytest.raises(ValueError, match="multiple of elementsize"):
        numcodecs.get_codec(codec).decode(bytes(7))
    with pytest.raises(CorruptChunkError, match=r"elements of 4.*'shuffle'"):
        read_v2(tmp_path, bytes(7), 7, "u1", compressor=codec)
