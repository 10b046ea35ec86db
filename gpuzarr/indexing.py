"""Single items of an index: brought to one form per axis, checked, and made non-negative."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.errors import SelectionError

Ints = NDArray[np.int64]


def split_fields(key: Any, dtype: np.dtype | None) -> tuple[str | list[str] | None, Any]:
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


def expand(key: Any, shape: tuple[int, ...], *, split_masks: bool = True) -> list[Any]:
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
    array = as_array(item)
    if array.dtype == bool and array.ndim == 0:
        raise SelectionError(
            "A single boolean is not a selection; give a mask of the array's shape."
        )
    if array.dtype.kind not in "iub":
        raise SelectionError(
            f"An index is an integer, a slice, an index list or a mask, not {item!r}."
        )
    return array


def as_array(item: Any) -> np.ndarray:
    try:
        array = np.asarray(item)
    except ValueError as error:
        raise SelectionError(f"An index list is not regular: {error}") from error
    is_empty_list = array.size == 0 and array.dtype != bool  # which NumPy takes for floats
    return array.astype(np.int64) if is_empty_list else array


def slice_indices(item: slice, length: int) -> tuple[int, int, int]:
    try:
        return item.indices(length)
    except (TypeError, ValueError) as error:
        raise SelectionError(f"The slice {item!r} is not valid: {error}.") from error


def are_together(items: list[Any]) -> bool:
    """Whether no slice stands between integers and index lists."""
    places = [n for n, item in enumerate(items) if not isinstance(item, slice)]
    return places[-1] - places[0] + 1 == len(places)


def index_list(item: Any, length: int, axis: int) -> Ints:
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
    return wrap_all(array, length, axis)


def wrap(index: int, length: int, axis: int) -> int:
    if not -length <= index < length:
        raise SelectionError(
            f"Index {index} is out of bounds for axis {axis}, which has length {length}."
        )
    return index + length if index < 0 else index


def wrap_all(array: np.ndarray, length: int, axis: int) -> Ints:
    indexes = np.asarray(array).astype(np.int64)
    outside = (indexes < -length) | (indexes >= length)
    if outside.any():
        wrap(int(indexes[outside].flat[0]), length, axis)
    return np.where(indexes < 0, indexes + length, indexes)
