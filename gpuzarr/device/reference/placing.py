"""Ops between chunks and results, and those of fill values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def place(target: NDArray[Any], part: Any, chunk: NDArray[Any], source: Any) -> None:
    """``target[part] = chunk[source]``: slices for a box, ``np.ix_`` for lists, or points."""
    target[part] = chunk[source]


def gather(chunk: NDArray[Any], source: Any, value: NDArray[Any], part: Any) -> None:
    """``chunk[source] = value[part]``: what `place` undoes."""
    chunk[source] = value[part]


def fill(size: int, value: bytes) -> bytes:
    """`size` bytes of one value, again and again."""
    return (value * (size // len(value) + 1))[:size]


def equals_fill(data: bytes, value: NDArray[Any], kind: str) -> bool:
    """Whether a stream holds nothing but `value`, a 0-d array.

    `kind` is ``"bits"``, ``"nan"`` (any NaN; of complex numbers one part is enough), or
    ``"number"`` (NumPy's ``==``, so that -0 equals 0).
    """
    if kind == "bits":
        return data == fill(len(data), value.tobytes())
    elements = np.frombuffer(data, value.dtype)
    same = np.isnan(elements) if kind == "nan" else elements == value
    return bool(same.all())
