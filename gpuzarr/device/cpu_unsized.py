"""Decompression of streams whose size only they know, up to a limit.

Nothing that a stream declares or expands to takes more memory than the limit, and what is larger is
a `SizeError`. Up to it, the verdict is that of the reference decoder.
"""

from __future__ import annotations

import bz2 as bz2_library
import lzma as lzma_library
import re
import struct
import zlib as zlib_library
from collections.abc import Callable
from gzip import GzipFile
from io import BytesIO
from typing import Any

import numcodecs.zlib
import numcodecs.zstd

from gpuzarr.device import cpu_decoders
from gpuzarr.errors import SizeError

_PART, _FIRST, _GROWTH = 1 << 20, 64 << 10, 8

_LZ4_RATIO, _BLOSC_RATIO = 1 << 8, 1 << 15
"""Most bytes that one byte can stand for: a match in lz4, a block of one value in zstd."""

_DECLARED, _FOUND = re.compile(r"expected at least (\d+)"), re.compile(r"got (\d+)$")
"""What numcodecs says of the sizes of zstd frames, all of them together."""


def zstd(source: memoryview, most: int) -> Any:
    """Zstandard frames; if not all of them tell their size, into room that grows."""
    try:
        numcodecs.zstd.decompress(source, bytearray(1))
    except (RuntimeError, ValueError) as error:
        declared = _DECLARED.search(str(error))
        if declared:
            _check(int(declared[1]), most)
        elif "too small" in str(error):
            return _zstd_growing(source, most)
        elif not _FOUND.search(str(error)):
            raise
    return numcodecs.zstd.decompress(source)


def _zstd_growing(source: memoryview, most: int) -> Any:
    cpu_decoders.check_window(source)
    room = min(most, max(_FIRST, 4 * len(source)))
    while True:
        target = bytearray(room)
        try:
            numcodecs.zstd.decompress(source, target)
        except RuntimeError as error:
            fewer = _FOUND.search(str(error))
            if fewer:
                return memoryview(target)[: int(fewer[1])]
            if "too small" not in str(error):
                raise
            if room == most:
                raise SizeError(_words(most)) from error
            room = min(most, _GROWTH * room)
        else:
            return target


def gzip(source: memoryview, most: int) -> Any:
    """RFC 1952, as numcodecs reads it."""
    found = bytearray()
    with GzipFile(fileobj=BytesIO(source)) as members:
        while part := members.read(_PART):
            _check(len(found) + len(part), most)
            found += part
    return found


def zlib(source: memoryview, most: int) -> Any:
    """RFC 1950."""
    stream = zlib_library.decompressobj()
    found = stream.decompress(source, most + 1)
    _check(len(found), most)
    return found if stream.eof else numcodecs.zlib.Zlib().decode(source)


def bz2(source: memoryview, most: int) -> Any:
    """bzip2, one stream or several, what is no stream behind them ignored, as Python's bz2 does."""
    if not len(source):
        return b""
    return _streams(source, most, bz2_library.BZ2Decompressor, OSError)


def lzma(source: memoryview, most: int, **options: Any) -> Any:
    """lzma of numcodecs' `options`, in the same way, as Python's lzma does."""

    def begin() -> Any:
        return lzma_library.LZMADecompressor(**options)

    return _streams(source, most, begin, lzma_library.LZMAError)


def _streams(
    data: memoryview | bytes, most: int, begin: Callable[[], Any], refusal: type[Exception]
) -> bytearray:
    found, is_first = bytearray(), True
    while is_first or len(data):
        stream = begin()
        try:
            part = stream.decompress(data, max_length=most + 1 - len(found))
        except refusal:
            if is_first:
                raise
            break
        found += part
        _check(len(found), most)
        if not stream.eof:
            raise ValueError("a stream that ends before its end is marked")
        data, is_first = stream.unused_data, False
    return found


def _sized_by_header(decode: Callable[[memoryview, memoryview], None], at: int, ratio: int) -> Any:
    def decode_unsized(source: memoryview, most: int) -> bytearray:
        if len(source) < at + 4:
            raise ValueError(f"{len(source)} bytes, too few for its header")
        (declared,) = struct.unpack_from("<I", source, at)
        if declared > ratio * len(source):
            raise ValueError(f"a header that declares {declared} bytes from {len(source)}")
        _check(declared, most)
        target = bytearray(declared)
        decode(source, memoryview(target))
        return target

    return decode_unsized


def _check(nbytes: int, most: int) -> None:
    if nbytes > most:
        raise SizeError(_words(most))


def _words(most: int) -> str:
    return f"expected at most {most} bytes, found more"


UNSIZED: dict[str, Callable[[memoryview, int], Any]] = {
    "zstd": zstd,
    "lz4": _sized_by_header(cpu_decoders.lz4, 0, _LZ4_RATIO),
    "gzip": gzip,
    "zlib": zlib,
    "blosc": _sized_by_header(cpu_decoders.blosc, 4, _BLOSC_RATIO),
}
"""By the names of the device's decompressors; they are given the limit in bytes."""
