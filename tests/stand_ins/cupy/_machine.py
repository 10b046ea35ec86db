"""A machine with GPUs, as far as CuPy's users see it: devices, memory, and streams that are lazy.

What is given to a stream is done when somebody waits for it and no earlier, so whatever lacks a
wait sees memory in which nothing was written, or finds its own host memory rewritten. The memory
is the emulated device's. What a GPU would answer by an error at some later call does so here: the
first failure breaks the machine, and every later call says so.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gpuzarr.device import emulator_runtime

ROUND = 512
POISON = 0xA5
NULL_STREAM = 0


class CUDARuntimeError(RuntimeError):
    """As CuPy's: ``cudaErrorNoDevice: no CUDA-capable device is detected``."""


class CUDADriverError(RuntimeError):
    """Of the driver's interface: modules and launches."""


class OutOfMemoryError(MemoryError):
    """As CuPy's pool raises it."""

    def __init__(self, size: int, total: int) -> None:
        super().__init__(
            f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes)."
        )


class MissingWaitError(AssertionError):
    """Memory is used that another stream may still be using."""


class Queue:
    """What one stream was given, in order."""

    def __init__(self, machine: Machine, device: int, pointer: int, is_blocking: bool) -> None:
        self.machine, self.device, self.pointer = machine, device, pointer
        self.is_blocking = is_blocking
        self.given = self.done = self.waited_for = 0
        self._work: deque[Callable[[], None]] = deque()
        self._knows: Counter[Queue] = Counter()

    def give(self, work: Callable[[], None]) -> None:
        """Work for later."""
        self.machine.check(self.device)
        self.join()
        self._add(work)

    def join(self) -> None:
        """The legacy default stream and blocking ones wait for each other unasked."""
        if self.is_blocking:
            for other in self.machine.queues_beside(self):
                self.wait_for(other, other.given, other.clock())

    def _add(self, work: Callable[[], None]) -> None:
        with self.machine.lock:
            self._work.append(work)
            self.given += 1

    def wait_for(self, other: Queue, position: int, clock: Counter[Queue]) -> None:
        """What comes is done behind what that stream was given until then."""
        if other is not self and other.done < position:
            self._add(lambda: other.run(position))
        self._knows |= clock

    def clock(self) -> Counter[Queue]:
        """How much of each stream is done before what comes next on this one."""
        return self._knows | Counter({self: self.given})

    def follows(self, other: Queue, position: int) -> bool:
        """Whether what comes next is certain to find that done."""
        return other is self or other.waited_for >= position or self._knows[other] >= position

    def run(self, position: int) -> None:
        """Do all up to there."""
        with self.machine.lock:
            while self.done < position:
                work = self._work.popleft()
                self.done += 1
                work()

    def synchronize(self) -> None:
        """The host waits."""
        with self.machine.lock:
            self.machine.check(self.device)
            position, known = self.given, self.clock()
            try:
                self.run(position)
            except Exception as error:
                self.machine.broken = f"{type(error).__name__}: {error}"
                raise CUDARuntimeError(
                    f"cudaErrorIllegalAddress: an illegal memory access was encountered "
                    f"({self.machine.broken})"
                ) from error
            for queue, until in known.items():
                queue.waited_for = max(queue.waited_for, until)


