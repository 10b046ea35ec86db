"""What sinks leave in stores, held against zarr-python's stores and the file system."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import numpy as np
import pytest
from stores import OwnLocalStore, Watched, running_loop
from zarr.abc.store import Store
from zarr.core.buffer import Buffer, cpu, default_buffer_prototype
from zarr.core.sync import _get_loop, sync
from zarr.storage import (
    FsspecStore,
    LocalStore,
    LoggingStore,
    MemoryStore,
    ObjectStore,
    WrapperStore,
    ZipStore,
)
from zarr.testing.buffer import StoreExpectingTestBuffer, TestBuffer

import gpuzarr
from gpuzarr.batch import MISSING, Batch
from gpuzarr.errors import ReadOnlyError, StoreError, UnsupportedError
from gpuzarr.sources import Storing
from gpuzarr.sources.store_sink import sink_of


def batch_of(*streams: bytes | None) -> Batch:
    """Streams in an arena, apart from each other."""
    offsets, sizes, arena = [], [], bytearray(b"\xee" * 3)
    for stream in streams:
        offsets.append(len(arena))
        sizes.append(MISSING if stream is None else len(stream))
        arena += (stream or b"") + b"\xee" * 5
    array = np.frombuffer(arena, np.uint8)
    return Batch(array, np.array(offsets, np.int64), np.array(sizes, np.int64))


def put(sink: Any, objects: dict[str, bytes | None], written: list[str] | None = None) -> Storing:
    """Store, and use the arena for something else at once."""
    batch = batch_of(*objects.values())
    storing = sink.put(list(objects), batch, [] if written is None else written)
    batch.arena[:] = 0x55
    return storing


def found(store: Store) -> dict[str, bytes]:
    """All that a store holds, as zarr sees it."""

    async def read() -> dict[str, bytes]:
        prototype = default_buffer_prototype()
        keys = [key async for key in store.list()]
        return {key: (await store.get(key, prototype)).to_bytes() for key in keys}

    return sync(read())


def files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def assert_sentence(error: BaseException) -> None:
    assert re.fullmatch(r"[A-Z][^\n]*[^.]\.", str(error)), str(error)


# Every store ----------------------------------------------------------------------------------


def _object_store(name: str, *arguments: Any) -> ObjectStore[Any]:
    stores = pytest.importorskip("obstore.store", reason="obstore is not installed")
    return ObjectStore(getattr(stores, name)(*arguments))


KINDS: dict[str, Callable[[Path], Store]] = {
    "local": LocalStore,
    "own-local": OwnLocalStore,
    "memory": lambda folder: MemoryStore(),
    "zip": lambda folder: ZipStore(folder / "a.zip", mode="w"),
    "fsspec": lambda folder: FsspecStore.from_url(f"memory://{folder}/store"),
    "object-memory": lambda folder: _object_store("MemoryStore"),
    "object-local": lambda folder: _object_store("LocalStore", str(folder)),
    "wrapped-local": lambda folder: WrapperStore(LocalStore(folder)),
    "logging": lambda folder: LoggingStore(MemoryStore(), log_level="ERROR"),
}


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty one of each kind in turn."""
    made = KINDS[request.param](tmp_path)
    yield made
    made.close()


FIRST = {
    "zarr.json": b"{}",
    "a/b/c/0/0": b"nested",
    "a/b/c/0/1": bytes(range(256)) * 300,
    "a/0.0": b"dots",
    "empty": b"",
}


def test_a_store_holds_what_was_put_whatever_becomes_of_the_arena(store: Store) -> None:
    written: list[str] = []
    put(sink_of(store), FIRST, written).result()
    assert found(store) == FIRST
    assert sorted(written) == sorted(FIRST)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_an_object_takes_the_place_of_the_one_before(store: Store) -> None:
    sink = sink_of(store)
    put(sink, FIRST).result()
    put(sink, {"a/b/c/0/1": b"short", "empty": b"full"}).result()
    assert found(store) == {**FIRST, "a/b/c/0/1": b"short", "empty": b"full"}


def test_a_missing_stream_deletes_and_what_is_absent_stays_so(store: Store) -> None:
    if isinstance(store, ZipStore):
        pytest.skip("a zip file deletes nothing")
    sink, written = sink_of(store), []
    put(sink, FIRST).result()
    changes = {"a/b/c/0/0": None, "a/0.0": b"new", "nothing/here": None}
    put(sink, changes, written).result()
    rest = {k: v for k, v in FIRST.items() if k != "a/b/c/0/0"}
    assert found(store) == {**rest, "a/0.0": b"new"}
    assert sorted(written) == sorted(changes)


