"""What gpuzarr writes, on any device, other readers read bit for bit: zarrs and tensorstore."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from harness import uploaded
from zarr.codecs import (
    BloscCodec,
    BytesCodec,
    Crc32cCodec,
    GzipCodec,
    ShardingCodec,
    TransposeCodec,
    ZstdCodec,
)

import gpuzarr

Reader = Callable[[Path], np.ndarray]

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")


def by_tensorstore(path: Path) -> np.ndarray:
    return np.asarray(opened_by_tensorstore(path).read().result())


def opened_by_tensorstore(path: Path, **metadata: Any) -> Any:
    ts = pytest.importorskip("tensorstore")
    driver = "zarr" if (path / ".zarray").exists() or "chunks" in metadata else "zarr3"
    spec = {"driver": driver, "kvstore": {"driver": "file", "path": str(path)}}
    if metadata:
        spec["metadata"] = metadata
    return ts.open(spec, create=bool(metadata), open=not metadata).result()


def by_zarrs(path: Path) -> np.ndarray:
    pytest.importorskip("zarrs")
    with zarr.config.set(
        {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "codec_pipeline.strict": True}
    ):
        array = zarr.open_array(path, mode="r")
        assert type(array.async_array.codec_pipeline).__name__ == "ZarrsCodecPipeline"
        return np.asarray(array[...])


READERS = pytest.mark.parametrize("read", [by_zarrs, by_tensorstore])

CHUNK = (10, 8)
LITTLE, BIG, CRC = BytesCodec(), BytesCodec(endian="big"), Crc32cCodec()


def shards(*codecs: Any, **options: Any) -> dict[str, Any]:
    codec = ShardingCodec(chunk_shape=CHUNK, codecs=codecs, **options)
    return {"chunks": (20, 24), "serializer": codec, "compressors": None}


def chunks(*compressors: Any, **options: Any) -> dict[str, Any]:
    return {"chunks": CHUNK, "compressors": compressors or None, **options}


BLOSC = BloscCodec(cname="zstd", shuffle="bitshuffle", typesize=4)
NESTED = ShardingCodec(chunk_shape=(5, 4), codecs=[LITTLE, ZstdCodec()], index_location="start")
V3: dict[str, dict[str, Any]] = {
    "raw": chunks(),
    "raw, big-endian": chunks(serializer=BIG),
    "zstd": chunks(ZstdCodec(level=3)),
    "zstd with a checksum": chunks(ZstdCodec(level=-2, checksum=True)),
    "gzip": chunks(GzipCodec(level=5)),
    "blosc, lz4": chunks(BloscCodec(cname="lz4", shuffle="shuffle", typesize=4)),
    "blosc, zstd": chunks(BLOSC),
    "crc32c": chunks(CRC),
    "zstd and crc32c": chunks(ZstdCodec(), CRC),
    "transpose": chunks(ZstdCodec(), filters=[TransposeCodec(order=(1, 0))]),
    "shards": shards(LITTLE, ZstdCodec()),
    "shards, index in front": shards(BIG, GzipCodec(), index_location="start"),
    "shards without checksum": shards(LITTLE, BLOSC, index_codecs=[LITTLE]),
    "shards, transposed": shards(TransposeCodec(order=(1, 0)), LITTLE, CRC),
    "shards by row": shards(LITTLE, subchunk_write_order="lexicographic"),
    "shards in shards": shards(NESTED),
}
V2: dict[str, dict[str, Any]] = {
    "raw": {"compressors": None},
    "raw, F order": {"compressors": None, "order": "F"},
    "zlib": {"compressors": numcodecs.Zlib(level=3)},
    "gzip": {"compressors": numcodecs.GZip(level=3)},
    "zstd, F order": {"compressors": numcodecs.Zstd(level=2), "order": "F"},
    "blosc, lz4": {"compressors": numcodecs.Blosc(cname="lz4", shuffle=1)},
    "blosc, zstd, bits": {"compressors": numcodecs.Blosc(cname="zstd", shuffle=2)},
    "blosc, F order": {"compressors": numcodecs.Blosc(cname="blosclz"), "order": "F"},
}


def written(path: Path, values: np.ndarray, **arguments: Any) -> np.ndarray:
    """By gpuzarr: a part, all, and parts again, one of them back to the fill value."""
    array = gpuzarr.create_array(path, shape=values.shape, dtype=values.dtype, **arguments)
    expected = np.zeros_like(values)
    for key, value in (
        ((slice(3, 17), slice(5, 30)), 2),
        (..., values),
        ((slice(1, 49, 7), slice(None, None, -3)), -values[1:49:7, ::-3]),
        ((slice(20, 43), slice(0, 33)), 0),
        ((-1, slice(None)), np.arange(values.shape[1])),
    ):
        array[key] = uploaded(value)
        expected[key] = value
    return expected


def assert_bits(found: np.ndarray, expected: np.ndarray) -> None:
    native = expected.dtype.newbyteorder("=")
    assert found.dtype.newbyteorder("=") == native
    assert found.shape == expected.shape
    assert found.astype(native).tobytes() == expected.astype(native).tobytes()


def by_all(grid: dict[str, Any], *, is_v2: bool) -> list[Any]:
    """Names, dtypes and readers; no reader where it reads no such thing.

    zarrs reads neither results in F order nor, of v2, another byte order than the machine's.
    """
    found = []
    for name, dtype in itertools.product(grid, ("<f4", ">i2")):
        others = not is_v2 or ("F order" not in name and dtype == "<f4")
        readers = [by_tensorstore, by_zarrs] if others else [by_tensorstore]
        found += [(name, dtype, read) for read in readers]
    return found


@pytest.mark.parametrize(("name", "dtype", "read"), by_all(V3, is_v2=False))
def test_others_read_what_gpuzarr_writes_in_v3(
    tmp_path: Path, values: np.ndarray, each_device: str, name: str, dtype: str, read: Reader
) -> None:
    assert_read(tmp_path, values, dtype, read, V3[name])


@pytest.mark.parametrize(("name", "dtype", "read"), by_all(V2, is_v2=True))
def test_others_read_what_gpuzarr_writes_in_v2(
    tmp_path: Path, values: np.ndarray, each_device: str, name: str, dtype: str, read: Reader
) -> None:
    assert_read(tmp_path, values, dtype, read, {"chunks": CHUNK, "zarr_format": 2, **V2[name]})


def assert_read(
    tmp_path: Path, values: np.ndarray, dtype: str, read: Reader, arguments: dict[str, Any]
) -> None:
    data = values if dtype == "<f4" else (np.nan_to_num(values) * 1000).astype(dtype)
    expected = written(tmp_path / "a", data, fill_value=0, **arguments)
    assert_bits(read(tmp_path / "a"), expected)


@pytest.mark.parametrize("write_empty", [False, True])
@READERS
def test_others_find_the_fill_value_where_nothing_is_stored(
    tmp_path: Path, each_device: str, write_empty: bool, read: Reader
) -> None:
    for number, arguments in enumerate((chunks(ZstdCodec()), shards(LITTLE, ZstdCodec()))):
        path, expected = tmp_path / str(number), np.full((50, 40), 9, "i4")
        array = gpuzarr.create_array(
            path, shape=(50, 40), dtype="i4", fill_value=9,
            config={"write_empty_chunks": write_empty}, **arguments,
        )  # fmt: skip
        for key, value in (((slice(0, 25), slice(0, 25)), 9), ((3, 4), 1), ((slice(44, 50), 0), 5)):
            array[key] = expected[key] = value
        assert_bits(read(path), expected)


CONFIGURED = {"name": "bytes", "configuration": {"endian": "little"}}
ZSTD = {"name": "zstd", "configuration": {"level": 3}}
SHARDS = {
    "name": "sharding_indexed",
    "configuration": {
        "chunk_shape": [8, 5],
        "codecs": [CONFIGURED, ZSTD],
        "index_codecs": [CONFIGURED, {"name": "crc32c"}],
    },
}
THEIRS: dict[str, dict[str, Any]] = {
    "v3": {"codecs": [CONFIGURED, ZSTD]},
    "v3, shards": {"codecs": [SHARDS]},
    "v2": {"chunks": [16, 20], "dtype": "<f4", "order": "F", "compressor": {"id": "zlib"}},
}


@pytest.mark.parametrize("name", THEIRS)
def test_what_tensorstore_wrote_is_overwritten_in_parts(
    tmp_path: Path, values: np.ndarray, each_device: str, name: str
) -> None:
    metadata = {"shape": list(values.shape), **THEIRS[name]}
    if name != "v2":
        grid = {"name": "regular", "configuration": {"chunk_shape": [16, 20]}}
        metadata |= {"data_type": "float32", "chunk_grid": grid}
    opened_by_tensorstore(tmp_path, **metadata)[:33].write(values[:33]).result()
    expected = np.where(np.arange(50)[:, None] < 33, values, np.float32(0))
    ours = gpuzarr.open_array(tmp_path, mode="r+")
    for key, value in (
        ((slice(5, 40), slice(15, 25)), 1.5),
        ((slice(None, None, -9), 3), -0.0),
        ((slice(16, 32), slice(0, 20)), 0),
    ):
        ours[key] = value
        expected[key] = value
        assert_bits(by_tensorstore(tmp_path), expected)
    again = opened_by_tensorstore(tmp_path)
    again[10:45, 18:22].write(np.float32(7)).result()
    expected[10:45, 18:22] = 7
    ours[12, :] = 8
    expected[12, :] = 8
    assert_bits(by_tensorstore(tmp_path), expected)
