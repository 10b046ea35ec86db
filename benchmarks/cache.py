"""The page cache: files are dropped from it before a cold read, where the system allows it."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SAMPLE = 64
"""Files that are looked at to learn whether they are in the cache."""


def evict(folder: Path) -> None:
    """Ask the kernel to drop all files in `folder`; names and attributes stay in its memory.

    Files must be on the disk before: `os.sync`.
    """
    for path in files(folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def share_cached(folder: Path) -> float | None:
    """Share of the pages that are in the cache, of some of the files; None if unknown."""
    found = [path for path in files(folder) if path.stat().st_size]
    found = found[:: max(1, len(found) // _SAMPLE)]
    library = ctypes.CDLL(None, use_errno=True)
    if not found or not hasattr(library, "mincore"):
        return None
    return sum(_share_of_file(path, library.mincore) for path in found) / len(found)


def why_not_cold(folder: Path) -> str | None:
    """Why a cold read cannot be measured here; None if it can."""
    if not hasattr(os, "posix_fadvise"):
        return "The system has no posix_fadvise."
    os.sync()
    evict(folder)
    share = share_cached(folder)
    if share is None:
        return "The system does not tell which pages are in its cache."
    if share > 0.01:
        return f"{share:.0%} of the pages stay in the cache when they are to be dropped."
    return None


def files(folder: Path) -> Iterator[Path]:
    """All files in `folder`, at any depth."""
    for root, _, names in os.walk(folder):
        yield from (Path(root, name) for name in names)


def _share_of_file(path: Path, mincore: Any) -> float:
    """By a map of the file, which reads none of it."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as memory:
        pages = (ctypes.c_ubyte * -(-len(memory) // mmap.PAGESIZE))()
        start = ctypes.c_char.from_buffer(memory)
        try:
            if mincore(ctypes.byref(start), ctypes.c_size_t(len(memory)), pages):
                raise OSError(ctypes.get_errno(), "mincore failed", str(path))
        finally:
            del start  # the map cannot be closed before
    return sum(page & 1 for page in pages) / len(pages)
