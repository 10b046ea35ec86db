"""A stand-in for the few parts of CuPy that gpuzarr calls, without a GPU.

It offers no more than CuPy does, and refuses what CuPy refuses: implicit conversion to the host,
dtypes that it does not have, streams of another device. `_machine` says what else is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import uint8
from numpy.typing import NDArray

from cupy import cuda
from cupy._machine import Block, machine
from cupy._modules import RawModule
from cupy.cuda import get_current_stream
from cupy.cuda.memory import MemoryPointer
from gpuzarr.device.emulated_array import EmulatedArray

__all__ = [
    "RawModule", "asarray", "asnumpy", "cuda", "empty", "get_default_memory_pool", "ndarray",
    "uint8",
]  # fmt: skip

_DTYPES = "?bhilqBHILQefdFD"
_DLPACK_CUDA = 2


class _Flags:
    def __init__(self, flags: Any) -> None:
        self.c_contiguous, self.f_contiguous = flags.c_contiguous, flags.f_contiguous
        self.owndata = flags.owndata


class ndarray(EmulatedArray):  # noqa: N801
    """An array in the memory of one of the machine's devices."""

    __module__ = "cupy"

    def __init__(self, view: NDArray[Any], block: Block) -> None:
        super().__init__(view)
        self.flags = _Flags(view.flags)  # type: ignore[assignment]
        self._block = block
        self.data = MemoryPointer(block, view.ctypes.data if view.size else 0)  # type: ignore

    @property
    def device(self) -> cuda.Device:
        """Where it is."""
        return cuda.Device(self._block.device)

    def _of(self, array: EmulatedArray) -> ndarray:
        return ndarray(array._view, self._block)

    def reshape(self, *shape: Any) -> ndarray:
        """A view of another shape; CuPy would copy where there is none, this refuses."""
        return self._of(super().reshape(*shape))

    def view(self, dtype: Any) -> ndarray:
        """The same bytes as elements of another dtype."""
        return self._of(super().view(_supported(dtype)))

    def transpose(self, *axes: int) -> ndarray:
        """A view with its axes permuted, or reversed."""
        return self._of(super().transpose(*axes))

    def __getitem__(self, index: Any) -> ndarray:
        return self._of(super().__getitem__(index))

    def get(self, stream: Any = None, **_: Any) -> NDArray[Any]:
        """A copy on the host; the stream, else the current one of its device, is waited for."""
        with cuda.Device(self._block.device):
            queue = (stream or get_current_stream()).queue()
            self._block.used_by(queue)
            host = np.empty(self.shape, self.dtype)

            def copy() -> None:
                if self.size:
                    machine.check_live(self.data.ptr, 1, "a copy")
                host[...] = self._view

            queue.give(copy)
            machine.counts["downloads"] += 1
            queue.synchronize()
            return host

    def set(self, values: NDArray[Any], stream: Any = None) -> None:
        """Upload an array of this shape and dtype."""
        assert values.shape == self.shape
        assert values.dtype == self.dtype
        assert self.flags.c_contiguous
        host = np.asarray(values, order="C")
        with cuda.Device(self._block.device):
            self.data.copy_from_host_async(host.ctypes.data, host.nbytes, stream)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """CuPy has most of NumPy's functions; nothing here computes."""
        if function is np.broadcast_to and args[0] is self:
            return ndarray(np.broadcast_to(self._view, *args[1:], **kwargs), self._block)
        return NotImplemented

    def __array_ufunc__(self, *args: Any, **kwargs: Any) -> Any:
        return NotImplemented

    def __dlpack_device__(self) -> tuple[int, int]:
        return _DLPACK_CUDA, self._block.device

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape, "typestr": self.dtype.str, "version": 3,
            "data": (self.data.ptr, False), "strides": self.strides,
        }  # fmt: skip


def _supported(dtype: Any) -> np.dtype:
    wanted = np.dtype(dtype)
    if wanted.char not in _DTYPES or not wanted.isnative:
        raise ValueError(f"Unsupported dtype {wanted}")
    return wanted


def empty(shape: Any, dtype: Any = float) -> ndarray:
    """An array from the pool of the current device and stream, its content undefined."""
    wanted = _supported(dtype)
    shape = shape if isinstance(shape, tuple) else (int(shape),)
    nbytes = wanted.itemsize * int(np.prod(shape, dtype=np.int64))
    block = Block(machine, get_current_stream().queue(), nbytes)
    return ndarray(np.asarray(block).view(wanted).reshape(shape), block)


def asarray(values: Any) -> ndarray:
    """Upload an array."""
    host = np.asarray(values, order="C")
    array = empty(host.shape, host.dtype)
    array.set(host)
    return array


def from_dlpack(array: Any) -> ndarray:
    """An array that shares the memory of another library's, which is given as it is."""
    kind, _ = array.__dlpack_device__()
    if kind != _DLPACK_CUDA:
        raise TypeError("CPU arrays cannot be directly imported to CuPy")
    shared: ndarray = array.__dlpack__()
    return shared


def asnumpy(array: Any) -> NDArray[Any]:
    """Download an array."""
    return array.get() if isinstance(array, ndarray) else np.asarray(array)


class _Pool:
    def free_all_blocks(self, stream: Any = None) -> None:
        machine.free_unused(cuda.runtime.getDevice())

    def total_bytes(self) -> int:
        return machine.allocated[cuda.runtime.getDevice()]


def get_default_memory_pool() -> _Pool:
    """Of the current device."""
    return _Pool()
