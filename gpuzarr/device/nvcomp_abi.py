"""The C interface of nvCOMP: statuses, structures and what each codec takes (docs/nvcomp.md).

All options are of 64 bytes, passed by value; what is not named has to be zero.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum
from typing import NamedTuple

from gpuzarr.errors import UnsupportedError

CUDA_BACKEND = 2
"""Kernels, and never Blackwell's engine, which reports success on corrupt streams."""

ANY_ELEMENT = 0xFF
"""Of ANS since 6.0: the stream says of what type it is."""


class NvcompStatus(IntEnum):
    """What a call gives, and what it sets for each stream."""

    SUCCESS = 0
    INVALID_VALUE = 10
    NOT_SUPPORTED = 11
    CANNOT_DECOMPRESS = 12
    BAD_CHECKSUM = 13
    CHECKSUM_NOT_VERIFIED = 14
    OUTPUT_TOO_SMALL = 15
    WRONG_HEADER_LENGTH = 16
    MISALIGNED = 17
    CHUNK_TOO_LARGE = 18
    CANNOT_COMPRESS = 19
    WRONG_INPUT_LENGTH = 20
    TOO_MANY_CHUNKS = 21
    TOO_MANY_PARTS = 22  # this and the next two since 5.3
    TOO_FEW_PARTS = 23
    OUTPUT_MISALIGNED = 24
    CUDA_ERROR = 1000
    INTERNAL_ERROR = 10000


# --- structures -----------------------------------------------------------------------------------

_int, _size = ctypes.c_int32, ctypes.c_size_t


class Properties(ctypes.Structure):
    """What the library tells of itself: 6000 is 6.0.0, 13040 is CUDA 13.4."""

    _fields_ = [("version", ctypes.c_uint32), ("cuda", ctypes.c_uint32)]


class Requirements(ctypes.Structure):
    """What addresses have to be multiples of."""

    _fields_ = [("input", _size), ("output", _size), ("temp", _size)]


class Options(ctypes.Structure):
    """For decoders with one implementation."""

    _fields_ = [("backend", _int), ("unused", ctypes.c_uint8 * 60)]


class SortingOptions(ctypes.Structure):
    """Of deflate and snappy; the hardware may take streams in order of their size."""

    _fields_ = [("backend", _int), ("sorts", _int), ("unused", ctypes.c_uint8 * 56)]


class GzipOptions(ctypes.Structure):
    """Method 0 takes streams as they lie; 1 looks ahead, and asks for alignment."""

    _fields_ = [
        ("backend", _int),
        ("method", _int),
        ("sorts", _int),
        ("unused", ctypes.c_uint8 * 52),
    ]


class Lz4Options(ctypes.Structure):
    """A bit shuffle of nvCOMP's own may be undone, of elements of a type."""

    _fields_ = [
        ("backend", _int),
        ("sorts", _int),
        ("element", _int),
        ("bit_shuffle", _int),
        ("unused", ctypes.c_uint8 * 48),
    ]


class AnsOptions(ctypes.Structure):
    """In 5.2 all but the backend is unused, and in 5.3 what is behind `most_parts`."""

    _fields_ = [
        ("backend", _int),
        ("element", _int),
        ("most_parts", ctypes.c_uint8),
        ("states", ctypes.c_uint8),
        ("trusts", ctypes.c_uint8),
        ("unused", ctypes.c_uint8 * 53),
    ]


class CascadedOptions(ctypes.Structure):
    """In 5.x all but the backend is unused; mode 0 takes what the stream says."""

    _fields_ = [
        ("backend", _int),
        ("gap", _int),
        ("element", _int),
        ("mode", _int),
        ("codecs", ctypes.c_uint64),
        ("encodings", ctypes.c_uint64),
        ("unused", ctypes.c_uint8 * 32),
    ]


# --- structures for compressing -------------------------------------------------------------------


class NoCompressOptions(ctypes.Structure):
    """Of Snappy and Zstd, which has no level."""

    _fields_ = [("unused", ctypes.c_uint8 * 64)]


