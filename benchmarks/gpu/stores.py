"""Stores in memory-backed files: a square of smooth values and noise, encoded once, repeated.

zarr-python encodes the square; the files of its chunks are then copied to further rows of chunks,
so a store of a gigabyte is built in a second or two and every copy is memory of its own.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from benchmarks.gpu.scale import Scale

_SHARED, _PLACE = Path("/dev/shm"), "GPUZARR_BENCHMARK_STORES"

RATIOS = {"r1.5": (0.1, 12), "r3": (0.02, 7)}
"""By the ratio that zstd reaches: deviation of the noise, and bits behind the point that it has."""

LAYOUTS = (
    "zstd",
    "blosc-lz4-shuffle",
    "raw",
    "lz4",
    "gzip",
    "blosc-zstd-bitshuffle",
    "zlib-shuffle",
    "sharded-zstd",
)


def arguments(layout: str, chunk: int, side: int) -> dict[str, Any]:
    """What `zarr.create_array` is given for chunks of this side."""
    layouts: dict[str, dict[str, Any]] = {
        "raw": {"compressors": None},
        "zstd": {"compressors": ZstdCodec(level=3)},
        "gzip": {"compressors": GzipCodec(level=5)},
        "lz4": {"zarr_format": 2, "compressors": numcodecs.LZ4()},
        "blosc-lz4-shuffle": {
            "compressors": BloscCodec(cname="lz4", clevel=5, shuffle="shuffle", typesize=4)
        },
        "blosc-zstd-bitshuffle": {
            "compressors": BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle", typesize=4)
        },
        "zlib-shuffle": {
            "zarr_format": 2,
            "filters": [numcodecs.Shuffle(4)],
            "compressors": numcodecs.Zlib(1),
        },
        "sharded-zstd": {"shards": (min(8 * chunk, side),) * 2, "compressors": ZstdCodec(level=3)},
    }
    return {"chunks": (chunk, chunk), **layouts[layout]}


@dataclass
class Store:
    """One array on the disk, and what it holds.

    Attributes
    ----------
    square
        What is stored, `repeats` times along the first axis.
    """

    path: Path
    square: np.ndarray
    repeats: int

    @property
    def shape(self) -> tuple[int, int]:
        """Of the array."""
        return self.repeats * self.square.shape[0], self.square.shape[1]

    @property
    def nbytes(self) -> int:
        """Decoded."""
        return self.repeats * self.square.nbytes

    @cached_property
    def files(self) -> list[tuple[Path, int]]:
        """Files of chunks, and their sizes in bytes."""
        found = (path for path in self.path.rglob("*") if path.is_file())
        return [
            (path, path.stat().st_size)
            for path in sorted(found)
            if path.name != "zarr.json" and not path.name.startswith(".z")
        ]

    @property
    def encoded(self) -> int:
        """Bytes in all files of chunks."""
        return sum(size for _, size in self.files)

    def holds(self, array: np.ndarray) -> bool:
        """Whether this array is all that is stored, bit for bit."""
        if array.shape != self.shape or array.dtype != self.square.dtype:
            return False
        rows, bits = self.square.shape[0], f"u{self.square.itemsize}"
        wanted = self.square.view(bits)
        return all(
            np.array_equal(array[k * rows : (k + 1) * rows].view(bits), wanted)
            for k in range(self.repeats)
        )

    def part(self, rows: slice, columns: slice) -> np.ndarray:
        """A box of what is stored."""
        return self.square[np.arange(rows.start, rows.stop) % len(self.square), columns]


def _parent() -> str | None:
    """Memory-backed files where there are any, unless the environment names a folder."""
    return os.environ.get(_PLACE) or (str(_SHARED) if os.access(_SHARED, os.W_OK) else None)


@contextmanager
def workplace(folder: Path | None = None) -> Iterator[None]:
    """Where this process and those it starts build stores; removed even if these are killed."""
    before = os.environ.get(_PLACE)
    with tempfile.TemporaryDirectory(
        prefix="gpuzarr-", dir=folder or _parent(), ignore_cleanup_errors=True
    ) as made:
        os.environ[_PLACE] = made
        try:
            yield
        finally:
            del os.environ[_PLACE]
            if before is not None:
                os.environ[_PLACE] = before


class Stores:
    """Builds stores and keeps the latest, which takes all the room there is need for."""

    def __init__(self, scale: Scale, folder: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gpuzarr-", dir=folder or _parent()))
        self.is_in_memory = self.folder.is_relative_to(_SHARED)
        self._scale = scale
        self._squares: dict[str, np.ndarray] = {}
        self._name = ""
        self._store: Store | None = None

    def close(self) -> None:
        """Remove all."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def get(self, name: str) -> Store:
        """The store ``layout/chunk/ratio``, or ``image``."""
        if self._store is None or name != self._name:
            if self._store is not None:
                shutil.rmtree(self._store.path, ignore_errors=True)
            self._name, self._store = "", None
            self._store = self._image() if name == "image" else self._array(*name.split("/"))
            self._name = name
        return self._store

    def _array(self, layout: str, chunk: str, ratio: str) -> Store:
        side, repeats = self._scale.chunks[chunk]
        path = self.folder / f"{layout}-{chunk}-{ratio}.zarr"
        square = self._square(ratio)
        return _built(path, square, repeats, arguments(layout, side, self._scale.side))

    def _image(self) -> Store:
        chunk, shard, _ = self._scale.image
        square = (64 * self._square("r1.5")).astype(np.uint16)
        how = {"chunks": (chunk,) * 2, "shards": (shard,) * 2, "compressors": ZstdCodec(level=3)}
        return _built(self.folder / "image.zarr", square, 2, how)

    def _square(self, ratio: str) -> np.ndarray:
        if ratio not in self._squares:
            self._squares[ratio] = mixed(self._scale.side, *RATIOS[ratio])
        return self._squares[ratio]


