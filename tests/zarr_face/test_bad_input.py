"""Writes that fail: the error says what is needed and what is written, and old data stay intact."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from harness import assert_same
from stores import Watched
from zarr.abc.codec import BytesBytesCodec
from zarr.core.buffer import cpu
from zarr.registry import register_codec
from zarr.storage import MemoryStore

import gpuzarr
from gpuzarr import pipeline
from gpuzarr.errors import EncodingError, ReadOnlyError, StoreError, ValueFitError

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")

OLD = np.arange(80, dtype="f4").reshape(20, 4)
NEW = OLD + 100


class Picky(BytesBytesCodec):
    """A codec that does not encode chunks in which 113 is the first element."""

    is_fixed_size = True

    def to_dict(self) -> dict[str, Any]:
        return {"name": "picky", "configuration": {}}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Picky:
        return cls()

    async def _encode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        if np.frombuffer(chunk_bytes.to_bytes(), "<f4")[0] == NEW[12, 0]:
            raise ValueError("picky does not like this")
        return chunk_bytes

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        return chunk_bytes

    def compute_encoded_size(self, size: int, spec: Any) -> int:
        return size


register_codec("picky", Picky)


def on_zarrs_face(store: Any, **arguments: Any) -> Any:
    with gpuzarr.enable():
        return zarr.open_array(store, **{"mode": "r+", **arguments})


def on_the_native_face(store: Any, **arguments: Any) -> Any:
    return gpuzarr.open_array(store, **{"mode": "r+", **arguments})


FACES = {"zarr": on_zarrs_face, "native": on_the_native_face}


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def stored(store: Any) -> dict[str, bytes]:
    """Every object of a store in memory."""
    store = getattr(store, "_store", store)
    return {key: value.to_bytes() for key, value in store._store_dict.items()}


def old_array(**arguments: Any) -> MemoryStore:
    """A store that zarr's default pipeline filled."""
    store, more = MemoryStore(), {"chunks": (2, 2), **arguments}
    zarr.create_array(store, data=OLD, **more)
    return store


def changed(**arguments: Any) -> dict[str, bytes]:
    """What zarr's default pipeline stores if everything is replaced."""
    store = old_array(**arguments)
    zarr.open_array(store, mode="r+")[...] = NEW
    return stored(store)


def assert_sentence(text: str) -> None:
    """One line that ends as a sentence does."""
    assert "\n" not in text
    assert text.endswith(".")


LAYOUTS: dict[str, dict[str, Any]] = {
    "chunks": {},
    "shards": {"shards": (4, 4)},
    "v2": {"zarr_format": 2},
}


# Values -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(19, 4), (20,), (2, 20, 4), (4, 20), (0, 4), (20, 3)])
def test_a_value_of_another_shape_is_refused(face: str, layout: str, shape: Any) -> None:
    store = old_array(**LAYOUTS[layout])
    array, before = FACES[face](store), stored(store)
    with pytest.raises(ValueError, match=str(OLD.shape[0])) as caught:
        array[...] = np.zeros(shape, "f4")
    assert isinstance(caught.value, ValueFitError)
    assert_sentence(str(caught.value))
    assert str(OLD.shape) in str(caught.value)
    assert str(shape) in str(caught.value)
    assert stored(store) == before


@pytest.mark.parametrize("value", ["text", np.array([["a"] * 4] * 20), object(), [[1], [2, 3]]])
def test_a_value_that_is_no_number_is_refused(face: str, value: Any) -> None:
    store = old_array()
    array, before = FACES[face](store), stored(store)
    theirs = pytest.raises((ValueError, TypeError))
    with theirs:
        zarr.open_array(old_array(), mode="r+")[...] = value
    with pytest.raises((ValueError, TypeError)) as caught:
        array[...] = value
    if face == "native":
        assert isinstance(caught.value, ValueFitError)
        assert_sentence(str(caught.value))
        assert "float32" in str(caught.value)
    assert stored(store) == before


@pytest.mark.parametrize("kind", ["mode", "store"])
def test_what_is_opened_for_reading_is_not_written(face: str, kind: str) -> None:
    store = old_array()
    before = stored(store)
    read_only = store.with_read_only(True)
    array = FACES[face](store if kind == "mode" else read_only, mode="r")
    with pytest.raises(ValueError, match=r"read.?only|reading") as caught:
        array[...] = NEW
    if face == "native":
        assert isinstance(caught.value, ReadOnlyError)
        assert_sentence(str(caught.value))
        assert "r+" in str(caught.value)
    assert stored(store) == before


# Stores and codecs --------------------------------------------------------------------------------


def assert_truthful(error: Any, store: Any, before: dict[str, bytes], after: Any) -> None:
    """Each object is as before or as it should be; and the error tells which."""
    now = stored(store)
    assert now.keys() == before.keys()
    for key, data in now.items():
        assert data in (before[key], after[key])
    assert sorted(error.written) == sorted(k for k in now if now[k] != before[k])
    notes = " ".join(error.__notes__)
    if error.written:
        assert f"{len(error.written)} stored objects were written before" in notes
        assert repr(error.written[0]) in notes
    else:
        assert "Nothing was written." in notes


