"""Stand-ins on the emulated device for the formats that only nvCOMP knows.

Gdeflate, Bitcomp, ANS and Cascaded have no public decoder for a CPU, so what stands here in their
places is no stream of theirs, and takes none: it lets what is above be tested. A stand-in has 8
bytes, little-endian, and a payload:

    tag (u8)                   which of the four it is, and how often its elements' size halves
    decoded size less 1 (u24)  so up to 16 MiB
    CRC-32 of what is decoded (u32)
    zlib, or where that is no shorter, the decoded bytes themselves

A verdict on damage is the one that nvCOMP promises (docs/nvcomp.md), or that it promises none.
"""

from __future__ import annotations

import struct
import zlib

HEADER = struct.Struct("<II")
MOST = 1 << 24
"""Decoded bytes of a stream."""

_TAGS = {"gdeflate": 0xA0, "bitcomp": 0xB0, "ans": 0xC0, "cascaded": 0xD0}
NAMES = tuple(_TAGS)


class UnknownStreamError(Exception):
    """These bytes are no stand-in for a stream of this codec."""


class DamagedStreamError(Exception):
    """They were one."""


def encode(codec: str, data: bytes, element: int, level: int) -> bytes:
    """A stream of up to `MOST` bytes, at least one, that are elements of `element` bytes."""
    packed = zlib.compress(data, level)
    tag = _TAGS[codec] | element.bit_length() - 1
    header = HEADER.pack(tag | len(data) - 1 << 8, zlib.crc32(data))
    return header + (packed if len(packed) < len(data) else data)


def decode(codec: str, stream: bytes) -> bytes:
    """What was encoded.

    Raises
    ------
    UnknownStreamError
        If it does not begin as a stream of this codec.
    DamagedStreamError
        If it begins so, and what follows is not what was encoded.
    """
    if len(stream) < HEADER.size or stream[0] & 0xF0 != _TAGS[codec]:
        raise UnknownStreamError(f"{codec}: no stream of the stand-in")
    first, crc = HEADER.unpack_from(stream)
    size, payload = (first >> 8) + 1, stream[HEADER.size :]
    try:
        data = payload if len(payload) == size else zlib.decompressobj().decompress(payload, size)
    except zlib.error as error:
        raise DamagedStreamError(f"{codec}: {error}") from error
    if len(data) != size or zlib.crc32(data) != crc:
        raise DamagedStreamError(f"{codec}: other bytes than were encoded")
    return data


def element_of(stream: bytes) -> int:
    """Bytes of the elements of a stream that was decoded."""
    return 1 << (stream[0] & 0x0F)
