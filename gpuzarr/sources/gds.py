"""GPUDirect Storage: local files straight into the memory of a GPU, by kvikio.

The only module that imports kvikio, and only for a read to a GPU: without a driver every read of
kvikio's fails, and asking it for one may hang. Where GPUDirect Storage is not active, kvikio would
read through host memory by itself; then our own reader (`posix`) does, which can also look at
headers there.
"""

from __future__ import annotations

import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gpuzarr.batch import MISSING, Batch, Scratch
from gpuzarr.config import config
from gpuzarr.device import Device
from gpuzarr.errors import StoreError, words_of
from gpuzarr.shards import Extents, coalesce
from gpuzarr.sources import Fetch, Source
from gpuzarr.sources.posix import Posix

_PAGE = 4096
"""Offsets in files and in memory that GPUDirect Storage reads without a detour."""

_THREADS = 8
"""Of kvikio's, which reads with one unless it is told otherwise."""

_HANDLES = 256
"""Open files that are kept."""


def direct(source: Source, device: Device) -> tuple[Source, str]:
    """The source that reads to this device, and why it is that one."""
    if device.is_host:
        return source, ""
    if not isinstance(source, Posix):
        return source, "through host memory"
    reason = why_not(device)
    if reason is not None:
        return source, f"through host memory, since {reason}"
    return Gds(source, device), "straight to the device"


def why_not(device: Device) -> str | None:
    """Why files are not read straight to this device; None where they are."""
    wanted = str(config.get("gds"))
    if wanted == "off" or not device.name.startswith("cuda"):
        return "the option 'gds' is off" if wanted == "off" else "the device is no GPU"
    unusable, inactive = _kvikio()
    return unusable or (None if wanted == "on" else inactive)


@cache
def _kvikio() -> tuple[str | None, str | None]:
    """Why kvikio cannot be used, and why it would read through host memory; asked once."""
    try:
        import kvikio.cufile_driver
        import kvikio.defaults
    except (ImportError, RuntimeError, OSError) as error:  # without libcufile it is no ImportError
        return f"kvikio cannot be used: {words_of(error)}", None
    if kvikio.defaults.get("num_threads") == 1 and "KVIKIO_NTHREADS" not in os.environ:
        kvikio.defaults.set("num_threads", _THREADS)
    if kvikio.defaults.is_compat_mode_preferred():
        return None, "GPUDirect Storage is not active here (kvikio is in compatibility mode)"
    try:
        is_there = kvikio.cufile_driver.properties.is_gds_available
    except Exception as error:
        return None, f"GPUDirect Storage is not active here: {words_of(error)}"
    return None, None if is_there else "GPUDirect Storage is not active here (no nvidia-fs)"


class Gds:
    """The files below a directory, read to a GPU."""

    name = "gds"
    requests_ahead = 0

    def __init__(self, posix: Posix, device: Device) -> None:
        self._posix, self._device = posix, device
        self.root = posix.root

    def start(self, extents: Extents, *, index: bool = False) -> Fetch:
        """Reading happens in `result`; indexes of shards are read to the host."""
        if index:
            return self._posix.start(extents, index=True)
        return GdsFetch(self.root, extents, self._device)


@dataclass
class GdsFetch:
    """Extents of local files."""

    root: str
    extents: Extents
    device: Device

    def cancel(self) -> None:
        """Nothing is under way."""

    def result(self, scratch: Scratch) -> Batch:
        """Read all extents into one arena on the device, many at a time."""
        parts, offsets, sizes, used = self._parts()
        memory = self.device.empty(used + _PAGE)
        shift = -int(memory.data.ptr) % _PAGE
        arena = memory[shift : shift + used]
        reading = []
        for handle, key, position, begin, nbytes in parts:
            with _failing(key):
                future = handle.pread(arena[begin : begin + nbytes], nbytes, position)
            reading.append((future, key, nbytes))
        for future, key, nbytes in reading:
            with _failing(key):
                got = future.get()
            if got != nbytes:
                raise StoreError(
                    f"The file of key {key!r} cannot be read: expected {nbytes} bytes, found "
                    f"{got}; it became shorter meanwhile."
                )
        return Batch(arena, offsets, sizes)

    def _parts(self) -> tuple[list[tuple[Any, str, int, int, int]], Any, Any, int]:
        """What to read (handle, key, position, offset in the arena, bytes), and the streams."""
        extents, gap = self.extents, int(config.get("coalesce_gap_bytes"))
        offsets = np.zeros(len(extents), np.int64)
        sizes = np.full(len(extents), MISSING, np.int64)
        wanted = np.flatnonzero(extents.nbytes != MISSING)
        order = wanted[np.argsort(extents.resource[wanted], kind="stable")]
        parts: list[tuple[Any, str, int, int, int]] = []
        used = 0
        for rows in np.split(order, np.flatnonzero(np.diff(extents.resource[order])) + 1):
            key = extents.keys[int(extents.resource[rows[0]])] if len(rows) else ""
            handle = _Handles.of(f"{self.root}/{key}", key) if len(rows) else None
            if handle is None:
                continue
            end = handle.nbytes
            start = extents.offset[rows]
            start = np.where(start < 0, np.maximum(start + end, 0), np.minimum(start, end))
            length = np.full(len(rows), end) if not extents.are_ranges else extents.nbytes[rows]
            length = np.minimum(length, end - start)
            for first, last, picked in coalesce(start, length, gap):
                offset = used + first % _PAGE  # as in the file, so that pages meet pages
                offsets[rows[picked]] = offset + start[picked] - first
                sizes[rows[picked]] = length[picked]
                if last > first:
                    parts.append((handle.file, key, first, offset, last - first))
                used = -(-(offset + last - first) // _PAGE) * _PAGE
        return parts, offsets, sizes, used


@dataclass
class _Handle:
    file: Any
    nbytes: int
    identity: tuple[int, int, int]


class _Handles:
    """Open files, the latest kept; a file that was replaced is opened again."""

    _kept: ClassVar[OrderedDict[str, _Handle]] = OrderedDict()
    _lock: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def of(cls, path: str, key: str) -> _Handle | None:
        """The open file of a path; None where there is none."""
        import kvikio

        try:
            found = Path(path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _failed(key, error) from error
        if not stat.S_ISREG(found.st_mode):
            return None
        identity = found.st_ino, found.st_mtime_ns, found.st_size
        with cls._lock:
            handle = cls._kept.get(path)
            if handle is not None and handle.identity == identity:
                cls._kept.move_to_end(path)
                return handle
            with _failing(key):
                handle = _Handle(kvikio.CuFile(path, "r"), found.st_size, identity)
            cls._kept[path] = handle
            while len(cls._kept) > _HANDLES:
                cls._kept.popitem(last=False)  # closed when its last reader lets go of it
            return handle


@contextmanager
def _failing(key: str) -> Iterator[None]:
    """Errors of kvikio and the file system as gpuzarr's."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise _failed(key, error) from error


def _failed(key: str, error: Exception) -> StoreError:
    return StoreError(f"The file of key {key!r} cannot be read: {words_of(error)}.")
