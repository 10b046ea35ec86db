"""What the reference decoders make of damaged bytes, after the header rules that are ours.

zarr-python's and numcodecs' own codec objects are run one after the other. Where gpuzarr differs on
purpose, the rule stands in `_RULES`, and in docs/fuzzing.md with its reason; nothing else may
differ.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cramjam
import numpy as np
from numcodecs.compat import ensure_bytes
from zarr.codecs._v2 import V2Codec
from zarr.core.buffer import cpu

from fuzz.chains import Target, name_of
from gpuzarr.device.reference import Status, blosc_table, lz4_decode

MOST = 64 << 20
"""Decoded bytes that no header of a case may promise: hundreds of times what any chunk has."""


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of damaged numbers, and of codecs that have no specification."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


class RefusedError(Exception):
    """A chunk that a rule of ours refuses."""


def reference(target: Target, encoded: bytes, device: str = "cpu") -> bytes | None:
    """The chunk's bytes, in C order and the array's dtype; None where it is refused.

    By the rules of a device it is refused, or decoded, where a device may do so.
    """
    rules = _RULES | _RULES_OF.get(device, {})
    decode = _v2 if target.recipe.version == 2 else _v3
    try:
        with quiet():
            array = decode(target, encoded, rules)
    except Exception:
        return None
    if array.shape != target.shape:
        return None
    return np.ascontiguousarray(array, target.recipe.dtype).tobytes()


def _v2(target: Target, encoded: bytes, rules: Rules) -> np.ndarray:
    chunk: Any = encoded
    for codec in reversed(target.codecs):
        chunk = _ruled(rules.get(name_of(codec)), codec.decode, chunk)
    done = V2Codec(None, None)._decode_sync(cpu.Buffer.from_bytes(ensure_bytes(chunk)), target.spec)
    return np.asarray(done.as_numpy_array())


def _v3(target: Target, encoded: bytes, rules: Rules) -> np.ndarray:
    chunk: Any = cpu.Buffer.from_bytes(encoded)
    for codec, spec in zip(reversed(target.codecs), reversed(target.specs), strict=True):

        def decode(data: Any, codec: Any = codec, spec: Any = spec) -> Any:
            if isinstance(data, bytes):
                data = cpu.Buffer.from_bytes(data)
            return codec._decode_sync(data, spec)

        chunk = _ruled(rules.get(name_of(codec)), decode, chunk)
    return np.asarray(chunk.as_numpy_array())


def _ruled(rule: Rule | None, decode: Callable[[Any], Any], chunk: Any) -> Any:
    if rule is None:
        return decode(chunk)
    data = chunk.to_bytes() if isinstance(chunk, cpu.Buffer) else ensure_bytes(chunk)
    return decode(rule(data))


# --- rules of ours --------------------------------------------------------------------------------

_SNAPPY, _LZ4 = 2, 1
_BLOSC = struct.Struct("<BBBBiii")
MOST_BLOCKSIZE = (2**31 - 1 - 4 * 255) // 3


def _blosc(chunk: bytes) -> bytes:
    """c-blosc trusts a header: sizes must agree with the chunk's length and with each other."""
    if len(chunk) < 16:
        raise RefusedError
    version, versionlz, flags, typesize, nbytes, blocksize, cbytes = _BLOSC.unpack_from(chunk)
    if version != 2 or versionlz != 1 or cbytes != len(chunk) or typesize == 0:
        raise RefusedError
    if not 0 <= nbytes <= MOST or not 0 < blocksize <= MOST_BLOCKSIZE:
        raise RefusedError
    if flags & 2:
        if cbytes != nbytes + 16:
            raise RefusedError
    elif 16 + 4 * -(-nbytes // blocksize) > cbytes:
        raise RefusedError
    elif flags >> 5 == _SNAPPY:
        return _without_snappy(chunk)
    return chunk


def _without_snappy(chunk: bytes) -> bytes:
    """The same chunk with its snappy streams stored: numcodecs' build of c-blosc has no snappy.

    Splits, tails and shuffles are left to c-blosc. cramjam decodes the streams.
    """
    flags, typesize = chunk[2], chunk[3]
    nbytes, blocksize = struct.unpack_from("<ii", chunk, 4)
    blocks = -(-nbytes // blocksize)
    starts = struct.unpack_from(f"<{blocks}i", chunk, 16)
    may_split = not flags & 0x10 and typesize <= 16 and blocksize // typesize >= 128
    table, body = [], b""
    for number, at in enumerate(starts):
        length = min(blocksize, nbytes - number * blocksize)
        count = typesize if may_split and length == blocksize else 1
        if length % count:
            raise RefusedError
        table.append(16 + 4 * blocks + len(body))
        for _ in range(count):
            if not 0 <= at <= len(chunk) - 4:
                raise RefusedError
            (size,) = struct.unpack_from("<i", chunk, at)
            at += 4
            if not 0 <= size <= len(chunk) - at:
                raise RefusedError
            stream = chunk[at : at + size]
            at += size
            if size != length // count:
                if cramjam.snappy.decompress_raw_len(stream) != length // count:
                    raise RefusedError
                stream = bytes(cramjam.snappy.decompress_raw(stream))
            body += struct.pack("<i", len(stream)) + stream
    head = chunk[:2] + bytes([flags & 0x1F | _LZ4 << 5]) + chunk[3:12]
    cbytes = 16 + 4 * blocks + len(body)
    return head + struct.pack(f"<i{blocks}i", cbytes, *table) + body


def _lz4(stream: bytes) -> bytes:
    """A size that no chunk of these has is refused, as it is with any other one."""
    if len(stream) < 4 or int.from_bytes(stream[:4], "little") > MOST:
        raise RefusedError
    return stream


def _first_member(data: bytes) -> bytes:
    """A device's gzip sees one member, and the last 8 bytes, which must be its crc and its length.

    What stands between goes unseen if they are.
    """
    stream = zlib.decompressobj(-15)
    content = stream.decompress(data[10:], MOST)
    trailer = struct.pack("<II", zlib.crc32(content), len(content))
    holds = stream.eof and data[:4] == b"\x1f\x8b\x08\0" and data[-8:] == trailer
    return data[: len(data) - len(stream.unused_data)] + trailer if holds else data


def _first_stream(data: bytes) -> bytes:
    """The same of zlib, whose last 4 bytes are its adler32."""
    stream = zlib.decompressobj(-15)
    content = stream.decompress(data[2:], MOST)
    first = data[: len(data) - len(stream.unused_data)] + data[-4:]
    holds = zlib.adler32(content) == int.from_bytes(data[-4:], "big")
    return first if stream.eof and holds else data


def _without_distance_0(stream: bytes) -> bytes:
    """A match of distance 0 is an error for the kernel; liblz4 takes it, whatever that means."""
    stream = _lz4(stream)
    _refuse_distance_0(stream[4:], int.from_bytes(stream[:4], "little"))
    return stream


def _blosc_without_distance_0(chunk: bytes) -> bytes:
    """The same in streams of lz4, which the kernels' oracle finds."""
    found = _blosc(chunk)
    if chunk[2] >> 5 == _LZ4 and not chunk[2] & 2:
        _, streams = blosc_table(chunk, int.from_bytes(chunk[4:8], "little"))
        for stream in streams:
            if stream.route == _LZ4 + 2:
                _refuse_distance_0(chunk[stream.offset :][: stream.size], stream.target_size)
    return found


def _refuse_distance_0(block: bytes, size: int) -> None:
    if lz4_decode(block, size)[0] == Status.BAD_OFFSET:
        raise RefusedError


Rule = Callable[[bytes], bytes]
Rules = dict[str, Rule]
_RULES: Rules = {"blosc": _blosc, "lz4": _lz4}
_RULES_OF: dict[str, Rules] = {
    "emulated": {"gzip": _first_member, "zlib": _first_stream},
    "untrusted": {"lz4": _without_distance_0, "blosc": _blosc_without_distance_0},
}
