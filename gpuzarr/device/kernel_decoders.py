"""Decompression on a device: what the host checks, the library decodes, the CPU is left with.

The library's decoders for zstd, deflate and snappy are undefined on bytes that break the format,
so structure and declared sizes are checked before, sizes and checksums after. Streams that are
valid but not plain (several frames or members, no size in the header) go to the CPU one by one,
where the verdict is the reference decoder's; so does what an own checksum contradicts. A device
that does not trust its streams (docs/codecs.md) has only the decoders in `DEFINED`, and decodes LZ4
by a kernel that checks every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Batch, packed
from gpuzarr.device.cpu import CPU
from gpuzarr.device.kernels import over_streams
from gpuzarr.device.launcher import addresses
from gpuzarr.device.reference.status import Status
from gpuzarr.device.zstd_frames import integers_at, plain_frames
from gpuzarr.errors import ChunkSizeError, StreamError

if TYPE_CHECKING:
    from gpuzarr.device.kernel_device import KernelDevice

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

_GZIP_HEAD, _GZIP_TAIL, _GZIP_PLAIN = 10, 8, 0x00088B1F
_ZLIB_HEAD, _ZLIB_TAIL = 2, 4
_ZSTD_TAIL, _ZSTD_SUMMED = 4, 2
"""Bytes of a frame's own checksum, and what the scan on the device calls a frame that has one."""

_NO_CHECKSUM = -1

_VARINT = 5
"""Bytes of the longest decoded size in front of a snappy stream."""

_MOST_DECODED = (1 << 31) - 1
"""Bytes of one stream, of the library's zstd and snappy."""

_MOST_OVERHEAD = 4096
"""No encoder writes streams longer than twice their content and this; what lies in each other may
be, and is not to be copied for its alignment."""

WORDS = {
    Status.INPUT_ENDS: "bytes that end too early",
    Status.OUTPUT_FULL: "more decoded bytes than are expected",
    Status.BAD_OFFSET: "a match before the first byte",
    Status.OUTPUT_SHORT: "fewer decoded bytes than are expected",
    Status.BAD_END: "a match too near to the end",
    Status.BAD_HEADER: "a header with values that are not allowed",
    Status.BAD_VERSION: "another version of the format: chunks of Blosc 2 are not supported",
    Status.BAD_SIZE: "a header whose sizes contradict the chunk's",
    Status.BAD_BLOCK: "a block that reaches out of its chunk",
}


def refused(codec: str, slot: int, status: int) -> StreamError:
    """A kernel's verdict in words."""
    return StreamError(slot, f"expected a valid {codec} stream, found {found_in(status)}")


def found_in(status: int) -> str:
    """What a kernel found that broke a rule."""
    return WORDS.get(Status(status), f"status {status}")


def check_not_empty(codec: str, into: Batch) -> None:
    """Refuse streams of no bytes, as numcodecs does: Zarr has no chunk of none."""
    empty = np.flatnonzero(into.sizes == 0)
    if len(empty):
        raise StreamError(int(empty[0]), f"expected a valid {codec} stream, found one of no bytes")


def lz4(device: KernelDevice, batch: Batch, into: Batch) -> Ints:
    """A little-endian u32 size, then one raw block, as numcodecs writes it."""
    short = np.flatnonzero(batch.sizes < 4)
    if len(short):
        found = int(batch.sizes[short[0]])
        raise StreamError(int(short[0]), f"expected a valid lz4 stream, found {found} bytes")
    declared = device.gather_u32(batch, batch.offsets)
    wrong = np.flatnonzero(declared != into.sizes)
    if len(wrong):
        slot = int(wrong[0])
        reason = f"expected {int(into.sizes[slot])} bytes, found {int(declared[slot])}"
        raise StreamError(slot, reason, ChunkSizeError)
    check_not_empty("lz4", into)
    blocks = batch.within(batch.offsets + 4, batch.sizes - 4)
    if device.trusts:
        return all_by_library(device, "lz4", blocks, into)
    ends = addresses(blocks), blocks.sizes, addresses(into), into.sizes
    status = by_kernel(device, "lz4", ends, np.zeros(len(batch), np.uint32), 0)
    bad = np.flatnonzero(status)
    if len(bad):
        raise refused("lz4", int(bad[0]), int(status[bad[0]]))
    return bad


