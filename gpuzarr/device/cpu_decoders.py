"""Decompression on the host, one stream at a time, into memory of a known size.

The verdict on odd or damaged bytes is always the reference decoder's, that is numcodecs': the
fast path is taken for plain streams, and whatever it does not like is given to the reference.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from gzip import GzipFile
from io import BytesIO
from typing import Any, cast

import numcodecs.blosc
import numcodecs.lz4
import numcodecs.shuffle
import numcodecs.zlib
import numcodecs.zstd
import numpy as np
import zstandard
from isal import isal_zlib

from gpuzarr.batch import Batch
from gpuzarr.device import blosc_snappy
from gpuzarr.device.zstd_frames import MOST_WINDOW, largest_window, plain_frames
from gpuzarr.errors import SizeError

numcodecs.blosc.use_threads = False  # one thread per stream: the batch is what runs in parallel


_SMALL = 128 << 10
"""Up to this decoded size a reused context, and one call for many frames, beat single-shot
decoding (docs/decisions/0002)."""

_local = threading.local()


def zstd(source: memoryview, target: memoryview) -> None:
    """Zstandard frames (RFC 8878)."""
    expected = len(target)
    if not expected:  # behind an empty frame the fast path would look for no other
        _copy(numcodecs.zstd.decompress(source), target)
        return
    try:
        declared = zstandard.frame_content_size(source)
    except zstandard.ZstdError:
        declared = 0
    if declared > expected:
        _same(declared, expected)
    if declared == expected:
        if expected > _SMALL:
            _zstd_within(source, target)
            return
        try:
            target[:] = _zstd_context().decompress(
                source, max_output_size=expected, allow_extra_data=False
            )
            return
        except (zstandard.ZstdError, ValueError):
            pass
    # Several frames, one of unknown size, or something wrong.
    _zstd_within(source, target)
    if declared >= 0:  # only a size that is unknown was compared
        _copy(numcodecs.zstd.decompress(source), target)
    else:
        check_window(source)


def check_window(source: memoryview) -> None:
    """Without a size, the reference decodes a frame piece by piece, within a limit of memory."""
    window = largest_window(source)
    if window > MOST_WINDOW:
        raise ValueError(f"a frame that needs {window} bytes of history")


def _zstd_within(source: memoryview, target: memoryview) -> None:
    """Decode what fits the target, whatever the frames declare."""
    try:
        numcodecs.zstd.decompress(source, target)
    except (RuntimeError, ValueError) as error:
        if "too small" in str(error):
            raise SizeError(f"expected {len(target)} bytes, found more") from error
        if "expected to decompress" in str(error):
            raise SizeError(f"expected {len(target)} bytes, found fewer") from error
        raise


def zstd_batch(batch: Batch, into: Batch) -> bool:
    """Decode all frames in one call, if all are plain, small ones; whether it was done.

    A False means nothing: the frames are then decoded one by one, which tells what is wrong.
    """
    if len(batch) < 2 or int(into.sizes.max()) > _SMALL:
        return False
    if int(into.sizes.min()) == 0:  # the library frees an empty result twice
        return False
    if not plain_frames(batch.arena, batch.offsets, batch.sizes, into.sizes).all():
        return False
    table = np.stack([batch.offsets, batch.sizes], axis=1).astype("<u8").tobytes()
    frames = zstandard.BufferWithSegments(memoryview(batch.arena), table)
    try:
        decoded = _zstd_context().multi_decompress_to_buffer(
            frames, decompressed_sizes=into.sizes.astype("<u8").tobytes(), threads=1
        )
    except (zstandard.ZstdError, ValueError, MemoryError):
        return False
    target = memoryview(into.arena)
    for slot, (begin, end) in enumerate(into.spans()):
        target[begin:end] = decoded[slot]
    return True


def _zstd_context() -> Any:
    try:
        return _local.zstd
    except AttributeError:
        context = _local.zstd = zstandard.ZstdDecompressor()
        return context


def lz4(source: memoryview, target: memoryview) -> None:
    """A little-endian u32 size, then one raw block, as numcodecs writes it."""
    if len(source) < 4:
        raise ValueError(f"{len(source)} bytes, too few for its header")
    (declared,) = struct.unpack_from("<I", source)
    _same(declared, len(target))
    numcodecs.lz4.decompress(source, target)


def gzip(source: memoryview, target: memoryview) -> None:
    """RFC 1952."""
    if not _inflate(source, target, 31, whole=True):
        with GzipFile(fileobj=BytesIO(source)) as members:
            data = members.read(len(target) + 1)
        _check_room(data, target)
        _copy(data, target)


def zlib(source: memoryview, target: memoryview) -> None:
    """RFC 1950."""
    # the fast path would take windows larger than the format has
    is_plain = len(source) > 0 and source[0] >> 4 <= _ZLIB_MOST_WINDOW
    if not (is_plain and _inflate(source, target, 15, whole=False)):
        _copy(numcodecs.zlib.Zlib().decode(source), target)


_ZLIB_MOST_WINDOW = 7
_INFLATE_ERROR = cast("type[Exception]", isal_zlib.error)


def _inflate(source: memoryview, target: memoryview, wbits: int, *, whole: bool) -> bool:
    """Whether a single plain stream filled the target."""
    try:
        stream = isal_zlib.decompressobj(wbits)
        data = stream.decompress(source, len(target) + 1)
    except _INFLATE_ERROR:
        return False
    _check_room(data, target)
    if len(data) != len(target) or not stream.eof or (whole and stream.unused_data):
        return False
    target[:] = data
    return True


_BLOSC_HEADER = struct.Struct("<BBBBiii")
_BLOSC_MEMCPYED, _BLOSC_RESERVED = 0x02, 0x08
_BLOSC_MAX_BLOCKSIZE = (2**31 - 1 - 4 * 255) // 3


def blosc(source: memoryview, target: memoryview) -> None:
    """A Blosc 1 chunk.

    c-blosc trusts the sizes in the header, so they are checked here; it checks the offsets
    behind the header itself.
    """
    codec = check_blosc_header(source, len(target))
    if codec == blosc_snappy.CODEC:
        blosc_snappy.decompress(source, target)
    else:
        numcodecs.blosc.decompress(source, target)


def check_blosc_header(source: memoryview, expected: int) -> int:
    """Check a chunk's header against its length and decoded size; its inner codec's number."""
    if len(source) < _BLOSC_HEADER.size:
        raise ValueError(f"{len(source)} bytes, too few for its header of 16")
    version, versionlz, flags, typesize, nbytes, blocksize, cbytes = _BLOSC_HEADER.unpack_from(
        source
    )
    if version != 2:
        if 3 <= version <= 6:
            raise ValueError(f"format version {version}: chunks of Blosc 2 are not supported")
        raise ValueError(f"format version {version} instead of 2")
    if cbytes != len(source):
        raise ValueError(f"a header for {cbytes} bytes over {len(source)} bytes")
    _same(nbytes, expected)
    if not 0 < blocksize <= _BLOSC_MAX_BLOCKSIZE or typesize == 0 or versionlz != 1:
        raise ValueError(f"a header with blocksize {blocksize} and typesize {typesize}")
    if flags & _BLOSC_RESERVED or blocksize > max(nbytes, 1):
        raise ValueError(f"a header with flags {flags:#04x} and blocksize {blocksize}")
    if flags & _BLOSC_MEMCPYED:
        if cbytes != nbytes + _BLOSC_HEADER.size:
            raise ValueError(f"{cbytes} bytes for {nbytes} stored ones")
    elif 16 + 4 * -(-nbytes // blocksize) > cbytes:
        raise ValueError(f"{cbytes} bytes, too few for its table of blocks")
    return int(flags) >> 5 if not flags & _BLOSC_MEMCPYED else 0


def unshuffle(source: np.ndarray, target: np.ndarray, typesize: int) -> None:
    """Byte planes of a whole buffer to elements; the size is a multiple of `typesize`."""
    if typesize <= 1 or not len(source):
        target[:] = source
        return
    numcodecs.shuffle.Shuffle(typesize).decode(source, target)


def _same(found: int, expected: int) -> None:
    if found != expected:
        raise SizeError(f"expected {expected} bytes, found {found}")


def _check_room(data: bytes, target: memoryview) -> None:
    if len(data) > len(target):
        raise SizeError(f"expected {len(target)} bytes, found more")


def _copy(data: Any, target: memoryview) -> None:
    data = memoryview(data).cast("B")
    _same(len(data), len(target))
    target[:] = data


INTO: dict[str, Callable[[memoryview, memoryview], None]] = {
    "zstd": zstd,
    "lz4": lz4,
    "gzip": gzip,
    "zlib": zlib,
    "blosc": blosc,
}
"""Decoders into a slot of known size."""
