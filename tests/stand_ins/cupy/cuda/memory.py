"""Device memory as an address."""

from __future__ import annotations

import ctypes
from typing import Any

from cupy._machine import Block, OutOfMemoryError, machine

__all__ = ["MemoryPointer", "OutOfMemoryError"]


class MemoryPointer:
    """Where an array begins."""

    def __init__(self, block: Block, ptr: int) -> None:
        self.mem, self.ptr, self.device_id = block, ptr, block.device

    def copy_from_host_async(
        self, mem: int | ctypes.c_void_p, size: int, stream: Any = None
    ) -> None:
        """A copy of the stream's; it reads pinned memory when it is done, other memory now."""
        from cupy.cuda import get_current_stream

        queue = (stream or get_current_stream()).queue()
        address = mem if isinstance(mem, int) else int(mem.value or 0)
        self.mem.used_by(queue)
        data, target = machine.host_bytes(address, size), self.ptr
        machine.counts["uploads"] += 1
        queue.give(lambda: machine.write(target, data()))
