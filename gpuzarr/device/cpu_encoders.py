"""Compression on the host, one stream at a time: the bytes that numcodecs makes of it."""

from __future__ import annotations

import zlib as python_zlib
from collections.abc import Callable
from typing import Any

import numcodecs.blosc
import numcodecs.lz4
import numcodecs.zstd
import numpy as np

numcodecs.blosc.use_threads = False  # one thread per stream: the batch is what runs in parallel

Encode = Callable[[memoryview], bytes]

MOST = {"blosc": 2**31 - 1 - 16, "lz4": 0x7E000000}
"""Bytes of a stream, where the format sets an end to them."""


def zstd(options: dict[str, Any], dtype: np.dtype) -> Encode:
    """One frame with its content size; level 0 is the library's default.

    python-zstandard's contexts, which can be used again, are faster for small chunks, but bring a
    libzstd of another version, whose frames may differ.
    """
    level, checksum = options["level"], options["checksum"]
    return lambda source: numcodecs.zstd.compress(source, level, checksum)


def gzip(options: dict[str, Any], dtype: np.dtype) -> Encode:
    """One member, of no time and no name, so that equal chunks are equal bytes."""
    level = options["level"]
    return lambda source: python_zlib.compress(source, level, wbits=31)


def zlib(options: dict[str, Any], dtype: np.dtype) -> Encode:
    """RFC 1950."""
    level = options["level"]
    return lambda source: python_zlib.compress(source, level)


def lz4(options: dict[str, Any], dtype: np.dtype) -> Encode:
    """The size as little-endian u32, then one raw block."""
    acceleration = options["acceleration"]

    def encode(source: memoryview) -> bytes:
        _check_size(source, MOST["lz4"])
        return numcodecs.lz4.compress(source, acceleration)  # type: ignore[no-any-return]

    return encode


def blosc(options: dict[str, Any], dtype: np.dtype) -> Encode:
    """A Blosc 1 chunk."""
    cname = options["cname"]
    name = cname.encode("ascii") if isinstance(cname, str) else cname
    clevel, shuffle, blocksize = options["clevel"], options["shuffle"], options["blocksize"]
    typesize = options["typesize"]
    if typesize is None:
        typesize = dtype.itemsize

    def encode(source: memoryview) -> bytes:
        _check_size(source, MOST["blosc"])
        return numcodecs.blosc.compress(  # type: ignore[no-any-return]
            source, name, clevel, shuffle, blocksize, typesize
        )

    return encode


def _check_size(source: memoryview, most: int) -> None:
    if len(source) > most:
        raise ValueError(f"{len(source)} bytes, more than the {most} that its format holds")


ENCODERS: dict[str, Callable[[dict[str, Any], np.dtype], Encode]] = {
    "zstd": zstd,
    "lz4": lz4,
    "gzip": gzip,
    "zlib": zlib,
    "blosc": blosc,
}
"""By name: what makes an encoder of options and the dtype of the elements."""
