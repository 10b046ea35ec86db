"""Any zarr Store as a sink: writes run on an event loop, as a rule zarr's own, many in flight."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.core.buffer import Buffer, cpu
from zarr.core.sync import _get_loop
from zarr.storage import LocalStore, MemoryStore

from gpuzarr.batch import MISSING, Batch
from gpuzarr.errors import (
    GpuzarrError,
    ReadOnlyError,
    StoreError,
    UnsupportedError,
    named,
    words_of,
)
from gpuzarr.sources import Sink
from gpuzarr.sources.loops import Loop, Permits, Sender, concurrency
from gpuzarr.sources.posix_sink import PosixSink, Stored


def sink_of(
    store: Store, buffer_class: type[Buffer] | None = None, loop: Loop | None = None
) -> Sink:
    """How to write this store: local files directly, anything else through its own methods.

    The exact class decides, since a subclass may have changed what `set` does.

    Parameters
    ----------
    store
        Any store of zarr's.
    buffer_class
        What bytes are handed to the store in; None for zarr's buffer in host memory.
    loop
        The running event loop that the store is bound to; None for zarr's own.

    Raises
    ------
    ReadOnlyError
        If the store takes no writes.
    """
    try:
        store._check_writable()
    except ValueError as error:
        raise ReadOnlyError(f"The store {store} cannot be written: {words_of(error)}.") from error
    if type(store) is LocalStore:
        return PosixSink(str(store.root))
    if type(store) is MemoryStore:
        return MemoryStoreSink(store, buffer_class or cpu.Buffer)
    return StoreSink(store, buffer_class or cpu.Buffer, loop)


class MemoryStoreSink:
    """A dictionary, which takes bytes without an event loop."""

    name = "MemoryStore"
    requests_ahead = 0

    def __init__(self, store: MemoryStore, buffer_class: type[Buffer]) -> None:
        self._store, self._buffer_class = store, buffer_class

    def put(self, keys: list[str], batch: Batch, written: list[str]) -> Stored:
        """Store at once, in this thread; the store itself copies what it is given."""
        for key, data in zip(keys, _streams(batch), strict=True):
            try:
                if data is None:
                    self._store.delete_sync(key)
                else:
                    self._store.set_sync(key, self._buffer_class.from_array_like(data))
            except Exception as error:
                return Stored(_failed(self._store, key, data is None, error))
            written.append(key)
        return Stored()


class StoreSink:
    """A store that only its own methods can write; `sink_of` tells its parameters."""

    def __init__(self, store: Store, buffer_class: type[Buffer], loop: Loop | None = None) -> None:
        self._store, self._buffer_class = store, buffer_class
        self.name = type(store).__name__
        self._sender = Sender(store, loop, _get_loop)

    @property
    def requests_ahead(self) -> int:
        """As many as may be in flight."""
        return concurrency()

    def put(self, keys: list[str], batch: Batch, written: list[str]) -> StoreStoring:
        """Send all writes, with no more than `config.concurrency` of this sink in flight."""
        loop, objects = self._sender.loop("write"), []
        for key, data in zip(keys, _streams(batch), strict=True):
            # the arena is used again before the store has taken the bytes
            own = None if data is None else self._buffer_class.from_array_like(data.copy())
            objects.append((key, own))
        return StoreStoring(self._store, self._sender, loop, objects, written)


class StoreStoring:
    """Objects on their way to a store."""

    def __init__(
        self,
        store: Store,
        sender: Sender,
        loop: Loop,
        objects: list[tuple[str, Buffer | None]],
        written: list[str],
    ) -> None:
        self._store, self._sender, self._loop = store, sender, loop
        self._objects, self._written = objects, written
        self._failures: list[Exception] = []
        self._given_up = False
        self._task: asyncio.Task[None] | None = None
        self._pending = asyncio.run_coroutine_threadsafe(self._send(), loop)

    def result(self) -> None:
        """Wait until nothing is under way any more, and raise what failed first."""
        self._pending.result()
        if self._failures:
            raise self._failures[0]

    def cancel(self) -> None:
        """Begin nothing more, and cancel what is under way."""
        # To cancel the future would wake who waits for it while writes are still under way.
        self._given_up = True
        if self._task is not None and not self._pending.done():
            with suppress(RuntimeError):  # the loop has been closed meanwhile
                self._loop.call_soon_threadsafe(self._task.cancel)

    async def _send(self) -> None:
        self._task = asyncio.current_task()
        if self._given_up:
            raise asyncio.CancelledError
        permits = self._sender.permits()
        async with asyncio.TaskGroup() as group:
            for key, data in self._objects:
                group.create_task(self._put(key, data, permits))
            self._objects.clear()  # so that bytes are freed as they are stored

    async def _put(self, key: str, data: Buffer | None, permits: Permits) -> None:
        async with permits.taken():
            # What is under way when another fails is let end, since a write that is cut off
            # leaves an object of which nobody knows whether it is the old or the new one.
            if self._failures:
                return
            try:
                if data is None:
                    await self._store.delete(key)
                else:
                    await self._store.set(key, data)
            except Exception as error:
                self._failures.append(_failed(self._store, key, data is None, error))
            else:
                self._written.append(key)


def _streams(batch: Batch) -> list[NDArray[np.uint8] | None]:
    """Each stream of the arena, None where there is none."""
    spans = zip(batch.offsets.tolist(), batch.sizes.tolist(), strict=True)
    return [None if size == MISSING else batch.arena[at : at + size] for at, size in spans]


def _failed(store: Store, key: str, is_delete: bool, error: Exception) -> GpuzarrError:
    deed = "delete" if is_delete else "take"
    if isinstance(error, NotImplementedError):
        what = "deletes nothing" if is_delete else "takes no bytes"
        failure: GpuzarrError = UnsupportedError(
            f"The store {store} {what}, and so the key {key!r} stays as it is."
        )
    else:
        failure = StoreError(f"The store {store} failed to {deed} the key {key!r}: {named(error)}.")
    failure.__cause__ = error
    return failure
