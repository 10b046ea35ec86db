"""Any zarr Store: requests run on zarr's own event loop, many in flight."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from zarr.abc.store import RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import cpu
from zarr.core.sync import _get_loop
from zarr.storage import LocalStore, MemoryStore

from gpuzarr.batch import MISSING, Batch, Scratch, aligned
from gpuzarr.config import config
from gpuzarr.errors import StoreError, named
from gpuzarr.shards import Extents, coalesce
from gpuzarr.sources import Source
from gpuzarr.sources.posix import Posix

_EMPTY = cpu.Buffer.from_bytes(b"")
_UNKNOWN = 2**63


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
        self._is_memory = type(store) is MemoryStore
        self._limit: tuple[Any, int, asyncio.Semaphore] | None = None

    @property
    def requests_ahead(self) -> int:
        """As many as may be in flight; none where a request is a look-up in memory."""
        return 0 if self._is_memory else _concurrency()

    def start(self, extents: Extents) -> StoreFetch:
        """Send all requests, with no more than `config.concurrency` of this array in flight."""
        requests = _requests(extents)
        if self._is_memory:
            results = [self._store.get_sync(r.key, **r.arguments()) for r in requests]  # type: ignore[attr-defined]
            return StoreFetch(extents, requests, results)
        loop = _get_loop()
        if asyncio._get_running_loop() is loop:
            raise StoreError(
                f"A read of {self._store} on zarr's own event loop would wait for itself for ever; "
                f"await read_async there."
            )
        pending = asyncio.run_coroutine_threadsafe(self._gather(requests), loop)
        return StoreFetch(extents, requests, pending)

    async def _gather(self, requests: list[_Request]) -> list[Any]:
        permits = self._permits()

        async def get(request: _Request) -> Any:
            async with permits:
                return await _get(self._store, request)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(get(r)) for r in requests]
        return [task.result() for task in tasks]

    def _permits(self) -> asyncio.Semaphore:
        """Shared by all reads on this event loop, which another one follows after a fork."""
        loop, count = asyncio.get_running_loop(), _concurrency()
        if self._limit is None or self._limit[:2] != (loop, count):
            self._limit = loop, count, asyncio.Semaphore(count)
        return self._limit[2]


def _concurrency() -> int:
    limit = config.get("concurrency")
    if not isinstance(limit, int) or limit < 1:
        raise ValueError(f"The option 'concurrency' must be a positive integer, not {limit!r}.")
    return limit


@dataclass
class _Request:
    """One range of one object, and the rows of the extents that lie in it."""

    key: str
    rows: np.ndarray
    start: int | None = None
    stop: int = 0

    def arguments(self) -> dict[str, Any]:
        if self.start is None:
            byte_range: Any = None
        elif self.start < 0:
            byte_range = SuffixByteRequest(-self.start)
        else:
            byte_range = RangeByteRequest(self.start, self.stop)
        return {"prototype": cpu.buffer_prototype, "byte_range": byte_range}


def _requests(extents: Extents) -> list[_Request]:
    if not extents.are_ranges:
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


async def _get(store: Store, request: _Request) -> Any:
    try:
        return await store.get(request.key, **request.arguments())
    except Exception as error:
        # A damaged index may point beyond the end, where not every store just stops.
        if request.stop and (end := await _size(store, request.key)) < request.stop:
            start = min(request.start or 0, end)
            return (
                await _get(store, replace(request, start=start, stop=end))
                if start < end
                else _EMPTY
            )
        raise StoreError(
            f"The store {store} failed to deliver the key {request.key!r}: {named(error)}."
        ) from error


async def _size(store: Store, key: str) -> int:
    try:
        return await store.getsize(key)
    except Exception:
        return _UNKNOWN


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
                error = group.exceptions[0]
                raise error from error.__cause__
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
