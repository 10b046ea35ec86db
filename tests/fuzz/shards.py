"""Shards whose indexes, or inner chunks, are damaged; zarr-python is the oracle.

Entries point outside, at each other's bytes, far away or nowhere, as a rule under a checksum that
holds, so that what reads them cannot rely on it.
"""

from __future__ import annotations

import random
import struct
import tempfile
from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import google_crc32c
import numpy as np
import zarr
from zarr.abc.codec import Codec
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec, TransposeCodec, ZstdCodec

import gpuzarr
from fuzz.chunks import FoundError
from fuzz.devices import fault_of, is_undefined, opened
from fuzz.mutations import MUTATIONS, one_bit
from fuzz.oracle import quiet
from gpuzarr.errors import ChunkError, DeviceError

ABSENT = 2**64 - 1
SLOTS, SHARD, PATH = 8, 48, "group/field"
"""Shards of an array, elements of a shard."""


@dataclass(frozen=True)
class Sharded:
    """`chunks` from the outside in; how the index of each level is stored, and inner chunks."""

    chunks: tuple[int, ...]
    at_start: bool = False
    checksum: bool = True
    inner: tuple[Codec, ...] = (BytesCodec(),)
    beside: tuple[Codec, ...] = ()
    """Before the sharding codec: whole shards are then a stage of the chain."""

    def codec(self) -> ShardingCodec:
        codecs: tuple[Codec, ...] = self.inner
        for chunk in reversed(self.chunks):
            codecs = (
                ShardingCodec(
                    chunk_shape=(chunk,), codecs=codecs, index_codecs=self.index_codecs(),
                    index_location="start" if self.at_start else "end",
                ),
            )  # fmt: skip
        assert isinstance(codecs[0], ShardingCodec)
        return codecs[0]

    def index_codecs(self) -> list[Codec]:
        return [BytesCodec(), *([Crc32cCodec()] if self.checksum else [])]


SHARDED = {
    "shards": Sharded((6,)),
    "shards, index at start": Sharded((6,), at_start=True),
    "shards, no checksum": Sharded((12,), checksum=False),
    "shards, no checksum, at start": Sharded((6,), True, False),
    "shards of zstd": Sharded((8,), inner=(BytesCodec(), ZstdCodec())),
    "shards of crc32c": Sharded((8,), True, False, (BytesCodec(), Crc32cCodec())),
    "nested shards": Sharded((24, 6), inner=(BytesCodec(), Crc32cCodec())),
    "nested shards, no checksum": Sharded((24, 6), checksum=False),
    "nested shards, at start": Sharded((12, 4), True, False, (BytesCodec(), ZstdCodec())),
    "whole shards": Sharded((6,), beside=(TransposeCodec(order=(0,)),)),
    "whole shards, no checksum": Sharded((6,), True, False, beside=(TransposeCodec(order=(0,)),)),
}


class _Target:
    def __init__(self, name: str) -> None:
        self.layout = layout = SHARDED[name]
        self.folder = tempfile.TemporaryDirectory(prefix="gpuzarr-fuzz-")
        with quiet():
            self.zarr = zarr.create_array(
                self.folder.name, name=PATH, shape=SLOTS * SHARD, chunks=SHARD, dtype="<i4",
                filters=list(layout.beside), serializer=layout.codec(), compressors=None,
                fill_value=7,
            )  # fmt: skip
            self.zarr[...] = np.arange(SLOTS * SHARD) % 100
            self.zarr[10:30] = self.zarr[SHARD : SHARD + 24] = 7  # some chunks are absent
        self.pristine = [self.path(slot).read_bytes() for slot in range(SLOTS)]

    def path(self, slot: int) -> Path:
        return Path(self.folder.name, PATH, "c", str(slot))


@cache
def _target(name: str) -> _Target:
    return _Target(name)


@cache
def _opened(name: str, device: str) -> gpuzarr.Array:
    return opened(_target(name).zarr, device)


