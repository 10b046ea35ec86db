"""Compression on a device: what the library encodes, in the containers that Zarr's codecs have.

Encoded sizes come back once. The host makes headers and trailers of them, sends these up in one
copy, and one launch of copies puts everything in its place, for any number of streams.

Options are honoured as far as the library has them. Its zstd has no level, and its lz4 no
acceleration: whatever they are, streams are about those of the defaults. Levels of gzip and zlib
choose one of Deflate's algorithms, of which nvCOMP says that 2 compresses better than zlib's level
1, and 4 better than level 6:

    0 → 0 (codes bytes, searches for no matches) · 1 to 3 → 2 · 4 to 6 and -1 → 4 · 7 to 9 → 5

Within Blosc, nvCOMP has lz4 and zstd. lz4hc, lz4 with a longer search, it has not, nor zlib in
streams as long as Blosc's, nor blosclz; chunks of these are encoded on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Batch
from gpuzarr.device import kernel_blosc_encode, kernel_native
from gpuzarr.device.counting import current
from gpuzarr.device.cpu import CPU
from gpuzarr.device.launcher import addresses
from gpuzarr.errors import StreamError, UnsupportedError

if TYPE_CHECKING:
    from gpuzarr.device.kernel_device import KernelDevice

Options = dict[str, Any]

_ALGORITHMS = (0, 2, 2, 2, 4, 4, 4, 5, 5, 5)
_DEFAULT_LEVEL = 6
"""What -1 means to zlib."""

_ZSTD_MAGIC, _ZSTD_CHECKSUM = 4, 0x04
"""Bytes in front of a frame's descriptor, and its bit that says that a checksum ends it."""

_MEMBER = 0x00088B1F
"""A gzip member begins so where its header has 10 bytes."""

_GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""Of no time, no name and no known system, so that equal chunks are equal bytes."""

_GZIP_TAIL = 8
_ZLIB_HEAD = b"\x78\x01"


def zstd(device: KernelDevice, batch: Batch, options: Options) -> Batch:
    """One frame each (RFC 8878), and where that is asked for, a checksum at its end."""
    frames = device.compressed("zstd", batch)
    if not options["checksum"]:
        return frames
    said = device.gather_u32(frames, frames.offsets + _ZSTD_MAGIC)
    heads = np.empty((len(batch), _ZSTD_MAGIC + 1), np.uint8)
    heads[:, :_ZSTD_MAGIC] = np.frombuffer(b"\x28\xb5\x2f\xfd", np.uint8)
    heads[:, _ZSTD_MAGIC] = said & 0xFF | _ZSTD_CHECKSUM
    rest = frames.within(frames.offsets + heads.shape[1], frames.sizes - heads.shape[1])
    sums = device.checksum("xxh64", batch).astype("<u4")
    return concatenated(device, [_rows(device, heads), rest, _rows(device, sums[:, None])])


def lz4(device: KernelDevice, batch: Batch, options: Options) -> Batch:
    """The size as little-endian u32, then one raw block, as numcodecs has it."""
    blocks = device.compressed("lz4", batch)
    sizes = batch.sizes.astype("<u4")
    return concatenated(device, [_rows(device, sizes[:, None]), blocks])


def gzip(device: KernelDevice, batch: Batch, options: Options) -> Batch:
    """RFC 1952, one member each."""
    content = _deflated(device, "gzip", batch, options)
    if content is None:
        return on_host(device, "gzip", batch, options)
    trailers = np.empty((len(batch), 2), "<u4")
    trailers[:, 0] = device.checksum("crc32", batch)
    trailers[:, 1] = batch.sizes & 0xFFFFFFFF
    return _contained(device, _GZIP_HEAD, content, trailers)


def zlib(device: KernelDevice, batch: Batch, options: Options) -> Batch:
    """RFC 1950."""
    content = _deflated(device, "zlib", batch, options)
    if content is None:
        return on_host(device, "zlib", batch, options)
    sums = device.checksum("adler32", batch).astype(">u4")
    return _contained(device, _ZLIB_HEAD, content, sums[:, None])


def concatenated(device: KernelDevice, parts: Sequence[Batch]) -> Batch:
    """For each stream, its pieces from these batches, one behind the other."""
    sizes = np.stack([part.sizes for part in parts], axis=1)
    result = device.room_for(sizes.sum(axis=1))
    target = addresses(result)[:, None] + np.cumsum(sizes, axis=1) - sizes
    source = np.stack([addresses(part) for part in parts], axis=1)
    device.move(source.reshape(-1), target.reshape(-1), sizes.reshape(-1))
    return result


def on_host(device: KernelDevice, codec: str, batch: Batch, options: Options) -> Batch:
    """Encode on the CPU, and upload what comes out."""
    current().on_host[codec] += len(batch)
    return device.upload(CPU().compress(codec, device.download(batch), options))


def _rows(device: KernelDevice, values: NDArray[Any]) -> Batch:
    """An array of the host's, a row for each stream."""
    return Batch.uniform(device.to_device(values), len(values), values[:1].nbytes)