class Block:
    """Device memory that an array has, freed in the order of the stream it was taken on."""

    def __init__(self, machine: Machine, queue: Queue, nbytes: int) -> None:
        self._machine, self._queue, self.nbytes = machine, queue, nbytes
        self.device, self.room = queue.device, -(-nbytes // ROUND) * ROUND
        self.address = machine.take(queue, self.room, nbytes)
        self.last: tuple[Queue, int] = queue, 0
        self.__array_interface__ = {
            "data": (self.address, False), "shape": (nbytes,), "typestr": "|u1", "version": 3,
        }  # fmt: skip
        machine.blocks[self.address] = self.address + nbytes

    def used_by(self, queue: Queue) -> None:
        """By work that is given to a stream next, which others have to have been waited for."""
        queue.join()
        other, position = self.last
        if not queue.follows(other, position):
            raise MissingWaitError(
                f"Stream {queue.pointer:#x} uses memory that stream {other.pointer:#x} was given "
                f"to work on, and waits for no event behind that."
            )
        self.last = queue, queue.given + 1

    def __del__(self) -> None:
        with suppress(Exception):  # while the interpreter shuts down
            self._machine.give_back(self._queue, self.address, self.room)


class Machine:
    """All that a process sees. Tests set the upper five, and read the counts."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.process: int | None = None
        self.blocks: dict[int, int] = {}
        self.pinned: dict[int, tuple[int, bool]] = {}
        self._pinned_free: dict[int, list[Any]] = {}
        self._queues: dict[int, Queue] = {}
        self._last_pointer = NULL_STREAM
        self._free: Counter[tuple[int, int, int]] = Counter()
        self.allocated: Counter[int] = Counter()
        self.reset()

    def reset(self) -> None:
        """As a new process finds it; what lives goes on."""
        self.has_driver, self.devices, self.capability = True, 2, (9, 0)
        self.total_bytes = 1 << 40
        self.broken: str | None = None
        self.contexts: set[int] = set()
        self.counts: Counter[str] = Counter()
        self.loaded: Counter[tuple[str, int]] = Counter()
        for queue in self._queues.values():
            while queue.done < queue.given:
                with suppress(Exception):
                    queue.run(queue.given)
        for device in range(self.devices):
            self.free_unused(device)

    # --- the process ------------------------------------------------------------------------------

    def check(self, device: int | None = None) -> None:
        """A call of CUDA's; with a device, one that needs a context there."""
        if not self.has_driver:
            raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
        self.process = self.process or os.getpid()
        if os.getpid() != self.process:  # a forked child, whose parent began with CUDA
            raise CUDARuntimeError("cudaErrorInitializationError: initialization error")
        if device is not None:
            if self.broken:
                raise CUDARuntimeError(
                    f"cudaErrorIllegalAddress: an illegal memory access was encountered "
                    f"({self.broken})"
                )
            self.contexts.add(device)

    # --- streams ----------------------------------------------------------------------------------

    def new_queue(self, device: int, is_blocking: bool) -> Queue:
        """Of a new stream."""
        with self.lock:
            self._last_pointer += 0x100
            queue = Queue(self, device, self._last_pointer, is_blocking)
            self._queues[queue.pointer] = queue
            return queue

    def queue_of(self, pointer: int, device: int) -> Queue:
        """Of a stream by its pointer; the default stream is one for each device."""
        with self.lock:
            if pointer == NULL_STREAM:
                pointer = -1 - device
                if pointer not in self._queues:
                    self._queues[pointer] = Queue(self, device, NULL_STREAM, True)
            queue = self._queues[pointer]
        if queue.device != device:
            raise CUDARuntimeError("cudaErrorInvalidResourceHandle: invalid resource handle")
        return queue

    def queues_beside(self, queue: Queue) -> list[Queue]:
        """The default stream of a blocking one, and all blocking ones of the default stream."""
        return [
            other for other in list(self._queues.values())
            if other is not queue and other.is_blocking and other.device == queue.device
            and NULL_STREAM in (other.pointer, queue.pointer)
        ]  # fmt: skip

    # --- device memory ----------------------------------------------------------------------------

    def take(self, queue: Queue, room: int, nbytes: int) -> int:
        """From the pool, which keeps blocks by stream; memory of exactly this size."""
        device, key = queue.device, (queue.device, queue.pointer, room)
        self.check(device)
        with self.lock:
            self.counts["arrays"] += 1
            if self._free[key]:
                self._free[key] -= 1
            else:
                if self.allocated[device] + room > self.total_bytes:
                    self.free_unused(device)
                if self.allocated[device] + room > self.total_bytes:
                    raise OutOfMemoryError(nbytes, self.allocated[device])
                self.allocated[device] += room
                self.counts["allocations"] += 1
            address = int(emulator_runtime.load().gzemu_allocate(nbytes))
            ctypes.memset(address, POISON, nbytes)
            return address

    def give_back(self, queue: Queue, address: int, room: int) -> None:
        """Behind what its stream was given; a stream that has nothing to do frees it now."""
        with self.lock:
            self._free[queue.device, queue.pointer, room] += 1

            def free() -> None:
                del self.blocks[address]
                emulator_runtime.load().gzemu_free(address)

            if queue.done < queue.given:
                queue._add(free)
            else:
                free()

    def free_unused(self, device: int) -> None:
        """What the pool keeps goes back to the device."""
        with self.lock:
            for key in [key for key in self._free if key[0] == device]:
                self.allocated[device] -= key[2] * self._free.pop(key)

    def check_live(self, address: int, nbytes: int, what: str) -> None:
        """Fail as an access to memory that is nobody's does."""
        if not any(a <= address and address + nbytes <= b
                              for a, b in list(self.blocks.items())):  # fmt: skip
            raise RuntimeError(f"{what} of {nbytes} bytes at {address:#x}, which is nobody's")

    def read(self, address: int, nbytes: int) -> bytes:
        """Device memory, by work of a stream."""
        if nbytes:
            self.check_live(address, nbytes, "a read")
        return ctypes.string_at(address, nbytes)

    def write(self, address: int, data: bytes) -> None:
        """Device memory, by work of a stream."""
        if data:
            self.check_live(address, len(data), "a write")
            ctypes.memmove(address, data, len(data))
            emulator_runtime.load().gzemu_written(address, len(data))

    # --- pinned memory ----------------------------------------------------------------------------

    def take_pinned(self, nbytes: int) -> Any:
        """From the pool, which has powers of two; it may be what was given back a moment ago."""
        self.check(0)
        with self.lock:
            room = max(ROUND, 1 << (nbytes - 1).bit_length())
            kept = self._pinned_free.setdefault(room, [])
            if not kept:
                self.counts["pinned"] += 1
                kept.append((ctypes.c_ubyte * room)())
            memory = kept.pop()
            begin = ctypes.addressof(memory)
            self.pinned[begin] = begin + room, True
            return memory

    def give_back_pinned(self, memory: Any) -> None:
        """For the next who asks, whatever is still being copied from it."""
        with self.lock:
            begin = ctypes.addressof(memory)
            self.pinned[begin] = begin + len(memory), False
            self._pinned_free[len(memory)].append(memory)

    def host_bytes(self, address: int, nbytes: int) -> Callable[[], bytes]:
        """Host memory to copy from: pinned memory as it is by then, other as it is now."""
        for begin, (end, _) in list(self.pinned.items()):
            if begin <= address < end:
                return lambda: self._pinned_bytes(begin, address, nbytes)
        data = ctypes.string_at(address, nbytes)
        return lambda: data

    def _pinned_bytes(self, begin: int, address: int, nbytes: int) -> bytes:
        if not self.pinned[begin][1]:
            raise RuntimeError("a copy from pinned memory that was given back before it was done")
        return ctypes.string_at(address, nbytes)


machine = Machine()
