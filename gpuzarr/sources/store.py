"""Any zarr Store: requests run on an event loop, as a rule zarr's own, many in flight."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from zarr.abc.store import RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, cpu
from zarr.core.config import config as zarr_config
from zarr.core.sync import _get_loop
from zarr.storage import LocalStore, MemoryStore

from gpuzarr.batch import MISSING, Batch, Scratch, aligned
from gpuzarr.config import config
from gpuzarr.errors import StoreError, named
from gpuzarr.shards import Extents
from gpuzarr.sources import Source
from gpuzarr.sources.loops import Loop, Sender, concurrency
from gpuzarr.sources.posix import Posix
from gpuzarr.sources.requests import Many, One, requests_of

_EMPTY = cpu.Buffer.from_bytes(b"")
_UNKNOWN = 2**63

Found = list[Buffer | None]
"""What one request brought: a buffer for each range, None where the object is not there."""


def source_of(
    store: Store,
    loop: Loop | None = None,
    coalesce: tuple[int, int] | None = None,
    prototype: BufferPrototype | None = None,
) -> Source:
    """How to read this store: local files directly, anything else through its own methods.

    The exact class decides, since a subclass may have changed what `get` does.

    Parameters
    ----------
    store
        Any store of zarr's.
    loop
        The running event loop that the store is bound to; None for zarr's own.
    coalesce
        Ranges of one shard are joined that lie at most so many bytes apart, as long as they do
        not exceed so many bytes together; None for the options of gpuzarr and of zarr.
    prototype
        What bytes are asked for in; None for host memory.
    """
    if type(store) is LocalStore:
        return Posix(str(store.root))
    return StoreSource(store, loop, coalesce, prototype)


class StoreSource:
    """A store that only its own methods can read; `source_of` tells its parameters."""

    def __init__(
        self,
        store: Store,
        loop: Loop | None = None,
        coalesce: tuple[int, int] | None = None,
        prototype: BufferPrototype | None = None,
    ) -> None:
        self._store = store
        self.name = type(store).__name__
        self._memory = store if type(store) is MemoryStore else None
        self._sender = Sender(store, loop, _get_loop)
        self._coalesce = coalesce
        self._prototype = prototype or cpu.buffer_prototype

    @property
    def requests_ahead(self) -> int:
        """As many as may be in flight; none where a request is a look-up in memory."""
        return 0 if self._memory is not None else concurrency()

    def start(self, extents: Extents, *, index: bool = False) -> StoreFetch:
        """Send all requests, with no more than `config.concurrency` of this array in flight."""
        prototype = self._prototype
        if self._memory is not None:
            requests = requests_of(extents, index, _UNKNOWN)
            found = [_look_up(self._memory, r, prototype) for r in requests]
            return StoreFetch(extents, requests, found)
        loop = self._sender.loop("read")
        gap, most = self._coalesce or (
            int(config.get("coalesce_gap_bytes")),
            int(zarr_config.get("array.sharding_coalesce_max_bytes")),
        )
        requests = requests_of(extents, index, most)
        sent = self._send(requests, prototype, gap, most)
        return StoreFetch(extents, requests, asyncio.run_coroutine_threadsafe(sent, loop))

    async def _send(
        self, requests: list[One | Many], prototype: BufferPrototype, gap: int, most: int
    ) -> list[Found]:
        permits, store = self._sender.permits(), self._store

        async def found(request: One | Many) -> Found:
            if isinstance(request, One):
                async with permits.taken():
                    return [await _get(store, request, prototype)]
            trips = request.trips(gap, most)
            taken = min(trips, permits.count)
            options: dict[str, Any] = {
                "prototype": prototype, "max_gap_bytes": gap, "max_coalesced_bytes": most,
            }  # fmt: skip
            if trips > 1:
                options["max_concurrency"] = taken
            async with permits.taken(taken):
                spans = [(start, stop) for start, stop, _ in request.ranges]
                return await _get_ranges(store, request.key, spans, options)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(found(r)) for r in requests]
        return [task.result() for task in tasks]


def _look_up(store: MemoryStore, request: One | Many, prototype: BufferPrototype) -> Found:
    if isinstance(request, One):
        return [store.get_sync(request.key, **_arguments(request, prototype))]
    whole = store.get_sync(request.key, prototype=prototype)
    return [None if whole is None else whole[a:b] for a, b, _ in request.ranges]


def _arguments(request: One, prototype: BufferPrototype) -> dict[str, Any]:
    byte_range: Any = None
    if request.start is not None:
        is_suffix = request.start < 0
        byte_range = (
            SuffixByteRequest(-request.start)
            if is_suffix
            else RangeByteRequest(request.start, request.stop)
        )
    return {"prototype": prototype, "byte_range": byte_range}


async def _get(store: Store, request: One, prototype: BufferPrototype) -> Buffer | None:
    try:
        return await store.get(request.key, **_arguments(request, prototype))
    except Exception as error:
        # A damaged index may point beyond the end, where not every store just stops.
        if request.stop and (end := await _size(store, request.key)) < request.stop:
            start = min(request.start or 0, end)
            clipped = One(request.key, request.row, start, end)
            return await _get(store, clipped, prototype) if start < end else _EMPTY
        raise _failed(store, request.key, error) from error


async def _get_ranges(
    store: Store, key: str, spans: list[tuple[int, int]], options: dict[str, Any]
) -> Found:
    found: Found = [None] * len(spans)
    ranges = [RangeByteRequest(start, stop) for start, stop in spans]
    try:
        async for group in store.get_ranges(key, ranges, **options):
            for number, buffer in group:
                found[number] = buffer
    except Exception as error:
        causes = [e for e in _leaves(error) if not isinstance(e, FileNotFoundError)]
        if not causes:  # it went away after its index was read
            return [None] * len(spans)
        if (end := await _size(store, key)) >= max(stop for _, stop in spans):
            raise _failed(store, key, causes[0]) from causes[0]
        inside = [number for number, (start, _) in enumerate(spans) if start < end]
        clipped = [(spans[n][0], min(spans[n][1], end)) for n in inside]
        found = [_EMPTY] * len(spans)
        again = await _get_ranges(store, key, clipped, options) if inside else []
        for number, buffer in zip(inside, again, strict=True):
            found[number] = buffer
    return found


def _leaves(error: Exception) -> list[Exception]:
    if isinstance(error, ExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [error]


async def _size(store: Store, key: str) -> int:
    try:
        return await store.getsize(key)
    except Exception:
        return _UNKNOWN


def _failed(store: Store, key: str, error: Exception) -> StoreError:
    return StoreError(f"The store {store} failed to deliver the key {key!r}: {named(error)}.")


@dataclass
class StoreFetch:
    """Requests to a store, under way or done."""

    extents: Extents
    requests: list[One | Many]
    pending: Future[list[Found]] | list[Found]

    def cancel(self) -> None:
        """Cancel what is still running."""
        if isinstance(self.pending, Future):
            self.pending.cancel()

    def result(self, scratch: Scratch) -> Batch:
        """Wait, and copy the bytes to one arena."""
        if isinstance(self.pending, Future):
            try:
                found = self.pending.result()
            except BaseExceptionGroup as group:
                error = group.exceptions[0]
                raise error from error.__cause__
        else:
            found = self.pending
        extents = self.extents
        offsets = np.zeros(len(extents), np.int64)
        sizes = np.where(extents.nbytes == 0, 0, MISSING)
        arena = scratch.take(
            "encoded", sum(aligned(len(b)) for buffers in found for b in buffers if b is not None)
        )
        used = 0
        for request, buffers in zip(self.requests, found, strict=True):
            spans = [None] if isinstance(request, One) else request.ranges
            for span, buffer in zip(spans, buffers, strict=True):
                if buffer is None:
                    continue
                data = buffer.as_numpy_array()
                size = len(data)
                arena[used : used + size] = data
                if isinstance(request, One):
                    offsets[request.row], sizes[request.row] = used, size
                elif span is not None:
                    start, _, rows = span
                    within = np.minimum(extents.offset[rows] - start, size)
                    offsets[rows] = used + within
                    sizes[rows] = np.minimum(extents.nbytes[rows], size - within)
                used += aligned(size)
        return Batch(arena, offsets, sizes)