def mixed(side: int, deviation: float, bits: int) -> np.ndarray:
    """``[side, side]`` float32: waves, and noise in steps of 2⁻ᵇⁱᵗˢ."""
    rng = np.random.default_rng(20)
    axis = np.linspace(0, 12 * side / 2048, side, dtype=np.float32)
    smooth = 280 + 15 * np.sin(axis)[:, None] * np.cos(0.7 * axis)[None, :]
    noise = deviation * rng.standard_normal((side, side), np.float32)
    steps = np.float32(1 << bits)
    return (np.round((smooth + noise) * steps) / steps).astype(np.float32)


def _built(path: Path, square: np.ndarray, repeats: int, how: dict[str, Any]) -> Store:
    workers = os.cpu_count() or 1
    with zarr.config.set({"async.concurrency": 4 * workers, "threading.max_workers": workers}):
        array = zarr.create_array(path, shape=square.shape, dtype=square.dtype, **how)
        array[...] = square
    rows = -(-square.shape[0] // (array.shards or array.chunks)[0])
    _repeat(path, array.metadata.zarr_format, rows, repeats)
    array.resize((repeats * square.shape[0], square.shape[1]))
    return Store(path, square, repeats)


def _repeat(path: Path, version: int, rows: int, repeats: int) -> None:
    """Copy the files of each row of chunks to the rows behind it."""
    pairs: list[tuple[Path, Path]] = []
    for row in range(rows):
        for copy in (row + k * rows for k in range(1, repeats)):
            if version == 2:
                old = list(path.glob(f"{row}.*"))
                pairs += [(p, path / f"{copy}.{p.name.partition('.')[2]}") for p in old]
            else:
                folder = path / "c" / str(copy)
                folder.mkdir()
                pairs += [(p, folder / p.name) for p in (path / "c" / str(row)).iterdir()]
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda pair: shutil.copyfile(*pair), pairs, chunksize=64):
            pass
