"""Any array that zarr-python writes, gpuzarr reads as zarr-python does; any selection, as NumPy.

The arrays and selections are random ones (`strategies`); the oracle is what zarr-python reads of
the whole array, and NumPy's indexing of that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import strategies as some
import zarr
import zarr.testing.strategies as zarr_strategies
from harness import TINY_WAVES, assert_read, assert_same
from hypothesis import given, settings
from strategies import Sample
from zarr.storage import WrapperStore

import gpuzarr
from gpuzarr.errors import SelectionError

pytestmark = [
    pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning"),
    pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning"),
    # zarr-python, while it compares chunks with the fill value
    pytest.mark.filterwarnings("ignore:invalid value encountered in equal:RuntimeWarning"),
    # numcodecs' delta, which sums into memory that is not initialised
    pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning"),
]


@pytest.fixture(autouse=True, scope="module")
def rectilinear_grids_are_allowed() -> Iterator[None]:
    with zarr.config.set({"array.rectilinear_chunks": True}):
        yield


FEW = settings(max_examples=settings().max_examples // 2)
MANY = settings(max_examples=settings().max_examples * 3)


SOURCES = st.sampled_from(["memory", "files", "requests"])


@contextmanager
def opened(sample: Sample, source: str) -> Iterator[gpuzarr.Array]:
    """The array where it was written, in files, or behind a store of which nothing is known."""
    with TemporaryDirectory() if source == "files" else nullcontext("") as folder:
        if source == "files":
            for key, value in sample.store._store_dict.items():
                path = Path(folder, key)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(value.to_bytes())
        stores = {"memory": sample.store, "files": folder, "requests": WrapperStore(sample.store)}
        yield gpuzarr.open_array(stores[source])


def assert_reads_all(sample: Sample) -> None:
    """The whole array, from any source, at once and wave by wave on several threads."""
    for source in ("memory", "files", "requests"):
        with opened(sample, source) as ours:
            assert_read(ours.read(), sample.full)
            with gpuzarr.config.set(TINY_WAVES):
                assert_read(ours.read(), sample.full)


# The whole array --------------------------------------------------------------------------------


@MANY
@given(sample=some.v2_arrays())
def test_a_v2_array_is_what_zarr_python_reads(sample: Sample) -> None:
    assert_reads_all(sample)


@MANY
@given(sample=some.v3_arrays())
def test_a_v3_array_is_what_zarr_python_reads(sample: Sample) -> None:
    assert_reads_all(sample)


@MANY
@given(sample=some.v3_arrays(levels=1))
def test_a_sharded_array_is_what_zarr_python_reads(sample: Sample) -> None:
    assert_reads_all(sample)


@given(sample=some.v3_arrays(levels=2) | some.v3_arrays(levels=3))
def test_an_array_of_shards_in_shards_is_what_zarr_python_reads(sample: Sample) -> None:
    assert_reads_all(sample)


@given(sample=some.v3_arrays(rectilinear=True))
def test_a_rectilinear_array_is_what_zarr_python_reads(sample: Sample) -> None:
    assert_reads_all(sample)


@given(sample=some.v3_arrays(levels=1, rectilinear=True))
def test_shards_of_a_rectilinear_grid_are_what_zarr_python_reads(sample: Sample) -> None:
    assert_reads_all(sample)


@given(sample=some.v3_arrays(levels=1, beside=True))
def test_a_shard_with_other_codecs_beside_it_is_what_zarr_python_reads(sample: Sample) -> None:
    assert_reads_all(sample)


@FEW
@given(
    array=zarr_strategies.arrays()
    | zarr_strategies.sharded_arrays()
    | zarr_strategies.complex_rectilinear_arrays().map(lambda pair: pair[1])
)
def test_what_zarr_pythons_own_strategies_make_is_what_zarr_python_reads(array: Any) -> None:
    ours = gpuzarr.open(array.store, path=array.path)
    assert_read(ours[...], np.asarray(array[...])[()])
    assert dict(ours.attrs) == dict(array.attrs)


@given(
    data=st.data(), sample=some.v2_arrays() | some.v3_arrays() | some.v3_arrays(rectilinear=True)
)
def test_a_resized_array_is_what_zarr_python_reads(data: st.DataObject, sample: Sample) -> None:
    """Edge chunks then hold more than is seen of them, or less than they could."""
    array = zarr.open_array(sample.store, mode="r+")
    array.resize(tuple(data.draw(st.integers(0, n + 4)) for n in array.shape))
    full = np.asarray(array[...])
    found = gpuzarr.open(sample.store)
    assert_read(found.read(), full.astype(array.dtype))
    key = data.draw(some.basic_keys(full.shape))
    assert_read(found.read(key), Sample(sample.store, array, full.astype(array.dtype)).picked(key))


# Selections -------------------------------------------------------------------------------------

NUMBERS = st.sampled_from(["<i4", ">f8", "|u1"]).map(np.dtype)
GRIDS = st.one_of(
    some.v2_arrays(NUMBERS),
    some.v3_arrays(NUMBERS),
    some.v3_arrays(NUMBERS, levels=1),
    some.v3_arrays(NUMBERS, levels=2),
    some.v3_arrays(NUMBERS, rectilinear=True),
)


@MANY
@given(data=st.data(), sample=GRIDS)
def test_a_basic_selection_is_what_numpy_gives(data: st.DataObject, sample: Sample) -> None:
    key = data.draw(some.basic_keys(sample.full.shape))
    with opened(sample, data.draw(SOURCES)) as ours:
        assert_read(ours.read(key), sample.picked(key))


@given(data=st.data(), sample=st.one_of(some.v2_arrays(), some.v3_arrays(levels=1)))
def test_a_basic_selection_of_any_dtype_is_what_numpy_gives(
    data: st.DataObject, sample: Sample
) -> None:
    key = data.draw(some.basic_keys(sample.full.shape))
    with opened(sample, data.draw(SOURCES)) as ours:
        assert_read(ours.read(key), sample.picked(key))


@MANY
@given(data=st.data(), sample=GRIDS)
def test_oindex_is_the_outer_product(data: st.DataObject, sample: Sample) -> None:
    key, oracle = data.draw(some.orthogonal_keys(sample.full.shape))
    with opened(sample, data.draw(SOURCES)) as ours:
        assert_read(ours.oindex[key], oracle(sample.full)[()])


@MANY
@given(data=st.data(), sample=GRIDS.filter(lambda s: s.full.size and s.full.ndim))
def test_vindex_is_pointwise(data: st.DataObject, sample: Sample) -> None:
    key = data.draw(some.pointwise_keys(sample.full.shape))
    with opened(sample, data.draw(SOURCES)) as ours:
        for found in (ours.vindex[key], ours[key]):
            assert_read(found, sample.picked(key)[()])


@given(data=st.data(), sample=GRIDS.filter(lambda s: s.full.ndim))
def test_a_mask_picks_what_numpy_picks(data: st.DataObject, sample: Sample) -> None:
    rng = np.random.default_rng(data.draw(some.SEEDS))
    mask = rng.random(sample.full.shape) < data.draw(st.sampled_from([0, 0.1, 0.5, 1]))
    ours = gpuzarr.open(sample.store)
    assert_read(ours.vindex[mask], sample.full[mask])
    assert_read(ours[mask], sample.full[mask])


@MANY
@given(data=st.data(), sample=GRIDS.filter(lambda s: s.full.size and s.full.ndim))
def test_any_mixture_of_indexes_is_what_numpy_gives(data: st.DataObject, sample: Sample) -> None:
    """Refused is an integer, a slice and a list behind it, where NumPy and Zarr differ."""
    key = data.draw(some.mixed_keys(sample.full.shape))
    try:
        found = gpuzarr.open(sample.store).read(key)
    except SelectionError:
        kinds = "".join("s" if isinstance(k, slice) else "l" if np.ndim(k) else "i" for k in key)
        assert kinds.count("l") == 1
        assert "s" in kinds[: kinds.index("l")]
        assert "s" in kinds.strip("s")
    else:
        assert_read(found, sample.picked(key))


@given(data=st.data(), sample=GRIDS.filter(lambda s: s.full.size and s.full.ndim))
def test_blocks_are_the_stored_chunks(data: st.DataObject, sample: Sample) -> None:
    key, elements = data.draw(some.block_keys(sample.array.write_chunk_sizes))
    assert_read(gpuzarr.open(sample.store).blocks[key], sample.full[elements])


STRUCTS = st.sampled_from(some.VOIDS[1:]).map(np.dtype)


@given(data=st.data(), sample=some.v2_arrays(STRUCTS) | some.v3_arrays(STRUCTS, levels=1))
def test_fields_of_structs_are_what_numpy_gives(data: st.DataObject, sample: Sample) -> None:
    names = data.draw(st.permutations(sample.full.dtype.names))
    key = data.draw(some.basic_keys(sample.full.shape))
    ours, several = gpuzarr.open(sample.store), names[: data.draw(st.integers(1, len(names)))]
    assert_same(ours.read(names[0]), sample.full[names[0]])
    within = key if isinstance(key, tuple) else (key,)
    assert_same(ours.read((names[0], *within)), sample.picked(key)[names[0]])
    expected = sample.full[several]
    assert_same(ours.read(several), expected.astype([(n, expected.dtype[n]) for n in several]))


# Into memory of the caller's, and many at once --------------------------------------------------


@MANY
@given(data=st.data(), sample=GRIDS)
def test_out_may_have_any_strides_and_byte_order(data: st.DataObject, sample: Sample) -> None:
    shape = sample.full.shape
    keys = [some.basic_keys(shape)]
    if sample.full.size and shape:
        keys.append(some.pointwise_keys(shape))
    key = data.draw(st.one_of(keys))
    expected = sample.picked(key)
    axes = data.draw(st.permutations(range(expected.ndim)))
    steps = tuple(slice(None, None, data.draw(st.sampled_from([1, 2, -1, -2]))) for _ in axes)
    lengths = [n * abs(s.step) for n, s in zip(expected.shape, steps, strict=True)]
    dtype = expected.dtype.newbyteorder(data.draw(st.sampled_from("=<>")))
    memory = np.zeros([lengths[axis] for axis in axes], dtype).transpose(np.argsort(axes))
    out = memory[(*steps, ...)]
    assert gpuzarr.open(sample.store).read(key, out=out) is out
    assert_same(out.astype(expected.dtype), expected)
    out[...] = 0
    assert not memory.any()  # what lies between its elements has not been touched


@given(data=st.data(), sample=GRIDS.filter(lambda s: s.full.ndim))
def test_read_many_stacks_boxes(data: st.DataObject, sample: Sample) -> None:
    """By origins and by selections; on several threads and on one."""
    full = sample.full
    box = tuple(data.draw(st.integers(0, n)) for n in full.shape)
    count = data.draw(st.integers(0, 6))
    origins = np.array(
        [
            [data.draw(st.integers(0, n - b)) for n, b in zip(full.shape, box, strict=True)]
            for _ in range(count)
        ],
        np.int64,
    ).reshape(count, full.ndim)
    keys = [
        tuple(slice(o, o + b) for o, b in zip(origin.tolist(), box, strict=True))
        for origin in origins
    ]
    expected = np.array([full[key] for key in keys], full.dtype).reshape(count, *box)
    with opened(sample, data.draw(SOURCES)) as ours:
        assert_read(ours.read_many(origins, shape=box), expected)
        if count:
            assert_read(ours.read_many(keys), expected)
            with gpuzarr.config.set(TINY_WAVES):
                assert_read(ours.read_many(keys), expected)


@given(data=st.data(), sample=GRIDS.filter(lambda s: s.full.size and s.full.ndim))
def test_read_many_takes_integers_and_newaxes_alike(data: st.DataObject, sample: Sample) -> None:
    full = sample.full
    kinds = [data.draw(st.sampled_from(["integer", "slice", "whole"])) for _ in full.shape]
    widths = [data.draw(st.integers(1, n)) for n in full.shape]
    new = data.draw(st.booleans())

    def key() -> tuple[Any, ...]:
        items: list[Any] = [None] if new else []
        for kind, width, length in zip(kinds, widths, full.shape, strict=True):
            start = data.draw(st.integers(0, length - width))
            if kind == "integer":
                items.append(start)
            else:
                items.append(slice(start, start + width) if kind == "slice" else slice(None))
        return tuple(items)

    keys = [key() for _ in range(data.draw(st.integers(1, 4)))]
    expected = np.stack([sample.picked(k) for k in keys]).astype(full.dtype)
    assert_read(gpuzarr.open(sample.store).read_many(keys), expected)


@given(data=st.data(), samples=st.lists(GRIDS, max_size=4))
def test_read_many_reads_across_arrays(data: st.DataObject, samples: list[Sample]) -> None:
    keys = [data.draw(some.basic_keys(s.full.shape)) for s in samples]
    pairs = [(gpuzarr.open(s.store), key) for s, key in zip(samples, keys, strict=True)]
    found = gpuzarr.read_many(pairs)
    assert len(found) == len(samples)
    for result, sample, key in zip(found, samples, keys, strict=True):
        assert_read(result, sample.picked(key))


# What is told -----------------------------------------------------------------------------------


@given(data=st.data(), sample=GRIDS)
def test_the_report_keeps_to_the_explanation(data: st.DataObject, sample: Sample) -> None:
    """explain() says before what last_read counts after; zarr-python's keys are the oracle."""
    ours = gpuzarr.open(sample.store)
    told = ours.explain()
    ours[...]
    done = ours.last_read
    assert done is not None
    assert done.chunks + done.missing == told.chunks
    assert told.chunks == some.chunk_count(sample.array)
    assert done.bytes_decoded <= told.bytes_decoded
    planned = Counter((s.stage, s.device) for s in told.stages)
    assert done.stages == {s: n * done.chunks for s, n in planned.items() if done.chunks}
    if not ours.shards:
        keys = some.chunk_keys(sample.store)
        assert done.chunks == len(keys)
        assert done.bytes_read == sum(len(sample.store._store_dict[key]) for key in keys)
