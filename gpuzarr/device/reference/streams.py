"""Decoders of single streams, and the table of streams in a Blosc chunk.

Targets whose status is not OK hold what was decoded before the fault.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from gpuzarr.device.reference.status import Status


class _FaultError(Exception):
    """Ends a decoder with a status."""

    def __init__(self, status: Status) -> None:
        self.status = status


def lz4_decode(data: bytes, size: int) -> tuple[Status, bytes]:
    """A raw LZ4 block of `size` bytes.

    Format: https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md, with the end conditions
    that liblz4 enforces. An offset of 0 is an error.
    """
    output = bytearray()
    try:
        _lz4(data, size, output)
    except _FaultError as fault:
        return fault.status, bytes(output)
    return Status.OK, bytes(output)


def _lz4(data: bytes, size: int, output: bytearray) -> None:
    if size == 0:
        if data == b"\0":
            return
        raise _FaultError(Status.OUTPUT_FULL if data else Status.INPUT_ENDS)
    at = 0
    while True:
        token, at = _byte(data, at)
        count = token >> 4
        if count == 15:
            count, at = _extended(data, at, count)
        _check(count <= len(data) - at, Status.INPUT_ENDS)
        _check(count <= size - len(output), Status.OUTPUT_FULL)
        output += data[at : at + count]
        at += count
        if at == len(data):
            _check(len(output) == size, Status.OUTPUT_SHORT)
            return
        _check(size - len(output) >= 12 and len(data) - at >= 8, Status.BAD_END)
        offset = int.from_bytes(data[at : at + 2], "little")
        at += 2
        count = token & 15
        if count == 15:
            count, at = _extended(data, at, count)
        _check(0 < offset <= len(output), Status.BAD_OFFSET)
        _match(output, offset, count + 4, size)
        _check(size - len(output) >= 5, Status.BAD_END)


def blosclz_decode(data: bytes, size: int) -> tuple[Status, bytes]:
    """A stream of Blosc's own codec, of `size` bytes, as c-blosc 1.21 decodes it."""
    output = bytearray()
    try:
        _blosclz(data, size, output)
    except _FaultError as fault:
        return fault.status, bytes(output)
    return Status.OK, bytes(output)


def _blosclz(data: bytes, size: int, output: bytearray) -> None:
    control, at = _byte(data, 0)
    control &= 31
    while True:
        if control < 32:
            count = control + 1
            _check(count <= size - len(output), Status.OUTPUT_FULL)
            _check(count <= len(data) - at, Status.INPUT_ENDS)
            output += data[at : at + count]
            at += count
            if at == len(data):
                _check(len(output) == size, Status.OUTPUT_SHORT)
                return
            control, at = _byte(data, at)
            continue
        count, offset = (control >> 5) - 1, (control & 31) << 8
        if count == 6:
            count, at = _extended(data, at, count)
        low, at = _byte(data, at)
        if low == 255 and offset == 31 << 8:
            _check(len(data) - at >= 2, Status.INPUT_ENDS)
            offset = int.from_bytes(data[at : at + 2], "big") + 8192
            at += 2
        else:
            offset += low + 1
        _check(count + 3 <= size - len(output), Status.OUTPUT_FULL)
        _check(offset <= len(output), Status.BAD_OFFSET)
        control, at = _byte(data, at)  # a match is never the last
        _match(output, offset, count + 3, size)


def _check(good: bool, status: Status) -> None:
    if not good:
        raise _FaultError(status)


def _byte(data: bytes, at: int) -> tuple[int, int]:
    _check(at < len(data), Status.INPUT_ENDS)
    return data[at], at + 1


def _extended(data: bytes, at: int, count: int) -> tuple[int, int]:
    more = 255
    while more == 255:
        more, at = _byte(data, at)
        count += more
    return count, at


def _match(output: bytearray, offset: int, count: int, size: int) -> None:
    _check(count <= size - len(output), Status.OUTPUT_FULL)
    for _ in range(count):
        output.append(output[-offset])


@dataclass(frozen=True)
class BloscStream:
    """Where a stream lies in its chunk, where it goes in the decoded one, and its route."""

    offset: int
    size: int
    target: int
    target_size: int
    route: int


_HEADER = struct.Struct("<BBBBIII")
_LARGEST_BLOCK = (2**31 - 1 - 4 * 255) // 3

STORED = 1
"""Route of a stream that is to be copied; 2 and up are 2 + the number of its codec."""


@dataclass(frozen=True)
class BloscCounts:
    """What the header of a chunk says, all 0 where it breaks a rule.

    `filter` is ``typesize | shuffle << 8 | route << 16``: shuffle 0 none, 1 bytes, 2 bits; route
    that of all its streams that are not stored, or `STORED` for a chunk that is as a whole.
    """

    blocks: int = 0
    streams: int = 0
    filter: int = 0
    blocksize: int = 0