def round_of_shards(name: str, seed: int, number: int, device: str) -> Counter[str]:
    """As many damaged shards as the array has, each read as a whole and in part."""
    target, rng, outcomes = _target(name), random.Random(f"{seed} {name} {number}"), Counter[str]()
    array = _opened(name, device)
    for slot in range(SLOTS):
        shard = _damaged_shard(target, slot, rng)
        target.path(slot).write_bytes(shard)
        first, last = sorted(rng.sample(range(SHARD + 1), 2))
        for part in (slice(0, SHARD), slice(first, last)):
            part = slice(slot * SHARD + part.start, slot * SHARD + part.stop)
            outcomes["cases"] += 1
            where = f"{name}, {device}, seed {seed}, round {number}, slot {slot}, {part}"
            try:
                outcomes[_read(target, array, shard, slot, part, device)] += 1
            except AssertionError as error:
                raise FoundError(f"{where}: {error}; shard {shard.hex()}") from error
    return outcomes


def _read(
    target: _Target, array: gpuzarr.Array, shard: bytes, slot: int, part: slice, device: str
) -> str:
    wanted = _reference(target, shard, slot, part)
    found = _result(array, part)
    if isinstance(found, ChunkError):
        assert found.array == PATH, f"the error names another array: {found}"
        assert found.chunk.startswith(f"{PATH}/c/{slot}"), f"another chunk: {found}"
        assert wanted is None, f"zarr-python reads it: {found}"
        return type(found).__name__
    if isinstance(found, DeviceError):
        fault = fault_of(found)
        assert wanted is None, f"the device broke where zarr-python reads: {fault}"
        assert is_undefined(fault, device), f"the device broke: {fault}"
        return "device fault"
    assert wanted is not None, f"zarr-python refuses it, found {found}"
    assert np.array_equal(found, wanted), f"expected {wanted}, found {found}"
    return "decoded"


def _result(array: gpuzarr.Array, part: slice) -> np.ndarray | ChunkError | DeviceError:
    try:
        found = array[part]
    except (ChunkError, DeviceError) as error:
        return error
    return np.asarray(found if isinstance(found, np.ndarray) else found.get())


def _reference(target: _Target, shard: bytes, slot: int, part: slice) -> np.ndarray | None:
    """What zarr-python reads, where all entries that are needed lie inside of their shards."""
    needed = range(part.start - slot * SHARD, part.stop - slot * SHARD)
    if target.layout.beside:
        needed = range(SHARD)
    if not _is_inside(target.layout, shard, needed):
        return None
    path = target.path(slot)
    try:
        path.write_bytes(_clipped(target.layout, shard))
        with quiet():
            return np.asarray(target.zarr[part])
    except Exception:
        return None
    finally:
        path.write_bytes(shard)


# --- indexes --------------------------------------------------------------------------------------


