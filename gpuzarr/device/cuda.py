"""NVIDIA GPUs: memory and streams by CuPy, kernels by NVRTC, decompression by nvCOMP.

The only module that imports cupy. What is here is what a GPU adds to `KernelDevice`: each thread of
a read works on a stream of its own, which waits for what the caller's stream was given before, and
is waited for at the end of a wave. So a result is complete for every stream when a read returns,
and one wave is read while others are copied and decoded.

Nothing here makes a CUDA context before the first array is allocated.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

import cupy
import numpy as np
from numpy.typing import NDArray

from gpuzarr.config import config
from gpuzarr.device.kernel_device import KernelDevice
from gpuzarr.device.kernels import Geometry
from gpuzarr.device.launcher import Chunks
from gpuzarr.device.nvcomp import Nvcomp
from gpuzarr.device.nvcomp_compress import Compressors
from gpuzarr.device.nvrtc import cubin
from gpuzarr.errors import DeviceError, DeviceMemoryError, words_of

Ints = NDArray[np.int64]

_IN_FLIGHT = 96
"""A wave's decoded bytes, times this, are at most the device's memory: 8 threads, each with decoded
and encoded bytes twice, and zstd's own memory of three to four times the decoded bytes."""

_TEMPORARY = 4
"""A compressor's own memory, of one call, is at most this times the bytes of a wave."""

_local = threading.local()


