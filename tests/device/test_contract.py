"""The contract of every device: what each op gives is what NumPy or the CPU's libraries give.

Placement, gathering and fill values: test_placement.py, test_gather.py, test_fill.py.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from dataclasses import replace
from typing import Any

import google_crc32c
import numcodecs
import numpy as np
import pytest
import zstandard
from device.memory import POISON, made, put, slots, streams_of, written
from device.streams import CASES, CODECS, DATA, KINDS, NBYTES, ODD, as_snappy, damaged, reference
from harness import smooth
from numcodecs import blosc
from numcodecs.fletcher32 import Fletcher32

from gpuzarr import device as devices
from gpuzarr.batch import Batch
from gpuzarr.device import Device, emulated
from gpuzarr.device.counting import counting
from gpuzarr.errors import ChecksumError, ChunkSizeError, DeviceError, StreamError

CPU = devices.get("cpu")
PLAIN = {**CODECS, "zstd": numcodecs.Zstd(level=1)}
"""Codecs whose streams no part of is left to the CPU."""

SIZES = [0, 1, 2, 3, 15, 16, 17, 31, 255, 1000, 4095, 4096, 4097, 16383, 16384, 16385, 40_001]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def decode(device: Device, codec: str, streams: list[bytes], sizes: list[int]) -> list[bytes]:
    """Decoded streams, whether the host still has the encoded ones or not."""
    found = []
    for batch in (put(device, streams), made(device, streams)):
        into = slots(device, sizes)
        assert device.decompress(codec, batch, into) is into
        found.append(written(device, into))
    assert found[0] == found[1]
    return found[0]


def verdict(device: Device, codec: str, streams: list[bytes], sizes: list[int]) -> Any:
    """Slot and kind of the error; what is decoded where there is none."""
    into = slots(device, sizes)
    try:
        device.decompress(codec, put(device, streams), into)
    except StreamError as found:
        error = found
    else:
        return written(device, into)
    assert error.reason.startswith("expected ")
    assert ", found" in error.reason
    return error.slot, error.kind


# Transfers ----------------------------------------------------------------------------------------


def test_what_is_uploaded_comes_back(device: Device, rng: Any) -> None:
    data = [rng.bytes(n) for n in SIZES]
    for batch in (put(device, data), made(device, data), made(device, data, gaps=[0])):
        assert streams_of(device, batch) == data
        order = rng.permutation(len(data))
        assert streams_of(device, batch.take(order)) == [data[n] for n in order]
        assert streams_of(device, batch.take(order[:1])) == [data[order[0]]]
        assert streams_of(device, batch.take(order[:0])) == []
        twice = batch.within(batch.offsets[-2:] + 100, np.array([700, 9000]))
        assert streams_of(device, twice) == [data[-2][100:800], data[-1][100:9100]]


def test_streams_that_are_few_bytes_of_their_arena_are_uploaded(device: Device, rng: Any) -> None:
    """In any order, one of them twice, some of them overlapping."""
    arena = rng.integers(0, 256, 1_000_000, np.uint8)
    starts = np.array([999_000, 7, 500_000, 7, 100, 3, 400_001])
    sizes = np.array([1000, 50, 0, 50, 3000, 4, 1])
    with counting() as counts:
        batch = device.upload(Batch(arena, starts, sizes))
    expected = [arena[a : a + n].tobytes() for a, n in zip(starts, sizes, strict=True)]
    assert counts.bytes_uploaded <= 5000
    assert streams_of(device, batch) == expected
    if not device.is_host:
        assert streams_of(device, replace(batch, host=None)) == expected


@pytest.mark.parametrize("dtype", ["u1", "<f4"])
def test_batches_without_streams_or_bytes(device: Device, dtype: str) -> None:
    for batch in (put(device, []), made(device, [])):
        nothing = replace(batch, dtype=np.dtype(dtype))
        into = slots(device, [])
        assert streams_of(device, device.upload(nothing) if device.is_host else nothing) == []
        device.copy(nothing, into)
        device.unshuffle(nothing, into, 4)
        device.byte_swap(nothing, into, 4)
        device.prefix_sum(nothing, into, np.dtype("i4"), np.dtype("i8"))
        device.prefix_sum(nothing, into, np.dtype("f4"), np.dtype("f4"))
        assert device.checksum("crc32c", nothing).tolist() == []
        assert device.gather_u32(nothing, np.zeros(0, np.int64)).tolist() == []
        assert streams_of(device, device.attach_checksum("crc32", nothing, False)) == []
        for codec in device.decompressors - {"snappy"}:
            assert device.decompress(codec, nothing, into) is into
    empty = put(device, [b""] * 3)
    device.copy(empty, slots(device, [0] * 3))
    assert device.checksum("adler32", empty).tolist() == [1, 1, 1]
    assert streams_of(device, made(device, [b""] * 3)) == [b""] * 3


# Decompression ------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", PLAIN)
def test_streams_are_decoded(device: Device, codec: str, rng: Any) -> None:
    data = [KINDS[kind](n) for n in NBYTES for kind in KINDS]
    streams = [bytes(PLAIN[codec].encode(d)) for d in data]
    with counting() as counts:
        assert decode(device, codec, streams, [len(d) for d in data]) == data
    assert not counts.on_host.total()
    assert decode(device, codec, streams[:1], [len(data[0])]) == data[:1]


@pytest.mark.parametrize("codec", PLAIN)
def test_a_thousand_streams_are_decoded(device: Device, codec: str) -> None:
    data = [smooth(1 + n % 60, "u1", seed=n).tobytes() for n in range(1000)]
    streams = [bytes(PLAIN[codec].encode(d)) for d in data]
    into = slots(device, [len(d) for d in data], gaps=[0])
    device.decompress(codec, put(device, streams, gaps=[1, 0]), into)
    assert written(device, into) == data


UNDEFINED = [("zlib", "no adler32"), ("zlib", "half of its adler32")]
"""Nothing in front of these shows what they lack: decoders of batches may do anything."""


@pytest.mark.parametrize(("codec", "name"), CASES, ids=lambda part: part.replace(" ", "-"))
def test_a_stream_with(device: Device, codec: str, name: str) -> None:
    """Between plain streams, of which none is decoded on the host."""
    plain, odd = bytes(PLAIN[codec].encode(DATA)), ODD[codec][name]
    streams = [plain, odd, plain, odd]
    for size in (len(DATA), 0):
        sizes = [len(DATA), size, len(DATA), size]
        expected = reference(codec, odd, size)
        if (codec, name) in UNDEFINED and not device.is_host and size:
            with pytest.raises((StreamError, DeviceError)):
                decode(device, codec, streams, sizes)
            emulated.reset()
        elif expected is None:
            found = verdict(device, codec, streams, sizes)
            assert found == verdict(CPU, codec, streams, sizes)
            assert found[0] == 1
        else:
            with counting() as counts:
                assert decode(device, codec, streams, sizes) == [DATA, expected] * 2
            assert counts.on_host.total() in (0, 4)
            assert not (device.is_host and counts.on_host)


@pytest.mark.parametrize("codec", ["zstd", "gzip", "zlib", "lz4", "blosc"])
def test_of_streams_that_only_the_device_has_no_more_than_headers_come_back(
    device: Device, codec: str
) -> None:
    data = [np.random.default_rng(n).bytes(9000) for n in range(6)]
    batch = made(device, [bytes(PLAIN[codec].encode(d)) for d in data])
    into = slots(device, [9000] * 6)
    with counting() as counts:
        device.decompress(codec, batch, into)
    assert written(device, into) == data
    assert counts.bytes_downloaded < 6 * 400
    assert not counts.on_host[codec]


def test_odd_streams_are_counted_where_they_are_decoded(device: Device) -> None:
    odd = {
        "zstd": ["two frames", "no content size", "a skippable frame before"],
        "gzip": ["two members", "a file name", "zeros behind"],
        "zlib": ["bytes behind"],
    }
    for codec, names in odd.items():
        streams = [bytes(PLAIN[codec].encode(DATA)), *(ODD[codec][name] for name in names)]
        with counting() as counts:
            assert set(decode(device, codec, streams, [len(DATA)] * len(streams))) == {DATA}
        assert counts.on_host == ({} if device.is_host else {codec: 2 * len(names)})


def frame(data: bytes, **options: Any) -> bytes:
    """With a checksum of its own."""
    return zstandard.ZstdCompressor(write_checksum=True, **options).compress(data)


def test_frames_with_a_checksum_are_decoded_with_those_that_have_none(device: Device) -> None:
    """None is left to the CPU, whatever its size; the checksums are compared."""
    rng = np.random.default_rng(7)
    sizes = [1, 3, 4, 8, 31, 32, 33, 255, 256, 300, 5000, 65_536, 65_792, 140_000, 300_000]
    data = [make(n) for n in sizes for make in (rng.bytes, bytes)]
    streams = [frame(d) if n % 3 else bytes(PLAIN["zstd"].encode(d)) for n, d in enumerate(data)]
    assert {s[4] >> 2 & 1 for s in streams} == {0, 1}
    with counting() as counts:
        assert decode(device, "zstd", streams, [len(d) for d in data]) == data
    assert not counts.on_host.total()
    assert counts.launches["xxh64"] == (0 if device.is_host else 2)
    with counting() as counts:
        assert decode(device, "zstd", streams[::3], [len(d) for d in data[::3]]) == data[::3]
    assert not counts.launches["xxh64"]


def test_a_checksum_of_zstd_that_does_not_match_names_the_first_such_stream(
    device: Device,
) -> None:
    """By the reference decoder's verdict, which the device asks for."""
    good, plain = frame(DATA), bytes(PLAIN["zstd"].encode(DATA))
    for at in range(1, 5):
        bad = good[:-at] + bytes([good[-at] ^ 16]) + good[len(good) - at + 1 :]
        for batch in (put(device, [plain, good, bad, bad]), made(device, [plain, good, bad, bad])):
            with pytest.raises(StreamError, match="expected a valid zstd stream") as caught:
                device.decompress("zstd", batch, slots(device, [len(DATA)] * 4))
            assert (caught.value.slot, caught.value.kind) == (2, ChecksumError)


