"""`enable`: when it holds and for what, on which stores, loops and threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from harness import assert_same
from stores import OwnLocalStore, Watched
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import BytesCodec, ShardingCodec, TransposeCodec
from zarr.registry import register_codec
from zarr.storage import FsspecStore, LocalStore, MemoryStore, ObjectStore, ZipStore

import gpuzarr
from gpuzarr import pipeline
from gpuzarr.errors import DeviceError
from gpuzarr.zarr_pipeline import GpuzarrCodecPipeline

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")

VALUES = np.arange(240, dtype="f4").reshape(20, 12)
OPTIONS = ("codec_pipeline.path", "ndbuffer")


def state() -> tuple[Any, ...]:
    """All that `enable` changes."""
    return *map(zarr.config.get, OPTIONS), gpuzarr.config.get("pipeline_device")


def is_ours(array: zarr.Array) -> bool:
    """Whether an array carries gpuzarr's pipeline."""
    return type(array.async_array.codec_pipeline) is GpuzarrCodecPipeline


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = state()
    yield
    assert state() == before


# When it holds ------------------------------------------------------------------------------------


def test_a_block_ends_with_what_was_before() -> None:
    before = state()
    with gpuzarr.enable() as outer:
        inside = state()
        assert inside != before
        with gpuzarr.enable("cpu"):
            assert state() == inside
        assert state() == inside
        with zarr.config.set({"codec_pipeline.path": before[0]}):
            assert not is_ours(zarr.create_array({}, data=VALUES))
    assert state() == before
    assert isinstance(outer, gpuzarr.enabling.Enabled)


def test_an_error_in_the_block_ends_it_too() -> None:
    before = state()
    with pytest.raises(KeyError), gpuzarr.enable():
        raise KeyError
    assert state() == before


def test_as_a_call_it_holds_from_then_on_in_all_threads() -> None:
    before = state()
    enabled = gpuzarr.enable()
    try:
        with ThreadPoolExecutor(1) as pool:
            assert is_ours(pool.submit(zarr.create_array, {}, data=VALUES).result())
        assert is_ours(zarr.create_array({}, data=VALUES))
    finally:
        enabled.__exit__(None, None, None)
    assert state() == before
    assert not is_ours(zarr.create_array({}, data=VALUES))


@pytest.mark.parametrize("device", ["gpu", "cuda", ""])
def test_an_unknown_device_is_refused_and_nothing_changed(device: str) -> None:
    before = state()
    with pytest.raises(DeviceError, match="device"):
        gpuzarr.enable(device)
    assert state() == before


def test_an_array_belongs_to_the_pipeline_it_was_opened_under() -> None:
    store = MemoryStore()
    before = zarr.create_array(store, data=VALUES, chunks=(5, 12))
    with gpuzarr.enable():
        inside = zarr.open_array(store, mode="r+")
        assert_same(before[...], VALUES)
    after = zarr.open_array(store, mode="r+")
    for array, chunks in ((before, 0), (inside, 4), (after, 0)):
        counted = pipeline.counts()
        assert is_ours(array) == bool(chunks)
        assert_same(array[...], VALUES)
        array[...] = VALUES
        assert pipeline.counts()["read"] - counted["read"] == chunks
        assert pipeline.counts()["written"] - counted["written"] == chunks


# Stores, loops and threads ------------------------------------------------------------------------


def _fsspec() -> Any:
    return FsspecStore.from_url(f"memory://gpuzarr-{time.time_ns()}")


def _obstore() -> Any:
    return ObjectStore(pytest.importorskip("obstore").store.MemoryStore())


STORES: dict[str, Callable[[Path], Any]] = {
    "memory": lambda folder: MemoryStore(),
    "local": LocalStore,
    "own local": OwnLocalStore,
    "zip": lambda folder: ZipStore(folder / "a.zip", mode="w"),
    "fsspec": lambda folder: _fsspec(),
    "obstore": lambda folder: _obstore(),
    "slow": lambda folder: Watched(MemoryStore(), 0.002),
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    made = STORES[request.param](tmp_path)
    yield made
    made.close()


def use(store: Any, name: str = "a", *, shards: Any = None) -> zarr.Array:
    """Write everything once, read this and that."""
    array = zarr.create_array(
        store, name=name, shape=VALUES.shape, chunks=(5, 4), shards=shards, dtype="f4"
    )
    assert is_ours(array)
    array[...] = VALUES
    assert_same(array[...], VALUES)
    assert_same(array[3:9, ::5], VALUES[3:9, ::5])
    assert_same(array.oindex[[1, 15], 2:4], VALUES[[1, 15], 2:4])
    return array


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("shards", [None, (10, 12)])
def test_the_synchronous_api_works_from_anywhere(store: Any, shards: Any) -> None:
    """Also from within a running loop, as in a notebook's cell, and from threads."""

    async def cell() -> None:
        use(store, "cell", shards=shards)

    with gpuzarr.enable():
        use(store, "plain", shards=shards)
        asyncio.run(cell())
        if not isinstance(store, ZipStore):
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda n: use(store, f"thread {n}", shards=shards), range(6)))
    assert_same(zarr.open_array(store, path="cell")[...], VALUES)


