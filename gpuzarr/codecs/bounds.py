"""Bounds on what codecs that are not ours make of a chunk: memory follows from its size, no header.

A codec that is not named here takes memory in proportion to what it is given, as far as is known.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from gpuzarr.codecs.base import most_compressed
from gpuzarr.errors import ChunkSizeError, StreamError
from gpuzarr.spec import CodecConfig

Decode = Callable[[Any, int], Any]
"""Decode a chunk to at most so many bytes."""

_COMPRESSORS = ("bz2", "lzma", "pcodec", "zfpy")
_COUNT = struct.Struct("<I")
"""In front of the elements of vlen-utf8, vlen-bytes and vlen-array."""


def bounded(config: CodecConfig) -> Decode | None:
    """The decoder of such a codec that takes a limit; None where its own object decodes it."""
    codec = getattr(config.instance, "_codec", config.instance)
    place = f"{type(codec).__module__}.{type(codec).__qualname__}"
    if place not in ("numcodecs.bz2.BZ2", "numcodecs.lzma.LZMA"):
        return None
    from gpuzarr.device import cpu_unsized  # whose libraries come with the first array

    if place == "numcodecs.bz2.BZ2":
        return cpu_unsized.bz2
    options = {"format": codec.format, "filters": codec.filters}
    return lambda chunk, most: cpu_unsized.lzma(chunk, most, **options)


def most_encoded(name: str, nbytes: int) -> int | None:
    """Bytes that the codec of this name makes of `nbytes`, at most; None where they may be any."""
    is_compressor = name.removeprefix("numcodecs.") in _COMPRESSORS
    return most_compressed(nbytes) if is_compressor else None


def check_count(name: str, chunk: Any, count: int) -> None:
    """Refuse a chunk that says it has more than `count` elements, for which memory would be taken.

    Raises
    ------
    StreamError
        If it does.
    """
    if name.startswith(("vlen-", "numcodecs.vlen-")) and len(chunk) >= _COUNT.size:
        (found,) = _COUNT.unpack(bytes(chunk[: _COUNT.size]))
        if found > count:
            raise StreamError(0, f"expected {count} elements, found {found}", ChunkSizeError)
