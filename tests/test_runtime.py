"""Threads, Ctrl-C, event loops, forks and pickles: reads are right under all of them."""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from stores import OwnLocalStore, Watched, watched
from zarr.codecs import GzipCodec
from zarr.storage import MemoryStore

import gpuzarr
from gpuzarr.errors import ChunkError, StoreError

VALUES = np.arange(240 * 256, dtype="f4").reshape(240, 256)


@pytest.fixture(params=[1, 2, 5], ids=lambda n: f"{n} threads")
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """How many threads a read may use, with chunks small enough to make many waves."""
    with gpuzarr.config.set({"threads": request.param, "wave_bytes": 8 << 10}):
        yield request.param


def contents(**arguments: Any) -> dict[str, Any]:
    """A store's dict with `VALUES` in 24 chunks, whose codec is one that threads are used for."""
    memory: dict[str, Any] = {}
    arguments = {"chunks": (10, 256), "compressors": GzipCodec(level=1), **arguments}
    array = zarr.create_array(memory, shape=VALUES.shape, dtype="f4", **arguments)
    array[...] = VALUES
    return memory


# Many threads ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["posix", "own", "memory", "sharded"])
def test_reads_from_many_threads_at_once_are_right(tmp_path: Path, kind: str, threads: int) -> None:
    more = {"shards": (60, 256)} if kind == "sharded" else {}
    chunks = contents(**more)
    for key, value in chunks.items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(value.to_bytes())
    store: Any = tmp_path if kind in ("posix", "sharded") else OwnLocalStore(tmp_path)
    array = gpuzarr.open_array(chunks if kind == "memory" else store)
    assert array.explain().threads == threads
    ready = threading.Barrier(8)

    def read(number: int) -> bool:
        rng = np.random.default_rng(number)
        ready.wait()
        for _ in range(6):
            a, b = sorted(rng.integers(0, 241, 2).tolist())
            rows = rng.integers(0, 240, 9)
            if not (
                np.array_equal(array[a:b, ::-3], VALUES[a:b, ::-3])
                and np.array_equal(array.oindex[rows, 5], VALUES[rows, 5])
                and array.last_read is not None
            ):
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(8)))


def test_one_object_is_opened_and_read_by_many_threads_at_once(tmp_path: Path) -> None:
    """What is made at first use (chains, pools, zarr's own object) is made safely."""
    zarr.create_array(tmp_path, data=VALUES, chunks=(10, 256))
    for _ in range(5):
        ready = threading.Barrier(6)

        def read(_: int, ready: threading.Barrier = ready) -> bool:
            ready.wait()
            return np.array_equal(gpuzarr.open_array(tmp_path)[...], VALUES)

        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(read, range(6)))


# Errors stop a read ---------------------------------------------------------------------------


def test_the_error_of_one_chunk_stops_the_others_and_is_raised(threads: int) -> None:
    def fails(key: str) -> None:
        if key == "c/3/0":
            raise ConnectionError("lost")

    store = watched(contents())
    array = gpuzarr.open_array(store)
    for concurrency in (1, 4, 64):
        with gpuzarr.config.set({"concurrency": concurrency}):
            store.fails, store.seconds = fails, 0.01
            for _ in range(5):
                with pytest.raises(StoreError, match="c/3/0"):
                    array[...]
                assert gone(store)
            store.fails, store.seconds = None, 0.0
            np.testing.assert_array_equal(array[...], VALUES)


@pytest.mark.parametrize("failing", ["c/0/0", "c/1/0"])
def test_an_error_is_raised_though_other_threads_still_wait(failing: str) -> None:
    """The chunk that fails does so at once, all others would take a minute."""

    class Uneven(Watched):
        async def get(self, key: str, *arguments: Any, **keywords: Any) -> Any:
            self.seconds = 60.0 if key.startswith("c/") and key != failing else 0.0
            return await super().get(key, *arguments, **keywords)

    def fails(key: str) -> None:
        if key == failing:
            raise ConnectionError("lost")

    store = Uneven(MemoryStore(contents(), read_only=True), fails=fails)
    array = gpuzarr.open_array(store)
    started = time.monotonic()
    with (
        gpuzarr.config.set({"threads": 2, "wave_bytes": 8 << 10}),
        pytest.raises(StoreError, match=failing),
    ):
        array[...]
    assert time.monotonic() - started < 30
    assert gone(store)


