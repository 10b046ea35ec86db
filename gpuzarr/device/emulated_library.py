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

from gpuzarr.device import emulator_runtime

SUCCESS, CANNOT_DECOMPRESS = 0, 12
"""Of nvcompStatus_t."""

ALIGNMENTS = {"lz4": 1, "snappy": 1, "zstd": 1, "deflate": 4}
"""Of compressed streams, as nvCOMP 6.0 asks for them."""


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
    decode, runtime = _DECODERS[codec], emulator_runtime.load()
    status, found = np.zeros(len(source), np.int32), np.zeros(len(source), np.int64)
    streams = zip(*(a.tolist() for a in (source, size, capacity, target)), strict=True)
    for number, (begin, nbytes, room, end) in enumerate(streams):
        if begin % ALIGNMENTS[codec]:
            raise BrokenStreamError(f"{codec}: stream {number} at {begin:#x} is not aligned")
        try:
            data = decode(_memory(begin, nbytes), room)
        except _RefusedError:
            status[number] = CANNOT_DECOMPRESS
            continue
        found[number] = len(data)
        if len(data):
            ctypes.memmove(end, data, len(data))
            runtime.gzemu_written(end, len(data))
    return status, found


class _RefusedError(Exception):
    """A stream that the library promises to refuse."""


def _memory(address: int, nbytes: int) -> bytes:
    return ctypes.string_at(address, nbytes) if nbytes else b""


def _lz4(data: bytes, room: int) -> Any:
    if room == 0 and data == b"\0":
        return b""
    try:
        return numcodecs.lz4.decompress(struct.pack("<I", room) + data)
    except (RuntimeError, ValueError) as error:
        raise _RefusedError from error


def _zstd(data: bytes, room: int) -> Any:
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


_DECODERS: dict[str, Callable[[bytes, int], Any]] = {
    "lz4": _lz4,
    "zstd": _zstd,
    "deflate": _deflate,
    "snappy": _snappy,
}
