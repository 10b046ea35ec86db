"""The data that is read: a smooth field with noise, stored in several ways."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Blosc
from zarr.codecs import BloscCodec, ZstdCodec


@dataclass(frozen=True)
class Size:
    """A chunk size: `side`² float32 in a chunk, `grid`² chunks."""

    name: str
    side: int
    grid: int

    @property
    def nbytes(self) -> int:
        """Decoded bytes of the whole array."""
        return 4 * (self.side * self.grid) ** 2


SIZES = (Size("16K", 64, 64), Size("256K", 256, 22), Size("4M", 1024, 8))


def field(side: int) -> np.ndarray:
    """``[side, side]`` float32: waves, and noise in steps of 2⁻⁸, so that zstd makes it 2 to 3
    times smaller."""
    rng = np.random.default_rng(20)
    axis = np.linspace(0, 12, side, dtype=np.float32)
    smooth = 280 + 15 * np.sin(axis)[:, None] * np.cos(0.7 * axis)[None, :]
    noise = rng.normal(scale=0.05, size=(side, side)).astype(np.float32)
    return (np.round((smooth + noise) * 256) / 256).astype(np.float32)


def layouts(size: Size) -> dict[str, dict[str, Any]]:
    """Arguments of `zarr.create_array` by name of the row."""
    inner = (size.side, size.side)
    per_shard = 16 if size.side <= 64 else 2
    return {
        "raw": {"chunks": inner, "compressors": None},
        "zstd": {"chunks": inner, "compressors": ZstdCodec(level=3)},
        "blosc-lz4-shuffle": {
            "chunks": inner,
            "compressors": BloscCodec(cname="lz4", clevel=5, shuffle="shuffle", typesize=4),
        },
        "blosc-lz4-shuffle v2": {
            "chunks": inner,
            "compressors": Blosc("lz4", 5, Blosc.SHUFFLE),
            "zarr_format": 2,
        },
        "sharded zstd": {
            "chunks": inner,
            "shards": (size.side * per_shard, size.side * per_shard),
            "compressors": ZstdCodec(level=3),
        },
    }


def empty(root: Path, size: Size, row: str, data: np.ndarray) -> Path:
    """Make one store without chunks; its path."""
    path = root / f"{size.name} {row}.zarr"
    zarr.create_array(
        path, shape=data.shape, dtype=data.dtype, overwrite=True, **layouts(size)[row]
    )
    return path


def build(root: Path, size: Size, row: str, data: np.ndarray) -> tuple[Path, float]:
    """Write one store; its path and how many times smaller than the data it is."""
    path = empty(root, size, row, data)
    array = zarr.open_array(path, mode="r+")
    array[:] = data
    return path, data.nbytes / array.nbytes_stored()
