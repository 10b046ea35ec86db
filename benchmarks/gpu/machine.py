"""The machine that is measured: its clock, its memory and what it tells of itself.

`Gpu` asks CuPy, `Emulated` the host; all else in this folder runs on either through `Machine`.
"""

from __future__ import annotations

import importlib.util
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np

from gpuzarr import device as devices
from gpuzarr.device.kernel_device import KernelDevice

_FLUSHED = 64 << 20
"""Bytes that are copied before a kernel is timed: more than the caches of a GPU hold."""


class Machine(ABC):
    """A device, and what only its platform can tell."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.device: Any = devices.get(name)

    @abstractmethod
    def synchronize(self) -> None:
        """Wait for all that was begun."""

    @abstractmethod
    def mark(self) -> Any:
        """A point in time in the current stream."""

    @abstractmethod
    def seconds(self, first: Any, second: Any) -> float:
        """From one mark to another, both of which are past."""

    @abstractmethod
    def pinned(self, nbytes: int) -> np.ndarray:
        """Host memory from which copies are fast; the next call may give it again."""

    @abstractmethod
    def send(self, host: np.ndarray, target: Any) -> None:
        """Begin to copy pinned bytes to an arena of this size."""

    @abstractmethod
    def copy(self, source: Any, target: Any) -> None:
        """Begin to copy one arena to another of its size."""

    @abstractmethod
    def upload(self, host: np.ndarray) -> Any:
        """A new array on the device, as a user's program makes it."""

    def host(self, array: Any) -> np.ndarray:
        """A copy on the host."""
        found: np.ndarray = np.asarray(array if devices.on_device(array) is None else array.get())
        return found

    def flush(self) -> None:  # noqa: B027
        """Begin something that empties caches and outlasts the start of a launch, if need be."""

    @contextmanager
    def peak(self) -> Iterator[dict[str, int | None]]:
        """How much device memory was taken in the block, in bytes; None where nobody counts."""
        yield {"bytes": None}

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """Driver, card and versions."""

    @cached_property
    def gds(self) -> tuple[bool, str]:
        """Whether GPUDirect Storage is active, and why not."""
        return False, "there is no GPU"


class Emulated(Machine):
    """The kernels on the CPU; its times say nothing of a GPU."""

    def synchronize(self) -> None:
        """Nothing is left to wait for."""

    def mark(self) -> float:
        """Now."""
        return perf_counter()

    def seconds(self, first: float, second: float) -> float:
        """By the host's clock."""
        return second - first

    def pinned(self, nbytes: int) -> np.ndarray:
        """Plain memory."""
        return np.empty(nbytes, np.uint8)

    def send(self, host: np.ndarray, target: Any) -> None:
        """Copy."""
        target.set(host)

    def copy(self, source: Any, target: Any) -> None:
        """Copy."""
        target.set(source.get())

    def upload(self, host: np.ndarray) -> Any:
        """An `EmulatedArray`."""
        from gpuzarr.device.emulated_array import asarray

        return asarray(host)

    def about(self) -> dict[str, Any]:
        """That there is no card."""
        return {"card": "none: emulated on the CPU, whose times say nothing of a GPU"}