def test_a_corrupt_chunk_stops_the_requests_for_others(threads: int) -> None:
    memory = contents()
    memory["c/0/0"] = memory["c/0/0"][:20]
    store = watched(memory)
    array = gpuzarr.open_array(store)
    store.requests.clear()
    store.seconds = 0.02
    with gpuzarr.config.set({"concurrency": 2}), pytest.raises(ChunkError, match="c/0/0"):
        array[...]
    assert gone(store)
    assert len(store.requests) < 24


def gone(store: Watched) -> bool:
    """Whether no request is under way, after a moment."""
    for _ in range(100):
        if not store.in_flight:
            return True
        time.sleep(0.01)
    return False


def test_the_next_requests_are_under_way_while_chunks_are_decoded() -> None:
    class Noting(numcodecs.abc.Codec):
        codec_id = "gpuzarr_test_noting"

        def encode(self, buf: Any) -> Any:
            return buf

        def decode(self, buf: Any, out: Any = None) -> Any:
            for _ in range(1 if seen else 500):  # the loop of the store may be slow to begin
                if len(store.requests) >= 8:
                    break
                time.sleep(0.01)
            seen.append(len(store.requests))
            return buf

    numcodecs.register_codec(Noting)
    seen: list[int] = []
    memory = contents(zarr_format=2, compressors=Noting(), fill_value=0)
    store = watched(memory)
    array = gpuzarr.open_array(store)
    with gpuzarr.config.set({"threads": 1, "wave_bytes": 40 << 10, "concurrency": 4}):
        assert array.explain().waves == 6
        store.requests.clear()
        np.testing.assert_array_equal(array[...], VALUES)
    assert seen[0] >= 8


# Ctrl-C ---------------------------------------------------------------------------------------

INTERRUPTED = """
import os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
sys.path.insert(0, {tests!r})
import numcodecs, numpy as np, zarr, gpuzarr
from stores import OwnLocalStore, Watched, watched
from zarr.core.sync import loop as zarr_loop
import asyncio

decoded = []

class Slow(numcodecs.abc.Codec):
    codec_id = "gpuzarr_test_slow"
    def encode(self, buf):
        return buf
    def decode(self, buf, out=None):
        if slow:
            time.sleep(0.01)
            decoded.append(1)
        return buf

numcodecs.register_codec(Slow)
slow = False
values = np.arange(400 << 10, dtype="f8").reshape(400, 1024)

def interrupted(read):
    "Seconds from Ctrl-C until the read has ended."
    sent = []
    def interrupt():
        time.sleep(0.3)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        read()
    except KeyboardInterrupt:
        return time.monotonic() - sent[0]
    finally:
        thread.join()
    raise SystemExit("the read ended before it was interrupted")

def check(label, seconds):
    print(label, round(seconds, 3))
    assert seconds < 1, (label, seconds)

gpuzarr.config.set({{"threads": {threads}}})
{body}
assert not [t for t in threading.enumerate() if t.name.startswith("interrupt")]
print("done")
"""

LOCAL = """
z = zarr.create_array(
    {root!r}, shape=values.shape, chunks=(16, 1024), dtype="f8", zarr_format=2,
    compressors=Slow(), fill_value=0,
)
z[...] = values
a = gpuzarr.open(z)
slow = True
for _ in range(2):
    decoded.clear()
    check("local", interrupted(lambda: [a[...] for _ in range(100)]))
    count = len(decoded)
    time.sleep(0.3)
    assert len(decoded) == count, "a thread goes on reading"
slow = False
assert np.array_equal(a[...], values)
"""

