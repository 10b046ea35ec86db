"""The CPU's decoders and encoders against numcodecs: the same bytes, errors where it has one."""

from __future__ import annotations

import gzip
import itertools
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import cramjam
import numcodecs
import numpy as np
import pytest
import zstandard
from harness import smooth
from numcodecs import blosc

from gpuzarr import device
from gpuzarr.batch import Batch
from gpuzarr.device import cpu_encoders
from gpuzarr.errors import ChunkSizeError, StreamError

CPU = device.get("cpu")
GUARD = 32


def batch_of(streams: list[bytes]) -> Batch:
    """Streams between bytes that belong to none of them."""
    sizes = np.array([len(s) for s in streams], np.int64)
    offsets = np.cumsum(np.concatenate([[0], sizes[:-1]]) + GUARD)
    arena = np.full(int(offsets[-1] + sizes[-1]) + GUARD, 0xA5, np.uint8)
    for offset, stream in zip(offsets.tolist(), streams, strict=True):
        arena[offset : offset + len(stream)] = np.frombuffer(stream, np.uint8)
    return Batch(arena, offsets, sizes)


def decompress(codec: str, streams: list[bytes], sizes: list[int]) -> list[bytes]:
    """Decoded streams; nothing outside of their slots has been touched."""
    into = batch_of([b"\x5a" * size for size in sizes])
    before = into.arena.copy()
    assert CPU.decompress(codec, batch_of(streams), into) is into
    found = [into.arena[start:stop].tobytes() for start, stop in into.spans()]
    for start, stop in into.spans():
        before[start:stop] = into.arena[start:stop]
    assert (before == into.arena).all()
    return found


def verdict(codec: str, encoded: bytes, size: int) -> bytes | None:
    """What it decodes to, in a slot of `size` bytes; None for an error."""
    try:
        return decompress(codec, [encoded], [size])[0]
    except StreamError:
        return None


def reference(codec: str, encoded: bytes, size: int) -> bytes | None:
    """What numcodecs decodes it to; None for an error, or for another size."""
    try:
        decoded = bytes(memoryview(CODECS[codec].decode(encoded)).cast("B"))
    except Exception:
        return None
    return decoded if len(decoded) == size else None


CODECS = {
    "zstd": numcodecs.Zstd(level=1, checksum=True),
    "gzip": numcodecs.GZip(level=1),
    "zlib": numcodecs.Zlib(level=1),
    "lz4": numcodecs.LZ4(),
    "blosc": numcodecs.Blosc(cname="zstd", shuffle=2),
}
DATA = smooth(1000, "<i2").tobytes()


def assert_like_numcodecs(codec: str, encoded: bytes, size: int) -> None:
    """Alone, beside plain streams, and where the size is not known before."""
    expected = reference(codec, encoded, size)
    assert verdict(codec, encoded, size) == expected
    plain = CODECS[codec].encode(DATA)
    streams, sizes = [plain, encoded, plain], [len(DATA), size, len(DATA)]
    if expected is None:
        with pytest.raises(StreamError) as caught:
            decompress(codec, streams, sizes)
        assert caught.value.slot == 1
    else:
        assert decompress(codec, streams, sizes) == [DATA, expected, DATA]
        unsized = CPU.decompress(codec, batch_of(streams), None)
        assert [unsized.arena[a:b].tobytes() for a, b in unsized.spans()] == [DATA, expected, DATA]