def blosc_counts(chunk: bytes, expected: int) -> tuple[Status, BloscCounts]:
    """Check the header of a Blosc 1 chunk of `expected` decoded bytes."""
    if len(chunk) < _HEADER.size:
        return Status.INPUT_ENDS, BloscCounts()
    version, versionlz, flags, typesize, nbytes, blocksize, cbytes = _HEADER.unpack_from(chunk)
    if version != 2:
        return Status.BAD_VERSION, BloscCounts()
    if cbytes != len(chunk) or nbytes != expected:
        return Status.BAD_SIZE, BloscCounts()
    if not 0 < blocksize <= _LARGEST_BLOCK or typesize == 0 or versionlz != 1 or flags & 8:
        return Status.BAD_HEADER, BloscCounts()
    if nbytes and blocksize > nbytes:  # c-blosc refuses it
        return Status.BAD_HEADER, BloscCounts()
    codec = flags >> 5
    if flags & 2:
        if nbytes and cbytes != nbytes + 16:
            return Status.BAD_SIZE, BloscCounts()
        some = int(nbytes > 0)
        return Status.OK, BloscCounts(some, some, typesize | STORED << 16, nbytes)
    shuffle = 1 if flags & 1 and typesize > 1 else 2 if flags & 4 else 0
    filters = typesize | shuffle << 8 | (2 + codec) << 16
    if nbytes == 0:
        return Status.OK, BloscCounts(0, 0, filters, blocksize)
    blocks = -(-nbytes // blocksize)
    split = not flags & 16 and typesize <= 16 and blocksize // typesize >= 128
    if 16 + 4 * blocks > cbytes:
        return Status.BAD_BLOCK, BloscCounts()
    if codec > 4 or (split and blocksize % typesize):
        return Status.BAD_HEADER, BloscCounts()
    whole, rest = divmod(nbytes, blocksize)
    streams = whole * (typesize if split else 1) + (rest > 0)
    return Status.OK, BloscCounts(blocks, streams, filters, blocksize)


def blosc_table(chunk: bytes, expected: int) -> tuple[Status, list[BloscStream]]:
    """The streams of a Blosc 1 chunk of `expected` decoded bytes.

    Streams of a block that breaks a rule are left out; the others of its chunk are not.
    """
    status, counts = blosc_counts(chunk, expected)
    if not counts.blocks:
        return status, []
    route = counts.filter >> 16
    if route == STORED:
        return status, [BloscStream(_HEADER.size, expected, 0, expected, STORED)]
    whole, rest = divmod(expected, counts.blocksize)
    most = (counts.streams - (rest > 0)) // whole
    streams: list[BloscStream] = []
    for block in range(counts.blocks):
        begin = block * counts.blocksize
        size = min(counts.blocksize, expected - begin)
        splits = most if size == counts.blocksize else 1
        found = _streams_of(chunk, 16 + 4 * block, begin, size // splits, splits, route)
        if found is None:
            status = Status.BAD_BLOCK
        else:
            streams += found
    return status, streams


def _streams_of(
    chunk: bytes, entry: int, begin: int, part: int, splits: int, route: int
) -> list[BloscStream] | None:
    (at,) = struct.unpack_from("<i", chunk, entry)
    streams = []
    for k in range(splits):
        if not 0 <= at <= len(chunk) - 4:
            return None
        (stored,) = struct.unpack_from("<i", chunk, at)
        at += 4
        if not 0 <= stored <= len(chunk) - at:
            return None
        streams.append(
            BloscStream(at, stored, begin + k * part, part, STORED if stored == part else route)
        )
        at += stored
    return streams


def blosc_select(
    streams: Sequence[BloscStream], wanted: int, nothing: tuple[int, int]
) -> list[tuple[int, int, int]]:
    """Offset, size and capacity of streams of one route, those of an empty one for all others."""
    return [
        (s.offset, s.size, s.target_size) if s.route == wanted else (*nothing, 0) for s in streams
    ]


def zstd_frame(data: bytes, expected: int) -> int:
    """Whether a stream is one plain Zstandard frame that declares `expected` decoded bytes.

    It needs no dictionary, its blocks have at most 128 KiB, and those that are not compressed no
    more than `expected` bytes together. 1 if nothing stands behind its blocks, 2 if a checksum
    does, else 0. Format: RFC 8878, section 3.1.1.
    """
    if len(data) < 9 or data[:4] != b"\x28\xb5\x2f\xfd":
        return 0
    flag, single_segment = data[4] >> 6, data[4] >> 5 & 1
    nbytes = 1 << flag if flag else single_segment
    at = 6 - single_segment
    if data[4] & 11 or not nbytes or at + nbytes > len(data):
        return 0
    declared = int.from_bytes(data[at : at + nbytes], "little") + (256 if nbytes == 2 else 0)
    at += nbytes
    is_last, plain_bytes = False, 0
    while declared == expected and not is_last:
        header = int.from_bytes(data[at : at + 3], "little")
        kind, is_last = header >> 1 & 3, bool(header & 1)
        plain_bytes += 0 if kind == 2 else header >> 3
        if at + 3 > len(data) or kind == 3 or header >> 3 > 1 << 17 or plain_bytes > expected:
            return 0
        at += 3 + (1 if kind == 1 else header >> 3)
    checksum = data[4] >> 2 & 1
    return 1 + checksum if is_last and at + 4 * checksum == len(data) else 0
