"""What is stored: real fields, tiled to the size that is asked for.

The sea surface temperature of the demo (an ocean model, three months of 330 × 360 cells, float32,
45 % of them land with a missing value of 1e20) is too small to time. It is laid out again and
again, each copy mirrored against its neighbours, and scaled by a factor of its own, so that no
compressor finds an earlier copy in a later one. As int16 it is packed in steps of 0.001 °C, as such
fields are in files that follow the CF conventions.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np

from gpuzarr.commands.fields import sea_surface_temperature

MISSING = {"float32": np.float32(1e20), "int16": np.int16(-32768)}
_STEP, _OFFSET = 0.001, 16.0
_CORNER = (-90, -100)
"""Small arrays begin in the ocean."""


def field(shape: tuple[int, int], dtype: str = "float32") -> np.ndarray:
    """The field, ``[rows, columns]``.

    Raises
    ------
    KeyError
        If `dtype` is neither float32 nor int16.
    """
    missing = MISSING[dtype]
    values, is_sea = _months()
    out = np.empty(shape, dtype)
    height, width = values.shape[1:]
    factors = np.random.default_rng(20)
    corners = product(range(0, shape[0], height), range(0, shape[1], width))
    for number, (top, left) in enumerate(corners):
        flips = np.s_[:: (-1) ** (top // height), :: (-1) ** (left // width)]
        month, factor = number % len(values), np.float32(factors.uniform(0.9, 1.1))
        scaled = values[month][flips] * factor
        if dtype == "int16":
            scaled = np.rint((scaled - _OFFSET) / _STEP).clip(-32767, 32767)
        tile = np.where(is_sea[month][flips], scaled, missing)
        target = out[top : top + height, left : left + width]
        target[...] = tile[: target.shape[0], : target.shape[1]]
    return out


@cache
def _months() -> tuple[np.ndarray, np.ndarray]:
    """The values ``[3, 330, 360]``, 0 on land, and where there is sea."""
    found = sea_surface_temperature()
    values = np.roll(found.values, _CORNER, axis=(1, 2))
    is_sea = values != np.float32(found.missing)
    return np.where(is_sea, values, np.float32(0)), is_sea
