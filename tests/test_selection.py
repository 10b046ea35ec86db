"""Indexing as NumPy users expect it, with NumPy as the oracle, or an error that says what to do.

Random selections of random arrays stand in test_properties; here are the rules one by one.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import zarr
from harness import assert_read, assert_same

import gpuzarr
from gpuzarr.errors import SelectionError
from gpuzarr.selection import Box, Coordinates, Lists, basic, coordinates, orthogonal

FULL = np.arange(5 * 6 * 7, dtype="i4").reshape(5, 6, 7)


def opened(full: np.ndarray, chunks: Any = 2, **arguments: Any) -> gpuzarr.Array:
    array = zarr.create_array(
        {}, shape=full.shape, dtype=full.dtype, chunks=(chunks,) * full.ndim, **arguments
    )
    array[...] = full
    return gpuzarr.open_array(array)


OURS = opened(FULL)


def named(key: Any) -> str:
    """A key as it is typed, for the names of tests."""
    text = repr(key).replace("slice(None, None, None)", ":").replace("Ellipsis", "...")
    return text.replace("array(", "").replace(" ", "")


# What NumPy gives -------------------------------------------------------------------------------

BASIC = [
    ..., (), 0, -1, np.int16(3), np.array(2), slice(None), slice(1, 4), slice(4, 1, -1),
    slice(None, None, -1), slice(None, None, 3), slice(-2, None), slice(3, 3), slice(100, None),
    (slice(None), 2), (slice(None), slice(None), 3), (1, 2, 3), (1, ..., 3), (..., 0),
    (..., slice(None, None, -2)), (None, 1), (1, None, slice(2, 4), None), (None, ..., None),
    (slice(5, 0, -2), slice(None, None, -5), slice(6, None, -3)), (0, slice(2, 2), 0),
]  # fmt: skip


@pytest.mark.parametrize("key", BASIC, ids=named)
def test_slices_and_integers_give_what_numpy_gives(key: Any) -> None:
    assert_read(OURS[key], FULL[key] if np.ndim(FULL[key]) else FULL[key][()])
    assert_read(OURS.read(key), np.asarray(FULL[key]))


ADVANCED = [
    [0, 2], [], [[1, 2], [3, 0]], np.array([], bool).reshape(0, 6, 7)[:0], (slice(None), [1, 1, 0]),
    ([0, 4], [1, 5]), ([0, 4], [1, 5], [6, 0]), ([[0], [4]], [1, 5]), (slice(1, 4), [0, 2], [3, 3]),
    ([0, 1], slice(None), [2, 3]), (0, [1, 2]), ([1, 2], 0), ([1, 2], 0, slice(1, 3)),
    (0, slice(None), [[1, 2]]), (..., [3, -1]), ([1], ..., [2]), FULL > 100, FULL[:, 0, 0] > 60,
    (slice(None), FULL[0, :, 0] > 20), (slice(1, 3), FULL[0] % 3 == 0), FULL[..., 0] % 5 == 0,
    (FULL[..., 0] % 5 == 0, 3), (FULL[..., 0] % 5 == 0, slice(2, 5)), [True] * 2 + [False] * 3,
    (np.array([3, 0], "u1"), 1), (range(3),), ((1, 2),), ([0, 1, 2], [3], np.array(4)),
]  # fmt: skip
ADVANCED = [key for key in ADVANCED if not (isinstance(key, np.ndarray) and key.size == 0)]


@pytest.mark.parametrize("key", ADVANCED, ids=range(len(ADVANCED)))
def test_index_lists_and_masks_give_what_numpy_gives(key: Any) -> None:
    assert_read(OURS[key], FULL[key])


def test_every_mixture_of_integers_slices_and_lists_is_numpys_or_refused() -> None:
    """Refused is only where NumPy moves the axis of the list to the front and Zarr doesn't."""
    items = [2, slice(4, 1, -1), [3, 0, 1], [[1], [0]]]
    refused = (2, slice(4, 1, -1), [3, 0, 1])
    for key in itertools.product(items, repeat=3):
        if key != refused:
            assert_read(OURS[key], FULL[key] if np.ndim(FULL[key]) else FULL[key][()])
    with pytest.raises(SelectionError, match="Use oindex or vindex"):
        OURS[refused]
    assert_read(OURS.oindex[refused], FULL[refused].T)


def test_one_element_is_a_scalar_and_read_gives_an_array() -> None:
    assert type(OURS[1, 2, 3]) is np.int32
    assert type(OURS.oindex[1, 2, 3]) is np.int32
    assert type(OURS.vindex[1, 2, 3]) is np.int32
    assert type(OURS[1, 2, [3]]) is np.ndarray
    assert type(OURS.read((1, 2, 3))) is np.ndarray
    assert type(opened(np.array(7))[...]) is np.int64
    texts = np.array(["a", "bc"], np.dtypes.StringDType())
    assert opened(texts)[1] == "bc"
    record = opened(np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]))[0]
    assert (record["a"], record["b"]) == (1, 2.0)


