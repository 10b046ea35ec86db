"""Bad input: one sentence that names array, chunk and stage, of the class that callers expect.

The oracle of what is bad is numcodecs: where it refuses a chunk, so must we, and what it accepts
we decode to the same values. Where we are stricter (sizes in headers), the tests say so one by one.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import pickle
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import google_crc32c
import numcodecs
import numpy as np
import pytest
import zarr
import zstandard
from harness import bytes_of
from numcodecs.compat import ensure_bytes
from stores import OwnLocalStore, Watched, watched
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, ZstdCodec
from zarr.codecs import numcodecs as wrapped
from zarr.storage import LocalStore

import gpuzarr
from gpuzarr.errors import (
    ChecksumError,
    ChunkError,
    ChunkSizeError,
    CorruptChunkError,
    DeviceError,
    GpuzarrError,
    MetadataError,
    NodeNotFoundError,
    PickleDisabledError,
    ReadOnlyError,
    SelectionError,
    ShardIndexError,
    StoreError,
    StreamError,
    UnknownCodecError,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::zarr.errors.UnstableSpecificationWarning", "ignore::zarr.errors.ZarrUserWarning"
)

PATH = "group/field"
VALUES = (np.arange(64) * 1.5).astype("f4")
CHUNK_NBYTES = 64

V3: dict[str, dict[str, Any]] = {
    "bytes": {"compressors": None},
    "zstd": {"compressors": ZstdCodec()},
    "zstd-checksum": {"compressors": ZstdCodec(checksum=True)},
    "gzip": {"compressors": GzipCodec()},
    "crc32c": {"compressors": Crc32cCodec()},
    "zstd+crc32c": {"compressors": [ZstdCodec(), Crc32cCodec()]},
    "blosc-lz4": {"compressors": BloscCodec(cname="lz4")},
    "blosc-zstd": {"compressors": BloscCodec(cname="zstd")},
    "blosc-zlib": {"compressors": BloscCodec(cname="zlib")},
    "blosc-blosclz": {"compressors": BloscCodec(cname="blosclz")},
    "zlib": {"compressors": wrapped.Zlib()},
    "lz4": {"compressors": wrapped.LZ4()},
    "crc32": {"compressors": wrapped.CRC32()},
    "adler32": {"compressors": wrapped.Adler32()},
    "fletcher32": {"compressors": wrapped.Fletcher32()},
    "jenkins_lookup3": {"compressors": wrapped.JenkinsLookup3()},
    "shuffle+zstd": {"compressors": [wrapped.Shuffle(elementsize=4), ZstdCodec()]},
    "bz2": {"compressors": wrapped.BZ2()},
    "lzma": {"compressors": wrapped.LZMA()},
    "delta": {"filters": [wrapped.Delta(dtype="<f4")], "compressors": None},
    "pcodec": {"serializer": wrapped.PCodec(), "compressors": None},
    "zfpy": {"serializer": wrapped.ZFPY(), "compressors": None},
}
V2: dict[str, dict[str, Any]] = {
    "bytes": {"compressors": None},
    "zstd": {"compressors": numcodecs.Zstd()},
    "zstd-checksum": {"compressors": numcodecs.Zstd(checksum=True)},
    "gzip": {"compressors": numcodecs.GZip()},
    "zlib": {"compressors": numcodecs.Zlib()},
    "lz4": {"compressors": numcodecs.LZ4()},
    "blosc-lz4": {"compressors": numcodecs.Blosc()},
    "crc32": {"compressors": numcodecs.CRC32()},
    "adler32": {"compressors": numcodecs.Adler32()},
    "crc32c": {"compressors": numcodecs.CRC32C()},
    "fletcher32": {"compressors": numcodecs.Fletcher32()},
    "shuffle+zlib": {"filters": [numcodecs.Shuffle(4)], "compressors": numcodecs.Zlib()},
    "delta": {"filters": [numcodecs.Delta("<f4")], "compressors": None},
    "bz2": {"compressors": numcodecs.BZ2()},
    "lzma": {"compressors": numcodecs.LZMA()},
}
CODECS = [
    pytest.param(version, name, id=f"v{version}-{name}")
    for version, table in ((3, V3), (2, V2))
    for name in table
]


class Stored:
    """A small array on disk whose chunk number 2 a test can damage."""

    def __init__(self, root: Path, version: int, **arguments: Any) -> None:
        self.root, self.path = root, PATH
        arguments = {"shape": VALUES.shape, "chunks": 16, "dtype": VALUES.dtype, **arguments}
        self.zarr = zarr.create_array(root, name=PATH, zarr_format=version, **arguments)  # type: ignore[arg-type]
        self.zarr[...] = VALUES.reshape(self.zarr.shape)
        self.key = f"{PATH}/c/2" if version == 3 else f"{PATH}/2"

    @property
    def chunk(self) -> bytes:
        return (self.root / self.key).read_bytes()

    @chunk.setter
    def chunk(self, encoded: bytes) -> None:
        (self.root / self.key).write_bytes(encoded)

    def open(self, source: str = "posix") -> gpuzarr.Array:
        store = self.root if source == "posix" else OwnLocalStore(self.root)
        return gpuzarr.open_array(store, path=PATH)

    def fails_with(self, kind: type[ChunkError], source: str = "posix") -> ChunkError:
        """The error of reading all, checked for what every error of a chunk has to tell."""
        array = self.open(source)
        with pytest.raises(kind) as caught:
            array[...]
        error = caught.value
        assert_sentence(error)
        assert type(error) is kind
        assert error.array == PATH
        assert error.chunk.startswith(self.key)
        for named in (error.array, error.chunk, error.stage, error.device, error.reason):
            assert named in str(error)
        stages = {told.stage: told.device for told in array.explain().stages}
        assert error.device == stages.get(error.stage, "cpu")
        assert error.__cause__ is not None
        return error


def assert_sentence(error: BaseException) -> None:
    """One line that ends as a sentence does, and holds no other."""
    text = str(error)
    assert "\n" not in text
    assert text.endswith(".")
    assert not text.endswith("..")
    assert ". " not in text


def stored(root: Path, version: int, name: str, **arguments: Any) -> Stored:
    """An array with one of the codecs in the tables."""
    return Stored(root, version, **({3: V3, 2: V2}[version][name] | arguments))


def peak_of(call: Callable[[], Any]) -> int:
    """Most bytes that a call holds at a time."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# Damaged chunks -------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["posix", "store"])
