"""Strided copies as launches of place.cu: which kernel, and the words that it reads.

All parts of one placement share the strides of the chunks and those of the result, so axes are
sorted and joined once for all of them, and nothing is done part by part. What differs from part
to part (where it lies, how many elements it has on each axis) decides the unit of its copies and
the kernel; parts that agree in these go in one launch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.errors import UnsupportedError

Ints = NDArray[np.int64]

SLOTS = 1024
"""Units, groups or elements that a block takes at a time."""

_MOST_UNITS = 1 << 31
_SHORTEST_ROW = 64
"""Bytes from which on `place_rows` pays."""

_SHORTEST_SIDE = 8
"""Elements along both fast axes from which on `place_transposed` pays."""

_POWERS = np.int64(1) << np.arange(32)


@dataclass
class Launch:
    """One launch: `tiles` per part, and the arguments, in which None is its prefix sum."""

    kernel: str
    tiles: Ints
    arguments: list[Any]


@dataclass
class _Axes:
    """Axes, the outermost first: counts ``[n, axes]``, and strides in bytes for all parts."""

    counts: Ints
    source: list[int]
    target: list[int]

    def take(self, rows: Any) -> _Axes:
        return _Axes(self.counts[rows], self.source, self.target)

    def without(self, *axes: int) -> _Axes:
        kept = [a for a in range(len(self.source)) if a not in axes]
        return _Axes(
            self.counts[:, kept], [self.source[a] for a in kept], [self.target[a] for a in kept]
        )


def strided(
    source: Ints,
    target: Ints,
    counts: Ints,
    source_strides: Sequence[int],
    target_strides: Sequence[int],
    itemsize: int,
) -> Iterator[Launch]:
    """``target[i, j, …] = source[i, j, …]`` for every part.

    Parameters
    ----------
    source, target
        Addresses ``[n]`` of the first elements.
    counts
        Elements on each axis, ``[n, ndim]``.
    source_strides, target_strides
        Bytes; those of the source may be 0.
    """
    rows = np.flatnonzero((counts > 0).all(axis=1))
    if not len(rows):
        return
    axes = _joined(counts[rows], source_strides, target_strides, itemsize)
    source, target = source[rows], target[rows]
    units = _units(source, target, axes)
    for unit in np.unique(units).tolist():
        picked = np.flatnonzero(units == unit)
        ends = np.stack([source[picked], target[picked]], axis=1)
        yield from _of_unit(ends, axes.take(picked), unit)


def _joined(counts: Ints, source: Sequence[int], target: Sequence[int], itemsize: int) -> _Axes:
    """The axes with the fastest of the target last, bytes included, neighbours in one."""
    order = [a for a in np.argsort([-abs(t) for t in target], kind="stable").tolist()
             if (counts[:, a] != 1).any()]  # fmt: skip
    columns = [np.full(len(counts), itemsize, np.int64)]
    sources, targets = [1], [1]
    for axis in reversed(order):
        inner = columns[-1]
        follows = (source[axis] == inner * sources[-1]) & (target[axis] == inner * targets[-1])
        if follows.all():
            columns[-1] = inner * counts[:, axis]
            continue
        columns.append(counts[:, axis])
        sources.append(source[axis])
        targets.append(target[axis])
    return _Axes(np.stack(columns[::-1], axis=1), sources[::-1], targets[::-1])


def _units(source: Ints, target: Ints, axes: _Axes) -> Ints:
    """For each part the largest unit that all of it is a multiple of."""
    strides = [*axes.source[:-1], *axes.target[:-1]]
    common = np.gcd.reduce(np.array([16, *strides], np.int64))
    units: Ints = np.gcd(np.gcd(source, target), np.gcd(axes.counts[:, -1], common))
    return units


def _of_unit(ends: Ints, axes: _Axes, unit: int) -> Iterator[Launch]:
    axes.counts[:, -1] //= unit
    axes = _Axes(axes.counts, [*axes.source[:-1], unit], [*axes.target[:-1], unit])
    if len(axes.source) > 1 and (axes.counts[:, -1] == 1).all():
        axes = axes.without(len(axes.source) - 1)
    last = len(axes.source) - 1
    fast = min(range(last + 1), key=lambda a: abs(axes.source[a]) or _MOST_UNITS)
    if axes.source[fast] == 0:  # one value, again and again
        fast = last
    is_contiguous = axes.source[last] == axes.target[last] == unit
    if fast != last:
        special = (axes.counts[:, [fast, last]] >= _SHORTEST_SIDE).all(axis=1)
    elif unit < 4 and is_contiguous:
        special = axes.counts[:, last] * unit >= _SHORTEST_ROW
    else:
        special = np.zeros(len(ends), bool)
    if not special.all():
        yield _boxes(ends[~special], axes.take(~special), unit)
    if special.any():
        ends, axes = ends[special], axes.take(special)
        yield _rows(ends, axes, unit) if fast == last else _transposed(ends, axes, unit, fast)


def _boxes(ends: Ints, axes: _Axes, unit: int) -> Launch:
    columns = axes.counts[:, -1]
    log_group = min(5, int(columns.max() - 1).bit_length())
    group, source, target = 1 << log_group, axes.source[-1], axes.target[-1]
    outer = _Axes(
        np.concatenate([axes.counts[:, :-1], -(-columns[:, None] // group)], axis=1),
        [*axes.source[:-1], group * source],
        [*axes.target[:-1], group * target],
    )
    head = np.empty((len(ends), 5), np.int64)
    head[:, :2], head[:, 2], head[:, 3:] = ends, columns, (source, target)
    return _grouped(f"place_boxes_{unit}", head, outer, log_group)


def _rows(ends: Ints, axes: _Axes, unit: int) -> Launch:
    nbytes = axes.counts[:, -1] * unit
    log_group = min(5, int(nbytes.max() // 16 + 1).bit_length())
    groups = -(-(nbytes // 16 + 2) // (1 << log_group))
    outer = _Axes(
        np.concatenate([axes.counts[:, :-1], groups[:, None]], axis=1),
        [*axes.source[:-1], 0],
        [*axes.target[:-1], 0],
    )
    head = np.zeros((len(ends), 5), np.int64)
    head[:, :2], head[:, 2] = ends, nbytes
    return _grouped("place_rows", head, outer, log_group)


def _grouped(kernel: str, head: Ints, outer: _Axes, log_group: int) -> Launch:
    count = outer.counts.prod(axis=1)
    check_units(count << log_group)
    words = np.concatenate([head, count[:, None], axis_words(outer)], axis=1)
    tiles = -(-(count << log_group) // SLOTS)
    ndim = np.uint32(len(outer.source))
    return Launch(kernel, tiles, [words, None, np.uint32(len(words)), ndim, np.uint32(log_group)])


def _transposed(ends: Ints, axes: _Axes, unit: int, fast: int) -> Launch:
    last = len(axes.source) - 1
    sides = axes.counts[:, [fast, last]]
    strides = [(axes.source[a], axes.target[a]) for a in (fast, last)]
    others = axes.without(fast, last)
    outer = _Axes(
        np.concatenate([others.counts, -(-sides // 32)], axis=1),
        [*others.source, *(32 * s for s, _ in strides)],
        [*others.target, *(32 * t for _, t in strides)],
    )
    head = np.empty((len(ends), 8), np.int64)
    head[:, :2], head[:, [2, 5]] = ends, sides
    head[:, [3, 4]], head[:, [6, 7]] = strides
    words = np.concatenate([head, axis_words(outer)], axis=1)
    tiles = outer.counts.prod(axis=1)
    check_units(np.maximum(tiles, sides.max(axis=1)))
    arguments = [words, None, np.uint32(len(words)), np.uint32(len(outer.source))]
    return Launch(f"place_transposed_{unit}", tiles, arguments)


def axis_words(axes: Any) -> Ints:
    """Of each axis the count and what divides by it without a division, then the strides."""
    words = np.empty((*axes.counts.shape, 4), np.int64)
    words[..., 0], words[..., 1] = divisors(axes.counts)
    words[..., 2], words[..., 3] = axes.source, axes.target
    return words.reshape(len(axes.counts), -1)


def divisors(counts: Ints) -> tuple[Ints, Ints]:
    """``count | magic << 32`` and ``shift``: ``i // count == (i + mulhi(i, magic)) >> shift``."""
    shift = np.searchsorted(_POWERS, counts)
    count, wide = counts.astype(np.uint64), (np.uint64(1) << (32 + shift).astype(np.uint64))
    magic = (wide + count - np.uint64(1)) // count - (np.uint64(1) << np.uint64(32))
    return (count | magic << np.uint64(32)).view(np.int64), shift


def check_units(units: Ints) -> None:
    if int(units.max()) >= _MOST_UNITS:
        raise UnsupportedError(
            f"Part of a chunk with {int(units.max())} units is too large for a device, which takes "
            f"{_MOST_UNITS - 1}; read it in parts, or with device='cpu'."
        )
