"""Sources: read extents into memory. Absent bytes are a value (`MISSING`), not an error."""

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

    def start(self, extents: Extents) -> Fetch:
        """Begin to read, without waiting."""
