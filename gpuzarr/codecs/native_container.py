"""What is stored around nvCOMP's streams: a header, a table of sizes, aligned blocks, a checksum.

The streams say neither where they end nor, some of them, what they decode to, and their decoders
trust them. So all that a decoder is told comes from here: it is compared with what the chunk must
be, before anything is allocated or decoded. Format: docs/codecs-native.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Batch, packed
from gpuzarr.errors import ChunkSizeError, StreamError

Ints = NDArray[np.int64]

MAGIC, VERSION = b"GPZN", 1
HEADER = np.dtype(
    [
        ("magic", "S4"),
        ("version", "u1"),
        ("codec", "u1"),
        ("data_type", "u1"),
        ("reserved", "u1"),
        ("blocksize", "<u4"),
        ("blocks", "<u4"),
        ("nbytes", "<u8"),
    ]
)
NUMBERS = {"gdeflate": 1, "bitcomp": 2, "ans": 3, "cascaded": 4}
_SIZE, _ALIGNMENT = 4, 16


class Blocks(NamedTuple):
    """How chunks are cut.

    Attributes
    ----------
    counts
        Blocks of each chunk.
    chunk, number
        Of each block: its chunk, and how many blocks of that come before it.
    sizes
        Decoded bytes of each block.
    """

    counts: Ints
    chunk: Ints
    number: Ints
    sizes: Ints

    @classmethod
    def of(cls, nbytes: Ints, blocksize: int) -> Blocks:
        """Chunks of so many decoded bytes, in blocks of `blocksize`; the last one is shorter."""
        counts = -(-nbytes // blocksize)
        chunk = np.repeat(np.arange(len(nbytes)), counts)
        number = np.arange(len(chunk)) - np.repeat(packed(counts), counts)
        sizes = np.minimum(blocksize, nbytes[chunk] - number * blocksize)
        return cls(counts, chunk, number, sizes)

    @property
    def heads(self) -> Ints:
        """Bytes of each chunk's header and table."""
        return _aligned(HEADER.itemsize + _SIZE * self.counts)

    def within(self, batch: Batch, blocksize: int) -> Batch:
        """The blocks of decoded chunks."""
        return batch.within(batch.offsets[self.chunk] + self.number * blocksize, self.sizes)

    def places(self, sizes: Ints) -> tuple[Ints, Ints]:
        """Where encoded blocks of these sizes begin in their chunks, and where the chunks end."""
        room = _aligned(sizes)
        begin = np.append(packed(room), room.sum())
        first = begin[np.append(packed(self.counts), len(room))]
        inside = begin[:-1] - first[self.chunk]
        return self.heads[self.chunk] + inside, self.heads + np.diff(first)


def _aligned(sizes: Ints) -> Ints:
    return -(-sizes // _ALIGNMENT) * _ALIGNMENT


def heads_of(
    blocks: Blocks, sizes: Ints, nbytes: Ints, codec: str, blocksize: int, data_type: int
) -> Batch:
    """Headers and tables of chunks whose encoded blocks have these sizes."""
    heads = blocks.heads
    arena = np.zeros(int(heads.sum()), np.uint8)
    found = Batch(arena, packed(heads), heads)
    header = np.zeros(len(nbytes), HEADER)
    header["magic"], header["version"] = MAGIC, VERSION
    header["codec"], header["data_type"] = NUMBERS[codec], data_type
    header["blocksize"], header["blocks"], header["nbytes"] = blocksize, blocks.counts, nbytes
    raw = header.view(np.uint8).reshape(-1, HEADER.itemsize)
    arena[found.offsets[:, None] + np.arange(HEADER.itemsize)] = raw
    table = sizes.astype("<u4").view(np.uint8).reshape(-1, _SIZE)
    arena[_table(found, blocks)[:, None] + np.arange(_SIZE)] = table
    return found


def _table(heads: Batch, blocks: Blocks) -> Ints:
    """Where the size of each block stands."""
    begin: Ints = heads.offsets[blocks.chunk] + HEADER.itemsize + _SIZE * blocks.number
    return begin


def check_has_heads(batch: Batch, blocks: Blocks) -> None:
    """Refuse what is too short for its header and table."""
    short = np.flatnonzero(batch.sizes < blocks.heads)
    if len(short):
        slot = int(short[0])
        raise StreamError(
            slot,
            f"expected a header of {int(blocks.heads[slot])} bytes, "
            f"found {int(batch.sizes[slot])} bytes",
        )


def read_heads(
    heads: Batch, blocks: Blocks, nbytes: Ints, sizes: Ints, codec: str, blocksize: int
) -> tuple[Ints, Ints, Ints]:
    """What the headers and tables of chunks say, which lie on the host.

    Parameters
    ----------
    nbytes, sizes
        Decoded and encoded bytes of each chunk.

    Returns
    -------
    begin, encoded
        Where each block begins in its chunk, and its encoded bytes.
    data_type
        Of each chunk's elements: 0, or 1 more than the position in `DATA_TYPES`.

    Raises
    ------
    StreamError
        For the first chunk that says something else than it must.
    """
    raw = heads.arena[heads.offsets[:, None] + np.arange(HEADER.itemsize)]
    header = np.ascontiguousarray(raw).view(HEADER)[:, 0]
    _expect("a container of gpuzarr's, which begins with", header["magic"], MAGIC)
    _expect("version", header["version"], VERSION)
    _expect(f"the codec {codec}, which is number", header["codec"], NUMBERS[codec])
    _expect("a reserved byte of", header["reserved"], 0)
    _expect("a blocksize of", header["blocksize"], blocksize)
    _expect("a decoded size of", header["nbytes"], nbytes, ChunkSizeError)
    _expect("a number of blocks of", header["blocks"], blocks.counts)
    places = _table(heads, blocks)[:, None] + np.arange(_SIZE)
    table = np.ascontiguousarray(heads.arena[places]).view("<u4")[:, 0].astype(np.int64)
    empty = np.flatnonzero(table == 0)
    if len(empty):
        reason = f"expected bytes in block {int(blocks.number[empty[0]])}, found none"
        raise StreamError(int(blocks.chunk[empty[0]]), reason)
    begin, ends = blocks.places(table)
    _expect("blocks that end at byte", ends, sizes)
    return begin, table, header["data_type"].astype(np.int64)


def _expect(what: str, found: Any, expected: Any, kind: type[ChunkSizeError] | None = None) -> None:
    """Raise for the first chunk that differs."""
    bad = np.flatnonzero(found != expected)
    if len(bad):
        slot = int(bad[0])
        wanted = np.broadcast_to(np.asarray(expected), found.shape)[slot].item()
        raise StreamError(slot, f"expected {what} {wanted!r}, found {found[slot].item()!r}", kind)