@pytest.mark.parametrize(("version", "name"), CODECS)
def test_a_truncated_chunk_is_an_error_that_names_it(
    tmp_path: Path, version: int, name: str, source: str
) -> None:
    array = stored(tmp_path, version, name)
    array.chunk = array.chunk[: len(array.chunk) // 2]
    if name == "zfpy":  # its format does not show it; only the header does
        array.chunk = array.chunk[:3]
    is_checksum = name.endswith("32") or name in ("crc32c", "zstd+crc32c", "jenkins_lookup3")
    kind: type[ChunkError] = CorruptChunkError
    if name in ("bytes", "delta"):
        kind = ChunkSizeError
    elif is_checksum:
        kind = ChecksumError
    error = array.fails_with(kind, source)
    first_stage = name.split("+")[-1].split("-")[0]
    assert error.stage.removeprefix("numcodecs.") == first_stage


@pytest.mark.parametrize(("version", "name"), CODECS)
def test_an_empty_chunk_is_an_error(tmp_path: Path, version: int, name: str) -> None:
    array = stored(tmp_path, version, name)
    array.chunk = b""
    # no bytes are a valid gzip or bz2 file of no members
    is_raw = name in ("bytes", "delta", "gzip", "bz2")
    array.fails_with(ChunkSizeError if is_raw else CorruptChunkError)


@pytest.mark.parametrize(("version", "name"), CODECS)
@pytest.mark.parametrize("length", [8, 32])
def test_a_valid_chunk_of_another_size_is_an_error(
    tmp_path: Path, version: int, name: str, length: int
) -> None:
    other = stored(tmp_path / "other", version, name, chunks=length)
    array = stored(tmp_path / "array", version, name)
    array.chunk = (other.root / f"{PATH}/{'c/' if version == 3 else ''}1").read_bytes()
    if name in ("pcodec", "zfpy"):  # zarr-python's codec itself compares, and refuses
        assert f"size {length}" in array.fails_with(CorruptChunkError).reason
        return
    error = array.fails_with(ChunkSizeError)
    assert f"expected {CHUNK_NBYTES} bytes" in error.reason
    assert "found more" in error.reason or f"found {4 * length}" in error.reason


CHECKSUMS = [
    pytest.param(3, "crc32c", -1, id="crc32c"),
    pytest.param(3, "crc32c", 5, id="crc32c-of-data"),
    pytest.param(3, "zstd+crc32c", 5, id="crc32c-of-zstd"),
    pytest.param(3, "crc32", 1, id="crc32"),
    pytest.param(2, "crc32", 9, id="v2-crc32-of-data"),
    pytest.param(3, "adler32", 1, id="adler32"),
    pytest.param(2, "adler32", 9, id="v2-adler32-of-data"),
    pytest.param(3, "fletcher32", -1, id="fletcher32"),
    pytest.param(2, "fletcher32", 5, id="v2-fletcher32-of-data"),
    pytest.param(3, "jenkins_lookup3", -1, id="jenkins_lookup3"),
    pytest.param(3, "zstd-checksum", -1, id="zstd"),
    pytest.param(2, "zstd-checksum", -1, id="v2-zstd"),
    pytest.param(3, "gzip", -8, id="gzip"),
    pytest.param(2, "gzip", -8, id="v2-gzip"),
    pytest.param(3, "zlib", -1, id="zlib"),
    pytest.param(2, "shuffle+zlib", -1, id="v2-zlib"),
]


@pytest.mark.parametrize(("version", "name", "position"), CHECKSUMS)
def test_a_wrong_checksum_is_an_error_of_its_own(
    tmp_path: Path, version: int, name: str, position: int
) -> None:
    array = stored(tmp_path, version, name)
    damaged = bytearray(array.chunk)
    damaged[position] ^= 0x10
    array.chunk = bytes(damaged)
    array.fails_with(ChecksumError)


def test_a_crc_tells_both_values_in_hexadecimal(tmp_path: Path) -> None:
    array = stored(tmp_path, 3, "crc32c")
    content, crc = array.chunk[:-4], google_crc32c.value(array.chunk[:-4])
    array.chunk = content + struct.pack("<I", 0xABCD)
    reason = array.fails_with(ChecksumError).reason
    assert "0x0000abcd" in reason
    assert f"{crc:#010x}" in reason


def test_an_error_in_one_of_many_chunks_names_that_one(tmp_path: Path) -> None:
    array = stored(tmp_path, 3, "zstd", chunks=1)
    array.key = f"{PATH}/c/47"
    array.chunk = b"rubbish"
    for threads, wave_bytes in ((1, 1), (1, 1 << 20), (2, 64)):
        with gpuzarr.config.set({"threads": threads, "wave_bytes": wave_bytes}):
            assert array.fails_with(CorruptChunkError).chunk == array.key


def test_what_a_read_does_not_need_may_be_damaged(tmp_path: Path) -> None:
    array = stored(tmp_path, 3, "zstd")
    array.chunk = b"rubbish"
    np.testing.assert_array_equal(array.open()[:32], VALUES[:32])
    with pytest.raises(CorruptChunkError):
        array.open()[31:33]


LIKE_THE_REFERENCE = {
    "zstd": numcodecs.Zstd(level=3),
    "zstd-checksum": numcodecs.Zstd(checksum=True),
    "lz4": numcodecs.LZ4(),
    "gzip": numcodecs.GZip(),
    "zlib": numcodecs.Zlib(),
    "bz2": numcodecs.BZ2(),
    "shuffle": numcodecs.Shuffle(4),
    "crc32c": numcodecs.CRC32C(),
    "fletcher32": numcodecs.Fletcher32(),
}


@pytest.mark.parametrize("name", LIKE_THE_REFERENCE)
def test_damage_gives_what_the_reference_decoder_gives(tmp_path: Path, name: str) -> None:
    """Bytes changed, lost, doubled or added: both refuse, or both give the same values."""
    codec = LIKE_THE_REFERENCE[name]
    array = Stored(tmp_path, 2, compressors=codec, shape=VALUES.shape)
    pristine, gpu, rng = array.chunk, array.open(), np.random.default_rng(7)
    outcomes = set()
    for round_ in range(250):
        array.chunk = encoded = _mutated(pristine, round_, rng)
        try:
            expected = ensure_bytes(codec.decode(encoded))
        except Exception:
            expected = b""
        if len(expected) == CHUNK_NBYTES:
            assert bytes_of(gpu[...])[128:192] == expected
            outcomes.add("decoded")
        else:
            with pytest.raises(ChunkError):
                gpu[...]
            outcomes.add("refused")
    assert "refused" in outcomes


def test_a_damaged_literal_in_lz4_and_zstd_is_decoded_as_the_reference_does(
    tmp_path: Path,
) -> None:
    noise = np.random.default_rng(3).integers(0, 255, 64).astype("u1")
    codecs: list[Any] = [numcodecs.LZ4(), numcodecs.Zstd(), numcodecs.Blosc("lz4", shuffle=1)]
    for number, codec in enumerate(codecs):
        array = Stored(tmp_path / str(number), 2, compressors=codec)
        encoded = bytearray(codec.encode(noise))
        encoded[len(encoded) // 2] ^= 0xFF
        array.chunk = bytes(encoded)
        expected = np.frombuffer(codec.decode(bytes(encoded)), "f4")
        assert expected.tobytes() != noise.tobytes()
        assert bytes_of(array.open()[32:48]) == expected.tobytes()


@pytest.mark.parametrize("cname", ["lz4", "blosclz", "zlib", "zstd"])
@pytest.mark.parametrize("shuffle", [0, 1, 2])
def test_damage_behind_a_blosc_header_gives_what_c_blosc_gives(
    tmp_path: Path, cname: str, shuffle: int
) -> None:
    codec = numcodecs.Blosc(cname, clevel=5, shuffle=shuffle, blocksize=256)
    values = np.round(np.sin(np.arange(512) / 9), 2).astype("f4")
    z = zarr.create_array(
        tmp_path, shape=512, chunks=512, dtype="f4", zarr_format=2, compressors=codec
    )
    z[...] = values
    file, gpu, rng = tmp_path / "0", gpuzarr.open(tmp_path), np.random.default_rng(5)
    pristine = file.read_bytes()
    for _ in range(60):
        damaged = bytearray(pristine)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(16, len(damaged))] = rng.integers(256)
        file.write_bytes(bytes(damaged))
        try:
            expected = codec.decode(bytes(damaged))
        except RuntimeError:
            expected = None
        if expected is None:
            with pytest.raises(CorruptChunkError):
                gpu[...]
        else:
            assert bytes_of(gpu[...]) == bytes(expected)


def _mutated(pristine: bytes, number: int, rng: np.random.Generator) -> bytes:
    damaged = bytearray(pristine)
    at = int(rng.integers(len(damaged)))
    match number % 5:
        case 0:
            damaged[at] ^= 1 << int(rng.integers(8))
        case 1:
            damaged[at] = int(rng.integers(256))
        case 2:
            del damaged[at:]
        case 3:
            damaged += bytes(rng.integers(0, 256, int(rng.integers(1, 9)), dtype=np.uint8))
        case 4:
            damaged[at:at] = damaged[at : at + 5]
    return bytes(damaged)


# Blosc's header -------------------------------------------------------------------------------


def _with_field(chunk: bytes, field: str, value: int) -> bytes:
    position, form = {
        "version": (0, "<B"),
        "versionlz": (1, "<B"),
        "typesize": (3, "<B"),
        "nbytes": (4, "<i"),
        "blocksize": (8, "<i"),
        "cbytes": (12, "<i"),
    }[field]
    damaged = bytearray(chunk)
    struct.pack_into(form, damaged, position, value)
    return bytes(damaged)


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("version", 1, CorruptChunkError),
        ("versionlz", 9, CorruptChunkError),
        ("typesize", 0, CorruptChunkError),
        ("nbytes", 60, ChunkSizeError),
        ("nbytes", 2**31 - 1, ChunkSizeError),
        ("nbytes", -1, ChunkSizeError),
        ("blocksize", 0, CorruptChunkError),
        ("blocksize", -8, CorruptChunkError),
        ("blocksize", 1, CorruptChunkError),
        ("blocksize", 2**31 - 1, CorruptChunkError),
        ("cbytes", 16, CorruptChunkError),
        ("cbytes", 2**31 - 1, CorruptChunkError),
        ("cbytes", -5, CorruptChunkError),
    ],
)
def test_each_field_of_a_blosc_header_is_checked(
    tmp_path: Path, field: str, value: int, kind: type[ChunkError]
) -> None:
    array = Stored(tmp_path, 2, compressors=numcodecs.Blosc("lz4", shuffle=1), chunks=64)
    array.key = f"{PATH}/0"
    array.chunk = _with_field(numcodecs.Blosc("lz4").encode(np.zeros(64, "f4")), field, value)
    array.fails_with(kind)


