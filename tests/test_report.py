"""`explain` says before a read what `last_read` tells after it, and both tell the truth."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from harness import assert_read, smooth
from stores import OwnLocalStore
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec
from zarr.codecs import numcodecs as wrapped

import gpuzarr

pytestmark = [
    pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning"),
    pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning"),
]

VALUES = smooth((60, 50), "f4")

ARRAYS: dict[str, dict[str, Any]] = {
    "raw": {"compressors": None},
    "zstd": {"compressors": ZstdCodec()},
    "two-stages": {"compressors": [ZstdCodec(), Crc32cCodec()]},
    "blosc-v2": {"zarr_format": 2, "compressors": numcodecs.Blosc()},
    "filters-v2": {
        "zarr_format": 2, "filters": [numcodecs.Shuffle(4)], "compressors": numcodecs.LZ4(),
    },
    "foreign": {"compressors": wrapped.BZ2()},
    "foreign-filter": {"filters": [wrapped.Delta(dtype="<f4")], "compressors": GzipCodec()},
    "sharded": {"shards": (30, 20), "compressors": BloscCodec()},
    "big-endian": {"serializer": zarr.codecs.BytesCodec(endian="big"), "compressors": None},
}  # fmt: skip

SELECTIONS: dict[str, Any] = {
    "all": ...,
    "box": (slice(5, 31), slice(0, 11)),
    "row": 7,
    "steps": (slice(None, None, -17), slice(3, None, 20)),
    "lists": ([1, 59, 1], slice(4, 8)),
    "mask": VALUES > 85,
    "nothing": slice(0, 0),
}


def made(root: Path, name: str, *, all_chunks: bool = True) -> zarr.Array[Any]:
    z = zarr.create_array(
        root, shape=VALUES.shape, dtype="f4", fill_value=1, chunks=(10, 10), **ARRAYS[name]
    )
    z[...] = VALUES
    if not all_chunks:
        z[10:25] = 1
        z[40:, 20:] = 1
    return z


def chunk_files(root: Path) -> list[Path]:
    return [f for f in root.rglob("*") if f.is_file() and not f.name.startswith((".z", "zarr."))]


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("all_chunks", [True, False])
def test_what_is_explained_is_what_is_done(
    tmp_path: Path, name: str, selection: str, all_chunks: bool
) -> None:
    made(tmp_path, name, all_chunks=all_chunks)
    array, key = gpuzarr.open_array(tmp_path), SELECTIONS[selection]
    wave = 3 * 400
    with gpuzarr.config.set({"threads": 2, "wave_bytes": wave, "device_wave_bytes": wave}):
        before = array.explain(key)
        assert_read(array.read(key), np.asarray(array.zarr[...][key]))
    after = array.last_read
    assert after is not None
    assert (after.device, after.source) == (before.device, before.source)
    assert after.device == array.device
    assert after.source == "posix" or array.device.startswith("cuda")
    assert after.chunks + after.missing == before.chunks
    assert after.missing == 0 or not all_chunks
    assert (after.waves, after.threads) == (before.waves, before.threads)
    assert after.bytes_decoded == 400 * after.chunks
    assert before.bytes_decoded == 400 * before.chunks
    stages = {(stage.stage, stage.device) for stage in before.stages}
    assert after.stages == dict.fromkeys(stages if after.chunks else (), after.chunks)
    for stage in before.stages:
        assert stage.reason
        assert not after.chunks or after.seconds[stage.stage] >= 0
    assert bool(before.fallbacks) == (array.device != "cpu" and name == "foreign")


@pytest.mark.parametrize("name", ARRAYS)
def test_the_bytes_read_are_those_in_the_store(tmp_path: Path, name: str) -> None:
    made(tmp_path, name)
    array = gpuzarr.open_array(tmp_path)
    array[...]
    assert array.last_read is not None
    assert array.last_read.bytes_read == sum(f.stat().st_size for f in chunk_files(tmp_path))
    assert array.last_read.chunks == 30


def test_the_counts_of_a_selection_are_those_of_its_chunks(tmp_path: Path) -> None:
    made(tmp_path, "zstd")
    array = gpuzarr.open_array(tmp_path)
    array[9:11, 0]
    assert array.last_read is not None
    size = sum((tmp_path / "c" / n / "0").stat().st_size for n in "01")
    assert (array.last_read.chunks, array.last_read.bytes_read) == (2, size)


def test_shards_and_missing_chunks_are_counted(tmp_path: Path) -> None:
    z = zarr.create_array(
        tmp_path, shape=(8, 8), chunks=(2, 2), shards=(4, 4), dtype="i2", fill_value=0
    )
    z[:2, :2] = 1
    array = gpuzarr.open_array(tmp_path)
    assert (array.explain().chunks, array.explain().shards) == (16, 4)
    assert (array.explain(slice(2)).chunks, array.explain(slice(2)).shards) == (4, 2)
    array[...]
    assert array.last_read is not None
    assert (array.last_read.chunks, array.last_read.missing) == (1, 15)
    assert array.last_read.bytes_read == sum(f.stat().st_size for f in chunk_files(tmp_path))


def test_explaining_reads_nothing(tmp_path: Path) -> None:
    made(tmp_path, "sharded")
    array = gpuzarr.open_array(OwnLocalStore(tmp_path))
    for file in chunk_files(tmp_path):
        file.unlink()
    assert array.explain().source == "OwnLocalStore"
    assert array.last_read is None


def test_explaining_an_index_out_of_bounds_is_an_error(tmp_path: Path) -> None:
    made(tmp_path, "zstd")
    with pytest.raises(IndexError):
        gpuzarr.open_array(tmp_path).explain(60)


def test_both_are_told_in_words(tmp_path: Path) -> None:
    made(tmp_path, "two-stages", all_chunks=False)
    array = gpuzarr.open_array(tmp_path)
    before = str(array.explain())
    array[...]
    after = str(array.last_read)
    for words in ("30 chunks", "zstd: cpu", "crc32c: cpu", "12,000 bytes", "posix"):
        assert words in before
    assert array.last_read is not None
    for words in (f"{array.last_read.chunks} chunks", "missing", "zstd", "crc32c", "posix", "ms"):
        assert words in after
    made(tmp_path / "raw", "raw")
    assert "no codec" in str(gpuzarr.open_array(tmp_path / "raw").explain())


def test_a_foreign_codec_is_told_with_its_owner(tmp_path: Path) -> None:
    made(tmp_path, "foreign")
    (stage,) = gpuzarr.open_array(tmp_path).explain().stages
    assert stage.stage == "numcodecs.bz2"
    assert "chunk by chunk" in stage.reason


def test_each_array_of_a_common_read_has_its_own_report(tmp_path: Path) -> None:
    made(tmp_path / "a", "zstd")
    made(tmp_path / "b", "sharded")
    a, b = gpuzarr.open_array(tmp_path / "a"), gpuzarr.open_array(tmp_path / "b")
    gpuzarr.read_many([(a, slice(0, 10)), (b, slice(0, 20))])
    assert a.last_read is not None
    assert b.last_read is not None
    assert (a.last_read.chunks, b.last_read.chunks) == (5, 10)
    assert list(a.last_read.stages) == [("zstd", "cpu")]
    assert list(b.last_read.stages) == [("blosc", "cpu")]


def test_chunks_that_boxes_share_are_decoded_once(tmp_path: Path) -> None:
    made(tmp_path, "zstd")
    array = gpuzarr.open_array(tmp_path)
    array.read_many([[0, 0], [1, 1], [2, 2], [5, 9]], shape=(4, 4))
    assert array.last_read is not None
    assert array.last_read.chunks == 2


class Noting(numcodecs.abc.Codec):
    """Notes the thread that decodes."""

    codec_id = "gpuzarr_test_threads"
    threads: set[int] = set()  # noqa: RUF012

    def encode(self, buf: Any) -> Any:
        return buf

    def decode(self, buf: Any, out: Any = None) -> Any:
        self.threads.add(threading.get_ident())
        return buf


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_no_more_threads_take_part_than_are_told(tmp_path: Path, threads: int) -> None:
    numcodecs.register_codec(Noting)  # here, since this module is imported under two names
    values = np.arange(64 << 14, dtype="f4").reshape(64, -1)
    z = zarr.create_array(
        tmp_path, shape=values.shape, chunks=(1, 1 << 14), dtype="f4", zarr_format=2,
        compressors=Noting(), fill_value=0,
    )  # fmt: skip
    z[...] = values
    array = gpuzarr.open_array(tmp_path)
    with gpuzarr.config.set({"threads": threads}):
        assert array.explain().threads == threads
        Noting.threads.clear()
        assert_read(array[...], values)
    assert array.last_read is not None
    assert array.last_read.threads == threads
    assert 1 <= len(Noting.threads) <= threads
    assert threads > 1 or Noting.threads == {threading.get_ident()}


# Options change how, not what -----------------------------------------------------------------

OPTIONS = [
    {"threads": 1},
    {"threads": 3},
    {"threads": 2, "wave_bytes": 1, "device_wave_bytes": 1},
    {"wave_bytes": 1, "device_wave_bytes": 1},
    {"wave_bytes": 1000, "device_wave_bytes": 1000},
    {"wave_bytes": 1 << 40, "device_wave_bytes": 1 << 40},
    {"coalesce_gap_bytes": 0},
    {"coalesce_gap_bytes": 1 << 40},
    {"concurrency": 1},
    {"concurrency": 10_000},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("source", ["posix", "own"])
def test_no_option_changes_a_result(tmp_path: Path, options: dict[str, int], source: str) -> None:
    names = ("raw", "zstd", "foreign", "sharded", "filters-v2")
    for name in names if source == "posix" else ("zstd", "sharded"):
        z = made(tmp_path / name, name, all_chunks=False)
        store = tmp_path / name if source == "posix" else OwnLocalStore(tmp_path / name)
        array, expected = gpuzarr.open_array(store), z[...]
        with gpuzarr.config.set(options):
            for key in SELECTIONS.values():
                assert_read(array.read(key), expected[key])
            boxes = array.read_many([[0, 0], [37, 21], [50, 40]], shape=(9, 9))
        assert_read(boxes[1], expected[37:46, 21:30])
