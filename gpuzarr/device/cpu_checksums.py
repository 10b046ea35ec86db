"""Checksums of one stream of host memory, by libraries."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable
from typing import Any

import google_crc32c
import zstandard
from numcodecs.fletcher32 import Fletcher32

_FASTEST = -100
_local = threading.local()


def fletcher32(data: Any) -> int:
    """Fletcher-32 as HDF5 computes it; of no bytes it is 0."""
    return int.from_bytes(Fletcher32().encode(data)[-4:], "little") if len(data) else 0


def xxh64(data: Any) -> int:
    """The lower 32 bits of XXH64, its seed 0: what ends a zstd frame that has a checksum."""
    encoder = getattr(_local, "zstd", None)
    if encoder is None:
        encoder = zstandard.ZstdCompressor(level=_FASTEST, write_checksum=True)
        _local.zstd = encoder
    return int.from_bytes(encoder.compress(data)[-4:], "little")


CHECKSUMS: dict[str, Callable[[Any], int]] = {
    "crc32c": google_crc32c.value,
    "crc32": zlib.crc32,
    "adler32": zlib.adler32,
    "fletcher32": fletcher32,
    "xxh64": xxh64,
}