def test_damage_in_a_frame_that_its_checksum_alone_shows_is_an_error(device: Device) -> None:
    """Literals that are stored as they are, each of which another could be."""
    data = np.random.default_rng(9).bytes(600)
    good = frame(data)
    assert good[-4 - 600 : -4] == data
    for at in range(len(good) - 604, len(good) - 4, 37):
        bad = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        assert verdict(device, "zstd", [good, bad], [600] * 2) == (1, ChecksumError)


def test_a_size_other_than_the_chunks_is_told_as_such(device: Device) -> None:
    for codec, numcodec in CODECS.items():
        encoded = bytes(numcodec.encode(DATA))
        for size in (len(DATA) - 1, len(DATA) + 1):
            with pytest.raises(StreamError, match=f"expected {size} bytes, found") as caught:
                decode(device, codec, [encoded] * 2, [len(DATA), size])
            assert (caught.value.slot, caught.value.kind) == (1, ChunkSizeError)


VISIBLE = {"zstd": (6, 0), "gzip": (10, 8), "zlib": (2, 4), "lz4": (10_000, 0)}
"""Bytes at the start and the end of a stream of which any damage can be seen."""


@pytest.mark.parametrize("size", [300, 20_000])
@pytest.mark.parametrize("codec", VISIBLE)
def test_damage_that_can_be_seen_is_judged_as_on_the_cpu(
    device: Device, codec: str, size: int
) -> None:
    encoded = bytes(PLAIN[codec].encode(smooth(size, "u1").tobytes()))
    front, back = VISIBLE[codec]
    verdicts = set()
    for stream in damaged(encoded, 0):
        same = stream[front : len(encoded) - back] == encoded[front : len(encoded) - back]
        cut = len(stream) < len(encoded) and codec != "zlib"
        if cut or (same and len(stream) >= len(encoded)):
            found = verdict(device, codec, [encoded, stream], [size] * 2)
            assert found == verdict(CPU, codec, [encoded, stream], [size] * 2), stream.hex()
            verdicts.add(isinstance(found, tuple))
    assert True in verdicts


