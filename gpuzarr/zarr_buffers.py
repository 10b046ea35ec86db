"""A result of zarr-python's whose memory is chosen by who fills it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from zarr.core.buffer import cpu
from zarr.registry import register_ndbuffer

from gpuzarr.device import Device


class ResultBuffer(cpu.NDBuffer):
    """An NDBuffer that allocates nothing until it is filled.

    `GpuzarrCodecPipeline` has its device allocate the result; to everybody else the buffer turns
    into host memory at first use.
    """

    def __init__(self, array: Any = None) -> None:
        self._array = array
        self._wanted: tuple[tuple[int, ...], np.dtype, Literal["C", "F"]] | None = None

    @classmethod
    def create(
        cls,
        *,
        shape: Iterable[int],
        dtype: npt.DTypeLike,
        order: Literal["C", "F"] = "C",
        fill_value: Any | None = None,
    ) -> Self:
        """A buffer of this shape; filled ones are on the host."""
        if fill_value is not None:
            array = cpu.NDBuffer.create(
                shape=shape, dtype=dtype, order=order, fill_value=fill_value
            )
            return cls(array.as_ndarray_like())
        self = cls()
        self._wanted = tuple(shape), np.dtype(dtype), order
        return self

    @classmethod
    def empty(
        cls, shape: tuple[int, ...], dtype: npt.DTypeLike, order: Literal["C", "F"] = "C"
    ) -> Self:
        """A buffer that has no memory yet."""
        return cls.create(shape=shape, dtype=dtype, order=order)

    @property
    def is_unfilled(self) -> bool:
        """Whether its memory is still to be chosen."""
        return self._array is None

    def allocate_on(self, device: Device) -> Any:
        """Choose this device, which but for the host has native byte order; the array to fill."""
        assert self._wanted is not None
        shape, dtype, order = self._wanted
        if not device.is_host or order == "C":
            self._array = device.new_result(shape, dtype)
        return self._data

    @property
    def _data(self) -> Any:
        if self._array is None:
            assert self._wanted is not None
            self._array = np.empty(self._wanted[0], self._wanted[1], order=self._wanted[2])
        return self._array

    @_data.setter
    def _data(self, array: Any) -> None:
        self._array = array

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array, whether or not it has memory."""
        return self._wanted[0] if self._wanted is not None else self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the array; before it has memory, as asked for."""
        if self._array is not None:
            dtype: np.dtype[Any] = self._array.dtype
            return dtype
        assert self._wanted is not None
        return self._wanted[1]

    def as_numpy_array(self) -> npt.NDArray[Any]:
        """The content on the host: a copy, if it is on a device."""
        data = self._data
        return data.get() if hasattr(data, "get") else np.asanyarray(data)


class _HostKind(type(cpu.NDBuffer)):  # type: ignore[misc]
    """Compares equal to zarr-python's class of host memory.

    Its sharding codec compares buffer classes to learn whether memory is on the host, and refuses
    shards within shards otherwise.
    """

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is cpu.NDBuffer

    def __hash__(cls) -> int:
        return hash(cpu.NDBuffer)


class HostResultBuffer(ResultBuffer, metaclass=_HostKind):
    """The same, in host memory only."""


HOST_RESULTS = "zarr_buffers.HostResultBuffer"
"""Its name among zarr-python's: anndata takes every name in which "gpu" stands for CuPy's."""

register_ndbuffer(ResultBuffer)
register_ndbuffer(HostResultBuffer, HOST_RESULTS)
