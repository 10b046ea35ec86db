"""Extents as the requests that a store takes: an object, one range of it, or many ranges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gpuzarr.shards import Extents, coalesce

Ints = NDArray[np.int64]


@dataclass(slots=True)
class One:
    """A whole object, or one range of it: the stream of one row.

    `start` is None for all of it, and negative from its end.
    """

    key: str
    row: int
    start: int | None = None
    stop: int = 0


@dataclass(slots=True)
class Many:
    """Ranges of one object: ``(start, stop, rows)``, by their start, with the rows in each."""

    key: str
    ranges: list[tuple[int, int, Ints]]

    def trips(self, gap: int, most: int) -> int:
        """How many requests a store makes of it that joins ranges at most `gap` bytes apart, as
        long as they do not exceed `most` bytes together."""
        count = begin = end = 0
        for start, stop, _ in self.ranges:
            if count and start - end <= gap and max(end, stop) - begin <= most:
                end = max(end, stop)
            else:
                count, begin, end = count + 1, start, stop
        return count


def requests_of(extents: Extents, index: bool, most: int) -> list[One | Many]:
    """One request per object; what is absent or empty asks for nothing.

    With `index` the only row of an object is a request of its own kind. Rows that touch share a
    range of at most `most` bytes.
    """
    if not extents.are_ranges:
        return [One(key, row) for row, key in enumerate(extents.keys)]
    wanted = np.flatnonzero(extents.nbytes > 0)
    order = wanted[np.argsort(extents.resource[wanted], kind="stable")]
    owner = extents.resource[order]
    bounds = [0, *(np.flatnonzero(np.diff(owner)) + 1).tolist(), len(order)]
    requests: list[One | Many] = []
    for first, last in pairwise(bounds if len(order) else []):
        rows, key = order[first:last], extents.keys[int(owner[first])]
        offset, nbytes = extents.offset[rows], extents.nbytes[rows]
        start = int(offset[0])
        if start < 0 or (index and len(rows) == 1):
            requests.append(One(key, int(rows[0]), start, start + int(nbytes[0])))
        else:
            ranges = [(a, b, rows[picked]) for a, b, picked in _touching(offset, nbytes, most)]
            requests.append(Many(key, ranges))
    return requests


def _touching(offset: Ints, nbytes: Ints, most: int) -> Iterator[tuple[int, int, Ints]]:
    """Ranges of rows that overlap or touch; a single row may exceed `most` bytes."""
    for start, stop, rows in coalesce(offset, nbytes, 0):
        if stop - start <= most:
            yield start, stop, rows
            continue
        begins, ends = offset[rows], np.maximum.accumulate(offset[rows] + nbytes[rows])
        first = 0
        while first < len(rows):
            begin = int(begins[first])
            last = max(first + 1, int(np.searchsorted(ends, begin + most, "right")))
            yield begin, int(ends[last - 1]), rows[first:last]
            first = last
