"""Placements on a device, as launches of place.cu."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.device.kernel_boxes import SLOTS, Launch, check_units, divisors, strided
from gpuzarr.place import AxisLists, Boxes, Grid, Layout, Placement, Points

Ints = NDArray[np.int64]


@dataclass
class _Ends:
    """The two sides of a move: addresses of the chunks ``[slots]``, strides of both in bytes."""

    chunks: Ints
    chunk_strides: tuple[int, ...]
    result: Any
    itemsize: int

    @property
    def begin(self) -> int:
        """Address of the result's first element."""
        return int(self.result.data.ptr)


def placed(target: Any, chunks: Ints, layout: Layout, placement: Placement) -> Iterator[Launch]:
    """Parts of chunks at these addresses into an array."""
    ends = _Ends(chunks, _strides(layout), target, layout.dtype.itemsize)
    return _moved(ends, placement, is_gather=False)


def gathered(value: Any, chunks: Ints, layout: Layout, placement: Placement) -> Iterator[Launch]:
    """Parts of an array into chunks; where they overlap, the last one stays."""
    ends = _Ends(chunks, _strides(layout), value, layout.dtype.itemsize)
    return _moved(ends, _without_repeats(placement), is_gather=True)


def filled(target: Any, value: int, placement: Placement) -> Iterator[Launch]:
    """One value, at this address, to all parts of an array."""
    slots = int(placement.slots.max(initial=-1)) + 1
    if isinstance(placement, Boxes):
        ndim = placement.source.shape[1]
    else:
        ndim = len(placement.axes) if isinstance(placement, Grid) else placement.local.shape[1]
    ends = _Ends(np.full(slots, value), (0,) * ndim, target, target.dtype.itemsize)
    return _moved(ends, placement, is_gather=False)


def _strides(layout: Layout) -> tuple[int, ...]:
    """Of a chunk's axes, in bytes."""
    memory = [layout.dtype.itemsize]
    for length in reversed(layout.shape[1:]):
        memory.append(memory[-1] * length)
    return tuple(memory[::-1][axis] for axis in layout.axes)


def _moved(ends: _Ends, placement: Placement, *, is_gather: bool) -> Iterator[Launch]:
    if isinstance(placement, Boxes):
        return _box_moves(ends, placement, is_gather)
    if isinstance(placement, Grid):
        return _list_moves(ends, placement, is_gather)
    return _point_moves(ends, placement, is_gather)


def _box_moves(ends: _Ends, boxes: Boxes, is_gather: bool) -> Iterator[Launch]:
    strides = np.array(ends.result.strides, np.int64)
    lead = boxes.target.shape[1] - boxes.source.shape[1]
    result = ends.begin + boxes.target @ strides
    chunk = ends.chunks[boxes.slots] + boxes.source @ np.array(ends.chunk_strides, np.int64)
    steps = [s * n for s, n in zip(ends.chunk_strides, boxes.step.tolist(), strict=True)]
    sides = [(chunk, steps), (result, strides[lead:].tolist())]
    (source, inner), (target, outer) = sides[::-1] if is_gather else sides
    return strided(source, target, boxes.count, inner, outer, ends.itemsize)


