"""Checksums of one stream, as their definitions say."""

from __future__ import annotations

import numpy as np


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli, RFC 3720): reflected polynomial 0x82F63B78."""
    return _crc(data, 0x82F63B78)


def crc32(data: bytes) -> int:
    """CRC-32 of zlib (RFC 1952): reflected polynomial 0xEDB88320."""
    return _crc(data, 0xEDB88320)


def _crc(data: bytes, polynomial: int) -> int:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
        table.append(value)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def adler32(data: bytes) -> int:
    """Adler-32 (RFC 1950): sums modulo 65521."""
    a, b = 1, 0
    for byte in data:
        a = (a + byte) % 65521
        b = (b + a) % 65521
    return b << 16 | a


def fletcher32(data: bytes) -> int:
    """Fletcher-32 as HDF5 and numcodecs compute it.

    Sums of big-endian 16-bit words, an odd byte as the upper half of a last one, in one's
    complement: a sum that is a multiple of 65535, but not 0, is 65535.
    """
    words = np.frombuffer(data + bytes(len(data) % 2), ">u2").tolist()
    a = b = 0
    for word in words:
        a = _folded(a + word)
        b = _folded(b + a)
    return b << 16 | a


def _folded(value: int) -> int:
    return (value & 0xFFFF) + (value >> 16)
