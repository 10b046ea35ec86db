"""Gathering chunks from arrays, against assignments of NumPy's; test_placement.py has more."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from device.memory import like
from hypothesis import given
from hypothesis import strategies as st

from gpuzarr import device as devices
from gpuzarr.batch import Batch
from gpuzarr.device import Device
from gpuzarr.place import AxisLists, Boxes, Grid, Layout, Placement, Points

CPU = devices.get("cpu")
CHUNK = (3, 4, 5)
Ints = np.int64


def slots_of(
    layout: Layout, count: int, seed: int = 0, *, gap: int = 0, device: Device = CPU
) -> Batch:
    """Chunks with something in them, one behind the other or with a gap between."""
    rng, step = np.random.default_rng(seed), layout.size + gap
    if layout.on_host_only:
        arena: Any = rng.integers(0, 99, count * step).astype(str).astype(layout.dtype)
    else:
        memory = rng.integers(0, 99, count * layout.count).astype(layout.dtype).view(np.uint8)
        arena = np.zeros(count * step, np.uint8)
        arena.reshape(count, step)[:, : layout.size] = memory.reshape(count, -1)
    batch = Batch(arena, np.arange(count) * step, np.full(count, layout.size))
    return batch if device.is_host else replace(device.upload(batch), host=None)


def chunk(batch: Batch, layout: Layout, slot: int, device: Device = CPU) -> np.ndarray:
    """A copy of a chunk, with the axes of the Zarr array."""
    batch = device.download(batch)
    flat = batch.arena[batch.offsets[slot] : batch.offsets[slot] + layout.size].copy()
    flat = flat if layout.on_host_only else flat.view(layout.dtype)
    return flat.reshape(layout.shape).transpose(layout.axes).copy()


def assert_gathers(
    device: Device,
    value: Any,
    layout: Layout,
    placement: Placement,
    parts: list[tuple[int, Any, Any]],
    count: int,
) -> None:
    """The chunks are what ``chunk[source] = value[part]`` makes of them, row after row."""
    if layout.on_host_only and not device.is_host:
        pytest.skip("a device has no objects")
    held = value if device.is_host else like(device, value, layout.dtype.newbyteorder("="))
    for gap in (0, 0 if layout.on_host_only else 8):
        batch = slots_of(layout, count, gap=gap, device=device)
        expected = [chunk(batch, layout, slot, device) for slot in range(count)]
        for slot, source, part in parts:
            expected[slot][source] = value[part]
        device.gather(held, batch, layout, placement)
        for slot in range(count):
            np.testing.assert_array_equal(chunk(batch, layout, slot, device), expected[slot])


def lay_out(dtype: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Layout:
    """A layout whose chunks have this shape, with axes in this order in memory."""
    return Layout(np.dtype(dtype), tuple(shape[a] for a in np.argsort(axes)), axes)


LAYOUTS = [
    lay_out(dtype, CHUNK, axes)
    for dtype, axes in [
        ("<i4", (0, 1, 2)), (">f8", (2, 1, 0)), ("u1", (1, 2, 0)), (object, (0, 1, 2)),
        (np.dtypes.StringDType(), (2, 1, 0)), (">i2", (0, 1, 2)),
    ]
]  # fmt: skip


def forms(shape: tuple[int, ...], layout: Layout) -> dict[str, np.ndarray]:
    """Values of one shape with memory of every kind."""
    rng = np.random.default_rng(1)
    plain = rng.integers(0, 99, shape)
    if layout.on_host_only:
        plain = plain.astype(str).astype(object)
    backwards = plain[(slice(None, None, -1),) * len(shape)].copy()
    found = {
        "C order": plain,
        "F order": np.asfortranarray(plain),
        "negative strides": backwards[(slice(None, None, -1),) * len(shape)],
        "one value": np.broadcast_to(plain.reshape(-1)[0], shape),
        "one row": np.broadcast_to(plain[(0,) * (len(shape) - 1)], shape),
    }
    if not layout.on_host_only:
        found["big-endian"] = plain.astype(">i8")
        found["floats"] = plain.astype("<f4")
    for value in found.values():
        value.flags.writeable = False
    return found


def ints(rows: Any) -> np.ndarray:
    return np.array(rows, Ints)


def grid_of_chunks(counts: tuple[int, ...], last: tuple[int, ...]) -> tuple[Boxes, list[Any]]:
    """All chunks of an array, of which the last ones are covered up to `last`."""
    rows, parts = [], []
    for slot, at in enumerate(itertools.product(*map(range, counts))):
        count = [n if i == k - 1 else c for i, k, n, c in zip(at, counts, last, CHUNK, strict=True)]
        target = [i * c for i, c in zip(at, CHUNK, strict=True)]
        rows.append((slot, [0, 0, 0], count, target))
        source = tuple(slice(0, n) for n in count)
        part = tuple(slice(t, t + n) for t, n in zip(target, count, strict=True))
        parts.append((slot, source, part))
    slots, source, count, target = (ints(column) for column in zip(*rows, strict=True))
    return Boxes(slots, source, count, target, ints([1, 1, 1])), parts


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("last", [CHUNK, (1, 4, 5), (3, 4, 2)])
def test_whole_chunks_are_gathered_from_memory_of_any_kind(
    device: Device, layout: Layout, last: tuple[int, ...]
) -> None:
    """Neighbours along the last axis go in one copy."""
    boxes, parts = grid_of_chunks((2, 2, 3), last)
    shape = tuple(1 * c + n for c, n in zip(CHUNK, last, strict=True))
    shape = (*shape[:-1], shape[-1] + CHUNK[-1])
    for value in forms(shape, layout).values():
        assert_gathers(device, value, layout, boxes, parts, 12)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_boxes_with_steps_and_axes_in_front_are_gathered(device: Device, layout: Layout) -> None:
    boxes = Boxes(
        ints([2, 0]), ints([[0, 1, 1], [2, 0, 4]]), ints([[2, 3, 2], [1, 2, 1]]),
        ints([[1, 0, 1, 0], [0, 2, 1, 3]]), ints([2, 1, 3]),
    )  # fmt: skip
    parts = [
        (2, np.s_[0:3:2, 1:4, 1:5:3], np.s_[1, 0:2, 1:4, 0:2]),
        (0, np.s_[2:3, 0:2, 4:5], np.s_[0, 2:3, 1:3, 3:4]),
    ]
    for value in forms((2, 3, 4, 5), layout).values():
        assert_gathers(device, value, layout, boxes, parts, 3)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_lists_are_gathered_and_the_last_of_equal_indexes_stays(
    device: Device, layout: Layout
) -> None:
    axes = (
        AxisLists(ints([0, 3, 5]), ints([2, 2, 0, 1, 1]), ints([0, 2, 4, 1, 3])),
        AxisLists(ints([0, 2]), ints([3, 3]), ints([1, 0])),
        AxisLists(ints([0, 0, 3]), ints([4, 4, 0]), ints([2, 0, 1])),
    )
    grid = Grid(ints([1, 0]), ints([[0, 0, 1], [1, 0, 1]]), axes)
    rows = [(1, [2, 2, 0], [0, 2, 4]), (0, [1, 1], [1, 3])]
    for value in forms((5, 2, 3), layout).values():
        parts = []
        for slot, local, target in rows:
            pairs = itertools.product(
                zip(local, target, strict=True), [(3, 1), (3, 0)], [(4, 2), (4, 0), (0, 1)]
            )
            for pair in pairs:  # element by element, in C order
                source, part = zip(*pair, strict=True)
                parts.append((slot, source, part))
        assert_gathers(device, value, layout, grid, parts, 2)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_points_are_gathered_and_the_last_of_equal_ones_stays(
    device: Device, layout: Layout
) -> None:
    local = ints([[0, 1, 2], [0, 1, 2], [2, 3, 4], [1, 1, 1]])
    target = ints([5, 0, 3, 1])
    points = Points(ints([1, 0]), ints([0, 3]), ints([3, 4]), local, target)
    parts = [
        (slot, tuple(local[n].tolist()), int(target[n]))
        for slot, n in [(1, 0), (1, 1), (1, 2), (0, 3)]
    ]
    for value in forms((6,), layout).values():
        assert_gathers(device, value, layout, points, parts, 2)
    for value in forms((2, 3), layout).values():
        if device.is_host:
            assert_gathers(device, value.flat, layout, points, parts, 2)


@pytest.mark.parametrize("dtype", ["<i4", object])
def test_a_chunk_without_axes_is_gathered(device: Device, dtype: Any) -> None:
    layout, nothing = Layout.plain(np.dtype(dtype), ()), np.zeros((1, 0), Ints)
    boxes = Boxes(ints([0]), nothing, nothing, nothing, np.zeros(0, Ints))
    assert_gathers(device, np.array(7, dtype), layout, boxes, [(0, (), ())], 1)
    crops = Boxes(ints([1, 0]), nothing.repeat(2, 0), nothing.repeat(2, 0), ints([[2], [0]]),
                  np.zeros(0, Ints))  # fmt: skip
    parts = [(1, (), 2), (0, (), 0)]
    assert_gathers(device, np.array([7, 8, 9], dtype), layout, crops, parts, 2)


def test_one_field_of_records_is_gathered() -> None:
    dtype = np.dtype([("a", "<i2"), ("b", ">f4"), ("c", "u1")])
    layout, boxes = Layout.plain(dtype, (2, 3)), Boxes(
        ints([1]), ints([[0, 1]]), ints([[2, 2]]), ints([[0, 0]]), ints([1, 1])
    )  # fmt: skip
    value = np.array([[1.5, 2.5], [3.5, 4.5]])
    arena = np.random.default_rng(0).integers(0, 255, 2 * layout.size, np.uint8)
    batch = Batch.uniform(arena, 2, layout.size)
    expected = arena.view(dtype).reshape(2, 2, 3).copy()
    expected["b"][1, :, 1:] = value
    CPU.gather(value, batch, layout, boxes, "b")
    assert arena.tobytes() == expected.tobytes()


@given(st.data())
def test_gathering_is_what_placing_undoes(data: st.DataObject) -> None:
    """Parts of chunks of any layout, into an array and back, leave the rest as it was."""
    ndim = data.draw(st.integers(1, 3))
    shape = tuple(data.draw(st.integers(1, 4)) for _ in range(ndim))
    counts = tuple(data.draw(st.integers(1, 3)) for _ in range(ndim))
    axes = tuple(data.draw(st.permutations(range(ndim))))
    layout = lay_out(data.draw(st.sampled_from(["<i4", ">f4", "u1"])), shape, axes)
    lengths = [c * n for c, n in zip(shape, counts, strict=True)]
    value = np.random.default_rng(0).integers(0, 99, lengths).astype("<i2")
    value = np.array(value, order=data.draw(st.sampled_from("CF")))
    rows = [*itertools.product(*map(range, counts))]
    most = data.draw(st.sampled_from([0, 3]))  # with 0 all are whole chunks
    starts = [tuple(data.draw(st.integers(0, min(most, c - 1))) for c in shape) for _ in rows]
    source, target = ints(starts), ints(rows) * ints(shape)
    boxes = Boxes(np.arange(len(rows)), source, ints(shape) - source, target + source,
                  np.ones(ndim, Ints))  # fmt: skip
    parts = []
    for slot, (first, at) in enumerate(zip(starts, target.tolist(), strict=True)):
        inside = tuple(slice(f, None) for f in first)
        outside = tuple(slice(t + f, t + c) for t, f, c in zip(at, first, shape, strict=True))
        parts.append((slot, inside, outside))
    assert_gathers(CPU, value, layout, boxes, parts, len(rows))
    batch = slots_of(layout, len(rows))
    CPU.gather(value, batch, layout, boxes)
    back = np.full_like(value, -1)
    CPU.place(back, batch, layout, boxes, None)
    for _, _, outside in parts:
        np.testing.assert_array_equal(back[outside], value[outside])
