"""Memory of large results, lent again once no array uses it (docs/decisions/0003).

Memory that is touched for the first time is zeroed by the kernel page by page, which costs several
times what rewriting it does. So the memory of a result that nobody holds any more is kept, marked
as free to take for the kernel (``MADV_FREE``): it is there for the next result unless somebody
needed it meanwhile.
"""

from __future__ import annotations

import math
import mmap
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from gpuzarr.config import config

SMALLEST = 4 << 20
"""Bytes from which on a result is lent; smaller ones are malloc's own to reuse."""

_IS_SUPPORTED = all(hasattr(mmap, n) for n in ("MADV_FREE", "MADV_HUGEPAGE", "MAP_ANONYMOUS"))

_idle: list[mmap.mmap] = []


class _Lease:
    """What a result's memory belongs to; when it goes, the memory is idle again."""

    def __init__(self, block: mmap.mmap) -> None:
        self._block = block
        address = np.frombuffer(block, np.uint8).ctypes.data
        self.__array_interface__ = {
            "data": (address, False),
            "shape": (len(block),),
            "typestr": "|u1",
            "version": 3,
        }

    def __del__(self) -> None:
        with suppress(Exception):  # while the interpreter shuts down, nothing need be kept
            _give_back(self._block)


def empty(shape: tuple[int, ...], dtype: np.dtype) -> NDArray[np.generic]:
    """A C-contiguous array with undefined content, as `numpy.empty` gives."""
    nbytes = math.prod(shape) * dtype.itemsize
    limit = int(config.get("result_pool_bytes"))
    if not _IS_SUPPORTED or dtype.hasobject or not SMALLEST <= nbytes <= limit:
        return np.empty(shape, dtype)
    memory = np.asarray(_Lease(_taken(nbytes) or _new(nbytes)))
    return memory[:nbytes].view(dtype).reshape(shape)


def _new(nbytes: int) -> mmap.mmap:
    block = mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without huge pages
        block.madvise(mmap.MADV_HUGEPAGE)
    return block


def _taken(nbytes: int) -> mmap.mmap | None:
    """An idle block that is large enough, and at most a quarter larger."""
    for block in sorted(_idle, key=len):
        if nbytes <= len(block) <= nbytes + nbytes // 4:
            with suppress(ValueError):  # another thread took it
                _idle.remove(block)
                return block
    return None


def _give_back(block: mmap.mmap) -> None:
    # No lock: this may run at any time, in a thread that is just taking a block.
    block.madvise(mmap.MADV_FREE)
    _idle.append(block)
    while sum(len(b) for b in list(_idle)) > int(config.get("result_pool_bytes")):
        with suppress(IndexError):
            _idle.pop(0)
