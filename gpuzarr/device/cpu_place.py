"""Placement on the host: parts of decoded chunks into a NumPy array, and fill values."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from gpuzarr.batch import Batch
from gpuzarr.place import Boxes, Grid, Layout, Placement, Points


class Chunks:
    """Decoded chunks as arrays with the axes of the Zarr array, or one struct field of them."""

    def __init__(self, batch: Batch, layout: Layout, field: Any) -> None:
        self._batch, self._layout, self._field = batch, layout, field
        self._offsets = batch.offsets.tolist()

    def __getitem__(self, slot: int) -> np.ndarray:
        start = self._offsets[slot]
        return self._view(self._batch.arena[start : start + self._layout.size], ())

    @cached_property
    def stacked(self) -> np.ndarray | None:
        """All chunks as one array with a leading axis, if they lie one behind the other."""
        batch, size = self._batch, self._layout.size
        if len(batch) < 2 or not size or not batch.is_uniform:
            return None
        start = self._offsets[0]
        return self._view(batch.arena[start : start + len(batch) * size], (len(batch),))

    def _view(self, flat: np.ndarray, lead: tuple[int, ...]) -> np.ndarray:
        layout = self._layout
        if not layout.on_host_only:
            flat = flat.view(layout.dtype)
        array = flat.reshape(lead + layout.shape)
        if not layout.is_c_order:
            first = len(lead)
            array = array.transpose((*range(first), *(first + a for a in layout.axes)))
        return array if self._field is None else array[self._field]


def place_boxes(target: np.ndarray, chunks: Chunks, boxes: Boxes) -> None:
    """Affine parts; rows of whole chunks that are neighbours go in one copy."""
    for first, last in _runs(boxes, chunks):
        if last - first > 1:
            _place_run(target, chunks.stacked, boxes, first, last)  # type: ignore[arg-type]
        else:
            source, part = _slices(boxes, first)
            target[part] = chunks[int(boxes.slots[first])][source]


def _runs(boxes: Boxes, chunks: Chunks) -> list[tuple[int, int]]:
    """Ranges of rows; one of several rows is consecutive whole chunks along the last axis."""
    rows, ndim = len(boxes.slots), boxes.source.shape[1]
    singles = [(row, row + 1) for row in range(rows)]
    if rows < 2 or ndim == 0 or boxes.target.shape[1] != ndim or (boxes.step != 1).any():
        return singles
    stacked = chunks.stacked
    if stacked is None:
        return singles
    whole = (boxes.count == stacked.shape[1 : 1 + ndim]).all(axis=1)
    moved = np.diff(boxes.target, axis=0)
    moved[:, -1] -= stacked.shape[ndim]
    joined = whole[1:] & whole[:-1] & (moved == 0).all(axis=1) & (np.diff(boxes.slots) == 1)
    if not joined.any():
        return singles
    cuts = np.concatenate([[0], np.flatnonzero(~joined) + 1, [rows]]).tolist()
    return list(pairwise(cuts))


def _place_run(
    target: np.ndarray, stacked: np.ndarray, boxes: Boxes, first: int, last: int
) -> None:
    slot, length = int(boxes.slots[first]), last - first
    source = np.moveaxis(stacked[slot : slot + length], 0, -2)
    start = boxes.target[first].tolist()
    extent = boxes.count[first].tolist()
    part = tuple(slice(s, s + n) for s, n in zip(start[:-1], extent[:-1], strict=True))
    region = target[(*part, slice(start[-1], start[-1] + length * extent[-1]))]
    # Splitting an axis of a view gives a view, whatever its strides.
    split = region.reshape(*extent[:-1], length, extent[-1])
    np.copyto(split, source, casting="unsafe")


def _slices(boxes: Boxes, row: int) -> tuple[tuple[slice, ...], tuple[Any, ...]]:
    steps = boxes.step.tolist()
    start, count = boxes.source[row].tolist(), boxes.count[row].tolist()
    source = tuple(
        slice(s, s + (n - 1) * step + 1, step)
        for s, n, step in zip(start, count, steps, strict=True)
    )
    return source, _target(boxes, row, count)


def _target(boxes: Boxes, row: int, count: list[int]) -> tuple[Any, ...]:
    start = boxes.target[row].tolist()
    extra = len(start) - len(count)
    return (
        *start[:extra],
        *(slice(t, t + n) for t, n in zip(start[extra:], count, strict=True)),
        ...,
    )


def place_grid(target: np.ndarray, chunks: Chunks, grid: Grid) -> None:
    """Outer products of index lists."""
    for row, slot in enumerate(grid.slots.tolist()):
        source, part = _lists(grid, row)
        target[np.ix_(*part)] = chunks[slot][np.ix_(*source)]


def _lists(grid: Grid, row: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    source, part = [], []
    for axis, number in zip(grid.axes, grid.lists[row].tolist(), strict=True):
        start, stop = axis.starts[number], axis.starts[number + 1]
        source.append(axis.local[start:stop])
        part.append(axis.target[start:stop])
    return source, part


def place_points(target: np.ndarray, chunks: Chunks, points: Points) -> None:
    """Single elements, by coordinate."""
    bounds = zip(points.slots.tolist(), points.starts.tolist(), points.stops.tolist(), strict=True)
    for slot, start, stop in bounds:
        source = tuple(points.local[start:stop].T)
        target[points.target[start:stop]] = chunks[slot][source]


def fill(target: np.ndarray, value: Any, placement: Placement) -> None:
    """Set every part to one value."""
    for row in range(len(placement.slots)):
        if isinstance(placement, Boxes):
            target[_target(placement, row, placement.count[row].tolist())] = value
        elif isinstance(placement, Grid):
            target[np.ix_(*_lists(placement, row)[1])] = value
        else:
            target[placement.target[placement.starts[row] : placement.stops[row]]] = value