def _counts(layout: Sharded) -> list[int]:
    sizes = [SHARD, *layout.chunks]
    return [outer // inner for outer, inner in pairwise(sizes)]


def _index_span(layout: Sharded, shard: bytes, count: int) -> tuple[int, int]:
    """Where the entries stand, without their checksum."""
    nbytes = 16 * count
    if layout.at_start:
        return 0, nbytes
    end = len(shard) - 4 * layout.checksum
    return end - nbytes, end


def _entries(layout: Sharded, shard: bytes, count: int) -> list[tuple[int, int]] | None:
    first, last = _index_span(layout, shard, count)
    if first < 0 or last > len(shard):
        return None
    flat = struct.unpack(f"<{2 * count}Q", shard[first:last])
    return list(zip(flat[::2], flat[1::2], strict=True))


def _is_inside(layout: Sharded, shard: bytes, needed: range, level: int = 0) -> bool:
    """Whether the entries that these elements need lie inside of their shard, at every level.

    Of a shard in a shard whose index stands first, what is not needed may be cut off.
    """
    entries = _entries(layout, shard, _counts(layout)[level])
    if entries is None:
        return False
    chunk = layout.chunks[level]
    for number in range(needed.start // chunk, -(-needed.stop // chunk)):
        offset, size = entries[number]
        if (offset, size) == (ABSENT, ABSENT):
            continue
        is_nested = level + 1 < len(layout.chunks)
        may_end_early = is_nested and layout.at_start and offset + size < 2**62
        if offset + size > len(shard) and not may_end_early:
            return False
        if is_nested:
            begin = max(needed.start - number * chunk, 0)
            inside = range(begin, min(needed.stop - number * chunk, chunk))
            if not _is_inside(layout, shard[offset : offset + size], inside, level + 1):
                return False
    return True


def _clipped(layout: Sharded, shard: bytes) -> bytes:
    """The same without shards inside that end behind it, which zarr-python may refuse to read."""
    entries = _entries(layout, shard, _counts(layout)[0])
    if entries is None or len(layout.chunks) == 1 or not layout.at_start:
        return shard
    limit = len(shard)
    sizes = [min(size, limit - offset) if offset <= limit else size for offset, size in entries]
    clipped = [(offset, size) for (offset, _), size in zip(entries, sizes, strict=True)]
    return shard if clipped == entries else _with_index(layout, shard, clipped, True)


def _damaged_shard(target: _Target, slot: int, rng: random.Random) -> bytes:
    shard = target.pristine[slot]
    while (found := _damaged(target.layout, shard, rng, 0)) == shard:
        pass
    return found


def _damaged(layout: Sharded, shard: bytes, rng: random.Random, level: int) -> bytes:
    count = _counts(layout)[level]
    entries = _entries(layout, shard, count)
    assert entries is not None
    present = [n for n, entry in enumerate(entries) if entry[0] != ABSENT]
    if rng.random() < 0.25 and present:  # one of the chunks inside, in its place
        offset, size = entries[rng.choice(present)]
        inner = shard[offset : offset + size]
        if level + 1 < len(layout.chunks):
            inner = _damaged(layout, inner, rng, level + 1)
        else:
            inner = one_bit(inner, inner, rng)
        return shard[:offset] + inner[:size] + shard[offset + len(inner[:size]) :]
    if rng.random() < 0.15:
        return rng.choice(MUTATIONS)(shard, shard[::-1], rng)
    for _ in range(rng.choice((1, 1, 2, count))):
        at = rng.randrange(count)
        entries[at] = _entry(entries, at, len(shard), rng)
    return _with_index(layout, shard, entries, rng.random() < 0.9)


def _entry(
    entries: list[tuple[int, int]], at: int, nbytes: int, rng: random.Random
) -> tuple[int, int]:
    """Outside, overlapping, huge, half absent, of no bytes, or another one's."""
    offset, size = entries[at]
    near = rng.choice((-16, -4, -1, 1, 4, 16))
    far = rng.choice((2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 2, nbytes))
    found = rng.choice((
        (offset + near, size), (offset, size + near), (far, size), (offset, far), (far, far),
        (ABSENT, size), (offset, ABSENT), (ABSENT, ABSENT), (offset, 0), (nbytes, 0),
        (nbytes + 1, 0), (0, nbytes), (nbytes - size, size), (2**64 - size, size),
        rng.choice(entries), (offset + near, size - near),
    ))  # fmt: skip
    return found[0] % 2**64, found[1] % 2**64


def _with_index(
    layout: Sharded, shard: bytes, entries: list[tuple[int, int]], is_valid: bool
) -> bytes:
    first, last = _index_span(layout, shard, len(entries))
    index = struct.pack(f"<{2 * len(entries)}Q", *(n for entry in entries for n in entry))
    if layout.checksum and is_valid:
        index += google_crc32c.value(index).to_bytes(4, "little")
        last += 4
    return shard[:first] + index + shard[last:]
