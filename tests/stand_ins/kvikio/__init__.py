"""A stand-in for the few parts of kvikio that gpuzarr calls, on the stand-in for CuPy.

A read is done when its future is asked, and the stream that memory was last used on must have been
waited for: kvikio's copies follow no stream of the caller's.
"""

from __future__ import annotations

import os
from enum import Enum
from typing import Any

from cupy import ndarray
from cupy._machine import MissingWaitError, machine

from kvikio import cufile_driver, defaults

__all__ = ["CompatMode", "CuFile", "cufile_driver", "defaults"]


class CompatMode(Enum):
    """Whether kvikio reads through host memory by itself."""

    OFF = 0
    ON = 1
    AUTO = 2


class CuFile:
    """An open file."""

    opened = 0

    def __init__(self, file: str, flags: str = "r") -> None:
        assert flags == "r"
        self._fd = os.open(file, os.O_RDONLY)
        CuFile.opened += 1

    def pread(self, buf: Any, size: int, file_offset: int = 0, task_size: Any = None) -> IOFuture:
        """Begin to read bytes into device memory."""
        if not isinstance(buf, ndarray):
            raise TypeError("the stand-in reads to device memory only")
        if not buf.flags.c_contiguous:
            raise ValueError("Array must be contiguous")
        if not 0 < size <= buf.nbytes:
            raise ValueError("Size is greater than the size of the buffer")
        other, position = buf._block.last
        if other.waited_for < position:
            raise MissingWaitError("kvikio is given memory that a stream still works on")
        return IOFuture(self, buf.data.ptr, size, file_offset)

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            os.close(self._fd)


class IOFuture:
    """A read under way; the memory is the caller's to keep."""

    def __init__(self, file: CuFile, address: int, size: int, offset: int) -> None:
        self._file, self._what = file, (address, size, offset)

    def get(self) -> int:
        """How many bytes were read."""
        address, size, offset = self._what
        data = os.pread(self._file._fd, size, offset)
        machine.counts["kvikio reads"] += 1
        machine.write(address, data)
        return len(data)
