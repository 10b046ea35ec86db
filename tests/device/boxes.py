"""Strided copies as the words that place.cu reads: units, columns, axes, tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, prod

import numpy as np

MAX_AXES, SLOTS, MASK = 12, 1024, (1 << 64) - 1

Axis = tuple[int, int, int]  # count, source stride, target stride, in bytes


@dataclass
class Copy:
    """``target[i, j, …] = source[i, j, …]`` for elements of `itemsize` bytes."""

    source: int
    target: int
    shape: Sequence[int]
    source_strides: Sequence[int]
    target_strides: Sequence[int]
    itemsize: int


def axis_words(axis: Axis) -> list[int]:
    """Count and what divides by it without a division, then the strides."""
    count, source, target = axis
    shift = (count - 1).bit_length()
    magic = -(-(1 << (32 + shift)) // count) - (1 << 32)
    return [count | magic << 32, shift, source & MASK, target & MASK]


def merged(copy: Copy) -> list[Axis]:
    """The axes, bytes included, the fastest of the target last; neighbours in one."""
    axes = list(zip(copy.shape, copy.source_strides, copy.target_strides, strict=True))
    axes = [a for a in axes if a[0] != 1]
    axes.sort(key=lambda a: -abs(a[2]))
    result: list[Axis] = []
    for axis in [*axes, (copy.itemsize, 1, 1)]:
        if result:
            (n, source, target), (m, s, t) = result[-1], axis
            if source == m * s and target == m * t:
                result[-1] = (n * m, s, t)
                continue
        result.append(axis)
    return result


def unit_of(copy: Copy, axes: list[Axis]) -> int:
    """The largest unit that all of it is a multiple of."""
    strides = [s for _, *both in axes[:-1] for s in both]
    return gcd(16, copy.source, copy.target, axes[-1][0], *strides)


def described(copies: Sequence[Copy]) -> tuple[str, int, np.ndarray, list[int], int, int]:
    """Kernel, unit, words, tiles per box, number of axes, log2 of lanes for one launch."""
    copies = [c for c in copies if prod(c.shape)]
    found = [merged(c) for c in copies]
    unit = min((unit_of(c, a) for c, a in zip(copies, found, strict=True)), default=1)
    whole = [[*a[:-1], (a[-1][0] // unit, unit, unit)] for a in found]
    whole = [[x for x in a if x[0] != 1] or [(1, unit, unit)] for a in whole]
    if whole and all(_is_transposed(a) for a in whole):
        return _transposed(copies, whole, unit)
    if (
        unit < 4
        and whole
        and all(
            a[-1] == (n, unit, unit) and n * unit >= 64 for a, n in ((a, a[-1][0]) for a in whole)
        )
    ):
        return _rows(copies, whole, unit)
    columns = max((a[-1][0] for a in whole), default=1)
    log_group = min(5, (columns - 1).bit_length())
    rows, tiles, group = [], [], 1 << log_group
    axes = max((len(a) for a in whole), default=1)
    for copy, box in zip(copies, whole, strict=True):
        (n, s, t), outer = box[-1], box[:-1]
        outer = [(1, 0, 0)] * (axes - len(box)) + outer + [(-(-n // group), group * s, group * t)]
        count = prod(a[0] for a in outer)
        words = [copy.source, copy.target, n, s & MASK, t & MASK, count]
        rows.append(words + [w for a in outer for w in axis_words(a)])
        tiles.append(-(-(count << log_group) // SLOTS))
    return "boxes", unit, np.array(rows, np.uint64), tiles, axes, log_group


def _rows(
    copies: Sequence[Copy], whole: list[list[Axis]], unit: int
) -> tuple[str, int, np.ndarray, list[int], int, int]:
    rows, tiles, axes = [], [], max(len(a) for a in whole)
    log_group = min(5, max(a[-1][0] * unit // 16 + 1 for a in whole).bit_length())
    for copy, box in zip(copies, whole, strict=True):
        nbytes = box[-1][0] * unit
        groups = -(-(nbytes // 16 + 2) // (1 << log_group))
        outer = [(1, 0, 0)] * (axes - len(box)) + box[:-1] + [(groups, 0, 0)]
        count = prod(a[0] for a in outer)
        words = [copy.source, copy.target, nbytes, 0, 0, count]
        rows.append(words + [w for a in outer for w in axis_words(a)])
        tiles.append(-(-(count << log_group) // SLOTS))
    return "rows", unit, np.array(rows, np.uint64), tiles, axes, log_group


def _is_transposed(axes: list[Axis]) -> bool:
    fast = min(range(len(axes)), key=lambda i: abs(axes[i][1]) or 1 << 62)
    return fast != len(axes) - 1 and min(axes[fast][0], axes[-1][0]) >= 8


def _transposed(
    copies: Sequence[Copy], whole: list[list[Axis]], unit: int
) -> tuple[str, int, np.ndarray, list[int], int, int]:
    rows, tiles = [], []
    axes = max(len(a) for a in whole)
    for copy, box in zip(copies, whole, strict=True):
        fast = min(range(len(box)), key=lambda i: abs(box[i][1]) or 1 << 62)
        b, a = box[fast], box[-1]
        outer = [(1, 0, 0)] * (axes - len(box)) + [x for x in box[:-1] if x is not b]
        outer += [(-(-n // 32), 32 * s, 32 * t) for n, s, t in (b, a)]
        words = [copy.source, copy.target, *(w & MASK for axis in (b, a) for w in axis)]
        rows.append(words + [w for x in outer for w in axis_words(x)])
        tiles.append(prod(x[0] for x in outer))
    return "transposed", unit, np.array(rows, np.uint64), tiles, axes, 0