def test_a_result_is_contiguous_and_its_own() -> None:
    for key in (slice(None), (slice(None), 0), slice(None, None, -1)):
        assert OURS[key].flags.c_contiguous
        assert OURS[key].flags.owndata
        assert OURS[key].flags.writeable


def test_oindex_is_the_outer_product() -> None:
    key = ([4, 0, 0], slice(None, None, -2), FULL[0, 0] % 2 == 0)
    expected = FULL[np.ix_([4, 0, 0], [5, 3, 1], [0, 2, 4, 6])]
    assert_read(OURS.oindex[key], expected)
    assert_read(OURS.oindex[([4, 0, 0],)], FULL[[4, 0, 0]])
    assert_read(OURS.oindex[..., [1]], FULL[..., [1]])
    assert_read(OURS.oindex[2, :, [1]], FULL[2][:, [1]])


def test_vindex_is_pointwise_and_broadcasts() -> None:
    assert_read(OURS.vindex[[0, 1], [2, 3], [4, -1]], FULL[[0, 1], [2, 3], [4, -1]])
    assert_read(OURS.vindex[[[0], [1]], [2, 3], 4], FULL[[[0], [1]], [2, 3], 4])
    assert_read(OURS.vindex[FULL % 7 == 3], FULL[FULL % 7 == 3])
    assert_read(OURS.vindex[(FULL % 7 == 3,)], FULL[FULL % 7 == 3])
    assert_read(OURS.vindex[[], [], []], FULL[[], [], []].astype("i4"))


def test_blocks_are_chunks_or_shards_by_number() -> None:
    assert_read(OURS.blocks[1], FULL[2:4])
    assert_read(OURS.blocks[-1, 1:, ...], FULL[4:5, 2:])
    assert_read(OURS.blocks[:, :, -1], FULL[:, :, 6:])
    assert_read(OURS.blocks[2:1], FULL[4:2])
    sharded = opened(FULL, shards=(4, 2, 4))
    assert_read(sharded.blocks[1, 0, 0], FULL[4:5, :2, :4])


RECORDS = np.array(
    [(1, 2.5, b"ab", (7, True)), (3, -0.0, b"", (8, False)), (5, np.nan, b"xyz", (9, True))],
    [("i", ">i2"), ("f", "<f4"), ("s", "S3"), ("n", [("x", "u1"), ("y", "?")])],
)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")
def test_struct_fields_are_picked_by_name(zarr_format: Any) -> None:
    ours = opened(RECORDS, zarr_format=zarr_format)
    dtype = ours.dtype
    for name in ("i", "f", "s", "n"):
        assert_same(ours[name], RECORDS[name].astype(dtype[name]))
        assert_same(ours[name, ::-1], RECORDS[name][::-1].astype(dtype[name]))
        assert_same(ours[1:, name], RECORDS[name][1:].astype(dtype[name]))
        assert_same(ours[[2, 0], name], RECORDS[name][[2, 0]].astype(dtype[name]))
    packed = np.dtype([("s", dtype["s"]), ("i", dtype["i"])])
    assert_same(ours[["s", "i"]], RECORDS[["s", "i"]].astype(packed))
    assert_same(ours[["n"]], RECORDS[["n"]].astype([("n", dtype["n"])]))


def test_fields_of_missing_chunks_hold_their_part_of_the_fill_value() -> None:
    fill = np.array((4, -0.0, b"zz", (1, True)), RECORDS.dtype)[()]
    array = zarr.create_array(
        {}, shape=3, chunks=2, dtype=RECORDS.dtype, fill_value=fill, zarr_format=2, compressors=None
    )
    ours = gpuzarr.open_array(array)
    for name in RECORDS.dtype.names:
        assert_same(ours[name], np.full(3, fill, RECORDS.dtype)[name].copy())


# What is refused --------------------------------------------------------------------------------

REFUSED = {
    5: "Index 5 is out of bounds for axis 0, which has length 5",
    -6: "Index -6 is out of bounds for axis 0, which has length 5",
    (0, 6): "out of bounds for axis 1, which has length 6",
    ((0, 99),): "Index 99 is out of bounds for axis 0",
    (0, 0, 0, 0): "has 3 dimensions, the index has 4",
    (..., 0, ...): "single ellipsis",
    True: "single boolean",
    (np.True_, 0): "single boolean",
    2.0: "not 2.0",
    (1.5, 0): "not 1.5",
    "x": "no field 'x'",
    (0, "x"): "no field 'x'",
    slice("a"): "not valid",
    slice(None, None, 0): "not valid: slice step cannot be zero",
}


@pytest.mark.parametrize(("key", "words"), REFUSED.items(), ids=map(named, REFUSED))
def test_an_index_that_is_not_understood_is_refused_in_words(key: Any, words: str) -> None:
    with pytest.raises(SelectionError, match=words):
        OURS[key]
    with pytest.raises(IndexError):
        OURS.read(key)


