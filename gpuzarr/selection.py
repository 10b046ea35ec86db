"""What the user asked for, brought into one of three forms.

The question: which elements of an array of this shape, and how is the result shaped? The way:
NumPy's rules for ``a[…]``, the outer product of index lists for `oindex`, pointwise coordinates
for `vindex`. The result: a `Selection` with one `Box` (slices; affine), `Lists` (an index list per
axis) or `Coordinates` (a coordinate per element), all indexes checked and non-negative.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.errors import SelectionError

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
        return result.reshape(-1) if is_one_axis else result.flat


def basic(key: Any, shape: tuple[int, ...], dtype: np.dtype | None = None) -> Selection:
    """``a[key]`` as NumPy understands it; a struct field, or several, may be named in it."""
    field, key = _split_fields(key, dtype)
    items = _expand(key, shape)
    arrays = [k for k in items if isinstance(k, np.ndarray)]
    if not arrays:
        return _box(items, shape, field)
    if any(k is None for k in items):
        raise SelectionError(
            "A newaxis together with an index list is not supported; add the axis to the result."
        )
    if len(arrays) == 1 and arrays[0].ndim == 1:
        if not _together(items):
            raise SelectionError(
                "An integer and an index list with a slice between them: NumPy puts the list's "
                "axis in front and Zarr leaves it in place. Use oindex or vindex to say which."
            )
        return replace(orthogonal(tuple(items), shape), field=field)
    return _advanced(items, shape, field)


def orthogonal(key: Any, shape: tuple[int, ...]) -> Selection:
    """``a.oindex[key]``: each axis takes a slice, an integer, an index list or a mask of its own."""
    items = _expand(key, shape, split_masks=False)
    axes, result, view = [], [], []
    for axis, (item, length) in enumerate(zip(items, shape, strict=True)):
        if item is None:
            raise SelectionError("oindex does not take a newaxis.")
        if isinstance(item, int):
            axes.append(np.array([_wrap(item, length, axis)], np.int64))
            view.append(None)
            continue
        if isinstance(item, slice):
            indexes = np.arange(*item.indices(length), dtype=np.int64)
        else:
            indexes = _index_list(item, length, axis)
        axes.append(indexes)
        result.append(len(indexes))
        view.append(slice(None))
    return Selection(Lists(tuple(axes)), tuple(result), (*view, ...))


def coordinates(key: Any, shape: tuple[int, ...]) -> Selection:
    """``a.vindex[key]``: one mask of the array's shape, or an index array for every axis."""
    if not shape:
        raise SelectionError("vindex needs an array of at least one dimension.")
    single = key[0] if isinstance(key, tuple) and len(key) == 1 else key
    mask = None if isinstance(single, tuple) else np.asarray(single)
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
        array = np.asarray(item)
        if array.dtype.kind not in "iu":
            raise SelectionError(
                f"vindex takes integers or one mask of the array's shape, found {item!r}."
            )
        arrays.append(_wrap_all(array, length, axis))
    return _pointwise(arrays)


def block(key: Any, counts: tuple[int, ...], bounds: Any) -> tuple[slice, ...]:
    """``a.blocks[key]`` as slices; `bounds(axis, chunk)` is where a stored chunk starts."""
    items = _expand(key, counts)
    slices = []
    for axis, (item, count) in enumerate(zip(items, counts, strict=True)):
        if isinstance(item, int):
            first = _wrap(item, count, axis)
            last = first + 1
        elif isinstance(item, slice) and item.step in (None, 1):
            first, last, _ = item.indices(count)
            last = max(first, last)
        else:
            raise SelectionError(f"blocks takes integers and slices of step 1, found {item!r}.")
        slices.append(slice(bounds(axis, first), bounds(axis, last)))
    return tuple(slices)


def _split_fields(key: Any, dtype: np.dtype | None) -> tuple[str | list[str] | None, Any]:
    items = key if isinstance(key, tuple) else (key,)
    names = [k for k in items if isinstance(k, str)]
    rest = tuple(k for k in items if not isinstance(k, str))
    if not names and isinstance(key, list) and key and all(isinstance(k, str) for k in key):
        names, rest = list(key), ()
    if not names:
        return None, key
    known = (dtype.names if dtype is not None else None) or ()
    for name in names:
        if name not in known:
            raise SelectionError(
                f"There is no field {name!r}; the fields of this array are {list(known)}."
            )
    return names[0] if len(names) == 1 and not isinstance(key, list) else names, rest


