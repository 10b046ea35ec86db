"""zarr's extension `packbits`: what zarrs writes we read, and zarrs what we write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from harness import assert_read, smooth
from zarr.codecs import ZstdCodec

import gpuzarr
from gpuzarr.zarr_packbits import PackBits

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")

BY_ZARRS = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "codec_pipeline.strict": True}

# zarrs extends signs within their byte only, stores whole elements without their padding, and
# reads parts of chunks without the shift to `first_bit`.
SHAPE = (8, 12)
CASES = [
    ("?", None, None),
    ("u1", 0, 2), ("u1", 2, 6), ("u2", 3, 11), ("u4", 0, 16), ("u8", 5, 40),
    ("i1", 0, 6), ("i2", 1, 12), ("i4", 0, 30),
]  # fmt: skip


def created(path: Path, dtype: str, codec: PackBits, compressors: Any) -> zarr.Array:
    return zarr.create_array(
        path, shape=SHAPE, chunks=(4, 3), dtype=dtype, serializer=codec, compressors=compressors,
        fill_value=1,
    )  # fmt: skip


def values(dtype: str, first: int | None, last: int | None) -> np.ndarray:
    """Numbers of which nothing is lost."""
    if dtype == "?":
        return smooth(SHAPE, "i4") % 3 == 0
    assert first is not None
    assert last is not None
    top = 1 << (last - first + 1)
    low = -top // 2 if dtype[0] == "i" else 0
    numbers = np.random.default_rng(0).integers(low, low + top, SHAPE)
    return (numbers << first).astype(dtype)


@pytest.mark.parametrize("padding", ["none", "first_byte", "last_byte"])
@pytest.mark.parametrize("compressors", [None, ZstdCodec()])
@pytest.mark.parametrize(("dtype", "first", "last"), CASES)
@pytest.mark.usefixtures("each_device")
def test_packed_bits_are_those_of_zarrs(
    tmp_path: Path, dtype: str, first: Any, last: Any, compressors: Any, padding: Any
) -> None:
    pytest.importorskip("zarrs")
    codec, data = PackBits(padding, first, last), values(dtype, first, last)
    with zarr.config.set(BY_ZARRS):
        theirs = created(tmp_path / "theirs", dtype, codec, compressors)
        assert type(theirs.async_array.codec_pipeline).__name__ == "ZarrsCodecPipeline"
        theirs[...] = data
    assert_read(gpuzarr.open(tmp_path / "theirs")[...], data)
    created(tmp_path / "ours", dtype, codec, compressors)
    gpuzarr.open(tmp_path / "ours", mode="r+")[...] = data
    with zarr.config.set(BY_ZARRS):
        np.testing.assert_array_equal(zarr.open_array(tmp_path / "ours", mode="r")[...], data)
    if compressors is None:
        for chunk in (tmp_path / "theirs" / "c").rglob("*"):
            if chunk.is_file():
                ours = tmp_path / "ours" / chunk.relative_to(tmp_path / "theirs")
                assert ours.read_bytes() == chunk.read_bytes()
