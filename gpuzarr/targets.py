"""Read targets: the memory behind an ``out=``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr import device as devices
from gpuzarr.device import Device
from gpuzarr.errors import OutputError, words_of


def host_view(out: Any) -> NDArray[Any]:
    """A writable NumPy view of a read target.

    Raises
    ------
    OutputError
        If there is none that shares the target's memory.
    """
    if (there := devices.on_device(out)) is not None:
        where = devices.like(there)
        raise OutputError(
            f"out is on the device {where!r}, and this array is read on the host; open it with "
            f"device={where!r}."
        )
    if isinstance(out, np.ndarray):
        view = out
    elif hasattr(out, "__dlpack__"):
        try:
            view = np.from_dlpack(out)
        except (AttributeError, BufferError, RuntimeError, TypeError, ValueError) as error:
            raise OutputError(
                f"out of type {type(out).__name__} does not share host memory through DLPack: "
                f"{words_of(error)}."
            ) from error
        if not view.flags.writeable and hasattr(out, "__array__"):
            # NumPy marks unversioned DLPack exports as read-only; torch shares its memory here.
            shared = np.asarray(out)
            view = shared if not view.size or np.shares_memory(shared, view) else view
    else:
        raise OutputError(f"out must be an array or support DLPack, not {type(out).__name__}.")
    if not view.flags.writeable:
        raise OutputError("out is read-only.")
    return view


def checked_target(out: Any, shape: tuple[int, ...], dtype: np.dtype, device: Device) -> Any:
    """The view of a target for a result of this shape and dtype; byte order may differ.

    Raises
    ------
    OutputError
        If shape, dtype or device differ, or `host_view` refuses.
    """
    target = host_view(out) if device.is_host else _on_device(out, device)
    if target.shape != shape:
        raise OutputError(f"out must have the shape {shape}, it has {target.shape}.")
    if _native(target.dtype) != _native(dtype):
        raise OutputError(f"out must have the dtype {dtype}, it has {target.dtype}.")
    return target


def _on_device(out: Any, device: Device) -> Any:
    there = devices.on_device(out)
    if there is None or devices.like(there) != device.name:
        raise OutputError(
            f"out must be an array on the device {device.name!r}, not {type(out).__name__}; to "
            f"read into host memory, open the array with device='cpu'."
        )
    if not there.dtype.isnative:
        raise OutputError(f"out on a device must have native byte order, it has {there.dtype}.")
    return there


def _native(dtype: np.dtype) -> np.dtype:
    return dtype if dtype.kind == "T" else dtype.newbyteorder("=")


def field_dtype(dtype: np.dtype, field: str | list[str] | None) -> np.dtype:
    """dtype of one struct field, of several, or of whole elements."""
    if field is None:
        return dtype
    if isinstance(field, str):
        return dtype[field]
    return np.dtype([(name, dtype[name]) for name in field])
