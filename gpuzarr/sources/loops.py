"""Event loops: how threads send requests to a store, and how many of them are in flight."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from gpuzarr.config import config
from gpuzarr.errors import StoreError

Loop = asyncio.AbstractEventLoop


def concurrency() -> int:
    """Most requests in flight: the option, checked."""
    limit = config.get("concurrency")
    if not isinstance(limit, int) or limit < 1:
        raise ValueError(f"The option 'concurrency' must be a positive integer, not {limit!r}.")
    return limit


class Sender:
    """Where the requests to one store run, and leave to send them.

    Parameters
    ----------
    store
        For the words of errors.
    loop
        A running event loop, or None for the one that `default` gives at each call: it is
        another one after a fork.
    """

    def __init__(self, store: object, loop: Loop | None, default: Callable[[], Loop]) -> None:
        self._store, self._loop, self._default = store, loop, default
        self._permits: Permits | None = None

    def loop(self, deed: str) -> Loop:
        """The loop to send to: not the one that this thread runs, which would wait for itself."""
        loop = self._loop or self._default()
        if asyncio._get_running_loop() is loop:
            whose, advice = "its own", f"{deed} in another thread"
            if self._loop is None:
                whose = "zarr's own"
                advice = "await read_async there" if deed == "read" else advice
            raise StoreError(
                f"A {deed} of {self._store} on {whose} event loop would wait for itself for ever; "
                f"{advice}."
            )
        if self._loop is not None and not loop.is_running():
            raise StoreError(
                f"A {deed} of {self._store} would wait for ever, since the event loop that was "
                f"given for it is not running."
            )
        return loop

    def permits(self) -> Permits:
        """Shared by all requests on this event loop."""
        loop, count = asyncio.get_running_loop(), concurrency()
        if self._permits is None or not self._permits.fit(loop, count):
            self._permits = Permits(loop, count)
        return self._permits


class Permits:
    """So many requests may be in flight on one event loop."""

    def __init__(self, loop: Loop, count: int) -> None:
        self._loop, self.count = loop, count
        self._free, self._turn = asyncio.Semaphore(count), asyncio.Lock()

    def fit(self, loop: Loop, count: int) -> bool:
        """Whether they are these ones."""
        return self._loop is loop and self.count == count

    def taken(self, count: int = 1) -> AbstractAsyncContextManager[None]:
        """Hold `count` permits, at most as many as there are."""
        return self._free if count == 1 else self._several(count)

    @asynccontextmanager
    async def _several(self, count: int) -> AsyncIterator[None]:
        held = 0
        try:
            # Two that each hold a part of what they need would wait for each other for ever.
            async with self._turn:
                while held < count:
                    await self._free.acquire()
                    held += 1
            yield
        finally:
            for _ in range(held):
                self._free.release()
