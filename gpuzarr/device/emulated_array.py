"""Arrays in the memory of the emulated device: what CuPy's are on a GPU.

Shape, dtype, strides and views are as in NumPy, but nothing on the host reads or writes the
elements unasked: `get` downloads them and `set` uploads, as CuPy's do, and ``numpy.asarray``
raises TypeError, as with CuPy.
"""

from __future__ import annotations

from contextlib import suppress
from types import EllipsisType, SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gpuzarr.device import emulator_runtime
from gpuzarr.errors import DeviceError

_DLPACK_CPU = (1, 0)
_DLPACK_EXTENSION = (12, 0)


class _Memory:
    """One allocation, of exactly this size; what runs over its end is seen by the checker."""

    def __init__(self, nbytes: int) -> None:
        self._runtime = emulator_runtime.load()
        self._address = self._runtime.gzemu_allocate(nbytes)
        if self._address is None:
            raise DeviceError(
                f"The emulated device has no room for {nbytes} bytes; it uses host memory."
            )
        self.__array_interface__ = {
            "data": (self._address, False),
            "shape": (nbytes,),
            "typestr": "|u1",
            "version": 3,
        }

    def __del__(self) -> None:
        with suppress(Exception):  # the runtime may be gone while the interpreter shuts down
            self._runtime.gzemu_free(self._address)


class EmulatedArray:
    """An array on the emulated device. Made by `empty` and `asarray`, and by slicing others.

    Attributes
    ----------
    shape, dtype, strides, ndim, size, itemsize, nbytes, flags
        As NumPy's.
    data
        ``data.ptr`` is the device address of the first element, as with CuPy.

    Examples
    --------
    >>> array = asarray(np.arange(6).reshape(2, 3))
    >>> array[1, ::2].get()
    array([3, 5])
    """

    # NumPy's own rules of shapes and strides, on a view of the device's memory
    def __init__(self, view: NDArray[Any]) -> None:
        self._view = view
        self.shape = view.shape
        self.dtype = view.dtype
        self.strides = view.strides
        self.ndim = view.ndim
        self.size = view.size
        self.itemsize = view.itemsize
        self.nbytes = view.nbytes
        self.flags = view.flags
        self.data = SimpleNamespace(ptr=view.ctypes.data)

    def get(self) -> NDArray[Any]:
        """A copy on the host, C-contiguous."""
        return self._view.copy()

    def set(self, values: NDArray[Any]) -> None:
        """Upload an array of this shape and dtype; this one must be C-contiguous.

        Raises
        ------
        ValueError
            If shape, dtype or layout differ.
        """
        if values.shape != self.shape or values.dtype != self.dtype:
            raise ValueError(
                f"Expected an array of shape {self.shape} and dtype {self.dtype}, "
                f"found {values.shape} and {values.dtype}."
            )
        if not self._view.flags.c_contiguous:
            raise ValueError("Expected a C-contiguous array to upload to, found one with gaps.")
        np.copyto(self._view, values)
        emulator_runtime.load().gzemu_written(self.data.ptr, self.nbytes)

    def reshape(self, *shape: int | tuple[int, ...]) -> EmulatedArray:
        """A view of another shape; one that needs a copy raises ValueError."""
        view = self._view.reshape(*shape)  # type: ignore[arg-type]
        if self.size and not np.may_share_memory(view, self._view):
            raise ValueError(f"Expected a shape that is a view of {self!r}, found {shape}.")
        return EmulatedArray(view)

    def view(self, dtype: DTypeLike) -> EmulatedArray:
        """The same bytes as elements of another dtype."""
        return EmulatedArray(self._view.view(dtype))

    def transpose(self, *axes: int) -> EmulatedArray:
        """A view with its axes permuted, or reversed."""
        return EmulatedArray(self._view.transpose(*axes))

    def __getitem__(self, index: Any) -> EmulatedArray:
        items = index if isinstance(index, tuple) else (index,)
        for item in items:
            if isinstance(item, bool) or not isinstance(
                item, int | np.integer | slice | EllipsisType | None
            ):
                raise IndexError(
                    f"EmulatedArray takes integers, slices, ... and None, found {item!r}."
                )
        tail = () if any(item is Ellipsis for item in items) else (...,)  # an array, never a scalar
        return EmulatedArray(self._view[(*items, *tail)])

    def __len__(self) -> int:
        return len(self._view)

    def __repr__(self) -> str:
        return f"<EmulatedArray shape={self.shape} dtype={self.dtype}>"

    def __array__(self, *args: Any, **kwargs: Any) -> NDArray[Any]:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct "
            "a NumPy array explicitly."
        )

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """NumPy makes views of it, as of CuPy's, but computes nothing."""
        if function is np.broadcast_to and args[0] is self:
            return EmulatedArray(np.broadcast_to(self._view, *args[1:], **kwargs))
        return NotImplemented

    def __array_ufunc__(self, *args: Any, **kwargs: Any) -> Any:
        return NotImplemented  # it is a duck array to libraries

    def __dlpack_device__(self) -> tuple[int, int]:
        return _DLPACK_EXTENSION

    def __dlpack__(
        self, *, dl_device: tuple[int, int] | None = None, copy: bool | None = None, **_: Any
    ) -> Any:
        """A copy on the host, and only where that is asked for: ``dl_device=(1, 0)``."""
        if dl_device is None or tuple(dl_device) != _DLPACK_CPU or copy is False:
            raise BufferError(
                "An EmulatedArray goes to the host only, as a copy, and on request: "
                "numpy.from_dlpack(array, device='cpu')."
            )
        return self.get().__dlpack__()


def empty(shape: int | tuple[int, ...], dtype: DTypeLike = np.uint8) -> EmulatedArray:
    """A C-contiguous array with undefined content, in memory of its own.

    Raises
    ------
    DeviceError
        If there is no memory left, or no compiler to build the emulator with.
    """
    wanted, extent = np.dtype(dtype), shape if isinstance(shape, tuple) else (shape,)
    nbytes = wanted.itemsize
    for length in extent:
        nbytes *= length
    memory: NDArray[Any] = np.asarray(_Memory(nbytes))
    return EmulatedArray(memory.view(wanted).reshape(extent))


def asarray(values: Any) -> EmulatedArray:
    """Upload an array, into memory of its own."""
    host = np.asarray(values)
    array = empty(host.shape, host.dtype)
    array.set(host)
    return array
