"""Many boxes at once: what is taken, and that every chunk is planned once."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import zarr
from harness import assert_read
from hypothesis import given

import gpuzarr
from gpuzarr.axis import Axis
from gpuzarr.crops import CropParts, crops_of
from gpuzarr.errors import SelectionError

FULL = np.arange(9 * 8, dtype="i2").reshape(9, 8)


@pytest.fixture(scope="module")
def ours() -> gpuzarr.Array:
    array = zarr.create_array({}, shape=FULL.shape, chunks=(4, 3), dtype="i2")
    array[...] = FULL
    return gpuzarr.open_array(array)


IRREGULAR = Axis(9, edges=np.array([0, 1, 5, 6, 9]))


@given(
    data=st.data(),
    first=st.sampled_from([Axis(9, 1), Axis(9, 4), Axis(9, 20), IRREGULAR]),
    box=st.tuples(st.integers(1, 9), st.integers(1, 8)),
)
def test_a_chunk_that_many_boxes_touch_is_planned_once(
    data: st.DataObject, first: Axis, box: tuple[int, int]
) -> None:
    """In C order; and the parts of a box that it gives add up to the boxes."""
    grid, shape = (first, Axis(8, 3)), (9, 8)
    corners = st.tuples(*(st.integers(0, n - b) for n, b in zip(shape, box, strict=True)))
    origins = data.draw(st.lists(corners, min_size=1, max_size=6))
    parts = CropParts(grid, crops_of(origins, box, shape))
    touched = {
        (int(first.chunk_of(r)), c // 3)
        for row, column in origins
        for r in range(row, row + box[0])
        for c in range(column, column + box[1])
    }
    rows = np.arange(parts.count)
    assert list(map(tuple, parts.coords(rows).tolist())) == sorted(touched)
    placement = parts.placement(rows)
    assert placement.count.min() > 0
    assert placement.count.prod(axis=1).sum() == len(origins) * box[0] * box[1]


def test_a_box_may_come_many_times_and_boxes_may_overlap(ours: gpuzarr.Array) -> None:
    origins = np.array([[0, 0], [5, 4], [0, 0], [1, 1]], "u1")
    expected = np.stack([FULL[r : r + 4, c : c + 4] for r, c in origins.tolist()])
    assert_read(ours.read_many(origins, shape=(4, 4)), expected)
    assert ours.last_read is not None
    assert ours.last_read.chunks == 7
    keys = [(slice(r, r + 4), slice(c, c + 4)) for r, c in origins.tolist()]
    assert_read(ours.read_many(keys), expected)


def test_no_boxes_and_empty_boxes_give_no_elements(ours: gpuzarr.Array) -> None:
    for origins in ([], np.empty((0, 2), int)):
        assert_read(ours.read_many(origins, shape=(4, 4)), np.empty((0, 4, 4), "i2"))
    assert_read(ours.read_many([[9, 8], [0, 0]], shape=(0, 0)), np.empty((2, 0, 0), "i2"))


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "origins that are no integers": ([[0.5, 1.0]], (2, 2), "integer"),
    "origins of another number of axes": ([[0, 0, 0], [0, 0, 0]], (2, 2), "axes|shape"),
    "origins that only fit when they are reshaped": ([[0, 0, 0, 0]], (2, 2), "axes|shape"),
    "a box of another number of axes": ([[0, 0]], (2,), "1 axes in an array of 2"),
    "a box that leaves the array": ([[0, 0], [6, 5]], (4, 4), r"\(6, 5\) leaves the array"),
    "a negative origin": ([[-1, 0]], (2, 2), r"\(-1, 0\) leaves the array"),
    "an origin beyond all integers": ([[2**63 - 1, 0]], (4, 4), "leaves the array"),
    "a negative length": ([[0, 0]], (-1, 2), "leaves the array"),
    "a length that is no integer": ([[0, 0]], (1.5, 2), "integer"),
    "no selection": ([], None, "at least one"),
    "boxes of two shapes": ([slice(0, 2), slice(0, 3)], None, r"\(2, 8\).*\(3, 8\)"),
    "steps": ([slice(0, 4, 2)], None, "step 1"),
    "index lists": ([[0, 1]], None, "slices and integers"),
    "selections of unlike kinds": ([(0, slice(0, 1)), (slice(0, 1), 0)], None, "alike"),
    "fields": (["a"], None, "no field"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_are_no_boxes_of_one_shape_is_refused(ours: gpuzarr.Array, name: str) -> None:
    selections, box, words = REFUSED[name]
    with pytest.raises(SelectionError, match=words):
        ours.read_many(selections, shape=box)
