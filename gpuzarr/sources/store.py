"""Any zarr Store: requests run on zarr's own event loop, many in flight."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from zarr.abc.store import RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import cpu
from zarr.core.sync import _get_loop
from zarr.storage import LocalStore, MemoryStore

from gpuzarr.batch import MISSING, Batch, Scratch, aligned
from gpuzarr.config import config
from gpuzarr.errors import StoreError
from gpuzarr.shards import Extents, coalesce
from gpuzarr.sources import Source
from gpuzarr.sources.posix import Posix


def source_of(store: Store) -> Source:
    """How to read this store: local files directly, anything else through its own methods.

    The exact class decides, since a subclass may have changed what `get` does.
    """
    if type(store) is LocalStore:
        return Posix(str(store.root))
    return StoreSource(store)


class StoreSource:
    """A store that only its own methods can read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.name = type(store).__name__
        self._is_local = type(store) is MemoryStore
        self.requests_ahead = 0 if self._is_local else int(config.get("concurrency"))

    def start(self, extents: Extents) -> StoreFetch:
        """Send all requests, no more at a time than `config.concurrency`."""
        requests = _requests(extents)
        if self._is_local:
            results = [self._store.get_sync(r.key, **r.arguments()) for r in requests]  # type: ignore[attr-defined]
            return StoreFetch(extents, requests, results)
        coroutine = _gather(self._store, requests)
        return StoreFetch(
            extents, requests, asyncio.run_coroutine_threadsafe(coroutine, _get_loop())
        )


@dataclass
class _Request:
    """One range of one object, and the rows of the extents that lie in it."""

    key: str
    rows: np.ndarray
    start: int | None = None
    stop: int | None = None

    def arguments(self) -> dict[str, Any]:
        if self.start is None:
            byte_range: Any = None
        elif self.start < 0:
            byte_range = SuffixByteRequest(-self.start)
        else:
            byte_range = RangeByteRequest(self.start, self.stop or 0)
        return {"prototype": cpu.buffer_prototype, "byte_range": byte_range}


def _requests(extents: Extents) -> list[_Request]:
    if (extents.nbytes == Extents.WHOLE).all():
        return [_Request(key, np.array([row])) for row, key in enumerate(extents.keys)]
    gap, requests = int(config.get("coalesce_gap_bytes")), []
    for number, key in enumerate(extents.keys):
        rows = np.flatnonzero((extents.resource == number) & (extents.nbytes != MISSING))
        if not len(rows):
            continue
        if (extents.offset[rows] < 0).any():
            requests.append(_Request(key, rows, int(extents.offset[rows].min())))
            continue
        for start, stop, picked in coalesce(extents.offset[rows], extents.nbytes[rows], gap):
            requests.append(_Request(key, rows[picked], start, stop))
    return requests


async def _gather(store: Store, requests: list[_Request]) -> list[Any]:
    limit = asyncio.Semaphore(int(config.get("concurrency")))

    async def get(request: _Request) -> Any:
        async with limit:
            try:
                return await store.get(request.key, **request.arguments())
            except Exception as error:
                raise StoreError(
                    f"The store {store} failed to deliver the key {request.key!r}: "
                    f"{type(error).__name__}: {error}."
                ) from error

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(get(r)) for r in requests]
    return [task.result() for task in tasks]


@dataclass
class StoreFetch:
    """Requests to a store, under way or done."""

    extents: Extents
    requests: list[_Request]
    pending: Future[list[Any]] | list[Any]

    def cancel(self) -> None:
        """Cancel what is still running."""
        if isinstance(self.pending, Future):
            self.pending.cancel()

    def result(self, scratch: Scratch) -> Batch:
        """Wait, and copy the bytes to one arena."""
        if isinstance(self.pending, Future):
            try:
                buffers = self.pending.result()
            except BaseExceptionGroup as group:
                raise group.exceptions[0] from group
        else:
            buffers = self.pending
        count = len(self.extents)
        offsets, sizes = np.zeros(count, np.int64), np.full(count, MISSING, np.int64)
        arena = scratch.take("encoded", sum(aligned(len(b)) for b in buffers if b is not None))
        used = 0
        for request, buffer in zip(self.requests, buffers, strict=True):
            if buffer is None:
                continue
            data = buffer.as_numpy_array()
            arena[used : used + len(data)] = data
            rows, start = request.rows, request.start
            if start is None or start < 0:
                within = np.zeros(len(rows), np.int64)
                length = np.full(len(rows), len(data))
            else:
                within = np.minimum(self.extents.offset[rows] - start, len(data))
                length = np.minimum(self.extents.nbytes[rows], len(data) - within)
            offsets[rows], sizes[rows] = used + within, length
            used += aligned(len(data))
        return Batch(arena, offsets, sizes)
