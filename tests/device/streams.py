"""Encoded streams to decode: plain, odd but valid, and damaged ones; the verdict of numcodecs."""

from __future__ import annotations

import gzip
import itertools
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import cramjam
import numcodecs
import numpy as np
import zstandard
from harness import smooth

CODECS = {
    "zstd": numcodecs.Zstd(level=1, checksum=True),
    "gzip": numcodecs.GZip(level=1),
    "zlib": numcodecs.Zlib(level=1),
    "lz4": numcodecs.LZ4(),
    "blosc": numcodecs.Blosc(cname="zstd", shuffle=2),
}
DATA = smooth(1000, "<i2").tobytes()


def reference(codec: str, encoded: bytes, size: int) -> bytes | None:
    """What numcodecs decodes it to; None for an error, or for another size."""
    try:
        decoded = bytes(memoryview(CODECS[codec].decode(encoded)).cast("B"))
    except Exception:
        return None
    return decoded if len(decoded) == size else None


def frame(data: bytes, **parameters: Any) -> bytes:
    return zstandard.ZstdCompressor(**parameters).compress(data)


def streamed(data: bytes) -> bytes:
    """A frame that does not tell its content size."""
    writer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return writer.compress(data) + writer.flush()


def skippable(nbytes: int) -> bytes:
    return struct.pack("<II", 0x184D2A53, nbytes) + b"s" * nbytes


HALF = len(DATA) // 2
DICTIONARY = zstandard.train_dictionary(
    1024, [b"sample %d " % n + bytes(range(n % 200)) for n in range(400)]
)


def windowed(stream: bytes, descriptor: int) -> bytes:
    """A frame of `streamed` that asks for another window."""
    return stream[:5] + bytes([descriptor]) + stream[6:]


ZSTD = {
    "one frame": frame(DATA),
    "a checksum": frame(DATA, write_checksum=True),
    "no content size": streamed(DATA),
    "the largest window": windowed(streamed(DATA), 0x88),
    "a window too large": windowed(streamed(DATA), 0x89),
    "a window too large in the second frame": frame(DATA[:HALF])
    + windowed(streamed(DATA[HALF:]), 0xA7),
    "a window too large behind one that is not": streamed(DATA[:HALF])
    + skippable(3)
    + windowed(streamed(DATA[HALF:]), 0xA7),
    "a size in place of a window too large": windowed(frame(DATA), 0xA7),
    "two frames": frame(DATA[:HALF]) + frame(DATA[HALF:]),
    "a frame of known and one of unknown size": frame(DATA[:HALF]) + streamed(DATA[HALF:]),
    "a frame of unknown and one of known size": streamed(DATA[:HALF]) + frame(DATA[HALF:]),
    "an empty frame behind": frame(DATA) + frame(b""),
    "an empty frame before": frame(b"") + frame(DATA),
    "a skippable frame before": skippable(7) + frame(DATA),
    "a skippable frame behind": frame(DATA) + skippable(7),
    "an empty skippable frame between": frame(DATA[:HALF]) + skippable(0) + frame(DATA[HALF:]),
    "a skippable frame alone": skippable(7),
    "bytes behind": frame(DATA) + b"more",
    "a zero byte behind": frame(DATA) + b"\0",
    "half a header behind": frame(DATA) + frame(b"x")[:3],
    "a second frame too many": frame(DATA) + frame(DATA),
    "a frame too short": frame(DATA[:-1]),
    "a frame of unknown size too short": streamed(DATA[:-1]),
    "a frame of unknown size too long": streamed(DATA + b"x"),
    "a wrong checksum": frame(DATA, write_checksum=True)[:-4] + b"abcd",
    "a dictionary that is absent": frame(DATA, dict_data=DICTIONARY),
    "nothing": b"",
    "not zstd": b"something else that is no frame",
}


def member(data: bytes, flags: int = 0, header: bytes = b"", crc: int | None = None) -> bytes:
    """A gzip member with header fields that numcodecs does not write."""
    deflate = zlib.compressobj(6, wbits=-15)
    body = deflate.compress(data) + deflate.flush()
    fixed = struct.pack("<BBBBIBB", 0x1F, 0x8B, 8, flags, 0, 0, 255)
    trailer = struct.pack("<II", zlib.crc32(data) if crc is None else crc, len(data))
    return fixed + header + body + trailer


GZIP = {
    "one member": gzip.compress(DATA),
    "a file name": member(DATA, 0x08, b"chunk.0.0\0"),
    "an extra field": member(DATA, 0x04, struct.pack("<H", 5) + b"extra"),
    "a comment": member(DATA, 0x10, b"no comment\0"),
    "a checksum of its header": member(
        DATA, 0x02, struct.pack("<H", zlib.crc32(b"\x1f\x8b\x08\x02\0\0\0\0\0\xff") & 0xFFFF)
    ),
    "a wrong checksum of its header": member(DATA, 0x02, b"ab"),
    "all fields at once": member(DATA, 0x1C, struct.pack("<H", 1) + b"e" + b"name\0comment\0"),
    "two members": gzip.compress(DATA[:HALF]) + gzip.compress(DATA[HALF:]),
    "an empty member behind": gzip.compress(DATA) + gzip.compress(b""),
    "an empty member before": gzip.compress(b"") + gzip.compress(DATA),
    "zeros behind": gzip.compress(DATA) + bytes(13),
    "zeros between": gzip.compress(DATA[:HALF]) + bytes(4) + gzip.compress(DATA[HALF:]),
    "garbage behind": gzip.compress(DATA) + b"garbage",
    "one byte behind": gzip.compress(DATA) + b"\1",
    "a member too short": gzip.compress(DATA[:-1]),
    "a member too many": gzip.compress(DATA) * 2,
    "a wrong crc": member(DATA, crc=1),
    "a wrong length": gzip.compress(DATA)[:-4] + struct.pack("<I", len(DATA) + 1),
    "no trailer": gzip.compress(DATA)[:-8],
    "an unknown method": b"\x1f\x8b\x07" + gzip.compress(DATA)[3:],
    "a reserved flag": member(DATA, 0x20),
    "a zlib stream": zlib.compress(DATA),
    "nothing": b"",
}