# Blosc --------------------------------------------------------------------------------------------

TYPESIZES = [1, 2, 3, 4, 7, 8, 16, 255]
FORMS = list(itertools.product(TYPESIZES, NBYTES, [0, 256, 5000], [0, 1, 5], KINDS))
CNAMES = ["lz4", "lz4hc", "zlib", "zstd", "blosclz", "snappy split", "snappy whole"]


def blosc_chunk(cname: str, shuffle: int, form: Any) -> tuple[bytes, bytes]:
    """A chunk and its content. numcodecs' c-blosc has no snappy, so that is put in afterwards."""
    typesize, nbytes, blocksize, level, kind = form
    data = KINDS[kind](nbytes)
    known = {"snappy split": "lz4", "snappy whole": "zstd"}.get(cname, cname)
    chunk = bytes(blosc.compress(data, known.encode(), level, shuffle, blocksize, typesize))
    if known != cname and not chunk[2] & 2:
        chunk = as_snappy(chunk)
    return chunk, data


@pytest.mark.parametrize("shuffle", [0, 1, 2])
@pytest.mark.parametrize("cname", CNAMES)
def test_a_blosc_chunk_of_any_form_is_decoded(device: Device, cname: str, shuffle: int) -> None:
    """Every typesize and tail; stored blocks, stored chunks, blocks of any size."""
    every = 4 if device.is_host else 11
    forms = FORMS[shuffle + len(cname) :: every]
    chunks, data = zip(*(blosc_chunk(cname, shuffle, form) for form in forms), strict=True)
    into = slots(device, [len(d) for d in data])
    with counting() as counts:
        device.decompress("blosc", put(device, chunks), into)
    for form, found, expected in zip(forms, written(device, into), data, strict=True):
        assert found == expected, form
    assert any(chunk[2] & 2 for chunk in chunks)
    assert not counts.on_host.total()
    stages = sum(n for op, n in counts.launches.items() if "shuffle" not in op)
    assert stages <= 12  # whatever the number of chunks


