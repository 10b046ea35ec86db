"""Placement on the host: parts of chunks into a NumPy array, and back."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from gpuzarr.batch import Batch
from gpuzarr.place import Boxes, Grid, Layout, Placement


class Chunks:
    """Chunks as arrays with the axes of the Zarr array, or one struct field of them."""

    def __init__(self, batch: Batch, layout: Layout, field: Any = None) -> None:
        self._batch, self._layout, self._field = batch, layout, field
        self._offsets = batch.offsets.tolist()

    def __len__(self) -> int:
        return len(self._batch)

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


def place(target: np.ndarray, chunks: Chunks, placement: Placement) -> None:
    """Parts of chunks into an array."""
    if isinstance(placement, Boxes):
        for part, chunk in _boxes(target, chunks, placement):
            np.copyto(part, chunk, casting="unsafe")
        return
    for slot, source, part in parts(placement):
        target[part] = chunks[slot][source]


def gather(value: Any, chunks: Chunks, placement: Placement) -> None:
    """Parts of an array into chunks."""
    if isinstance(placement, Boxes):
        for part, chunk in _boxes(value, chunks, placement):
            np.copyto(chunk, part, casting="unsafe")
        return
    for slot, source, part in parts(placement):
        chunks[slot][source] = value[part]


def parts(placement: Placement) -> Iterator[tuple[int, Any, Any]]:
    """Of each row the slot, the index in its chunk, and the index in the result."""
    for row, slot in enumerate(placement.slots.tolist()):
        if isinstance(placement, Boxes):
            yield (slot, *_slices(placement, row))
        elif isinstance(placement, Grid):
            source, part = _lists(placement, row)
            yield slot, np.ix_(*source), np.ix_(*part)
        else:
            where = slice(placement.starts[row], placement.stops[row])
            yield slot, tuple(placement.local[where].T), placement.target[where]


def _boxes(
    array: np.ndarray, chunks: Chunks, boxes: Boxes
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Views of the array and of the chunks that belong together.

    Rows of whole chunks that are neighbours go in one.
    """
    for first, last in _runs(boxes, chunks):
        if last - first > 1:
            yield _run(array, chunks.stacked, boxes, first, last)  # type: ignore[arg-type]
        else:
            source, part = _slices(boxes, first)
            yield array[part], chunks[int(boxes.slots[first])][source]


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


def _run(
    array: np.ndarray, stacked: np.ndarray, boxes: Boxes, first: int, last: int
) -> tuple[np.ndarray, np.ndarray]:
    slot, length = int(boxes.slots[first]), last - first
    source = np.moveaxis(stacked[slot : slot + length], 0, -2)
    start = boxes.target[first].tolist()
    extent = boxes.count[first].tolist()
    part = tuple(slice(s, s + n) for s, n in zip(start[:-1], extent[:-1], strict=True))
    region = array[(*part, slice(start[-1], start[-1] + length * extent[-1]))]
    # Splitting an axis of a view gives a view, whatever its strides.
    return region.reshape(*extent[:-1], length, extent[-1]), source


def _slices(boxes: Boxes, row: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    steps = boxes.step.tolist()
    start, count = boxes.source[row].tolist(), boxes.count[row].tolist()
    source = tuple(
        slice(s, max(s, s + (n - 1) * step + 1), step)
        for s, n, step in zip(start, count, steps, strict=True)
    )
    target = boxes.target[row].tolist()
    extra = len(target) - len(count)
    part = (slice(t, t + n) for t, n in zip(target[extra:], count, strict=True))
    # With the ellipsis an index without axes gives a view, too.
    return (*source, ...), (*target[:extra], *part, ...)


def _lists(grid: Grid, row: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    source, part = [], []
    for axis, number in zip(grid.axes, grid.lists[row].tolist(), strict=True):
        start, stop = axis.starts[number], axis.starts[number + 1]
        source.append(axis.local[start:stop])
        part.append(axis.target[start:stop])
    return source, part
