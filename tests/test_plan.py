"""Plans: which chunks a selection needs, and where each lands; against counting element by element.

That the result is right is shown end to end in test_properties; here is what the values can't
show: that no chunk is planned in vain or twice, in which order, and at what cost.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import strategies as some
import zarr
from hypothesis import given

from gpuzarr.axis import Axis
from gpuzarr.metadata import read_spec
from gpuzarr.place import Boxes, Grid, Points
from gpuzarr.plan import ReadPlan, parts_of, plan_read
from gpuzarr.selection import Selection, basic, coordinates, orthogonal
from gpuzarr.spec import Spec

GRID_SHAPES = st.lists(st.integers(1, 12), min_size=1, max_size=3).map(tuple)


@st.composite
def grids(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[Axis, ...]:
    """Regular and irregular axes, side by side."""
    axes = []
    for length in shape:
        if draw(st.booleans()):
            axes.append(Axis(length, draw(st.integers(1, length + 2))))
        else:
            bounds = np.cumsum([0, *draw(some.edges(length))])
            axes.append(Axis(length, edges=bounds.astype(np.int64)))
    return tuple(axes)


def chunk_numbers(axis: Axis) -> np.ndarray:
    """For each index of an axis its chunk, by counting."""
    if axis.edges is not None:
        return np.repeat(np.arange(len(axis.edges) - 1), np.diff(axis.edges))[: axis.length]
    return np.arange(axis.length) // axis.size


@st.composite
def selections(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[Selection, np.ndarray]:
    """A selection of any kind, and the numbers of its elements by NumPy."""
    numbers = np.arange(np.prod(shape)).reshape(shape)
    kind = draw(st.sampled_from(["basic", "orthogonal", "pointwise"]))
    if kind == "basic":
        key = draw(some.basic_keys(shape))
        return basic(key, shape), np.asarray(numbers[key])
    if kind == "orthogonal":
        key, oracle = draw(some.orthogonal_keys(shape))
        return orthogonal(key, shape), oracle(numbers)
    key = draw(some.pointwise_keys(shape))
    return coordinates(key, shape), np.asarray(numbers[key])


@given(data=st.data(), shape=GRID_SHAPES)
def test_a_plan_has_exactly_the_chunks_that_hold_something(
    data: st.DataObject, shape: tuple[int, ...]
) -> None:
    """Each once, in C order of the grid."""
    grid = data.draw(grids(shape))
    selection, elements = data.draw(selections(shape))
    parts = parts_of(grid, selection.what)
    coords = np.unravel_index(elements.reshape(-1), shape)
    held = {
        tuple(chunk)
        for chunk in zip(
            *(chunk_numbers(a)[c].tolist() for a, c in zip(grid, coords, strict=True)), strict=True
        )
    }
    assert list(map(tuple, parts.coords(np.arange(parts.count)).tolist())) == sorted(held)


IRREGULAR = np.array([0, 4, 5, 6, 10, 11, 15])


@pytest.mark.parametrize("axis", [Axis(12, 1), Axis(12, 3), Axis(12, 5), Axis(12, edges=IRREGULAR)])
def test_every_slice_has_the_chunks_that_hold_something(axis: Axis) -> None:
    for bounds in itertools.product(range(13), range(13), range(1, 13)):
        picked = range(12)[slice(*bounds)]
        parts = parts_of((axis,), basic(slice(*bounds), (12,)).what)
        rows = np.arange(parts.count)
        held = chunk_numbers(axis)[list(picked)]
        assert parts.coords(rows)[:, 0].tolist() == sorted(set(held.tolist()))
        placement = parts.placement(rows)
        numbers = np.flatnonzero(np.diff(held, prepend=-1))
        assert placement.target[:, 0].tolist() == numbers.tolist()
        assert placement.count[:, 0].tolist() == np.diff(numbers, append=len(picked)).tolist()


@given(data=st.data(), shape=GRID_SHAPES)
def test_the_parts_of_all_chunks_fill_the_result_once(
    data: st.DataObject, shape: tuple[int, ...]
) -> None:
    """Whatever rows a wave takes: the counts of its placement add up to the result's size."""
    grid = data.draw(grids(shape))
    selection, elements = data.draw(selections(shape))
    parts, placed = parts_of(grid, selection.what), 0
    rows = data.draw(st.permutations(range(parts.count)))
    cut = data.draw(st.integers(0, parts.count))
    for wave in (rows[:cut], rows[cut:]):
        placement = parts.placement(np.array(wave, np.int64))
        assert sorted(set(placement.slots.tolist())) == list(range(len(wave)))
        if isinstance(placement, Boxes):
            placed += int(placement.count.prod(axis=1).sum())
        elif isinstance(placement, Points):
            placed += int((placement.stops - placement.starts).sum())
        else:
            assert isinstance(placement, Grid)
            sizes = [
                np.diff(axis.starts)[n]
                for axis, n in zip(placement.axes, placement.lists.T, strict=True)
            ]
            placed += int(np.prod(sizes, axis=0).sum()) if len(wave) else 0
    assert placed == elements.size


# Order and waves --------------------------------------------------------------------------------


