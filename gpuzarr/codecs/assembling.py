"""Shards put together from encoded chunks, on the host or on a device.

Where each byte goes is `shards.pack`'s, from sizes alone. Indexes are encoded on the host, being
small; the chunks are moved once, where they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr import device as devices
from gpuzarr.batch import BYTES, MISSING, Batch, packed
from gpuzarr.codecs.preparing import chain_of
from gpuzarr.device import Device
from gpuzarr.errors import UnsupportedError
from gpuzarr.shards import Packing, Tables, pack
from gpuzarr.spec import ShardLevel

Ints = NDArray[np.int64]


class Pieces:
    """Encoded chunks of some shards, ``[shards, chunks]``, in any number of arenas."""

    def __init__(self, shards: int, chunks: int) -> None:
        shape = (shards, chunks)
        self.sizes = np.full(shape, MISSING)
        self._offsets, self._arena = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self._arenas: list[Any] = []

    def put(self, index: tuple[Any, ...], batch: Batch) -> None:
        """The streams of a batch as the chunks at this index, in place of what was there."""
        self._offsets[index], self.sizes[index] = batch.offsets, batch.sizes
        self._arena[index] = len(self._arenas)
        self._arenas.append(batch.arena)

    def at(self, index: tuple[Any, ...], arena: Any) -> Batch:
        """The chunks at this index, of which all that exist lie in this arena."""
        return Batch(arena, self._offsets[index], self.sizes[index])

    def assembled(
        self, levels: tuple[ShardLevel, ...], leaves: Ints, device: Device
    ) -> Iterator[tuple[slice, Batch]]:
        """The bytes of the shards: `MISSING` is one that holds no chunk.

        All together in memory of the device where a chunk is there; else one after the other on
        the host.

        Parameters
        ----------
        levels, leaves
            As `shards.pack` takes them.
        """
        packing = pack(levels, leaves, self.sizes)
        parts = self._parts(packing)
        if all(isinstance(arena, np.ndarray) for arena in parts.arenas):
            return _on_host(packing.sizes, parts)
        return iter([(slice(None), _on_device(packing.sizes, parts, device))])

    def _parts(self, packing: Packing) -> _Parts:
        """Chunks and indexes, each in its place."""
        shard, chunk = np.nonzero(self.sizes > 0)
        at = shard, chunk
        parts = _Parts()
        for number, arena in enumerate(self._arenas):
            of_arena = np.flatnonzero(self._arena[at] == number)
            rows = shard[of_arena], chunk[of_arena]
            batch = Batch(arena, self._offsets[rows], self.sizes[rows])
            parts.add(batch, rows[0], packing.positions[rows])
        for tables in packing.tables:
            parts.add(_encoded(tables), tables.shard, tables.position)
        return parts


@dataclass
class _Parts:
    """Streams of several arenas, and where each goes: a shard, and a position in it."""

    batches: list[Batch] = field(default_factory=list)
    shards: list[Ints] = field(default_factory=list)
    positions: list[Ints] = field(default_factory=list)

    def add(self, batch: Batch, shard: Ints, position: Ints) -> None:
        """The streams of one arena, if there are any."""
        if len(batch):
            self.batches.append(batch)
            self.shards.append(shard)
            self.positions.append(position)

    @property
    def arenas(self) -> list[Any]:
        """On the host and on devices."""
        return [batch.arena for batch in self.batches]


def _on_host(sizes: Ints, parts: _Parts) -> Iterator[tuple[slice, Batch]]:
    """Each shard in memory of its own, joined in the order of its parts."""
    nothing = np.empty(0, np.int64)
    shard = np.concatenate([nothing, *parts.shards])
    order = np.lexsort((np.concatenate([nothing, *parts.positions]), shard))
    counts = [len(batch) for batch in parts.batches]
    views = [memoryview(batch.arena) for batch in parts.batches]
    arena = np.repeat(np.arange(len(counts)), counts)[order].tolist()
    begin = np.concatenate([nothing, *(b.offsets for b in parts.batches)])[order]
    end = (begin + np.concatenate([nothing, *(b.sizes for b in parts.batches)])[order]).tolist()
    begin = begin.tolist()
    bounds = np.searchsorted(shard[order], np.arange(len(sizes) + 1)).tolist()
    for number, size in enumerate(sizes.tolist()):
        rows = range(bounds[number], bounds[number + 1])
        blob = b"".join([views[arena[row]][begin[row] : end[row]] for row in rows])
        bytes_ = np.frombuffer(blob, BYTES)
        yield slice(number, number + 1), Batch(bytes_, np.zeros(1, np.int64), np.array([size]))


def _on_device(sizes: Ints, parts: _Parts, device: Device) -> Batch:
    """All shards in one arena; what is on the host goes up in one copy."""
    room = np.maximum(sizes, 0)
    into = Batch(device.empty(int(room.sum())), packed(room), sizes)
    up: list[tuple[Batch, Ints]] = []
    for batch, shard, position in zip(parts.batches, parts.shards, parts.positions, strict=True):
        target = into.offsets[shard] + position
        if isinstance(batch.arena, np.ndarray):
            up.append((batch, target))
        else:
            device.copy(batch, into.within(target, batch.sizes))
    streams = [batch.arena[a:b] for batch, _ in up for a, b in batch.spans()]
    batch = device.upload(Batch.joined(streams))
    targets = np.concatenate([target for _, target in up])
    device.copy(batch, into.within(targets, batch.sizes))
    return into


def _encoded(tables: Tables) -> Batch:
    """Encoded indexes, on the host."""
    level, chain = tables.level, chain_of(tables.level.index)
    count, layout = len(tables.entries), chain.layout
    memory = np.empty((count, *layout.shape), layout.dtype)
    axes = (0, *(axis + 1 for axis in layout.axes))
    memory.transpose(axes)[...] = tables.entries.reshape(count, *level.index.shape)
    stored = Batch.uniform(memory.reshape(-1).view(BYTES), count, layout.size)
    if not count:
        return stored
    encoded = chain.encode(stored, devices.host(), {})
    wrong = np.flatnonzero(encoded.sizes != level.index_nbytes)
    if len(wrong):
        raise UnsupportedError(
            f"A shard index of varying size is not supported: expected {level.index_nbytes} "
            f"bytes, found {int(encoded.sizes[wrong[0]])}."
        )
    return encoded
