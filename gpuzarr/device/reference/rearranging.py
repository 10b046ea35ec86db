"""Ops that move bytes within a stream: planes, byte order, copies."""

from __future__ import annotations

import numpy as np


def copy(data: bytes) -> bytes:
    """The same bytes."""
    return data


def unshuffle(data: bytes, typesize: int) -> bytes:
    """Byte planes to elements; bytes behind the last whole element stay where they are."""
    n = len(data) // typesize
    planes = np.frombuffer(data, np.uint8, n * typesize).reshape(typesize, n)
    return planes.T.tobytes() + data[n * typesize :]


def shuffle(data: bytes, typesize: int) -> bytes:
    """Elements to byte planes; bytes behind the last whole element stay where they are."""
    n = len(data) // typesize
    elements = np.frombuffer(data, np.uint8, n * typesize).reshape(n, typesize)
    return elements.T.tobytes() + data[n * typesize :]


def byte_swap(data: bytes, width: int) -> bytes:
    """The bytes of each element of `width` in reverse; the length is a multiple of it."""
    return np.frombuffer(data, np.uint8).reshape(-1, width)[:, ::-1].tobytes()


def permute(data: bytes, order: list[int]) -> bytes:
    """Byte ``order[j]`` of each item becomes its byte `j`: swaps the fields of structs."""
    return np.frombuffer(data, np.uint8).reshape(-1, len(order))[:, order].tobytes()