def test_a_chunk_of_blosc_2_is_refused_in_words(tmp_path: Path) -> None:
    array = stored(tmp_path, 3, "blosc-lz4")
    array.chunk = _with_field(array.chunk, "version", 5)
    assert "Blosc 2 are not supported" in str(array.fails_with(CorruptChunkError))


# Sizes that a header makes up -----------------------------------------------------------------

HUGE = 256 << 20
SMALL = 16 << 20


def _zstd_frame(declared: int) -> bytes:
    """A frame that declares this content size and holds one empty block."""
    return b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", declared) + b"\x01\x00\x00"


BOMBS: dict[str, Callable[[], bytes]] = {
    "zstd": lambda: zstandard.compress(bytes(HUGE)),
    "zstd-checksum": lambda: _zstd_frame(1 << 60),
    "lz4": lambda: struct.pack("<I", 2**31 - 1) + numcodecs.LZ4().encode(bytes(1 << 20))[4:],
    "blosc-lz4": lambda: _with_field(numcodecs.Blosc().encode(bytes(1 << 20)), "nbytes", 2**31 - 1),
    "gzip": lambda: gzip.compress(bytes(HUGE), 1),
    "zlib": lambda: zlib.compress(bytes(HUGE), 1),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_chunk_that_decodes_to_far_too_much_takes_little_memory(
    tmp_path: Path, name: str
) -> None:
    array = stored(tmp_path, 2, name)
    array.chunk = BOMBS[name]()
    gpu = array.open()
    gpu[:16]

    def read() -> None:
        with pytest.raises(ChunkSizeError):
            gpu[...]

    assert peak_of(read) < SMALL
    array.fails_with(ChunkSizeError)


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(
            lambda: numcodecs.Zstd().encode(VALUES[:8]) + zstandard.compress(bytes(HUGE)),
            id="in-the-second-frame",
        ),
        pytest.param(
            lambda: zstandard.ZstdCompressor(write_content_size=False).compress(bytes(HUGE)),
            id="without-a-content-size",
        ),
    ],
)
def test_a_zstd_chunk_whose_header_hides_its_size_takes_little_memory(
    tmp_path: Path, bomb: Callable[[], bytes]
) -> None:
    array = stored(tmp_path, 3, "zstd")
    array.chunk = bomb()
    gpu = array.open()

    def read() -> None:
        with pytest.raises(ChunkError):
            gpu[...]

    assert peak_of(read) < SMALL


