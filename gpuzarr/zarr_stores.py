"""The stores behind the items of a call from zarr-python, and the threads that work on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from zarr.storage import StorePath

from gpuzarr import runtime
from gpuzarr.batch import Batch
from gpuzarr.errors import GpuzarrError, StoreError, UnsupportedError
from gpuzarr.items import Item
from gpuzarr.sources import Sink, Source
from gpuzarr.sources.memory import Memory, MemorySink
from gpuzarr.sources.store import source_of
from gpuzarr.sources.store_sink import sink_of


@dataclass
class Opened:
    """The items of a call, each with a key of its own, and where their bytes are.

    Byte getters that have no store (those of zarr-python's sharding codec) are read to memory
    beforehand, and written from there by `finish`.
    """

    items: list[Item]
    source: Source
    sink: Sink
    setters: dict[str, Any] | None = None
    stop: runtime.Stop = field(default_factory=runtime.Stop)

    async def run[**P, R](self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Work in a thread, so that the event loop stays free; cancelling ends the work."""
        try:
            if self.setters is None:
                return await runtime.in_thread(work, *args, **kwargs)
            # Calls that wait for this one may hold all threads of calls: it gets one of its own.
            with ThreadPoolExecutor(1) as thread:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(thread, lambda: work(*args, **kwargs))
        except asyncio.CancelledError:
            self.stop.set()
            raise
        except (StoreError, UnsupportedError) as error:
            if error.__cause__ is None:
                raise
            # zarr-python lets what a store raises through, and its users look for that.
            raise _with_words_of(error, error.__cause__) from None

    async def finish(self) -> None:
        """Hand on what was written to memory."""
        if self.setters is None:
            return
        assert isinstance(self.sink, MemorySink)
        buffer = self.items[0][1].prototype.buffer
        for key, data in self.sink.objects.items():
            if data is None:
                await self.setters[key].delete()
            else:
                await self.setters[key].set(buffer.from_bytes(data))


async def opened(items: list[Item], *, to_write: bool = False) -> Opened:
    """The stores of these items, on the running event loop.

    Raises
    ------
    ReadOnlyError
        If they are to be written and take no writes.
    """
    first, spec = items[0][0], items[0][1]
    if isinstance(first, StorePath):
        store, loop = first.store, asyncio.get_running_loop()
        config = spec.config
        limits = config.sharding_coalesce_max_gap_bytes, config.sharding_coalesce_max_bytes
        source = source_of(store, loop, limits, spec.prototype)
        sink: Sink = sink_of(store, spec.prototype.buffer, loop) if to_write else MemorySink()
        return Opened(items, source, sink)
    getters = {str(n): item[0] for n, item in enumerate(items)}
    found = [await getter.get(spec.prototype) for getter in getters.values()]
    objects = Batch.joined([None if b is None else b.as_numpy_array() for b in found])
    keyed: list[Item] = [(_Key(k), *item[1:]) for k, item in zip(getters, items, strict=True)]
    return Opened(keyed, Memory(list(getters), objects), MemorySink(), getters)


def _with_words_of(error: GpuzarrError, cause: BaseException) -> BaseException:
    """What the store raised, told what we know: which key it was, what had been written."""
    for note in (str(error), *getattr(error, "__notes__", ())):
        cause.add_note(note)
    if hasattr(error, "written"):
        cause.written = error.written  # type: ignore[attr-defined]
    return cause


@dataclass(frozen=True)
class _Key:
    path: str
    store: str = "memory"
