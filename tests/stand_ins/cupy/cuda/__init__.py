"""Devices, streams, events and pinned memory, as CuPy has them."""

from __future__ import annotations

import threading
from typing import Any

from cupy._machine import NULL_STREAM, Queue, machine
from cupy.cuda import driver, memory, runtime

__all__ = [
    "Device", "Event", "Stream", "alloc_pinned_memory", "driver", "get_current_stream", "memory",
    "runtime",
]  # fmt: skip

_local = threading.local()


class Device:
    """The current device in a ``with`` block; a stream of it stays current beyond."""

    def __init__(self, device: int | None = None) -> None:
        self.id = runtime.getDevice() if device is None else int(device)
        self._before: list[int] = []

    def __enter__(self) -> Device:
        self._before.append(runtime.getDevice())
        if self.id != self._before[-1]:
            self.use()
        return self

    def __exit__(self, *_: Any) -> None:
        runtime.setDevice(self._before.pop())

    def use(self) -> None:
        """Make it current in this thread."""
        runtime.setDevice(self.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    __hash__ = None  # type: ignore[assignment]


class Stream:
    """Of the device that is current as it is made."""

    null: Stream

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        self.ptr, self.device_id = NULL_STREAM, -1
        if not null:
            self.device_id = runtime.getDevice()
            machine.check(self.device_id)
            self.ptr = machine.new_queue(self.device_id, not non_blocking).pointer

    def queue(self) -> Queue:
        """What it was given; on the current device, or CUDA refuses."""
        return machine.queue_of(self.ptr, runtime.getDevice())

    def __enter__(self) -> Stream:
        current = runtime.getDevice()
        if self.device_id not in (-1, current):
            raise RuntimeError(
                f"The device that the stream is created on ({self.device_id}) does not match with "
                f"the current device ({current})"
            )
        _stack().setdefault(current, []).append(self)
        _entered().append(current)
        return self

    def __exit__(self, *_: Any) -> None:
        _stack()[_entered().pop()].pop()

    def wait_event(self, event: Event) -> None:
        """What comes is done behind what was recorded."""
        if event.recorded is not None:
            self.queue().wait_for(*event.recorded)

    def synchronize(self) -> None:
        """The host waits for all that it was given."""
        self.queue().synchronize()


Stream.null = Stream(null=True)


class Event:
    """A place in what a stream was given."""

    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        machine.check(runtime.getDevice())
        self.recorded: Any = None

    def record(self, stream: Stream | None = None) -> None:
        """Behind what the stream, else the current one, was given so far."""
        queue = (stream or get_current_stream()).queue()
        self.recorded = queue, queue.given, queue.clock()

    def synchronize(self) -> None:
        """The host waits."""
        if self.recorded is not None:
            queue, position, _ = self.recorded
            queue.run(position)
            queue.waited_for = max(queue.waited_for, position)


def _stack() -> dict[int, list[Stream]]:
    return _local.__dict__.setdefault("stack", {})  # type: ignore[no-any-return]


def _entered() -> list[int]:
    return _local.__dict__.setdefault("entered", [])  # type: ignore[no-any-return]


def get_current_stream() -> Stream:
    """Of this thread and the current device."""
    return [Stream.null, *_stack().get(runtime.getDevice(), [])][-1]


class _Pinned:
    """Of CuPy's pool; whoever has its buffer keeps it."""

    def __init__(self, nbytes: int) -> None:
        self._memory = machine.take_pinned(nbytes)

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(self._memory).cast("B").cast("b")

    def __del__(self) -> None:
        if hasattr(self, "_memory"):
            machine.give_back_pinned(self._memory)


def alloc_pinned_memory(nbytes: int) -> Any:
    """Host memory that a device copies from while nobody waits."""
    return _Pinned(nbytes)
