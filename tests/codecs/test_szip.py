"""hdf5_szip: chunks as HDF5 stores them, in arrays as kerchunk describes them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import h5py
import numcodecs
import numpy as np
import pytest
from harness import assert_same, v2_array

import gpuzarr
from gpuzarr import hdf5_szip
from gpuzarr.errors import ChunkSizeError, CorruptChunkError, MetadataError, UnsupportedError
from gpuzarr.hdf5_szip import Hdf5Szip

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")

CONFIG = {"mask": 141, "bits_per_pixel": 16, "pixels_per_block": 8, "pixels_per_scanline": 16}
VALUES = np.arange(16, dtype="<u2") // 3
LITERAL = bytes.fromhex("20000000 1ea924aa492e20")
"""Made by HDF5 2.0 of `VALUES`, mode "ec"."""


def written(
    values: np.ndarray, chunks: tuple[int, ...], mode: str, per_block: int
) -> tuple[dict[str, Any], list[tuple[tuple[int, ...], bytes]]]:
    """The configuration that HDF5 makes of it, and where its encoded chunks are."""
    with h5py.File(io.BytesIO(), "w") as file:
        options = {"compression": "szip", "compression_opts": (mode, per_block)}
        stored = file.create_dataset("x", data=values, chunks=chunks, **options)
        plan = stored.id.get_create_plist()
        mask, per_block, bits, per_line = plan.get_filter(0)[2][:4]
        config = {
            "id": "hdf5_szip", "mask": mask, "bits_per_pixel": bits,
            "pixels_per_block": per_block, "pixels_per_scanline": per_line,
        }  # fmt: skip
        found = []
        for number in range(stored.id.get_num_chunks()):
            offset = stored.id.get_chunk_info(number).chunk_offset
            skipped, encoded = stored.id.read_direct_chunk(offset)
            if not skipped:  # else HDF5 stored what would have grown
                found.append((tuple(offset), encoded))
        return config, found


def smooth(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    steps = np.random.default_rng(1).normal(size=shape)
    return np.round(np.cumsum(steps, axis=-1) / 4 + 60).astype(dtype)


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">u2", "<i4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("mode", ["nn", "ec"])
def test_every_chunk_of_hdf5_decodes_to_what_was_written(
    tmp_path: Path, dtype: str, mode: str
) -> None:
    pytest.importorskip("imagecodecs")
    count = 0
    for per_block in (4, 8, 10, 32):
        for shape, chunks in (((1000,), (1000,)), ((60, 33), (50, 33)), ((40, 37), (20, 10))):
            values = smooth(shape, dtype)
            config, encoded = written(values, chunks, mode, per_block)
            for number, (offset, data) in enumerate(encoded):
                folder = tmp_path / f"{per_block}-{len(shape)}-{chunks[0]}-{number}"
                found = gpuzarr.open(v2_array(folder, data, chunks, dtype, compressor=config))[...]
                part = values[tuple(slice(o, o + n) for o, n in zip(offset, chunks, strict=True))]
                inside = tuple(slice(0, n) for n in part.shape)
                assert_same(np.ascontiguousarray(found[inside]), np.ascontiguousarray(part))
                count += 1
    assert count > 20


def test_a_chunk_is_a_size_and_a_stream(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    config = {"id": "hdf5_szip", **CONFIG}
    ours = gpuzarr.open(v2_array(tmp_path, LITERAL, (16,), "<u2", compressor=config))
    assert_same(ours[...], VALUES)
    assert "by libaec" in str(ours.explain())
    assert_same(numcodecs.get_codec(config).decode(LITERAL).view("<u2"), VALUES)


def test_what_is_written_hdf5_reads() -> None:
    pytest.importorskip("imagecodecs")
    values = smooth((50, 20), "<f4")
    config, ((_, data),) = written(values, (50, 20), "nn", 8)
    ours = numcodecs.get_codec(config).encode(smooth((50, 20), "<f4") * 2)
    with h5py.File(io.BytesIO(), "w") as file:
        options = {"compression": "szip", "compression_opts": ("nn", 8)}
        stored = file.create_dataset("x", data=values, chunks=(50, 20), **options)
        stored.id.write_direct_chunk((0, 0), ours)
        stored.id.flush()
        assert_same(file["x"][...], values * 2)
    assert len(data) > 4


def test_a_size_of_0_says_that_bytes_are_stored(tmp_path: Path) -> None:
    config, stored = {"id": "hdf5_szip", **CONFIG}, bytes(4) + VALUES.tobytes()
    found = numcodecs.get_codec(config).decode(stored)
    assert_same(found.view("<u2"), VALUES)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x20\0\0", CorruptChunkError),
        (b"\x22\0\0\0" + LITERAL[4:], ChunkSizeError),
        (b"\xff\xff\xff\xff" + LITERAL[4:], ChunkSizeError),
        (LITERAL[:-4], CorruptChunkError),
        (LITERAL[:4], CorruptChunkError),
    ],
)
def test_a_chunk_that_says_or_holds_another_size_is_an_error(
    tmp_path: Path, data: bytes, kind: type[Exception]
) -> None:
    pytest.importorskip("imagecodecs")
    config = {"id": "hdf5_szip", **CONFIG}
    ours = gpuzarr.open(v2_array(tmp_path, data, (16,), "<u2", compressor=config))
    with pytest.raises(kind, match="stage 'hdf5_szip'"):
        ours[...]


@pytest.mark.parametrize("bits", [16, 32])
def test_no_size_allocates_more_than_a_stream_can_hold(bits: int) -> None:
    pytest.importorskip("imagecodecs")
    codec = Hdf5Szip(**{**CONFIG, "bits_per_pixel": bits})
    with pytest.raises(ValueError, match="4294967292 declared"):
        codec.decode(b"\xfc\xff\xff\xff" + bytes(1000))


def test_without_imagecodecs_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hdf5_szip.importlib.util, "find_spec", lambda name: None)
    config = {"id": "hdf5_szip", **CONFIG}
    ours = gpuzarr.open(v2_array(tmp_path, LITERAL, (16,), "<u2", compressor=config))
    assert "install gpuzarr[szip]" in str(ours.explain())
    with pytest.raises(UnsupportedError, match=r"install gpuzarr\[szip\]"):
        ours[...]
    with pytest.raises(UnsupportedError, match="imagecodecs"):
        Hdf5Szip(**CONFIG).decode(LITERAL)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mask", 256), ("mask", "nn"), ("bits_per_pixel", 25), ("pixels_per_block", 7),
        ("pixels_per_block", 34), ("pixels_per_scanline", 4), ("pixels_per_scanline", 1025),
    ],
)  # fmt: skip
def test_a_parameter_that_is_not_allowed_is_named(key: str, value: Any) -> None:
    with pytest.raises(MetadataError, match=rf"expected '{key}' to be .* found {value!r}"):
        Hdf5Szip(**{**CONFIG, key: value})