@pytest.mark.parametrize(
    ("outer", "chunk"),
    [
        (numcodecs.Zstd(), _zstd_frame(1 << 60)),
        (numcodecs.LZ4(), struct.pack("<I", 2**31 - 1) + b"\x00"),
        (numcodecs.Blosc(), _with_field(numcodecs.Blosc().encode(bytes(999)), "nbytes", 2**31 - 1)),
    ],
    ids=["zstd", "lz4", "blosc"],
)
def test_a_header_makes_no_memory_where_the_size_is_not_known(
    tmp_path: Path, outer: Any, chunk: bytes
) -> None:
    """A compressor over a compressor: only the data tell how much the outer one holds."""
    array = Stored(tmp_path, 2, filters=[numcodecs.GZip()], compressors=outer)
    array.chunk = chunk
    gpu = array.open()

    def read() -> None:
        with pytest.raises(ChunkError):
            gpu[...]

    assert peak_of(read) < SMALL


@pytest.mark.parametrize("outer", [numcodecs.Zstd(), numcodecs.LZ4(), numcodecs.Blosc("zstd")])
def test_what_compresses_a_thousandfold_is_read_through_two_compressors(
    tmp_path: Path, outer: Any
) -> None:
    data = np.zeros(1 << 24, "u1")
    array = zarr.create_array(
        tmp_path, shape=data.shape, chunks=data.shape, dtype="u1", zarr_format=2, fill_value=1,
        filters=[numcodecs.LZ4()], compressors=outer,
    )  # fmt: skip
    array[...] = data
    np.testing.assert_array_equal(gpuzarr.open(tmp_path)[...], data)


# Shards ---------------------------------------------------------------------------------------

MAX = 2**64 - 1


class Sharded(Stored):
    """Four shards of four inner chunks; a test writes the index of shard 2 by hand."""

    def __init__(self, root: Path, location: str = "end", inner: Any = None) -> None:
        codec = ShardingCodec(
            chunk_shape=(4,),
            codecs=[BytesCodec(), *([inner] if inner else [])],
            index_codecs=[BytesCodec(), Crc32cCodec()],
            index_location=location,  # type: ignore[arg-type]
        )
        super().__init__(root, 3, serializer=codec, compressors=None, filters=None)
        self.at_start = location == "start"

    @property
    def index(self) -> list[tuple[int, int]]:
        content = self.chunk[:64] if self.at_start else self.chunk[-68:-4]
        return [tuple(pair) for pair in np.frombuffer(content, "<u8").reshape(-1, 2).tolist()]

    @index.setter
    def index(self, entries: list[tuple[int, int]]) -> None:
        packed = np.array(entries, "<u8").tobytes()
        packed += struct.pack("<I", google_crc32c.value(packed))
        data = self.chunk[68:] if self.at_start else self.chunk[:-68]
        self.chunk = packed + data if self.at_start else data + packed