class Gpu(Machine):
    """An NVIDIA GPU."""

    def __init__(self, name: str) -> None:
        super().__init__(name)  # where there is no GPU, this says so in a sentence
        import cupy

        self._cupy, self._cuda = cupy, cupy.cuda
        cupy.cuda.Device(int(name.partition(":")[2] or 0)).use()
        self._scratch: list[Any] = []
        self._pinned = np.empty(0, np.uint8)

    def synchronize(self) -> None:
        """Wait for all streams."""
        self._cuda.runtime.deviceSynchronize()

    def mark(self) -> Any:
        """A recorded event."""
        event = self._cuda.Event()
        event.record(self._cuda.get_current_stream())
        return event

    def seconds(self, first: Any, second: Any) -> float:
        """By the GPU's clock."""
        return float(self._cuda.get_elapsed_time(first, second)) / 1e3

    def pinned(self, nbytes: int) -> np.ndarray:
        """Page-locked memory."""
        if len(self._pinned) < nbytes:
            self._pinned = np.empty(0, np.uint8)
            self._cupy.get_default_pinned_memory_pool().free_all_blocks()
            memory = self._cuda.alloc_pinned_memory(nbytes)
            self._pinned = np.frombuffer(memory, np.uint8, nbytes)
        return self._pinned[:nbytes]

    def send(self, host: np.ndarray, target: Any) -> None:
        """On the current stream."""
        stream = self._cuda.get_current_stream()
        target.data.copy_from_host_async(host.ctypes.data, host.nbytes, stream)

    def copy(self, source: Any, target: Any) -> None:
        """On the current stream."""
        stream = self._cuda.get_current_stream()
        target.data.copy_from_device_async(source.data, source.nbytes, stream)

    def upload(self, host: np.ndarray) -> Any:
        """From pageable memory, as ``cupy.asarray`` does it."""
        return self._cupy.asarray(host)

    def flush(self) -> None:
        """Copy more than the caches hold."""
        if not self._scratch:
            self._scratch = [self._cupy.zeros(_FLUSHED, np.uint8) for _ in range(2)]
        self.copy(*self._scratch)

    @contextmanager
    def peak(self) -> Iterator[dict[str, int | None]]:
        """What CuPy's pool grew by: it keeps what is freed, so this is its highest mark."""
        pool = self._cupy.get_default_memory_pool()
        found: dict[str, int | None] = {"bytes": None}
        self.synchronize()
        pool.free_all_blocks()
        before = pool.total_bytes()
        yield found
        found["bytes"] = pool.total_bytes() - before

    def about(self) -> dict[str, Any]:
        """As the runtime tells it."""
        runtime = self._cuda.runtime
        properties = runtime.getDeviceProperties(runtime.getDevice())
        return {
            "card": properties["name"].decode(),
            "memory_bytes": properties["totalGlobalMem"],
            "processors": properties["multiProcessorCount"],
            "driver": runtime.driverGetVersion(),
            "cuda": runtime.runtimeGetVersion(),
        }

    @cached_property
    def gds(self) -> tuple[bool, str]:
        """As kvikio tells it."""
        if importlib.util.find_spec("kvikio") is None:
            return False, "kvikio is not installed"
        import kvikio
        import kvikio.cufile_driver

        driver = kvikio.cufile_driver
        try:
            properties = getattr(driver, "properties", None)
            known = properties is not None
            available = properties.is_gds_available if known else driver.get("is_gds_available")
        except Exception as error:  # of any kind: it differs by version
            return False, f"kvikio cannot tell: {error}"
        mode = getattr(kvikio.defaults, "get", lambda _: "unknown")("compat_mode")
        return bool(available), f"kvikio {kvikio.__version__}, compatibility mode {mode}"


def machine(name: str) -> Machine:
    """The machine behind a device's name."""
    return Emulated(name) if name == "emulated" else Gpu(name)


# --- spans of launches ----------------------------------------------------------------------------


@dataclass
class Trace:
    """When each kernel and each batch call of the library's began and ended."""

    machine: Machine
    origin: Any
    spans: list[tuple[str, Any, Any]] = field(default_factory=list)

    def by_name(self) -> dict[str, float]:
        """Seconds of each kernel, summed."""
        self.machine.synchronize()
        found: Counter[str] = Counter()
        for name, begin, end in self.spans:
            found[name] += self.machine.seconds(begin, end)  # type: ignore[assignment]
        return dict(found)

    def busy(self) -> float:
        """Seconds in which at least one of them ran."""
        self.machine.synchronize()
        ends = sorted(
            (self.machine.seconds(self.origin, begin), self.machine.seconds(self.origin, end))
            for _, begin, end in self.spans
        )
        total = reached = 0.0
        for begin, end in ends:
            total += max(0.0, end - max(begin, reached))
            reached = max(reached, end)
        return total


@contextmanager
def traced(machine: Machine, before: Callable[[], None] = lambda: None) -> Iterator[Trace]:
    """Watch all launches of the machine's kind of device; `before` is called in front of each."""
    kind, lock = type(machine.device), threading.Lock()
    launch, decompress = kind._launch, kind._decompress
    trace = Trace(machine, machine.mark())

    def watched(call: Callable[..., Any], name_of: Callable[..., str]) -> Callable[..., Any]:
        def run(self: KernelDevice, *args: Any, **kwargs: Any) -> Any:
            before()
            begin = machine.mark()
            result = call(self, *args, **kwargs)
            with lock:
                trace.spans.append((name_of(*args), begin, machine.mark()))
            return result

        return run

    kind._launch = watched(launch, lambda op, kernel, *_: kernel)
    kind._decompress = watched(decompress, lambda codec, *_: f"library {codec}")
    try:
        yield trace
    finally:
        kind._launch, kind._decompress = launch, decompress
