"""Shards as one step of a chain.

Where a sharding codec stands alone, its chunks are located one by one and no shard is ever a step
(`locate`). Where other codecs stand beside it, or shards have several shapes, whole shards are
decoded here: the chunks of all shards of a batch as one batch.

Format: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr import device as devices
from gpuzarr.batch import MISSING, Batch, Scratch
from gpuzarr.codecs.assembling import Pieces
from gpuzarr.codecs.base import most_compressed
from gpuzarr.codecs.chain import StageError
from gpuzarr.codecs.ordering import ordered, ordered_like
from gpuzarr.codecs.preparing import chain_of
from gpuzarr.device import Device
from gpuzarr.errors import ShardIndexError, StreamError
from gpuzarr.place import Boxes, Layout
from gpuzarr.shards import Extents, index_table, refine
from gpuzarr.spec import ChunkFormat, CodecConfig, resolve, shard_level, v3_configs

_HEADERS = 1 << 10
"""Bytes that a chunk's codecs add to it, at most, beside what depends on its size."""

Ints = NDArray[np.int64]


class Sharding:
    """A sharding codec of zarr-python's, for shards of one shape.

    ``{"name": "sharding_indexed", "configuration": {"chunk_shape": […], "codecs": […], …}}``
    """

    name = "sharding_indexed"
    is_view = False
    takes_objects = True

    def __init__(self, config: CodecConfig, spec: Any, layout: Layout) -> None:
        self._level = shard_level(config.instance, spec.shape)
        self._index = chain_of(self._level.index)
        inner = replace(spec, shape=tuple(config.instance.chunk_shape))
        configs = v3_configs(config.instance.codecs)
        self._chunk = inner.shape
        self._chain = chain_of(
            ChunkFormat(layout.dtype, inner.shape, "C", configs, resolve(configs, inner))
        )
        fill = spec.fill_value
        self._fill = spec.dtype.default_scalar() if fill is None else fill
        self._layout, self._write_empty = layout, spec.config.write_empty_chunks
        counts = self._level.chunks_per_shard
        self._count = math.prod(counts)
        self.inside = self._chain, self._count
        """The chain of the chunks of a shard, and how many there are."""
        self._coords = np.indices(counts).reshape(len(counts), self._count).T

    def supports(self, device: Device) -> str | None:
        """The first reason of a codec inside."""
        return next(filter(None, self._chain.reasons(device)), None)

    def supports_encoding(self, device: Device) -> str | None:
        """The first reason of a codec inside; indexes are encoded on the host."""
        return next(filter(None, self._chain.encode_reasons(device)), None)

    def describe(self) -> str:
        """All chunks of all shards together, by the codecs inside."""
        inside = "+".join(stage.name for stage in self._chain.stages)
        return f"whole shards, their chunks batched: {inside or 'copied'}"

    def encoded_nbytes(self, nbytes: int | None) -> int | None:
        """Depends on the data."""
        return None

    def most_encoded(self, nbytes: int) -> int:
        """Chunks with their headers, and the index."""
        return most_compressed(nbytes + _HEADERS * self._count) + self._level.index_nbytes

    def decode(self, batch: Batch, into: Batch | None, device: Device) -> Batch:
        """Decode whole shards."""
        count = len(batch)
        if into is None:
            arena: Any = np.empty(count * self._layout.size, self._layout.dtype)
            into = Batch.uniform(arena, count, self._layout.size)
        with Scratch.lent() as scratch:
            extents = self._located(batch, device, scratch)
            present = np.flatnonzero(extents.nbytes != MISSING)
            shard, inner = np.divmod(present, self._count)
            gaps = np.flatnonzero(np.bincount(shard, minlength=count) < self._count)
            if len(gaps):
                device.fill_chunks(into.take(gaps), self._layout, self._fill)
            streams = batch.within(extents.offset[present], extents.nbytes[present])
            try:
                chunks = self._chain.decode(streams, None, device, scratch, {})
            except StageError as error:
                slot, verdict = error.error.slot, error.error
                where = tuple(self._coords[inner[slot]].tolist())
                reason = f"inner chunk {where}, stage {error.stage!r}: {verdict.reason}"
                raise StreamError(int(shard[slot]), reason, verdict.kind) from error
            if into.is_uniform and count:
                first, last = int(into.offsets[0]), int(into.offsets[-1] + into.sizes[-1])
                self._place(device, into.arena[first:last], count, chunks, shard, inner)
                return into
            bounds = np.searchsorted(shard, np.arange(count + 1))
            for number, (start, stop) in enumerate(into.spans()):
                rows = np.arange(bounds[number], bounds[number + 1])
                part = chunks.take(rows)
                zero = np.zeros(len(part), np.int64)
                self._place(device, into.arena[start:stop], 1, part, zero, inner[rows])
        return into

    def _place(
        self, device: Device, flat: Any, count: int, chunks: Batch, shard: Ints, inner: Ints
    ) -> None:
        """Chunks into shards that lie one behind the other."""
        boxes = self._boxes(np.arange(len(inner)), inner, shard)
        device.place(self._array(flat, count), chunks, self._chain.layout, boxes, None)

    def _located(self, batch: Batch, device: Device, scratch: Scratch) -> Extents:
        """Where the chunks lie in the arena, shard by shard."""
        level, count = self._level, len(batch)
        short = np.flatnonzero(batch.sizes < level.index_nbytes)
        if len(short):
            found = int(batch.sizes[short[0]])
            reason = f"expected an index of {level.index_nbytes} bytes, found {found} bytes"
            raise StreamError(int(short[0]), reason, ShardIndexError)
        first = batch.offsets + (0 if level.at_start else batch.sizes - level.index_nbytes)
        streams = device.download(batch.within(first, np.full(count, level.index_nbytes)))
        try:
            index = self._index.decode(streams, None, devices.host(), scratch, {})
        except StageError as error:
            reason = f"shard index, stage {error.stage!r}: {error.error.reason}"
            raise StreamError(error.error.slot, reason, error.error.kind) from error
        table = index_table(index, self._index.layout)
        shards = Extents([""], np.zeros(count, np.int64), batch.offsets, batch.sizes)
        shard_of = np.repeat(np.arange(count), self._count)
        coords = np.tile(self._coords, (count, 1))
        return refine(shards, level, table, np.ones(count, bool), shard_of, coords)

    def encode(self, batch: Batch, device: Device) -> Batch:
        """Encode whole shards; one without chunks is missing."""
        shards = len(batch)
        every = np.arange(shards * self._count)
        shard, inner = np.divmod(every, self._count)
        if not batch.is_uniform:
            together = self._room(shards, self._layout, device)
            device.copy(batch, together)
            batch = together
        first = int(batch.offsets[0])
        whole = self._array(batch.arena[first : first + shards * self._layout.size], shards)
        layout = ordered_like(self._chain.layout, whole, device)
        chunks = self._room(len(every), layout, device)
        device.gather(whole, chunks, layout, self._boxes(every, inner, shard))
        stored = every
        if not self._write_empty:
            stored = np.flatnonzero(~device.equals_fill(chunks, layout, self._fill))
        pieces = Pieces(shards, self._count)
        if len(stored):
            try:
                given = ordered(chunks.take(stored), layout, self._chain.layout, device)
                encoded = self._chain.encode(given, device, {})
            except StageError as error:
                slot = stored[error.error.slot]
                where = tuple(self._coords[inner[slot]].tolist())
                reason = f"inner chunk {where}, stage {error.stage!r}: {error.error.reason}"
                raise StreamError(int(shard[slot]), reason, error.error.kind) from error
            pieces.put((shard[stored], inner[stored]), encoded)
        found = [b for _, b in pieces.assembled((self._level,), every[: self._count], device)]
        if len(found) == 1:
            return found[0]
        return Batch.joined([b.arena if b.sizes[0] != MISSING else None for b in found])

    def _room(self, count: int, layout: Layout, device: Device) -> Batch:
        """Memory for so many chunks, or shards, one behind the other."""
        if layout.on_host_only:
            return Batch.uniform(np.empty(count * layout.size, layout.dtype), count, layout.size)
        return Batch.uniform(device.empty(count * layout.size), count, layout.size)

    def _array(self, flat: Any, count: int) -> Any:
        elements = flat if self._layout.on_host_only else flat.view(self._layout.dtype)
        return elements.reshape((count, *self._layout.shape))

    def _boxes(self, slots: Ints, inner: Ints, shard: Ints) -> Boxes:
        """Whole chunks in these slots, each with its place in an array of shards."""
        chunk = np.array(self._chunk, np.int64)
        coords = self._coords[inner]
        count = np.broadcast_to(chunk, coords.shape)
        target = np.concatenate([shard[:, None], coords * chunk], axis=1)
        return Boxes(slots, np.zeros_like(coords), count, target, np.ones_like(chunk))
