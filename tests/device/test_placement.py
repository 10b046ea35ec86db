"""Where decoded chunks land on every device, against assignments of NumPy's.

Results are views with strides of any kind; what no part covers keeps its poison.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from device.memory import Array, chunk_of, layout_of, made, poisoned, put, random, written

from gpuzarr.device import Device
from gpuzarr.device.kernel_boxes import divisors
from gpuzarr.device.launcher import Launcher
from gpuzarr.errors import UnsupportedError
from gpuzarr.place import AxisLists, Boxes, Grid, Layout, Placement, Points

DTYPES = ["?", "u1", "<i2", ">i2", "<f2", "<f4", ">u4", "<f8", ">i8", "<c8", ">c8", "<c16", ">c16"]
OTHERS = ["V3", "V12", "V40"]
"""No device has arrays of them; the kernels' units within an element are seen all the same."""

Rng = np.random.Generator


def ints(rows: Any) -> np.ndarray:
    return np.array(rows, np.int64)


@dataclass
class Case:
    """A placement between chunks of one layout and an array of this shape."""

    layout: Layout
    slots: int
    shape: tuple[int, ...]
    placement: Placement

    def parts(self) -> Iterator[tuple[int, Any, Any]]:
        """Slot, and indexes of single elements or of slices, row after row, in order."""
        where = self.placement
        for row, slot in enumerate(where.slots.tolist()):
            if isinstance(where, Boxes):
                yield slot, *_slices(where, row)
            elif isinstance(where, Grid):
                for at in itertools.product(*map(range, _lengths(where, row))):
                    yield slot, *_of_lists(where, row, at)
            else:
                for n in range(int(where.starts[row]), int(where.stops[row])):
                    yield slot, tuple(where.local[n].tolist()), int(where.target[n])


def _slices(boxes: Boxes, row: int) -> tuple[Any, Any]:
    count, target = boxes.count[row].tolist(), boxes.target[row].tolist()
    lead = len(target) - len(count)
    starts = zip(boxes.source[row].tolist(), count, boxes.step.tolist(), strict=True)
    source = tuple(slice(a, a + n * step, step) for a, n, step in starts)  # ends where a chunk does
    part = tuple(slice(t, t + n) for t, n in zip(target[lead:], count, strict=True))
    return (*source, ...), (*target[:lead], *part, ...)


def _lengths(grid: Grid, row: int) -> list[int]:
    return [int(axis.starts[n + 1] - axis.starts[n])
            for axis, n in zip(grid.axes, grid.lists[row], strict=True)]  # fmt: skip


def _of_lists(grid: Grid, row: int, at: tuple[int, ...]) -> tuple[Any, Any]:
    first = [int(axis.starts[n]) for axis, n in zip(grid.axes, grid.lists[row], strict=True)]
    both = [(axis.local[f + i], axis.target[f + i])
            for axis, f, i in zip(grid.axes, first, at, strict=True)]  # fmt: skip
    source, part = zip(*both, strict=True)
    return source, part


def boxes_case(
    rng: Rng, dtype: Any, ndim: int, lead: int = 0, most: int = 5, *, alone: bool
) -> Case:
    """Parts of random extent; `alone` has each in a chunk of its own."""
    step = rng.integers(1, 4, ndim) if rng.integers(2) else np.ones(ndim, np.int64)
    cell = rng.integers(1, most + 1, ndim)
    cells = rng.integers(1, 4 if ndim < 4 else 2, ndim)
    leads = rng.integers(1, 4, lead)
    shape = np.maximum(1, cell * step + rng.integers(0, 3, ndim))
    rows = [*itertools.product(*map(range, (*leads, *cells)))]
    rng.shuffle(rows)
    kept = rows[: rng.integers(1, len(rows) + 1)]
    rows = ints(kept).reshape(len(kept), lead + ndim)
    count = rng.integers(0 if rng.integers(4) == 0 else 1, cell + 1, (len(rows), ndim))
    source = rng.integers(0, np.maximum(1, shape - (count - 1) * step), (len(rows), ndim))
    target = rows.copy()
    target[:, lead:] = rows[:, lead:] * cell + rng.integers(0, cell - count + 1)
    slots = len(rows) if alone else int(rng.integers(1, len(rows) + 1))
    chosen = rng.permutation(slots) if alone else rng.integers(0, slots, len(rows))
    layout = layout_of(dtype, shape.tolist(), rng.permutation(ndim).tolist())
    full = (*leads.tolist(), *(cells * cell).tolist())
    return Case(layout, slots, full, Boxes(chosen, source, count, target, step))


