"""Shards that are written: the encoded chunks in them, old and new, put together again."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import MISSING, Batch
from gpuzarr.codecs.assembling import Pieces
from gpuzarr.codecs.chain import downloaded
from gpuzarr.device import Device
from gpuzarr.locate import check_streams, locate
from gpuzarr.plan import distinct
from gpuzarr.report import Indexes
from gpuzarr.runtime import Stop
from gpuzarr.sources.memory import Memory
from gpuzarr.spec import Spec

Ints = NDArray[np.int64]


class Shards:
    """All inner chunks of some shards, of which the rows of a wave are to be replaced.

    `coords` are the rows' grid coordinates ``[n, ndim]``.
    """

    def __init__(self, spec: Spec, coords: Ints) -> None:
        per_outer = np.array(spec.chunks_per_outer, np.int64)
        self._spec, self._per_outer = spec, per_outer
        self._outer, self._shard_of = distinct(coords // per_outer)
        self.keys = spec.keys(self._outer)
        inner = coords % per_outer
        self._inner = np.zeros(len(coords), np.int64)
        for axis, count in enumerate(per_outer.tolist()):
            self._inner = self._inner * count + inner[:, axis]
        self._count = math.prod(spec.chunks_per_outer)
        self._pieces = Pieces(len(self._outer), self._count)
        self._old = Batch.joined([None] * len(coords))

    def not_rewritten(self, covered: NDArray[np.bool_]) -> Ints:
        """Numbers of the shards of which something old may be left."""
        rewritten = np.bincount(self._shard_of[covered], minlength=len(self._outer))
        return np.flatnonzero(rewritten < self._count)

    def halves(self, rows: Ints) -> list[Ints]:
        """The rows of one half of the shards, and of the other; of one shard, all of them."""
        is_later = self._shard_of >= -(-len(self.keys) // 2)
        return [part for part in (rows[~is_later], rows[is_later]) if len(part)]

    def keep(self, shards: Ints, old: Batch, report: Indexes, stop: Stop) -> None:
        """Take the old content of these shards, which were fetched whole."""
        exist = old.sizes != MISSING
        shards, old = shards[exist], old.take(exist)
        if not len(shards):
            return
        ndim = len(self._per_outer)
        inner = np.indices(self._spec.chunks_per_outer).reshape(ndim, self._count).T
        chunks = (self._outer[shards] * self._per_outer)[:, None] + inner
        chunks = chunks.reshape(len(shards) * self._count, ndim)
        held = Memory([self.keys[s] for s in shards.tolist()], old)
        extents, _ = locate(self._spec, chunks, held, report, stop)
        streams = held.start(extents).batch
        check_streams(self._spec, extents, streams)
        at = np.repeat(shards, self._count), np.tile(np.arange(self._count), len(shards))
        self._pieces.put(at, streams)
        self._old = self._pieces.at((self._shard_of, self._inner), old.arena)

    def streams(self, part: slice) -> Batch:
        """The old streams of these rows."""
        return self._old.take(np.arange(len(self._old))[part])

    def replace(self, part: slice, batch: Batch) -> None:
        """The new streams of these rows, wherever they are."""
        self._pieces.put((self._shard_of[part], self._inner[part]), batch)

    def assembled(
        self, device: Device, seconds: dict[str, float]
    ) -> Iterator[tuple[list[str], Batch]]:
        """Keys and bytes of shards, on the host; a size of `MISSING` where no chunk is left."""
        leaves = _leaves(self._spec)
        for shards, batch in self._pieces.assembled(self._spec.levels, leaves, device):
            yield self.keys[shards], downloaded(batch, device, seconds)


def _leaves(spec: Spec) -> Ints:
    """Numbers of the inner chunks of a shard, one axis per level of sharding."""
    levels, ndim = spec.levels, len(spec.shape)
    split = [level.chunks_per_shard[axis] for axis in range(ndim) for level in levels]
    axes = [axis * len(levels) + level for level in range(len(levels)) for axis in range(ndim)]
    counts = [math.prod(level.chunks_per_shard) for level in levels]
    return np.arange(math.prod(counts)).reshape(split).transpose(axes).reshape(counts)
