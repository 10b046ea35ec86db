"""What devices encode, the libraries that others read with decode, bit for bit."""

from __future__ import annotations

import gzip
import itertools
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numcodecs
import numpy as np
import pytest
import zstandard
from device.memory import made, put, slots, streams_of, written
from harness import smooth
from numcodecs import blosc

from gpuzarr import device as devices
from gpuzarr.batch import Batch
from gpuzarr.codecs import entropy
from gpuzarr.device import (
    Device,
    emulated_compress,
    emulated_formats,
    emulated_library,
    emulator_build,
)
from gpuzarr.device.counting import counting
from gpuzarr.device.emulated_library import BrokenStreamError
from gpuzarr.device.kernel_blosc_encode import Form
from gpuzarr.errors import DeviceError, StreamError, UnsupportedError
from gpuzarr.spec import v2_configs

Decode = Callable[[bytes], bytes]

ZSTD, LZ4 = {"level": 0, "checksum": False}, {"acceleration": 1}
PLAIN: dict[str, tuple[str, dict[str, Any], Decode]] = {
    "zstd": ("zstd", ZSTD, numcodecs.Zstd().decode),
    "zstd by zstandard": ("zstd", ZSTD, zstandard.ZstdDecompressor().decompress),
    "zstd with a checksum": (
        "zstd", {"level": 0, "checksum": True}, zstandard.ZstdDecompressor().decompress,
    ),
    "lz4": ("lz4", LZ4, numcodecs.LZ4().decode),
    "gzip": ("gzip", {"level": 5}, numcodecs.GZip().decode),
    "gzip by gzip": ("gzip", {"level": 0}, gzip.decompress),
    "zlib": ("zlib", {"level": 1}, numcodecs.Zlib().decode),
    "zlib by zlib": ("zlib", {"level": 9}, zlib.decompress),
}  # fmt: skip
BLOSC = {"cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0, "typesize": None}
TYPESIZES = [1, 2, 3, 4, 7, 8, 16]


@pytest.fixture
def emulated_device() -> Any:
    """Where there is one."""
    if not emulator_build.is_available():
        pytest.skip("there is no g++")
    return devices.get("emulated")


def kinds(nbytes: int) -> list[bytes]:
    """A constant, noise, smooth floats, and text, of this many bytes."""
    rng, elements = np.random.default_rng(nbytes), nbytes // 4 + 1
    text = b"One chunk is decoded with all others. " * (nbytes // 30 + 1)
    wave = smooth(elements, "<f4").tobytes()
    return [bytes([7]) * nbytes, rng.bytes(nbytes), wave[:nbytes], text[:nbytes]]


def encode(
    device: Device, codec: str, streams: list[bytes], options: dict[str, Any]
) -> list[bytes]:
    """By one call for all; whether the host has the streams too makes no difference."""
    found = [
        streams_of(device, device.compress(codec, batch, options))
        for batch in (put(device, streams), made(device, streams))
    ]
    assert found[0] == found[1]
    return found[0]


# --- what comes back ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLAIN)
def test_encoded_streams_are_decoded_by_others(device: Device, name: str) -> None:
    codec, options, decode = PLAIN[name]
    sizes = (1, 15, 16, 17, 255, 256, 1000, 4097, 40_001)
    streams = [stream for nbytes in sizes for stream in kinds(nbytes)]
    encoded = encode(device, codec, streams, options)
    assert [bytes(decode(stream)) for stream in encoded] == streams


@pytest.mark.parametrize("name", PLAIN)
def test_streams_around_64_kib_are_decoded_by_others(device: Device, name: str) -> None:
    """Up to there Deflate's own encoder takes them, and Gzip's in parts from there."""
    codec, options, decode = PLAIN[name]
    streams = [stream for nbytes in (65535, 65536) for stream in kinds(nbytes)[1:]]
    streams += kinds(65537)[2:] + kinds(150_000)[2:]
    encoded = encode(device, codec, streams, options)
    assert [bytes(decode(stream)) for stream in encoded] == streams
    with counting() as counts:
        into = slots(device, [len(stream) for stream in streams])
        device.decompress(codec, put(device, encoded), into)
    assert written(device, into) == streams
    assert counts.on_host.total() == 0


@pytest.mark.parametrize("shuffle", [0, 1, 2])
@pytest.mark.parametrize("cname", ["lz4", "zstd"])
def test_blosc_chunks_are_those_of_c_blosc(device: Device, cname: str, shuffle: int) -> None:
    """Their blocks, too; only what is within a stream is another encoder's."""
    sizes = (1, 15, 17, 127, 128, 129, 1000, 2048, 2049, 33_000)
    streams = [stream for nbytes in sizes for stream in kinds(nbytes)]
    for typesize, (clevel, blocksize) in itertools.product(
        TYPESIZES, [(5, 0), (1, 256), (9, 1000), (0, 0)]
    ):
        options = BLOSC | {
            "cname": cname, "clevel": clevel, "shuffle": shuffle, "blocksize": blocksize,
            "typesize": typesize,
        }  # fmt: skip
        encoded = streams_of(device, device.compress("blosc", put(device, streams), options))
        for stream, chunk in zip(streams, encoded, strict=True):
            assert len(chunk) <= len(stream) + 16
            assert bytes(blosc.decompress(chunk)) == stream
            theirs = blosc.compress(stream, cname.encode(), clevel, shuffle, blocksize, typesize)
            assert header(chunk) == header(bytes(theirs))


def header(chunk: bytes) -> tuple[int, ...]:
    """What does not depend on how well streams are compressed."""
    version, codec_version, flags, typesize, nbytes, blocksize, cbytes = struct.unpack_from(
        "<BBBBiii", chunk
    )
    assert cbytes == len(chunk)
    return version, codec_version, flags & ~2, typesize, nbytes, blocksize


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        ("<f4", {"shuffle": -1}),
        ("u1", {"shuffle": -1}),
        ("<f8", {"typesize": 2}),
        ("<i2", {"cname": "zstd", "shuffle": 2}),
        ("S300", {}),
    ],
)
def test_the_dtype_gives_what_options_leave_open(
    device: Device, dtype: str, options: dict[str, Any]
) -> None:
    values = np.arange(3000, dtype="<f4").view("u1")[:12000].view(dtype)
    batch = put(device, [values.tobytes()])
    batch.dtype = values.dtype
    given = BLOSC | options
    (chunk,) = streams_of(device, device.compress("blosc", batch, given))
    expected = blosc.compress(
        values.tobytes(), given["cname"].encode(), 5, given["shuffle"], 0,
        given["typesize"] or values.dtype.itemsize,
    )  # fmt: skip
    assert bytes(blosc.decompress(chunk)) == values.tobytes()
    assert header(chunk) == header(bytes(expected))