@pytest.fixture(params=["end", "start"])
def sharded(request: pytest.FixtureRequest, tmp_path: Path) -> Sharded:
    return Sharded(tmp_path, request.param)


SOURCES = pytest.mark.parametrize("source", ["posix", "store"])


@SOURCES
@pytest.mark.parametrize(
    "entry",
    [
        pytest.param((MAX, 16), id="no-offset"),
        pytest.param((0, MAX), id="no-size"),
        pytest.param((10**6, 16), id="beyond-the-end"),
        pytest.param((2**60, 16), id="absurd-offset"),
        pytest.param((0, 2**60), id="absurd-size"),
        pytest.param((2**63, 2**63), id="sum-overflows"),
        pytest.param((MAX - 1, MAX - 1), id="nearly-absent"),
        pytest.param((100, 4096), id="reaches-beyond-the-end"),
    ],
)
def test_an_index_entry_outside_the_shard_is_an_error(
    sharded: Sharded, entry: tuple[int, int], source: str
) -> None:
    entries = sharded.index
    sharded.index = [*entries[:1], entry, *entries[2:]]

    def read() -> None:
        error = sharded.fails_with(ShardIndexError, source)
        assert "shard" in error.reason

    assert peak_of(read) < SMALL


@SOURCES
def test_chunks_beside_a_bad_index_entry_can_be_read(sharded: Sharded, source: str) -> None:
    entries = sharded.index
    sharded.index = [*entries[:3], (2**60, 2**60)]
    np.testing.assert_array_equal(sharded.open(source)[32:44], VALUES[32:44])


def test_a_zero_sized_entry_is_an_inner_chunk_of_no_bytes(sharded: Sharded) -> None:
    entries = sharded.index
    sharded.index = [(entries[0][0], 0), *entries[1:]]
    error = sharded.fails_with(ChunkSizeError)
    assert error.chunk == f"{sharded.key} (inner chunk (0,))"
    assert "found 0" in error.reason


def test_an_inner_chunk_of_another_size_is_named(sharded: Sharded) -> None:
    entries = sharded.index
    sharded.index = [*entries[:2], (entries[2][0], 12), entries[3]]
    error = sharded.fails_with(ChunkSizeError)
    assert error.chunk == f"{sharded.key} (inner chunk (2,))"
    assert "expected 16 bytes, found 12" in error.reason


@SOURCES
def test_a_wrong_checksum_of_the_index_is_an_error(sharded: Sharded, source: str) -> None:
    damaged = bytearray(sharded.chunk)
    damaged[9 if sharded.at_start else -20] ^= 1
    sharded.chunk = bytes(damaged)
    error = sharded.fails_with(ChecksumError, source)
    assert error.stage == "shard index, crc32c"
    assert error.chunk == sharded.key


@SOURCES
@pytest.mark.parametrize("length", [0, 1, 67])
def test_a_shard_shorter_than_its_index_is_an_error(
    sharded: Sharded, length: int, source: str
) -> None:
    sharded.chunk = sharded.chunk[:length]
    error = sharded.fails_with(ShardIndexError, source)
    assert error.chunk == sharded.key
    assert "68 bytes" in error.reason


@SOURCES
def test_a_shard_truncated_behind_its_index_is_an_error(tmp_path: Path, source: str) -> None:
    sharded = Sharded(tmp_path, "start")
    sharded.chunk = sharded.chunk[:-9]
    error = sharded.fails_with(ShardIndexError, source)
    assert error.chunk == f"{sharded.key} (inner chunk (3,))"
    assert "16 bytes" in error.reason


def test_a_damaged_inner_chunk_is_named(tmp_path: Path) -> None:
    sharded = Sharded(tmp_path, inner=ZstdCodec(checksum=True))
    offset, size = sharded.index[1]
    damaged = bytearray(sharded.chunk)
    damaged[offset + size - 1] ^= 1
    sharded.chunk = bytes(damaged)
    error = sharded.fails_with(ChecksumError)
    assert error.chunk == f"{sharded.key} (inner chunk (1,))"
    assert error.stage == "zstd"


def test_a_bomb_in_a_shard_takes_little_memory(tmp_path: Path) -> None:
    sharded = Sharded(tmp_path, inner=ZstdCodec())
    entries, bomb = sharded.index, zstandard.compress(bytes(HUGE))
    data = sharded.chunk[:-68]
    sharded.chunk = data + bomb + sharded.chunk[-68:]
    sharded.index = [(len(data), len(bomb)), *entries[1:]]
    assert peak_of(lambda: sharded.fails_with(ChunkSizeError)) < SMALL


# Stores ---------------------------------------------------------------------------------------


def _failing(key: str, error: Exception, **arguments: Any) -> Watched:
    """A store in memory, with an array, that fails to deliver one key."""

    def fails(wanted: str) -> None:
        if wanted == key:
            raise error

    memory: dict[str, Any] = {}
    array = zarr.create_array(memory, name=PATH, shape=64, chunks=16, dtype="f4", **arguments)
    array[...] = VALUES
    return watched(memory, fails=fails)


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("error", [RuntimeError("no luck"), ConnectionError("gone."), ValueError()])
def test_a_store_that_fails_on_a_chunk_is_an_error_that_names_the_key(
    error: Exception, sharded: bool
) -> None:
    more: dict[str, Any] = {"shards": 32} if sharded else {}
    store = _failing(f"{PATH}/c/1", error, **more)
    array = gpuzarr.open_array(store, path=PATH)
    with pytest.raises(StoreError) as caught:
        array[...]
    assert_sentence(caught.value)
    assert f"{PATH}/c/1" in str(caught.value)
    assert str(error).rstrip(".") in str(caught.value)
    assert caught.value.__cause__ is error
    np.testing.assert_array_equal(array[:16], VALUES[:16])


