"""Ways to damage a stream: changed, cut, prolonged, joined, or with a field at its limits."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

Mutation = Callable[[bytes, bytes, random.Random], bytes]
"""Of a stream, with another one at hand."""

BYTES = (0, 1, 15, 16, 31, 32, 127, 128, 224, 240, 254, 255)


def changed(data: bytes, other: bytes, rng: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        found[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(found)


def special(data: bytes, other: bytes, rng: random.Random) -> bytes:
    at, count = rng.randrange(len(data)), rng.choice((1, 1, 2, 4))
    return data[:at] + bytes([rng.choice(BYTES)]) * count + data[at + count :]


def truncated(data: bytes, other: bytes, rng: random.Random) -> bytes:
    return data[: -rng.randint(1, 12)] if rng.random() < 0.5 else data[: rng.randrange(len(data))]


def extended(data: bytes, other: bytes, rng: random.Random) -> bytes:
    more = rng.randbytes(rng.randint(1, 20))
    return data + (more if rng.random() < 0.5 else data[-len(more) :])


def spliced(data: bytes, other: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]


def followed(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """A second frame or member, an empty half of one, zeros."""
    return data + rng.choice((other, data, other[: len(other) // 2], bytes(rng.randint(1, 9))))


def one_bit(data: bytes, other: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


MUTATIONS: list[Mutation] = [changed, changed, special, truncated, extended, spliced]
"""Of streams whose format says nothing about what stands where."""


# --- fields of a format ---------------------------------------------------------------------------

MOST_BLOCKSIZE = (2**31 - 1 - 4 * 255) // 3


def with_u32(data: bytes, at: int, rng: random.Random, *near: int) -> bytes:
    """A little-endian u32 at or near one of these values, or at the limits of its type."""
    if len(data) < at + 4:
        return data[:at] + rng.randbytes(3)
    (before,) = struct.unpack_from("<I", data, at)
    value = rng.choice((before, before, *near, 0, 2**31, 2**32 - 1)) + rng.choice((-4, -1, 0, 1, 4))
    return data[:at] + struct.pack("<I", value % 2**32) + data[at + 4 :]


def _with_byte(data: bytes, at: int, rng: random.Random) -> bytes:
    value = rng.choice((*BYTES, data[at] ^ 1 << rng.randrange(8)))
    return data[:at] + bytes([value]) + data[at + 1 :]


def zstd_fields(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Magic, descriptor, window, content size, first block header; a skippable frame."""
    if rng.random() < 0.1:
        skipped = struct.pack("<II", 0x184D2A50 + rng.randrange(17), rng.choice((0, 3, 9, 2**31)))
        return rng.choice((skipped + b"abc" + data, data + skipped + b"abc", skipped + data))
    if rng.random() < 0.2:
        return with_u32(data, rng.randrange(5, min(9, len(data))), rng, len(data))
    return _with_byte(data, rng.choice((*range(4, 12), 4, 4, 0)) % len(data), rng)


def gzip_fields(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """The ten bytes of the header, crc and length, and the fields that a flag promises."""
    if rng.random() < 0.3 and len(data) >= 8:
        return with_u32(data, len(data) - rng.choice((4, 4, 8)), rng, len(data))
    if rng.random() < 0.3 and len(data) > 10:
        flag, field = rng.choice(
            ((4, b"\2\0ab"), (8, b"name\0"), (16, b"\0"), (2, b"ab"), (4, b"\xff\xffa"), (8, b"a"))
        )
        return data[:3] + bytes([flag]) + data[4:10] + field + data[10:]
    return _with_byte(data, rng.randrange(min(11, len(data))), rng)


def zlib_fields(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """The header's two bytes, also such that its check holds, and the checksum behind."""
    if rng.random() < 0.3:
        method = rng.choice((0x08, 0x18, 0x48, 0x78, 0x88, 0x79, rng.randrange(256)))
        flags = rng.choice((0, 32, 64))
        flags += -(256 * method + flags) % 31
        return bytes([method, flags & 255]) + data[2:]
    at = rng.choice((0, 1, 2, 3, -1, -2, -3, -4, -5)) % len(data)
    return _with_byte(data, at, rng)


def lz4_fields(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """The decoded size in front, or the first token."""
    return with_u32(data, 0, rng, len(data)) if rng.random() < 0.7 else _with_byte(data, 4, rng)


def blosc_fields(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """A field of the header, a start of a block, or the size of a stream."""
    n = len(data)
    if rng.random() < 0.3:
        at = rng.choice((0, 1, 2, 2, 3, 3)) % n
        if at == 2:  # flags: shuffles, stored, whether blocks are split, and the codec
            flags = data[2] ^ rng.choice((1, 2, 4, 5, 8, 16, 21, 32, 64, 128))
            return data[:2] + bytes([flags]) + data[3:]
        value = rng.choice((*BYTES, 2, 3, 4, 5, 8, 17))
        return data[:at] + bytes([value]) + data[at + 1 :]
    fields = [4, 8, 8, 12]
    if n >= 24:
        start = int.from_bytes(data[16:20], "little")
        fields += [16, 16, 20, *[start] * (20 <= start <= n - 4)]
    size = int.from_bytes(data[4:8], "little")
    return with_u32(data, rng.choice(fields), rng, n, n - 16, size, 16, 128, MOST_BLOCKSIZE)


def whole_blosc(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Any damage behind the header, which keeps its sizes: more than a length is wrong."""
    found = rng.choice(MUTATIONS)(data, other, rng)
    if len(found) < 16 or len(data) < 16:
        return found
    return data[:12] + struct.pack("<I", len(found)) + found[16:]


def checksum_fields(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """The four bytes at either end; those of another stream; or too few bytes for any."""
    if rng.random() < 0.2:
        return data[: rng.randrange(min(5, len(data)))]
    if rng.random() < 0.3:
        return rng.choice((data[:-4] + other[-4:], other[:4] + data[4:], data[4:], data[:-4]))
    return with_u32(data, rng.choice((0, max(0, len(data) - 4))), rng)


FIELDS: dict[str, list[Mutation]] = {
    "zstd": [zstd_fields, followed],
    "gzip": [gzip_fields, followed],
    "zlib": [zlib_fields, followed],
    "lz4": [lz4_fields],
    "blosc": [blosc_fields, whole_blosc],
    "crc32c": [checksum_fields],
    "crc32": [checksum_fields],
    "adler32": [checksum_fields],
    "fletcher32": [checksum_fields],
    "packbits": [lambda data, other, rng: _with_byte(data, 0, rng)],
}
"""Damage that knows the format, by the name of the codec that wrote the stream."""


def damaged(data: bytes, other: bytes, codec: str, rng: random.Random) -> bytes:
    """The stream that this codec wrote, no longer what it was."""
    for _ in range(20):
        ways = FIELDS.get(codec) if rng.random() < 0.4 else None
        if data and other:
            found = rng.choice(ways or [*MUTATIONS, one_bit])(data, other, rng)
        else:
            found = rng.randbytes(rng.randint(1, 9))
        if found not in (data, other):
            return found
    return data + b"\0"