def test_each_row_of_a_batch_may_have_gaps(device: Device) -> None:
    """And lie at any address."""
    streams = [stream for nbytes in (1, 4, 1001, 4096) for stream in kinds(nbytes)]
    batch = put(device, streams, gaps=[3, 0, 1])
    for name, (codec, options, decode) in PLAIN.items():
        found = streams_of(device, device.compress(codec, batch, options))
        assert [bytes(decode(stream)) for stream in found] == streams, name
    for cname, shuffle in itertools.product(["lz4", "zstd"], [0, 1]):
        options = BLOSC | {"cname": cname, "shuffle": shuffle, "typesize": 3}
        found = streams_of(device, device.compress("blosc", batch, options))
        assert [bytes(blosc.decompress(chunk)) for chunk in found] == streams


SMOOTH = smooth(1 << 18, "<f4").tobytes()


@pytest.mark.parametrize(
    ("codec", "options", "theirs"),
    [
        ("zstd", ZSTD, numcodecs.Zstd()),
        ("lz4", LZ4, numcodecs.LZ4()),
        ("gzip", {"level": 1}, numcodecs.GZip(1)),
        ("gzip", {"level": 5}, numcodecs.GZip(5)),
        ("zlib", {"level": 1}, numcodecs.Zlib(1)),
        *(
            ("blosc", BLOSC | {"cname": c, "shuffle": s, "typesize": 4}, numcodecs.Blosc(c, 5, s))
            for c, s in itertools.product(["lz4", "zstd"], [0, 1, 2])
        ),
    ],
)
def test_what_is_encoded_is_about_as_small_as_on_the_cpu(
    device: Device, codec: str, options: dict[str, Any], theirs: Any
) -> None:
    """The libraries are the same where the device is emulated, so blocks and streams are."""
    if device.name.startswith("cuda"):
        pytest.skip("how small nvCOMP makes streams is measured, not promised")
    (found,) = streams_of(device, device.compress(codec, put(device, [SMOOTH]), options))
    expected = theirs.encode(np.frombuffer(SMOOTH, "<f4"))
    assert 0.9 * len(expected) <= len(found) <= 1.1 * len(expected)


