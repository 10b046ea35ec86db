"""Stores that behave as real ones may: slow, failing, of the user's own making."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer
from zarr.storage import LocalStore, MemoryStore, WrapperStore


class OwnLocalStore(LocalStore):
    """Local files, but as a store of the user's own, that only its own methods can read."""


class Watched(WrapperStore[Store]):
    """Counts requests, and lets a test decide what happens to them.

    Attributes
    ----------
    seconds
        How long each request takes.
    fails
        Called with each key; what it raises, the request raises.
    requests
        Keys and byte ranges that were asked for, in the order in which they came.
    range_calls
        Keys, number of ranges and options of each `get_ranges`, whose requests count as well.
    writes
        Keys and what was to be stored, None to delete, in the order in which they came.
    in_flight, peak
        Requests under way now, and at most.
    loops
        Event loops that requests came on.
    """

    def __init__(
        self, store: Store, seconds: float = 0.0, fails: Callable[[str], None] | None = None
    ) -> None:
        super().__init__(store)
        self.seconds, self.fails = seconds, fails
        self.requests: list[tuple[str, ByteRequest | None]] = []
        self.range_calls: list[tuple[str, int, dict[str, Any]]] = []
        self.writes: list[tuple[str, Buffer | None]] = []
        self.in_flight = self.peak = 0
        self.loops: set[asyncio.AbstractEventLoop] = set()

    def with_read_only(self, read_only: bool = False) -> Watched:
        """Itself: the counts are to stay in one place."""
        return self

    async def get(
        self, key: str, prototype: Any = None, byte_range: ByteRequest | None = None
    ) -> Any:
        """Get, after the time that it takes."""
        self.requests.append((key, byte_range))
        async with self._under_way(key):
            return await super().get(key, prototype, byte_range)

    async def get_ranges(
        self, key: str, byte_ranges: Sequence[ByteRequest | None], **options: Any
    ) -> AsyncIterator[Sequence[tuple[int, Buffer | None]]]:
        """As any store does that has nothing better: by way of `get`."""
        self.range_calls.append((key, len(byte_ranges), options))
        async for group in Store.get_ranges(self, key, byte_ranges, **options):
            yield group

    async def set(self, key: str, value: Buffer) -> None:
        """Set, after the time that it takes."""
        self.writes.append((key, value))
        async with self._under_way(key):
            await super().set(key, value)

    async def delete(self, key: str) -> None:
        """Delete, after the time that it takes."""
        self.writes.append((key, None))
        async with self._under_way(key):
            await super().delete(key)

    @asynccontextmanager
    async def _under_way(self, key: str) -> AsyncIterator[None]:
        self.loops.add(asyncio.get_running_loop())
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            if self.seconds:
                await asyncio.sleep(self.seconds)
            if self.fails is not None:
                self.fails(key)
            yield
        finally:
            self.in_flight -= 1


@contextmanager
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def watched(contents: dict[str, Any], **arguments: Any) -> Watched:
    """A watched store in memory, read-only."""
    return Watched(MemoryStore(contents, read_only=True), **arguments)


def first_row(array: Any) -> Any:
    """For worker processes, which import what they call."""
    return array[0]