@pytest.mark.parametrize("seed", range(3))
def test_blosc_chunks_of_all_forms_in_one_batch_are_decoded(device: Device, seed: int) -> None:
    rng = np.random.default_rng(seed)
    forms = [FORMS[n] for n in rng.integers(0, len(FORMS), 80)]
    chunks, data = zip(
        *(blosc_chunk(CNAMES[rng.integers(7)], int(rng.integers(3)), form) for form in forms),
        strict=True,
    )
    found = decode(device, "blosc", list(chunks), [len(d) for d in data])
    for form, one, expected in zip(forms, found, data, strict=True):
        assert one == expected, form


@pytest.mark.parametrize("shuffle", [0, 1, 2])
@pytest.mark.parametrize("cname", ["lz4", "zstd"])
def test_a_long_tail_that_is_stored_is_copied(device: Device, cname: str, shuffle: int) -> None:
    """It is one stream, longer than those of the blocks that are split."""
    data = bytes(1 << 17) + np.random.default_rng(0).bytes(60_001)
    blocksize = 1 << 13 if cname == "lz4" else 1 << 16  # c-blosc makes 8 times as much of the first
    chunk = bytes(blosc.compress(data, cname.encode(), 5, shuffle, blocksize, 8))
    assert struct.unpack_from("<i", chunk, 8) == (1 << 16,)
    assert not chunk[2] & 2
    assert decode(device, "blosc", [chunk], [len(data)]) == [data]


def test_blosc_chunks_of_nothing(device: Device) -> None:
    """They are refused, as by numcodecs."""
    chunk = bytes(blosc.compress(b"", b"lz4", 5, 1, 0))
    other = bytes(blosc.compress(DATA, b"zstd", 5, 1, 0, 4))
    for chunks, sizes in (([chunk], [0]), ([other, chunk], [len(DATA), 0])):
        found = verdict(device, "blosc", chunks, sizes)
        assert found == verdict(CPU, "blosc", chunks, sizes)
        assert found[0] == len(chunks) - 1


def test_odd_streams_inside_of_blosc_are_decoded_on_the_host(device: Device) -> None:
    """Two frames, and bytes behind a zlib stream: no encoder of Blosc writes them."""
    for number, stream in ((4, ODD["zstd"]["two frames"]), (3, ODD["zlib"]["bytes behind"])):
        header = struct.pack("<BBBBiii", 2, 1, number << 5 | 16, 1, 2000, 2000, 24 + len(stream))
        chunk = header + struct.pack("<ii", 20, len(stream)) + stream
        assert len(DATA) == 2000
        plain = bytes(PLAIN["blosc"].encode(DATA))
        with counting() as counts:
            assert decode(device, "blosc", [plain, chunk, plain], [2000] * 3) == [DATA] * 3
        assert counts.on_host == ({} if device.is_host else {"blosc": 2})