def spec_of(shape: Any, chunks: Any, **arguments: Any) -> Spec:
    with zarr.config.set({"array.rectilinear_chunks": True}):
        return read_spec(
            zarr.create_array({}, shape=shape, chunks=chunks, dtype="i2", **arguments).metadata
        )


def plan_of(spec: Spec, key: Any = ...) -> ReadPlan:
    return plan_read(spec, parts_of(spec.grid, basic(key, spec.shape).what))


def test_a_sharded_read_goes_shard_by_shard() -> None:
    """A row of the grid crosses all shards of that row; each is still visited once."""
    spec = spec_of((8, 8), (1, 1), shards=(4, 4))
    plan = plan_of(spec)
    shards = (plan.parts.coords(plan.order) // 4).tolist()
    assert [s for n, s in enumerate(shards) if n == 0 or s != shards[n - 1]] == [
        [0, 0], [0, 1], [1, 0], [1, 1],
    ]  # fmt: skip
    assert plan.cuts.tolist() == [0, 16, 32, 48, 64]
    assert plan.nbytes == 8 * 8 * 2


def test_a_wave_holds_whole_shards_where_they_fit() -> None:
    plan = plan_of(spec_of((8, 8), (1, 1), shards=(4, 4)))
    assert plan.waves(100) == [(0, 64)]
    assert plan.waves(32) == [(0, 32), (32, 64)]
    assert plan.waves(30) == [(0, 16), (16, 32), (32, 48), (48, 64)]
    assert plan.waves(10) == [
        (a, min(a + 10, b)) for b in (16, 32, 48, 64) for a in (b - 16, b - 6)
    ]


def test_a_wave_of_an_irregular_grid_has_chunks_of_one_shape() -> None:
    spec = spec_of((7, 4), [[2, 3, 2], [1, 3]])
    plan = plan_of(spec)
    coords = plan.parts.coords(plan.order).tolist()
    for first, last in plan.waves(100):
        shapes = {((2, 3, 2)[r], (1, 3)[c]) for r, c in coords[first:last]}
        assert len(shapes) == 1
    assert [last - first for first, last in plan.waves(100)] == [2, 2, 1, 1]
    assert sorted(map(tuple, coords)) == [(r, c) for r in range(3) for c in range(2)]
    assert plan.nbytes == 7 * 4 * 2


def test_waves_cover_everything_once() -> None:
    for spec in (spec_of(50, 3), spec_of(50, 1, shards=7), spec_of(6, [[1, 2, 1, 2]])):
        plan = plan_of(spec)
        for per_wave in (1, 2, 5, 1000):
            ranges = plan.waves(per_wave)
            assert [a for a, _ in ranges] == [0, *(b for _, b in ranges[:-1])]
            assert ranges[-1][1] == plan.count
            assert max(b - a for a, b in ranges) <= per_wave


def test_a_selection_of_nothing_has_no_chunks() -> None:
    for spec in (spec_of((4, 4), (2, 2)), spec_of((4, 4), (1, 1), shards=(2, 2))):
        plan = plan_of(spec, (slice(2, 2), slice(None)))
        assert (plan.count, plan.nbytes, plan.waves(4)) == (0, 0, [])


# Cost -------------------------------------------------------------------------------------------


def calls(function: Callable[[], object]) -> int:
    """Calls of functions, in Python and in C, that this takes."""
    count = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


KEYS: dict[str, Callable[[int], Selection]] = {
    "a box": lambda n: basic((slice(3, n - 1), slice(None)), (n, 64)),
    "steps": lambda n: basic((slice(None, None, -9), slice(None)), (n, 64)),
    "index lists": lambda n: orthogonal((np.arange(0, n, 3), np.arange(64)), (n, 64)),
    "a mask": lambda n: coordinates(np.indices((n, 64)).sum(0) % 3 == 0, (n, 64)),
}


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("shards", [None, (16, 16)])
def test_planning_does_nothing_for_each_chunk(name: str, shards: Any) -> None:
    """Sixteen times the chunks take not one call more."""

    def plan(length: int) -> Callable[[], object]:
        spec = spec_of((length, 64), (4, 4), shards=shards)
        selection = KEYS[name](length)

        def work() -> None:
            found = plan_read(spec, parts_of(spec.grid, selection.what))
            assert found.count >= length // 16 * 4
            found.parts.coords(found.order)
            found.parts.placement(found.order)

        return work

    few, many = plan(256), plan(4096)
    few()
    many()
    assert calls(many) == calls(few) < 1000


def test_a_box_of_an_enormous_array_is_planned_at_once() -> None:
    spec = spec_of((10**15, 10**15), (10, 10))
    selection = basic((slice(5, 25), slice(10**14, 10**14 + 1)), spec.shape)
    plan = plan_read(spec, parts_of(spec.grid, selection.what))
    assert plan.parts.coords(plan.order).tolist() == [[r, 10**13] for r in range(3)]
    points = coordinates(([0, 10**15 - 1], [10**15 - 1, 0]), spec.shape)
    found = parts_of(spec.grid, points.what)
    assert found.coords(np.arange(2)).tolist() == [[0, 10**14 - 1], [10**14 - 1, 0]]