class StoreIsFullError(Exception):
    """Of the store's own."""


@pytest.mark.parametrize("kind", [StoreIsFullError, OSError])
@pytest.mark.parametrize("concurrency", [1, 4, 64])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_store_that_fails_amid_a_write(
    face: str, layout: str, concurrency: int, kind: type[Exception]
) -> None:
    arguments = LAYOUTS[layout]
    store = Watched(old_array(**arguments), 0.0005)
    array, before = FACES[face](store), stored(store)
    raised = kind("no space left for this")

    def fails(key: str) -> None:
        if key.removeprefix("c/").startswith(("3", "4/1")):
            raise raised

    store.fails = fails
    options = {"concurrency": concurrency, "wave_bytes": 64, "threads": 2}
    with gpuzarr.config.set(options), pytest.raises(Exception, match="no space left") as caught:
        array[...] = NEW
    error = caught.value
    if face == "native":
        assert isinstance(error, StoreError)
        assert_sentence(str(error))
        assert error.__cause__ is raised
    else:
        assert error is raised
    assert_truthful(error, store, before, changed(**arguments))
    store.fails = None
    array[...] = NEW
    assert_same(zarr.open_array(store)[...], NEW)


@pytest.mark.parametrize("layout", ["chunks", "shards"])
def test_a_store_that_fails_to_deliver_what_is_merged(face: str, layout: str) -> None:
    store = Watched(old_array(**LAYOUTS[layout]))
    array, before = FACES[face](store), stored(store)
    raised = ConnectionError("lost")

    def fails(key: str) -> None:
        if key.startswith("c/2"):
            raise raised

    store.fails = fails
    with pytest.raises(OSError, match="lost") as caught:
        array[1:19, 1:3] = 7
    assert (caught.value is raised) == (face == "zarr")
    expected = old_array(**LAYOUTS[layout])
    zarr.open_array(expected, mode="r+")[1:19, 1:3] = 7
    assert_truthful(caught.value, store, before, stored(expected))


@pytest.mark.parametrize("layout", ["chunks", "shards"])
def test_a_chunk_that_its_codec_does_not_encode(face: str, layout: str) -> None:
    arguments = {**LAYOUTS[layout], "compressors": Picky()}
    store = old_array(**arguments)
    array, before = FACES[face](store), stored(store)
    with gpuzarr.config.set({"wave_bytes": 32}), pytest.raises(ValueError, match="picky") as caught:
        array[...] = NEW
    assert isinstance(caught.value, EncodingError)
    assert_sentence(str(caught.value))
    assert caught.value.chunk.startswith("c/6/0" if layout == "chunks" else "c/3/0 (inner chunk")
    assert caught.value.stage == "picky"
    full = old_array(**LAYOUTS[layout], compressors=None)
    zarr.open_array(full, mode="r+")[...] = NEW
    assert_truthful(caught.value, store, before, stored(full))


def test_a_damaged_chunk_is_not_overwritten_in_part(face: str) -> None:
    store = old_array()
    store._store_dict["c/0/0"] = cpu.Buffer.from_bytes(b"damaged")
    array, before = FACES[face](store), stored(store)
    with pytest.raises(ValueError, match="c/0/0") as caught:
        array[0, 0] = 1
    assert_sentence(str(caught.value))
    assert_truthful(caught.value, store, before, before)
    array[:2, :2] = 5
    assert (zarr.open_array(store)[:2, :2] == 5).all()


# The fallback -------------------------------------------------------------------------------------


@pytest.fixture
def unprepared(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Opens arrays whose chain gpuzarr cannot prepare."""

    def fails(format_: Any) -> None:
        raise RuntimeError("no such chain. Not here")

    def opened(store: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr("gpuzarr.zarr_pipeline.chain_of", fails)
            return on_zarrs_face(store)

    return opened


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_cannot_be_prepared_goes_through_zarrs_own_pipeline(
    tmp_path: Path, unprepared: Any, caplog: Any, layout: str
) -> None:
    store, reason = old_array(**LAYOUTS[layout]), "RuntimeError: no such chain; not here"
    with caplog.at_level(logging.WARNING, "gpuzarr"):
        array = unprepared(store)
        counted = pipeline.counts()
        assert_same(array[...], OLD)
        array[...] = NEW
        array.append(OLD)
    (record,) = [r for r in caplog.records if r.name == "gpuzarr"]
    assert reason in record.getMessage()
    assert record.levelno == logging.WARNING
    done = pipeline.counts()
    assert done["elsewhere"][reason] > counted["elsewhere"].get(reason, 0)
    assert (done["read"], done["written"]) == (counted["read"], counted["written"])
    told = array.async_array.codec_pipeline.explain()
    assert reason in told
    assert "zarr-python's own pipeline" in told
    assert_same(zarr.open_array(store)[...], np.concatenate([NEW, OLD]))
