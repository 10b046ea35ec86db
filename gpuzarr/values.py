"""Values to be written: arrays that fit a selection, where they are to be encoded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr import device as devices
from gpuzarr.batch import BYTES, Batch
from gpuzarr.device import Device
from gpuzarr.device.counting import current
from gpuzarr.errors import ValueFitError, words_of
from gpuzarr.place import Boxes, Layout

_NUMBERS = "biufc"
_CAST = "biuf"
"""Kinds of numbers that a device casts."""


def converted(value: Any, dtype: np.dtype) -> Any:
    """A value as an array, on the host or on a device; a view where possible.

    Numbers keep their dtype, since they are cast as they are moved; other dtypes are converted
    here, so that what cannot be converted fails before anything is written.

    Raises
    ------
    ValueFitError
        If the dtype does not fit.
    """
    there = devices.on_device(value)
    if there is not None and dtype.kind in _NUMBERS:
        return there
    try:
        array = _host_array(value, dtype) if there is None else _downloaded(there)
        if array.dtype != dtype and not (array.dtype.kind in _NUMBERS and dtype.kind in _NUMBERS):
            array = array.astype(dtype)
    except (TypeError, ValueError) as error:
        raise ValueFitError(
            f"A value of type {type(value).__name__} cannot be stored as {dtype}: "
            f"{words_of(error)}."
        ) from error
    return array


def fitting(array: Any, shape: tuple[int, ...], dtype: np.dtype, device: Device) -> Any:
    """What `converted` gave, on this device, broadcast as NumPy does it; a view where possible.

    On the host numbers keep their dtype; any other device has them in this one, whose bytes may
    have another order.

    Raises
    ------
    ValueFitError
        If the shape does not fit.
    """
    array = _without_front(array, shape)
    return broadcast(_moved(array, dtype, device), shape)


def _moved(array: Any, dtype: np.dtype, device: Device) -> Any:
    """The array on the device."""
    if device.is_host:
        return array if devices.on_device(array) is None else _downloaded(array)
    dtype = dtype.newbyteorder("=")
    is_there = devices.on_device(array) is not None
    if is_there and array.dtype == dtype and devices.like(array) == device.name:
        return array
    if is_there and _casts(array, dtype, device):
        return _cast(array, dtype, device)
    if is_there:
        array = _downloaded(array)
    held = np.ascontiguousarray(array, dtype).reshape(-1).view(BYTES)
    arena = device.upload(Batch.uniform(held, 1, len(held))).arena
    return arena.view(dtype).reshape(array.shape)


def _casts(array: Any, dtype: np.dtype, device: Device) -> bool:
    """Whether the device casts an array of its own."""
    are_real = array.dtype.kind in _CAST and dtype.kind in _CAST
    return are_real and array.dtype.isnative and devices.like(array) == device.name


def _cast(array: Any, dtype: np.dtype, device: Device) -> Any:
    """An array on the device, of other numbers."""
    layout, shape = Layout.plain(array.dtype, array.shape), np.array([array.shape], np.int64)
    first, zero = np.zeros_like(shape), np.zeros(1, np.int64)
    one = Boxes(zero, first, shape, first, np.ones_like(shape[0]))
    numbers, cast = (
        device.room_for(np.array([layout.count * d.itemsize])) for d in (array.dtype, dtype)
    )
    device.gather(array, numbers, layout, one)
    device.cast(numbers, cast, array.dtype, dtype)
    return cast.arena[: int(cast.sizes[0])].view(dtype).reshape(array.shape)


def _downloaded(array: Any) -> NDArray[Any]:
    counts, host = current(), array.get()
    counts.downloads += 1
    counts.bytes_downloaded += host.nbytes
    return host  # type: ignore[no-any-return]


def broadcast(array: Any, shape: tuple[int, ...]) -> Any:
    """An array, on the host or a device, in the shape of a selection, as NumPy broadcasts it.

    Raises
    ------
    ValueFitError
        If it has another shape.
    """
    array = _without_front(array, shape)
    return np.broadcast_to(array, shape)


def _without_front(array: Any, shape: tuple[int, ...]) -> Any:
    """An array that can be broadcast to this shape, without axes in front that this one lacks."""
    given = array.shape
    while array.ndim > len(shape) and array.shape[0] == 1:
        array = array[0, ...]  # a view, also where the element is an object
    try:
        if np.broadcast_shapes(array.shape, shape) != shape:
            raise ValueError("another shape")
    except ValueError as error:
        raise ValueFitError(
            f"A value for this selection has the shape {shape}, or one that can be broadcast to "
            f"it, not {given}."
        ) from error
    return array


def appended(
    shape: tuple[int, ...], data: tuple[int, ...], axis: int
) -> tuple[tuple[int, ...], tuple[slice, ...]]:
    """The shape of an array after data of this shape are appended, and the index of these.

    Raises
    ------
    ValueFitError
        If other axes differ.
    """
    axis = axis % len(shape) if shape else 0
    if (
        len(data) != len(shape)
        or not shape
        or data[:axis] + data[axis + 1 :] != (shape[:axis] + shape[axis + 1 :])
    ):
        raise ValueFitError(
            f"Data of shape {data} cannot be appended along axis {axis} to an array of shape "
            f"{shape}: the other axes differ."
        )
    behind = (slice(None),) * axis + (slice(shape[axis], None),)
    return (*shape[:axis], shape[axis] + data[axis], *shape[axis + 1 :]), behind


def _host_array(value: Any, dtype: np.dtype) -> NDArray[Any]:
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    if hasattr(value, "__array__") or hasattr(value, "__array_interface__"):
        return np.asarray(value)
    if hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    return np.asarray(value, dtype)
