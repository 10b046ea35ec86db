"""Any array and any selection: behind zarr-python, gpuzarr reads and stores as its default does.

The arrays and selections are random ones (`strategies`). Each is opened twice, under zarr's
default pipeline and under gpuzarr's; the default one is the oracle of what is read, of what is
refused, and of what is found in the store after a write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import strategies as some
import zarr
from harness import TINY_WAVES, assert_read, assert_same, uploaded
from hypothesis import assume, given, settings
from strategies import Sample
from zarr.abc.store import Store
from zarr.storage import LocalStore, MemoryStore, WrapperStore

import gpuzarr
from gpuzarr import pipeline

pytestmark = [
    pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning"),
    pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning"),
    # zarr-python, while it compares chunks with the fill value
    pytest.mark.filterwarnings("ignore:invalid value encountered in equal:RuntimeWarning"),
    # numcodecs' filters and casts, of any bits
    pytest.mark.filterwarnings("ignore:invalid value encountered in .*:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:overflow encountered in .*:RuntimeWarning"),
]

FEW = settings(max_examples=settings().max_examples // 2)


@pytest.fixture(autouse=True, scope="module")
def rectilinear_grids_are_allowed() -> Iterator[None]:
    with zarr.config.set({"array.rectilinear_chunks": True}):
        yield


@pytest.fixture(autouse=True, scope="module")
def chunks_went_through_gpuzarr() -> Iterator[None]:
    before = pipeline.counts()
    yield
    after = pipeline.counts()
    assert after["read"] > before["read"]
    assert after["written"] > before["written"]
    assert set(after["elsewhere"]) <= {
        *before["elsewhere"],
        "a sharding codec beside other codecs",
    }


def store_of(sample: Sample, kind: str, folder: str) -> Store:
    """A copy of a sample's store, of one of the kinds that gpuzarr tells apart."""
    contents = dict(sample.store._store_dict)
    if kind != "files":
        memory = MemoryStore(contents)
        return memory if kind == "memory" else WrapperStore(memory)
    for key, value in contents.items():
        path = Path(folder, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value.to_bytes())
    return LocalStore(folder)


def everything(array: zarr.Array) -> np.ndarray:
    """All of an array, read anew by zarr's default pipeline."""
    return np.asarray(zarr.open_array(array.store, mode="r")[...])


def settled(call: Callable[[], Any]) -> Any:
    """What a call gives, or the error that it raises."""
    try:
        return call()
    except Exception as error:
        return error


@dataclass
class Chosen:
    """One way to index an array."""

    face: str
    key: Any

    def read(self, array: zarr.Array) -> Any:
        """Read it."""
        return (getattr(array, self.face) if self.face else array)[self.key]

    def write(self, array: zarr.Array, value: Any) -> None:
        """Write it."""
        (getattr(array, self.face) if self.face else array)[self.key] = value


@st.composite
def selections(draw: st.DrawFn, array: zarr.Array) -> Chosen:
    """Basic, orthogonal, pointwise, by mask, by block."""
    shape = array.shape
    face = draw(st.sampled_from(["", "", "oindex", "vindex", "mask", "blocks"] if shape else [""]))
    if face == "oindex":
        return Chosen(face, draw(some.orthogonal_keys(shape))[0])
    if face == "vindex":
        if 0 in shape:
            return Chosen(face, tuple(np.empty(0, int) for _ in shape))
        return Chosen(face, draw(some.pointwise_keys(shape)))
    if face == "mask":
        seed = draw(some.SEEDS)
        return Chosen("vindex", np.random.default_rng(seed).random(shape) < 0.3)
    if face == "blocks":
        return Chosen(face, draw(some.block_keys(array.write_chunk_sizes))[0])
    key = draw(some.basic_keys(shape).filter(_has_no_new_axis))
    return Chosen(face, key)


def _has_no_new_axis(key: Any) -> bool:
    return all(item is not None for item in (key if isinstance(key, tuple) else (key,)))


