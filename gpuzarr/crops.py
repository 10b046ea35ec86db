"""Many boxes of one shape: what they are, and the chunks that they need, each once.

For random crops the plan matters, not the decoder: a chunk that several boxes touch is fetched
and decoded a single time, and every box takes its part of it.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr import selection
from gpuzarr.axis import Axis
from gpuzarr.errors import SelectionError
from gpuzarr.indexing import as_array
from gpuzarr.place import Boxes
from gpuzarr.plan import distinct
from gpuzarr.selection import Box

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Crops:
    """Boxes of one shape.

    Attributes
    ----------
    origins, box
        ``[n, ndim]`` and the common shape, in elements of the array.
    shape
        Of the result, ``(n, …)``.
    view
        Basic index that turns the result into the raw array ``[n, *box]``.
    """

    origins: Ints
    box: tuple[int, ...]
    shape: tuple[int, ...]
    view: tuple[Any, ...]


def crops_of(selections: Any, box: tuple[int, ...] | None, shape: tuple[int, ...]) -> Crops:
    """Boxes of an array of this shape, from basic selections, or from origins where `box` is given.

    Raises
    ------
    SelectionError
        If boxes differ in shape, have steps, or leave the array.
    """
    if not shape:
        raise SelectionError("read_many needs an array of at least one dimension.")
    if box is not None:
        origins, lengths = _origins(selections, len(shape)), _lengths(box)
        _check_origins(origins, lengths, shape)
        return Crops(origins, lengths, (len(origins), *lengths), (...,))
    wanted = [selection.basic(s, shape) for s in selections]
    if not wanted:
        raise SelectionError("read_many needs at least one selection, or origins and a shape.")
    view = wanted[0].view
    boxes = [w.what for w in wanted if isinstance(w.what, Box) and w.view == view]
    if len(boxes) < len(wanted):
        raise SelectionError("read_many takes slices and integers, alike in all selections.")
    shapes = sorted({b.count for b in boxes})
    if len(shapes) > 1:
        raise SelectionError(f"read_many takes boxes of one shape, found {shapes[0]}, {shapes[1]}.")
    if any(step != 1 for b in boxes for step in b.step):
        raise SelectionError("read_many takes slices of step 1.")
    origins = np.array([b.start for b in boxes], np.int64)
    return Crops(origins, shapes[0], (len(wanted), *wanted[0].shape), (slice(None), *view))


def _origins(given: Any, ndim: int) -> Ints:
    origins = as_array(given)
    if origins.size == 0:
        return np.empty((0, ndim), np.int64)
    if origins.dtype.kind not in "iu" or origins.ndim != 2 or origins.shape[1] != ndim:
        raise SelectionError(
            f"Origins are integers of the shape (n, {ndim}), for {ndim} axes; found "
            f"{origins.dtype} of the shape {origins.shape}."
        )
    return origins.astype(np.int64)


def _lengths(box: Any) -> tuple[int, ...]:
    try:
        return tuple(operator.index(n) for n in box)
    except TypeError as error:
        raise SelectionError(f"The shape of a box is a tuple of integers, not {box!r}.") from error


def _check_origins(origins: Ints, box: tuple[int, ...], shape: tuple[int, ...]) -> None:
    if len(box) != len(shape):
        raise SelectionError(f"Boxes of {len(box)} axes in an array of {len(shape)}.")
    outside = (origins < 0) | (origins > np.array(shape) - np.array(box))
    bad = np.flatnonzero(outside.any(axis=1))
    if len(bad) or any(n < 0 for n in box):
        origin = tuple(origins[bad[0]].tolist()) if len(bad) else ()
        raise SelectionError(
            f"A box of shape {box} at {origin} leaves the array, whose shape is {shape}."
        )


class CropParts:
    """Chunks of many boxes of one shape, each chunk once however many boxes it serves.

    The target has one axis more, the first: the number of the box.
    """

    def __init__(self, grid: tuple[Axis, ...], crops: Crops) -> None:
        origins, shape, ndim = crops.origins, crops.box, len(grid)
        self._step = np.ones(ndim, np.int64)
        rows: list[list[Ints]] = []
        if len(origins) and math.prod(shape):
            per_axis = [_crop_table(axis, origins[:, a], shape[a]) for a, axis in enumerate(grid)]
            for offsets in np.ndindex(*(table.shape[1] for table in per_axis)):
                picked = np.stack(
                    [t[:, o] for t, o in zip(per_axis, offsets, strict=True)], axis=-1
                )
                number = np.flatnonzero((picked[2] > 0).all(axis=1))
                rows.append([number, *(column[number] for column in picked)])
        if rows:
            number, chunk, source, count, target = (
                np.concatenate(c) for c in zip(*rows, strict=True)
            )
        else:
            number, chunk = np.empty(0, np.int64), np.empty((0, ndim), np.int64)
            source = count = target = chunk
        self._coords, group = distinct(chunk)
        order = np.argsort(group, kind="stable")
        self._source, self._count = source[order], count[order]
        self._target = np.concatenate([number[order, None], target[order]], axis=1)
        self._starts = np.searchsorted(group[order], np.arange(len(self._coords) + 1))
        self.count = len(self._coords)

    def coords(self, rows: Ints) -> Ints:
        return self._coords[rows]

    def placement(self, rows: Ints) -> Boxes:
        starts, lengths = self._starts[rows], self._starts[rows + 1] - self._starts[rows]
        slots = np.repeat(np.arange(len(rows), dtype=np.int64), lengths)
        within = np.arange(len(slots)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        picked = np.repeat(starts, lengths) + within
        return Boxes(
            slots, self._source[picked], self._count[picked], self._target[picked], self._step
        )


def _crop_table(axis: Axis, origin: Ints, size: int) -> Ints:
    """Chunk, source, count and target of box `n` in the `m`-th chunk from its first, ``[4, m, n]``;
    the count is 0 where the box does not reach that far."""
    first = axis.chunk_of(origin)
    last = axis.chunk_of(origin + size - 1)
    reach = int((last - first).max()) + 1
    chunk = first[:, None] + np.arange(reach)
    inside = chunk <= last[:, None]
    chunk = np.minimum(chunk, last[:, None])
    begin = axis.start(chunk)
    end = begin + axis.extent(chunk.ravel()).reshape(chunk.shape)
    source = np.maximum(origin[:, None] - begin, 0)
    stop = np.minimum(end, origin[:, None] + size)
    count = np.where(inside, stop - begin - source, 0)
    return np.stack([chunk, source, count, begin + source - origin[:, None]]).transpose(0, 2, 1)
