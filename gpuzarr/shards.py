"""Shard indexes: which bytes of a shard hold which inner chunk.

The index of a shard is an array of ``(offset, nbytes)``, little-endian u64, one pair per inner
chunk in C order, both 2⁶⁴ - 1 where there is none. It stands at the start or the end of the
shard and is itself encoded, as a rule with a crc32c. This module is pure: bytes come in decoded.

Format: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import MISSING, Batch
from gpuzarr.errors import ShardIndexError, StreamError
from gpuzarr.place import Layout
from gpuzarr.spec import ShardLevel

Ints = NDArray[np.int64]
ABSENT = np.uint64(2**64 - 1)
_TO_THE_END = -2


@dataclass(slots=True)
class Extents:
    """Where encoded bytes lie, one row per chunk.

    Attributes
    ----------
    keys
        Store keys, each named once.
    resource
        ``[n]``, position in `keys`.
    offset
        ``[n]`` bytes from the start of the object, negative: from its end.
    nbytes
        ``[n]``; `MISSING` where there is no chunk. Or `WHOLE` in all rows: one object per chunk,
        whatever it holds.
    """

    keys: list[str]
    resource: Ints
    offset: Ints
    nbytes: Ints

    WHOLE = _TO_THE_END

    def __len__(self) -> int:
        return len(self.resource)

    @property
    def are_ranges(self) -> bool:
        """Whether the rows are ranges of objects, rather than whole ones."""
        return len(self) > 0 and int(self.nbytes[0]) != self.WHOLE

    @classmethod
    def whole(cls, keys: list[str]) -> Extents:
        """One object per chunk."""
        count = len(keys)
        return cls(
            keys,
            np.arange(count, dtype=np.int64),
            np.zeros(count, np.int64),
            np.full(count, cls.WHOLE, np.int64),
        )

    def take(self, rows: Ints) -> Extents:
        """These rows, and the keys that they need."""
        used, resource = np.unique(self.resource[rows], return_inverse=True)
        return Extents(
            [self.keys[k] for k in used.tolist()],
            resource.astype(np.int64),
            self.offset[rows],
            self.nbytes[rows],
        )


def coalesce(offset: Ints, nbytes: Ints, max_gap: int) -> list[tuple[int, int, Ints]]:
    """Ranges ``(start, stop, rows)`` that cover the extents of one object, with the rows in each.

    Extents that overlap, touch or lie at most `max_gap` bytes apart share a range.
    """
    order = np.argsort(offset, kind="stable")
    start = offset[order]
    stop = np.maximum.accumulate(start + nbytes[order])
    cuts = np.flatnonzero(start[1:] > stop[:-1] + max_gap) + 1
    bounds = np.concatenate([[0], cuts, [len(order)]]).tolist()
    return [(int(start[a]), int(stop[b - 1]), order[a:b]) for a, b in pairwise(bounds)]


def index_table(index: Batch, layout: Layout) -> NDArray[np.uint64]:
    """Decoded indexes as native integers, ``[shards, …]``."""
    if not len(index):
        return np.empty((0, *(layout.shape[a] for a in layout.axes)), np.uint64)
    rows = [
        index.arena[a:b].view(layout.dtype).reshape(layout.shape).transpose(layout.axes)
        for a, b in index.spans()
    ]
    return np.stack(rows).astype(np.uint64)


def index_extents(shards: Extents, level: ShardLevel) -> Extents:
    """Where the index of each shard lies."""
    if level.at_start:
        offset = shards.offset
    else:
        offset = np.where(
            shards.nbytes == Extents.WHOLE,
            -level.index_nbytes,
            shards.offset + shards.nbytes - level.index_nbytes,
        )
    nbytes = np.where(shards.nbytes == MISSING, MISSING, level.index_nbytes)
    return Extents(shards.keys, shards.resource, offset, nbytes)


def refine(
    shards: Extents,
    level: ShardLevel,
    table: NDArray[np.uint64],
    present: NDArray[np.bool_],
    shard_of: Ints,
    inner: Ints,
) -> Extents:
    """Extents of inner chunks.

    Parameters
    ----------
    shards
        Extents of the shards.
    table
        Decoded indexes, ``[shards present, inner chunks, 2]``.
    present
        Which of the shards exist.
    shard_of, inner
        For each wanted inner chunk its shard, and its coordinates ``[n, ndim]`` in it.

    Raises
    ------
    StreamError
        With the shard as slot, if an entry points outside its shard.
    """
    count = len(shard_of)
    offset, nbytes = np.zeros(count, np.int64), np.full(count, MISSING, np.int64)
    rows = np.flatnonzero(present[shard_of])
    flat = np.zeros(len(rows), np.int64)
    for axis, per_shard in enumerate(level.chunks_per_shard):
        flat = flat * per_shard + inner[rows, axis]
    row_in_table = np.cumsum(present) - 1
    entries = table.reshape(-1, math.prod(level.chunks_per_shard), 2)[
        row_in_table[shard_of[rows]], flat
    ]
    _check(entries, shards, shard_of[rows])
    exists = entries[:, 0] != ABSENT
    found = rows[exists]
    offset[found] = entries[exists, 0].astype(np.int64) + shards.offset[shard_of[found]]
    nbytes[found] = entries[exists, 1].astype(np.int64)
    return Extents(shards.keys, shards.resource[shard_of], offset, nbytes)


def _check(entries: NDArray[np.uint64], shards: Extents, shard_of: Ints) -> None:
    """Each entry is absent altogether, or lies inside its shard as far as that is known."""
    start, size = entries[:, 0], entries[:, 1]
    absent = start == ABSENT
    limit = shards.nbytes[shard_of]
    known = limit >= 0
    room = np.where(known, limit, 2**62).astype(np.uint64)
    outside = (start > room) | (size > room - np.minimum(start, room))
    bad = np.flatnonzero(np.where(absent, size != ABSENT, outside))
    if len(bad):
        row = int(bad[0])
        end = f" of {int(room[row])} bytes" if known[row] else ""
        raise StreamError(
            int(shard_of[row]),
            f"expected inner chunks inside the shard{end}, found an index entry with offset "
            f"{int(start[row])} and size {int(size[row])}",
            ShardIndexError,
        )