def assert_same_face(sample: Sample, draw: Callable[..., Any]) -> None:
    """Some reads and writes, and the store after each."""
    codecs = getattr(sample.array.metadata, "codecs", ())
    # zarr-python hands numcodecs' filters native elements, whatever byte order they are told
    assume(not any("dtype': '>" in str(codec.to_dict()) for codec in codecs))
    kind = draw(st.sampled_from(["memory", "requests", "files"]))
    tiny = draw(st.booleans())
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        theirs = zarr.open_array(store_of(sample, kind, one), mode="r+")
        empties = {"write_empty_chunks": draw(st.booleans())}
        theirs = theirs.with_config(empties)
        with gpuzarr.enable("auto"):
            ours = zarr.open_array(store_of(sample, kind, other), mode="r+").with_config(empties)
        with gpuzarr.config.set(TINY_WAVES if tiny else {}):
            for _ in range(draw(st.integers(1, 3))):
                chosen = draw(selections(theirs))
                expected = settled(lambda: chosen.read(theirs))  # noqa: B023
                with gpuzarr.enable("auto"):  # results are on its device inside only
                    found = settled(lambda: chosen.read(ours))  # noqa: B023
                if isinstance(expected, Exception):
                    assert isinstance(found, type(expected)), found
                    continue
                if np.shape(expected) == () and sample.full.dtype == some.BYTES:
                    continue  # zarr-python neither reads nor writes single elements of these
                if is_left_to_us(ours, chosen, expected):
                    assert_read(found, expected)
                else:
                    assert_alike(found, expected)
                shape = np.shape(expected)
                value = value_for(sample, shape, draw)
                expected = settled(lambda: chosen.write(theirs, value))  # noqa: B023
                # of values for points and elements, zarr-python makes NumPy arrays
                given_value = uploaded(value) if chosen.face != "vindex" and shape else value
                found = settled(lambda: chosen.write(ours, given_value))  # noqa: B023
                if isinstance(expected, Exception):
                    assert isinstance(found, type(expected)), found
                    return
                assert found is None, found
                assert some.chunk_keys(ours.store) == some.chunk_keys(theirs.store)
                assert_alike(everything(ours), everything(theirs))


def is_left_to_us(array: zarr.Array, chosen: Chosen, expected: Any) -> bool:
    """Whether zarr-python asks a pipeline of ours, and hands on what it gives as it is."""
    is_ours = array.async_array.codec_pipeline.fallback is None
    return is_ours and chosen.face != "vindex" and bool(np.ndim(expected) and np.size(expected))


def assert_alike(found: Any, expected: Any) -> None:
    """As `assert_same`; scalars too."""
    assert type(found) is type(expected)
    assert_same(found, expected)


def value_for(sample: Sample, shape: tuple[int, ...], draw: Callable[..., Any]) -> Any:
    """Elements of the array itself, which its codecs can encode, or its fill value; or one."""
    elements, fill = sample.full.reshape(-1), sample.array.fill_value
    kind = draw(st.sampled_from(["elements", "elements", "fill", "one"]))
    if (kind == "fill" or not len(elements)) and fill is not None:
        value = np.empty(shape, elements.dtype)
        with suppress(ValueError):
            value[...] = fill
            return value
    rng = np.random.default_rng(draw(some.SEEDS))
    if not len(elements):
        return np.zeros(shape, elements.dtype)
    if kind == "one" or not shape:
        return elements[rng.integers(len(elements))]
    return elements[rng.integers(0, len(elements), shape)]


@given(sample=some.v2_arrays(), data=st.data())
def test_v2_arrays(sample: Sample, data: Any) -> None:
    assert_same_face(sample, data.draw)


@given(sample=some.v3_arrays(), data=st.data())
def test_v3_arrays(sample: Sample, data: Any) -> None:
    assert_same_face(sample, data.draw)


@given(sample=some.v3_arrays(levels=1), data=st.data())
def test_sharded_arrays(sample: Sample, data: Any) -> None:
    assert_same_face(sample, data.draw)


@FEW
@given(sample=some.v3_arrays(levels=2), data=st.data())
def test_shards_in_shards(sample: Sample, data: Any) -> None:
    assert_same_face(sample, data.draw)


@FEW
@given(sample=some.v3_arrays(levels=1, beside=True), data=st.data())
def test_shards_with_codecs_beside_them(sample: Sample, data: Any) -> None:
    assert_same_face(sample, data.draw)


@FEW
@given(sample=some.v3_arrays(rectilinear=True), data=st.data())
def test_rectilinear_grids(sample: Sample, data: Any) -> None:
    assert_same_face(sample, data.draw)


@FEW
@given(sample=some.v3_arrays(levels=1, rectilinear=True), data=st.data())
def test_rectilinear_grids_of_shards(sample: Sample, data: Any) -> None:
    assert_same_face(sample, data.draw)
