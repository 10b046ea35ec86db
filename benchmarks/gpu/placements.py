"""Placements that each want one kernel of place.cu: square tiles of a plane, in several ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import isqrt
from typing import Any

import numpy as np

from benchmarks.gpu.cells import Bench
from gpuzarr.batch import Batch
from gpuzarr.place import AxisLists, Boxes, Grid, Layout, Placement, Points


@dataclass
class Placed:
    """A placement that can be run, and whether it came out right; `lists` in bytes."""

    run: Callable[[], None]
    is_right: Callable[[], bool]
    nbytes: int
    lists: int = 0


@dataclass
class _Tiles:
    """``[n, side, width]`` on both sides, and how many of them stand in a row of the plane."""

    host: np.ndarray
    batch: Batch
    across: int

    @classmethod
    def of(cls, bench: Bench, dtype: str) -> _Tiles:
        scale, kind = bench.scale, np.dtype(dtype)
        side, across = isqrt(scale.stream // 4), 1 << isqrt(scale.streams).bit_length() - 1
        shape = (scale.unique, side, scale.stream // side // kind.itemsize)
        rng = np.random.default_rng(9)
        unique = rng.integers(0, 256, scale.unique * scale.stream, np.uint8).view(kind)
        host = np.resize(unique.reshape(shape), (scale.streams, *shape[1:]))
        arena = bench.machine.device.to_device(host)
        return cls(host, Batch.uniform(arena, scale.streams, scale.stream), across)

    @property
    def shape(self) -> tuple[int, int]:
        return self.host.shape[1], self.host.shape[2]

    @property
    def numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of each tile in the plane."""
        rows, columns = np.divmod(np.arange(len(self.host)), self.across)
        return rows, columns

    def plane(self, tiles: np.ndarray) -> np.ndarray:
        """Tiles side by side."""
        count, side, width = tiles.shape
        grid = tiles.reshape(count // self.across, self.across, side, width)
        return grid.transpose(0, 2, 1, 3).reshape(-1, self.across * width)

    def boxes(self, origin: int = 0) -> Boxes:
        """Each tile whole, its columns from `origin` on."""
        count, (side, width) = len(self.host), self.shape
        rows, columns = self.numbers
        target = np.stack([rows * side, origin + columns * width], axis=1)
        whole = np.tile(np.array(self.shape, np.int64), (count, 1))
        return Boxes(np.arange(count), np.zeros_like(whole), whole, target, np.ones(2, np.int64))


def _placed(
    bench: Bench,
    tiles: _Tiles,
    layout: Layout,
    placement: Placement,
    wanted: np.ndarray,
    part: Any = ...,
) -> Placed:
    machine, device = bench.machine, bench.machine.device
    shape = wanted.shape
    if part is not ...:
        shape = (shape[0], shape[1] + part[1].start)
    target = device.new_result(shape, layout.dtype)
    run = partial(device.place, target, tiles.batch, layout, placement, None)

    def is_right() -> bool:
        bits = f"u{layout.dtype.itemsize}"
        found = machine.host(target)[part]
        return np.array_equal(np.ascontiguousarray(found).view(bits), wanted.view(bits))

    return Placed(run, is_right, wanted.nbytes)


def boxes(bench: Bench) -> Placed:
    """Aligned tiles: 16 bytes at a time."""
    tiles = _Tiles.of(bench, "f4")
    layout = Layout.plain(np.dtype("f4"), tiles.shape)
    return _placed(bench, tiles, layout, tiles.boxes(), tiles.plane(tiles.host))


def rows(bench: Bench) -> Placed:
    """Long rows of bytes that start anywhere."""
    tiles = _Tiles.of(bench, "u1")
    layout = Layout.plain(np.dtype("u1"), tiles.shape)
    part = (slice(None), slice(1, None))
    return _placed(bench, tiles, layout, tiles.boxes(1), tiles.plane(tiles.host), part)


def transposed(bench: Bench) -> Placed:
    """Chunks in F order."""
    tiles = _Tiles.of(bench, "f4")
    layout = Layout.plain(np.dtype("f4"), tiles.shape, "F")
    wanted = tiles.plane(tiles.host.transpose(0, 2, 1))
    return _placed(bench, tiles, layout, tiles.boxes(), wanted)


def lists(bench: Bench) -> Placed:
    """The rows of each tile in another order."""
    tiles, rng = _Tiles.of(bench, "f4"), np.random.default_rng(3)
    order = rng.permutation(tiles.shape[0])
    numbers = tiles.numbers
    ways = (order, np.arange(tiles.shape[1]))
    axes = tuple(
        AxisLists(
            np.arange(number.max() + 2) * len(local),
            np.tile(local, number.max() + 1),
            np.arange((number.max() + 1) * len(local)),
        )
        for local, number in zip(ways, numbers, strict=True)
    )
    grid = Grid(np.arange(len(tiles.host)), np.stack(numbers, axis=1), axes)
    layout = Layout.plain(np.dtype("f4"), tiles.shape)
    return _placed(bench, tiles, layout, grid, tiles.plane(tiles.host[:, order]))


def points(bench: Bench) -> Placed:
    """Single elements from anywhere, a 32nd of all, in the order of the chunks."""
    tiles, rng = _Tiles.of(bench, "f4"), np.random.default_rng(4)
    count, (side, width) = len(tiles.host), tiles.shape
    each = side * width // 32
    starts = np.arange(count) * each
    at = rng.integers(0, side * width, count * each)
    local = np.stack(np.divmod(at, width), axis=1)
    placement = Points(np.arange(count), starts, starts + each, local, np.arange(len(at)))
    slots = np.repeat(np.arange(count), each)
    wanted = np.ascontiguousarray(tiles.host.reshape(count, -1)[slots, at])
    layout = Layout.plain(np.dtype("f4"), tiles.shape)
    found = _placed(bench, tiles, layout, placement, wanted)
    found.lists = 16 * len(at)
    return found
