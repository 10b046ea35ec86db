"""Chains that encode on the device from end to end: no stage of theirs runs on the CPU.

The oracle is zarr-python, which writes the same next to it, and reads what was written. While the
device writes, every op of the CPU's raises, but for the indexes of shards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from harness import asarray, smooth
from writing.twins import Twins, read_by_zarr
from zarr.codecs import (
    BloscCodec,
    BytesCodec,
    Crc32cCodec,
    GzipCodec,
    ShardingCodec,
    TransposeCodec,
    ZstdCodec,
)
from zarr.codecs import numcodecs as v3

import gpuzarr
from gpuzarr.device.kernel_device import KernelDevice
from gpuzarr.errors import ReadOnlyError

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")

CRC, LITTLE, BIG = Crc32cCodec(), BytesCodec(), BytesCodec(endian="big")
SHUFFLE = v3.Shuffle(elementsize=4)
TURNED = TransposeCodec(order=(1, 0))


def shards(*codecs: Any, **options: Any) -> dict[str, Any]:
    """Of chunks of ``(4, 5)``."""
    codec = ShardingCodec(chunk_shape=(4, 5), codecs=codecs, **options)
    return {"chunks": (8, 15), "serializer": codec}


INNER = ShardingCodec(chunk_shape=(2, 5), codecs=[LITTLE, CRC], index_location="start")
NESTED = ShardingCodec(
    chunk_shape=(4, 5), codecs=[INNER], subchunk_write_order="lexicographic", index_codecs=[BIG]
)
INNER_BLOSC = ShardingCodec(chunk_shape=(4, 5), codecs=[LITTLE, BloscCodec(typesize=4)])
V3: dict[str, dict[str, Any]] = {
    "raw": {},
    "big-endian": {"serializer": BIG},
    "transposed": {"filters": [TURNED]},
    "crc32c": {"compressors": [CRC]},
    "shuffle, crc32c": {"compressors": [SHUFFLE, CRC]},
    "transposed, big-endian, crc32, shuffle, crc32c": {
        "filters": [TURNED], "serializer": BIG, "compressors": [v3.CRC32(), SHUFFLE, CRC],
    },
    "shards": shards(LITTLE),
    "shards, crc32c, index in front": shards(BIG, CRC, index_location="start"),
    "shards by row, no checksum": shards(
        TURNED, LITTLE, index_codecs=[LITTLE], subchunk_write_order="lexicographic"
    ),
    "shards in shards": {"chunks": (8, 15), "serializer": NESTED},
    "zstd, crc32c": {"compressors": [ZstdCodec(), CRC]},
    "big-endian, gzip": {"serializer": BIG, "compressors": [GzipCodec()]},
    "shuffle, zlib": {"compressors": [SHUFFLE, v3.Zlib()]},
    "lz4": {"compressors": [v3.LZ4()]},
    "blosc lz4": {"compressors": [BloscCodec(cname="lz4", shuffle="shuffle", typesize=4)]},
    "blosc zstd": {"compressors": [BloscCodec(cname="zstd", shuffle="bitshuffle", typesize=4)]},
    "shards of zstd": shards(LITTLE, ZstdCodec()),
    "shards of blosc in shards": {
        "chunks": (8, 15), "serializer": ShardingCodec(
            chunk_shape=(4, 15), codecs=[INNER_BLOSC], index_location="start"
        ),
    },
    "delta, zstd": {
        "filters": v3.Delta(dtype="<i4"), "compressors": [ZstdCodec()], "dtype": "i4",
    },
    "fixedscaleoffset, lz4": {
        "filters": v3.FixedScaleOffset(offset=3, scale=1, dtype="<i4", astype="<i2"),
        "compressors": [v3.LZ4()], "dtype": "i4",
    },
    "transposed shards": {"filters": [TURNED], **shards(LITTLE, CRC), "chunks": (20, 20)},
    "big-endian shards, transposed": {
        "filters": [TURNED], **shards(BIG, CRC), "chunks": (20, 20),
    },
    "shards with a checksum": {**shards(LITTLE), "compressors": [CRC]},
}  # fmt: skip
V2: dict[str, dict[str, Any]] = {
    "raw, F": {"order": "F"},
    "crc32": {"compressors": numcodecs.CRC32()},
    "blosc": {"compressors": numcodecs.Blosc()},
    "zstd": {"compressors": numcodecs.Zstd()},
    "delta, shuffle, zlib": {
        "filters": [numcodecs.Delta("<i4", "<i2"), numcodecs.Shuffle(2)], "dtype": "<i4",
        "compressors": numcodecs.Zlib(),
    },
    "shuffle, adler32, big-endian, F": {
        "filters": [numcodecs.Shuffle(4)], "compressors": numcodecs.Adler32(), "dtype": ">f4",
        "order": "F",
    },
}  # fmt: skip
CASES = [
    pytest.param({"zarr_format": version, **arguments}, id=f"v{version}: {name}")
    for version, cases in ((2, V2), (3, V3))
    for name, arguments in cases.items()
]
ON_ALL_CHAINS = pytest.mark.parametrize("arguments", CASES)
SHAPE = (23, 31)
DATA = smooth(SHAPE, "f4")


def twins(arguments: dict[str, Any], *, write_empty: bool = False) -> Twins:
    given = {"chunks": (4, 5), "dtype": "f4", "fill_value": 3, "compressors": None, **arguments}
    return Twins(SHAPE, config={"write_empty_chunks": write_empty}, **given)


def chains(write_empty: bool, arguments: dict[str, Any]) -> Iterator[tuple[Twins, Any]]:
    """Twins and what is written to them, one after the other."""
    both, some = twins(arguments, write_empty=write_empty), DATA.astype("f4")
    empty = np.full((8, 10), 3, "f4")
    for key, value in (
        ((slice(3, 9), slice(2, 17)), some[3:9, 2:17]),
        (..., some),
        ((slice(4, 12), slice(5, 15)), empty),
        ((slice(1, 22, 5), slice(29, 2, -4)), some[1:22:5, 29:2:-4]),
        ((7, slice(20, None)), some[7, 20:]),
    ):
        yield both, (key, value)


@pytest.mark.parametrize("write_empty", [False, True])
@ON_ALL_CHAINS
def test_every_stage_encodes_on_the_device(
    no_cpu: None, arguments: dict[str, Any], write_empty: bool
) -> None:
    """Whole chunks and parts of them, empty ones, steps; the stores hold the same bytes, but for
    compressed ones, which zarr-python reads."""
    for both, (key, value) in chains(write_empty, arguments):
        told = both.ours.explain(key, writing=True)
        assert not told.fallbacks
        both.write(key, value)
        done = both.ours.last_write
        assert (done.device, told.device) == (both.ours.device,) * 2
        expected = {(s.stage, s.device): done.chunks for s in told.stages if done.chunks}
        assert done.stages == expected
        assert list(done.stages) == [(s.stage, s.device) for s in told.stages if done.chunks]
        assert all(device == both.ours.device for _, device in done.stages)
    np.testing.assert_array_equal(read_by_zarr(both.ours.store), both.mirror)


@ON_ALL_CHAINS
def test_lists_and_masks_are_encoded_on_the_device(no_cpu: None, arguments: dict[str, Any]) -> None:
    both, rows, columns = twins(arguments), [19, 3, 4, 11, 3], [0, 30, 7, 8]
    both.write(..., DATA)
    value = np.arange(20, dtype="f4").reshape(5, 4)
    both.ours.oindex[rows, columns] = asarray(value)
    both.mirror[np.ix_(rows, columns)] = value
    both.ours.vindex[[5, 22, 5], [6, 0, 7]] = asarray(value[0, :3])
    both.mirror[[5, 22, 5], [6, 0, 7]] = value[0, :3]
    mask = DATA > 60
    both.ours[mask] = asarray(-DATA[mask])
    both.mirror[mask] = -DATA[mask]
    np.testing.assert_array_equal(read_by_zarr(both.ours.store), both.mirror)


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What goes up and down."""
    found: list[str] = []

    def noted(name: str, op: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            found.append(name)
            return op(*args)

        return call

    for name in ("upload", "to_device", "to_host"):
        monkeypatch.setattr(KernelDevice, name, noted(name, getattr(KernelDevice, name)))
    return found


@ON_ALL_CHAINS
def test_launches_and_copies_count_stages_and_not_chunks(
    arguments: dict[str, Any], copies: list[str]
) -> None:
    """Writes of 10, 100 and some of 1,000 chunks in one wave, whole and in parts."""
    found, is_plain = [], len(arguments) <= 2
    for count in (10, 100, 1000) if is_plain else (10, 100):
        shape, per_shard = (count * 4, 10), arguments.get("chunks", (4, 5))
        shape = (-(-shape[0] // per_shard[0]) * per_shard[0], per_shard[1] * 2)
        given = {"chunks": (4, 5), "dtype": "f4", "compressors": None, **arguments}
        ours = gpuzarr.create_array({}, shape=shape, **given)
        counts = []
        for key in (..., (slice(1, shape[0] - 1), slice(2, shape[1] - 2))):
            value = asarray(smooth(shape, "f4")[key])
            copies.clear()
            ours[key] = value
            done = ours.last_write
            assert done.waves == 1
            assert (done.uploads, done.downloads) == (
                copies.count("to_device"), copies.count("to_host"),
            )  # fmt: skip
            counts.append((done.launches, done.uploads, done.downloads, done.waits))
        found.append(counts)
    assert all(counts == found[0] for counts in found)


@ON_ALL_CHAINS
def test_encoded_bytes_come_down_once(arguments: dict[str, Any]) -> None:
    """And small tables: where streams are, and which of them are empty."""
    both = twins(arguments)
    both.write(..., DATA)
    done = both.ours.last_write
    verdicts = 64 * 8 * (done.chunks + done.empty)  # of chunks in shards, too
    assert done.bytes_written <= done.bytes_downloaded + 64 * len(done.written)
    assert done.bytes_downloaded <= done.bytes_written + verdicts
    tables = done.launches * (verdicts + 12 * 256)
    assert done.bytes_uploaded <= tables
    assert f"{done.bytes_downloaded:,} down in {done.downloads}" in str(done)


@pytest.mark.parametrize("dtype", ["f4", "i2", "u1", "f8", "?"])
def test_a_value_of_other_numbers_is_cast_on_the_device(no_cpu: None, dtype: str) -> None:
    for given in ("f8", "i4", "u1", "f2"):
        value = smooth((12, 10), given)
        ours = gpuzarr.create_array(
            {}, shape=(12, 10), chunks=(4, 5), dtype=dtype, compressors=[CRC]
        )
        ours[...] = asarray(value)
        ours[3, 1:9:2] = asarray(value)[4, 1:9:2]
        expected = value.astype(dtype)
        expected[3, 1:9:2] = value[4, 1:9:2].astype(dtype)
        np.testing.assert_array_equal(read_by_zarr(ours.store), expected)
        assert ours.last_write.device == ours.device


def test_complex_values_of_real_arrays_are_cast_on_the_host() -> None:
    value = smooth((12, 10), "f8") * (1 + 0j)
    ours = gpuzarr.create_array({}, shape=(12, 10), chunks=(4, 5), dtype="c8", compressors=[CRC])
    ours[...] = asarray(value)
    np.testing.assert_array_equal(read_by_zarr(ours.store), value.astype("c8"))
    assert ours.last_write.device == ours.device
    assert ours.last_write.downloads >= 2


def test_a_value_of_the_host_goes_up_once() -> None:
    ours = gpuzarr.create_array({}, shape=(12, 10), chunks=(4, 5), dtype="f4", compressors=[CRC])
    ours[...] = (value := smooth((12, 10), "f8"))
    np.testing.assert_array_equal(read_by_zarr(ours.store), value.astype("f4"))
    done = ours.last_write
    assert (done.device, done.stages) == (ours.device, {("crc32c", ours.device): done.chunks})
    ours[...] = asarray(value.astype("f4"))
    there = ours.last_write
    assert (done.launches, done.uploads) == (there.launches, there.uploads + 1)
    assert done.bytes_uploaded - there.bytes_uploaded == value.nbytes // 2
    ours[...] = 5
    assert ours.last_write.bytes_uploaded < done.bytes_uploaded


def test_a_value_of_the_host_stays_there_where_nothing_is_encoded() -> None:
    ours = gpuzarr.create_array({}, shape=(12, 10), chunks=(4, 5), dtype="f4", compressors=None)
    ours[...] = (value := smooth((12, 10), "f4"))
    done = ours.last_write
    assert (done.device, done.uploads, done.downloads) == ("cpu", 0, 0)
    ours[...] = asarray(value)
    assert ours.last_write.device == ours.device
    np.testing.assert_array_equal(read_by_zarr(ours.store), value)


MIXED: dict[str, tuple[dict[str, Any], str]] = {
    "shuffle, bz2": ({"compressors": [SHUFFLE, v3.BZ2()]}, "shuffle"),
    "crc32c, bz2, crc32c": ({"compressors": [CRC, v3.BZ2(), CRC]}, "crc32c"),
    "bz2, crc32c": ({"compressors": [v3.BZ2(), CRC]}, ""),
    "shards": (shards(LITTLE, SHUFFLE, v3.BZ2()), "shuffle"),
    "shards with bz2 behind": ({**shards(LITTLE), "compressors": [v3.BZ2()]}, "sharding_indexed"),
    "shards of bz2, crc32c behind": (
        {**shards(LITTLE, v3.BZ2()), "compressors": [CRC]}, "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MIXED)
def test_the_cpu_does_the_last_stages_and_bytes_come_down_once(
    name: str, copies: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    arguments, on_device = MIXED[name]
    both = twins(arguments)
    ours = both.ours
    for key in (..., (slice(2, 20), slice(1, 30))):
        told = ours.explain(key, writing=True)
        both.write(key, DATA[key])
        done = ours.last_write
        assert done.stages == {(s.stage, s.device): done.chunks for s in told.stages}
        assert [s.stage for s in told.stages if s.device == ours.device] == on_device.split()
        assert [s.device for s in told.stages] == sorted(
            (s.device for s in told.stages), reverse=True
        )
        for stage in told.fallbacks:
            assert any(w in stage.reason for w in ("no device", " before it"))
    if not on_device:
        assert (done.device, done.launches, done.downloads) == ("cpu", 0, 1)
        assert done.bytes_downloaded == DATA[key].nbytes
    else:
        assert done.device == ours.device
        assert "download" in done.seconds
    assert caplog.text.count("written from") == 1
    assert all(stage.stage in caplog.text for stage in told.fallbacks)
    both.check()


@pytest.mark.parametrize(
    ("compressors", "reason"),
    [
        ([ZstdCodec()], "chunks have 80 bytes, its encoder takes 40 at most"),
        ([ZstdCodec(), v3.LZ4()], "the size of what it encodes is known only from the data"),
    ],
    ids=["large", "unknown"],
)
def test_streams_that_no_encoder_takes_are_the_cpu_s(
    compressors: Any, reason: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if len(compressors) == 1:
        monkeypatch.setattr(KernelDevice, "largest_stream", lambda self, codec: 40)
    for given in ({}, shards(LITTLE, *compressors)):
        both = twins(given or {"compressors": compressors})
        told = both.ours.explain(writing=True)
        assert [stage.reason for stage in told.fallbacks] == [reason]
        both.write(..., DATA)
        both.check()
        done = both.ours.last_write
        assert done.stages == {(s.stage, s.device): done.chunks for s in told.stages}
        assert reason in caplog.text
        caplog.clear()


def test_what_is_left_of_old_shards_goes_up_in_one_copy(copies: list[str]) -> None:
    both = twins(shards(LITTLE, CRC))
    both.write(..., DATA)
    found = []
    for key in (slice(1, 2), slice(1, 18)):
        copies.clear()
        both.write((key, slice(3, 5)), DATA[key, 3:5] * 2)
        found.append(copies.count("upload"))
    assert found[0] == found[1] <= 3  # to be merged, to be kept


def test_what_explain_says_of_a_write() -> None:
    ours = gpuzarr.create_array({}, shape=(40,), chunks=(2,), dtype="f4", compressors=[CRC])
    text = str(ours.explain(np.s_[3:9], writing=True))
    assert ": 4 chunks, 32 bytes to encode" in text
    assert f"from {ours.device} to MemoryStore, 1 waves" in text
    assert f"crc32c: {ours.device}" in text
    with pytest.raises(ReadOnlyError):
        gpuzarr.open(zarr.open_array(ours.store.with_read_only(), mode="r")).explain(writing=True)
