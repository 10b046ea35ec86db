"""Sources read extents into memory, sinks store what is in memory.

Absent bytes are a value (`MISSING`), not an error: a source gives it, a sink deletes for it.
"""

from __future__ import annotations

from typing import Protocol

from gpuzarr.batch import Batch, Scratch
from gpuzarr.shards import Extents


class Fetch(Protocol):
    """Extents on their way."""

    def result(self, scratch: Scratch) -> Batch:
        """Wait for the bytes. A stream shorter than its extent reached the end of its object."""

    def cancel(self) -> None:
        """Give up what has not begun."""


class Source(Protocol):
    """Something that holds encoded bytes under keys."""

    name: str

    @property
    def requests_ahead(self) -> int:
        """Requests that should be under way before the first is waited for; 0 where reading
        happens in the thread that asks."""

    def start(self, extents: Extents, *, index: bool = False) -> Fetch:
        """Begin to read, without waiting.

        `index` says that the extents are indexes of shards: what is alone in its object is then
        asked for as a single range, as zarr-python does, rather than as one of many.
        """


class Storing(Protocol):
    """Bytes on their way into a store."""

    def result(self) -> None:
        """Wait until nothing is under way any more.

        Raises
        ------
        StoreError
            For the first object that failed. After it nothing more was begun, and what had been
            begun was waited for.
        UnsupportedError
            If the store does not do such a thing, as a zip file deletes nothing.
        CancelledError
            If it was given up.
        """

    def cancel(self) -> None:
        """Give up what has not ended."""


class Sink(Protocol):
    """Something that keeps encoded bytes under keys."""

    name: str

    @property
    def requests_ahead(self) -> int:
        """Objects that should be under way before the first is waited for; 0 where writing
        happens in the thread that asks."""

    def put(self, keys: list[str], batch: Batch, written: list[str]) -> Storing:
        """Store stream i under ``keys[i]``; a stream of size `MISSING` deletes its key.

        The arena, which is on the host, is free again when this returns. Each key is appended to
        `written` once its object is as it should be; a key that is not there after a failure may
        hold the old object or the new one, or neither if the store is not atomic.
        """
