"""Every kind of store through one suite: the same arrays in each, the same values from each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import numpy as np
import pytest
import zarr
from harness import assert_same
from stores import OwnLocalStore, Watched, running_loop, watched
from zarr.abc.store import RangeByteRequest, Store, SuffixByteRequest
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec, ZstdCodec
from zarr.core.buffer import BufferPrototype, cpu
from zarr.core.sync import _get_loop, sync
from zarr.storage import (
    FsspecStore,
    LocalStore,
    LoggingStore,
    MemoryStore,
    ObjectStore,
    StorePath,
    WrapperStore,
    ZipStore,
)
from zarr.testing.buffer import StoreExpectingTestBuffer, TestBuffer

import gpuzarr
from gpuzarr.batch import MISSING, Scratch
from gpuzarr.errors import NodeNotFoundError, ShardIndexError, StoreError
from gpuzarr.shards import Extents
from gpuzarr.sources.requests import Many, One, requests_of
from gpuzarr.sources.store import source_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning"),
    pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning"),
]

VALUES = np.arange(40 * 30, dtype="i4").reshape(40, 30)


def _sharded(location: Any, chunks: Any = (5, 6)) -> ShardingCodec:
    return ShardingCodec(
        chunk_shape=chunks,
        codecs=[BytesCodec(), ZstdCodec()],
        index_codecs=[BytesCodec(), Crc32cCodec()],
        index_location=location,
    )


LAYOUTS: dict[str, dict[str, Any]] = {
    "v2": {"zarr_format": 2, "chunks": (7, 8)},
    "v2-nested-keys": {
        "zarr_format": 2, "chunks": (7, 8), "order": "F",
        "chunk_key_encoding": {"name": "v2", "separator": "/"},
    },
    "v3": {"chunks": (7, 8)},
    "v3-flat-keys": {
        "chunks": (7, 8), "chunk_key_encoding": {"name": "default", "separator": "."},
    },
    "sharded": {"chunks": (10, 12), "serializer": _sharded("end"), "compressors": None},
    "sharded-at-start": {"chunks": (10, 12), "serializer": _sharded("start"), "compressors": None},
    "shards-in-shards": {
        "chunks": (20, 24), "compressors": None,
        "serializer": ShardingCodec(chunk_shape=(10, 12), codecs=[_sharded("start")]),
    },
}  # fmt: skip


def made(layout: str) -> dict[str, bytes]:
    """What a store holds: a consolidated tree with ``deep/field``, some of its chunks missing."""
    memory: dict[str, Any] = {}
    arguments = {"zarr_format": 3, **LAYOUTS[layout]}
    version: Any = arguments["zarr_format"]
    root = zarr.create_group(memory, zarr_format=version, attributes={"title": "test"})
    field = root.create_group("deep").create_array(
        "field", shape=VALUES.shape, dtype=VALUES.dtype, fill_value=-1,
        **{k: v for k, v in arguments.items() if k != "zarr_format"},
    )  # fmt: skip
    field[:20] = VALUES[:20]
    field[35:, 25:] = VALUES[35:, 25:]
    root.create_array("scalar", data=np.array(5.5))
    zarr.consolidate_metadata(memory)
    return {key: value.to_bytes() for key, value in memory.items()}


EXPECTED = np.full_like(VALUES, -1)
EXPECTED[:20] = VALUES[:20]
EXPECTED[35:, 25:] = VALUES[35:, 25:]


def _filled(store: Store, contents: dict[str, bytes]) -> Store:
    for key, value in contents.items():
        sync(store.set(key, cpu.Buffer.from_bytes(value)))
    return store


def _files(folder: Path, contents: dict[str, bytes]) -> Path:
    for key, value in contents.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(value)
    return folder


def _memory(contents: dict[str, bytes]) -> dict[str, Any]:
    return {key: cpu.Buffer.from_bytes(value) for key, value in contents.items()}


def _zip(folder: Path, contents: dict[str, bytes]) -> Path:
    path = folder / "store.zip"
    with ZipStore(path, mode="w") as store:
        _filled(store, contents)
    return path


def _object_store(name: str, *arguments: Any, **keywords: Any) -> ObjectStore[Any]:
    stores = pytest.importorskip("obstore.store", reason="obstore is not installed")
    return ObjectStore(getattr(stores, name)(*arguments, **keywords))


def _fsspec_memory(folder: Path, contents: dict[str, bytes]) -> str:
    url = f"memory://{folder}/store"
    _filled(FsspecStore.from_url(url), contents)
    return url


KINDS: dict[str, Callable[[Path, dict[str, bytes]], Any]] = {
    "string": lambda folder, contents: str(_files(folder, contents)),
    "path": _files,
    "file-url": lambda folder, contents: f"file://{_files(folder, contents)}",
    "local": lambda folder, contents: LocalStore(_files(folder, contents)),
    "own-local": lambda folder, contents: OwnLocalStore(_files(folder, contents)),
    "dict": lambda folder, contents: _memory(contents),
    "memory": lambda folder, contents: MemoryStore(_memory(contents)),
    "zip-path": _zip,
    "zip": lambda folder, contents: ZipStore(_zip(folder, contents), mode="r"),
    "fsspec-url": _fsspec_memory,
    "fsspec": lambda folder, contents: FsspecStore.from_url(_fsspec_memory(folder, contents)),
    "object-memory": lambda folder, contents: _filled(_object_store("MemoryStore"), contents),
    "object-local": lambda folder, contents: _object_store(
        "LocalStore", str(_files(folder, contents))
    ),
    "wrapped-local": lambda folder, contents: WrapperStore(LocalStore(_files(folder, contents))),
    "wrapped-memory": lambda folder, contents: WrapperStore(MemoryStore(_memory(contents))),
    "logging": lambda folder, contents: LoggingStore(
        MemoryStore(_memory(contents)), log_level="ERROR"
    ),
    "store-path": lambda folder, contents: StorePath(LocalStore(_files(folder, contents))),
    "zarr-group": lambda folder, contents: zarr.open_group(_files(folder, contents), mode="r"),
}
FORMS = {"string", "path", "file-url", "dict", "zip-path", "fsspec-url", "store-path", "zarr-group"}
"""Kinds that are ways to name a store, rather than stores."""


class Place:
    """Makes one kind of store, and closes what it made."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self._folder = kind, folder
        self._made: list[Any] = []

    def __call__(self, contents: dict[str, bytes]) -> Any:
        folder = self._folder / str(len(self._made))
        folder.mkdir()
        self._made.append(KINDS[self.kind](folder, contents))
        return self._made[-1]

    def close(self) -> None:
        for store in self._made:
            if isinstance(store, Store):
                store.close()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Of each kind in turn."""
    made = Place(request.param, tmp_path)
    yield made
    made.close()


@pytest.fixture(params=sorted(KINDS.keys() - FORMS))
def store_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Of each kind that is a class of its own."""
    made = Place(request.param, tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_values_are_the_same_from_every_store(place: Place, layout: str) -> None:
    array = gpuzarr.open_array(place(made(layout)), path="deep/field")
    assert_same(array[...], EXPECTED)
    assert_same(array[17:22, 4:26:3], EXPECTED[17:22, 4:26:3])
    assert_same(array[36, -1], EXPECTED[36, -1])
    assert_same(array.oindex[[0, 39, 19], 20:29], EXPECTED[[0, 39, 19], 20:29])
    assert_same(array.vindex[[0, 39, 19], [1, 29, 2]], EXPECTED[[0, 39, 19], [1, 29, 2]])
    assert_same(array.read_many([[0, 0], [30, 20]], shape=(9, 9))[1], EXPECTED[30:39, 20:29])
    array.store.close()


@pytest.mark.parametrize("layout", ["v2", "v3"])
def test_the_tree_is_the_same_from_every_store(place: Place, layout: str) -> None:
    store = place(made(layout))
    root = gpuzarr.open_group(store)
    assert root.keys() == ["deep", "scalar"]
    assert dict(root.attrs) == {"title": "test"}
    assert "deep" in root
    assert "shallow" not in root
    deep = root["deep"]
    assert isinstance(deep, gpuzarr.Group)
    field, scalar = deep["field"], root["scalar"]
    assert isinstance(field, gpuzarr.Array)
    assert isinstance(scalar, gpuzarr.Array)
    assert_same(field[:3], EXPECTED[:3])
    assert_same(scalar[()], np.float64(5.5))
    assert (field.path, field.name, deep.path) == ("deep/field", "field", "deep")
    below = root["deep/field"]
    assert isinstance(below, gpuzarr.Array)
    assert below.path == "deep/field"
    assert [name for name, _ in root.arrays()] == ["scalar"]
    assert [name for name, _ in root.groups()] == ["deep"]
    assert [name for name, _ in root.members()] == ["deep", "scalar"]
    root.store.close()


def test_a_path_that_is_not_there_is_an_error_from_every_store(place: Place) -> None:
    with pytest.raises(NodeNotFoundError, match="deep/nothing"):
        gpuzarr.open(place(made("v3")), path="deep/nothing")


@pytest.mark.parametrize("path", ["deep/field", "/deep/field/", "deep//field"])
def test_slashes_around_a_path_change_nothing(place: Place, path: str) -> None:
    array = gpuzarr.open_array(place(made("v3")), path=path)
    assert array.path == "deep/field"
    assert_same(array[:2], EXPECTED[:2])
    array.store.close()


def _damaged_shard(location: str, length: int | None = None) -> dict[str, bytes]:
    contents = made("sharded" if location == "end" else "sharded-at-start")
    contents["deep/field/c/0/0"] = contents["deep/field/c/0/0"][:length]
    return contents


@pytest.mark.parametrize(("location", "length"), [("end", 10), ("start", 10), ("start", 90)])
def test_a_truncated_shard_is_an_error_from_every_store(
    store_place: Place, location: str, length: int
) -> None:
    """In words of shards, whatever the store makes of a range beyond the end."""
    array = gpuzarr.open_array(store_place(_damaged_shard(location, length)), path="deep/field")
    with pytest.raises(ShardIndexError, match="deep/field/c/0/0"):
        array[...]
    assert_same(array[10:15, 12:], EXPECTED[10:15, 12:])
    array.store.close()


def test_an_empty_shard_is_an_error_from_every_store(store_place: Place) -> None:
    array = gpuzarr.open_array(store_place(_damaged_shard("end", 0)), path="deep/field")
    with pytest.raises(ShardIndexError, match="deep/field/c/0/0"):
        array[...]
    array.store.close()


@pytest.mark.parametrize("entry", [(2**60, 8), (0, 2**60), (150, 2**40), (10**6, 10)])
def test_an_index_entry_outside_the_shard_is_an_error_from_every_store(
    store_place: Place, entry: tuple[int, int]
) -> None:
    import google_crc32c

    contents = made("sharded")
    shard = contents["deep/field/c/0/0"]
    index = np.frombuffer(shard[-68:-4], "<u8").reshape(-1, 2).copy()
    index[1] = entry
    packed = index.tobytes()
    crc = google_crc32c.value(packed).to_bytes(4, "little")
    contents["deep/field/c/0/0"] = shard[:-68] + packed + crc
    array = gpuzarr.open_array(store_place(contents), path="deep/field")
    with pytest.raises(ShardIndexError, match="deep/field/c/0/0"):
        array[...]
    assert_same(array[:5, :6], EXPECTED[:5, :6])
    array.store.close()


def test_an_array_of_zarr_is_read_through_its_own_store(tmp_path: Path) -> None:
    for store in (_files(tmp_path, made("v3")), _memory(made("v3"))):
        z = zarr.open_array(store, path="deep/field", mode="r")
        array = gpuzarr.open_array(z)
        assert array.store is z.store
        assert array.zarr is z
        assert_same(array[...], EXPECTED)


def test_a_store_object_is_kept(tmp_path: Path) -> None:
    store = LocalStore(_files(tmp_path, made("v3")), read_only=True)
    assert gpuzarr.open_array(store, path="deep/field").store is store


def test_a_url_takes_storage_options(tmp_path: Path) -> None:
    url = f"simplecache::{_fsspec_memory(tmp_path, made('v3'))}"
    options = {"simplecache": {"cache_storage": str(tmp_path / "cache")}}
    array = gpuzarr.open_array(url, path="deep/field", storage_options=options)
    assert_same(array[:5], EXPECTED[:5])
    assert any((tmp_path / "cache").iterdir())


def test_storage_options_without_a_url_are_a_type_error(tmp_path: Path) -> None:
    folder = _files(tmp_path, made("v3"))
    with pytest.raises(TypeError, match="storage_options"):
        gpuzarr.open_group(folder, storage_options={"anon": True})


def test_a_mapper_of_fsspec_is_a_store(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
    root = gpuzarr.open_group(fsspec.get_mapper(_fsspec_memory(tmp_path, made("v3"))))
    field = root["deep/field"]
    assert isinstance(field, gpuzarr.Array)
    assert_same(field[...], EXPECTED)


def test_a_store_that_changes_get_is_honoured(tmp_path: Path) -> None:
    """A subclass may decrypt, or look elsewhere: local files are read directly only where the
    class is exactly `LocalStore`."""

    class Doubling(LocalStore):
        async def get(self, key: str, *arguments: Any, **keywords: Any) -> Any:
            return await super().get(key.replace("alias", "deep"), *arguments, **keywords)

    contents = made("v3")
    contents = {k: v for k, v in contents.items() if not k.startswith("scalar")}
    array = gpuzarr.open_array(Doubling(_files(tmp_path, contents)), path="alias/field")
    assert_same(array[...], EXPECTED)
    assert array.last_read is not None
    assert array.last_read.source == "Doubling"


def test_local_files_are_read_directly(tmp_path: Path) -> None:
    folder = _files(tmp_path, made("v3"))
    for store in (folder, str(folder), LocalStore(folder), zarr.open_group(folder, mode="r")):
        array = gpuzarr.open_array(store, path="deep/field")
        array[...]
        assert array.last_read is not None
        assert array.last_read.source == "posix"


def test_a_zip_file_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"no zip")
    with pytest.raises(StoreError, match=r"x\.zip.*BadZipFile"):
        gpuzarr.open(tmp_path / "x.zip")
    with pytest.raises(NodeNotFoundError, match=r"y\.zip"):
        gpuzarr.open(tmp_path / "y.zip")


def test_a_writable_store_that_cannot_be_made_read_only_is_opened() -> None:
    class Plain(WrapperStore[MemoryStore]):
        def with_read_only(self, read_only: bool = False) -> Plain:
            raise NotImplementedError

    array = gpuzarr.open_array(Plain(MemoryStore(_memory(made("v3")))), path="deep/field")
    assert_same(array[...], EXPECTED)


# Requests -------------------------------------------------------------------------------------


class Strict(Watched):
    """Fails on a range that reaches beyond the end, as a server may."""

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        if byte_range is not None and await self._store.exists(key):
            size = await self._store.getsize(key)
            if isinstance(byte_range, RangeByteRequest):
                assert 0 <= byte_range.start < byte_range.end <= size
            else:
                assert isinstance(byte_range, SuffixByteRequest)
                assert 0 < byte_range.suffix <= size
        return await super().get(key, prototype, byte_range)


def _counting(layout: str, kind: type[Watched] = Watched) -> tuple[gpuzarr.Array, Watched]:
    store = kind(MemoryStore(_memory(made(layout)), read_only=True))
    array = gpuzarr.open_array(store, path="deep/field")
    store.requests.clear()
    return array, store


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("gap", [0, 1 << 16])
def test_no_range_is_empty_or_reaches_beyond_the_end(layout: str, gap: int) -> None:
    array, _ = _counting(layout, Strict)
    with gpuzarr.config.set({"coalesce_gap_bytes": gap}):
        assert_same(array[...], EXPECTED)
        assert_same(array[3:38:4, 1:], EXPECTED[3:38:4, 1:])


def test_each_chunk_is_asked_for_once() -> None:
    array, store = _counting("v3")
    array[5:20, 5:20]
    expected = {(f"deep/field/c/{i}/{j}", None) for i in range(3) for j in range(3)}
    assert sorted(store.requests) == sorted(expected, key=str)


def test_a_shard_takes_one_request_for_its_index_and_one_for_adjacent_chunks() -> None:
    array, store = _counting("sharded")
    array[:10, :24]
    asked = {}
    for key, byte_range in store.requests:
        asked.setdefault(key, []).append(byte_range)
    assert asked.keys() == {"deep/field/c/0/0", "deep/field/c/0/1"}
    for ranges in asked.values():
        index, data = ranges
        assert index == SuffixByteRequest(68)
        assert isinstance(data, RangeByteRequest)


def test_an_index_at_the_start_is_asked_for_by_a_range() -> None:
    array, store = _counting("sharded-at-start")
    array[:5, :6]
    assert store.requests[0] == ("deep/field/c/0/0", RangeByteRequest(0, 68))
    assert len(store.requests) == 2


def test_only_the_wanted_bytes_of_a_shard_are_read() -> None:
    array, store = _counting("sharded")
    array[:5, :6]
    (_, index), (_, data) = store.requests
    assert index == SuffixByteRequest(68)
    assert isinstance(data, RangeByteRequest)
    assert array.last_read is not None
    assert array.last_read.bytes_read == 68 + data.end - data.start


def test_a_missing_shard_is_asked_for_once_and_a_missing_inner_chunk_never() -> None:
    array, store = _counting("sharded")
    assert_same(array[20:30], EXPECTED[20:30])
    assert [key for key, _ in store.requests] == [f"deep/field/c/2/{n}" for n in range(3)]
    store.requests.clear()
    assert_same(array[30:35, 24:], EXPECTED[30:35, 24:])
    assert [byte_range for _, byte_range in store.requests] == [SuffixByteRequest(68)]


def test_ranges_apart_are_joined_up_to_the_gap() -> None:
    """Of four inner chunks in a shard the first and the last are wanted."""
    array, store = _counting("sharded")
    for gap, requests in ((0, 3), (1 << 16, 2)):
        store.requests.clear()
        with gpuzarr.config.set({"coalesce_gap_bytes": gap}):
            found = array.vindex[[0, 9], [0, 11]]
        assert_same(found, EXPECTED[[0, 9], [0, 11]])
        assert len(store.requests) == requests


def test_shards_in_shards_take_one_round_of_requests_a_level() -> None:
    array, store = _counting("shards-in-shards")
    assert_same(array[:20], EXPECTED[:20])
    suffixes = [r for _, r in store.requests if isinstance(r, SuffixByteRequest)]
    assert len(suffixes) == 2
    assert array.last_read is not None
    assert array.last_read.chunks == 20


# Requests in flight ---------------------------------------------------------------------------


def _many_chunks(**arguments: Any) -> tuple[gpuzarr.Array, Watched]:
    memory: dict[str, Any] = {}
    z = zarr.create_array(memory, shape=200, dtype="i4", compressors=None, **arguments)
    z[...] = np.arange(200)
    store = watched(memory)
    array = gpuzarr.open_array(store)
    store.requests.clear()
    return array, store


@pytest.mark.parametrize("wave_bytes", [4, 64, 1 << 20])
@pytest.mark.parametrize("threads", [1, 4])
def test_as_many_requests_are_in_flight_as_may_be_and_no_more(
    wave_bytes: int, threads: int
) -> None:
    array, store = _many_chunks(chunks=(1,))
    for concurrency in (1, 7, 64):
        store.peak, store.seconds = 0, 0.001 * concurrency
        options = {"concurrency": concurrency, "wave_bytes": wave_bytes, "threads": threads}
        with gpuzarr.config.set(options):
            assert_same(array[...], np.arange(200, dtype="i4"))
        assert min(concurrency, 32) <= store.peak <= concurrency


def test_waiting_for_many_chunks_takes_little_longer_than_for_one() -> None:
    """200 chunks of 20 ms one after the other would take 4 s."""
    array, store = _many_chunks(chunks=(1,))
    store.seconds = 0.02
    started = time.monotonic()
    array[...]
    assert time.monotonic() - started < 2


def test_indexes_of_many_shards_are_asked_for_at_once() -> None:
    array, store = _many_chunks(chunks=(1,), shards=(2,))
    store.seconds = 0.01
    with gpuzarr.config.set({"concurrency": 32}):
        assert_same(array[...], np.arange(200, dtype="i4"))
    assert 16 <= store.peak <= 32
    assert len(store.requests) == 2 * 100


def test_reads_of_one_array_from_many_threads_share_the_limit() -> None:
    array, store = _many_chunks(chunks=(1,))
    store.seconds = 0.005

    async def reads() -> list[np.ndarray]:
        return await asyncio.gather(*(array.read_async() for _ in range(4)))

    with gpuzarr.config.set({"concurrency": 5}):
        for found in asyncio.run(reads()):
            assert_same(found, np.arange(200, dtype="i4"))
    assert store.peak == 5


def test_requests_come_on_the_loop_of_zarr_wherever_the_read_is() -> None:
    """A client of a store may be bound to the loop on which it was made."""
    array, store = _many_chunks(chunks=(50,))

    async def inside() -> None:
        array[:60]
        await array.read_async(slice(60))

    array[:60]
    asyncio.run(inside())
    asyncio.run(inside())
    assert store.loops == {_get_loop()}


def test_a_store_that_fails_for_one_key_is_an_error_that_names_it(store_place: Place) -> None:
    def fails(key: str) -> None:
        if key == "deep/field/c/1/2":
            raise TimeoutError("too slow")

    inner = store_place(made("v3"))
    array = gpuzarr.open_array(Watched(inner, fails=fails), path="deep/field")
    with pytest.raises(StoreError, match=r"deep/field/c/1/2.*TimeoutError: too slow\.$"):
        array[...]
    assert_same(array[:7], EXPECTED[:7])
    inner.close()


# Ranges ---------------------------------------------------------------------------------------

BYTES = bytes(range(256)) * 16


def _extents(*rows: tuple[str, int, int]) -> Extents:
    """Of key, offset and number of bytes."""
    keys = sorted({key for key, _, _ in rows})
    numbers = [np.array(column, np.int64) for column in zip(*(r[1:] for r in rows), strict=True)]
    return Extents(keys, np.array([keys.index(key) for key, _, _ in rows]), *numbers)


def _streams(store: Store, extents: Extents, index: bool = False, **how: Any) -> list[bytes | None]:
    batch = source_of(store, **how).start(extents, index=index).result(Scratch())
    assert (batch.sizes >= MISSING).all()
    return [
        None if size == MISSING else batch.arena[at : at + size].tobytes()
        for at, size in zip(batch.offsets.tolist(), batch.sizes.tolist(), strict=True)
    ]


def _holding(**contents: bytes) -> MemoryStore:
    return MemoryStore(_memory(contents))


ROWS = [("a", 700, 30), ("b", 0, 4096), ("a", 10, 5), ("a", 15, 85), ("b", 9, MISSING),
        ("a", 12, 3), ("gone", 3, 4), ("a", 4000, 96), ("b", 4095, 1), ("a", 20, 0),
        ("a", 4090, 20), ("a", 4110, 5), ("a", 5000, 7), ("b", 4096, 1)]  # fmt: skip
WANTED = [None if n == MISSING or key == "gone" else BYTES[at : at + n] for key, at, n in ROWS]


@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize("coalesce", [None, (0, 1), (0, 50), (100, 300), (1 << 20, 1 << 20)])
def test_ranges_bring_their_bytes_in_any_order_and_stop_at_the_end(
    store_place: Place, coalesce: Any, index: bool
) -> None:
    store = store_place({"a": BYTES, "b": BYTES})
    store = store if isinstance(store, Store) else LocalStore(store)
    assert _streams(store, _extents(*ROWS), index, coalesce=coalesce) == WANTED


def test_whole_objects_come_as_they_are(store_place: Place) -> None:
    store = store_place({"a": BYTES, "b": b"", "c": b"3"})
    assert _streams(store, Extents.whole(["c", "no", "a", "b"])) == [b"3", None, BYTES, b""]


@pytest.mark.parametrize("seed", range(20))
def test_requests_cover_what_is_wanted_once_an_object(seed: int) -> None:
    random = np.random.default_rng(seed)
    count, most = int(random.integers(1, 60)), int(random.integers(1, 200))
    extents = Extents(
        [f"k{n}" for n in range(7)],
        random.integers(0, 7, count),
        random.integers(0, 400, count),
        random.integers(-1, 60, count),
    )
    for index in (False, True):
        requests = requests_of(extents, index, most)
        assert len({r.key for r in requests}) == len(requests)
        seen = []
        for request in requests:
            assert isinstance(request, One | Many)
            if isinstance(request, One):
                assert index
                assert np.sum((extents.resource == int(request.key[1])) & (extents.nbytes > 0)) == 1
                row = request.row
                spans = [(request.start or 0, request.stop, np.array([row]))]
            else:
                spans = request.ranges
                assert [a for a, _, _ in spans] == sorted(a for a, _, _ in spans)
            for start, stop, rows in spans:
                ends = extents.offset[rows] + extents.nbytes[rows]
                assert start == extents.offset[rows].min()
                assert (ends <= stop).all()
                assert stop - start <= most or len(rows) == 1
                assert {extents.keys[n] for n in extents.resource[rows]} == {request.key}
                seen += rows.tolist()
        assert sorted(seen) == np.flatnonzero(extents.nbytes > 0).tolist()


@pytest.mark.parametrize("kind", ["local", "memory", "zip", "own-local"])
@pytest.mark.parametrize("location", ["start", "end"])
def test_a_shard_takes_one_get_for_its_index_and_one_get_ranges(
    tmp_path: Path, kind: str, location: str
) -> None:
    """As zarr-python's own tests count it, even where one inner chunk is read."""
    contents = made("sharded" if location == "end" else "sharded-at-start")
    store = KINDS[kind](tmp_path, contents)
    mock = AsyncMock(wraps=store, spec=store.__class__)
    array = gpuzarr.open_array(zarr.open_array(StorePath(mock, "deep/field"), mode="r"))
    for selection, shards in (((0, 0), 1), ((slice(None, 10), slice(None, 24)), 2)):
        mock.reset_mock()
        assert_same(array[selection], EXPECTED[selection])
        assert (mock.get.call_count, mock.get_ranges.call_count) == (shards, shards)
    store.close()


@pytest.mark.parametrize("kind", [LocalStore, MemoryStore])
def test_get_ranges_is_asked_as_zarr_asks_it(kind: Any, tmp_path: Path) -> None:
    mock = AsyncMock(
        wraps=_holding(a=BYTES)
        if kind is MemoryStore
        else LocalStore(_files(tmp_path, {"a": BYTES})),
        spec=kind,
    )
    assert _streams(mock, _extents(("a", 5, 6)), coalesce=(12, 3456)) == [BYTES[5:11]]
    (call,) = mock.get_ranges.call_args_list
    assert call.args == ("a", [RangeByteRequest(5, 11)])
    assert call.kwargs == {
        "prototype": cpu.buffer_prototype, "max_gap_bytes": 12, "max_coalesced_bytes": 3456,
    }  # fmt: skip
    with gpuzarr.config.set({"coalesce_gap_bytes": 77}):
        _streams(mock, _extents(("a", 5, 6)))
    options = mock.get_ranges.call_args.kwargs
    assert options["max_gap_bytes"] == 77
    assert options["max_coalesced_bytes"] == zarr.config.get("array.sharding_coalesce_max_bytes")


def test_ranges_are_joined_up_to_the_size_given() -> None:
    store = Watched(_holding(a=BYTES))
    rows = [("a", n, 10) for n in range(0, 1000, 10)]
    for most, requests in ((100, 10), (10, 100), (1000, 1), (1, 100), (950, 2)):
        store.requests.clear()
        store.range_calls.clear()
        assert b"".join(_streams(store, _extents(*rows), coalesce=(0, most))) == BYTES[:1000]
        assert len(store.range_calls) == 1
        assert len(store.requests) == requests
        assert all(r.end - r.start <= max(most, 10) for _, r in store.requests)


def test_ranges_of_one_shard_count_as_requests_in_flight() -> None:
    """One call of `get_ranges` may send many."""
    store = Watched(_holding(a=BYTES, b=BYTES), seconds=0.01)
    rows = [(key, n, 10) for n in range(0, 4000, 100) for key in "ab"]
    wanted = [BYTES[n : n + 10] for n in range(0, 4000, 100) for _ in "ab"]
    for concurrency in (1, 7, 64):
        store.peak = 0
        with gpuzarr.config.set({"concurrency": concurrency}):
            source = source_of(store, coalesce=(0, 1000))
            fetches = [source.start(_extents(*rows)) for _ in range(2)]
            for fetch in fetches:
                batch = fetch.result(Scratch())
                assert [batch.arena[a:b].tobytes() for a, b in batch.spans()] == wanted
        assert min(concurrency, 40) <= store.peak <= concurrency


def _failing_ranges(kind: Any, *errors: BaseException) -> Any:
    async def get_ranges(key: str, byte_ranges: Any, **options: Any) -> Any:
        raise BaseExceptionGroup("chunk read failed", list(errors))
        yield

    mock = AsyncMock(wraps=_holding(a=BYTES), spec=kind)
    mock.get_ranges = get_ranges
    return mock


@pytest.mark.parametrize("kind", [LocalStore, MemoryStore])
def test_what_vanishes_after_its_index_was_read_is_missing(kind: Any) -> None:
    nested = ExceptionGroup("more", [FileNotFoundError("a"), FileNotFoundError("a")])
    extents = _extents(("a", 5, 6), ("a", 500, 6), ("a", 5, MISSING))
    for errors in ([FileNotFoundError("a")], [nested]):
        assert _streams(_failing_ranges(kind, *errors), extents) == [None, None, None]


def test_a_shard_that_vanishes_gives_the_fill_value() -> None:
    memory = _memory(made("sharded"))

    class Vanishing(WrapperStore[MemoryStore]):
        async def get(self, key: str, *arguments: Any, **keywords: Any) -> Any:
            found = await super().get(key, *arguments, **keywords)
            if key == "deep/field/c/0/0":
                del memory[key]
            return found

    array = gpuzarr.open_array(Vanishing(MemoryStore(memory)), path="deep/field")
    assert_same(array[:10, :24], np.where(np.arange(24) < 12, -1, EXPECTED[:10, :24]))


def test_another_failure_among_those_of_a_shard_is_an_error_that_names_the_key() -> None:
    error = TimeoutError("too slow")
    store = _failing_ranges(LocalStore, FileNotFoundError("a"), ExceptionGroup("", [error]))
    with pytest.raises(StoreError, match=r"'a': TimeoutError: too slow\.$") as caught:
        _streams(store, _extents(("a", 5, 6)))
    assert caught.value.__cause__ is error


def test_a_store_that_fails_beyond_the_end_is_asked_again_for_what_there_is() -> None:
    class Exact(Watched):
        async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
            if byte_range is not None and byte_range.end > len(BYTES):
                raise ValueError("range not satisfiable")
            return await super().get(key, prototype, byte_range)

    extents = _extents(("a", 4000, 200), ("a", 1, 2), ("a", 2**60, 8), ("a", 4095, 2**40))
    wanted = [BYTES[4000:], BYTES[1:3], b"", BYTES[4095:]]
    assert _streams(Exact(_holding(a=BYTES)), extents, coalesce=(0, 1 << 20)) == wanted
    assert _streams(Exact(_holding(a=BYTES)), _extents(("a", 2**60, 8))) == [b""]
    assert _streams(Exact(_holding(a=BYTES)), _extents(("a", 4000, 97)), index=True) == [
        BYTES[4000:]
    ]


def test_an_object_in_memory_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, real = [], MemoryStore.get_sync

    def get_sync(self: MemoryStore, key: str, **options: Any) -> Any:
        keys.append(key)
        return real(self, key, **options)

    monkeypatch.setattr(MemoryStore, "get_sync", get_sync)
    assert _streams(_holding(a=BYTES, b=BYTES), _extents(*ROWS)) == WANTED
    assert sorted(keys) == ["a", "b", "gone"]


# Event loops and prototypes -------------------------------------------------------------------


async def test_reads_come_on_the_loop_given_which_stays_free() -> None:
    store = Watched(_holding(a=BYTES), seconds=0.001)
    loop = asyncio.get_running_loop()
    for extents in (Extents.whole(["a"]), _extents(("a", 5, 6))):
        (found,) = await asyncio.to_thread(_streams, store, extents, loop=loop)
        assert found in (BYTES, BYTES[5:11])
    assert store.loops == {loop}
    with pytest.raises(StoreError, match="its own event loop would wait"):
        _streams(store, Extents.whole(["a"]), loop=loop)


def test_the_limit_holds_on_a_loop_given() -> None:
    store = Watched(_holding(a=BYTES), seconds=0.005)
    with running_loop() as loop, gpuzarr.config.set({"concurrency": 3}):
        source = source_of(store, loop=loop)
        fetches = [source.start(Extents.whole(["a"] * 10)) for _ in range(3)]
        for fetch in fetches:
            assert len(fetch.result(Scratch())) == 10
    assert store.peak == 3


def test_a_loop_that_does_not_run_is_an_error() -> None:
    with running_loop() as loop:
        pass
    with pytest.raises(StoreError, match="not running"):
        _streams(Watched(_holding(a=BYTES)), Extents.whole(["a"]), loop=loop)


def test_chunks_are_asked_for_in_the_prototype_given() -> None:
    store = StoreExpectingTestBuffer(_memory({"a": BYTES}))
    prototype = BufferPrototype(buffer=TestBuffer, nd_buffer=cpu.NDBuffer)
    for extents, wanted in ((Extents.whole(["a"]), BYTES), (_extents(("a", 5, 6)), BYTES[5:11])):
        assert _streams(store, extents, prototype=prototype) == [wanted]
        with pytest.raises(StoreError, match="AssertionError"):
            _streams(store, extents)