def test_nothing_to_put_is_no_error(store: Store) -> None:
    written: list[str] = []
    put(sink_of(store), {}, written).result()
    assert written == []


def test_a_zip_file_deletes_nothing_and_says_so(tmp_path: Path) -> None:
    with ZipStore(tmp_path / "a.zip", mode="w") as store:
        sink, written = sink_of(store), []
        put(sink, {"a": b"1"}).result()
        put(sink, {"absent": None}, written).result()
        with pytest.raises(UnsupportedError, match="'a'") as caught:
            put(sink, {"a": None}, written).result()
        assert_sentence(caught.value)
        assert isinstance(caught.value, NotImplementedError)
        assert written == ["absent"]


@pytest.mark.parametrize("kind", ["local", "memory", "own-local", "wrapped-local"])
def test_a_read_only_store_takes_no_writes_in_the_words_of_zarr(kind: str, tmp_path: Path) -> None:
    store: Store = {
        "local": lambda: LocalStore(tmp_path, read_only=True),
        "memory": lambda: MemoryStore(read_only=True),
        "own-local": lambda: OwnLocalStore(tmp_path, read_only=True),
        "wrapped-local": lambda: WrapperStore(LocalStore(tmp_path, read_only=True)),
    }[kind]()
    with pytest.raises(ValueError, match="read-only") as theirs:
        sync(store.set("a", cpu.Buffer.from_bytes(b"")))
    with pytest.raises(ReadOnlyError) as ours:
        sink_of(store)
    assert_sentence(ours.value)
    assert str(theirs.value) in str(ours.value)
    assert str(store) in str(ours.value)


# Local files ----------------------------------------------------------------------------------


def test_a_file_is_renamed_from_a_partial_one_beside_it_as_zarr_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed, replace = [], os.replace

    def spy(source: Any, target: Any) -> None:
        renamed.append((Path(source), Path(target), Path(source).read_bytes()))
        replace(source, target)

    monkeypatch.setattr(os, "replace", spy)
    store = LocalStore(tmp_path)
    put(sink_of(store), {"c/0": b"ours"}).result()
    store.set_sync("c/0", cpu.Buffer.from_bytes(b"zarr"))
    assert [data for _, _, data in renamed] == [b"ours", b"zarr"]
    for source, target, _ in renamed:
        assert target == tmp_path / "c/0"
        assert source.parent == target.parent
        assert re.fullmatch(r"0\.[0-9a-f]{32}\.partial", source.name)
    assert renamed[0][0] != renamed[1][0]


