"""Planning: selection × grid → which chunks, and where each of them lands.

Nothing here touches a store or data, and nothing is done per chunk in Python: a plan holds tables
per axis (or per element, for coordinates), and the rows of a wave are gathered from them when it
is its turn. A row is one innermost chunk.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gpuzarr.axis import Axis
from gpuzarr.place import AxisLists, Boxes, Grid, Placement, Points
from gpuzarr.selection import Box, Coordinates, Lists
from gpuzarr.spec import Spec

Ints = NDArray[np.int64]


class Parts(Protocol):
    """The chunks of a selection, numbered in C order of the grid, and their placement."""

    count: int

    def coords(self, rows: Ints) -> Ints:
        """Grid coordinates ``[n, ndim]`` of these chunks."""

    def placement(self, rows: Ints) -> Placement:
        """Where these chunks land; slots count from 0 in the order of `rows`."""


class WriteParts(Parts, Protocol):
    """Parts that tell which chunks need not be read before they are written."""

    def covers(self, rows: Ints, beyond: bool) -> NDArray[np.bool_]:
        """Which of these chunks are selected whole.

        `beyond` asks for the part of a chunk that reaches beyond the array, too.
        """


def covers_nothing(rows: Ints, beyond: bool) -> NDArray[np.bool_]:
    """What `WriteParts.covers` says where every chunk has to be read first."""
    return np.zeros(len(rows), bool)


def parts_of(grid: tuple[Axis, ...], what: Box | Lists | Coordinates) -> WriteParts:
    """The chunks that a normalised selection needs."""
    if isinstance(what, Box):
        return BoxParts(grid, what)
    if isinstance(what, Lists):
        return ListParts(grid, what)
    return PointParts(grid, what)


class BoxParts:
    """Chunks of a box: the product of one table per axis."""

    def __init__(self, grid: tuple[Axis, ...], box: Box) -> None:
        self._grid = grid
        self._tables = [
            box_table(axis, *range_)
            for axis, *range_ in zip(grid, box.start, box.count, box.step, strict=True)
        ]
        self._step = np.array(box.step, np.int64)
        self.count = math.prod(table.shape[1] for table in self._tables)

    def coords(self, rows: Ints) -> Ints:
        coords: Ints = gather_tables([table[:1] for table in self._tables], rows)[0]
        return coords

    def placement(self, rows: Ints) -> Boxes:
        slots = np.arange(len(rows), dtype=np.int64)
        source, count, target = gather_tables([table[1:] for table in self._tables], rows, 3)
        return Boxes(slots, source, count, target, self._step)

    def covers(self, rows: Ints, beyond: bool) -> NDArray[np.bool_]:
        coords, count = gather_tables([table[:3] for table in self._tables], rows, 3)[::2]
        covered = np.ones(len(rows), bool)
        for axis, chunk, n in zip(self._grid, coords.T, count.T, strict=True):
            extent = axis.extent(chunk)
            inside = np.minimum(extent, axis.length - axis.start(chunk))
            covered &= n == (extent if beyond else inside)
        return covered


def box_table(axis: Axis, start: int, count: int, step: int) -> Ints:
    """Chunk, first local index, number and target of the indexes in each chunk, ``[4, n]``."""
    if count == 0:
        return np.empty((4, 0), np.int64)
    first, last = axis.chunk_of(start), axis.chunk_of(start + (count - 1) * step)
    if last - first < count:
        chunk = np.arange(first, last + 1, dtype=np.int64)
    else:
        chunk = np.unique(axis.chunk_of(start + step * np.arange(count)))
    begin = axis.start(chunk)
    target = np.maximum(-((start - begin) // step), 0)
    stop = np.append(target[1:], count)
    table = np.stack([chunk, start + target * step - begin, stop - target, target])
    return table if step == 1 else table[:, table[2] > 0]


def gather_tables(tables: list[Ints], rows: Ints, columns: int = 1) -> Ints:
    """From a table ``[columns, m]`` per axis what each row has there: ``[columns, n, ndim]``.

    Rows number the product of the axes' positions in C order.
    """
    out = np.empty((columns, len(rows), len(tables)), np.int64)
    rest = rows
    for axis in reversed(range(1, len(tables))):
        rest, at = np.divmod(rest, tables[axis].shape[1])
        out[:, :, axis] = tables[axis][:, at]
    if tables:
        out[:, :, 0] = tables[0][:, rest]
    return out


class ListParts:
    """Chunks of an outer product of index lists."""

    def __init__(self, grid: tuple[Axis, ...], lists: Lists) -> None:
        self._chunks: list[Ints] = []
        axes = []
        for axis, indexes in zip(grid, lists.axes, strict=True):
            chunk = axis.chunk_of(indexes)
            order = np.argsort(chunk, kind="stable")
            found, starts = np.unique(chunk[order], return_index=True)
            local = (indexes - axis.start(chunk))[order]
            self._chunks.append(found)
            axes.append(AxisLists(np.append(starts, len(order)), local, order))
        self._axes = tuple(axes)
        self.count = math.prod(len(found) for found in self._chunks)

    def coords(self, rows: Ints) -> Ints:
        coords: Ints = gather_tables([found[None] for found in self._chunks], rows)[0]
        return coords

    def placement(self, rows: Ints) -> Grid:
        numbers = [np.arange(len(found), dtype=np.int64)[None] for found in self._chunks]
        slots = np.arange(len(rows), dtype=np.int64)
        return Grid(slots, gather_tables(numbers, rows)[0], self._axes)

    def covers(self, rows: Ints, beyond: bool) -> NDArray[np.bool_]:
        return covers_nothing(rows, beyond)


class PointParts:
    """Chunks of single elements; `target` has their places in the result, if not in order."""

    def __init__(
        self, grid: tuple[Axis, ...], points: Coordinates, target: Ints | None = None
    ) -> None:
        chunk = np.stack(
            [axis.chunk_of(i) for axis, i in zip(grid, points.axes, strict=True)], axis=1
        )
        start = np.stack([axis.start(c) for axis, c in zip(grid, chunk.T, strict=True)], axis=1)
        self._coords, group = distinct(chunk)
        order = np.argsort(group, kind="stable")
        self._target = order if target is None else target[order]
        self._local = (np.stack(points.axes, axis=1) - start)[order]
        self._starts = np.searchsorted(group[order], np.arange(len(self._coords) + 1))
        self.count = len(self._coords)

    def coords(self, rows: Ints) -> Ints:
        return self._coords[rows]

    def placement(self, rows: Ints) -> Points:
        slots = np.arange(len(rows), dtype=np.int64)
        starts, stops = self._starts[rows], self._starts[rows + 1]
        return Points(slots, starts, stops, self._local, self._target)

    def covers(self, rows: Ints, beyond: bool) -> NDArray[np.bool_]:
        return covers_nothing(rows, beyond)


def distinct(coords: Ints) -> tuple[Ints, Ints]:
    """The distinct rows of ``[n, ndim]`` in C order, and for each row its number among them."""
    counts = (coords.max(axis=0) + 1).tolist() if len(coords) else []
    if math.prod(counts) >= 2**62:
        found, number = np.unique(coords, axis=0, return_inverse=True)
        return found, number.reshape(-1)
    flat = np.zeros(len(coords), np.int64)
    for axis, count in enumerate(counts):
        flat = flat * count + coords[:, axis]
    _, at, number = np.unique(flat, return_index=True, return_inverse=True)
    return coords[at], number


@dataclass(frozen=True)
class ReadPlan:
    """The chunks of one read, before anything is known of the store.

    `order` has the rows in the order in which they are read; waves do not cross the bounds in
    `cuts` where `strict`, and avoid it elsewhere; with `whole` they are never smaller than what
    stands between two bounds.
    """

    spec: Spec
    parts: Parts
    order: Ints
    cuts: Ints
    strict: bool
    whole: bool = False

    @property
    def count(self) -> int:
        """Number of innermost chunks."""
        return len(self.order)

    @property
    def nbytes(self) -> int:
        """Decoded size of all these chunks, in bytes."""
        if self.spec.is_regular:
            return self.count * math.prod(self.spec.chunk_shape) * self.spec.dtype.itemsize
        elements = _shapes(self.spec, self.parts.coords(self.order)).prod(axis=1).sum()
        return int(elements) * self.spec.dtype.itemsize

    def waves(self, per_wave: int) -> list[tuple[int, int]]:
        """Ranges of `order`, each of at most `per_wave` chunks."""
        ranges: list[tuple[int, int]] = []
        bounds = self.cuts.tolist()
        for start, stop in pairwise(bounds):
            if not self.strict and ranges and stop - ranges[-1][0] <= per_wave:
                ranges[-1] = (ranges[-1][0], stop)
                continue
            step = stop - start if self.whole else per_wave
            ranges += [(a, min(a + step, stop)) for a in range(start, stop, step)]
        return ranges


def plan_write(spec: Spec, parts: Parts) -> ReadPlan:
    """Order the chunks of a selection for writing: as for reading, but no wave cuts a shard."""
    plan = plan_read(spec, parts)
    return replace(plan, whole=bool(spec.levels))


def plan_read(spec: Spec, parts: Parts) -> ReadPlan:
    """Order the chunks of a selection for reading: shard by shard, or shape by shape."""
    rows = np.arange(parts.count, dtype=np.int64)
    if spec.levels and parts.count:
        group = distinct(parts.coords(rows) // np.array(spec.chunks_per_outer, np.int64))[1]
        strict = False
    elif not spec.is_regular and parts.count:
        group = distinct(_shapes(spec, parts.coords(rows)))[1]
        strict = True
    else:
        return ReadPlan(spec, parts, rows, np.array([0, parts.count]), False)
    order = np.argsort(group, kind="stable")
    cuts = np.flatnonzero(np.diff(group[order])) + 1
    return ReadPlan(spec, parts, order, np.concatenate([[0], cuts, [len(order)]]), strict)


def _shapes(spec: Spec, coords: Ints) -> Ints:
    return np.stack([a.extent(c) for a, c in zip(spec.grid, coords.T, strict=True)], axis=1)


def chunk_shape(spec: Spec, coords: Ints) -> tuple[int, ...]:
    """Encoded shape of a chunk, from its grid coordinates ``[ndim]``."""
    if spec.is_regular:
        return spec.chunk_shape
    return tuple(int(axis.extent(coords[a : a + 1])[0]) for a, axis in enumerate(spec.grid))
