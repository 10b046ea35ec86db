"""nvCOMP's batch calls on the emulated device: CPU libraries, stream by stream.

The arguments and statuses are the library's. A stream that breaks its format gets a status only
from the decoders that promise one; the others are undefined on such bytes, so here they raise
`BrokenStreamError`, by which the device dies: a check of ours should have stopped it before.
"""

from __future__ import annotations

import ctypes
import struct
import zlib
from collections.abc import Callable
from typing import Any

import cramjam
import numcodecs.lz4
import numcodecs.zstd
import numpy as np
from numpy.typing import NDArray

from gpuzarr.device import emulated_formats, emulator_runtime

SUCCESS, CANNOT_DECOMPRESS, OUTPUT_TOO_SMALL = 0, 12, 15
"""Of nvcompStatus_t."""

ALIGNMENTS = {
    "lz4": (1, 1),
    "snappy": (1, 1),
    "zstd": (1, 1),
    "deflate": (4, 1),
    "gdeflate": (4, 1),
    "bitcomp": (8, 8),
    "ans": (16, 16),
    "cascaded": (4, 8),
}
"""Of encoded streams and of their targets, as nvCOMP 6.0 asks for them."""


class BrokenStreamError(Exception):
    """A decoder that is undefined on such bytes was given them."""


def decompress(
    codec: str,
    source: NDArray[np.int64],
    size: NDArray[np.int64],
    capacity: NDArray[np.int64],
    target: NDArray[np.int64],
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Decode streams from address to address; status and decoded size of each.

    Raises
    ------
    BrokenStreamError
        If the real library would do anything.
    """
    decode, runtime = _decoder(codec), emulator_runtime.load()
    status, found = np.zeros(len(source), np.int32), np.zeros(len(source), np.int64)
    streams = zip(*(a.tolist() for a in (source, size, capacity, target)), strict=True)
    for number, (begin, nbytes, room, end) in enumerate(streams):
        check_aligned(codec, number, (begin, end), ALIGNMENTS[codec])
        try:
            data = decode(memory(begin, nbytes), room)
        except _RefusedError:
            status[number] = OUTPUT_TOO_SMALL if codec == "bitcomp" else CANNOT_DECOMPRESS
            continue
        found[number] = len(data)
        if len(data):
            ctypes.memmove(end, data, len(data))
            runtime.gzemu_written(end, len(data))
    return status, found


class _RefusedError(Exception):
    """A stream that the library promises to refuse."""


def check_aligned(
    codec: str, number: int, ends: tuple[int, int], alignments: tuple[int, int]
) -> None:
    """Refuse addresses of a stream and of its target that the library would not take."""
    for address, alignment in zip(ends, alignments, strict=True):
        if address % alignment:
            raise BrokenStreamError(f"{codec}: stream {number} at {address:#x} is not aligned")


def memory(address: int, nbytes: int) -> bytes:
    """What is there."""
    return ctypes.string_at(address, nbytes) if nbytes else b""


def _lz4(data: bytes, room: int) -> Any:
    if room == 0 and data == b"\0":
        return b""
    try:
        return numcodecs.lz4.decompress(struct.pack("<I", room) + data)
    except (RuntimeError, ValueError) as error:
        raise _RefusedError from error


def _zstd(data: bytes, room: int) -> Any:
    if len(data) > 8 and data[4] & 4:  # a checksum, which the library does not look at
        data = data[:4] + bytes([data[4] & ~4]) + data[5:-4]
    try:
        return _fitting(numcodecs.zstd.decompress(data), room, "zstd")
    except (RuntimeError, ValueError) as error:
        raise BrokenStreamError(f"zstd: {error}") from error


def _deflate(data: bytes, room: int) -> Any:
    stream = zlib.decompressobj(-15)
    try:
        found = stream.decompress(data, room + 1)
    except zlib.error as error:
        raise BrokenStreamError(f"deflate: {error}") from error
    if not stream.eof and len(found) <= room:
        raise BrokenStreamError("deflate: a stream that ends too early")
    return _fitting(found, room, "deflate")


def _snappy(data: bytes, room: int) -> Any:
    try:
        return _fitting(bytes(cramjam.snappy.decompress_raw(data)), room, "snappy")
    except cramjam.DecompressionError as error:
        raise BrokenStreamError(f"snappy: {error}") from error


def _fitting(found: Any, room: int, codec: str) -> Any:
    if len(found) > room:
        raise _RefusedError
    return found


class _StandIn:
    """A decoder of one batch for a format that only nvCOMP knows."""

    def __init__(self, codec: str) -> None:
        self._codec, self._element = codec, 0

    def __call__(self, data: bytes, room: int) -> Any:
        """A stream; of Cascaded, all of a batch have elements of one size."""
        codec = self._codec
        try:
            found = emulated_formats.decode(codec, data)
        except emulated_formats.UnknownStreamError as error:
            if codec in ("gdeflate", "ans"):
                raise _RefusedError from error
            raise BrokenStreamError(str(error)) from error
        except emulated_formats.DamagedStreamError as error:
            if codec == "ans":
                raise _RefusedError from error
            raise BrokenStreamError(str(error)) from error
        element = emulated_formats.element_of(data)
        if codec == "cascaded" and self._element not in (0, element):
            raise BrokenStreamError(f"cascaded: elements of {self._element} and {element} bytes")
        self._element = element
        return _fitting(found, room, codec)


def _decoder(codec: str) -> Callable[[bytes, int], Any]:
    return _StandIn(codec) if codec in emulated_formats.NAMES else _DECODERS[codec]


_DECODERS: dict[str, Callable[[bytes, int], Any]] = {
    "lz4": _lz4,
    "zstd": _zstd,
    "deflate": _deflate,
    "snappy": _snappy,
}
