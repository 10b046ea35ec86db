"""What a write tells, and writing from many threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import assert_same, smooth
from stores import Watched
from writing.twins import contents, read_by_zarr
from zarr.storage import LocalStore, MemoryStore

import gpuzarr

DATA = smooth((12, 10), "i4")


@pytest.mark.parametrize("shards", [None, (8, 10)])
@pytest.mark.parametrize("wave_bytes", [1, 1 << 20])
def test_the_report_is_what_the_store_received(shards: Any, wave_bytes: int) -> None:
    store = Watched(MemoryStore())
    ours = gpuzarr.create_array(store, shape=(12, 10), chunks=(4, 5), shards=shards, dtype="i4")
    assert ours.last_write is None
    for key, inner, is_read in ((..., 6, False), ((slice(5, 7), slice(0, 6)), 2, True)):
        store.writes.clear()
        before = contents(store._store)
        with gpuzarr.config.set({"wave_bytes": wave_bytes, "threads": 2}):
            ours[key] = DATA[key]
        told = ours.last_write
        assert told is not None
        assert sorted(told.written) == sorted(key for key, _ in store.writes)
        assert told.bytes_written == sum(len(data) for _, data in store.writes)
        assert (told.chunks, told.empty) == (inner, 0)
        assert told.bytes_encoded == inner * 4 * 5 * 4
        read = sum(len(before[key]) for key in told.written) if is_read else 0
        assert told.bytes_read == read
        assert (told.device, told.sink) == ("cpu", "Watched")
        assert f"wrote {inner} chunks (0 empty) in {len(told.written)} objects" in str(told)
    store.writes.clear()
    ours[4:8] = 0
    told = ours.last_write
    assert told is not None
    assert (told.chunks, told.empty) == (0, 2)
    if shards is None:
        assert store.writes == [("c/1/0", None), ("c/1/1", None)]
        assert (told.bytes_written, told.bytes_read) == (0, 0)
    assert sorted(told.written) == sorted(key for key, _ in store.writes)


@pytest.mark.parametrize("kind", ["memory", "files", "requests"])
@pytest.mark.parametrize("shards", [None, (2, 20)])
def test_threads_write_parts_that_share_no_stored_object(
    kind: str, shards: Any, tmp_path: Path
) -> None:
    store: Any = LocalStore(tmp_path) if kind == "files" else MemoryStore()
    store = Watched(store, seconds=0.001) if kind == "requests" else store
    data = smooth((40, 20), "f8")
    ours = gpuzarr.create_array(store, shape=(40, 20), chunks=(1, 5), shards=shards, dtype="f8")
    step = 1 if shards is None else 2

    def write(first: int) -> None:
        rows = slice(first, first + step)
        ours[rows, 3:] = data[rows, 3:]
        ours[rows, :9] = data[rows, :9]

    with ThreadPoolExecutor(4) as pool, gpuzarr.config.set({"threads": 2}):
        list(pool.map(write, range(0, 40, step)))
    assert_same(read_by_zarr(store), data)
    assert np.array_equal(ours[...], data)