@pytest.mark.parametrize("cname", CNAMES)
def test_damaged_blosc_headers_and_tables_are_judged_as_on_the_cpu(
    device: Device, cname: str
) -> None:
    data = smooth(3000, "<f4").tobytes()
    form = (4, 12_000, 4096, 5, "smooth")
    plain, _ = blosc_chunk(cname, 1, form)
    chunks = []
    for at, value in itertools.product(range(16), (0, 1, 2, 3, 9, 33, 127, 128, 255)):
        chunks.append(plain[:at] + bytes([value]) + plain[at + 1 :])
    for block, start in itertools.product(range(3), (0, 15, len(plain) - 3, len(plain), -1)):
        at = 16 + 4 * block
        chunks.append(plain[:at] + struct.pack("<i", start) + plain[at + 4 :])
    (first,) = struct.unpack_from("<i", plain, 16)
    sizes = (struct.pack("<i", size) for size in (-1, len(plain), 1 << 30))
    chunks += [plain[:first] + size + plain[first + 4 :] for size in sizes]
    chunks += [plain[:cut] for cut in (0, 1, 15, 16, 20, 28, len(plain) - 1)] + [plain + b"\0"]
    kinds = set()
    for chunk in chunks:
        expected = verdict(CPU, "blosc", [plain, chunk], [len(data)] * 2)
        found = verdict(device, "blosc", [plain, chunk], [len(data)] * 2)
        assert found == expected, chunk[:32].hex()
        kinds.add(found[1] if isinstance(found, tuple) else None)
    assert {ChunkSizeError, None} < kinds


@pytest.mark.parametrize("cname", ["lz4", "blosclz"])
def test_damage_behind_a_blosc_header_is_judged_as_on_the_cpu(device: Device, cname: str) -> None:
    """By the two decoders that are safe on any bytes."""
    form = (4, 20_000, 8192, 5, "smooth")
    plain, _ = blosc_chunk(cname, 1, form)
    verdicts = set()
    for stream in itertools.islice(damaged(plain, 16), 0, None, 1 if device.is_host else 5):
        found = verdict(device, "blosc", [plain, stream, plain], [20_000] * 3)
        assert found == verdict(CPU, "blosc", [plain, stream, plain], [20_000] * 3), stream.hex()
        verdicts.add(isinstance(found, tuple))
    assert verdicts == {True, False}


# Checksums ----------------------------------------------------------------------------------------


def fletcher32(data: bytes) -> int:
    return int.from_bytes(bytes(Fletcher32().encode(data))[-4:], "little")


def xxh64(data: bytes) -> int:
    """The end of a frame of zstd."""
    frame = zstandard.ZstdCompressor(write_checksum=True).compress(data)
    return int.from_bytes(frame[-4:], "little")


CHECKSUMS: dict[str, Any] = {
    "crc32": zlib.crc32,
    "adler32": zlib.adler32,
    "crc32c": google_crc32c.value,
    "fletcher32": fletcher32,
    "xxh64": xxh64,
}


@pytest.mark.parametrize("name", CHECKSUMS)
def test_a_checksum_is_the_librarys(device: Device, name: str, rng: Any) -> None:
    assert name in device.checksums
    sizes = [*SIZES, 32_767, 32_768, 32_769, 70_000]
    data = [b"123456789", b"\xff" * 70_000, bytes(5000), *map(rng.bytes, sizes)]
    if name == "fletcher32":  # of no bytes it knows nothing
        data = [d for d in data if d]
    for batch in (put(device, data), made(device, data)):
        found = device.checksum(name, batch)
        assert found.dtype == np.uint32
        assert found.tolist() == [CHECKSUMS[name](d) for d in data]


@pytest.mark.parametrize("at_start", [True, False])
@pytest.mark.parametrize("name", ["crc32", "adler32", "crc32c", "fletcher32"])
def test_a_checksum_is_attached_as_numcodecs_does(
    device: Device, name: str, at_start: bool, rng: Any
) -> None:
    if name == "fletcher32" and at_start:
        return  # numcodecs knows no such thing
    where = {} if name == "fletcher32" else {"location": "start" if at_start else "end"}
    codec = numcodecs.get_codec({"id": name, **where})
    data = [rng.bytes(n) for n in SIZES if n or name != "fletcher32"]
    found = device.attach_checksum(name, made(device, data), at_start)
    assert streams_of(device, found) == [bytes(codec.encode(d)) for d in data]