class Lz4CompressOptions(ctypes.Structure):
    """Elements may be shuffled by bits, which is nvCOMP's own and no Blosc."""

    _fields_ = [("element", _int), ("bit_shuffle", _int), ("unused", ctypes.c_uint8 * 56)]


class DeflateCompressOptions(ctypes.Structure):
    """Of Deflate, Gdeflate and, since 5.3, Gzip: 0 codes bytes only, 5 searches longest."""

    _fields_ = [("algorithm", _int), ("unused", ctypes.c_uint8 * 60)]


class BitcompCompressOptions(ctypes.Structure):
    """`delta` and `mode`, of lossy compression, are unused before 6.0."""

    _fields_ = [
        ("algorithm", _int),
        ("element", _int),
        ("delta", ctypes.c_double),
        ("mode", _int),
        ("unused", ctypes.c_uint8 * 44),
    ]


class AnsCompressOptions(ctypes.Structure):
    """`most_parts` is unused before 5.3, and what is behind it before 6.0."""

    _fields_ = [
        ("kind", _int),
        ("element", _int),
        ("most_parts", ctypes.c_uint8),
        ("states", ctypes.c_uint8),
        ("sampling", ctypes.c_uint8),
        ("unused", ctypes.c_uint8 * 53),
    ]


class CascadedCompressOptions(ctypes.Structure):
    """Since 6.0; mode 1 picks encodings by itself, of those in the masks."""

    _fields_ = [
        ("element", _int),
        ("mode", _int),
        ("codecs", ctypes.c_uint64),
        ("encodings", ctypes.c_uint64),
        ("fine_encodings", ctypes.c_uint64),
        ("level", ctypes.c_uint8),
        ("unused", ctypes.c_uint8 * 31),
    ]


class EarlierCascadedCompressOptions(ctypes.Structure):
    """Of 5.x."""

    _fields_ = [
        ("part_bytes", _size),
        ("element", _int),
        ("run_lengths", _int),
        ("deltas", _int),
        ("packs", _int),
        ("unused", ctypes.c_uint8 * 40),
    ]


# --- codecs ---------------------------------------------------------------------------------------


class Codec(NamedTuple):
    """Name in the library's functions, structures of options, and bytes of a stream at most.

    `largest` counts decoded bytes, `largest_chunk` bytes to compress: the smaller one where the
    headers say two (docs/nvcomp.md).
    """

    symbol: str
    options: type[ctypes.Structure]
    largest: int
    compress_options: type[ctypes.Structure]
    largest_chunk: int


_16M = 1 << 24

CODECS = {
    "lz4": Codec("LZ4", Lz4Options, (1 << 32) - 1, Lz4CompressOptions, _16M),
    "zstd": Codec("Zstd", Options, (1 << 31) - 1, NoCompressOptions, _16M),
    "deflate": Codec("Deflate", SortingOptions, (1 << 32) - 1, DeflateCompressOptions, 1 << 16),
    "gzip": Codec("Gzip", GzipOptions, (1 << 32) - 1, DeflateCompressOptions, (1 << 31) - 32768),
    "snappy": Codec("Snappy", SortingOptions, (1 << 31) - 1, NoCompressOptions, _16M),
    "gdeflate": Codec("Gdeflate", Options, (1 << 32) + 288, DeflateCompressOptions, 1 << 16),
    "bitcomp": Codec("Bitcomp", Options, 1 << 25, BitcompCompressOptions, _16M),
    "ans": Codec("ANS", AnsOptions, 1 << 25, AnsCompressOptions, _16M),
    "cascaded": Codec("Cascaded", CascadedOptions, (1 << 24) + 8, CascadedCompressOptions, _16M),
}

ELEMENTS = {"i1": 0, "u1": 1, "i2": 2, "u2": 3, "i4": 4, "u4": 5, "i8": 6, "u8": 7}
"""Types of elements, by NumPy's kind and size; those of floats differ between versions."""


def codec_named(codec: str) -> Codec:
    """What is known of a codec.

    Raises
    ------
    UnsupportedError
        If nvCOMP has no such codec.
    """
    if codec not in CODECS:
        raise UnsupportedError(f"nvCOMP has no codec {codec!r}, only {sorted(CODECS)}.")
    return CODECS[codec]
