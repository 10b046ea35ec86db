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


_PRIMES = (
    0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)  # fmt: skip
_MASK = (1 << 64) - 1


def xxh64(data: bytes) -> int:
    """The lower 32 bits of XXH64, its seed 0, as a zstd frame's own checksum is (RFC 8878).

    Format: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
    """
    one, two, three, four, five = _PRIMES
    whole, value = len(data) & ~31, five
    if whole:
        sums = [(one + two) & _MASK, two, 0, -one & _MASK]
        for at in range(0, whole, 8):
            sums[at // 8 % 4] = _step(sums[at // 8 % 4], data[at : at + 8])
        turned = [_rotated(s, bits) for s, bits in zip(sums, (1, 7, 12, 18), strict=True)]
        value = sum(turned) & _MASK
        for s in sums:
            value = ((value ^ _rotated(s * two, 31) * one) * one + four) & _MASK
    value = (value + len(data)) & _MASK
    at = whole
    while len(data) - at >= 8:
        value ^= _step(0, data[at : at + 8])
        value = (_rotated(value, 27) * one + four) & _MASK
        at += 8
    if len(data) - at >= 4:
        value ^= int.from_bytes(data[at : at + 4], "little") * one & _MASK
        value = (_rotated(value, 23) * two + three) & _MASK
        at += 4
    for byte in data[at:]:
        value = _rotated(value ^ byte * five & _MASK, 11) * one & _MASK
    value = (value ^ value >> 33) * two & _MASK
    value = (value ^ value >> 29) * three & _MASK
    return (value ^ value >> 32) & 0xFFFFFFFF


def _step(accumulator: int, lane: bytes) -> int:
    added = accumulator + int.from_bytes(lane, "little") * _PRIMES[1]
    return _rotated(added, 31) * _PRIMES[0] & _MASK


def _rotated(value: int, bits: int) -> int:
    value &= _MASK
    return (value << bits | value >> (64 - bits)) & _MASK