WRONG_LISTS = {
    "a list of floats": ([1.0], "not"),
    "a ragged list": ([[1], [1, 2]], "not regular"),
    "lists that do not broadcast": (([0, 1], [0, 1, 2]), "do not fit together"),
    "a mask of another length": (np.ones(4, bool), r"expected \(5,\), found \(4,\)"),
    "a mask of another shape": (np.ones((5, 7), bool), r"expected \(5, 6\), found \(5, 7\)"),
    "a mask of too many axes": (np.ones((5, 6, 7, 1), bool), "the index has 4"),
    "a list and a newaxis": (([0], None), "newaxis together with an index list"),
    "a boolean array without axes": (np.array(True), "single boolean"),
    "a list that leaves the array": ([0, -6], "Index -6 is out of bounds for axis 0"),
}


@pytest.mark.parametrize("name", WRONG_LISTS)
def test_an_index_list_that_does_not_fit_is_refused(name: str) -> None:
    key, words = WRONG_LISTS[name]
    with pytest.raises(SelectionError, match=words):
        OURS[key]


WRONG_INDEXERS: dict[str, tuple[Any, Any, str]] = {
    "oindex newaxis": (OURS.oindex, (0, None), "newaxis"),
    "oindex newaxis at the end": (OURS.oindex, (0, 0, 0, None), "newaxis"),
    "oindex two dimensions": (OURS.oindex, [[1]], "one dimension"),
    "oindex mask length": (OURS.oindex, (slice(None), [True]), "expected 6, found 1"),
    "oindex mask of two axes": (OURS.oindex, np.ones((5, 6), bool), "one dimension"),
    "oindex slice": (OURS.oindex, slice("a"), "not valid"),
    "oindex out of bounds": (OURS.oindex, ([0], [6]), "Index 6 is out of bounds for axis 1"),
    "vindex too few": (OURS.vindex, ([0], [0]), "each of 3 axes, found 2"),
    "vindex slice": (OURS.vindex, ([0], slice(None), [0]), "takes integers or one mask"),
    "vindex mask shape": (OURS.vindex, np.ones((5, 6), bool), r"expected \(5, 6, 7\)"),
    "vindex floats": (OURS.vindex, ([0.0], [0], [0]), "takes integers"),
    "vindex ragged": (OURS.vindex, ([[0], [1, 2]], 0, 0), "not regular"),
    "vindex broadcast": (OURS.vindex, ([0, 1], [0, 1, 2], 0), "do not fit together"),
    "blocks list": (OURS.blocks, ([0, 1],), "slices of step 1"),
    "blocks step": (OURS.blocks, slice(None, None, 2), "slices of step 1"),
    "blocks newaxis": (OURS.blocks, (0, 0, 0, None), "newaxis"),
    "blocks out of bounds": (OURS.blocks, 3, "Index 3 is out of bounds for axis 0"),
    "blocks slice": (OURS.blocks, slice("a"), "not valid"),
}


@pytest.mark.parametrize("name", WRONG_INDEXERS)
def test_what_an_indexer_does_not_take_is_refused(name: str) -> None:
    indexer, key, words = WRONG_INDEXERS[name]
    with pytest.raises(SelectionError, match=words):
        indexer[key]


def test_an_array_without_axes_takes_no_lists() -> None:
    ours = opened(np.array(7))
    assert ours[()] == ours[...] == ours.oindex[()] == ours.blocks[()] == 7
    assert_read(ours[None], np.array([7]))
    for key in (0, [0], np.array(True)):
        with pytest.raises(SelectionError):
            ours[key]
    for key in ((), np.array(True)):
        with pytest.raises(SelectionError, match="at least one dimension"):
            ours.vindex[key]


# The form in which it is planned ----------------------------------------------------------------


def test_slices_are_boxes_with_positive_steps() -> None:
    """Also where they run backwards: the result is then filled through a reversed view."""
    selection = basic((slice(8, 1, -3), 4), (10, 5))
    assert selection.what == Box(start=(2, 4), count=(3, 1), step=(3, 1))
    assert selection.shape == (3,)
    result = np.zeros(3, int)
    selection.raw(result)[:, 0] = np.arange(10)[2:9:3]
    assert result.tolist() == np.arange(10)[8:1:-3].tolist()


def test_one_list_among_slices_is_an_outer_product_and_several_are_coordinates() -> None:
    assert isinstance(basic(([1, 2], slice(None)), (5, 6)).what, Lists)
    assert isinstance(basic(([1, 2], [3, 4]), (5, 6)).what, Coordinates)
    assert isinstance(orthogonal(([1, 2], [3, 4]), (5, 6)).what, Lists)
    assert isinstance(coordinates(([1, 2], [3, 4]), (5, 6)).what, Coordinates)


def test_indexes_are_not_negative_once_they_are_normalised() -> None:
    for selection in (
        basic([-1, -5], (5,)),
        orthogonal(([-1, -5],), (5,)),
        coordinates(([-1, -5],), (5,)),
    ):
        assert selection.what.axes[0].tolist() == [4, 0]