def grid_case(rng: Rng, dtype: Any, ndim: int, most: int = 6) -> Case:
    """Lists of any length, with repeats; some are empty."""
    shape, axes, full, numbers = [], [], [], []
    for _ in range(ndim):
        shape.append(int(rng.integers(1, most + 1)))
        lengths = rng.integers(0 if rng.integers(3) == 0 else 1, most + 1, rng.integers(1, 4))
        starts = int(rng.integers(2)) + np.concatenate([[0], np.cumsum(lengths)])
        named = int(starts[-1]) + int(rng.integers(2))  # some by no list
        full.append(named + int(rng.integers(1, 3)))
        target = rng.permutation(full[-1])[:named]
        axes.append(AxisLists(starts, rng.integers(0, shape[-1], named), target))
        numbers.append(range(len(lengths)))
    rows = [*itertools.product(*numbers)]
    rng.shuffle(rows)
    lists = ints(rows[: rng.integers(1, len(rows) + 1)])
    layout = layout_of(dtype, shape, rng.permutation(ndim).tolist())
    return Case(
        layout, len(lists), tuple(full), Grid(rng.permutation(len(lists)), lists, tuple(axes))
    )


def points_case(rng: Rng, dtype: Any, ndim: int, most: int = 6) -> Case:
    """Elements with repeats; some rows have none."""
    shape = rng.integers(1, most + 1, ndim)
    rows = int(rng.integers(1, 5))
    lengths = rng.integers(0, 4 * most, rows) + (rows == 1)
    starts = np.cumsum(lengths + 2) - lengths
    count = int(starts[-1] + lengths[-1] + 3)
    local = rng.integers(0, np.maximum(1, shape), (count, ndim))
    full = count + int(rng.integers(1, 5))
    layout = layout_of(dtype, shape.tolist(), rng.permutation(ndim).tolist())
    placed = Points(
        rng.permutation(rows), starts, starts + lengths, local, rng.permutation(full)[:count]
    )
    return Case(layout, rows, (full,), placed)


def array_for(
    device: Device, rng: Rng, shape: tuple[int, ...], dtype: np.dtype, content: Any
) -> Array:
    """An array of which a view has this shape, steps in any direction, and axes in any order."""
    axes = rng.permutation(len(shape)).tolist()
    whole, index = [0] * len(shape), [slice(None)] * len(shape)
    for length, axis in zip(shape, axes, strict=True):
        step, ahead = (1, 0) if rng.integers(3) else (int(rng.integers(1, 3)), int(rng.integers(3)))
        last = ahead + (length - 1) * step
        whole[axis] = last + 1 + int(rng.integers(2))
        index[axis] = slice(ahead, last + 1, step)
        if rng.integers(4) == 0:
            index[axis] = slice(last, ahead - 1 if ahead else None, -step)
    shift = int(rng.integers(0, 3)) * dtype.itemsize if rng.integers(2) else 0
    found = Array(
        device, content(whole, dtype), tuple(index), axes if rng.integers(2) else None, shift
    )
    if found.part.shape != tuple(shape):  # the axes of the whole are in another order
        found = Array(device, content(whole, dtype), tuple(index), axes, shift)
    assert found.part.shape == tuple(shape)
    return found


def chunks_of(rng: Rng, case: Case) -> list[bytes]:
    return [random(rng, (case.layout.size,), "u1" if case.layout.dtype != bool else "?").tobytes()
            for _ in range(case.slots)]  # fmt: skip


def assert_places(device: Device, rng: Rng, case: Case) -> None:
    native, chunks = case.layout.dtype.newbyteorder("="), chunks_of(rng, case)
    result = array_for(device, rng, case.shape, native, poisoned)
    expected = result.host()
    for slot, source, part in case.parts():
        result.view(expected)[part] = chunk_of(chunks[slot], case.layout)[source]
    streams = (put if rng.integers(2) else made)(
        device, chunks, gaps=[0] if rng.integers(2) else [3, 4]
    )
    device.place(result.part, streams, case.layout, case.placement, None)
    assert result.host().tobytes() == expected.tobytes()


def assert_gathers(device: Device, rng: Rng, case: Case) -> None:
    native, chunks = case.layout.dtype.newbyteorder("="), chunks_of(rng, case)
    value = array_for(device, rng, case.shape, native, lambda *args: random(rng, *args))
    before = value.host()
    expected = [np.frombuffer(chunk, "u1").copy() for chunk in chunks]
    for slot, source, part in case.parts():
        chunk_of(expected[slot], case.layout)[source] = value.view(before)[part]
    streams = made(device, chunks, gaps=[0] if rng.integers(2) else [3, 4, 0])
    device.gather(value.part, streams, case.layout, case.placement)
    assert written(device, streams) == [chunk.tobytes() for chunk in expected]
    assert value.host().tobytes() == before.tobytes()