def test_a_store_that_fails_on_metadata_is_an_error() -> None:
    error = RuntimeError("no luck")
    with pytest.raises(StoreError, match="no luck") as caught:
        gpuzarr.open(_failing(f"{PATH}/zarr.json", error), path=PATH)
    assert_sentence(caught.value)
    assert caught.value.__cause__ is error


def test_a_file_that_cannot_be_read_is_an_error_that_names_the_key(tmp_path: Path) -> None:
    array = stored(tmp_path, 3, "zstd")
    file = tmp_path / array.key
    file.unlink()
    file.symlink_to(file.name)  # a loop
    with pytest.raises(StoreError) as caught:
        array.open()[...]
    assert_sentence(caught.value)
    assert array.key in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    np.testing.assert_array_equal(array.open()[:32], VALUES[:32])


def test_a_shard_that_cannot_be_read_is_an_error_that_names_the_key(tmp_path: Path) -> None:
    array = Sharded(tmp_path)
    file = tmp_path / array.key
    file.unlink()
    file.symlink_to(file.name)
    with pytest.raises(StoreError, match="group/field/c/2") as caught:
        array.open()[...]
    assert_sentence(caught.value)


@pytest.mark.parametrize("sharded", [False, True])
def test_a_directory_in_place_of_a_chunk_is_a_missing_chunk(tmp_path: Path, sharded: bool) -> None:
    array = Sharded(tmp_path) if sharded else stored(tmp_path, 3, "zstd")
    (tmp_path / array.key).unlink()
    (tmp_path / array.key).mkdir()
    for source in ("posix", "store"):
        np.testing.assert_array_equal(array.open(source)[...], array.zarr[...])


def test_a_metadata_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "zarr.json").mkdir()
    with pytest.raises(StoreError, match=r"zarr.json") as caught:
        gpuzarr.open(tmp_path)
    assert_sentence(caught.value)
    assert isinstance(caught.value.__cause__, IsADirectoryError)


# Metadata and opening -------------------------------------------------------------------------


def _opened_both_ways(root: Path, kind: type[Exception]) -> list[Exception]:
    """Errors of the direct way and of zarr-python's, in words that fit in a sentence."""
    errors = []
    for store in (root, OwnLocalStore(root)):
        with pytest.raises(kind) as caught:
            gpuzarr.open(store)
        assert_sentence(caught.value)
        assert root.name in str(caught.value)
        errors.append(caught.value)
    return errors


@pytest.mark.parametrize("text", ["", "{", '{"zarr_format": 3,}', "\x00\x01", "[]", "null", "7"])
@pytest.mark.parametrize("name", ["zarr.json", ".zarray"])
def test_metadata_that_are_not_a_json_object_are_an_error(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    for error in _opened_both_ways(tmp_path, MetadataError):
        assert error.__cause__ is not None


def _document(version: int) -> dict[str, Any]:
    memory: dict[str, Any] = {}
    zarr.create_array(memory, shape=4, chunks=2, dtype="i4", zarr_format=version)  # type: ignore[arg-type]
    document = json.loads(memory["zarr.json" if version == 3 else ".zarray"].to_bytes())
    assert isinstance(document, dict)
    return document


BAD_ENTRIES: list[tuple[int, str, Any]] = [
    (3, "data_type", "float77"),
    (3, "zarr_format", 7),
    (3, "shape", [-3]),
    (3, "shape", "x"),
    (3, "chunk_grid", {"name": "hexagonal", "configuration": {}}),
    (3, "chunk_grid", {"name": "regular", "configuration": {"chunk_shape": [1, 2]}}),
    (3, "chunk_grid", {"name": "regular", "configuration": {"chunk_shape": [2**62]}}),
    (3, "shape", [2**64]),
    (3, "codecs", []),
    (3, "fill_value", "abc"),
    (3, "storage_transformers", [{"name": "x"}]),
    (3, "something", {"must_understand": True}),
    (2, "dtype", "<q9"),
    (2, "order", "Z"),
    (2, "shape", None),
    (2, "chunks", [2**63]),
    (2, "fill_value", "abc"),
]


@pytest.mark.parametrize(("version", "entry", "value"), BAD_ENTRIES)
def test_a_bad_entry_in_the_metadata_is_an_error(
    tmp_path: Path, version: int, entry: str, value: Any
) -> None:
    document = _document(version) | {entry: value}
    (tmp_path / ("zarr.json" if version == 3 else ".zarray")).write_text(json.dumps(document))
    for error in _opened_both_ways(tmp_path, MetadataError):
        assert isinstance(error, ValueError)
        assert error.__cause__ is not None


def test_an_index_that_names_no_byte_order_is_refused_as_zarr_python_does(tmp_path: Path) -> None:
    sharded, document = Sharded(tmp_path), tmp_path / PATH / "zarr.json"
    little = '"index_codecs":[{"name":"bytes","configuration":{"endian":"little"}}'
    text = json.dumps(json.loads(document.read_text()), separators=(",", ":"))
    assert little in text
    document.write_text(text.replace(little, '"index_codecs":[{"name":"bytes"}'))
    with pytest.raises(ValueError, match="endian"):
        zarr.open_array(tmp_path, path=PATH)[...]
    with pytest.raises(MetadataError, match="endian"):
        sharded.open()


LATE: dict[str, list[dict[str, Any]]] = {
    "delta": [{"name": "numcodecs.delta", "configuration": {"dtype": "/"}}],
    "an entry": [{"name": "numcodecs.delta", "configuration": {"dtype": "<i4", "name": 1}}],
    "shuffle": [{"name": "numcodecs.shuffle", "configuration": {"elementsize": {}}}],
    "a shuffle of 1.5 bytes": [
        {"name": "numcodecs.shuffle", "configuration": {"elementsize": 1.5}}
    ],
    "a large shuffle": [{"name": "numcodecs.shuffle", "configuration": {"elementsize": 2**64}}],
    "a filter behind bytes": [
        {"name": "numcodecs.shuffle", "configuration": {"elementsize": 4}},
        {"name": "numcodecs.delta", "configuration": {"dtype": "<i4"}},
    ],
}


@pytest.mark.parametrize("name", LATE)
def test_a_configuration_that_only_a_read_finds_wrong_is_an_error(
    tmp_path: Path, name: str
) -> None:
    """zarr-python opens the array, and then raises what the codec happens to raise."""
    memory: dict[str, Any] = {}
    zarr.create_array(memory, shape=4, chunks=2, dtype="i4")[...] = 7
    document = json.loads(memory["zarr.json"].to_bytes())
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    is_filter = "delta" in LATE[name][0]["name"]
    document["codecs"] = [*LATE[name], little] if is_filter else [little, *LATE[name]]
    (tmp_path / "zarr.json").write_text(json.dumps(document))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "0").write_bytes(bytes(8))
    with pytest.raises((TypeError, ValueError, OverflowError)):
        zarr.open_array(tmp_path)[:2]
    with pytest.raises(MetadataError) as caught:
        gpuzarr.open(tmp_path)[:2]
    assert_sentence(caught.value)