PRESET = zlib.compressobj(zdict=DATA[:50])
ZLIB = {
    "one stream": zlib.compress(DATA),
    "bytes behind": zlib.compress(DATA) + b"bytes behind",
    "two streams": zlib.compress(DATA[:HALF]) + zlib.compress(DATA[HALF:]),
    "a small window": b"".join([(z := zlib.compressobj(9, wbits=9)).compress(DATA), z.flush()]),
    "a window larger than there is": b"\x88\x1c" + zlib.compress(DATA)[2:],
    "a wrong adler32": zlib.compress(DATA)[:-1] + bytes([zlib.compress(DATA)[-1] ^ 1]),
    "no adler32": zlib.compress(DATA)[:-4],
    "half of its adler32": zlib.compress(DATA)[:-2],
    "a preset dictionary": PRESET.compress(DATA) + PRESET.flush(),
    "a stream too short": zlib.compress(DATA[:-1]),
    "a stream too long": zlib.compress(DATA + b"x"),
    "raw deflate": zlib.compress(DATA)[2:-4],
    "a gzip member": gzip.compress(DATA),
    "nothing": b"",
}

_LZ4 = bytes(numcodecs.LZ4().encode(DATA))
LZ4 = {
    "one block": _LZ4,
    "bytes behind": _LZ4 + b"more",
    "a size too small": struct.pack("<I", len(DATA) - 1) + _LZ4[4:],
    "a size too large": struct.pack("<I", len(DATA) + 1) + _LZ4[4:],
    "a negative size": struct.pack("<i", -1) + _LZ4[4:],
    "a block cut short": _LZ4[:-5],
    "half a header": _LZ4[:3],
    "only a header": _LZ4[:4],
    "nothing": b"",
}

ODD: dict[str, dict[str, bytes]] = {"zstd": ZSTD, "gzip": GZIP, "zlib": ZLIB, "lz4": LZ4}
CASES = [(codec, name) for codec, streams in ODD.items() for name in streams]


def damaged(encoded: bytes, first: int) -> Iterator[bytes]:
    """Streams with one byte changed from `first` on, cut short, and with bytes behind."""
    positions = range(first, len(encoded))
    step = max(1, len(positions) // 150)
    for at in itertools.chain(positions[:30], positions[30:-12:step], positions[-12:]):
        for change in (0x01, 0x10, 0x80, 0xFF):
            yield encoded[:at] + bytes([encoded[at] ^ change]) + encoded[at + 1 :]
    for length in {*range(first, len(encoded), step), *positions[-12:]}:
        yield encoded[:length]
    for tail in (b"\0", b"\0\0\0\0", b"x", encoded[:5], encoded):
        yield encoded + tail


TYPESIZES = [1, 2, 3, 4, 7, 8, 12, 16, 17, 32, 255]
NBYTES = [1, 2, 15, 127, 128, 129, 1000, 4099, 20_011, 70_000]
KINDS: dict[str, Callable[[int], bytes]] = {
    "smooth": lambda n: smooth(n, "u1", seed=n).tobytes(),
    "random": lambda n: np.random.default_rng(n).bytes(n),
    "zeros": bytes,
}


def as_snappy(chunk: bytes) -> bytes:
    """An lz4 or zstd chunk of c-blosc's with every stream compressed by snappy instead.

    Splits, tails, shuffle and flags stay what c-blosc made of them.
    """
    flags, typesize = chunk[2], chunk[3]
    nbytes, blocksize = struct.unpack_from("<ii", chunk, 4)
    starts = struct.unpack_from(f"<{-(-nbytes // blocksize)}i", chunk, 16)
    table, body = [], b""
    for number, at in enumerate(starts):
        length = min(blocksize, nbytes - number * blocksize)
        split = not flags & 0x10 and typesize <= 16 and blocksize // typesize >= 128
        count = typesize if split and length == blocksize else 1
        table.append(16 + 4 * len(starts) + len(body))
        for _ in range(count):
            (size,) = struct.unpack_from("<i", chunk, at)
            stream = chunk[at + 4 : at + 4 + size]
            at += 4 + size
            if size != length // count:
                if flags >> 5 == 4:
                    plain = zstandard.decompress(stream)
                else:
                    block = cramjam.lz4.decompress_block(stream, output_len=length // count)
                    plain = bytes(block)
                snappy = bytes(cramjam.snappy.compress_raw(plain))
                stream = snappy if len(snappy) < len(plain) else plain
            body += struct.pack("<i", len(stream)) + stream
    header = chunk[:2] + bytes([flags & 0x1F | 2 << 5]) + chunk[3:12]
    cbytes = 16 + 4 * len(table) + len(body)
    return header + struct.pack(f"<i{len(table)}i", cbytes, *table) + body
