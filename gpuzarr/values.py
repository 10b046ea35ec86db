"""Values to be written: host arrays that fit a selection."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr import device as devices
from gpuzarr.errors import ValueFitError, words_of

_NUMBERS = "biufc"


def fitting(value: Any, shape: tuple[int, ...], dtype: np.dtype) -> NDArray[Any]:
    """A value as an array of this shape, broadcast as NumPy does it; a view where possible.

    Numbers keep their dtype, since they are cast as they are copied; other dtypes are converted
    here, so that what cannot be converted fails before anything is written.

    Raises
    ------
    ValueFitError
        If shape or dtype do not fit.
    """
    try:
        array = _host_array(value, dtype)
        if array.dtype != dtype and not (array.dtype.kind in _NUMBERS and dtype.kind in _NUMBERS):
            array = array.astype(dtype)
    except (TypeError, ValueError) as error:
        raise ValueFitError(
            f"A value of type {type(value).__name__} cannot be stored as {dtype}: "
            f"{words_of(error)}."
        ) from error
    return broadcast(array, shape)


def nbytes_on_device(value: Any) -> int:
    """Bytes of a value that is in the memory of a device; `fitting` downloads them."""
    there = devices.on_device(value)
    return 0 if there is None else int(there.nbytes)


def broadcast(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """An array in the shape of a selection, as NumPy broadcasts in an assignment.

    Raises
    ------
    ValueFitError
        If it has another shape.
    """
    given = array.shape
    while array.ndim > len(shape) and array.shape[0] == 1:
        array = array[0, ...]  # a view, also where the element is an object
    try:
        if array.ndim > len(shape):
            raise ValueError("too many axes")
        return np.broadcast_to(array, shape)
    except ValueError as error:
        raise ValueFitError(
            f"A value for this selection has the shape {shape}, or one that can be broadcast to "
            f"it, not {given}."
        ) from error


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
    if (there := devices.on_device(value)) is not None:
        host: NDArray[Any] = there.get()
        return host
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    if hasattr(value, "__array__") or hasattr(value, "__array_interface__"):
        return np.asarray(value)
    if hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    return np.asarray(value, dtype)
