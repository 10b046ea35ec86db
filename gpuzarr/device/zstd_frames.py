"""Zstandard frames, read without decoding: which chunks are one plain frame of a known size.

A batch decoder takes plain frames only: it neither looks behind the first frame nor needs to
allocate by a size that only the data tell. Everything else goes to the reference decoder.

Format: RFC 8878, section 3.1.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAGIC = 0xFD2FB528
_CONTENT_SIZE_BYTES = np.array([0, 2, 4, 8])
_BITS_OF_BYTES = np.array([(1 << 8 * n) - 1 if n < 8 else -1 for n in range(9)])
_DICTIONARY_BYTES = np.array([0, 1, 2, 4])
_RLE, _COMPRESSED, _RESERVED = 1, 2, 3
_LARGEST_BLOCK = 128 << 10


def plain_frames(
    arena: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    sizes: NDArray[np.int64],
    expected: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Which streams are exactly one frame that declares the expected content size.

    The frame must need no dictionary, and end where its stream ends. Blocks have at most 128 KiB,
    and those that are not compressed no more than the expected bytes together.
    """
    ends = offsets + sizes
    plain = sizes >= 9
    if not plain.any():
        return plain
    magic = integers_at(arena, offsets, 4, plain)
    descriptor = integers_at(arena, offsets + 4, 1, plain)
    single_segment = (descriptor >> 5) & 1
    dictionary = _DICTIONARY_BYTES[descriptor & 3]
    flag = descriptor >> 6
    content_bytes = np.where((flag == 0) & (single_segment == 1), 1, _CONTENT_SIZE_BYTES[flag])
    plain &= (magic == _MAGIC) & (dictionary == 0) & (content_bytes > 0) & (descriptor & 8 == 0)

    position = offsets + 5 + (1 - single_segment)
    plain &= position + content_bytes <= ends
    mask = _BITS_OF_BYTES[content_bytes]
    content = (integers_at(arena, position, 8, plain) & mask) + np.where(content_bytes == 2, 256, 0)
    plain &= content == expected
    position = position + content_bytes

    running, plain_bytes = plain.copy(), np.zeros(len(sizes), np.int64)
    while running.any():
        plain &= ~(running & (position + 3 > ends))  # cut where a block should begin
        running &= plain
        header = integers_at(arena, position, 3, running)
        kind, size = (header >> 1) & 3, header >> 3
        position = np.where(running, position + 3 + np.where(kind == _RLE, 1, size), position)
        plain_bytes += np.where(running & (kind != _COMPRESSED), size, 0)
        plain &= ~(running & ((kind == _RESERVED) | (size > _LARGEST_BLOCK)))
        plain &= plain_bytes <= expected
        running &= plain & (header & 1 == 0) & (position <= ends)
    checksum = np.where((descriptor >> 2) & 1, 4, 0)
    whole: NDArray[np.bool_] = plain & (position + checksum == ends)
    return whole


def integers_at(
    arena: Any, position: NDArray[Any], nbytes: int, where: NDArray[np.bool_]
) -> NDArray[Any]:
    """Little-endian integers of `nbytes` at these positions; 0 where there is none to read."""
    at = np.where(where, position, 0)
    value = np.zeros(len(at), np.int64)
    if not where.any():
        return value
    for byte in range(nbytes):
        picked = arena[np.minimum(at + byte, len(arena) - 1)].astype(np.int64)
        value |= picked << (8 * byte)
    return np.where(where, value, 0)


MOST_WINDOW = (1 << 27) + 1
"""Bytes of history that libzstd keeps for a frame that it decodes piece by piece, at most."""

_SKIPPABLE = 0x184D2A50


def largest_window(data: memoryview) -> int:
    """Bytes of history that the frames of a stream need, at most, up to where they are damaged."""
    at, largest = 0, 0
    while at + 6 <= len(data):
        magic = int.from_bytes(data[at : at + 4], "little")
        if magic & ~15 == _SKIPPABLE:
            at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
            continue
        if magic != _MAGIC:
            break
        descriptor = data[at + 4]
        is_single, flag = descriptor >> 5 & 1, descriptor >> 6
        window = _window(data[at + 5])
        at += 6 - is_single + int(_DICTIONARY_BYTES[descriptor & 3])
        nbytes = 1 if flag == 0 and is_single else int(_CONTENT_SIZE_BYTES[flag])
        if is_single:
            window = int.from_bytes(data[at : at + nbytes], "little") + (256 if nbytes == 2 else 0)
        largest, at, is_last = max(largest, window), at + nbytes, False
        while not is_last and at + 3 <= len(data):
            header = int.from_bytes(data[at : at + 3], "little")
            is_last = bool(header & 1)
            at += 3 + (1 if header >> 1 & 3 == _RLE else header >> 3)
        if not is_last:
            break
        at += 4 * (descriptor >> 2 & 1)
    return largest


def _window(descriptor: int) -> int:
    base = 1 << (10 + (descriptor >> 3))
    return base + base // 8 * (descriptor & 7)
