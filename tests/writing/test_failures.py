"""What a write leaves behind that fails, and what it tells when it does not.

Every stored object is as it was or as zarr-python would have written it, and the error tells
which are which.
"""

from __future__ import annotations

import errno
import itertools
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from harness import opens_on_device, smooth, uploaded
from stores import Watched
from writing.twins import contents, read_by_zarr
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec, ZstdCodec
from zarr.storage import LocalStore, MemoryStore

import gpuzarr
from gpuzarr.errors import ChunkError, EncodingError, ReadOnlyError, StoreError, ValueFitError

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")

SHAPE = (12, 12)
NEW = smooth(SHAPE, "i4") * 1000 + 77
WHOLE, PART = ..., (slice(2, 11), slice(1, 12))
GRIDS: dict[str, dict[str, Any]] = {
    "chunks": {"chunks": (3, 3)},
    "shards": {"chunks": (2, 3), "shards": (6, 3)},
    "files": {"chunks": (3, 3), "zarr_format": 2, "compressors": None},
}
ON_GRIDS = pytest.mark.parametrize("grid", GRIDS)
KEYS = pytest.mark.parametrize("key", [WHOLE, PART], ids=["whole", "part"])
THREADS = pytest.mark.parametrize("threads", [1, 4])


@dataclass
class Attempt:
    """A write into a store that will fail, beside one of zarr-python's into one that will not."""

    store: Any
    grid: dict[str, Any]
    key: Any = WHOLE
    value: Any = field(default_factory=lambda: NEW)
    before: dict[str, bytes] = field(init=False)
    expected: dict[str, bytes] = field(init=False)

    def __post_init__(self) -> None:
        theirs = MemoryStore()
        is_default = "compressors" not in self.grid
        if is_default and opens_on_device():  # whose compressors make other bytes
            self.grid = {**self.grid, "compressors": Crc32cCodec()}
        for store in (self.store, theirs):
            made = zarr.create_array(store, shape=SHAPE, dtype="i4", **self.grid)
            made[...] = 1
        self.ours = gpuzarr.open_array(self.store, mode="r+")
        self.before = contents(self.store)
        assert contents(theirs) == self.before
        made[self.key] = self.value[self.key]
        self.expected = contents(theirs)

    def fails(self, kind: type[BaseException], threads: int = 2) -> BaseException:
        """Write, which raises; everything is then as the error says."""
        with (
            gpuzarr.config.set({"threads": threads, "wave_bytes": 1, "device_wave_bytes": 1}),
            pytest.raises(kind) as caught,
        ):
            self.ours[self.key] = uploaded(self.value[self.key])
        error, found = caught.value, contents(self.store)
        assert found.keys() == self.before.keys()
        changed = [key for key in found if found[key] != self.before[key]]
        assert [key for key in changed if found[key] != self.expected[key]] == []
        assert sorted(error.written) == sorted(changed)  # type: ignore[attr-defined]
        (note,) = error.__notes__
        if changed:
            assert note.startswith(f"{len(changed)} stored objects were written before: ")
            assert all(repr(key) in note for key in error.written[:10])  # type: ignore[attr-defined]
        else:
            assert note == "Nothing was written."
        return error


def every(nth: int, error: BaseException) -> Callable[..., None]:
    """What raises when it is called for the nth time, counted from 0, and ever after."""
    calls, lock = itertools.count(), threading.Lock()

    def raises(*args: Any) -> None:
        with lock:
            number = next(calls)
        if number >= nth:
            raise error

    return raises


def full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# Stores that fail ---------------------------------------------------------------------------------


class Failing(MemoryStore):
    """Fails once it is told to."""

    fails: Any = staticmethod(lambda: None)

    async def set(self, key: str, value: Any, byte_range: Any = None) -> None:
        self.fails()
        await super().set(key, value)


@ON_GRIDS
@KEYS
@THREADS
@pytest.mark.parametrize("nth", [0, 2, 6])
def test_a_store_that_takes_no_more_keeps_what_it_took(
    grid: str, key: Any, threads: int, nth: int
) -> None:
    store = Failing()
    attempt = Attempt(store, GRIDS[grid], key)
    store.fails = every(nth, full())
    error = attempt.fails(StoreError, threads)
    assert len(error.written) == nth  # type: ignore[attr-defined]
    assert "No space left on device" in str(error)


@ON_GRIDS
@THREADS
def test_a_slow_store_that_fails_is_waited_for(grid: str, threads: int) -> None:
    store = Watched(MemoryStore())
    attempt = Attempt(store, GRIDS[grid], PART)
    store.writes.clear()
    store.seconds = 0.01
    numbers = itertools.count()

    def fails(key: str) -> None:
        if any(key == k for k, _ in store.writes) and next(numbers) == 3:
            raise full()

    store.fails = fails
    attempt.fails(StoreError, threads)
    assert store.in_flight == 0


