"""nvCOMP's compressors on the emulated device: CPU libraries, stream by stream.

Alignments, limits and the room that targets need are those of nvCOMP 6.0 (docs/nvcomp.md). It
checks none of them in a batch call, so whoever breaks one gets `BrokenStreamError`, by which the
device dies.
"""

from __future__ import annotations

import ctypes
import gzip
import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import cramjam
import numcodecs.lz4
import numcodecs.zstd
import numpy as np
from numpy.typing import NDArray

from gpuzarr.device import emulated_formats, emulator_runtime
from gpuzarr.device.emulated_library import BrokenStreamError, check_aligned, memory

Fields = Mapping[str, int]


class Requirements(NamedTuple):
    """Of chunks and of their targets: alignments, and bytes that a target needs."""

    input: int
    output: int
    room: int


class _Codec(NamedTuple):
    encode: Callable[[bytes, Fields], bytes]
    largest: int
    alignments: tuple[int, int]
    room: Callable[[int], int]


def requirements(codec: str, largest: int, fields: Fields) -> Requirements:
    """What chunks of up to `largest` bytes need."""
    known = _CODECS[codec]
    source, target = known.alignments
    if codec in ("bitcomp", "cascaded"):
        source = _element(codec, fields)
    return Requirements(source, target, known.room(largest))


def largest_chunk(codec: str) -> int:
    """Bytes that a chunk may have."""
    return _CODECS[codec].largest


def compress(
    codec: str,
    source: NDArray[np.int64],
    size: NDArray[np.int64],
    target: NDArray[np.int64],
    room: int,
    fields: Fields,
) -> NDArray[np.int64]:
    """Encode chunks from address to address, each into `room` bytes; the encoded sizes.

    Raises
    ------
    BrokenStreamError
        If the real library would do anything.
    """
    known, runtime = _CODECS[codec], emulator_runtime.load()
    largest = int(size.max(initial=0))
    needed, found = requirements(codec, largest, fields), np.zeros(len(source), np.int64)
    if largest > known.largest:
        raise BrokenStreamError(f"{codec}: a chunk of {largest} bytes, of {known.largest} at most")
    if room < needed.room:
        raise BrokenStreamError(f"{codec}: targets of {room} bytes, where {needed.room} are needed")
    chunks = zip(source.tolist(), size.tolist(), target.tolist(), strict=True)
    for number, (begin, nbytes, end) in enumerate(chunks):
        check_aligned(codec, number, (begin, end), needed[:2])
        if nbytes % _element(codec, fields):
            raise BrokenStreamError(f"{codec}: chunk {number} is no number of whole elements")
        data = known.encode(memory(begin, nbytes), fields)
        found[number] = len(data)
        ctypes.memmove(end, data, len(data))
        runtime.gzemu_written(end, len(data))
    return found


def _element(codec: str, fields: Fields) -> int:
    """Bytes of an element, as nvCOMP numbers its types."""
    if codec not in ("bitcomp", "cascaded"):
        return 1
    return 1 << fields.get("element", 1 if codec == "bitcomp" else 5) // 2


# --- codecs ---------------------------------------------------------------------------------------

_LEVELS = (1, 1, 3, 3, 7, 9)
"""zlib's levels for the algorithms of Deflate, of which 0 searches for no matches."""


def _deflate(data: bytes, fields: Fields) -> bytes:
    algorithm = fields.get("algorithm", 1)
    strategy = zlib.Z_DEFAULT_STRATEGY if algorithm else zlib.Z_HUFFMAN_ONLY
    stream = zlib.compressobj(_LEVELS[algorithm], zlib.DEFLATED, -15, 8, strategy)
    return stream.compress(data) + stream.flush()


def _gzip(data: bytes, fields: Fields) -> bytes:
    return gzip.compress(data, _LEVELS[fields.get("algorithm", 1)], mtime=0)


def _lz4(data: bytes, fields: Fields) -> bytes:
    return bytes(numcodecs.lz4.compress(data)[4:])


def _zstd(data: bytes, fields: Fields) -> bytes:
    return bytes(numcodecs.zstd.compress(data, 3))


def _snappy(data: bytes, fields: Fields) -> bytes:
    return bytes(cramjam.snappy.compress_raw(data))


def _stand_in(codec: str) -> Callable[[bytes, Fields], bytes]:
    def encode(data: bytes, fields: Fields) -> bytes:
        level = _LEVELS[fields.get("algorithm", 1)] if codec == "gdeflate" else 1
        return emulated_formats.encode(codec, data, _element(codec, fields), level)

    return encode


def _parts(nbytes: int, each: int) -> int:
    return -(-nbytes // each)


def _zstd_room(n: int) -> int:
    return n + (6 if n < 256 else 8 if n < 65792 else 10) + 3 * max(1, _parts(n, 65536))


_16M = 1 << 24
_CODECS = {
    "lz4": _Codec(_lz4, _16M, (1, 1), lambda n: 8 * _parts(n + n // 255 + 2, 8)),
    "snappy": _Codec(_snappy, _16M, (1, 1), lambda n: 32 + n + n // 6),
    "zstd": _Codec(_zstd, _16M, (4, 1), _zstd_room),
    "deflate": _Codec(_deflate, 1 << 16, (1, 8), lambda n: max(64, 24 + 2 * n + n // 5)),
    "gzip": _Codec(_gzip, (1 << 31) - 32768, (1, 8), lambda n: 24 + 74152 * _parts(n, 32768)),
    "gdeflate": _Codec(_stand_in("gdeflate"), 1 << 16, (1, 4), lambda n: 288 + 4 * (n // 2)),
    "bitcomp": _Codec(_stand_in("bitcomp"), _16M, (1, 8), lambda n: 32 + 8200 * _parts(n, 8192)),
    "ans": _Codec(_stand_in("ans"), _16M, (16, 16), lambda n: max(3616, n + n // 4)),
    "cascaded": _Codec(_stand_in("cascaded"), _16M, (4, 4), lambda n: 8 + 4 * _parts(n, 4)),
}
"""Rooms are exactly the library's, but of Deflate and ANS, where they are no more than its."""
