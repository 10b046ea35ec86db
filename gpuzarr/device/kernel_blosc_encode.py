"""Chunks of Blosc 1 from a device: filter → blocks and streams → compress → put together.

Blocks, streams and what is stored are chosen as c-blosc 1.21 does (its ``blosc.c``), with blocks
no larger than what the library compresses. `clevel` chooses the blocks as there; how hard the
library tries cannot be chosen.

Format: https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst, with the offsets of
blocks counted from the start of the chunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Batch, packed
from gpuzarr.device.launcher import Ints, addresses

if TYPE_CHECKING:
    from gpuzarr.device.kernel_device import KernelDevice

Mask = NDArray[np.bool_]

CNAMES = {"lz4": 1, "zstd": 4}
"""Inner codecs that the library has, and their number in the flags of a header."""

MOST = (1 << 31) - 1 - 16
"""Bytes of a chunk."""

_HEADER = np.dtype(
    [
        ("version", "u1"),
        ("codec_version", "u1"),
        ("flags", "u1"),
        ("typesize", "u1"),
        ("nbytes", "<i4"),
        ("blocksize", "<i4"),
        ("cbytes", "<i4"),
    ]
)
_WORD = 4
"""Bytes of the offset of a block, and of the size in front of a stream."""

_BYTES, _BITS, _AUTO = 1, 2, -1
_FLAGS = {0: 0, _BYTES: 0x01, _BITS: 0x04}
_STORED_WHOLE, _UNSPLIT = 0x02, 0x10
_SMALLEST, _MOST_SPLITS, _MOST_TYPESIZE = 128, 16, 255
_MOST_BLOCK = (MOST + 16 - _MOST_TYPESIZE * 4) // 3

_L1 = 32 << 10
_SCALES = {
    "lz4": (0.25, 0.5, 1, 2, 4, 4, 8, 8, 8, 8),
    "zstd": (0.5, 1, 2, 4, 8, 8, 16, 16, 16, 32),
}
"""Bytes of a block by `clevel`, in multiples of `_L1`, before elements are considered."""


@dataclass(frozen=True)
class Form:
    """How chunks are made, of options as numcodecs names them."""

    cname: str
    clevel: int
    shuffle: int
    typesize: int
    forced_blocksize: int

    @classmethod
    def of(cls, options: dict[str, Any], dtype: np.dtype) -> Form:
        """Typesizes that a header cannot hold become 1, as in c-blosc."""
        typesize = dtype.itemsize if options["typesize"] is None else options["typesize"]
        shuffle = options["shuffle"]
        if shuffle == _AUTO:
            shuffle = _BITS if typesize == 1 else _BYTES
        if typesize > _MOST_TYPESIZE:
            typesize = 1
        return cls(options["cname"], options["clevel"], shuffle, typesize, options["blocksize"])

    @property
    def is_filtered(self) -> bool:
        """Whether blocks are rearranged."""
        return self.shuffle == _BITS or (self.shuffle == _BYTES and self.typesize > 1)

    def is_split(self, blocksize: Ints) -> Mask:
        """Whether blocks of these sizes have a stream for each byte of an element."""
        may = self.cname != "zstd" and self.typesize <= _MOST_SPLITS
        return may & (blocksize // self.typesize >= _SMALLEST)

    def blocksizes(self, nbytes: Ints, most: int) -> Ints:
        """Of the blocks of chunks, `most` at most."""
        blocksize = nbytes.copy()
        if self.forced_blocksize:
            blocksize[:] = min(max(self.forced_blocksize, _SMALLEST), _MOST_BLOCK)
        else:
            blocksize[nbytes >= _L1] = int(_SCALES[self.cname][self.clevel] * _L1)
        if self.clevel:
            enlarged = np.minimum(blocksize, 1 << 18) * self.typesize
            enlarged = np.clip(enlarged, 1 << 16, 1 << 20)
            blocksize = np.where(self.is_split(blocksize), enlarged, blocksize)
        blocksize = np.minimum(np.minimum(blocksize, nbytes), most)
        whole = blocksize // self.typesize * self.typesize
        blocksize = np.where(blocksize > self.typesize, whole, blocksize)
        return np.where(nbytes < self.typesize, 1, blocksize)


@dataclass(frozen=True)
class _Blocks:
    """Blocks of chunks, consecutive by chunk, and streams of blocks, consecutive by block."""

    count: Ints
    """Of each chunk."""
    chunk: Ints
    begin: Ints
    size: Ints
    first_stream: Ints
    """These, of each block."""
    stream_block: Ints
    stream_begin: Ints
    stream_size: Ints
    """These, of each stream."""

    @classmethod
    def of(cls, form: Form, nbytes: Ints, blocksize: Ints) -> _Blocks:
        """As c-blosc cuts chunks: the last block is shorter, and has one stream if it is."""
        count = -(-nbytes // blocksize)
        chunk, number = _counted(count)
        begin = number * blocksize[chunk]
        size = np.minimum(blocksize[chunk], nbytes[chunk] - begin)
        is_split = form.is_split(blocksize)[chunk] & (size == blocksize[chunk])
        streams = np.where(is_split, form.typesize, 1)
        block, place = _counted(streams)
        each = (size // streams)[block]
        return cls(count, chunk, begin, size, packed(streams), block, place * each, each)


def blosc(device: KernelDevice, batch: Batch, options: dict[str, Any]) -> Batch:
    """A chunk of each stream."""
    form = Form.of(options, batch.dtype)
    blocksize = form.blocksizes(batch.sizes, device.largest_chunk(form.cname))
    is_stored = (batch.sizes < _SMALLEST) | (form.clevel == 0)
    rows = np.flatnonzero(~is_stored)
    blocks = _Blocks.of(form, batch.sizes[rows], blocksize[rows])
    streams = _streams(device, form, batch.take(rows), blocks)
    encoded = device.compressed(form.cname, streams)
    pays = encoded.sizes < streams.sizes
    payload = np.where(pays, addresses(encoded), addresses(streams))
    csize = np.where(pays, encoded.sizes, streams.sizes)

    # where streams lie in their chunks, and which chunks that makes no smaller
    chunk, length = blocks.chunk[blocks.stream_block], _WORD + csize
    total = np.bincount(chunk, length, len(rows)).astype(np.int64)
    table = _HEADER.itemsize + _WORD * blocks.count
    begin = packed(length) - packed(total)[chunk] + table[chunk]
    cbytes = _HEADER.itemsize + batch.sizes
    is_stored[rows] = table + total > cbytes[rows]
    cbytes[rows] = np.minimum(table + total, cbytes[rows])

    # headers, tables of blocks and sizes of streams go up together
    headers = _headers(form, batch.sizes, blocksize, cbytes, is_stored)
    host = [headers.view("<i4"), begin[blocks.first_stream].astype("<i4"), csize.astype("<i4")]
    words = device.to_device(np.concatenate(host))
    header, start, size = words.data.ptr + _WORD * packed(np.array([len(h) for h in host]))

    result, moves = device.room_for(cbytes), _Moves()
    target = addresses(result)
    moves.add(header + _HEADER.itemsize * np.arange(len(batch)), target, _HEADER.itemsize)
    behind = target + _HEADER.itemsize
    moves.add(addresses(batch), behind, batch.sizes, is_stored)
    kept = ~is_stored[rows]
    moves.add(start + _WORD * packed(blocks.count), behind[rows], _WORD * blocks.count, kept)
    at = target[rows][chunk] + begin
    moves.add(size + _WORD * np.arange(len(csize)), at, _WORD, kept[chunk])
    moves.add(payload, at + _WORD, csize, kept[chunk])
    moves.launch(device)
    return result


class _Moves:
    """Copies from addresses to addresses, for one launch."""

    def __init__(self) -> None:
        self._columns: list[NDArray[np.int64]] = []

    def add(self, source: Ints, target: Ints, size: Ints | int, where: Any = slice(None)) -> None:
        """As many as there are sources, or those of them that are asked for."""
        size = np.broadcast_to(size, len(source))
        self._columns.append(np.stack([source, target, size])[:, where])

    def launch(self, device: KernelDevice) -> None:
        """All of them."""
        device.move(*np.concatenate(self._columns, axis=1))


def _streams(device: KernelDevice, form: Form, batch: Batch, blocks: _Blocks) -> Batch:
    """What is to be compressed, on the device."""
    found = batch.within(batch.offsets[blocks.chunk] + blocks.begin, blocks.size)
    if form.is_filtered:
        filtered = device.room_for(blocks.size)
        shuffle = device.shuffle if form.shuffle == _BYTES else device.bit_shuffle
        shuffle(found, filtered, form.typesize)
        found = filtered
    begin = found.offsets[blocks.stream_block] + blocks.stream_begin
    return found.within(begin, blocks.stream_size)


def _headers(
    form: Form, nbytes: Ints, blocksize: Ints, cbytes: Ints, is_stored: Mask
) -> NDArray[Any]:
    """Of each chunk."""
    headers = np.zeros(len(nbytes), _HEADER)
    flags = np.where(form.is_split(blocksize), 0, _UNSPLIT) | np.where(is_stored, _STORED_WHOLE, 0)
    headers["version"], headers["codec_version"] = 2, 1
    headers["flags"] = flags | _FLAGS[form.shuffle] | CNAMES[form.cname] << 5
    headers["typesize"], headers["nbytes"] = form.typesize, nbytes
    headers["blocksize"], headers["cbytes"] = blocksize, cbytes
    return headers


def _counted(counts: Ints) -> tuple[Ints, Ints]:
    """For each part of things that have so many, the thing and which part of it."""
    thing = np.repeat(np.arange(len(counts)), counts)
    return thing, np.arange(len(thing)) - np.repeat(packed(counts), counts)