def by_kernel(
    device: KernelDevice, codec: str, ends: Sequence[Any], route: Any, wanted: int
) -> NDArray[np.uint32]:
    """The status of each stream by a kernel of ours, on the host; 0 for those of other routes.

    `ends` are the addresses and sizes of encoded streams, then those of their targets, and `route`
    their routes, all on the host or all on the device.
    """
    count = len(route)
    status = device.to_device(np.zeros(count, np.uint32))
    shape = over_streams(count, device.processors)
    device.launch(
        f"{codec}_decode", f"{codec}_decode", shape, *ends, route, np.uint32(wanted),
        np.uint32(count), status,
    )  # fmt: skip
    found: NDArray[np.uint32] = device.to_host(status).view(np.uint32)
    return found


def zstd(device: KernelDevice, batch: Batch, into: Batch) -> Ints:
    """Zstandard frames (RFC 8878), with or without a checksum of their own."""
    if batch.host is None:
        found = device.zstd_frames(batch, into.sizes)
        plain, summed = found > 0, found == _ZSTD_SUMMED
    else:
        host = device.download(batch)
        plain = plain_frames(host.arena, host.offsets, host.sizes, into.sizes)
        summed = plain & (integers_at(host.arena, host.offsets + 4, 1, plain) & 4 != 0)
    stored = _words(device, batch, batch.offsets + batch.sizes - _ZSTD_TAIL, summed)
    checksum = ("xxh64", np.where(summed, stored, _NO_CHECKSUM))
    return _plain_or_on_host(device, "zstd", "zstd", batch, batch, into, plain, checksum)


def gzip(device: KernelDevice, batch: Batch, into: Batch) -> Ints:
    """RFC 1952: one member with the shortest of headers, its crc and length compared."""
    content = batch.within(batch.offsets + _GZIP_HEAD, batch.sizes - (_GZIP_HEAD + _GZIP_TAIL))
    plain = batch.sizes >= _GZIP_HEAD + _GZIP_TAIL
    trailer = batch.offsets + batch.sizes - _GZIP_TAIL
    plain &= _words(device, batch, batch.offsets, plain) == _GZIP_PLAIN
    plain &= _words(device, batch, trailer + 4, plain) == into.sizes & 0xFFFFFFFF
    if batch.host is not None:
        plain &= ~_with_members_inside(device.download(batch))
    stored = _words(device, batch, trailer, plain)
    return _plain_or_on_host(
        device, "gzip", "deflate", batch, content, into, plain, ("crc32", stored)
    )


def _with_members_inside(host: Batch) -> Mask:
    """Streams that may hold a second member, equal to the first, which no trailer would tell."""
    arena = host.arena
    at = np.flatnonzero(arena[:-3] == _GZIP_PLAIN & 255)
    for k, byte in ((1, _GZIP_PLAIN >> 8 & 255), (2, _GZIP_PLAIN >> 16 & 255)):
        at = at[arena[at + k] == byte]
    first = np.searchsorted(at, host.offsets, side="right")
    found: Mask = np.searchsorted(at, host.offsets + host.sizes) > first
    return found


def zlib(device: KernelDevice, batch: Batch, into: Batch) -> Ints:
    """RFC 1950, without a dictionary, its adler32 compared."""
    content = batch.within(batch.offsets + _ZLIB_HEAD, batch.sizes - (_ZLIB_HEAD + _ZLIB_TAIL))
    plain = batch.sizes >= _ZLIB_HEAD + _ZLIB_TAIL
    head = _words(device, batch, batch.offsets, plain)
    method, flags = head & 255, head >> 8 & 255
    plain &= (method & 15 == 8) & (method >> 4 <= 7) & (flags & 32 == 0)
    plain &= (256 * method + flags) % 31 == 0
    trailer = _words(device, batch, batch.offsets + batch.sizes - _ZLIB_TAIL, plain)
    stored = trailer.astype(np.uint32).byteswap().astype(np.int64)
    return _plain_or_on_host(
        device, "zlib", "deflate", batch, content, into, plain, ("adler32", stored)
    )