# Odd streams that are valid, and invalid ones ---------------------------------------------------


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
ZSTD = {
    "one frame": frame(DATA),
    "a checksum": frame(DATA, write_checksum=True),
    "no content size": streamed(DATA),
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

ODD = [
    (codec, name)
    for codec, streams in {"zstd": ZSTD, "gzip": GZIP, "zlib": ZLIB, "lz4": LZ4}.items()
    for name in streams
]


@pytest.mark.parametrize(("codec", "name"), ODD, ids=lambda part: part.replace(" ", "-"))
def test_a_stream_with(codec: str, name: str) -> None:
    stream = {"zstd": ZSTD, "gzip": GZIP, "zlib": ZLIB, "lz4": LZ4}[codec][name]
    for size in (len(DATA), 0):
        assert_like_numcodecs(codec, stream, size)


def test_the_odd_streams_are_not_all_refused() -> None:
    """Else the comparison would say little."""
    valid = [(c, n) for c, n in ODD if verdict(c, globals()[c.upper()][n], len(DATA)) == DATA]
    assert ("zstd", "two frames") in valid
    assert ("zstd", "an empty skippable frame between") in valid
    assert ("zstd", "no content size") in valid
    assert ("gzip", "two members") in valid
    assert ("gzip", "zeros behind") in valid
    assert ("zlib", "bytes behind") in valid
    assert ("zstd", "bytes behind") not in valid
    assert ("gzip", "garbage behind") not in valid


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("data", [b"z", DATA[:100], DATA, DATA * 400], ids=len)
def test_a_round_trip_through_numcodecs(codec: str, data: bytes) -> None:
    encoded = bytes(CODECS[codec].encode(data))
    assert decompress(codec, [encoded, encoded], [len(data)] * 2) == [data, data]


@pytest.mark.parametrize("codec", ["zstd", "gzip", "zlib", "lz4"])
def test_no_bytes_are_decoded_if_numcodecs_does(codec: str) -> None:
    """It refuses what it writes itself for LZ4 and Zstd; Zarr has no chunk of no bytes."""
    encoded = bytes(CODECS[codec].encode(b""))
    assert reference(codec, encoded, 0) == (b"" if codec in ("gzip", "zlib") else None)
    assert_like_numcodecs(codec, encoded, 0)


def test_a_size_other_than_the_chunks_is_told_as_such() -> None:
    for codec, numcodec in CODECS.items():
        encoded = bytes(numcodec.encode(DATA))
        for size in (len(DATA) - 1, len(DATA) + 1):
            with pytest.raises(StreamError, match=f"expected {size} bytes, found") as caught:
                decompress(codec, [encoded], [size])
            assert caught.value.kind is ChunkSizeError


# Damaged streams --------------------------------------------------------------------------------


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


@pytest.mark.parametrize("size", [3, 300, 20_000])
@pytest.mark.parametrize("codec", ["zstd", "gzip", "zlib", "lz4"])
def test_damage_is_judged_as_numcodecs_judges_it(codec: str, size: int) -> None:
    data = smooth(size, "u1").tobytes()
    encoded, verdicts = bytes(CODECS[codec].encode(data)), set()
    for stream in damaged(encoded, 0):
        expected = reference(codec, stream, size)
        assert verdict(codec, stream, size) == expected, stream.hex()
        verdicts.add("refused" if expected is None else "same" if expected == data else "other")
    assert "refused" in verdicts
    assert codec != "lz4" or size == 3 or "other" in verdicts  # nothing can show a changed literal


@pytest.mark.parametrize("cname", ["lz4", "zstd", "zlib", "blosclz"])
def test_damage_behind_a_blosc_header_is_judged_as_numcodecs_judges_it(cname: str) -> None:
    """c-blosc trusts its header, so that numcodecs can't be asked about a damaged one."""
    data = smooth(20_000, "<f4")
    encoded = bytes(numcodecs.Blosc(cname=cname, shuffle=1, blocksize=8192).encode(data))
    verdicts = set()
    for stream in damaged(encoded, 16):
        if len(stream) == len(encoded):
            expected = reference("blosc", stream, data.nbytes)
            assert verdict("blosc", stream, data.nbytes) == expected, stream.hex()
            verdicts.add(expected is None)
        else:
            assert verdict("blosc", stream, data.nbytes) is None
    assert verdicts == {True, False}


def test_a_damaged_blosc_header_is_refused_or_harmless() -> None:
    data = smooth(20_000, "<f4").tobytes()
    encoded = bytes(numcodecs.Blosc(cname="lz4", shuffle=1).encode(data))
    harmless = set()
    for at, value in itertools.product(range(16), range(256)):
        stream = encoded[:at] + bytes([value]) + encoded[at + 1 :]
        if verdict("blosc", stream, len(data)) is not None and value != encoded[at]:
            harmless.add(at)
    # What is left says how to split and unshuffle: flags, typesize, and blocksize within bounds.
    assert harmless <= {2, 3, 8, 9, 10}


# Blosc's many forms -----------------------------------------------------------------------------

TYPESIZES = [1, 2, 3, 4, 7, 8, 12, 16, 17, 32, 255]
NBYTES = [1, 2, 15, 127, 128, 129, 1000, 4099, 20_011, 70_000]
KINDS: dict[str, Callable[[int], bytes]] = {
    "smooth": lambda n: smooth(n, "u1", seed=n).tobytes(),
    "random": lambda n: np.random.default_rng(n).bytes(n),
    "zeros": bytes,
}


@pytest.mark.parametrize("shuffle", [0, 1, 2])
@pytest.mark.parametrize("cname", ["lz4", "lz4hc", "zlib", "zstd", "blosclz"])
def test_a_blosc_chunk_of_any_form_is_decoded(cname: str, shuffle: int) -> None:
    """Every typesize and tail; stored blocks, stored chunks, blocks of any size."""
    stored = 0
    forms = itertools.product(TYPESIZES, NBYTES, [0, 256, 5000], [0, 1, 5], KINDS)
    for typesize, nbytes, blocksize, level, kind in itertools.islice(forms, shuffle, None, 4):
        data = KINDS[kind](nbytes)
        chunk = blosc.compress(data, cname.encode(), level, shuffle, blocksize, typesize)
        stored += bool(chunk[2] & 2)
        assert verdict("blosc", bytes(chunk), nbytes) == data, (typesize, nbytes, blocksize, kind)
    assert stored


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


@pytest.mark.parametrize("shuffle", [0, 1, 2])
@pytest.mark.parametrize("cname", ["lz4", "zstd"])
def test_a_blosc_chunk_with_snappy_inside_is_decoded(cname: str, shuffle: int) -> None:
    """numcodecs' build of c-blosc has no snappy; see as_snappy, and the fixtures for others.

    c-blosc splits the blocks that it gives to lz4, and not those for zstd.
    """
    done = 0
    for typesize, nbytes, blocksize in itertools.product(TYPESIZES, NBYTES, [0, 256, 5000]):
        data = KINDS["smooth"](nbytes)
        chunk = bytes(blosc.compress(data, cname.encode(), 5, shuffle, blocksize, typesize))
        if not chunk[2] & 2:
            assert verdict("blosc", as_snappy(chunk), nbytes) == data, (typesize, nbytes, blocksize)
            done += 1
    assert done > 60


def test_damage_in_a_snappy_stream_never_leaves_its_slot() -> None:
    """A mistake in the format is a StreamError, and nothing else is ever raised."""
    data = smooth(20_000, "<f4").tobytes()
    chunk = as_snappy(bytes(blosc.compress(data, b"lz4", 5, 1, 8192, 4)))
    verdicts = {verdict("blosc", stream, len(data)) is None for stream in damaged(chunk, 0)}
    assert verdicts == {True, False}


# Checksums --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["crc32", "adler32", "crc32c"])
def test_a_checksum_is_numcodecs(name: str) -> None:
    codec = numcodecs.get_codec({"id": name, "location": "end"})
    streams = [b"", b"\0", b"123456789", DATA, DATA * 40]
    expected = [int.from_bytes(bytes(codec.encode(s))[-4:], "little") for s in streams]
    assert CPU.checksum(name, batch_of(streams)).tolist() == expected


# Encoding ---------------------------------------------------------------------------------------

OPTIONS: dict[str, dict[str, Any]] = {
    "zstd": {"level": 5, "checksum": True},
    "gzip": {"level": 6},
    "zlib": {"level": 6},
    "lz4": {"acceleration": 3},
    "blosc": {"cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0, "typesize": None},
}


def encoded(batch: Batch) -> list[bytes]:
    return [bytes(batch.arena[start:stop]) for start, stop in batch.spans()]


@pytest.mark.parametrize("codec", OPTIONS)
def test_streams_between_others_are_encoded_as_numcodecs_encodes_them(codec: str) -> None:
    assert set(OPTIONS) == CPU.compressors
    given = {name: value for name, value in OPTIONS[codec].items() if value is not None}
    theirs = numcodecs.get_codec({"id": codec, **given})
    streams = [DATA, b"\1\2", DATA[::-1] * 30, bytes(70_000)]
    batch = batch_of(streams)
    before = batch.arena.copy()
    found = encoded(CPU.compress(codec, batch, OPTIONS[codec]))
    assert (batch.arena == before).all()
    if codec == "gzip":
        assert [gzip.decompress(stream) for stream in found] == streams
    else:
        assert found == [bytes(theirs.encode(stream)) for stream in streams]


@pytest.mark.parametrize("shuffle", [-1, 0, 1, 2])
@pytest.mark.parametrize("dtype", ["u1", "<i2", "<f4", "<c16", "S3", "V300"])
def test_blosc_is_told_the_size_of_elements(dtype: str, shuffle: int) -> None:
    data = smooth(20_400, "u1").tobytes()
    array = np.frombuffer(data, dtype)
    for typesize in (None, 1, 5):
        options = {**OPTIONS["blosc"], "shuffle": shuffle, "typesize": typesize}
        batch = batch_of([data])
        batch.dtype = array.dtype
        theirs = numcodecs.Blosc(shuffle=shuffle, typesize=typesize)
        assert encoded(CPU.compress("blosc", batch, options)) == [bytes(theirs.encode(array))]


def test_compression_runs_beside_other_threads() -> None:
    """None of the libraries holds the GIL: a thread that only counts goes on meanwhile."""
    data = np.random.default_rng(0).integers(0, 9, 32 << 20, np.uint8)
    for codec, options in OPTIONS.items():
        batch = Batch.uniform(data, 1, len(data) >> (5 if codec in ("gzip", "zlib") else 0))
        counted, done = [0], threading.Event()

        def count(counted: list[int] = counted, done: threading.Event = done) -> None:
            while not done.wait(0.0005):
                counted[0] += 1

        thread = threading.Thread(target=count)
        thread.start()
        CPU.compress(codec, batch, options)
        while_compressing = counted[0]
        done.set()
        thread.join()
        assert while_compressing > 3, codec


def test_a_stream_too_large_for_a_format_is_refused() -> None:
    """By a limit of its own, so that no test needs gigabytes."""
    streams = batch_of([DATA, DATA * 2])
    for codec, most in (("blosc", "_BLOSC_MOST"), ("lz4", "_LZ4_MOST")):
        with patch.object(cpu_encoders, most, len(DATA)), pytest.raises(StreamError) as caught:
            CPU.compress(codec, streams, OPTIONS[codec])
        assert caught.value.slot == 1
        assert caught.value.reason == (
            f"expected bytes that {codec} encodes, found: {2 * len(DATA)} bytes, "
            f"more than the {len(DATA)} that its format holds"
        )
    assert cpu_encoders._BLOSC_MOST == 2**31 - 1 - blosc.MAX_OVERHEAD
    assert numcodecs.LZ4.max_buffer_size == cpu_encoders._LZ4_MOST


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8, 16])
def test_shuffle_is_numcodecs(size: int) -> None:
    streams = [DATA[: size * n] for n in (0, 1, 5, 50)]
    into = batch_of(streams)
    CPU.shuffle(batch_of(streams), into, size)
    theirs = numcodecs.Shuffle(size)
    assert encoded(into) == [theirs.encode(s).tobytes() if s else b"" for s in streams]
    assert bytes(into.arena[:GUARD]) == b"\xa5" * GUARD


@pytest.mark.parametrize("at_start", [True, False])
@pytest.mark.parametrize("name", ["crc32", "adler32", "crc32c"])
def test_a_checksum_is_attached_as_numcodecs_does(name: str, at_start: bool) -> None:
    codec = numcodecs.get_codec({"id": name, "location": "start" if at_start else "end"})
    streams = [b"", b"\0", b"123456789", DATA, DATA * 40]
    found = encoded(CPU.attach_checksum(name, batch_of(streams), at_start))
    assert found == [bytes(codec.encode(s)) for s in streams]


def test_streams_are_copied_into_their_slots() -> None:
    streams = [b"abc", b"", DATA]
    into = batch_of([bytes(len(s)) for s in streams])
    CPU.copy(batch_of(streams), into)
    assert encoded(into) == streams
