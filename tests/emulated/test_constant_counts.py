"""What a read costs in calls to the device depends on its stages, not on its chunks."""

from __future__ import annotations

from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from harness import assert_on_device
from zarr.codecs import Crc32cCodec, ZstdCodec

import gpuzarr

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")

COUNTS = (10, 1000, 10_000)
NBYTES = 1_280_000
"""Decoded; so chunks have 128,000, 1,280 and 128 bytes, of which Blosc compresses the smallest."""

V2 = {"zarr_format": 2, "compressors": None, "filters": None}
CHAINS: dict[str, dict[str, Any]] = {
    "raw": {"compressors": None},
    "zstd": {"compressors": ZstdCodec()},
    "blosc lz4 shuffle": {**V2, "compressors": numcodecs.Blosc("lz4", shuffle=1)},
    "shards of zstd and crc32c": {"compressors": [ZstdCodec(), Crc32cCodec()]},
    "zlib shuffle": {**V2, "compressors": numcodecs.Zlib(), "filters": [numcodecs.Shuffle(4)]},
    "delta": {**V2, "filters": [numcodecs.Delta("<i4")]},
    "big-endian gzip": {**V2, "compressors": numcodecs.GZip(), "dtype": ">i4"},
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_wave_of_any_number_of_chunks_takes_the_same_calls(name: str) -> None:
    values = np.random.default_rng(5).integers(0, 4, NBYTES // 4).astype("i4")
    found = []
    for count in COUNTS:
        given = {"chunks": len(values) // count, "dtype": "i4", "fill_value": 0, **CHAINS[name]}
        if name.startswith("shards"):
            given["shards"] = len(values)
        array = zarr.create_array({}, shape=len(values), **given)
        with gpuzarr.enable():
            zarr.open_array(array.store, mode="r+")[...] = values
        ours = gpuzarr.open(array)
        with gpuzarr.config.set({"device_wave_bytes": 2 * NBYTES, "threads": 1}):
            assert_on_device(ours[...], values)
        report = ours.last_read
        assert (report.chunks, report.waves) == (count, 1)
        assert {device for _, device in report.stages} <= {ours.device}
        found.append((report.launches, report.uploads, report.downloads, report.waits))
    assert found == [found[0]] * 3
    assert found[0][3] == found[0][2] + 1
    assert all(number < 60 for number in found[0])