def assert_fills(device: Device, rng: Rng, case: Case) -> None:
    native = case.layout.dtype.newbyteorder("=")
    result = array_for(device, rng, case.shape, native, poisoned)
    expected, value = result.host(), random(rng, (1,), native)[0]
    for _, _, part in case.parts():
        result.view(expected)[part] = value
    device.fill(result.part, value, case.placement)
    assert result.host().tobytes() == expected.tobytes()


# What is placed, gathered and filled --------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*DTYPES, *OTHERS])
def test_boxes(device: Device, dtype: str) -> None:
    """Of 0 to 6 axes, with steps, ragged ones, and axes in front of those of the chunks."""
    rng = np.random.default_rng([1, len(dtype), ord(dtype[-1])])
    for ndim, lead in itertools.product(range(7), range(3)):
        most = {0: 1, 1: 200, 2: 24, 3: 9}.get(ndim, 3)
        for most_here in (most, 4):
            args = (rng, np.dtype(dtype), ndim, lead, min(most, most_here))
            assert_places(device, rng, boxes_case(*args, alone=False))
            assert_gathers(device, rng, boxes_case(*args, alone=True))
        assert_fills(device, rng, boxes_case(*args, alone=False))


@pytest.mark.parametrize("dtype", [*DTYPES, *OTHERS])
def test_lists(device: Device, dtype: str) -> None:
    """Of a list that names an element twice, gathering keeps the last."""
    rng = np.random.default_rng([2, len(dtype), ord(dtype[-1])])
    for ndim, _ in itertools.product(range(1, 5), range(3)):
        for check in (assert_places, assert_gathers, assert_fills):
            check(device, rng, grid_case(rng, np.dtype(dtype), ndim, 9 - 2 * ndim))


@pytest.mark.parametrize("dtype", [*DTYPES, *OTHERS])
def test_points(device: Device, dtype: str) -> None:
    """Of an element that is named twice, gathering keeps the last."""
    rng = np.random.default_rng([3, len(dtype), ord(dtype[-1])])
    for ndim, _ in itertools.product(range(1, 5), range(2)):
        for check in (assert_places, assert_gathers, assert_fills):
            check(device, rng, points_case(rng, np.dtype(dtype), ndim))