@ON_GRIDS
@KEYS
@THREADS
@pytest.mark.parametrize("call", ["write", "replace", "open"])
@pytest.mark.parametrize("kind", [StoreError, KeyboardInterrupt])
def test_local_files_are_old_or_new_and_nothing_else_is_left(
    grid: str, key: Any, threads: int, call: str, kind: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Also where the user interrupts: in the middle of a write, before a rename."""
    attempt = Attempt(LocalStore(tmp_path), GRIDS[grid], key)
    original = getattr(os, call)
    raises = every(3, full() if kind is StoreError else KeyboardInterrupt())

    def failing(*args: Any, **options: Any) -> Any:
        if call != "open" or args[0].endswith(".partial"):
            raises()
        return original(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, call, failing)
        if call == "replace":
            patched.setattr(Path, "replace", lambda path, target: failing(path, target))
        error = attempt.fails(kind, threads)
    assert len(error.written) == 3  # type: ignore[attr-defined]
    assert not list(tmp_path.rglob("*.partial"))


# Codecs that refuse -------------------------------------------------------------------------------


class Refusing(BytesBytesCodec):
    """Leaves bytes as they are, but refuses a chunk with the value 666."""

    is_fixed_size = True

    @classmethod
    def from_dict(cls, data: Any) -> Refusing:
        return cls()

    def to_dict(self) -> Any:
        return {"name": "refusing", "configuration": {}}

    async def _encode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        if 666 in np.frombuffer(chunk_bytes.to_bytes(), "i4"):
            raise RuntimeError("the number of the beast")
        return chunk_bytes

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        return chunk_bytes

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        return input_byte_length


@THREADS
@pytest.mark.parametrize("shards", [None, (6, 3)])
def test_a_chunk_that_a_codec_refuses_is_named_and_others_stay_whole(
    threads: int, shards: Any
) -> None:
    store = MemoryStore()
    grid = {"chunks": (3, 3), "shards": shards, "compressors": [Refusing()]}
    made = zarr.create_array(store, shape=SHAPE, dtype="i4", **grid)
    made[...] = 1
    before, value = contents(store), NEW.copy()
    twin = zarr.create_array(MemoryStore(), shape=SHAPE, dtype="i4", **grid)
    twin[...] = value
    expected = contents(twin.store)
    value[7, 7] = 666
    with (
        gpuzarr.config.set({"threads": threads, "wave_bytes": 1, "device_wave_bytes": 1}),
        pytest.raises(EncodingError, match=r"number of the beast") as caught,
    ):
        gpuzarr.open_array(made, mode="r+")[...] = uploaded(value)
    found = contents(store)
    changed = [key for key in found if found[key] != before[key]]
    assert caught.value.chunk.split(" ")[0] == ("c/2/2" if shards is None else "c/1/2")
    assert caught.value.chunk.split(" ")[0] not in changed
    assert [key for key in changed if found[key] != expected[key]] == []
    assert sorted(caught.value.written) == sorted(changed)  # type: ignore[attr-defined]


# What is damaged already --------------------------------------------------------------------------

SHARD = ShardingCodec(chunk_shape=(3, 3), codecs=[BytesCodec(), Crc32cCodec()])
NO_CRC = ShardingCodec(chunk_shape=(3, 3), index_codecs=[BytesCodec()])
DAMAGED: dict[str, tuple[int, dict[str, Any]]] = {
    "a checksum": (0, {"compressors": [Crc32cCodec()]}),
    "a stream": (0, {"compressors": [ZstdCodec()]}),
    "a chunk in a shard": (0, {"serializer": SHARD}),
    "an index": (-30, {"serializer": SHARD}),
    "an index without checksum": (-1, {"serializer": NO_CRC}),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_is_damaged_is_neither_merged_nor_touched(kind: str) -> None:
    place, codecs = DAMAGED[kind]
    store, arguments = MemoryStore(), {"chunks": (6, 6), "compressors": None, **codecs}
    made = zarr.create_array(store, shape=SHAPE, dtype="i4", **arguments)
    made[...] = NEW
    data = bytearray(store._store_dict["c/1/0"].to_bytes())
    data[place] ^= 1
    store._store_dict["c/1/0"] = type(store._store_dict["c/1/0"]).from_bytes(bytes(data))
    before = contents(store)
    ours = gpuzarr.open_array(store, mode="r+")
    with pytest.raises(ChunkError, match="c/1/0") as caught:
        ours[7:8, 1:2] = 5
    assert contents(store) == before
    assert caught.value.__notes__ == ["Nothing was written."]
    ours[6:12, 0:6] = 3  # whole, so that nothing has to be read
    assert (read_by_zarr(store)[6:, :6] == 3).all()


def test_nothing_is_begun_with_what_does_not_fit() -> None:
    store = MemoryStore()
    ours = gpuzarr.create_array(store, shape=SHAPE, chunks=(3, 3), dtype="i4")
    before = contents(store)
    for value in (np.zeros((5, 5)), "text", [[1, 2], [3]], np.zeros((2, 12, 12))):
        with pytest.raises(ValueFitError):
            ours[...] = value
    with pytest.raises(ReadOnlyError):
        gpuzarr.open_array(store)[...] = 1
    with pytest.raises(ValueFitError):
        ours.append(np.zeros((3, 5)))
    assert contents(store) == before
    assert ours.shape == SHAPE
