"""What the CPU alone promises: verdicts on any damage as numcodecs has them, and its encoders.

What every device promises: test_contract.py.
"""

from __future__ import annotations

import gzip
import itertools
import threading
from typing import Any
from unittest.mock import patch

import numcodecs
import numpy as np
import pytest
from device.streams import CASES, CODECS, DATA, ODD, as_snappy, damaged, reference
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


# Odd and damaged streams --------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "name"), CASES, ids=lambda part: part.replace(" ", "-"))
def test_a_stream_of_unknown_size_with(codec: str, name: str) -> None:
    """As numcodecs decodes it, up to the most bytes that it may have, and not one more."""
    encoded = ODD[codec][name]
    try:
        expected = bytes(memoryview(CODECS[codec].decode(encoded)).cast("B"))
    except Exception:
        with pytest.raises(StreamError):
            CPU.decompress(codec, batch_of([encoded]), None, 1 << 20)
        return
    for most in (len(expected), len(expected) + 1, 1 << 20):
        found = CPU.decompress(codec, batch_of([encoded]), None, most)
        assert found.arena.tobytes() == expected
    if expected:
        with pytest.raises(StreamError) as caught:
            CPU.decompress(codec, batch_of([encoded]), None, len(expected) - 1)
        assert caught.value.kind is ChunkSizeError


@pytest.mark.parametrize(("codec", "name"), CASES, ids=lambda part: part.replace(" ", "-"))
def test_a_stream_with(codec: str, name: str) -> None:
    for size in (len(DATA), 0):
        assert_like_numcodecs(codec, ODD[codec][name], size)


def test_the_odd_streams_are_not_all_refused() -> None:
    """Else the comparison would say little."""
    valid = [(c, n) for c, n in CASES if verdict(c, ODD[c][n], len(DATA)) == DATA]
    assert ("zstd", "two frames") in valid
    assert ("zstd", "an empty skippable frame between") in valid
    assert ("zstd", "no content size") in valid
    assert ("gzip", "two members") in valid
    assert ("gzip", "zeros behind") in valid
    assert ("zlib", "bytes behind") in valid
    assert ("zstd", "bytes behind") not in valid
    assert ("gzip", "garbage behind") not in valid


@pytest.mark.parametrize("codec", ["zstd", "gzip", "zlib", "lz4"])
def test_no_bytes_are_decoded_if_numcodecs_does(codec: str) -> None:
    """It refuses what it writes itself for LZ4 and Zstd; Zarr has no chunk of no bytes."""
    encoded = bytes(CODECS[codec].encode(b""))
    assert reference(codec, encoded, 0) == (b"" if codec in ("gzip", "zlib") else None)
    assert_like_numcodecs(codec, encoded, 0)


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


@pytest.mark.parametrize("codec", [b"lz4", b"zstd", "snappy"])
@pytest.mark.parametrize(("at", "value"), [(2, 0x08), (8, 0xFF)])
def test_reserved_bits_and_too_large_blocks_are_refused_whatever_is_inside(
    codec: Any, at: int, value: int
) -> None:
    """As c-blosc does, which has no snappy here."""
    chunk = bytearray(blosc.compress(DATA, b"lz4" if codec == "snappy" else codec, 5, 1, 512, 4))
    chunk = bytearray(as_snappy(bytes(chunk))) if codec == "snappy" else chunk
    chunk[at] |= value
    chunk[9] |= value & 0xF0
    if codec != "snappy":
        with pytest.raises(RuntimeError):
            blosc.decompress(bytes(chunk))
    room = Batch.uniform(np.empty(len(DATA), np.uint8), 1, len(DATA))
    with pytest.raises(StreamError):
        CPU.decompress("blosc", batch_of([bytes(chunk)]), room)


def test_damage_in_a_snappy_stream_never_leaves_its_slot() -> None:
    """A mistake in the format is a StreamError, and nothing else is ever raised."""
    data = smooth(20_000, "<f4").tobytes()
    chunk = as_snappy(bytes(blosc.compress(data, b"lz4", 5, 1, 8192, 4)))
    verdicts = {verdict("blosc", stream, len(data)) is None for stream in damaged(chunk, 0)}
    assert verdicts == {True, False}


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
    for codec in cpu_encoders.MOST:
        fewer = patch.dict(cpu_encoders.MOST, {codec: len(DATA)})
        with fewer, pytest.raises(StreamError) as caught:
            CPU.compress(codec, streams, OPTIONS[codec])
        assert caught.value.slot == 1
        assert caught.value.reason == (
            f"expected bytes that {codec} encodes, found: {2 * len(DATA)} bytes, "
            f"more than the {len(DATA)} that its format holds"
        )
    assert cpu_encoders.MOST["blosc"] == 2**31 - 1 - blosc.MAX_OVERHEAD
    assert numcodecs.LZ4.max_buffer_size == cpu_encoders.MOST["lz4"]
