"""The fill value on the host: parts and chunks that are set to it, chunks that hold only it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Batch
from gpuzarr.device.cpu_place import Chunks, parts
from gpuzarr.place import Layout, Placement

_PREFIX = 16
"""Elements that are looked at first: most chunks that differ differ there."""

_BLOCK = 1 << 16
"""Elements that are compared at once."""

_INTEGERS = {1: "u1", 2: "u2", 4: "u4", 8: "u8"}

_Same = Callable[[NDArray[Any]], NDArray[np.bool_]]


def fill(target: np.ndarray, value: Any, placement: Placement) -> None:
    """Set every part to one value."""
    for _, _, part in parts(placement):
        target[part] = value


def fill_chunks(chunks: Chunks, value: Any) -> None:
    """Set every chunk to one value."""
    if chunks.stacked is not None:
        chunks.stacked[...] = value
        return
    for slot in range(len(chunks)):
        chunks[slot][...] = value


def equals_fill(batch: Batch, layout: Layout, value: Any) -> NDArray[np.bool_]:
    """Which chunks hold nothing but `value`, as zarr-python's ``NDBuffer.all_equal`` sees it."""
    if value is None:
        return np.zeros(len(batch), bool)
    same = _comparison(layout.dtype, value)
    flat = Chunks(batch, Layout.plain(layout.dtype, (layout.count,)))
    stacked, together = flat.stacked, _BLOCK // max(1, layout.count)
    if stacked is not None:
        equal: NDArray[np.bool_] = same(stacked[:, :_PREFIX]).all(axis=1)
    else:
        heads = [same(flat[slot][:_PREFIX]).all() for slot in range(len(batch))]
        equal = np.array(heads, bool)
    left = np.flatnonzero(equal)
    if stacked is not None and together > 1:
        for start in range(0, len(left), together):
            slots = left[start : start + together]
            equal[slots] = same(stacked[slots]).all(axis=1)
        return equal
    for slot in left.tolist():
        chunk = flat[slot]
        equal[slot] = all(
            same(chunk[start : start + _BLOCK]).all()
            for start in range(_PREFIX, layout.count, _BLOCK)
        )
    return equal


def _comparison(dtype: np.dtype, value: Any) -> _Same:
    """Which elements of an array of this dtype are equal to `value`.

    zarr-python compares the bits where the fill value is a float that equals 0.0, which keeps
    -0.0 apart; else NumPy compares, to which a NaN equals a NaN unless the dtype says nothing of
    NaNs.
    """
    has_numbers = dtype.kind not in "USTOV"
    wanted = np.asarray(value)
    if has_numbers and wanted.dtype.kind == "f" and value == 0.0:
        bits = _INTEGERS.get(dtype.itemsize, f"V{dtype.itemsize}")
        pattern = np.asarray(value, dtype).view(bits)
        return lambda data: _whole(data.view(bits) == pattern, data)
    if has_numbers and wanted.dtype.kind in "fcMm" and np.isnan(wanted):
        return lambda data: _whole(np.isnan(data), data)
    return lambda data: _whole(data == wanted, data)


def _whole(found: Any, data: NDArray[Any]) -> NDArray[np.bool_]:
    """A verdict for each element, also where NumPy has one for all (kinds that never are equal)."""
    return np.broadcast_to(np.asarray(found, bool), data.shape)
