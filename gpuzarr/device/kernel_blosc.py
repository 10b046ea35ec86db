"""Chunks of Blosc 1 on a device: headers → table of streams → decode → unfilter.

Chunks are sorted by the codec inside, so that its streams lie one behind the other in the table.
The table stays on the device for the codecs that are safe on any bytes (blosclz, LZ4); of the
others it comes back, since the host checks their streams before the library sees them. Where the
device does not trust its streams, chunks of these others go to the CPU one by one.

Format: https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst, with the offsets of
blocks counted from the start of the chunk.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Batch
from gpuzarr.device.kernel_decoders import (
    DECODERS,
    by_kernel,
    check_not_empty,
    found_in,
    on_host,
    refused,
)
from gpuzarr.device.kernels import over_elements, over_tiles
from gpuzarr.device.launcher import TILE, addresses, first_tiles
from gpuzarr.device.reference.status import Status
from gpuzarr.device.reference.streams import STORED
from gpuzarr.errors import ChunkSizeError, StreamError

if TYPE_CHECKING:
    from gpuzarr.device.kernel_device import KernelDevice

Ints = NDArray[np.int64]

CODECS = ("blosclz", "lz4", "snappy", "zlib", "zstd")
"""By their number in the flags of a header; a route is 2 more."""

_DEFINED = ("blosclz", "lz4")
"""Those with a decoder that is safe on any bytes."""

_LEAST_BLOCK = 64
"""Bytes of a block, where a chunk has several: c-blosc writes none that are smaller, and a table of
their streams would be larger than the chunk."""

_NOTHING = np.zeros(1, np.uint8)
"""An LZ4 block of no bytes."""

_BYTES, _BITS = 1, 2
_NBYTES, _CBYTES = 4, 12
"""Where a header has the sizes of its chunk."""


@dataclass
class _Chunks:
    """What the headers say, by chunk: ``int64`` arrays of N."""

    blocks: Ints
    streams: Ints
    typesize: Ints
    shuffle: Ints
    route: Ints
    blocksize: Ints

    @property
    def is_filtered(self) -> NDArray[np.bool_]:
        """Whether decoded blocks have to be rearranged."""
        filtered: NDArray[np.bool_] = self.shuffle != 0
        return filtered

    def take(self, slots: Ints) -> _Chunks:
        """Of these chunks."""
        return _Chunks(*(getattr(self, field.name)[slots] for field in fields(self)))

    def are_odd(self, trusts: bool) -> NDArray[np.bool_]:
        """Which the CPU decodes as a whole."""
        odd: NDArray[np.bool_] = (self.blocks > 1) & (self.blocksize < _LEAST_BLOCK)
        if trusts:
            return odd
        defined = [STORED, *(2 + CODECS.index(codec) for codec in _DEFINED)]
        return odd | ((self.blocks > 0) & ~np.isin(self.route, defined))


@dataclass
class _Table:
    """The streams of all chunks on the device, and for each the chunk and the bytes at most."""

    columns: Any
    route: Any
    chunk: Ints
    most: Ints

    def rows(self, first: int, last: int) -> list[Any]:
        """Source, source size, target, target size of these streams."""
        return [column[first:last] for column in self.columns]


def blosc(device: KernelDevice, batch: Batch, into: Batch) -> Ints:
    """Decode each chunk into its slot; gives the slots of which the CPU decoded a part."""
    chunks = _headers(device, batch, into)
    check_not_empty("blosc", into)
    are_odd = chunks.are_odd(device.trusts)
    if not are_odd.any():
        return _decoded(device, batch, into, chunks)
    odd, rest = np.flatnonzero(are_odd), np.flatnonzero(~are_odd)
    on_host(device, "blosc", batch.take(odd), into.take(odd), odd)
    if len(rest):
        try:
            more = _decoded(device, batch.take(rest), into.take(rest), chunks.take(rest))
        except StreamError as error:
            error.slot = int(rest[error.slot])
            raise
        odd = np.union1d(odd, rest[more])
    return odd


def _decoded(device: KernelDevice, batch: Batch, into: Batch, chunks: _Chunks) -> Ints:
    """The same for chunks whose blocks the device decodes."""
    filtered = chunks.is_filtered
    order = np.lexsort((filtered, chunks.route))
    odd = []
    planes = device.room_for(np.where(filtered, into.sizes, 0))
    target = np.where(filtered, addresses(planes), addresses(into))
    table, verdict = _table(device, batch, into, chunks, order, target)
    _copy_stored(device, table)
    key = 2 * chunks.route[order] + filtered[order]
    for value in np.unique(key).tolist():
        route = value // 2
        if route == STORED:
            continue
        rows = np.flatnonzero(key[table.chunk] == value)
        first, last = int(rows[0]), int(rows[-1]) + 1
        group = _Group(device, table, CODECS[route - 2], route, first, last, order)
        if group.codec in _DEFINED:
            group.decode()
        else:
            odd.append(group.decode_checked(batch, planes if value % 2 else into))
    status = device.to_host(verdict).view(np.uint32)
    bad = np.flatnonzero(status)
    if len(bad):
        raise refused("blosc", int(order[bad[0]]), int(status[bad[0]]))
    _unfilter(device, chunks, planes, into, np.flatnonzero(filtered))
    return np.unique(np.concatenate([*odd, order[:0]]))


def _headers(device: KernelDevice, batch: Batch, into: Batch) -> _Chunks:
    """The first small copy back: what sizes the table."""
    count = len(batch)
    found = device.empty(20 * count).view(np.uint32).reshape(5, count)
    device.launch(
        "blosc_table", "blosc_counts", over_elements(count), addresses(batch), batch.sizes,
        into.sizes, np.uint32(count), *(found[k] for k in range(5)),
    )  # fmt: skip
    blocks, streams, filter_, blocksize, status = device.to_host(found).astype(np.int64)
    bad = np.flatnonzero(status)
    if len(bad):
        slot, verdict = int(bad[0]), int(status[bad[0]])
        if verdict == Status.BAD_SIZE:
            sizes = device.gather_u32(batch, batch.offsets[slot] + np.array([_NBYTES, _CBYTES]))
            declared, encoded = sizes.tolist()
            if encoded == batch.sizes[slot] and declared != into.sizes[slot]:
                reason = f"expected {int(into.sizes[slot])} bytes, found {declared}"
                raise StreamError(slot, reason, ChunkSizeError)
        raise refused("blosc", slot, verdict)
    return _Chunks(blocks, streams, filter_ & 255, filter_ >> 8 & 255, filter_ >> 16, blocksize)


def _table(
    device: KernelDevice, batch: Batch, into: Batch, chunks: _Chunks, order: Ints, target: Ints
) -> tuple[_Table, Any]:
    """The streams of chunks in this order, and a verdict for each chunk, on the device."""
    streams = chunks.streams[order]
    first_block, first_stream = first_tiles(chunks.blocks[order]), first_tiles(streams)
    total = int(first_stream[-1])
    columns = device.empty(32 * total).view(np.int64).reshape(4, total)
    route = device.empty(4 * total).view(np.uint32)
    verdict = device.to_device(np.zeros(len(order), np.uint32))
    device.launch(
        "blosc_table", "blosc_table", over_elements(int(first_block[-1])),
        addresses(batch)[order], batch.sizes[order], into.sizes[order], target[order],
        first_block, first_stream, np.uint32(len(order)), *(columns[k] for k in range(4)),
        route, verdict,
    )  # fmt: skip
    chunk = np.repeat(np.arange(len(order)), streams)
    size, blocksize = into.sizes[order], chunks.blocksize[order]
    has_tail = size % blocksize != 0
    whole = chunks.blocks[order] - has_tail
    splits = np.where(whole > 0, (streams - has_tail) // np.maximum(whole, 1), 1)
    is_tail = np.zeros(total, bool)
    is_tail[first_stream[1:][has_tail].astype(np.int64) - 1] = True
    most = np.where(is_tail, (size % blocksize)[chunk], (blocksize // splits)[chunk])
    return _Table(columns, route, chunk, most), verdict


def _selected(
    device: KernelDevice, table: _Table, first: int, last: int, route: int, nothing: Any
) -> Any:
    """Source, size and capacity of the streams of one route; of all others, those of `nothing`."""
    count = last - first
    source, size, _, capacity = table.rows(first, last)
    found = device.empty(24 * count).view(np.int64).reshape(3, count)
    address, nbytes = (0, 0) if nothing is None else (nothing.data.ptr, len(nothing))
    device.launch(
        "blosc_table", "blosc_select", over_elements(count), source, size, capacity,
        table.route[first:last], np.uint32(route), np.uint32(count), np.uint64(address),
        np.uint64(nbytes), *(found[k] for k in range(3)),
    )  # fmt: skip
    return found


def _copy_stored(device: KernelDevice, table: _Table) -> None:
    """Streams that are stored as they are."""
    count = len(table.most)
    source, size, _ = _selected(device, table, 0, count, STORED, None)
    tiles = first_tiles(-(-table.most // TILE))
    shape = over_tiles(int(tiles[-1]), device.processors)
    target = table.rows(0, count)[2]
    device.launch("copy", "copy", shape, source, target, size, tiles, np.uint32(count))


@dataclass
class _Group:
    """Streams of one codec, consecutive in the table; `order` has the slots of its chunks."""

    device: KernelDevice
    table: _Table
    codec: str
    route: int
    first: int
    last: int
    order: Ints

    def decode(self) -> None:
        """Into their places, by decoders that are safe on any bytes."""
        if self.codec != "blosclz" and self.device.trusts:
            bad, why = self._by_library(), ""
        else:
            ends, route = self.table.rows(self.first, self.last), self.table.route
            status = by_kernel(
                self.device, self.codec, ends, route[self.first : self.last], self.route
            )
            bad = np.flatnonzero(status)
            why = f": {found_in(int(status[bad[0]]))}" if len(bad) else ""
        if len(bad):
            raise self._broken(bad[0], why)

    def _by_library(self) -> Ints:
        device = self.device
        nothing = device.to_device(_NOTHING)
        source, size, capacity = _selected(
            device, self.table, self.first, self.last, self.route, nothing
        )
        target = self.table.rows(self.first, self.last)[2]
        most = self.table.most[self.first : self.last]
        status, found = device.decompress_streams(self.codec, source, size, capacity, target, most)
        return np.flatnonzero((status != 0) | (found != device.to_host(capacity)))

    def decode_checked(self, batch: Batch, arena: Batch) -> Ints:
        """Into their places in this arena, with the host's checks; slots left to the CPU."""
        device, first, last = self.device, self.first, self.last
        source, size, target, capacity = device.to_host(self.table.columns[:, first:last])
        rows = np.flatnonzero(device.to_host(self.table.route[first:last]) == self.route)
        if not len(rows):
            return rows
        streams = batch.within(source[rows] - batch.arena.data.ptr, size[rows])
        slots = arena.within(target[rows] - arena.arena.data.ptr, capacity[rows])
        try:
            odd = DECODERS[self.codec](device, streams, slots)
        except StreamError as error:
            raise self._broken(rows[error.slot], f": {error.reason}") from error
        return self._slots(rows[odd])

    def _broken(self, stream: int, why: str = "") -> StreamError:
        """Sizes and checksums of streams are Blosc's own matter, not those of a chunk."""
        reason = f"expected a valid blosc chunk, found a broken {self.codec} stream in it{why}"
        return StreamError(int(self._slots(np.array([stream]))[0]), reason)

    def _slots(self, streams: Ints) -> Ints:
        return self.order[self.table.chunk[self.first + streams]]


def _unfilter(
    device: KernelDevice, chunks: _Chunks, planes: Batch, into: Batch, slots: Ints
) -> None:
    """Blocks of byte or bit planes to elements, one launch for each kind of filter."""
    kind = chunks.typesize * 256 + chunks.shuffle
    for value in np.unique(kind[slots]).tolist():
        of_kind = slots[kind[slots] == value]
        blocks = chunks.blocks[of_kind]
        slot = np.repeat(of_kind, blocks)
        number = np.arange(len(slot)) - np.repeat(np.cumsum(blocks) - blocks, blocks)
        begin = number * chunks.blocksize[slot]
        size = np.minimum(chunks.blocksize[slot], into.sizes[slot] - begin)
        source = planes.within(planes.offsets[slot] + begin, size)
        target = into.within(into.offsets[slot] + begin, size)
        unfilter = device.unshuffle if value % 256 == _BYTES else device.bit_unshuffle
        unfilter(source, target, value // 256)
