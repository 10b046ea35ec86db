"""The fill value on a device: streams set to it, streams that hold only it."""

from __future__ import annotations

from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Batch
from gpuzarr.device.kernels import over_tiles
from gpuzarr.device.launcher import TILE, Launcher, addresses, first_tiles

_BITS, _NAN, _NUMBER = 0, 1, 4
"""What equals_fill.cu calls equal; to the last two the width of the numbers is added."""

_WIDTHS = {2: 0, 4: 1, 8: 2}


def fill(device: Launcher, batch: Batch, value: NDArray[Any]) -> None:
    """Set each stream to one value, again and again."""
    tiles = first_tiles(-(-batch.sizes // TILE))
    if tiles[-1]:
        pattern = _pattern(value)
        device.launch(
            "fill", "fill", over_tiles(int(tiles[-1]), device.processors), addresses(batch),
            batch.sizes, tiles, np.uint32(len(batch)), pattern, np.uint32(len(pattern)),
        )  # fmt: skip


def equals(device: Launcher, batch: Batch, dtype: np.dtype, value: Any) -> NDArray[np.bool_]:
    """Which streams hold nothing but one value, as zarr-python compares (`Device.equals_fill`)."""
    kind, parts = _comparison(dtype, value)
    tiles = first_tiles(-(-batch.sizes // TILE))
    equal = device.to_device(np.ones(len(batch), np.uint32))
    if tiles[-1]:
        pattern = _pattern(np.asarray(value, dtype))
        device.launch(
            "equals_fill", "equals_fill", over_tiles(int(tiles[-1]), device.processors),
            addresses(batch), batch.sizes, tiles, np.uint32(len(batch)), pattern,
            np.uint32(len(pattern)), np.uint32(kind), np.uint32(parts), equal,
        )  # fmt: skip
    return device.to_host(equal).view(np.uint32).astype(bool)


def _pattern(value: NDArray[Any]) -> NDArray[np.uint8]:
    """The value's bytes, repeated up to a multiple of 16."""
    data = np.frombuffer(value.tobytes(), np.uint8)
    return np.tile(data, 16 // gcd(16, len(data)))


def _comparison(dtype: np.dtype, value: Any) -> tuple[int, int]:
    """The kind of equals_fill.cu, and how many numbers an element has."""
    wanted, parts = np.asarray(value), 2 if dtype.kind == "c" else 1
    if dtype.kind not in "fc" or (wanted.dtype.kind == "f" and wanted == 0):
        return _BITS, parts
    width = _WIDTHS[dtype.itemsize // parts]
    return (_NAN if np.isnan(wanted) else _NUMBER) + width, parts
