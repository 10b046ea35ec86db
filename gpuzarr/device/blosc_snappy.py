"""Blosc 1 chunks with snappy inside, which numcodecs' build of c-blosc does not decode.

Format: https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst, with the offsets of
blocks counted from the start of the chunk. The header has been checked before.
"""

from __future__ import annotations

import struct

import cramjam
import numpy as np
from numpy.typing import NDArray

CODEC = 2
"""Number of snappy in the flags of a header."""

_SHUFFLE, _BITSHUFFLE, _DONT_SPLIT = 0x01, 0x04, 0x10
_MAX_SPLITS, _MIN_SPLIT = 16, 128


def decompress(source: memoryview, target: memoryview) -> None:
    """Decode a chunk that is not merely stored. Raises ValueError where it breaks the format."""
    flags, typesize = source[2], source[3]
    nbytes, blocksize = struct.unpack_from("<ii", source, 4)
    blocks = -(-nbytes // blocksize)
    starts = struct.unpack_from(f"<{blocks}i", source, 16)
    splittable = (
        not flags & _DONT_SPLIT and typesize <= _MAX_SPLITS and blocksize // typesize >= _MIN_SPLIT
    )
    for number, position in enumerate(starts):
        begin = number * blocksize
        block = np.empty(min(blocksize, nbytes - begin), np.uint8)
        is_tail = len(block) < blocksize
        splits = typesize if splittable and not is_tail else 1
        if len(block) % splits:
            raise ValueError(f"a block of {len(block)} bytes in {splits} streams")
        _streams(source, position, block.reshape(splits, -1))
        target[begin : begin + len(block)] = _unfilter(block, flags, typesize).data


def _streams(source: memoryview, position: int, out: NDArray[np.uint8]) -> None:
    for stream in out:
        if not 16 <= position <= len(source) - 4:
            raise ValueError(f"a stream at {position} in {len(source)} bytes")
        (size,) = struct.unpack_from("<i", source, position)
        position += 4
        if not 0 <= size <= len(source) - position:
            raise ValueError(f"a stream of {size} bytes at {position} in {len(source)}")
        payload = source[position : position + size]
        position += size
        if size == len(stream):
            stream[:] = np.frombuffer(payload, np.uint8)
            continue
        decoded = np.frombuffer(cramjam.snappy.decompress_raw(payload), np.uint8)
        if len(decoded) != len(stream):
            raise ValueError(f"a stream of {len(decoded)} bytes instead of {len(stream)}")
        stream[:] = decoded


def _unfilter(block: NDArray[np.uint8], flags: int, typesize: int) -> NDArray[np.uint8]:
    count = len(block) // typesize
    whole = count * typesize
    if flags & _SHUFFLE and typesize > 1 and count:
        elements = block[:whole].reshape(typesize, count).T.ravel()
        return np.concatenate([elements, block[whole:]])
    if flags & _BITSHUFFLE and count and count % 8 == 0:
        planes = np.unpackbits(
            block[:whole].reshape(typesize, 8, count // 8), axis=2, bitorder="little"
        )
        elements = np.packbits(planes.transpose(2, 0, 1), axis=2, bitorder="little").ravel()
        return np.concatenate([elements, block[whole:]])
    return block
