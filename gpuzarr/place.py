"""Where decoded chunks land in a result: the words that plans and devices share.

A *box* selection is affine on every axis, so a chunk's part of it is a start, a count and a step
per axis. A *query* (index lists, masks) needs an index per element: a `Grid` holds one list per
axis whose outer product is meant, `Points` one coordinate per element. They are placed by
different device ops, so they differ in type.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Layout:
    """How the decoded bytes of a chunk are an array.

    Attributes
    ----------
    dtype
        Of the elements as they lie in memory, byte order included.
    shape
        As they lie in memory, C order.
    axes
        ``memory.transpose(axes)`` has the axes of the Zarr array.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    axes: tuple[int, ...]

    @classmethod
    def plain(cls, dtype: np.dtype, shape: tuple[int, ...], order: str = "C") -> Layout:
        """A chunk of this shape in C or F order."""
        axes = tuple(range(len(shape)))
        if order == "F":
            return cls(dtype, shape[::-1], axes[::-1])
        return cls(dtype, shape, axes)

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def on_host_only(self) -> bool:
        """Whether elements are Python objects or variable strings, which have no bytes."""
        return self.dtype.hasobject

    @property
    def size(self) -> int:
        """Length in an arena: bytes, or elements where they have no bytes."""
        return self.count if self.on_host_only else self.count * self.dtype.itemsize

    @property
    def is_c_order(self) -> bool:
        """Whether the memory is the chunk in C order."""
        return self.axes == tuple(range(len(self.axes)))

    def stored(self, chunk: NDArray[Any]) -> NDArray[np.uint8]:
        """The bytes of a chunk in this layout."""
        memory = np.empty(self.shape, self.dtype)
        memory.transpose(self.axes)[...] = chunk
        return memory.reshape(-1).view(np.uint8)

    def transposed(self, inverse: tuple[int, ...]) -> Layout:
        """The layout after a further ``.transpose(inverse)``."""
        return Layout(self.dtype, self.shape, tuple(self.axes[i] for i in inverse))


@dataclass(slots=True)
class Boxes:
    """One affine part per row: chunk `slot` gives ``count`` elements from ``source`` on.

    `slots` is ``[n]``, positions in the batch; `source`, `count`, `target` are ``[n, ndim]``
    (`target` may have further axes in front, each of count 1); `step` is ``[ndim]``, positive.
    """

    slots: Ints
    source: Ints
    count: Ints
    target: Ints
    step: Ints

    def take(self, rows: NDArray[np.bool_], slots: Ints) -> Boxes:
        """These rows, with their slots renamed by ``slots[old]``."""
        return Boxes(
            slots[self.slots[rows]],
            self.source[rows],
            self.count[rows],
            self.target[rows],
            self.step,
        )


@dataclass(slots=True)
class AxisLists:
    """Index lists of one axis, one per chunk: the `k`-th is ``starts[k]:starts[k + 1]``."""

    starts: Ints
    local: Ints
    target: Ints


@dataclass(slots=True)
class Grid:
    """Outer products: row `i` uses on axis `a` the list number ``lists[i, a]`` of ``axes[a]``."""

    slots: Ints
    lists: Ints
    axes: tuple[AxisLists, ...]

    def take(self, rows: NDArray[np.bool_], slots: Ints) -> Grid:
        """These rows, with their slots renamed by ``slots[old]``."""
        return Grid(slots[self.slots[rows]], self.lists[rows], self.axes)


@dataclass(slots=True)
class Points:
    """Single elements: those of row `i` are ``starts[i]:stops[i]`` of `local` and `target`.

    `local` is ``[m, ndim]``, coordinates in the chunk; `target` is ``[m]``, positions in a
    one-dimensional result.
    """

    slots: Ints
    starts: Ints
    stops: Ints
    local: Ints
    target: Ints

    def take(self, rows: NDArray[np.bool_], slots: Ints) -> Points:
        """These rows, with their slots renamed by ``slots[old]``."""
        return Points(
            slots[self.slots[rows]], self.starts[rows], self.stops[rows], self.local, self.target
        )


Placement = Boxes | Grid | Points


def contiguous_offsets(
    boxes: Boxes, chunk: tuple[int, ...], result: tuple[int, ...], itemsize: int
) -> Ints | None:
    """Byte offsets of the chunks in a C-contiguous result, if each lies there in one piece.

    That is so if every part is a whole chunk, one per slot, and the chunk spans the result on all
    axes behind its first one that is not of length 1.
    """
    lead = boxes.target.shape[1] - len(chunk)
    spans = True
    for length, extent in zip(reversed((1,) * lead + chunk), reversed(result), strict=True):
        if not spans and length != 1:
            return None
        spans = spans and length == extent
    slots = boxes.slots
    if not len(slots) or (slots != np.arange(len(slots))).any():
        return None
    if (boxes.step != 1).any() or (boxes.count != chunk).any():
        return None
    strides = np.cumprod((1, *result[:0:-1]), dtype=np.int64)[::-1] if result else np.empty(0)
    return (boxes.target @ strides.astype(np.int64)) * itemsize
