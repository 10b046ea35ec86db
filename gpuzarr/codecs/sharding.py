"""Shards as one step of a chain, and how their bytes are put together.

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
from gpuzarr.codecs.chain import StageError
from gpuzarr.codecs.preparing import chain_of
from gpuzarr.device import Device
from gpuzarr.errors import ShardIndexError, StreamError, UnsupportedError
from gpuzarr.place import Boxes, Layout
from gpuzarr.shards import ABSENT, Extents, index_table, refine
from gpuzarr.spec import ChunkFormat, CodecConfig, ShardLevel, resolve, shard_level, v3_configs

Ints = NDArray[np.int64]
Piece = memoryview | None
"""Encoded bytes of a chunk; None where it holds nothing but the fill value."""


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
        self._coords = np.indices(counts).reshape(len(counts), self._count).T

    def supports(self, device: Device) -> str | None:
        """The first reason of a codec inside."""
        return next(filter(None, self._chain.reasons(device)), None)

    def supports_encoding(self, device: Device) -> str | None:
        """The first reason of a codec inside."""
        stages = (*self._index.stages, *self._chain.stages)
        return next(filter(None, (stage.codec.supports_encoding(device) for stage in stages)), None)

    def describe(self) -> str:
        """All chunks of all shards together, by the codecs inside."""
        inside = "+".join(stage.name for stage in self._chain.stages)
        return f"whole shards, their chunks batched: {inside or 'copied'}"

    def encoded_nbytes(self, nbytes: int | None) -> int | None:
        """Depends on the data."""
        return None

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
        boxes = self._boxes(np.arange(len(inner)), inner)
        boxes.target = np.concatenate([shard[:, None], boxes.target], axis=1)
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
        shards = [batch.arena[start:stop] for start, stop in batch.spans()]
        return Batch.joined([self._encoded(s, slot, device) for slot, s in enumerate(shards)])

    def _encoded(self, shard: Any, slot: int, device: Device) -> NDArray[np.uint8] | None:
        layout, every = self._chain.layout, np.arange(self._count)
        if layout.on_host_only:
            arena: Any = np.empty(self._count * layout.size, layout.dtype)
        else:
            arena = device.empty(self._count * layout.size)
        chunks = Batch.uniform(arena, self._count, layout.size)
        device.gather(self._array(shard, 1)[0, ...], chunks, layout, self._boxes(every, every))
        stored = every
        if not self._write_empty:
            stored = np.flatnonzero(~device.equals_fill(chunks, layout, self._fill))
        pieces: list[Piece] = [None] * self._count
        if len(stored):
            try:
                encoded = self._chain.encode(chunks.take(stored), device, {})
            except StageError as error:
                where = tuple(self._coords[stored[error.error.slot]].tolist())
                reason = f"inner chunk {where}, stage {error.stage!r}: {error.error.reason}"
                raise StreamError(slot, reason, error.error.kind) from error
            view = memoryview(encoded.arena)
            for inner, (first, last) in zip(stored.tolist(), encoded.spans(), strict=True):
                pieces[inner] = view[first:last] if last >= first else None
        blob = shard_bytes((self._level,), every, pieces, device)
        return None if blob is None else np.frombuffer(blob, np.uint8)

    def _array(self, flat: Any, count: int) -> Any:
        elements = flat if self._layout.on_host_only else flat.view(self._layout.dtype)
        return elements.reshape((count, *self._layout.shape))

    def _boxes(self, rows: Ints, inner: Ints) -> Boxes:
        """Whole chunks, the `n`-th of them in slot ``rows[n]``."""
        chunk = np.array(self._chunk, np.int64)
        coords = self._coords[inner[rows]]
        count = np.broadcast_to(chunk, coords.shape)
        return Boxes(rows, np.zeros_like(coords), count, coords * chunk, np.ones_like(chunk))


def shard_bytes(
    levels: tuple[ShardLevel, ...], leaves: Ints, pieces: list[Piece], device: Device
) -> bytes | None:
    """The bytes of one shard of the first of these levels; None where it has no chunks.

    `leaves` has the numbers of the innermost chunks among the pieces, one axis per level.
    """
    if len(levels) == 1:
        children = [pieces[leaf] for leaf in leaves.tolist()]
    else:
        blobs = [shard_bytes(levels[1:], inner, pieces, device) for inner in leaves]
        children = [None if blob is None else memoryview(blob) for blob in blobs]
    level = levels[0]
    table = np.full((len(children), 2), ABSENT)
    position, parts = level.index_nbytes if level.at_start else 0, []
    for at in level.write_order:
        piece = children[at]
        if piece:
            table[at] = position, len(piece)
            position += len(piece)
            parts.append(piece)
    if not parts:
        return None
    index = _encoded_index(level, table, device)
    return b"".join([index, *parts] if level.at_start else [*parts, index])


def _encoded_index(level: ShardLevel, table: NDArray[np.uint64], device: Device) -> memoryview:
    chain = chain_of(level.index)
    stored = chain.layout.stored(table.reshape(level.index.shape))
    encoded = chain.encode(Batch.uniform(stored, 1, len(stored)), device, {})
    ((start, stop),) = encoded.spans()
    if stop - start != level.index_nbytes:
        raise UnsupportedError(
            f"A shard index of varying size is not supported: expected {level.index_nbytes} "
            f"bytes, found {stop - start}."
        )
    return memoryview(encoded.arena)[start:stop]