def test_integers_are_gathered_from_anywhere(device: Device, rng: Any) -> None:
    data = [rng.bytes(n) for n in (4, 5, 4000)]
    for batch in (put(device, data), made(device, data)):
        offsets = batch.offsets[[0, 1, 1, 2, 2, 2]] + [0, 0, 1, 1000, 0, 3996]
        parts = [data[0], data[1][:4], data[1][1:], data[2][1000:1004], data[2][:4], data[2][3996:]]
        expected = [int.from_bytes(part, "little") for part in parts]
        found = device.gather_u32(batch, offsets)
        assert found.dtype == np.uint32
        assert found.tolist() == expected
        assert device.gather_u32(batch, offsets[3:4]).tolist() == expected[3:4]


# Rearranging --------------------------------------------------------------------------------------


@pytest.mark.parametrize("typesize", [1, 2, 3, 4, 7, 8, 12, 16, 17, 255, 1024, 1025, 3000])
def test_elements_are_taken_apart_and_put_together(device: Device, typesize: int, rng: Any) -> None:
    counts = [0, 1, 5, 8, 16, 129, max(1, 16384 // typesize), 20_001 // typesize + 1]
    data = [rng.bytes(n * typesize) for n in counts]
    planes = [np.frombuffer(d, "u1").reshape(-1, typesize).T.tobytes() for d in data]
    apart = slots(device, [len(d) for d in data])
    device.shuffle(made(device, data), apart, typesize)
    assert written(device, apart) == planes
    together = slots(device, [len(d) for d in data], gaps=[16, 1])
    device.unshuffle(put(device, planes, gaps=[0]), together, typesize)
    assert written(device, together) == data


@pytest.mark.parametrize("width", [1, 2, 3, 4, 8, 12, 16, 40])
def test_bytes_of_elements_are_reversed(device: Device, width: int, rng: Any) -> None:
    counts = [0, 1, 2, 5, 16384 // width, 20_000 // width + 1]
    data = [rng.bytes(n * width) for n in counts]
    for gaps in ([0], [1, 5], [16]):
        into = slots(device, [len(d) for d in data], gaps=gaps)
        device.byte_swap(made(device, data, gaps=gaps[::-1]), into, width)
        expected = [np.frombuffer(d, "u1").reshape(-1, width)[:, ::-1].tobytes() for d in data]
        assert written(device, into) == expected


def test_streams_are_copied_into_their_slots(device: Device, rng: Any) -> None:
    data = [rng.bytes(n) for n in SIZES]
    for gaps in ([0], [1, 3, 16]):
        into = slots(device, SIZES, gaps=gaps)
        device.copy(put(device, data), into)
        assert written(device, into) == data
    tiny = [rng.bytes(n % 4) for n in range(3000)]
    into = slots(device, [len(d) for d in tiny])
    device.copy(made(device, tiny), into)
    assert written(device, into) == tiny


# Sums ---------------------------------------------------------------------------------------------

INTEGERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]
FLOATS = ["f2", "f4", "f8"]
SUMS = [
    *((s, t) for s in INTEGERS for t in INTEGERS if np.result_type(s, t).kind != "f"),
    *((s, t) for s in FLOATS for t in FLOATS if s <= t),
]  # fmt: skip


@pytest.mark.parametrize("target", [*INTEGERS, *FLOATS])
def test_running_sums_are_numpys(device: Device, target: str, rng: Any) -> None:
    """At any address, of integers that wrap; u8 with signed ones NumPy adds as doubles."""
    for source in [s for s, t in SUMS if t == target]:
        values = []
        for count in (0, 1, 31, 33, 1023, 4095, 4096, 4097, 9000):
            if source[0] == "f":
                values.append((rng.normal(size=min(count, 1100)) * 3).astype(source))
            else:
                values.append(rng.integers(0, 256, count * int(source[1]), "u1").view(source))
        for gaps in ([0], [1, 8]):
            into = slots(device, [len(v) * int(target[1]) for v in values], gaps=gaps)
            batch = made(device, [v.tobytes() for v in values], gaps=gaps)
            device.prefix_sum(batch, into, np.dtype(source), np.dtype(target))
            with np.errstate(all="ignore"):
                expected = [np.cumsum(v.astype(target), dtype=target).tobytes() for v in values]
            assert written(device, into) == expected, source


def test_poison_is_what_it_is_called(device: Device) -> None:
    """Else nothing that is left untouched would be seen."""
    into = slots(device, [3, 0, 2])
    assert written(device, into) == [bytes([POISON]) * n for n in (3, 0, 2)]
    device.copy(put(device, [b"x"]), into.within(into.offsets[:1] - 1, np.array([1])))
    with pytest.raises(AssertionError):
        written(device, into)