STORE = """
memory = {{}}
z = zarr.create_array(
    memory, shape=values.shape, chunks=(1, 1024), shards={shards}, dtype="f8", fill_value=0
)
z[...] = values
store = watched(memory)
a = gpuzarr.open(store)
known = None
for _ in range(2):
    store.seconds = 60
    check("store", interrupted(lambda: a[...]))
    time.sleep(0.2)
    assert store.in_flight == 0, store.in_flight
    tasks = asyncio.run_coroutine_threadsafe(count_tasks(), zarr_loop[0]).result()
    assert tasks == 1, tasks
    known = known or threading.active_count()
    assert threading.active_count() <= known
    store.seconds = 0
    assert np.array_equal(a[...], values)
"""

COUNT_TASKS = """
async def count_tasks():
    return len(asyncio.all_tasks())
"""


def _interrupted(tmp_path: Path, body: str, threads: int) -> None:
    script = INTERRUPTED.format(
        tests=str(Path(__file__).parent), threads=threads, body=COUNT_TASKS + body
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True, text=True, timeout=60, cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == "done"
    assert not result.stderr


def test_ctrl_c_ends_a_read_of_local_files(tmp_path: Path) -> None:
    _interrupted(tmp_path, LOCAL.format(root=str(tmp_path / "a.zarr")), threads=2)


@pytest.mark.parametrize(("threads", "shards"), [(1, None), (2, (20, 1024))])
def test_ctrl_c_ends_a_read_of_a_slow_store(tmp_path: Path, threads: int, shards: Any) -> None:
    """Of chunks, or of the indexes of shards, that do not come."""
    _interrupted(tmp_path, STORE.format(shards=shards), threads)


# Event loops ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sharded", [False, True])
def test_a_read_works_inside_a_running_loop(threads: int, sharded: bool) -> None:
    """As in a notebook, whose cells run on a loop."""
    more = {"shards": (60, 256)} if sharded else {}
    store = watched(contents(**more))

    async def cell() -> np.ndarray:
        array = gpuzarr.open_array(store)
        assert isinstance(array[...], np.ndarray)
        return array[3:7]

    np.testing.assert_array_equal(asyncio.run(cell()), VALUES[3:7])
    assert len(store.loops) == 1


async def test_an_awaited_read_leaves_the_loop_free(threads: int) -> None:
    """The loop goes on while the store still holds its answer back: it sets it free itself."""
    store = watched(contents())
    array = gpuzarr.open_array(store)
    released = threading.Event()
    store.fails = lambda _key: released.wait(30) or pytest.fail("the loop was not free")
    out = np.zeros((4, 256), "f4")
    reading = asyncio.create_task(array.read_async(slice(3, 7), out=out))
    while not store.in_flight:
        await asyncio.sleep(0.001)
    released.set()
    assert await reading is out
    np.testing.assert_array_equal(out, VALUES[3:7])


async def test_awaited_reads_run_side_by_side(threads: int) -> None:
    store = watched(contents())
    array = gpuzarr.open_array(store)
    store.seconds = 0.2
    rows = [slice(n, n + 10) for n in range(0, 80, 10)]
    results = await asyncio.gather(*(array.read_async(r) for r in rows))
    np.testing.assert_array_equal(np.concatenate(results), VALUES[:80])
    assert store.peak > 1


async def test_cancelling_an_awaited_read_ends_it(threads: int) -> None:
    store = watched(contents())
    array = gpuzarr.open_array(store)
    store.seconds = 60
    for _ in range(3):
        reading = asyncio.create_task(array.read_async())
        while not store.in_flight:
            await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert gone(store)
    store.seconds = 0
    np.testing.assert_array_equal(await array.read_async(), VALUES)


async def test_a_time_limit_ends_an_awaited_read() -> None:
    store = watched(contents())
    array = gpuzarr.open_array(store)
    store.seconds = 60
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await array.read_async()
    assert gone(store)


async def test_an_awaited_read_raises_what_read_raises() -> None:
    memory = contents()
    memory["c/0/0"] = memory["c/0/0"][:20]
    array = gpuzarr.open_array(memory)
    with pytest.raises(ChunkError, match="c/0/0"):
        await array.read_async()
    with pytest.raises(IndexError):
        await array.read_async(240)


# Forks and pickles ----------------------------------------------------------------------------


def _in_fork(check: Callable[[], bool]) -> int:
    """Exit status of a forked child that runs `check`: 0 where it holds."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if check() else 2
        finally:
            os._exit(status)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return -9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("kind", ["posix", "memory", "store"])
def test_a_forked_child_reads_with_an_array_opened_before(
    tmp_path: Path, kind: str, threads: int
) -> None:
    store: Any = {"memory": contents, "store": lambda: watched(contents())}.get(
        kind, lambda: None
    )()
    if store is None:
        zarr.create_array(tmp_path, data=VALUES, chunks=(10, 256))
    array = gpuzarr.open_array(tmp_path if store is None else store)
    np.testing.assert_array_equal(array[...], VALUES)
    assert _in_fork(lambda: np.array_equal(array[...], VALUES)) == 0
    np.testing.assert_array_equal(array[...], VALUES)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_forked_during_a_read_reads_too() -> None:
    """The permits, threads and requests of the parent's read are not the child's."""
    store = watched(contents())
    array = gpuzarr.open_array(store)
    options = {"concurrency": 2, "threads": 2, "wave_bytes": 8 << 10}
    with gpuzarr.config.set(options), ThreadPoolExecutor(1) as pool:
        store.seconds = 0.05
        reading = pool.submit(lambda: array[...])
        while not store.in_flight:
            time.sleep(0.005)

        def check() -> bool:
            store.seconds = 0
            return np.array_equal(array[...], VALUES)

        assert _in_fork(check) == 0
        np.testing.assert_array_equal(reading.result(), VALUES)


def _first_row(array: gpuzarr.Array) -> np.ndarray:
    row: np.ndarray = array[0]
    return row


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_take_arrays(tmp_path: Path, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    zarr.create_array(tmp_path, data=VALUES, chunks=(10, 256))
    array = gpuzarr.open_array(tmp_path)
    np.testing.assert_array_equal(array[0], VALUES[0])
    script = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import multiprocessing, numpy as np, gpuzarr
        from stores import first_row
        if __name__ == "__main__":
            array = gpuzarr.open_array({str(tmp_path)!r})
            array[...]
            with multiprocessing.get_context({method!r}).Pool(1) as pool:
                assert np.array_equal(pool.map(first_row, [array])[0], array[0])
            print("done")
    """
    (tmp_path / "main.py").write_text(textwrap.dedent(script))
    result = subprocess.run(
        [sys.executable, str(tmp_path / "main.py")], capture_output=True, text=True, timeout=60
    )
    assert result.stdout == "done\n", result.stderr


@pytest.mark.parametrize("roundtrip", [lambda a: pickle.loads(pickle.dumps(a)), copy.deepcopy])
def test_an_array_is_pickled_with_all_that_it_is(
    tmp_path: Path, roundtrip: Callable[[Any], Any]
) -> None:
    group = zarr.open_group(tmp_path, mode="w")
    group.create_array("a/b", data=VALUES, chunks=(10, 256), attributes={"x": 1})
    memory = zarr.create_array({}, name="a/b", data=VALUES, chunks=(10, 256))
    arrays = [
        gpuzarr.open_array(tmp_path, path="a/b"),
        gpuzarr.open_array(tmp_path, path="a/b", mode="r+"),
        gpuzarr.open_array(OwnLocalStore(tmp_path), path="a/b"),
        gpuzarr.open_array(memory),
        gpuzarr.open_group(tmp_path)["a/b"],
    ]
    for array in arrays:
        assert isinstance(array, gpuzarr.Array)
        array[...]  # leaves a report and chains behind, which must not be in the way
        other = roundtrip(array)
        assert repr(other) == repr(array)
        assert (other.path, other.device) == ("a/b", "cpu")
        assert type(other.store) is type(array.store)
        assert dict(other.attrs) == dict(array.attrs)
        assert other.last_read is None
        np.testing.assert_array_equal(other[...], VALUES)
    writable, read_only = roundtrip(arrays[1]), roundtrip(arrays[0])
    writable[0] = 7
    np.testing.assert_array_equal(arrays[0][0], np.full(256, 7))
    with pytest.raises(gpuzarr.errors.ReadOnlyError):
        read_only[0] = 8


def test_a_group_is_pickled_with_all_that_it_is(tmp_path: Path) -> None:
    for store in (tmp_path, OwnLocalStore(tmp_path / "own")):
        zarr.open_group(store, mode="w").create_array("a/b", data=VALUES, chunks=(10, 256))
        group = pickle.loads(pickle.dumps(gpuzarr.open_group(store, path="a")))
        assert (group.path, group.keys()) == ("a", ["b"])
        member = group["b"]
        assert isinstance(member, gpuzarr.Array)
        np.testing.assert_array_equal(member[...], VALUES)


# Size of the array ----------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "sharded"), [(2, False), (3, False), (3, True)])
def test_a_box_of_an_array_of_10_to_the_12_elements_is_read_at_once(
    version: int, sharded: bool
) -> None:
    z = zarr.create_array(
        {}, shape=(10**6, 10**6), chunks=(10, 10), dtype="i2", zarr_format=version, fill_value=3,
        shards=(1000, 1000) if sharded else None,
    )  # fmt: skip
    z[999_990:, 999_980:999_991] = 5
    array = gpuzarr.open_array(z)
    started = time.monotonic()
    np.testing.assert_array_equal(array[-12:, -22:-8], z[-12:, -22:-8])
    np.testing.assert_array_equal(array[::100_000, 7], np.full(10, 3))
    np.testing.assert_array_equal(array.oindex[[5, 999_999], 999_985:], z[[5, 999_999], 999_985:])
    np.testing.assert_array_equal(array.vindex[[5, 999_999], [1, 999_985]], [3, 5])
    np.testing.assert_array_equal(array.blocks[0, 1][:2, :2], np.full((2, 2), 3))
    np.testing.assert_array_equal(
        array.read_many([[0, 0], [999_996, 999_984]], shape=(2, 2))[1], np.full((2, 2), 5)
    )
    assert array.explain((slice(0, 20), slice(0, 20))).chunks == 4
    assert array.nbytes == 2 * 10**12
    assert array.nchunks == 10**10
    assert "1000000" in repr(array)
    assert time.monotonic() - started < 5


def test_an_axis_may_be_as_long_as_an_index_reaches() -> None:
    length = 2**62
    z = zarr.create_array({}, shape=(length,), chunks=(2**20,), dtype="i1", fill_value=1)
    array = gpuzarr.open_array(z)
    assert array[length - 1] == 1
    np.testing.assert_array_equal(array[length - 3 :], np.ones(3))
    np.testing.assert_array_equal(array[:: 2**60], np.ones(4))


# Options --------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["threads", "concurrency"])
@pytest.mark.parametrize("value", [0, -1, "many", 1.5])
def test_an_option_that_makes_no_sense_is_an_error(option: str, value: Any) -> None:
    array = gpuzarr.open_array(watched(contents()))
    with (
        gpuzarr.config.set({option: value}),
        pytest.raises(ValueError, match=rf"'{option}' .*{value}"),
    ):
        array[...]


def test_options_are_read_when_they_are_needed() -> None:
    """Not when an array is opened."""
    store = watched(contents())
    array = gpuzarr.open_array(store)
    store.seconds = 0.02
    for concurrency in (1, 3):
        store.peak = 0
        with gpuzarr.config.set({"concurrency": concurrency}):
            array[...]
        assert store.peak == concurrency
