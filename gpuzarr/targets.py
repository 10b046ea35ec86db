"""Read targets: the memory behind an ``out=``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.errors import OutputError, words_of


def host_view(out: Any) -> NDArray[Any]:
    """A writable NumPy view of a read target.

    Raises
    ------
    OutputError
        If there is none that shares the target's memory.
    """
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


def checked_target(out: Any, shape: tuple[int, ...], dtype: np.dtype) -> NDArray[Any]:
    """The view of a target for a result of this shape and dtype; byte order may differ.

    Raises
    ------
    OutputError
        If shape or dtype differ, or `host_view` refuses.
    """
    target = host_view(out)
    if target.shape != shape:
        raise OutputError(f"out must have the shape {shape}, it has {target.shape}.")
    if _native(target.dtype) != _native(dtype):
        raise OutputError(f"out must have the dtype {dtype}, it has {target.dtype}.")
    return target


def _native(dtype: np.dtype) -> np.dtype:
    return dtype if dtype.kind == "T" else dtype.newbyteorder("=")


def field_dtype(dtype: np.dtype, field: str | list[str] | None) -> np.dtype:
    """dtype of one struct field, of several, or of whole elements."""
    if field is None:
        return dtype
    if isinstance(field, str):
        return dtype[field]
    return np.dtype([(name, dtype[name]) for name in field])
