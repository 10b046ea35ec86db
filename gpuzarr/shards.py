"""Shard indexes: which bytes of a shard hold which inner chunk, read and written.

The index of a shard is an array of ``(offset, nbytes)``, little-endian u64, one pair per inner
chunk in C order, both 2⁶⁴ - 1 where there is none. It stands at the start or the end of the
shard and is itself encoded, as a rule with a crc32c. This module is pure: indexes come in decoded,
and shards are put together as numbers only.

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
    """Where the index of each shard lies.

    Raises
    ------
    StreamError
        With the shard as slot, if one that lies in another shard is shorter than its index.
    """
    short = np.flatnonzero((shards.nbytes >= 0) & (shards.nbytes < level.index_nbytes))
    if len(short):
        slot = int(short[0])
        raise StreamError(
            slot,
            f"expected an index of {level.index_nbytes} bytes in the inner shard, found "
            f"{int(shards.nbytes[slot])} bytes",
            ShardIndexError,
        )
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


@dataclass(slots=True)
class Tables:
    """Indexes of one level of sharding that are to be written.

    Attributes
    ----------
    shard, position
        ``[k]``: the stored shard that each stands in, and where in it.
    entries
        ``[k, chunks, 2]``, decoded.
    """

    level: ShardLevel
    shard: Ints
    position: Ints
    entries: NDArray[np.uint64]


@dataclass(slots=True)
class Packing:
    """How the bytes of some shards are put together.

    Attributes
    ----------
    sizes
        ``[n]`` bytes of each shard; `MISSING` where it would hold no chunk.
    positions
        ``[n, chunks]``: where in its shard each innermost chunk begins, if it is not empty.
    tables
        Indexes, from the outermost level inwards.
    """

    sizes: Ints
    positions: Ints
    tables: list[Tables]


def pack(levels: tuple[ShardLevel, ...], leaves: Ints, sizes: Ints) -> Packing:
    """Where each chunk and each index of some shards goes.

    Parameters
    ----------
    levels
        Of sharding, from the outermost one inwards.
    leaves
        Numbers of the innermost chunks of a shard, in the order of the indexes from level to level.
    sizes
        ``[n, chunks]`` encoded bytes of each innermost chunk, by its number; `MISSING` or 0 for
        what no index names.
    """
    order, nbytes = leaves.reshape(-1), np.maximum(sizes, 0)
    held: Ints = nbytes[:, order]
    begins: list[Ints] = []
    inside: list[Ints] = []
    for level in reversed(levels):
        chunks = held.reshape(-1, math.prod(level.chunks_per_shard))
        written = chunks[:, level.write_order]
        begin = np.empty_like(chunks)
        begin[:, level.write_order] = np.cumsum(written, axis=1) - written
        begins.insert(0, begin + (level.index_nbytes if level.at_start else 0))
        inside.insert(0, chunks)
        total = chunks.sum(axis=1)
        held = np.where(total, total + level.index_nbytes, 0)
    at, shard, tables = np.zeros(len(sizes), np.int64), np.arange(len(sizes)), []
    for level, begin, chunks in zip(levels, begins, inside, strict=True):
        entries = np.stack([begin, chunks], axis=2).astype(np.uint64)
        entries[chunks == 0] = ABSENT
        behind = 0 if level.at_start else chunks.sum(axis=1)
        exists = chunks.any(axis=1)
        tables.append(Tables(level, shard[exists], (at + behind)[exists], entries[exists]))
        at = (at[:, None] + begin).reshape(-1)
        shard = np.repeat(shard, chunks.shape[1])
    positions = np.empty_like(nbytes)
    positions[:, order] = at.reshape(len(sizes), -1)
    return Packing(np.where(held, held, MISSING), positions, tables)