# --- what it costs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("zstd", {"level": 0, "checksum": True}),
        ("lz4", LZ4),
        ("gzip", {"level": 1}),
        ("zlib", {"level": 1}),
        ("blosc", BLOSC | {"typesize": 4}),
        ("blosc", BLOSC | {"cname": "zstd", "shuffle": 2, "typesize": 2}),
    ],
)
def test_launches_and_copies_do_not_depend_on_the_number_of_streams(
    device: Device, codec: str, options: dict[str, Any]
) -> None:
    if device.is_host:
        pytest.skip("the CPU counts nothing")
    seen = []
    for count in (10, 1000):
        batch = put(device, [SMOOTH[k : k + 640] for k in range(count)])
        with counting() as counts:
            device.compress(codec, batch, options)
        assert not counts.on_host
        seen.append((counts.launches, counts.uploads, counts.downloads))
        assert counts.bytes_downloaded < 40 * 20 * count
    assert seen[0] == seen[1]


# --- what it does not take ------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["zstd", "lz4", "gzip", "zlib", "blosc"])
def test_streams_of_no_bytes(device: Device, codec: str) -> None:
    """Zarr has no chunk of none; what numcodecs encodes them as is the CPU's to know."""
    options = {"blosc": BLOSC | {"typesize": 1}, "zstd": ZSTD, "lz4": LZ4}.get(codec, {"level": 1})
    if not device.is_host:
        with pytest.raises(StreamError, match=f"bytes that {codec} encodes, found none") as error:
            device.compress(codec, put(device, [b"some", b""]), options)
        assert error.value.slot == 1
    nothing = Batch(device.empty(0), np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert len(device.compress(codec, nothing, options)) == 0


LARGEST = {
    "zstd": 1 << 24,
    "lz4": 1 << 24,
    "gzip": (1 << 31) - (1 << 15),
    "zlib": (1 << 31) - (1 << 15),
    "blosc": (1 << 31) - 17,
}


@pytest.mark.parametrize("codec", LARGEST)
def test_the_largest_stream_is_known_before(device: Device, codec: str) -> None:
    assert device.compressors >= LARGEST.keys()
    if device.is_host:
        assert device.largest_stream(codec) >= LARGEST[codec]
        return
    assert device.largest_stream(codec) == LARGEST[codec]
    batch = put(device, [b"x"])
    batch.sizes[0] = LARGEST[codec] + 1
    with pytest.raises(UnsupportedError, match=rf"streams of up to {LARGEST[codec]:,} bytes"):
        device.compress(codec, batch, BLOSC | ZSTD | {"level": 1})


@pytest.mark.parametrize(
    ("kind", "configured", "why"),
    [
        (entropy.Blosc, numcodecs.Blosc("lz4"), None),
        (entropy.Blosc, numcodecs.Blosc("zstd", 9), None),
        (entropy.Blosc, numcodecs.Blosc("lz4hc"), "lz4 and zstd within blosc, not lz4hc"),
        (entropy.Blosc, numcodecs.Blosc("zlib"), "not zlib"),
        (entropy.Gzip, numcodecs.GZip(9), None),
        (entropy.Zlib, numcodecs.Zlib(-1), None),
        (entropy.Zlib, numcodecs.Zlib(12), "zlib has no level 12"),
        (entropy.Zstd, numcodecs.Zstd(22, checksum=True), None),
    ],
)
def test_a_codec_says_before_which_options_a_device_encodes(
    device: Device, kind: type[entropy.Compressor], configured: Any, why: str | None
) -> None:
    codec = kind(v2_configs(None, configured)[0])
    found = codec.supports_encoding(device)
    if why is None or device.is_host:
        assert found is None
        return
    assert found is not None
    assert why in found
    with pytest.raises(UnsupportedError, match=why):
        codec.encode(put(device, [b"bytes"]), device)


def test_without_a_compressor_of_gzip_streams_are_as_long_as_deflate_takes(
    emulated_device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with nvCOMP 5.2."""
    found = emulated_device
    monkeypatch.setattr(type(found), "largest_chunk", lambda _, c: 65536 if c == "deflate" else 0)
    assert found.largest_stream("gzip") == found.largest_stream("zlib") == 65536
    stream = kinds(65536)[2]
    (encoded,) = streams_of(found, found.compress("gzip", put(found, [stream]), {"level": 5}))
    assert gzip.decompress(encoded) == stream
    with pytest.raises(UnsupportedError, match="up to 65,536 bytes"):
        found.compress("gzip", put(found, [bytes(65537)]), {"level": 5})


def test_blocks_are_no_larger_than_the_library_takes() -> None:
    form = Form.of(BLOSC | {"blocksize": 1 << 26, "typesize": 3, "cname": "zstd"}, np.dtype("u1"))
    (found,) = form.blocksizes(np.array([1 << 27]), 1 << 24)
    assert found == (1 << 24) // 3 * 3


def test_a_chunk_of_blosc_may_be_larger_than_its_blocks(emulated_device: Any) -> None:
    """17 MB in one block are more than the library takes."""
    found = emulated_device
    chunk = np.arange(17_000_000 // 4, dtype="<u4") // 999
    options = BLOSC | {"blocksize": 1 << 25, "cname": "zstd", "typesize": 4}
    encoded = found.compress("blosc", put(found, [chunk.tobytes()]), options)
    (stream,) = streams_of(found, encoded)
    assert header(stream)[-1] == 1 << 24
    np.testing.assert_array_equal(np.frombuffer(blosc.decompress(stream), "<u4"), chunk)


def test_gzip_that_is_not_plain_is_left_to_the_cpu(
    emulated_device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the library wrote two members, of which a reader may see but the first."""
    found, stream = emulated_device, kinds(70_000)[2]

    def two_members(data: bytes, fields: Any) -> bytes:
        return gzip.compress(data[:40_000]) + gzip.compress(data[40_000:])

    of_gzip = emulated_compress._CODECS["gzip"]._replace(encode=two_members)
    monkeypatch.setitem(emulated_compress._CODECS, "gzip", of_gzip)
    for codec, decode in (("gzip", gzip.decompress), ("zlib", zlib.decompress)):
        with counting() as counts:
            encoded = found.compress(codec, put(found, [stream]), {"level": 5})
        assert counts.on_host == {codec: 1}
        assert decode(streams_of(found, encoded)[0]) == stream


# --- what stands in for the library ---------------------------------------------------------------

PRIVATE = emulated_formats.NAMES


@pytest.mark.parametrize("codec", ["lz4", "zstd", "snappy", "deflate", *PRIVATE])
def test_the_emulated_library_takes_back_what_it_gives(codec: str, emulated_device: Any) -> None:
    found = emulated_device
    streams = [stream for nbytes in (4, 1000, 65536) for stream in kinds(nbytes)]
    encoded = found.compressed(codec, put(found, streams))
    into = slots(found, [len(stream) for stream in streams])
    status, sizes = found.decompressed(codec, encoded, into)
    assert not status.any()
    assert sizes.tolist() == into.sizes.tolist()
    assert written(found, into) == streams


@pytest.mark.parametrize(
    ("codec", "source", "size", "target", "room", "words"),
    [
        ("zstd", 2, 100, 0, 1000, "not aligned"),
        ("deflate", 0, 100, 4, 1000, "not aligned"),
        ("cascaded", 0, 10, 0, 1000, "whole elements"),
        ("lz4", 0, 100, 0, 100, "where 104 are needed"),
        ("gdeflate", 0, 65537, 0, 1 << 20, "65536 at most"),
        ("ans", 8, 100, 0, 5000, "not aligned"),
    ],
)
def test_what_breaks_the_library_s_rules_ends_the_emulated_device(
    emulated_device: Any, codec: str, source: int, size: int, target: int, room: int, words: str
) -> None:
    held = [emulated_device.empty(nbytes + 16) for nbytes in (size, room)]
    begin, end = held[0].data.ptr + source, held[1].data.ptr + target
    ends = (np.array([value], np.int64) for value in (begin, size, end))
    with pytest.raises(BrokenStreamError, match=words):
        emulated_compress.compress(codec, *ends, room, {})


def test_a_device_whose_library_was_broken_stays_so(
    emulated_device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = emulated_device
    monkeypatch.setattr(type(found), "_compress_needs", lambda *_: (1, 1, 8))
    with pytest.raises(DeviceError, match=r"The emulated device is broken.*are needed"):
        found.compressed("lz4", put(found, [bytes(100)]))
    with pytest.raises(DeviceError, match="broken"):
        found.empty(1)


def judge(device: Any, codec: str, stream: bytes, room: int) -> int:
    """The status of one stream."""
    source, target = device.to_device(np.frombuffer(stream, "u1")), device.empty(room)
    ends = source.data.ptr, len(stream), room, target.data.ptr
    status, _ = emulated_library.decompress(codec, *(np.array([end], np.int64) for end in ends))
    return int(status[0])


@pytest.mark.parametrize("codec", PRIVATE)
def test_stand_ins_are_judged_as_nvcomp_promises(emulated_device: Any, codec: str) -> None:
    """Docs/nvcomp.md: what has a status, and what is undefined."""
    stream = emulated_formats.encode(codec, bytes(range(200)), 1, 1)
    damaged = stream[:20] + bytes([stream[20] ^ 1]) + stream[21:]
    other = emulated_formats.encode(next(c for c in PRIVATE if c != codec), bytes(9), 1, 1)
    assert judge(emulated_device, codec, stream, 200) == 0
    assert judge(emulated_device, codec, stream, 199) == (15 if codec == "bitcomp" else 12)
    for bad, has_status in ((other, ("gdeflate", "ans")), (damaged, ("ans",))):
        if codec in has_status:
            assert judge(emulated_device, codec, bad, 200) == 12
        else:
            with pytest.raises(BrokenStreamError):
                judge(emulated_device, codec, bad, 200)


def test_cascaded_streams_of_a_batch_have_elements_of_one_width(emulated_device: Any) -> None:
    found = emulated_device
    streams = [emulated_formats.encode("cascaded", bytes(8), width, 1) for width in (1, 4)]
    with pytest.raises(DeviceError, match="elements of 1 and 4 bytes"):
        found.decompressed("cascaded", found.aligned(put(found, streams), 4), slots(found, [8, 8]))