def _expand(key: Any, shape: tuple[int, ...], *, split_masks: bool = True) -> list[Any]:
    """One item per axis (and per newaxis): int, slice, None or an array of integers.

    A mask of several axes becomes an index array for each of them, unless `split_masks` is off.
    """
    items = [_item(item) for item in (key if isinstance(key, tuple) else (key,))]
    gaps = [n for n, item in enumerate(items) if item is ...]
    if len(gaps) > 1:
        raise SelectionError("An index can only have a single ellipsis ('...').")
    used = sum(_width(item, split_masks) for item in items)
    if used > len(shape):
        raise SelectionError(
            f"Too many indices: the array has {len(shape)} dimensions, the index has {used}."
        )
    at = gaps[0] if gaps else len(items)
    full = [slice(None)] * (len(shape) - used)
    items = items[:at] + full + items[at + len(gaps) :]
    if not split_masks:
        return items
    expanded: list[Any] = []
    axis = 0
    for item in items:
        if isinstance(item, np.ndarray) and item.dtype == bool:
            covered = shape[axis : axis + item.ndim]
            if item.shape != covered:
                raise SelectionError(
                    f"A mask has the shape of the axes it is for: expected {covered}, "
                    f"found {item.shape}."
                )
            expanded.extend(np.nonzero(item))
        else:
            expanded.append(item)
        axis += _width(item, split_masks)
    return expanded


def _width(item: Any, split_masks: bool) -> int:
    """Number of axes that an item uses up."""
    if item is None or item is ...:
        return 0
    if split_masks and isinstance(item, np.ndarray) and item.dtype == bool:
        return item.ndim
    return 1


def _item(item: Any) -> Any:
    if item is None or item is ... or isinstance(item, slice):
        return item
    if not isinstance(item, bool):
        try:
            return operator.index(item)
        except TypeError:
            pass
    array = np.asarray(item)
    if array.dtype == bool and array.ndim == 0:
        raise SelectionError(
            "A single boolean is not a selection; give a mask of the array's shape."
        )
    if array.size == 0 and array.dtype != bool:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iub":
        raise SelectionError(
            f"An index is an integer, a slice, an index list or a mask, not {item!r}."
        )
    return array


def _box(items: list[Any], shape: tuple[int, ...], field: str | list[str] | None) -> Selection:
    start, count, step, result, view = [], [], [], [], []
    axis = 0
    for item in items:
        if item is None:
            result.append(1)
            view.append(0)
            continue
        length = shape[axis]
        if isinstance(item, int):
            start.append(_wrap(item, length, axis))
            count.append(1)
            step.append(1)
            view.append(None)
        else:
            first, stop, stride = _indices(item, length)
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


def _indices(item: slice, length: int) -> tuple[int, int, int]:
    try:
        return item.indices(length)
    except (TypeError, ValueError) as error:
        raise SelectionError(f"The slice {item!r} is not valid: {error}.") from error


def _advanced(items: list[Any], shape: tuple[int, ...], field: Any) -> Selection:
    """NumPy's rule: index arrays are broadcast, and their axes stand where they stood, or in
    front where slices or nothing but slices separate them."""
    places = [n for n, item in enumerate(items) if not isinstance(item, slice)]
    together = _together(items)
    arrays = {n: _wrap_all(np.asarray(items[n]), shape[n], n) for n in places}
    try:
        common = np.broadcast_shapes(*(a.shape for a in arrays.values()))
    except ValueError as error:
        raise SelectionError(f"The index arrays do not fit together: {error}.") from error
    sliced = {
        n: np.arange(*_indices(items[n], shape[n]), dtype=np.int64)
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


def _together(items: list[Any]) -> bool:
    """Whether no slice stands between integers and index lists."""
    places = [n for n, item in enumerate(items) if not isinstance(item, slice)]
    return places[-1] - places[0] + 1 == len(places)


def _pointwise(arrays: list[np.ndarray]) -> Selection:
    try:
        common = np.broadcast_shapes(*(a.shape for a in arrays))
    except ValueError as error:
        raise SelectionError(f"The index arrays do not fit together: {error}.") from error
    axes = tuple(np.broadcast_to(a, common).reshape(-1) for a in arrays)
    return Selection(Coordinates(axes), tuple(common), ())


def _index_list(item: Any, length: int, axis: int) -> Ints:
    array = np.asarray(item)
    if array.ndim != 1:
        raise SelectionError(
            f"An index list of one axis has one dimension, found {array.ndim} for axis {axis}."
        )
    if array.dtype == bool:
        if len(array) != length:
            raise SelectionError(
                f"A mask of axis {axis} has its length: expected {length}, found {len(array)}."
            )
        return np.flatnonzero(array).astype(np.int64)
    return _wrap_all(array, length, axis)


def _wrap(index: int, length: int, axis: int) -> int:
    if not -length <= index < length:
        raise SelectionError(
            f"Index {index} is out of bounds for axis {axis}, which has length {length}."
        )
    return index + length if index < 0 else index


def _wrap_all(array: np.ndarray, length: int, axis: int) -> Ints:
    indexes = np.asarray(array).astype(np.int64)
    outside = (indexes < -length) | (indexes >= length)
    if outside.any():
        _wrap(int(indexes[outside].flat[0]), length, axis)
    return np.where(indexes < 0, indexes + length, indexes)
