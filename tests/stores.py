"""Stores that behave as real ones may: slow, failing, of the user's own making."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from zarr.abc.store import ByteRequest, Store
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
        Keys and byte ranges, in the order in which they came.
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
        self.loops.add(asyncio.get_running_loop())
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            if self.seconds:
                await asyncio.sleep(self.seconds)
            if self.fails is not None:
                self.fails(key)
            return await super().get(key, prototype, byte_range)
        finally:
            self.in_flight -= 1


def watched(contents: dict[str, Any], **arguments: Any) -> Watched:
    """A watched store in memory, read-only."""
    return Watched(MemoryStore(contents, read_only=True), **arguments)


def first_row(array: Any) -> Any:
    """For worker processes, which import what they call."""
    return array[0]
