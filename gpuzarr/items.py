"""What zarr-python hands to a codec pipeline, as a plan.

The question: a call brings items, each a stored object with a part of it and the place of that
part in a result. The way: the objects are taken for one array, laid one behind the other along
its first axis, so that planning, locating and placing need not know where they came from. The
result: an `ItemPlan`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from zarr.codecs._v2 import V2Codec
from zarr.core.array_spec import ArraySpec

from gpuzarr.axis import Axis
from gpuzarr.place import AxisLists, Boxes, Grid
from gpuzarr.plan import PointParts, WriteParts, box_table, covers_nothing, gather_tables
from gpuzarr.selection import Coordinates
from gpuzarr.spec import ShardLevel, Spec, unwrap_shards, v2_configs, v3_configs

Ints = NDArray[np.int64]
Item = tuple[Any, ArraySpec, Any, Any, bool]
"""Byte getter, spec, selection in the stored object, selection in the result, whether whole."""


@dataclass(frozen=True)
class ItemPlan:
    """Items of one spec.

    Attributes
    ----------
    spec, parts
        Of the array that the items' objects are taken for.
    dropped
        Axes that the result lacks.
    shape
        Of the result with these axes, as far as the items reach.
    """

    spec: Spec
    parts: WriteParts
    dropped: frozenset[int]
    shape: tuple[int, ...]

    def view(self, result: Any) -> Any:
        """A result with one axis per axis of the objects."""
        if not self.dropped:
            return result
        ndim = len(self.spec.shape)
        return result[tuple(None if a in self.dropped else slice(None) for a in range(ndim))]

    def kept(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """This shape without the axes that the result lacks."""
        return tuple(n for axis, n in enumerate(shape) if axis not in self.dropped)


def object_spec(codecs: Sequence[Any], given: ArraySpec) -> Spec:
    """The `Spec` of one stored object, from evolved codecs and zarr's spec of it."""
    levels: tuple[ShardLevel, ...] = ()
    order: Literal["C", "F"] = "C"
    inner, zarr_format = None, 3
    if len(codecs) == 1 and type(codecs[0]) is V2Codec:
        configs = v2_configs(codecs[0].filters, codecs[0].compressor)
        zarr_format, order = 2, given.order
    else:
        levels, instances, inner = unwrap_shards(codecs, given.shape)
        configs = v3_configs(instances)
    outer = tuple(Axis(n, n) for n in given.shape)
    grid = tuple(Axis(n, size) for n, size in zip(given.shape, inner or given.shape, strict=True))
    return Spec(
        "", "", zarr_format, given.shape, given.dtype, given.fill_value, grid, outer, levels,
        configs, order, lambda coords: [],
    )  # fmt: skip


def plan_items(one: Spec, items: Sequence[Item], drop_axes: tuple[int, ...]) -> ItemPlan:
    """The items, all of the shape of the stored object `one`, as a plan."""
    spec, ndim, (_, _, selected, placed, _) = _stacked(one, items), len(one.shape), items[0]
    if ndim and not isinstance(placed, tuple):
        return _points(spec, one, items)
    dropped = frozenset(drop_axes or (a for a, s in enumerate(selected) if np.isscalar(s)))
    parts: ItemBoxes | ItemLists
    try:
        parts = ItemBoxes(one, items, dropped)
    except (AttributeError, TypeError):
        parts = ItemLists(one, items, dropped)
    return ItemPlan(spec, parts, dropped, parts.shape)