def test_points_of_results_of_several_axes(device: Device) -> None:
    """Positions count their elements in C order, whatever their strides are."""
    rng = np.random.default_rng(4)
    for dtype in ("u1", ">f4", "<c16"):
        case = points_case(rng, dtype, 2)
        shape = (3, 1, -(-case.shape[0] // 3))
        native, chunks = case.layout.dtype.newbyteorder("="), chunks_of(rng, case)
        result = array_for(device, rng, shape, native, poisoned)
        flat = result.part.flat if device.is_host else result.part
        expected = result.host()
        for slot, source, part in case.parts():
            result.view(expected).flat[part] = chunk_of(chunks[slot], case.layout)[source]
        device.place(flat, put(device, chunks), case.layout, case.placement, None)
        assert result.host().tobytes() == expected.tobytes()
        back = made(device, chunks)
        device.gather(flat, back, case.layout, case.placement)
        assert written(device, back) == chunks
        device.fill(flat, 0, case.placement)
        for _, _, part in case.parts():
            result.view(expected).flat[part] = 0
        assert result.host().tobytes() == expected.tobytes()


def large(rng: Rng, dtype: Any, shape: tuple[int, ...], axes: tuple[int, ...], ahead: int) -> Case:
    """Two whole chunks side by side, `ahead` elements behind the start of their rows."""
    layout = layout_of(dtype, shape, axes)
    target = ints([[0] * len(shape), [0] * len(shape)])
    target[:, -1] = ahead, ahead + shape[-1]
    full = (*shape[:-1], 2 * shape[-1] + 2 * ahead)
    zero, count = np.zeros_like(target), ints([shape] * 2)
    return Case(layout, 2, full, Boxes(ints([1, 0]), zero, count, target, np.ones(len(shape), int)))


@pytest.mark.parametrize(
    ("dtype", "unit"), [("u1", 1), ("<i2", 2), ("<f4", 4), (">f8", 8), ("<c16", 16)]
)
def test_each_kernel_of_each_unit_is_chosen(
    device: Device, dtype: str, unit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large parts: rows that are alike or not, axes in another order, lists, points."""
    seen: set[str] = set()
    launch = Launcher.launch

    def watched(self: Launcher, op: str, kernel: str, *args: Any) -> None:
        if op == "place":
            seen.add(kernel)
        launch(self, op, kernel, *args)

    monkeypatch.setattr(Launcher, "launch", watched)
    rng, kind, size = np.random.default_rng(unit), np.dtype(dtype), 64 // unit
    cases = [
        large(rng, kind, (9, 5), (0, 1), 1),
        large(rng, kind, (70, 45), (1, 0), 0),
        large(rng, kind, (40, 3, 33), (2, 0, 1), 1),
        large(rng, kind, (12, 40 * size), (0, 1), 0),
        large(rng, kind, (12, 7 * size + 1), (0, 1), 1),
        *(grid_case(rng, kind, 3, 5) for _ in range(2)),
        points_case(rng, kind, 3, 30),
    ]
    for case in cases:
        for seed, check in itertools.product((1, 2), (assert_places, assert_gathers)):
            check(device, np.random.default_rng(seed), case)
    expected = {f"place_{kind}_{unit}" for kind in ("boxes", "transposed", "lists", "points")}
    if unit < 4:
        expected.add("place_rows")
    assert device.is_host or expected <= seen, expected - seen
    seen.clear()
    for case in cases:
        assert_fills(device, np.random.default_rng(3), case)
    assert not any("transposed" in kernel for kernel in seen)  # of one value there is no order


@pytest.mark.parametrize("length", [64, 500, 1010])
def test_long_rows_of_any_length_at_any_address(device: Device, length: int) -> None:
    """Of single bytes; each row has an end of its own, and all of them one launch."""
    rng, layout = np.random.default_rng(length), layout_of("u1", (3, length + 16), (0, 1))
    rows = ints([*itertools.product(range(16), range(16))])
    target = np.stack([4 * np.arange(256), rows[:, 0]], axis=1)
    count = np.stack([0 * rows[:, 0] + 3, length + rows[:, 1]], axis=1)
    source = np.stack([0 * rows[:, 0], rng.integers(0, 17 - rows[:, 1])], axis=1)
    boxes = Boxes(rng.permutation(256), source, count, target, ints([1, 1]))
    chunks = [rng.bytes(layout.size) for _ in range(256)]
    case = Case(layout, 256, (1024, length + 32), boxes)
    result = Array(device, poisoned(case.shape, "u1"))
    expected = result.host()
    for slot, inside, part in case.parts():
        expected[part] = chunk_of(chunks[slot], layout)[inside]
    device.place(result.part, put(device, chunks), layout, boxes, None)
    assert result.host().tobytes() == expected.tobytes()
    back = made(device, chunks)
    device.gather(result.part, back, layout, boxes)
    assert written(device, back) == chunks


def test_large_contiguous_parts_move_in_the_largest_units(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the dtype; parts of one placement that differ go in few launches."""
    launches: list[str] = []
    launch = Launcher.launch

    def watched(self: Launcher, op: str, kernel: str, *args: Any) -> None:
        if op == "place":
            launches.append(kernel)
        launch(self, op, kernel, *args)

    monkeypatch.setattr(Launcher, "launch", watched)
    for dtype in ("u1", "<i2", "<f4"):
        layout = layout_of(dtype, (8, 64), (0, 1))
        rows = ints([*itertools.product(range(8), range(8))])
        boxes = Boxes(np.arange(64), 0 * rows, 0 * rows + (8, 64), rows * (8, 64), ints([1, 1]))
        chunks = [
            random(np.random.default_rng(n), (layout.size,), "u1").tobytes() for n in range(64)
        ]
        result = Array(device, poisoned((64, 512), dtype))
        device.place(result.part, put(device, chunks, gaps=[0]), layout, boxes, None)
        grid = np.stack([chunk_of(chunk, layout) for chunk in chunks]).reshape(8, 8, 8, 64)
        assert result.host().tobytes() == grid.swapaxes(1, 2).tobytes()
        ragged = Boxes(
            boxes.slots, boxes.source, boxes.count - (rows % 3), boxes.target, boxes.step
        )
        device.place(result.part, put(device, chunks, gaps=[0]), layout, ragged, None)
        assert result.host().tobytes() == grid.swapaxes(1, 2).tobytes()
    if not device.is_host:
        assert launches[0] == "place_boxes_16"
        assert len(launches) <= 3 * 9


def test_parts_of_nothing(device: Device) -> None:
    """No rows, rows without elements, chunks and results without any."""
    layout, result = layout_of("<i4", (2, 3), (0, 1)), Array(device, poisoned((4, 5), "<i4"))
    none, two = np.zeros((0, 2), np.int64), ints([[0, 0], [1, 1]])
    step = ints([1, 1])
    lists = AxisLists(ints([0, 0, 0]), ints([]), ints([]))
    placements: list[Any] = [
        Boxes(ints([]), none, none, none, step),
        Boxes(ints([0, 0]), 0 * two, ints([[0, 2], [2, 0]]), two, step),
        Grid(ints([]), none, (lists, lists)),
        Grid(ints([0]), ints([[0, 1]]), (lists, lists)),
    ]
    chunk = put(device, [bytes(24)])
    for placement in placements:
        device.place(result.part, chunk, layout, placement, None)
        device.fill(result.part, 1, placement)
        device.gather(result.part, made(device, [bytes(24)]), layout, placement)
    points = Points(ints([0]), ints([0]), ints([0]), none, ints([]))
    flat = Array(device, poisoned((4,), "<i4"))
    device.place(flat.part, chunk, layout, points, None)
    device.fill(flat.part, 1, points)
    device.gather(flat.part, made(device, [bytes(24)]), layout, points)
    assert result.host().tobytes() == poisoned((4, 5), "<i4").tobytes()
    assert flat.host().tobytes() == poisoned((4,), "<i4").tobytes()
    empty = Array(device, poisoned((0, 5), "<i4"))
    device.fill(empty.part, 1, placements[0])


def test_results_of_the_other_byte_order(device: Device) -> None:
    rng = np.random.default_rng(0)
    for stored, wanted in itertools.product(["<f4", ">f4"], repeat=2):
        case = large(rng, stored, (3, 4), (0, 1), 0)
        chunks = chunks_of(rng, case)
        result = Array(device, poisoned(case.shape, wanted))
        device.place(result.part, put(device, chunks), case.layout, case.placement, None)
        expected = np.concatenate([chunk_of(c, case.layout) for c in chunks[::-1]], axis=1)
        assert result.host().tobytes() == expected.astype(wanted).tobytes()
        back = made(device, [bytes(48)] * 2)
        device.gather(result.part, back, case.layout, case.placement)
        assert written(device, back) == chunks
        device.fill(result.part, 1.5, case.placement)
        assert (result.host() == 1.5).all()


def test_what_a_device_does_not_move_is_refused(device: Device) -> None:
    """It neither casts nor picks fields."""
    if device.is_host:
        pytest.skip("NumPy does")
    case = large(np.random.default_rng(0), "<i4", (2, 3), (0, 1), 0)
    result, chunks = Array(device, poisoned(case.shape, "<f4")), put(device, [bytes(24)] * 2)
    same = Array(device, poisoned(case.shape, "<i4"))
    with pytest.raises(UnsupportedError, match="int32"):
        device.place(result.part, chunks, case.layout, case.placement, None)
    with pytest.raises(UnsupportedError, match="float32"):
        device.gather(result.part, chunks, case.layout, case.placement)
    with pytest.raises(UnsupportedError, match="field 'a'"):
        device.place(same.part, chunks, case.layout, case.placement, "a")


def test_a_magic_number_divides_as_a_division_does() -> None:
    """As `divided` of place.cu, at the ends of the range and beside multiples."""
    rng = np.random.default_rng(0)
    counts = np.unique(np.concatenate([
        np.arange(1, 300), *((1 << k) + np.array([-1, 0, 1]) for k in range(2, 31)),
        [2**31 - 1], rng.integers(1, 2**31, 500),
    ]))  # fmt: skip
    words, shift = divisors(counts)
    magic = words.view(np.uint64) >> np.uint64(32)
    assert ((words.view(np.uint64) & np.uint64(0xFFFFFFFF)).astype(np.int64) == counts).all()
    most = (2**31 - 1) // counts * counts
    for values in (0 * counts, counts - 1, counts, most - 1, most, 0 * counts + 2**31 - 1,
                   rng.integers(0, 2**31, len(counts))):  # fmt: skip
        values = np.clip(values, 0, 2**31 - 1)
        high = (values.astype(np.uint64) * magic) >> np.uint64(32)
        total = values.astype(np.uint64) + high
        assert (total < 2**32).all()
        assert ((total >> shift.astype(np.uint64)).astype(np.int64) == values // counts).all()