def _contained(device: KernelDevice, head: bytes, content: Batch, trailers: NDArray[Any]) -> Batch:
    """Streams between a head that all have, and a row of `trailers` each."""
    heads = np.tile(np.frombuffer(head, np.uint8), (len(content), 1))
    return concatenated(device, [_rows(device, heads), content, _rows(device, trailers)])


def _deflated(device: KernelDevice, codec: str, batch: Batch, options: Options) -> Batch | None:
    """A Deflate stream (RFC 1951) of each, or None if the library gives none that is plain.

    Its encoder of Deflate is for short streams only. That of Gzip takes others in parts, which
    it puts together in one member; were they several, the last would tell a smaller size.
    """
    level = options["level"]
    algorithm = _ALGORITHMS[level if level >= 0 else _DEFAULT_LEVEL]
    if batch.sizes.max() <= device.largest_chunk("deflate"):
        return device.compressed("deflate", batch, algorithm=algorithm)
    members = device.compressed("gzip", batch, algorithm=algorithm)
    ends = members.offsets + members.sizes
    words = device.gather_u32(members, np.concatenate([members.offsets, ends - 4]))
    first, declared = words.reshape(2, len(batch))
    if ((first != _MEMBER) | (declared != batch.sizes & 0xFFFFFFFF)).any():
        return None
    head = len(_GZIP_HEAD)
    return members.within(members.offsets + head, members.sizes - head - _GZIP_TAIL)


ENCODERS: dict[str, Callable[[Any, Batch, Options], Batch]] = {
    "zstd": zstd,
    "lz4": lz4,
    "gzip": gzip,
    "zlib": zlib,
    "blosc": kernel_blosc_encode.blosc,
    **kernel_native.ENCODERS,
}


def largest_stream(device: KernelDevice, codec: str) -> int:
    """Bytes of a stream that `compress` takes, at most."""
    if codec == "blosc":
        return kernel_blosc_encode.MOST
    if codec in ("gzip", "zlib"):
        return max(device.largest_chunk("deflate"), device.largest_chunk("gzip"))
    return device.largest_chunk(codec)


def cannot_encode(codec: str, options: Options) -> str | None:
    """None, or why the library's encoders do not take these options."""
    if codec == "blosc" and options["cname"] not in kernel_blosc_encode.CNAMES:
        known = " and ".join(kernel_blosc_encode.CNAMES)
        return f"the device encodes {known} within blosc, not {options['cname']}"
    if codec in ("gzip", "zlib") and not -1 <= options["level"] < len(_ALGORITHMS):
        return f"{codec} has no level {options['level']}"
    return None


def compress(device: KernelDevice, codec: str, batch: Batch, options: Options) -> Batch:
    """Encode each stream, of one at least.

    Raises
    ------
    UnsupportedError
        If the device does not encode this codec, with these options, or streams of this size.
    StreamError
        For the first stream of no bytes.
    """
    if codec not in ENCODERS:
        raise UnsupportedError(f"The device {device.name!r} has no encoder for {codec}.")
    if why := cannot_encode(codec, options):
        raise UnsupportedError(f"The device {device.name!r} cannot encode {codec}: {why}.")
    most, largest = largest_stream(device, codec), int(batch.sizes.max())
    if largest > most:
        raise UnsupportedError(
            f"The device {device.name!r} encodes {codec} streams of up to {most:,} bytes, found "
            f"one of {largest:,}."
        )
    empty = np.flatnonzero(batch.sizes == 0)
    if len(empty):  # Zarr has no chunk of none
        raise StreamError(int(empty[0]), f"expected bytes that {codec} encodes, found none")
    return ENCODERS[codec](device, batch, options)