def test_a_configuration_that_decoding_does_not_need_may_be_anything(tmp_path: Path) -> None:
    array = Stored(tmp_path, 2, compressors=numcodecs.Blosc("lz4"))
    path = tmp_path / PATH / ".zarray"
    document = json.loads(path.read_text())
    document["compressor"]["shuffle"] = [3, 6]
    path.write_text(json.dumps(document))
    assert bytes_of(array.open()[...]) == VALUES.tobytes()


@pytest.mark.parametrize(("version", "entry"), [(3, "shape"), (3, "data_type"), (2, "chunks")])
def test_a_missing_entry_in_the_metadata_is_named(tmp_path: Path, version: int, entry: str) -> None:
    document = _document(version)
    del document[entry]
    (tmp_path / ("zarr.json" if version == 3 else ".zarray")).write_text(json.dumps(document))
    for error in _opened_both_ways(tmp_path, MetadataError):
        assert entry in str(error)


@pytest.mark.parametrize(
    ("version", "change"),
    [
        (3, {"codecs": [{"name": "bytes"}, {"name": "gpuzarr-test-nonesuch"}]}),
        (2, {"compressor": {"id": "gpuzarr-test-nonesuch"}}),
        (2, {"filters": [{"id": "gpuzarr-test-nonesuch"}]}),
    ],
)
def test_an_unknown_codec_is_named(tmp_path: Path, version: int, change: dict[str, Any]) -> None:
    document = _document(version) | change
    (tmp_path / ("zarr.json" if version == 3 else ".zarray")).write_text(json.dumps(document))
    for error in _opened_both_ways(tmp_path, UnknownCodecError):
        assert "gpuzarr-test-nonesuch" in str(error)
        assert isinstance(error, zarr.errors.UnknownCodecError)


def test_what_is_not_there_is_an_error_that_names_the_place(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "there")
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("missing", lambda: gpuzarr.open(tmp_path / "missing")),
        ("missing", lambda: gpuzarr.open(tmp_path / "there", path="missing")),
        ("missing", lambda: gpuzarr.open(group, path="missing")),
        ("missing", lambda: gpuzarr.open_group(tmp_path / "there")["missing"]),
        ("missing", lambda: gpuzarr.open(OwnLocalStore(tmp_path), path="missing")),
        (tmp_path.name, lambda: gpuzarr.open(tmp_path)),
        ("missing", lambda: gpuzarr.open({}, path="missing")),
        ("there", lambda: gpuzarr.open_array(tmp_path / "there")),
    ]
    for name, call in calls:
        with pytest.raises(NodeNotFoundError) as caught:
            call()
        assert_sentence(caught.value)
        assert name in str(caught.value)
        assert isinstance(caught.value, FileNotFoundError)
        assert isinstance(caught.value, zarr.errors.ArrayNotFoundError)


def test_an_array_has_no_members_and_is_no_group(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path, shape=4, chunks=2, dtype="i4")
    calls: list[Callable[[], Any]] = [
        lambda: gpuzarr.open(array, path="x"),
        lambda: gpuzarr.open_group(tmp_path),
        lambda: gpuzarr.open_group(array),
    ]
    for call in calls:
        with pytest.raises(NodeNotFoundError, match="array") as caught:
            call()
        assert_sentence(caught.value)


def test_a_thing_that_is_no_store_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        gpuzarr.open(3)


@pytest.mark.parametrize("mode", ["read", "R", "rw", "", None])
def test_a_mode_that_does_not_exist_is_an_error(tmp_path: Path, mode: Any) -> None:
    array = zarr.create_array(tmp_path, shape=4, chunks=2, dtype="i4")
    for store in (tmp_path, array, OwnLocalStore(tmp_path), {}):
        with pytest.raises(ValueError, match="mode") as caught:
            gpuzarr.open(store, mode=mode)
        assert_sentence(caught.value)
        assert repr(mode) in str(caught.value)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "gpu", "CPU", "", "cuda:x"])
def test_a_device_that_is_not_there_is_an_error(tmp_path: Path, device: str) -> None:
    if device.startswith("cuda") and importlib.util.find_spec("cupy"):
        pytest.skip("it may be there")
    array = zarr.create_array(tmp_path, shape=4, chunks=2, dtype="i4")
    for store in (tmp_path, array):
        with pytest.raises(DeviceError) as caught:
            gpuzarr.open(store, device=device)
        assert_sentence(caught.value)
        assert repr(device) in str(caught.value)


