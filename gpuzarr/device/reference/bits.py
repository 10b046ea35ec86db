"""Ops on single bits: Blosc's bit planes, packed bits."""

from __future__ import annotations

import numpy as np


def bit_unshuffle(data: bytes, typesize: int) -> bytes:
    """Blosc's bit planes to elements.

    Plane ``8 * b + k`` holds bit `k` of byte `b` of all elements, the first element in the least
    significant bit of the first byte. Unless the number of whole elements is a multiple of 8,
    all bytes stay where they are; else those behind the last whole element do.
    """
    n = len(data) // typesize
    if n % 8:
        return data
    planes = np.frombuffer(data, np.uint8, n * typesize).reshape(8 * typesize, n // 8)
    bits = np.unpackbits(planes, axis=1, bitorder="little")
    return np.packbits(bits.T, axis=1, bitorder="little").tobytes() + data[n * typesize :]


def bit_shuffle(data: bytes, typesize: int) -> bytes:
    """Elements to Blosc's bit planes: what `bit_unshuffle` undoes."""
    n = len(data) // typesize
    if n % 8:
        return data
    elements = np.frombuffer(data, np.uint8, n * typesize).reshape(n, typesize)
    bits = np.unpackbits(elements, axis=1, bitorder="little")
    return np.packbits(bits.T, axis=1, bitorder="little").tobytes() + data[n * typesize :]


def bit_unpack(data: bytes, first_bit: int, count: int, most_significant_first: bool) -> bytes:
    """One byte, 0 or 1, for each of `count` bits from bit `first_bit` of the stream on.

    numcodecs packs the most significant bit of a byte first, zarr's extension the least.
    """
    packed = np.frombuffer(data, np.uint8)
    bits = np.unpackbits(packed, bitorder="big" if most_significant_first else "little")
    return bits[first_bit : first_bit + count].tobytes()


def bit_pack(data: bytes, padding: str, most_significant_first: bool) -> bytes:
    """A bit for each byte, set where it is not 0: what `bit_unpack` undoes; unused bits are 0.

    With `padding`, "first" or "last", a byte that holds their number stands there.
    """
    bits = np.frombuffer(data, np.uint8) != 0
    packed = np.packbits(bits, bitorder="big" if most_significant_first else "little").tobytes()
    unused = bytes([-len(data) % 8])
    if padding == "none":
        return packed
    return unused + packed if padding == "first" else packed + unused
