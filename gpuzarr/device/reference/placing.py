"""Ops between chunks and results, and those of fill values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.device.reference.rearranging import unshuffle


def place(target: NDArray[Any], part: Any, chunk: NDArray[Any], source: Any) -> None:
    """``target[part] = chunk[source]``: slices for a box, ``np.ix_`` for lists, or points."""
    target[part] = chunk[source]


def gather(chunk: NDArray[Any], source: Any, value: NDArray[Any], part: Any) -> None:
    """``chunk[source] = value[part]``: what `place` undoes."""
    chunk[source] = value[part]


def unshuffle_place(
    target: NDArray[Any], part: Any, blocks: Sequence[bytes], chunk: NDArray[Any], source: Any
) -> None:
    """Unshuffle the blocks that are a chunk, and place a part of it.

    `chunk` is an array of the chunk's shape and of its type as stored, byte order included; its
    content is replaced.
    """
    data = b"".join(unshuffle(block, chunk.itemsize) for block in blocks)
    chunk[...] = np.frombuffer(data, chunk.dtype).reshape(chunk.shape)
    place(target, part, chunk, source)


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