def _list_moves(ends: _Ends, grid: Grid, is_gather: bool) -> Iterator[Launch]:
    result = np.full(len(grid.slots), ends.begin)
    sides = [ends.chunks[grid.slots], result]
    strides = [ends.chunk_strides, ends.result.strides]
    parts = [*np.concatenate(sides).tolist(), *strides[0], *strides[1]]
    unit = int(np.gcd.reduce(np.array([16, ends.itemsize, *parts], np.int64)))
    lists, axes = grid.lists, list(grid.axes)
    if unit != ends.itemsize:  # the units of an element are a further axis
        within = np.arange(ends.itemsize // unit, dtype=np.int64)
        axes.append(AxisLists(np.array([0, len(within)]), within, within))
        lists = np.concatenate([lists, np.zeros((len(lists), 1), np.int64)], axis=1)
        strides = [(*s, unit) for s in strides]
    elements, first = np.ones(len(lists), np.int64), 0
    words: list[Ints] = []
    offsets: list[list[Ints]] = [[], []]
    for axis, number, of_chunk, of_result in zip(axes, lists.T, *strides, strict=True):
        begin = axis.starts[number]
        count = axis.starts[number + 1] - begin
        elements = elements * count
        words += [*divisors(np.maximum(count, 1)), first + begin, np.zeros_like(begin)]
        offsets[0].append(axis.local * of_chunk)
        offsets[1].append(axis.target * of_result)
        first += len(axis.local)
    if not elements.any():
        return
    check_units(elements)
    way = slice(None, None, -1 if is_gather else 1)
    table = np.stack([*sides[way], elements, *words], axis=1)
    nothing = np.zeros(0, np.int64)  # an array without axes has no lists
    both = [np.concatenate([nothing, *side]) for side in offsets[way]]
    arguments = [table, None, np.uint32(len(table)), np.uint32(len(axes)), *both]
    yield Launch(f"place_lists_{unit}", -(-elements // SLOTS), arguments)


def _point_moves(ends: _Ends, points: Points, is_gather: bool) -> Iterator[Launch]:
    rows, at = _elements(points)
    if not len(at):
        return
    chunk = ends.chunks[points.slots[rows]]
    chunk = chunk + points.local[at] @ np.array(ends.chunk_strides, np.int64)
    places = np.unravel_index(points.target[at], ends.result.shape)  # of any number of axes
    result = ends.begin + np.stack(places, axis=1) @ np.array(ends.result.strides, np.int64)
    source, target = (result, chunk) if is_gather else (chunk, result)
    unit = int(np.gcd.reduce(np.concatenate([[16, ends.itemsize], source, target])))
    nothing, units = np.uint64(0), np.uint32(ends.itemsize // unit)
    arguments = [nothing, nothing, source, target, np.uint64(len(source)), units]
    yield Launch(f"place_points_{unit}", np.array([-(-len(source) // SLOTS)]), arguments)


def _elements(points: Points) -> tuple[Ints, Ints]:
    """Of each element its row, and its position in the lists."""
    lengths = points.stops - points.starts
    rows = np.repeat(np.arange(len(lengths)), lengths)
    before = np.cumsum(lengths) - lengths
    return rows, np.arange(len(rows)) + (points.starts - before)[rows]


def _without_repeats(placement: Placement) -> Placement:
    """A query of which each element of a chunk is named once, by the last that names it."""
    if isinstance(placement, Boxes):
        return placement
    if isinstance(placement, Grid):
        return replace(placement, axes=tuple(_last_of_each(axis) for axis in placement.axes))
    rows, at = _elements(placement)
    key = np.concatenate([placement.slots[rows, None], placement.local[at]], axis=1)
    kept = _last(key)
    stops = np.searchsorted(rows[kept], np.arange(len(placement.slots)), side="right")
    starts = np.concatenate([[0], stops[:-1]])
    local, target = placement.local[at[kept]], placement.target[at[kept]]
    return Points(placement.slots, starts, stops, local, target)


def _last_of_each(axis: AxisLists) -> AxisLists:
    number = np.repeat(np.arange(len(axis.starts) - 1), np.diff(axis.starts))
    first, last = int(axis.starts[0]), int(axis.starts[-1])
    kept = _last(np.stack([number, axis.local[first:last]], axis=1))
    starts = np.searchsorted(number[kept], np.arange(len(axis.starts)))
    return AxisLists(starts, axis.local[first:last][kept], axis.target[first:last][kept])


def _last(keys: Ints) -> Ints:
    """Rows that no later row equals, in order."""
    _, backwards = np.unique(keys[::-1], axis=0, return_index=True)
    kept: Ints = np.sort(len(keys) - 1 - backwards)
    return kept
