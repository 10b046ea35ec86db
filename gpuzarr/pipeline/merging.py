"""Shards that are written: the encoded chunks in them, old and new, put together again."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import MISSING, Batch
from gpuzarr.codecs.sharding import Piece, shard_bytes
from gpuzarr.device import Device
from gpuzarr.locate import check_streams, locate
from gpuzarr.plan import distinct
from gpuzarr.report import Indexes
from gpuzarr.runtime import Stop
from gpuzarr.sources.memory import Memory
from gpuzarr.spec import Spec

Ints = NDArray[np.int64]
_NOTHING = Batch(np.empty(0, np.uint8), np.zeros(1, np.int64), np.array([MISSING], np.int64))


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
        shape = (len(self._outer), math.prod(spec.chunks_per_outer))
        self._old = Batch(np.empty(0, np.uint8), np.zeros(shape, np.int64), np.full(shape, MISSING))
        self._new: list[dict[int, Piece]] = [{} for _ in self._outer]

    def not_rewritten(self, covered: NDArray[np.bool_]) -> Ints:
        """Numbers of the shards of which something old may be left."""
        rewritten = np.bincount(self._shard_of[covered], minlength=len(self._outer))
        return np.flatnonzero(rewritten < self._old.sizes.shape[1])

    def keep(self, shards: Ints, old: Batch, report: Indexes, stop: Stop) -> None:
        """Take the old content of these shards, which were fetched whole."""
        self._old.arena = old.arena
        exist = old.sizes != MISSING
        shards, old = shards[exist], old.take(exist)
        count = self._old.sizes.shape[1]
        if not len(shards):
            return
        ndim = len(self._per_outer)
        inner = np.indices(self._spec.chunks_per_outer).reshape(ndim, count).T
        chunks = (self._outer[shards] * self._per_outer)[:, None] + inner
        chunks = chunks.reshape(len(shards) * count, ndim)
        held = Memory([self.keys[s] for s in shards.tolist()], old)
        extents, _ = locate(self._spec, chunks, held, report, stop)
        streams = held.start(extents).batch
        check_streams(self._spec, extents, streams)
        self._old.offsets[shards] = streams.offsets.reshape(-1, count)
        self._old.sizes[shards] = streams.sizes.reshape(-1, count)

    def streams(self, part: slice) -> Batch:
        """The old streams of these rows."""
        at = self._shard_of[part], self._inner[part]
        return Batch(self._old.arena, self._old.offsets[at], self._old.sizes[at])

    def replace(self, part: slice, batch: Batch) -> None:
        """The new streams of these rows."""
        places = zip(self._shard_of[part].tolist(), self._inner[part].tolist(), strict=True)
        view = memoryview(batch.arena)
        for (shard, inner), (start, stop) in zip(places, batch.spans(), strict=True):
            self._new[shard][inner] = view[start:stop] if stop >= start else None

    def assembled(self, device: Device) -> Iterator[tuple[list[str], Batch]]:
        """Key and bytes of each shard; a size of `MISSING` where no chunk is left."""
        order = _leaves(self._spec)
        old = memoryview(self._old.arena)
        for shard, (key, new) in enumerate(zip(self.keys, self._new, strict=True)):
            rows = Batch(old, self._old.offsets[shard], self._old.sizes[shard])
            pieces: list[Piece] = [old[a:b] if b >= a else None for a, b in rows.spans()]
            for inner, piece in new.items():
                pieces[inner] = piece
            blob = shard_bytes(self._spec.levels, order, pieces, device)
            if blob is None:
                yield [key], _NOTHING
            else:
                yield [key], Batch.uniform(np.frombuffer(blob, np.uint8), 1, len(blob))


def _leaves(spec: Spec) -> Ints:
    """Numbers of the inner chunks of a shard, one axis per level of sharding."""
    levels, ndim = spec.levels, len(spec.shape)
    split = [level.chunks_per_shard[axis] for axis in range(ndim) for level in levels]
    axes = [axis * len(levels) + level for level in range(len(levels)) for axis in range(ndim)]
    counts = [math.prod(level.chunks_per_shard) for level in levels]
    return np.arange(math.prod(counts)).reshape(split).transpose(axes).reshape(counts)
