"""The stores that are read and written: codecs, chunk sizes, and the building of one."""

from __future__ import annotations

import math
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from benchmarks.data import field

DTYPES = ("float32", "int16")

CODECS = (
    "raw", "zstd", "blosc-lz4-shuffle", "blosc-zstd-bitshuffle", "zlib+shuffle", "gzip",
    "sharded zstd",
)  # fmt: skip
"""zstd at level 3, all others at 5; zlib with numcodecs' shuffle filter is of Zarr v2."""


@dataclass(frozen=True)
class Size:
    """A size of chunks and how many there are of them.

    Attributes
    ----------
    side
        A chunk has `side`² × 4 bytes: ``[side, side]`` of float32, ``[side, 2 side]`` of int16.
    grid, shard
        Chunks along both axes of the array, and of a shard.
    """

    name: str
    side: int
    grid: tuple[int, int]
    shard: tuple[int, int]

    @property
    def chunk_bytes(self) -> int:
        """Decoded bytes of a chunk."""
        return 4 * self.side**2

    @property
    def nbytes(self) -> int:
        """Decoded bytes of the array."""
        return self.chunk_bytes * math.prod(self.grid)

    def chunk(self, dtype: str) -> tuple[int, int]:
        """Shape of a chunk."""
        return self.side, self.side * 4 // np.dtype(dtype).itemsize

    def smaller(self, divisor: int) -> Size:
        """With fewer chunks along each axis, of whole shards."""
        grid = tuple(
            max(1, n // divisor // s) * s for n, s in zip(self.grid, self.shard, strict=True)
        )
        return Size(self.name, self.side, grid, self.shard)  # type: ignore[arg-type]


SIZES = (
    Size("16K", 64, (64, 64), (16, 16)),
    Size("256K", 256, (16, 32), (8, 8)),
    Size("4M", 1024, (8, 8), (2, 2)),
    Size("64M", 4096, (4, 2), (2, 1)),
)
"""64, 128, 256 and 512 MiB."""

TINY = (Size("1K", 16, (4, 4), (2, 2)), Size("4K", 32, (4, 2), (2, 1)))
"""To see that everything runs."""


@dataclass(frozen=True)
class Store:
    """One array on the disk, and what it holds."""

    path: Path
    codec: str
    size: Size
    data: np.ndarray
    ratio: float

    @property
    def crc(self) -> int:
        """CRC-32 of the values in C order."""
        return crc(self.data)


def crc(array: np.ndarray) -> int:
    """CRC-32 of the values in C order."""
    return zlib.crc32(np.ascontiguousarray(array).view(np.uint8).reshape(-1).data)


def arguments(
    codec: str, chunks: tuple[int, ...], shards: tuple[int, ...], itemsize: int
) -> dict[str, Any]:
    """Arguments of `zarr.create_array`; `shards` is used where the codec's name says so."""
    blosc = {"clevel": 5, "typesize": itemsize}
    made: dict[str, Any] = {
        "raw": {"compressors": None},
        "zstd": {"compressors": ZstdCodec(level=3)},
        "blosc-lz4-shuffle": {"compressors": BloscCodec(cname="lz4", shuffle="shuffle", **blosc)},
        "blosc-zstd-bitshuffle": {
            "compressors": BloscCodec(cname="zstd", shuffle="bitshuffle", **blosc)
        },
        "zlib+shuffle": {
            "filters": [numcodecs.Shuffle(itemsize)],
            "compressors": numcodecs.Zlib(5),
            "zarr_format": 2,
        },
        "gzip": {"compressors": GzipCodec(level=5)},
        "sharded zstd": {"compressors": ZstdCodec(level=3), "shards": shards},
    }
    return {"chunks": chunks, **made[codec]}


def create(path: Path, codec: str, size: Size, data: np.ndarray) -> Any:
    """The array without chunks, in place of what was at `path`."""
    chunk = size.chunk(str(data.dtype))
    shard = tuple(n * c for n, c in zip(size.shard, chunk, strict=True))
    if data.ndim == 3:
        chunk, shard = (len(data), *chunk), (len(data), *shard)
    made = arguments(codec, chunk, shard, data.itemsize)
    return zarr.create_array(path, shape=data.shape, dtype=data.dtype, overwrite=True, **made)


@contextmanager
def built(folder: Path, codec: str, size: Size, data: np.ndarray) -> Iterator[Store]:
    """Write the array with zarr-python; it is removed at the end."""
    path = folder / f"{codec} {size.name} {data.dtype}.zarr"
    try:
        array = create(path, codec, size, data)
        with zarr.config.set({"async.concurrency": 2}):  # chunks of 64 MiB are encoded in memory
            array[...] = data
        yield Store(path, codec, size, data, data.nbytes / array.nbytes_stored())
    finally:
        shutil.rmtree(path, ignore_errors=True)


def source(size: Size, dtype: str) -> np.ndarray:
    """The values of an array of this size, in two dimensions."""
    rows, columns = (n * c for n, c in zip(size.grid, size.chunk(dtype), strict=True))
    return field((rows, columns), dtype)
