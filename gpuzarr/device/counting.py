"""What devices did, counted where it is done."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_local = threading.local()


@dataclass
class Counts:
    """Counts of one thread, over a while.

    Attributes
    ----------
    launches
        Of kernels, by op, and of the library's batch calls, as ``"decompress <codec>"``.
    uploads, downloads
        Copies between host and device.
    bytes_uploaded, bytes_downloaded
        By these.
    waits
        How often the host waited for a device: for each copy to the host, and at the end of the
        work.
    on_host
        Streams that a device left to the CPU, by codec.
    """

    launches: Counter[str] = field(default_factory=Counter)
    uploads: int = 0
    downloads: int = 0
    bytes_uploaded: int = 0
    bytes_downloaded: int = 0
    waits: int = 0
    on_host: Counter[str] = field(default_factory=Counter)


NOTHING = Counts()
"""What the CPU counts."""


@contextmanager
def counting() -> Iterator[Counts]:
    """Count what this thread has devices do in the block."""
    before, counts = current(), Counts()
    _local.counts = counts
    try:
        yield counts
    finally:
        _local.counts = before


def current() -> Counts:
    """Where this thread counts; outside of `counting` nobody reads it."""
    found: Counts = getattr(_local, "counts", None) or Counts()
    return found