class CudaDevice(KernelDevice):
    """One GPU; results are CuPy arrays.

    Parameters
    ----------
    ordinal
        As CUDA numbers the devices that are visible; None for CuPy's current one.

    Raises
    ------
    DeviceError
        If there is no driver, no such device, or no nvCOMP.
    """

    def __init__(self, ordinal: int | None = None) -> None:
        with _translated("be found"):
            count = cupy.cuda.runtime.getDeviceCount()
            self._ordinal = cupy.cuda.runtime.getDevice() if ordinal is None else ordinal
        if not 0 <= self._ordinal < count:
            raise DeviceError(
                f"There is no device 'cuda:{self._ordinal}': CUDA sees {count}, "
                f"from 'cuda:0' to 'cuda:{count - 1}'."
            )
        self.name = f"cuda:{self._ordinal}"
        self._nvcomp = _nvcomp()

    @cached_property
    def _properties(self) -> dict[str, Any]:
        properties: dict[str, Any] = cupy.cuda.runtime.getDeviceProperties(self._ordinal)
        return properties

    @property
    def processors(self) -> int:  # type: ignore[override]
        """Multiprocessors."""
        return int(self._properties["multiProcessorCount"])

    @property
    def capability(self) -> int:
        """Compute capability, 90 for 9.0."""
        return 10 * int(self._properties["major"]) + int(self._properties["minor"])

    # --- threads and streams ----------------------------------------------------------------------

    def begin(self, stream: Any = None) -> Any:
        """Events behind all that the current stream was given so far, and the caller's.

        Both: results are made on the current one, in memory that it may still be using.
        """
        with self._here():
            return [_event_of(s) for s in (None, stream)[: 1 if stream is None else 2]]

    @contextlib.contextmanager
    def working(self, begun: Any) -> Iterator[None]:
        """This thread's stream is current in the block, and waited for at its end."""
        with self._here(), _stream_of(self._ordinal) as stream:
            for event in begun:
                stream.wait_event(event)
            with super().working(begun):
                yield

    def _wait(self) -> None:
        super()._wait()
        cupy.cuda.get_current_stream().synchronize()

    @contextlib.contextmanager
    def _here(self) -> Iterator[None]:
        with _translated("be used", self._ordinal), cupy.cuda.Device(self._ordinal):
            yield

    # --- memory -----------------------------------------------------------------------------------

    def identity(self) -> str:
        """The GPU and nvCOMP."""
        nvcomp = ".".join(map(str, self._nvcomp.version))
        return f"{self._properties['name'].decode()} nvCOMP {nvcomp}"

    def facts(self) -> dict[str, str]:
        """The GPU, its driver, and the libraries."""
        runtime, properties = cupy.cuda.runtime, self._properties
        memory = int(properties["totalGlobalMem"]) / 1e9
        driver, cuda = (
            _dotted(v) for v in (runtime.driverGetVersion(), runtime.runtimeGetVersion())
        )
        nvcomp = ".".join(map(str, self._nvcomp.version))
        return {
            "GPU": f"{properties['name'].decode()}, {memory:.0f} GB, compute capability "
            f"{self.capability / 10}, {self.processors} multiprocessors.",
            "CUDA": f"The driver is for CUDA {driver}, CuPy {cupy.__version__} runs on {cuda}.",
            "nvCOMP": f"Version {nvcomp} in {self._nvcomp.path}.",
            "kernels": f"Compiled by NVRTC, as in {cubin('copy', self.capability)}.",
        }

    def wave_bytes(self) -> int:
        """As configured, as far as the device's memory allows."""
        most = int(self._properties["totalGlobalMem"]) // _IN_FLIGHT
        return max(1, min(int(config.get("device_wave_bytes")), most))

    def free_memory(self) -> None:
        """Give CuPy's unused blocks back, and what only an error's traceback still holds."""
        gc.collect()
        with self._here():
            cupy.get_default_memory_pool().free_all_blocks()

    def host_memory(self, nbytes: int) -> NDArray[np.uint8]:
        """Pinned memory."""
        with self._here():
            memory = cupy.cuda.alloc_pinned_memory(max(1, nbytes))
            return np.frombuffer(memory, np.uint8, nbytes)

    def empty(self, nbytes: int) -> Any:
        """An arena of `nbytes` undefined bytes, from CuPy's allocator."""
        with self._here():
            return cupy.empty(nbytes, cupy.uint8)

    def new_result(self, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        """A CuPy array."""
        with self._here():
            return cupy.empty(shape, dtype.newbyteorder("="))

    def _copy_in(self, values: NDArray[np.uint8]) -> Any:
        with self._here():
            array = cupy.empty(values.shape, cupy.uint8)
            if values.size:
                stream = cupy.cuda.get_current_stream()
                array.data.copy_from_host_async(values.ctypes.data, values.nbytes, stream)
            return array

    def _copy_out(self, array: Any) -> NDArray[Any]:
        with self._here():
            host: NDArray[Any] = cupy.asnumpy(array)
            return host

    # --- work -------------------------------------------------------------------------------------

    def _launch(self, op: str, kernel: str, shape: Geometry, args: Sequence[Any]) -> None:
        with self._here():
            function = _function(op, kernel, self._ordinal, self.capability)
            function(shape.grid, shape.block, tuple(args))

    def _alignment(self, codec: str) -> tuple[int, int]:
        found = self._nvcomp.alignments(codec)
        return found.input, found.output

    def _decompress(
        self, codec: str, source: Any, size: Any, capacity: Any, target: Any, room: Ints
    ) -> tuple[Any, Any]:
        with self._here():
            count, stream = len(room), cupy.cuda.get_current_stream().ptr
            largest, total = int(room.max(initial=0)), int(room.sum())
            nbytes = self._nvcomp.temp_bytes(codec, count, largest, total, stream)
            temp = cupy.empty(max(1, nbytes), cupy.uint8)
            status, found = cupy.empty(count, np.int32), cupy.empty(count, np.int64)
            self._nvcomp.decompress(
                codec, source=source.data.ptr, size=size.data.ptr, capacity=capacity.data.ptr,
                found=found.data.ptr, count=count, temp=temp.data.ptr, temp_bytes=nbytes,
                target=target.data.ptr, status=status.data.ptr, stream=stream,
            )  # fmt: skip
            return status, found

    @cached_property
    def _compressors(self) -> Compressors:
        return Compressors(self._nvcomp)

    def largest_chunk(self, codec: str) -> int:
        """As nvCOMP's headers and the library allow."""
        return self._compressors.largest(codec)

    def _compress_needs(
        self, codec: str, largest: int, fields: Mapping[str, int]
    ) -> tuple[int, int, int]:
        found = self._compressors.alignments(codec, fields)
        return found.input, found.output, self._compressors.room(codec, largest, fields)

    def _compress(self, codec: str, chunks: Chunks, fields: Mapping[str, int]) -> int:
        """As many streams a call as there is memory for, of which some take 30 times theirs."""
        with self._here():
            stream, ask = cupy.cuda.get_current_stream().ptr, self._compressors.temp_bytes
            count, largest, total = _extent(chunks.sizes)
            needed = ask(codec, count, largest, total, fields, stream)
            step = max(1, count * _TEMPORARY * self.wave_bytes() // max(1, needed))
            firsts = range(0, count, step)
            for first in firsts:
                part = slice(first, first + step)
                count, largest, total = _extent(chunks.sizes[part])
                nbytes = ask(codec, count, largest, total, fields, stream)
                temp = cupy.empty(max(1, nbytes), cupy.uint8)
                ends = [array[part].data.ptr for array in chunks[:5]]
                self._compressors.compress(
                    codec, fields, source=ends[0], size=ends[1], target=ends[2], found=ends[3],
                    status=ends[4], largest=largest, count=count, temp=temp.data.ptr,
                    temp_bytes=nbytes, stream=stream,
                )  # fmt: skip
            return len(firsts)


def _extent(sizes: Ints) -> tuple[int, int, int]:
    """How many streams, the size of the largest, and of all."""
    return len(sizes), int(sizes.max()), int(sizes.sum())


def from_dlpack(array: Any) -> Any:
    """CuPy's view of memory on a GPU that another library has."""
    with _translated("share the array"):
        return cupy.from_dlpack(array)


def _dotted(number: int) -> str:
    """13020 as "13.2"."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _stream_of(ordinal: int) -> Any:
    """The stream of this thread; memory that it frees is its own to take again."""
    streams: dict[int, Any] = _local.__dict__.setdefault("streams", {})
    if ordinal not in streams:
        streams[ordinal] = cupy.cuda.Stream(non_blocking=True)
    return streams[ordinal]


@cache
def _nvcomp() -> Nvcomp:
    return Nvcomp()


@cache
def _module(op: str, capability: int) -> Any:
    """A kernel file, compiled for this capability; CuPy loads it on each device that asks."""
    return cupy.RawModule(path=str(cubin(op, capability)))


@cache
def _function(op: str, kernel: str, ordinal: int, capability: int) -> Any:
    """A kernel on the current device, which is this one."""
    return _module(op, capability).get_function(kernel)


def _event_of(stream: Any) -> Any:
    """Behind what a stream, or the current one, was given so far."""
    event = cupy.cuda.Event(disable_timing=True)
    event.record(stream)
    return event


@contextlib.contextmanager
def _translated(what: str, ordinal: int = 0) -> Iterator[None]:
    """Errors of CUDA and CuPy as gpuzarr's."""
    try:
        yield
    except cupy.cuda.memory.OutOfMemoryError as error:
        with cupy.cuda.Device(ordinal):  # where the error left it, another one is current
            free, total = cupy.cuda.runtime.memGetInfo()
            pool = cupy.get_default_memory_pool().total_bytes()
        raise DeviceMemoryError(
            f"The device 'cuda:{ordinal}' has no room: {words_of(error)}. {free:,} of {total:,} "
            f"bytes are free, and CuPy's pool of this process holds {pool:,}; set gpuzarr's "
            f"option 'device_wave_bytes' lower, or read less at once."
        ) from error
    except (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError) as error:
        words = words_of(error)
        advice = (
            "; a process that was forked cannot use CUDA if its parent did, start it by spawn"
            if "initializationerror" in words.lower().replace(" ", "")
            else ""
        )
        raise DeviceError(f"The GPU cannot {what}: {words}{advice}.") from error
