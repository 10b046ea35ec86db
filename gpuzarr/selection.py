"""What the user asked for, brought into one of three forms.

The question: which elements of an array of this shape, and how is the result shaped? The way:
NumPy's rules for ``a[…]``, the outer product of index lists for `oindex`, pointwise coordinates
for `vindex`. The result: a `Selection` with one `Box` (slices; affine), `Lists` (an index list per
axis) or `Coordinates` (a coordinate per element), all indexes checked and non-negative.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.errors import SelectionError
from gpuzarr.indexing import (
    are_together,
    as_array,
    expand,
    index_list,
    slice_indices,
    split_fields,
    wrap,
    wrap_all,
)

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Box:
    """``start + step * range(count)`` on each axis, steps positive."""

    start: tuple[int, ...]
    count: tuple[int, ...]
    step: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Lists:
    """The outer product of one index list per axis."""

    axes: tuple[Ints, ...]


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Single elements; ``[m]`` indexes on each axis."""

    axes: tuple[Ints, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """Normalised selection.

    Attributes
    ----------
    what
        The elements.
    shape
        Of the result, as the user sees it.
    view
        Basic index that turns the result into the raw array that is filled: one axis per axis
        of the Zarr array (one axis in all for coordinates), in ascending order of elements.
    field
        Name or names of struct fields, or None.
    """

    what: Box | Lists | Coordinates
    shape: tuple[int, ...]
    view: tuple[Any, ...]
    field: str | list[str] | None = None

    @property
    def raw_shape(self) -> tuple[int, ...]:
        """Shape of the raw array."""
        if isinstance(self.what, Box):
            return self.what.count
        if isinstance(self.what, Lists):
            return tuple(len(a) for a in self.what.axes)
        return (len(self.what.axes[0]),)

    def raw(self, result: Any) -> Any:
        """The raw view of a result of `shape`; filling it fills the result."""
        if not isinstance(self.what, Coordinates):
            return result[self.view]
        # Several axes of any strides are one only to the iterator; reshape would copy them.
        is_one_axis = result.ndim == 1 or result.flags.c_contiguous
        if is_one_axis:
            return result.reshape(-1)
        return result.flat if isinstance(result, np.ndarray) else result


def basic(key: Any, shape: tuple[int, ...], dtype: np.dtype | None = None) -> Selection:
    """``a[key]`` as NumPy understands it; a struct field, or several, may be named in it."""
    field, key = split_fields(key, dtype)
    items = expand(key, shape)
    arrays = [k for k in items if isinstance(k, np.ndarray)]
    if not arrays:
        return _box(items, shape, field)
    if any(k is None for k in items):
        raise SelectionError(
            "A newaxis together with an index list is not supported; add the axis to the result."
        )
    if len(arrays) == 1 and arrays[0].ndim == 1:
        list_at = next(n for n, item in enumerate(items) if isinstance(item, np.ndarray))
        if not are_together(items) and any(isinstance(i, slice) for i in items[:list_at]):
            raise SelectionError(
                "An integer, a slice and an index list behind it: NumPy puts the list's axis in "
                "front and Zarr leaves it in place. Use oindex or vindex to say which."
            )
        return replace(orthogonal(tuple(items), shape), field=field)
    return _advanced(items, shape, field)


def orthogonal(key: Any, shape: tuple[int, ...]) -> Selection:
    """``a.oindex[key]``: an axis takes a slice, an integer, an index list or a mask of its own."""
    items = expand(key, shape, split_masks=False)
    _refuse_newaxis(items, "oindex")
    axes: list[Ints] = []
    result: list[int] = []
    view: list[Any] = []
    for axis, (item, length) in enumerate(zip(items, shape, strict=True)):
        if isinstance(item, int):
            axes.append(np.array([wrap(item, length, axis)], np.int64))
            view.append(None)
            continue
        if isinstance(item, slice):
            indexes = np.arange(*slice_indices(item, length), dtype=np.int64)
        else:
            indexes = index_list(item, length, axis)
        axes.append(indexes)
        result.append(len(indexes))
        view.append(slice(None))
    return Selection(Lists(tuple(axes)), tuple(result), (*view, ...))


def coordinates(key: Any, shape: tuple[int, ...]) -> Selection:
    """``a.vindex[key]``: one mask of the array's shape, or an index array for every axis."""
    if not shape:
        raise SelectionError("vindex needs an array of at least one dimension.")
    single = key[0] if isinstance(key, tuple) and len(key) == 1 else key
    mask = None if isinstance(single, tuple) else as_array(single)
    if mask is not None and mask.dtype == bool:
        if mask.shape != shape:
            raise SelectionError(
                f"A mask has the shape of the array: expected {shape}, found {mask.shape}."
            )
        picked = tuple(i.astype(np.int64) for i in np.nonzero(mask))
        return Selection(Coordinates(picked), (len(picked[0]),), ())
    items = key if isinstance(key, tuple) else (key,)
    if len(items) != len(shape):
        raise SelectionError(
            f"vindex takes an index array for each of {len(shape)} axes, found {len(items)}."
        )
    arrays = []
    for axis, (item, length) in enumerate(zip(items, shape, strict=True)):
        array = as_array(item)
        if array.dtype.kind not in "iu":
            raise SelectionError(
                f"vindex takes integers or one mask of the array's shape, found {item!r}."
            )
        arrays.append(wrap_all(array, length, axis))
    return _pointwise(arrays)


def block(key: Any, counts: tuple[int, ...], bounds: Any) -> tuple[slice, ...]:
    """``a.blocks[key]`` as slices; `bounds(axis, chunk)` is where a stored chunk starts."""
    items = expand(key, counts)
    _refuse_newaxis(items, "blocks")
    slices = []
    for axis, (item, count) in enumerate(zip(items, counts, strict=True)):
        if isinstance(item, int):
            first = wrap(item, count, axis)
            last = first + 1
        elif isinstance(item, slice) and item.step in (None, 1):
            first, last, _ = slice_indices(item, count)
            last = max(first, last)
        else:
            raise SelectionError(f"blocks takes integers and slices of step 1, found {item!r}.")
        slices.append(slice(bounds(axis, first), bounds(axis, last)))
    return tuple(slices)


def _refuse_newaxis(items: list[Any], indexer: str) -> None:
    if any(item is None for item in items):
        raise SelectionError(f"{indexer} does not take a newaxis.")


def _box(items: list[Any], shape: tuple[int, ...], field: str | list[str] | None) -> Selection:
    start, count, step, result = [], [], [], []
    view: list[Any] = []
    axis = 0
    for item in items:
        if item is None:
            result.append(1)
            view.append(0)
            continue
        length = shape[axis]
        if isinstance(item, int):
            start.append(wrap(item, length, axis))
            count.append(1)
            step.append(1)
            view.append(None)
        else:
            first, stop, stride = slice_indices(item, length)
            n = len(range(first, stop, stride))
            if stride < 0:
                first, stride = first + (n - 1) * stride, -stride
                view.append(slice(None, None, -1))
            else:
                view.append(slice(None))
            start.append(first if n else 0)
            count.append(n)
            step.append(stride)
            result.append(n)
        axis += 1
    box = Box(tuple(start), tuple(count), tuple(step))
    return Selection(box, tuple(result), (*view, ...), field)


def _advanced(items: list[Any], shape: tuple[int, ...], field: Any) -> Selection:
    """NumPy's rule: index arrays are broadcast, and their axes stand where they stood, or in
    front where slices or nothing but slices separate them."""
    places = [n for n, item in enumerate(items) if not isinstance(item, slice)]
    together = are_together(items)
    arrays = {n: wrap_all(np.asarray(items[n]), shape[n], n) for n in places}
    try:
        common = np.broadcast_shapes(*(a.shape for a in arrays.values()))
    except ValueError as error:
        raise SelectionError(f"The index arrays do not fit together: {error}.") from error
    sliced = {
        n: np.arange(*slice_indices(items[n], shape[n]), dtype=np.int64)
        for n in range(len(shape))
        if n not in arrays
    }
    before = sum(1 for n in sliced if together and n < places[0])
    dims: list[int] = [len(sliced[n]) for n in sorted(sliced)]
    result = (*dims[:before], *common, *dims[before:])
    axes = []
    for n in range(len(shape)):
        if n in arrays:
            array = np.broadcast_to(arrays[n], common)
            array = array.reshape((1,) * before + common + (1,) * (len(dims) - before))
        else:
            number = sorted(sliced).index(n)
            at = number if number < before else number + len(common)
            expand = [1] * len(result)
            expand[at] = len(sliced[n])
            array = sliced[n].reshape(expand)
        axes.append(np.broadcast_to(array, result).reshape(-1))
    return Selection(Coordinates(tuple(axes)), tuple(result), (), field)


def _pointwise(arrays: list[np.ndarray]) -> Selection:
    try:
        common = np.broadcast_shapes(*(a.shape for a in arrays))
    except ValueError as error:
        raise SelectionError(f"The index arrays do not fit together: {error}.") from error
    axes = tuple(np.broadcast_to(a, common).reshape(-1) for a in arrays)
    return Selection(Coordinates(axes), tuple(common), ())