def snappy(device: KernelDevice, batch: Batch, into: Batch) -> Ints:
    """Raw snappy, as it stands in chunks of Blosc; its decoded size comes first."""
    heads = batch.within(batch.offsets, np.minimum(batch.sizes, _VARINT))
    host = device.download(heads)
    declared, more = np.zeros(len(batch), np.int64), np.ones(len(batch), bool)
    for k in range(_VARINT):
        more &= k < batch.sizes
        byte = integers_at(host.arena, host.offsets + k, 1, more)
        declared |= (byte & 127) << (7 * k)
        more &= byte >= 128
    wrong = np.flatnonzero(more | (declared != into.sizes))
    if len(wrong):
        raise refused("snappy", int(wrong[0]), Status.BAD_SIZE)
    return all_by_library(device, "snappy", batch, into)


def _words(device: KernelDevice, batch: Batch, offsets: Ints, where: Mask) -> Ints:
    """Little-endian u32 at these offsets of the arena; 0 where none is to be read."""
    found = np.zeros(len(batch), np.int64)
    if where.any():
        found[where] = device.gather_u32(batch, offsets[where])
    return found


def all_by_library(device: KernelDevice, codec: str, batch: Batch, into: Batch) -> Ints:
    """Streams of which no decoder knows more than the library's."""
    status, decoded = device.decompressed(codec, batch, into)
    bad = np.flatnonzero((status != 0) | (decoded != into.sizes))
    if len(bad):
        slot = int(bad[0])
        words = "bytes that break the format"
        if not status[slot]:
            words = f"{int(decoded[slot])} bytes instead of {int(into.sizes[slot])}"
        raise StreamError(slot, f"expected a valid {codec} stream, found {words}")
    return bad


def _plain_or_on_host(
    device: KernelDevice,
    codec: str,
    method: str,
    batch: Batch,
    content: Batch,
    into: Batch,
    plain: Mask,
    checksum: tuple[str, Ints] | None = None,
) -> Ints:
    """The content of plain streams by the library's `method`, all others as `codec` on the CPU.

    `checksum` is an algorithm, and what it must give for the decoded bytes of each stream, or
    `_NO_CHECKSUM`.
    """
    good = plain & (into.sizes > 0) & (into.sizes <= _MOST_DECODED)
    good &= content.sizes <= 2 * into.sizes + _MOST_OVERHEAD
    slots = np.flatnonzero(good)
    if len(slots):
        target = into.take(slots)
        status, found = device.decompressed(method, content.take(slots), target)
        good[slots] = (status == 0) & (found == target.sizes)
        if checksum is not None:
            algorithm, stored = checksum
            slots = slots[good[slots] & (stored[slots] != _NO_CHECKSUM)]
            if len(slots):
                good[slots] = device.checksum(algorithm, into.take(slots)) == stored[slots]
    odd = np.flatnonzero(~good)
    if len(odd):
        on_host(device, codec, batch.take(odd), into.take(odd), odd)
    return odd


def on_host(device: KernelDevice, codec: str, batch: Batch, into: Batch, slots: Ints) -> None:
    """Decode on the CPU, and upload what comes out; `slots` are what errors call the streams."""
    decoded = Batch(np.empty(int(into.sizes.sum()), np.uint8), packed(into.sizes), into.sizes)
    try:
        CPU().decompress(codec, device.download(batch), decoded)
    except StreamError as error:
        error.slot = int(slots[error.slot])
        raise
    device.copy(device.upload(decoded), into)


DECODERS: dict[str, Callable[[Any, Batch, Batch], Ints]] = {
    "lz4": lz4,
    "zstd": zstd,
    "gzip": gzip,
    "zlib": zlib,
    "snappy": snappy,
}
"""Decoders into slots of known size; they give the slots that were left to the CPU."""

DEFINED = frozenset({"lz4"})
"""Those whose verdict on any bytes is defined."""