def test_a_meta_array_of_an_unknown_kind_is_an_error(tmp_path: Path) -> None:
    zarr.create_array(tmp_path, shape=4, chunks=2, dtype="i4")
    with pytest.raises(DeviceError, match="'list'") as caught:
        gpuzarr.open(tmp_path, meta_array=[])
    assert_sentence(caught.value)


def test_writing_to_what_was_opened_for_reading_is_an_error(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path, name="x", shape=4, chunks=2, dtype="i4")
    array[...] = 5
    group = zarr.open_group(tmp_path)
    opened = [
        gpuzarr.open_array(tmp_path, path="x"),
        gpuzarr.open_array(OwnLocalStore(tmp_path), path="x"),
        gpuzarr.open_array(array),
        gpuzarr.open_array(group, path="x"),
        gpuzarr.open_group(group)["x"],
        gpuzarr.open_array(LocalStore(tmp_path, read_only=True), path="x"),
    ]
    for a in opened:
        assert isinstance(a, gpuzarr.Array)
        calls: list[Callable[[gpuzarr.Array], Any]] = [
            lambda a: a.__setitem__(slice(None), 1),
            lambda a: a.append(np.ones(2, "i4")),
            lambda a: a.resize((9,)),
        ]
        for call in calls:
            with pytest.raises(ReadOnlyError) as caught:
                call(a)
            assert_sentence(caught.value)
    np.testing.assert_array_equal(array[...], [5, 5, 5, 5])
    assert zarr.open_array(tmp_path, path="x").shape == (4,)


@pytest.mark.parametrize("mode", ["r+", "a", "w", "w-"])
def test_a_store_that_takes_no_writes_is_not_opened_for_writing(tmp_path: Path, mode: str) -> None:
    zarr.create_array(tmp_path, shape=4, chunks=2, dtype="i4")
    for kind in (LocalStore, OwnLocalStore):
        store = kind(tmp_path, read_only=True)
        for opened in (store, zarr.open_array(store, mode="r")):
            with pytest.raises(ReadOnlyError, match="read-only") as caught:
                gpuzarr.open(opened, mode=mode)
            assert_sentence(caught.value)


# Selections, pickles ----------------------------------------------------------------------------


@pytest.mark.parametrize("key", [64, -65, (0, 0), "x", [3, 64], 1.5, (..., ...), slice(0, 5, 0)])
def test_an_index_that_the_array_does_not_have_is_an_error(tmp_path: Path, key: Any) -> None:
    array = stored(tmp_path, 3, "zstd").open()
    with pytest.raises(SelectionError) as caught:
        array[key]
    assert_sentence(caught.value)
    assert isinstance(caught.value, IndexError)


def test_pickled_data_are_refused_unless_allowed(tmp_path: Path) -> None:
    strings, pickled = numcodecs.VLenUTF8(), numcodecs.Pickle()
    document = _document(2) | {
        "shape": [2], "chunks": [2], "dtype": "|O", "fill_value": "",
        "filters": [strings.get_config()], "compressor": pickled.get_config(),
    }  # fmt: skip
    (tmp_path / ".zarray").write_text(json.dumps(document))
    encoded = strings.encode(np.array(["a", "bc"], dtype=object))
    (tmp_path / "0").write_bytes(pickled.encode(bytes(encoded)))
    opened = gpuzarr.open(tmp_path)
    with pytest.raises(PickleDisabledError) as caught:
        opened[...]
    assert isinstance(caught.value, zarr.errors.PickleCodecDisabledError)
    assert "array.allow_unsafe_pickle_decode" in str(caught.value)
    with (
        zarr.config.set({"array.allow_unsafe_pickle_decode": True}),
        patch.object(numcodecs.pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True),
    ):
        assert opened[...].tolist() == ["a", "bc"]


# The errors themselves --------------------------------------------------------------------------


def test_every_error_survives_pickling() -> None:
    kinds = [k for k in vars(gpuzarr.errors).values() if isinstance(k, type)]
    kinds = [k for k in kinds if issubclass(k, GpuzarrError)]
    assert len(kinds) > 12
    for kind in kinds:
        error: Exception
        if issubclass(kind, ChunkError):
            error = kind("expected, found", array="a", chunk="c/0", stage="zstd", device="cpu")
        elif kind is StreamError:
            error = StreamError(3, "expected, found", ChecksumError)
        else:
            error = kind("A sentence.")
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is kind
        assert str(copy) == str(error)
        assert vars(copy) == vars(error)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """Every error is drawn, below its parent, with what else it is."""
    drawn = gpuzarr.errors.__doc__
    assert drawn is not None
    others = {k.__name__: k for k in (IndexError, ValueError, KeyError, RuntimeError, OSError)}
    others |= {"NotImplementedError": NotImplementedError} | vars(zarr.errors)
    for name, kind in vars(gpuzarr.errors).items():
        if not isinstance(kind, type) or not issubclass(kind, GpuzarrError):
            continue
        if kind in (GpuzarrError, StreamError):  # the root; and one that never leaves
            continue
        (line,) = (row for row in drawn.splitlines() if f" {name} " in row)
        is_below_chunk_error = line.startswith("        ") and issubclass(kind, ChunkError)
        assert is_below_chunk_error == (issubclass(kind, ChunkError) and kind is not ChunkError)
        assert kind.__doc__
        for word in line.split(name)[1].replace(",", " ").replace(";", " ").split():
            if word in others:
                assert issubclass(kind, others[word]), (name, word)