def _stacked(one: Spec, items: Sequence[Item]) -> Spec:
    """The array that the objects are taken for."""
    paths, count = [item[0].path for item in items], len(items)
    path = array_path(paths[0])
    store = "" if path else str(items[0][0].store)

    def longer(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        return (Axis(count * axes[0].length, axes[0].size), *axes[1:]) if axes else ()

    return replace(
        one, path=path, store=store, shape=tuple(axis.length for axis in longer(one.outer)),
        grid=longer(one.grid), outer=longer(one.outer),
        key_of=lambda coords: [paths[c[0]] if c else paths[0] for c in coords],
    )  # fmt: skip


def array_path(key: str) -> str:
    """The path of the array that a chunk's key belongs to, as far as the key tells."""
    return re.sub(r"(^|/)(c/)?\d+([./]\d+)*$|(^|/)c$", "", key)


class ItemBoxes:
    """Parts of items that are slices and integers."""

    def __init__(self, one: Spec, items: Sequence[Item], dropped: frozenset[int]) -> None:
        count, ndim = len(items), len(one.shape)
        start, stop, step = _slices(items, ndim, dropped)
        if (step != step[:1]).any() or (step < 1).any():
            raise TypeError("steps differ from item to item")
        self._step = step[0]
        number = (stop - start + self._step - 1) // self._step
        target = _starts(items, ndim, dropped)
        self.shape = tuple((target[:, target.shape[1] - ndim :] + number).max(axis=0).tolist())
        self._whole = np.array([item[4] for item in items], bool)
        self._inner = np.array(one.chunk_shape, np.int64) if one.levels else None
        if self._inner is None:
            coords = np.zeros((count, ndim), np.int64)
            coords[:, :1] = np.arange(count)[:, None]
            self._coords, self._source, self._count, self._target = coords, start, number, target
        else:
            self._split(one, start, number, target)
        self.count = len(self._coords)

    def _split(self, one: Spec, start: Ints, number: Ints, target: Ints) -> None:
        """Each shard's part to parts of its inner chunks."""
        pieces: list[tuple[Ints, ...]] = []
        tables: dict[tuple[int, ...], Ints] = {}
        per_outer = np.array(one.chunks_per_outer, np.int64)
        for item, key in enumerate(np.concatenate([start, number], axis=1).tolist()):
            found = tables.get(tuple(key))
            if found is None:
                found = tables[tuple(key)] = self._within(one, start[item], number[item])
            coords, source, count, within = found
            first = np.zeros_like(coords[:1])
            first[:, :1] = item * per_outer[:1]
            pieces.append((coords + first, source, count, within + target[item]))
        self._coords, self._source, self._count, self._target = (
            np.concatenate(column) for column in zip(*pieces, strict=True)
        )

    def _within(self, one: Spec, start: Ints, number: Ints) -> Ints:
        """Chunk, source, count and target of a part of one shard, ``[4, n, ndim]``."""
        ranges = zip(one.grid, start.tolist(), number.tolist(), self._step.tolist(), strict=True)
        tables = [box_table(*range_) for range_ in ranges]
        rows = np.arange(math.prod(table.shape[1] for table in tables))
        return gather_tables(tables, rows, 4)

    def coords(self, rows: Ints) -> Ints:
        return self._coords[rows]

    def placement(self, rows: Ints) -> Boxes:
        slots = np.arange(len(rows), dtype=np.int64)
        return Boxes(slots, self._source[rows], self._count[rows], self._target[rows], self._step)

    def covers(self, rows: Ints, beyond: bool) -> NDArray[np.bool_]:
        if self._inner is None:
            return self._whole[rows]
        whole: NDArray[np.bool_] = (self._count[rows] == self._inner).all(axis=1)
        return whole


def _slices(items: Sequence[Item], ndim: int, dropped: frozenset[int]) -> Ints:
    """Start, stop and step of each item's selection, ``[3, n, ndim]``."""
    if dropped:
        flat = [
            v
            for item in items
            for s in item[2]
            for v in ((s, s + 1, 1) if isinstance(s, int) else (s.start, s.stop, s.step))
        ]
    else:
        flat = [v for item in items for s in item[2] for v in (s.start, s.stop, s.step)]
    return np.array(flat, np.int64).reshape(len(items), ndim, 3).transpose(2, 0, 1)


def _starts(items: Sequence[Item], ndim: int, dropped: frozenset[int]) -> Ints:
    """Where each item's part begins in the result, ``[n, ndim]``."""
    if not ndim and not isinstance(items[0][3], tuple):
        return np.array([[item[3].start] for item in items], np.int64)
    kept = np.array([s.start for item in items for s in item[3]], np.int64)
    if not dropped:
        return kept.reshape(len(items), ndim)
    starts = np.zeros((len(items), ndim), np.int64)
    starts[:, [a for a in range(ndim) if a not in dropped]] = kept.reshape(len(items), -1)
    return starts


class ItemLists:
    """Parts of items that are outer products of index lists."""

    def __init__(self, one: Spec, items: Sequence[Item], dropped: frozenset[int]) -> None:
        ndim, shape = len(one.shape), [0] * len(one.shape)
        per_outer = one.chunks_per_outer
        lists: list[list[tuple[Ints, Ints]]] = [[] for _ in range(ndim)]
        numbers, coords = [], []
        for number, item in enumerate(items):
            tables = []
            for axis, (local, target) in enumerate(_pairs(item, one.shape, dropped)):
                shape[axis] = max(shape[axis], int(target.max(initial=-1)) + 1)
                first = number * per_outer[0] if axis == 0 else 0
                parts = _by_chunk(local, target, one.grid[axis].size)
                at = len(lists[axis]) + np.arange(len(parts))
                lists[axis] += [(inside, into) for _, inside, into in parts]
                tables.append(np.stack([np.array([first + c for c, *_ in parts], np.int64), at]))
            rows = np.arange(math.prod(table.shape[1] for table in tables))
            chunk, at = gather_tables(tables, rows, 2)
            coords.append(chunk)
            numbers.append(at)
        self._coords, self._lists = np.concatenate(coords), np.concatenate(numbers)
        self._axes = tuple(_joined(parts) for parts in lists)
        self.shape = tuple(shape)
        self.count = len(self._coords)

    def coords(self, rows: Ints) -> Ints:
        return self._coords[rows]

    def placement(self, rows: Ints) -> Grid:
        return Grid(np.arange(len(rows), dtype=np.int64), self._lists[rows], self._axes)

    def covers(self, rows: Ints, beyond: bool) -> NDArray[np.bool_]:
        return covers_nothing(rows, beyond)


def _pairs(item: Item, shape: tuple[int, ...], dropped: frozenset[int]) -> list[tuple[Ints, Ints]]:
    """Indexes in the object and in the result, per axis."""
    pairs, kept = [], iter(item[3])
    for axis, (selected, length) in enumerate(zip(item[2], shape, strict=True)):
        local = _indexes(selected, 0, length)
        placed = 0 if axis in dropped else next(kept)
        pairs.append((local, _indexes(placed, len(local), None)))
    return pairs


def _indexes(selected: Any, count: int, length: int | None) -> Ints:
    if isinstance(selected, slice):
        if length is None:
            first = selected.start or 0
            return np.arange(first, first + count, dtype=np.int64)
        return np.arange(*selected.indices(length), dtype=np.int64)
    indexes = np.asarray(selected).reshape(-1)
    return np.flatnonzero(indexes) if indexes.dtype == bool else indexes.astype(np.int64)


def _by_chunk(local: Ints, target: Ints, size: int) -> list[tuple[int, Ints, Ints]]:
    """Chunk, indexes in it and in the result, for each chunk that the indexes need."""
    chunk = local // size
    order = np.argsort(chunk, kind="stable")
    found, starts = np.unique(chunk[order], return_index=True)
    parts = np.split(order, starts[1:])
    return [
        (int(c), local[part] - c * size, target[part])
        for c, part in zip(found.tolist(), parts, strict=True)
    ]


def _joined(parts: list[tuple[Ints, Ints]]) -> AxisLists:
    starts = np.cumsum([0, *(len(local) for local, _ in parts)])
    return AxisLists(
        starts,
        np.concatenate([local for local, _ in parts]),
        np.concatenate([target for _, target in parts]),
    )


def _points(spec: Spec, one: Spec, items: Sequence[Item]) -> ItemPlan:
    """Parts of items that are single elements."""
    ndim = len(one.shape)
    locals_, targets = [], []
    for number, item in enumerate(items):
        local = np.stack(np.broadcast_arrays(*(np.asarray(s).reshape(-1) for s in item[2])))
        local[0] += number * one.shape[0]
        locals_.append(local)
        targets.append(_indexes(item[3], local.shape[1], None))
    axes, target = np.concatenate(locals_, axis=1), np.concatenate(targets)
    parts = PointParts(spec.grid, Coordinates(tuple(axes[a] for a in range(ndim))), target)
    return ItemPlan(spec, parts, frozenset(), (int(target.max(initial=-1)) + 1,))
