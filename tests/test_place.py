"""Layouts and contiguous chunks, against NumPy's own memory."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gpuzarr.place import Boxes, Layout, contiguous_offsets


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_layout_is_the_order_of_the_memory(order: str) -> None:
    chunk = np.arange(24, dtype="<i4").reshape(2, 3, 4)
    memory = np.frombuffer(chunk.tobytes(order), "<i4")
    layout = Layout.plain(chunk.dtype, chunk.shape, order)
    assert (memory.reshape(layout.shape).transpose(layout.axes) == chunk).all()
    assert (layout.count, layout.size) == (24, 96)
    assert layout.is_c_order == (order == "C")


@pytest.mark.parametrize("axes", [*itertools.permutations(range(3))])
def test_transposing_a_layout_is_transposing_its_array(axes: tuple[int, ...]) -> None:
    layout = Layout(np.dtype("i1"), (2, 3, 4), (1, 2, 0))
    memory = np.arange(24, dtype="i1").reshape(2, 3, 4)
    found = layout.transposed(axes)
    assert (memory.transpose(found.axes) == memory.transpose(1, 2, 0).transpose(axes)).all()


def test_what_has_no_bytes_is_counted_in_elements() -> None:
    for dtype in (object, np.dtypes.StringDType()):
        layout = Layout.plain(np.dtype(dtype), (2, 3))
        assert layout.on_host_only
        assert layout.size == 6


def all_chunks(result: tuple[int, ...], chunk: tuple[int, ...]) -> Boxes:
    """The parts of a result that is read whole, on a grid of these chunks."""
    starts = [range(0, n, c) for n, c in zip(result, chunk, strict=True)]
    target = np.array(list(itertools.product(*starts)), np.int64).reshape(-1, len(result))
    count = np.minimum(np.array(chunk, np.int64), np.array(result, np.int64) - target)
    ones = np.ones(len(result), np.int64)
    return Boxes(np.arange(len(target)), 0 * target, count, target, ones)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_chunk_is_in_one_piece_where_numpy_says_so(ndim: int) -> None:
    """All shapes of results and chunks, whole and cut off."""
    found_some = 0
    lengths = itertools.product([1, 2, 3, 4], repeat=ndim)
    for result, chunk in itertools.product([*lengths], itertools.product([1, 2, 4], repeat=ndim)):
        memory, boxes = np.zeros(result, "<i2"), all_chunks(result, chunk)
        regions = [
            memory[tuple(slice(t, t + c) for t, c in zip(*row, strict=True))]
            for row in zip(boxes.target.tolist(), chunk and [chunk] * len(boxes.slots), strict=True)
        ]
        found = contiguous_offsets(boxes, chunk, result, 2)
        if all(r.flags.c_contiguous and r.shape == chunk for r in regions):
            start = memory.__array_interface__["data"][0]
            assert found is not None
            assert found.tolist() == [r.__array_interface__["data"][0] - start for r in regions]
            found_some += 1
        else:
            assert found is None
    assert found_some > 3**ndim


def test_only_whole_chunks_in_their_order_are_in_one_piece() -> None:
    whole = all_chunks((4, 3), (2, 3))
    assert contiguous_offsets(whole, (2, 3), (4, 3), 1).tolist() == [0, 6]
    shared = Boxes(np.array([0, 0]), whole.source, whole.count, whole.target, whole.step)
    assert contiguous_offsets(shared, (2, 3), (4, 3), 1) is None
    stepped = Boxes(whole.slots, whole.source, whole.count, whole.target, np.array([1, 2]))
    assert contiguous_offsets(stepped, (2, 3), (4, 3), 1) is None
    part = Boxes(whole.slots, whole.source, whole.count - [0, 1], whole.target, whole.step)
    assert contiguous_offsets(part, (2, 3), (4, 3), 1) is None
    stacked = np.concatenate([np.array([[5], [7]]), 0 * whole.target], axis=1)
    crops = Boxes(whole.slots, whole.source, whole.count, stacked, whole.step)
    assert contiguous_offsets(crops, (2, 3), (9, 2, 3), 1).tolist() == [30, 42]