def test_a_file_has_the_mode_that_zarr_gives_it(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for mask in (0o022, 0o077):
        old = os.umask(mask)
        try:
            put(sink_of(store), {"ours": b""}).result()
            store.set_sync("zarr", cpu.Buffer.from_bytes(b""))
        finally:
            os.umask(old)
        assert (tmp_path / "ours").stat().st_mode == (tmp_path / "zarr").stat().st_mode


def _full_at(call: str, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the second object fail, in the middle of its bytes or at its end."""
    real, calls = getattr(os, call), []

    def failing(*arguments: Any) -> Any:
        calls.append(arguments)
        if call == "write" and len(calls) == 2:  # a part of the bytes is on the disk
            return real(arguments[0], arguments[1][:3])
        if len(calls) == (3 if call == "write" else 2):
            raise error
        return real(*arguments)

    monkeypatch.setattr(os, call, failing)


@pytest.mark.parametrize("call", ["write", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_whole_and_no_partial_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: BaseException
) -> None:
    old = {"c/0": b"old 0", "c/1": b"old 1", "c/2": b"old 2"}
    sink, written = sink_of(LocalStore(tmp_path)), []
    put(sink, old).result()
    new = {"c/0": b"new 00", "c/1": b"new 11", "c/2": b"new 22"}
    _full_at(call, monkeypatch, error)
    if isinstance(error, OSError):
        storing = put(sink, new, written)
        with pytest.raises(StoreError, match=r"'c/1' cannot be written: No space left") as caught:
            storing.result()
        assert_sentence(caught.value)
        assert caught.value.__cause__ is error
    else:
        with pytest.raises(KeyboardInterrupt):
            put(sink, new, written)
    assert files(tmp_path) == {**old, "c/0": b"new 00"}
    assert written == ["c/0"]


def test_a_system_that_takes_few_bytes_at_a_time_gets_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = os.write, []

    def few(fd: int, data: Any) -> int:
        calls.append(fd)
        return write(fd, data[:100])

    monkeypatch.setattr(os, "write", few)
    put(sink_of(LocalStore(tmp_path)), {"a": bytes(range(250)) * 4}).result()
    assert files(tmp_path) == {"a": bytes(range(250)) * 4}
    assert len(calls) == 10


def test_directories_are_made_only_where_one_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = sink_of(LocalStore(tmp_path / "not/yet/there"))
    put(sink, {"a/b/0": b"0"}).result()

    def asked(objects: dict[str, bytes | None]) -> list[str]:
        calls: list[str] = []
        with monkeypatch.context() as patch:
            for name in ("mkdir", "stat", "lstat"):
                real = getattr(os, name)
                spy = lambda *a, name=name, real=real, **k: (calls.append(name), real(*a, **k))[1]  # noqa: E731
                patch.setattr(os, name, spy)
            put(sink, objects).result()
        return calls

    assert asked({"a/b/0": b"1", "a/b/1": b"1"}) == []
    assert asked({"a/c/0": b"1"}) == ["mkdir"]


def test_many_threads_make_the_same_directories(tmp_path: Path) -> None:
    sink = sink_of(LocalStore(tmp_path))
    objects = {f"{n % 7}/{n % 5}/deep/{n}": str(n).encode() for n in range(200)}
    with ThreadPoolExecutor(8) as pool:
        for storing in pool.map(lambda item: put(sink, dict([item])), objects.items()):
            storing.result()
    assert files(tmp_path) == objects


@pytest.mark.parametrize("key", ["file/below", "file/far/below", "folder"])
def test_a_place_that_is_taken_is_an_error_that_names_the_key(tmp_path: Path, key: str) -> None:
    """A file where a directory is needed, a directory where a file is."""
    sink, written = sink_of(LocalStore(tmp_path)), []
    old = {"file": b"old", "folder/inner": b"old"}
    put(sink, old).result()
    with pytest.raises(StoreError, match=f"'{key}' cannot be written") as caught:
        put(sink, {"first": b"1", key: b"2", "last": b"3"}, written).result()
    assert_sentence(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    assert files(tmp_path) == {**old, "first": b"1"}
    assert written == ["first"]


def test_a_file_that_may_not_be_written_or_deleted_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = sink_of(LocalStore(tmp_path))
    put(sink, {"a": b"old"}).result()

    def denied(*arguments: Any, **keywords: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(StoreError, match="'a' cannot be written: Permission denied"):
        put(sink, {"a": b"new"}).result()
    monkeypatch.undo()
    monkeypatch.setattr(os, "unlink", denied)
    with pytest.raises(StoreError, match="'a' cannot be deleted: Permission denied"):
        put(sink, {"a": None}).result()
    monkeypatch.undo()
    assert files(tmp_path) == {"a": b"old"}


def test_to_delete_a_directory_deletes_what_it_holds_as_zarr_does(tmp_path: Path) -> None:
    roots = [tmp_path / "ours", tmp_path / "zarr"]
    for root in roots:
        put(sink_of(LocalStore(root)), FIRST).result()
    put(sink_of(LocalStore(roots[0])), {"a/b": None}).result()
    sync(LocalStore(roots[1]).delete("a/b"))
    assert files(roots[0]) == files(roots[1]) == {k: v for k, v in FIRST.items() if "a/b" not in k}


def test_to_delete_below_a_file_deletes_nothing(tmp_path: Path) -> None:
    sink, written = sink_of(LocalStore(tmp_path)), []
    put(sink, {"a": b"1", "a/below": None}, written).result()
    assert files(tmp_path) == {"a": b"1"}
    assert written == ["a", "a/below"]


def test_local_files_are_written_in_the_thread_that_asks(tmp_path: Path) -> None:
    sink = sink_of(LocalStore(tmp_path))
    assert (sink.name, sink.requests_ahead) == ("posix", 0)
    storing = put(sink, {"a": b"1"})
    assert files(tmp_path) == {"a": b"1"}
    storing.cancel()
    storing.result()


# Whose methods --------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [LocalStore, MemoryStore])
def test_a_subclass_that_changes_set_and_delete_is_honoured(
    base: type[Store], tmp_path: Path
) -> None:
    class Own(base):  # type: ignore[misc, valid-type]
        async def set(self, key: str, value: Buffer) -> None:
            await super().set(key, cpu.Buffer.from_bytes(value.to_bytes().upper()))

        async def delete(self, key: str) -> None:
            await super().set(key, cpu.Buffer.from_bytes(b"gone"))

    store = Own(tmp_path) if base is LocalStore else Own()
    sink = sink_of(store)
    put(sink, {"a": b"abc", "b": None}).result()
    assert found(store) == {"a": b"ABC", "b": b"gone"}
    assert sink.name == "Own"
    assert sink.requests_ahead == gpuzarr.config.get("concurrency")


@pytest.mark.parametrize("kind", [LocalStore, MemoryStore])
def test_a_mock_of_a_store_is_written_through_its_methods(kind: Any, tmp_path: Path) -> None:
    """zarr-python's own tests count calls so."""
    store = LocalStore(tmp_path) if kind is LocalStore else MemoryStore()
    mock = AsyncMock(wraps=store, spec=kind)
    put(sink_of(mock), {"a": b"1", "b": None}).result()
    assert (mock.set.call_count, mock.delete.call_count) == (1, 1)
    assert found(store) == {"a": b"1"}


@pytest.mark.parametrize("kind", [StoreExpectingTestBuffer, MemoryStore])
def test_a_store_gets_buffers_of_the_class_asked_for(kind: Any) -> None:
    contents: dict[str, Any] = {}
    put(sink_of(kind(contents), TestBuffer), {"a": b"1"}).result()
    assert type(contents["a"]) is TestBuffer
    if kind is StoreExpectingTestBuffer:
        with pytest.raises(StoreError, match="AssertionError"):
            put(sink_of(kind(contents)), {"a": b"2"}).result()
    else:
        put(sink_of(kind(contents)), {"a": b"2"}).result()
        assert type(contents["a"]) is cpu.Buffer


async def test_a_store_in_memory_needs_no_event_loop() -> None:
    """So that it is written even on zarr's own."""
    store = MemoryStore()
    with running_loop() as loop:
        sink = sink_of(store, loop=loop)
    written: list[str] = []
    put(sink, {"a": b"1", "b": None}, written).result()
    assert store._store_dict["a"].to_bytes() == b"1"
    assert (written, sink.requests_ahead) == (["a", "b"], 0)


def test_a_failure_in_memory_names_store_and_key() -> None:
    class Full(dict[str, Any]):
        def __setitem__(self, key: str, value: Any) -> None:
            if key == "b":
                raise MemoryError("no more")
            super().__setitem__(key, value)

    contents, written = Full(), []
    with pytest.raises(StoreError, match=r"memory://.*'b'.*no more\.$") as caught:
        put(sink_of(MemoryStore(contents)), dict.fromkeys("abc", b"1"), written).result()
    assert isinstance(caught.value.__cause__, MemoryError)
    assert list(contents) == written == ["a"]


# In flight ------------------------------------------------------------------------------------


def many(count: int) -> dict[str, bytes | None]:
    return {f"c/{n}": str(n).encode() for n in range(count)}


def until(holds: Callable[[], bool]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("concurrency", [1, 7, 64])
def test_as_many_writes_are_in_flight_as_may_be_and_no_more(concurrency: int) -> None:
    inner = MemoryStore()
    store = Watched(inner, seconds=0.002 * concurrency)
    sink = sink_of(store)
    objects = {**many(100), **{f"absent/{n}": None for n in range(20)}}
    items = list(objects.items())
    with gpuzarr.config.set({"concurrency": concurrency}):
        assert sink.requests_ahead == concurrency
        puts = [put(sink, dict(items[first::3])) for first in range(3)]
        for storing in puts:
            storing.result()
    assert store.peak == concurrency
    assert found(inner) == many(100)


def test_to_put_does_not_wait() -> None:
    store = Watched(MemoryStore(), seconds=0.2)
    started = time.monotonic()
    storing, written = None, []
    storing = put(sink_of(store), many(10), written)
    assert time.monotonic() - started < 0.2
    assert written == []
    storing.result()
    assert sorted(written) == sorted(many(10))


@pytest.mark.parametrize("delete", [False, True])
@pytest.mark.parametrize("concurrency", [1, 3, 64])
def test_after_a_failure_it_is_known_what_is_written_and_nothing_goes_on(
    concurrency: int, delete: bool
) -> None:
    error = ConnectionError("line is dead.")

    def fails(key: str) -> None:
        if key == "c/5":
            raise error

    inner = MemoryStore()
    store, written = Watched(inner, seconds=0.01, fails=fails), []
    objects = many(40)
    if delete:
        objects["c/5"] = None
    with gpuzarr.config.set({"concurrency": concurrency}):
        storing = put(sink_of(store), objects, written)
        with pytest.raises(StoreError) as caught:
            storing.result()
    held, at_once = dict(inner._store_dict), list(written)
    assert_sentence(caught.value)
    assert caught.value.__cause__ is error
    for part in (
        str(store),
        "'c/5'",
        "ConnectionError: line is dead",
        "delete" if delete else "ta",
    ):
        assert part in str(caught.value)
    assert store.in_flight == 0
    assert sorted(held) == sorted(at_once)
    assert "c/5" not in at_once
    assert len(at_once) <= 5 + concurrency
    assert len(at_once) >= 5
    time.sleep(0.05)
    assert inner._store_dict.keys() == held.keys()
    assert written == at_once


def test_what_is_in_flight_when_another_fails_is_let_end() -> None:
    """A write that is cut off would leave an object of which nobody knows what it holds."""
    release = threading.Event()

    class Uneven(WrapperStore[MemoryStore]):
        async def set(self, key: str, value: Buffer) -> None:
            if key == "bad":
                raise OSError("bad")
            while not release.is_set():
                await asyncio.sleep(0.001)
            await super().set(key, value)

    inner, written = MemoryStore(), []
    storing = put(sink_of(Uneven(inner)), {"slow": b"1", "bad": b"2"}, written)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(storing.result)
        time.sleep(0.05)
        assert not waiting.done()
        release.set()
        assert isinstance(waiting.exception(30), StoreError)
    assert list(inner._store_dict) == written == ["slow"]


def test_a_put_that_is_cancelled_ends_soon_with_nothing_in_flight() -> None:
    store, written = Watched(MemoryStore(), seconds=60), []
    with ThreadPoolExecutor(1) as pool:
        storing = put(sink_of(store), many(100), written)
        waiting = pool.submit(storing.result)
        until(lambda: store.in_flight > 0)
        storing.cancel()
        with pytest.raises(CancelledError):
            waiting.result(30)
    assert store.in_flight == 0
    assert written == []


def test_a_put_that_is_cancelled_before_it_begins_stores_nothing() -> None:
    store, written = Watched(MemoryStore()), []
    with running_loop() as loop:
        gate = threading.Event()
        loop.call_soon_threadsafe(gate.wait, 30)
        storing = put(sink_of(store, loop=loop), many(3), written)
        storing.cancel()
        gate.set()
        with pytest.raises(CancelledError):
            storing.result()
    assert (store.writes, written) == ([], [])


def test_to_cancel_what_is_done_changes_nothing() -> None:
    store, written = Watched(MemoryStore()), []
    with running_loop() as loop:
        storing = put(sink_of(store, loop=loop), many(3), written)
        storing.result()
        storing.cancel()
        storing.result()
    storing.cancel()
    assert found(store) == many(3)
    assert len(written) == 3


# Event loops ----------------------------------------------------------------------------------


def test_writes_come_on_the_loop_of_zarr_or_on_the_one_given() -> None:
    store = Watched(MemoryStore())
    put(sink_of(store), {"a": b"1", "b": None}).result()
    assert store.loops == {_get_loop()}
    store.loops.clear()
    with running_loop() as loop:
        put(sink_of(store, loop=loop), {"a": b"2", "b": None}).result()
        assert store.loops == {loop}
    assert found(store) == {"a": b"2"}


async def test_a_loop_is_free_while_a_thread_writes_to_it() -> None:
    store = Watched(MemoryStore(), seconds=0.01)
    sink, written = sink_of(store, loop=asyncio.get_running_loop()), []
    await asyncio.to_thread(lambda: put(sink, many(5), written).result())
    assert len(written) == 5
    assert store.loops == {asyncio.get_running_loop()}


async def test_a_write_that_would_wait_for_its_own_loop_is_an_error() -> None:
    sink = sink_of(Watched(MemoryStore()), loop=asyncio.get_running_loop())
    with pytest.raises(StoreError, match="its own event loop would wait") as caught:
        put(sink, {"a": b"1"})
    assert_sentence(caught.value)


def test_a_write_on_the_loop_of_zarr_is_an_error() -> None:
    async def inside() -> None:
        put(sink_of(Watched(MemoryStore())), {"a": b"1"})

    with pytest.raises(StoreError, match="zarr's own event loop would wait"):
        sync(inside())


def test_a_loop_that_does_not_run_is_an_error() -> None:
    with running_loop() as loop:
        sink = sink_of(Watched(MemoryStore()), loop=loop)
    with pytest.raises(StoreError, match="not running") as caught:
        put(sink, {"a": b"1"})
    assert_sentence(caught.value)