@pytest.mark.parametrize("shards", [None, (10, 12)])
async def test_the_asynchronous_api_works_on_a_loop_of_the_users_own(
    store: Any, shards: Any
) -> None:
    with gpuzarr.enable():
        array = await zarr.api.asynchronous.create_array(
            store, shape=VALUES.shape, chunks=(5, 4), shards=shards, dtype="f4"
        )
        await array.setitem((slice(None), slice(None)), VALUES)
        assert_same(await array.getitem((slice(None), slice(1, 3))), VALUES[:, 1:3])
        found = await asyncio.gather(*(array.getitem((n, slice(None))) for n in range(20)))
        assert_same(np.stack(found), VALUES)
        if isinstance(store, Watched):
            assert store.loops == {asyncio.get_running_loop()}


class Waiting(BytesBytesCodec):
    """A codec that only its asynchronous methods run."""

    is_fixed_size = True

    def to_dict(self) -> dict[str, Any]:
        return {"name": "waiting", "configuration": {}}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Waiting:
        return cls()

    async def _encode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        await asyncio.sleep(0.001)
        return chunk_bytes

    _decode_single = _encode_single

    def compute_encoded_size(self, size: int, spec: Any) -> int:
        return size


register_codec("waiting", Waiting)
CHAINS: dict[str, dict[str, Any]] = {
    "plain": {},
    "async": {"compressors": Waiting()},
    "shards": {"shards": (10, 12), "compressors": Waiting()},
    "shards beside": {
        "chunks": (10, 12),
        "filters": TransposeCodec(order=(1, 0)),
        "serializer": ShardingCodec(chunk_shape=(2, 2), codecs=[BytesCodec(), Waiting()]),
        "compressors": None,
    },
}


@pytest.mark.parametrize("chain", CHAINS)
def test_many_reads_at_once_do_not_wait_for_each_other(chain: str) -> None:
    """More than the threads of the loop's executor: which then has none for what is inside."""
    store = Watched(MemoryStore(), 0.001)
    theirs = zarr.create_array(
        store, shape=VALUES.shape, dtype="f4", **{"chunks": (5, 4), **CHAINS[chain]}
    )
    theirs[...] = VALUES

    async def all_at_once() -> list[Any]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        array = await zarr.api.asynchronous.open_array(store=store)
        assert type(array.codec_pipeline) is GpuzarrCodecPipeline
        rows = [array.getitem((n % 20, slice(None))) for n in range(60)]
        return await asyncio.wait_for(asyncio.gather(*rows), 30)

    with gpuzarr.enable():
        found = asyncio.run(all_at_once())
        array = zarr.open_array(store)
        with ThreadPoolExecutor(40) as pool:
            again = list(pool.map(lambda n: array[n % 20], range(60), timeout=30))
    assert_same(np.stack(found), VALUES[np.arange(60) % 20])
    assert_same(np.stack(again), VALUES[np.arange(60) % 20])


# Ends ---------------------------------------------------------------------------------------------


async def test_cancelling_a_read_ends_it() -> None:
    store = Watched(MemoryStore())
    zarr.create_array(store, data=VALUES, chunks=(1, 12))
    with gpuzarr.enable(), gpuzarr.config.set({"concurrency": 2}):
        array = await zarr.api.asynchronous.open_array(store=store)
        store.seconds = 30
        reading = asyncio.create_task(array.getitem(slice(None)))
        while not store.in_flight:
            await asyncio.sleep(0.005)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        deadline = time.monotonic() + 5
        while store.in_flight and time.monotonic() < deadline:
            await asyncio.sleep(0.005)
        assert not store.in_flight
        asked, store.seconds = len(store.requests), 0
        await asyncio.sleep(0.05)
        assert len(store.requests) == asked
        assert_same(await array.getitem(slice(None)), VALUES)


class OwnError(Exception):
    """What a store of the user's own raises."""


@pytest.mark.parametrize("kind", [OwnError, ConnectionError, PermissionError, TimeoutError])
@pytest.mark.parametrize("shards", [None, (10, 12)])
def test_what_a_store_raises_comes_through(kind: type[Exception], shards: Any) -> None:
    raised = kind("the store is closed for today")

    def fails(key: str) -> None:
        if key.startswith("c/1"):
            raise raised

    store = Watched(MemoryStore())
    zarr.create_array(store, data=VALUES, chunks=(5, 4), shards=shards)
    with gpuzarr.enable():
        array = zarr.open_array(store, mode="r+")
    store.fails = fails
    with pytest.raises(kind) as caught:
        array[...]
    assert caught.value is raised
    (note,) = caught.value.__notes__
    assert "c/1/0" in note
    assert "the store is closed for today" in note
    assert note.endswith(".")
    assert_same(array[:5], VALUES[:5])
