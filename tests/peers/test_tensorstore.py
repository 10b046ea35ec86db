"""Arrays that tensorstore wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpuzarr

ts = pytest.importorskip("tensorstore")

BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
BIG = {"name": "bytes", "configuration": {"endian": "big"}}
CRC = {"name": "crc32c"}
ZSTD = {"name": "zstd", "configuration": {"level": 3}}
GZIP = {"name": "gzip", "configuration": {"level": 5}}
TRANSPOSE = {"name": "transpose", "configuration": {"order": [1, 0]}}
BLOSC = {
    "name": "blosc",
    "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "typesize": 4},
}


def sharded(*codecs: Any, location: str = "end") -> dict[str, Any]:
    configuration = {
        "chunk_shape": [8, 5],
        "codecs": list(codecs),
        "index_codecs": [BYTES, CRC],
        "index_location": location,
    }
    return {"name": "sharding_indexed", "configuration": configuration}


V3 = {
    "raw": [BYTES],
    "zstd": [BYTES, ZSTD],
    "gzip, big-endian": [BIG, GZIP],
    "blosc": [BYTES, BLOSC],
    "transposed": [TRANSPOSE, BYTES, ZSTD, CRC],
    "sharded": [sharded(BYTES, ZSTD)],
    "sharded, index in front": [sharded(TRANSPOSE, BYTES, GZIP, CRC, location="start")],
}


@pytest.mark.parametrize("codecs", V3.values(), ids=V3)
def test_a_v3_array_that_tensorstore_wrote_reads_as_written(
    tmp_path: Path, values: np.ndarray, codecs: list[Any]
) -> None:
    written = ts.open(
        {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": str(tmp_path)},
            "metadata": {
                "shape": values.shape,
                "data_type": "float32",
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [16, 20]}},
                "fill_value": "NaN",
                "codecs": codecs,
            },
        },
        create=True,
    ).result()
    written[:33].write(values[:33]).result()
    expected = np.where(np.arange(50)[:, None] < 33, values, np.nan)
    np.testing.assert_array_equal(gpuzarr.open_array(tmp_path)[...], expected)


V2: dict[str, dict[str, Any]] = {
    "raw, F order": {"compressor": None, "order": "F", "dtype": "<f4"},
    "zlib, big-endian": {"compressor": {"id": "zlib", "level": 1}, "dtype": ">f4"},
    "zstd": {"compressor": {"id": "zstd", "level": 1}, "dtype": "<f4"},
    "bz2": {"compressor": {"id": "bz2", "level": 1}, "dtype": "<f4"},
    "blosc": {
        "compressor": {"id": "blosc", "cname": "snappy", "clevel": 5, "shuffle": 1},
        "dtype": "<f4",
    },
}


@pytest.mark.parametrize("metadata", V2.values(), ids=V2)
def test_a_v2_array_that_tensorstore_wrote_reads_as_written(
    tmp_path: Path, values: np.ndarray, metadata: dict[str, Any]
) -> None:
    written = ts.open(
        {
            "driver": "zarr",
            "kvstore": {"driver": "file", "path": str(tmp_path)},
            "metadata": {"shape": values.shape, "chunks": [16, 20], **metadata},
        },
        create=True,
    ).result()
    written.write(values).result()
    array = gpuzarr.open_array(tmp_path)
    np.testing.assert_array_equal(array[...], values)
    np.testing.assert_array_equal(array[::-3, 5:31], values[::-3, 5:31])
