"""Any assignment to any array does what NumPy does, and any resize what zarr-python does.

Arrays, selections and values are random ones (`strategies`). What was written is read back by
zarr-python.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import numcodecs
import numpy as np
import pytest
import strategies as some
import zarr
from harness import assert_same, uploaded
from hypothesis import assume, given, settings
from strategies import Sample
from writing.twins import contents, read_by_zarr
from zarr.storage import MemoryStore

import gpuzarr
from gpuzarr.errors import SelectionError

pytestmark = [
    pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning"),
    pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning"),
    # zarr-python as well, while it compares chunks with the fill value
    pytest.mark.filterwarnings("ignore:invalid value encountered in equal:RuntimeWarning"),
    # numcodecs' delta, which sums into memory that is not initialised
    pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning"),
]


@pytest.fixture(autouse=True, scope="module")
def rectilinear_grids_are_allowed() -> Iterator[None]:
    with zarr.config.set({"array.rectilinear_chunks": True}):
        yield


FEW = settings(max_examples=settings().max_examples // 2)


def copied(store: Any) -> MemoryStore:
    """A store of its own with the same content."""
    return MemoryStore(dict(store._store_dict))


# Values -------------------------------------------------------------------------------------------


@st.composite
def values_for(draw: st.DrawFn, dtype: np.dtype, shape: tuple[int, ...]) -> Any:
    """What can be assigned to a selection of this shape: broadcast, strided, of other dtypes."""
    given_shape = tuple(1 if draw(st.integers(0, 4)) == 0 else n for n in shape)
    given_shape = given_shape[draw(st.sampled_from([0, 0, 0, len(shape)])) :]
    value = some.values(dtype, given_shape, draw(some.SEEDS), tame=dtype.kind in "iuf")
    form = draw(st.sampled_from(["as is", "F", "strided", "swapped", "other", "list", "wider"]))
    if form == "F":
        return np.asfortranarray(value)
    if form == "strided" and value.ndim:
        value = np.repeat(value, 2, axis=-1)[..., ::2]
        return value[::-1].copy()[::-1]
    if form == "swapped" and dtype.kind in "iufcUmM":
        return value.astype(dtype.newbyteorder())
    if form == "other" and dtype.kind in "iuf":
        return value + np.float32(0.25) if dtype.kind in "iu" else value.astype("i2")
    if form == "list" and dtype.kind in "iufb" and value.size:
        return value.tolist()
    return value[None, None] if form == "wider" else value


@st.composite
def assignments(draw: st.DrawFn, sample: Sample) -> tuple[str, Any, np.ndarray]:
    """An indexer, a key for it, and the numbers in C order of the elements that it means."""
    shape = sample.full.shape
    numbers = np.arange(sample.full.size).reshape(shape)
    kinds = ["basic", "basic", "oindex"]
    if shape:
        kinds += ["mask", "list"]
    if shape and sample.full.size:
        kinds += ["vindex", "mixed", "blocks"]
    kind = draw(st.sampled_from(kinds))
    if kind == "oindex":
        key, oracle = draw(some.orthogonal_keys(shape))
        return "oindex", key, oracle(numbers)
    if kind == "blocks":
        key, elements = draw(some.block_keys(sample.array.write_chunk_sizes))
        return "blocks", key, numbers[elements]
    if kind == "mask":
        mask = np.random.default_rng(draw(some.SEEDS)).random(shape) < 0.3
        return draw(st.sampled_from(["basic", "vindex"])), mask, numbers[mask]
    makers: dict[str, Any] = {
        "basic": some.basic_keys, "vindex": some.pointwise_keys, "mixed": some.mixed_keys,
    }  # fmt: skip
    if kind == "list":
        key: Any = draw(some.index_lists(shape[0]))
        return "basic", key, numbers[np.asarray(key, None if len(key) else int)]
    key = draw(makers[kind](shape))
    return "vindex" if kind == "vindex" else "basic", key, np.asarray(numbers[key])


def fitted(value: Any, ndim: int) -> np.ndarray:
    """Without the axes in front that NumPy drops, but where the index is one of integers."""
    array = np.asarray(value)
    return array.reshape(array.shape[max(0, array.ndim - ndim) :])


def assign(array: gpuzarr.Array, indexer: str, key: Any, value: Any) -> bool:
    """Whether the key was taken; refused is what NumPy and Zarr understand differently."""
    target = array if indexer == "basic" else getattr(array, indexer)
    try:
        target[key] = uploaded(value)
    except SelectionError as error:
        assert "Use oindex or vindex" in str(error)  # noqa: PT017
        return False
    return True


def is_kept(sample: Sample) -> bool:
    """Whether zarr-python reads what it wrote, whatever it was.

    Labels that a codec does not know are lost, bits are rounded in C order only, and a codec of
    another byte order than the opened array's (which v3 does not tell) takes values for others.
    """
    metadata = sample.array.metadata
    if metadata.zarr_format == 3:
        return "'>" not in str(metadata.to_dict()["codecs"])
    lossy = (
        numcodecs.Categorize
        if metadata.order == "C"
        else (numcodecs.Categorize, numcodecs.BitRound)
    )
    return not any(isinstance(f, lossy) for f in metadata.filters or ())


def assert_assigned(data: st.DataObject, sample: Sample, count: int = 3) -> None:
    """Some assignments one after the other, each seen by zarr-python."""
    assume(is_kept(sample))
    store, mirror = copied(sample.store), np.array(sample.full, order="C")
    flat = mirror.reshape(-1)
    # a chunk of what equals the fill value vanishes, and with it the bits of a NaN or a -0.0
    has_one_form = mirror.dtype.kind not in "fcV"
    with zarr.config.set(
        {"array.write_empty_chunks": not has_one_form or data.draw(st.booleans())}
    ):
        ours = gpuzarr.open_array(store, mode="r+")
    wave = data.draw(st.sampled_from([1, 1 << 20]))
    for _ in range(count):
        indexer, key, numbers = data.draw(assignments(sample))
        value = data.draw(values_for(mirror.dtype, numbers.shape))
        with gpuzarr.config.set({"wave_bytes": wave, "threads": 2}):
            if assign(ours, indexer, key, value):
                flat[numbers] = fitted(value, numbers.ndim)
        assert_same(read_by_zarr(store), mirror)
    assert ours.shape == mirror.shape


# Assignments --------------------------------------------------------------------------------------


@given(data=st.data(), sample=some.v2_arrays())
def test_what_is_assigned_to_a_v2_array_is_what_zarr_python_reads(
    data: st.DataObject, sample: Sample
) -> None:
    assert_assigned(data, sample)


@given(data=st.data(), sample=some.v3_arrays() | some.v3_arrays(rectilinear=True))
def test_what_is_assigned_to_a_v3_array_is_what_zarr_python_reads(
    data: st.DataObject, sample: Sample
) -> None:
    assert_assigned(data, sample)


@given(
    data=st.data(),
    sample=st.one_of(
        some.v3_arrays(levels=1),
        some.v3_arrays(levels=2),
        some.v3_arrays(levels=1, rectilinear=True),
        some.v3_arrays(levels=1, beside=True),
    ),
)
def test_what_is_assigned_to_a_sharded_array_is_what_zarr_python_reads(
    data: st.DataObject, sample: Sample
) -> None:
    assert_assigned(data, sample)


STRUCTS = st.sampled_from(some.VOIDS[1:]).map(np.dtype)


@given(data=st.data(), sample=some.v2_arrays(STRUCTS) | some.v3_arrays(STRUCTS, levels=1))
def test_fields_of_structs_are_assigned_as_numpy_assigns_them(
    data: st.DataObject, sample: Sample
) -> None:
    store, mirror = copied(sample.store), np.array(sample.full, order="C")
    with zarr.config.set({"array.write_empty_chunks": True}):
        ours = gpuzarr.open_array(store, mode="r+")
    for _ in range(3):
        names = data.draw(st.permutations(mirror.dtype.names))
        names = names[: data.draw(st.integers(1, len(names)))]
        field: Any = names[0] if len(names) == 1 else names
        dtype = mirror.dtype[field] if isinstance(field, str) else mirror[field].dtype
        packed = np.dtype([(n, dtype[n]) for n in names]) if field is names else dtype
        if data.draw(st.booleans()):
            key, where = field, ...
        else:
            where = data.draw(some.basic_keys(mirror.shape))
            named = (field,) if isinstance(field, str) else field
            key = (*named, *(where if isinstance(where, tuple) else (where,)))
        value = some.values(packed, np.shape(mirror[where]), data.draw(some.SEEDS))
        ours[key] = uploaded(value)
        view = mirror[field]
        view[where] = value
        assert_same(read_by_zarr(store), mirror)


# Shapes that change -------------------------------------------------------------------------------

NUMBERS = st.sampled_from(["<i4", ">f8", "|u1"]).map(np.dtype)
GRIDS = st.one_of(
    some.v2_arrays(NUMBERS),
    some.v3_arrays(NUMBERS),
    some.v3_arrays(NUMBERS, levels=1),
    some.v3_arrays(NUMBERS, levels=2),
)


@FEW
@given(data=st.data(), sample=GRIDS)
def test_a_shape_changes_as_under_zarr_python(data: st.DataObject, sample: Sample) -> None:
    """Shrinking leaves cells beyond the shape, which a later shape may show again."""
    assume(is_kept(sample))
    stores = copied(sample.store), copied(sample.store)
    ours = gpuzarr.open_array(stores[0], mode="r+")
    theirs = zarr.open_array(stores[1], mode="r+")
    for step in data.draw(st.permutations(["shrink", "write", "grow", "append", "part", "resize"])):
        if step in ("write", "part"):
            lows = [data.draw(st.integers(0, n)) if step == "part" else 0 for n in ours.shape]
            key = (*(slice(low, None) for low in lows), ...)
            shape = tuple(n - low for n, low in zip(ours.shape, lows, strict=True))
            value = some.values(ours.dtype, shape, data.draw(some.SEEDS), tame=True)
            ours[key], theirs[key] = uploaded(value), value
        elif step == "append" and ours.shape:
            axis = data.draw(st.integers(0, len(ours.shape) - 1))
            shape = list(ours.shape)
            shape[axis] = data.draw(st.integers(0, 5))
            value = some.values(ours.dtype, tuple(shape), data.draw(some.SEEDS), tame=True)
            assert ours.append(uploaded(value), axis) == theirs.append(value, axis)
        else:
            low, high = {"shrink": (-4, 0), "grow": (0, 4)}.get(step, (-3, 3))
            shape = tuple(max(0, n + data.draw(st.integers(low, high))) for n in ours.shape)
            ours.resize(shape)
            theirs.resize(shape)
        assert ours.shape == theirs.shape
        assert_same(read_by_zarr(stores[0]), read_by_zarr(stores[1]))
        assert sorted(contents(stores[0])) == sorted(contents(stores[1]))
