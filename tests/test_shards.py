"""Shard indexes and ranges, against plain Python that goes chunk by chunk."""

from __future__ import annotations

import itertools
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import zarr
from harness import assert_read, assert_same, v3_array
from hypothesis import given
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec, ZstdCodec

import gpuzarr
from gpuzarr.batch import MISSING
from gpuzarr.errors import ShardIndexError, StreamError
from gpuzarr.metadata import read_spec
from gpuzarr.shards import Extents, coalesce, index_extents, refine
from gpuzarr.spec import ShardLevel

ABSENT = 2**64 - 1
RANGES = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 40)), min_size=1, max_size=12)


@given(ranges=RANGES, gap=st.integers(0, 60))
def test_ranges_are_joined_where_the_gap_is_small(ranges: list[tuple[int, int]], gap: int) -> None:
    """Every row lies in one range; ranges are further apart than the gap, and have no slack."""
    offset, nbytes = (np.array(column) for column in zip(*ranges, strict=True))
    found = coalesce(offset, nbytes, gap)
    assert sorted(row for _, _, rows in found for row in rows.tolist()) == list(range(len(ranges)))
    for start, stop, rows in found:
        assert start == min(ranges[r][0] for r in rows)
        assert stop == max(sum(ranges[r]) for r in rows)
    for (_, stop, _), (start, _, _) in itertools.pairwise(found):
        assert start > stop + gap
    for start, stop, rows in found:
        covered = {b for r in rows for b in range(ranges[r][0] - gap, sum(ranges[r]) + 1)}
        assert set(range(start, stop)) <= covered


def level(chunks_per_shard: tuple[int, ...] = (2, 2), **arguments: Any) -> ShardLevel:
    codec = ShardingCodec(chunk_shape=(1,) * len(chunks_per_shard), **arguments)
    z = zarr.create_array(
        {}, shape=chunks_per_shard, chunks=chunks_per_shard, dtype="i1", serializer=codec,
        compressors=None,
    )  # fmt: skip
    (found,) = read_spec(z.metadata).levels
    return found


CRC = Crc32cCodec()


@pytest.mark.parametrize(
    ("codecs", "nbytes"),
    [([BytesCodec()], 64), ([BytesCodec(), CRC], 68), ([BytesCodec(endian="big"), CRC, CRC], 72)],
)
@pytest.mark.parametrize("location", ["start", "end"])
def test_an_index_lies_at_the_start_or_the_end_of_its_shard(
    codecs: Any, nbytes: int, location: Any
) -> None:
    here = level(index_codecs=codecs, index_location=location)
    assert here.index_nbytes == nbytes
    shards = Extents(
        ["a", "b"],
        np.array([0, 1, 1, 1]),
        np.array([0, 0, 1000, 0]),
        np.array([Extents.WHOLE, Extents.WHOLE, 500, MISSING]),
    )
    found = index_extents(shards, here)
    inside = 1000 if location == "start" else 1000 + 500 - nbytes
    whole = 0 if location == "start" else -nbytes
    assert found.keys == ["a", "b"]
    assert found.offset.tolist()[:3] == [whole, whole, inside]
    assert found.nbytes.tolist() == [nbytes, nbytes, nbytes, MISSING]


def test_an_inner_shard_shorter_than_its_index_is_an_error() -> None:
    """Else bytes in front of it, or at the end of the object, would be taken for its index."""
    shards = Extents(["a"], np.array([0, 0]), np.array([7, 20]), np.array([100, 63]))
    with pytest.raises(
        StreamError, match="index of 64 bytes in the inner shard, found 63"
    ) as found:
        index_extents(shards, level(index_codecs=[BytesCodec()]))
    assert found.value.slot == 1
    assert found.value.kind is ShardIndexError


def refined(
    table: list[list[tuple[int, int]]], nbytes: int, wanted: list[tuple[int, tuple[int, int]]]
) -> list[tuple[int, int]]:
    """(offset, nbytes) of inner chunks, of shards that lie one behind the other."""
    count = len(table)
    shards = Extents(
        ["key"], np.zeros(count, np.int64), np.arange(count) * 1000, np.full(count, nbytes)
    )
    entries = np.array(table, np.uint64).reshape(count, 2, 2, 2)
    found = refine(
        shards,
        level(),
        entries,
        np.ones(count, bool),
        np.array([s for s, _ in wanted]),
        np.array([inner for _, inner in wanted]),
    )
    return list(zip(found.offset.tolist(), found.nbytes.tolist(), strict=True))


def test_entries_are_found_by_shard_and_place() -> None:
    table = [[(0, 10), (10, 5), (ABSENT, ABSENT), (15, 0)], [(3, 1), (4, 1), (5, 1), (6, 94)]]
    wanted = [(1, (1, 1)), (0, (0, 1)), (0, (1, 0)), (0, (1, 1)), (1, (0, 0))]
    assert refined(table, 100, wanted) == [(1006, 94), (10, 5), (0, MISSING), (15, 0), (1003, 1)]


BAD = {
    "beyond the end": (90, 11),
    "far beyond": (101, 0),
    "a size that wraps": (50, 2**64 - 40),
    "an offset that wraps": (2**64 - 10, 20),
    "an absent offset alone": (ABSENT, 5),
    "an absent size alone": (5, ABSENT),
}


@pytest.mark.parametrize("name", BAD)
def test_an_entry_outside_its_shard_is_an_error(name: str) -> None:
    fine = [(0, 100)] * 4
    with pytest.raises(StreamError, match="inside the shard of 100 bytes") as caught:
        refined([fine, [(0, 1), BAD[name], (0, 1), (0, 1)]], 100, [(0, (0, 0)), (1, (0, 1))])
    assert caught.value.slot == 1
    assert caught.value.kind is ShardIndexError
    assert refined([fine, [(0, 1), BAD[name], (0, 1), (0, 1)]], 100, [(1, (0, 0))]) == [(1000, 1)]


def test_the_end_of_a_whole_object_is_not_known_before_it_is_read() -> None:
    """What can't be inside any object is an error at once; the rest when the bytes come short."""
    assert refined([[(2**40, 7)] * 4], Extents.WHOLE, [(0, (0, 0))]) == [(2**40, 7)]
    for entry in ((2**63, 1), (1, 2**63)):
        with pytest.raises(StreamError, match="inside the shard"):
            refined([[entry] * 4], Extents.WHOLE, [(0, (0, 0))])


def test_extents_keep_the_keys_that_their_rows_need() -> None:
    extents = Extents(
        ["a", "b", "c"], np.array([2, 0, 2]), np.array([1, 2, 3]), np.array([4, 5, 6])
    )
    taken = extents.take(np.array([2, 0]))
    assert (taken.keys, taken.resource.tolist()) == (["c"], [0, 0])
    assert (taken.offset.tolist(), taken.nbytes.tolist()) == ([3, 1], [6, 4])


# Whole shards -----------------------------------------------------------------------------------


def test_a_shard_is_read_byte_for_byte_as_the_format_says(tmp_path: Any) -> None:
    """Three inner chunks out of order, one absent; a gap; the index at the end without crc."""
    chunks = b"\x05\x06" + b"??" + b"\x01\x02" + b"\x03\x04"
    index = np.array([(4, 2), (6, 2), (ABSENT, ABSENT), (0, 2)], "<u8").tobytes()
    inner = {
        "chunk_shape": [2],
        "codecs": [{"name": "bytes"}],
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    }
    for location, encoded in {"end": chunks + index, "start": index + chunks}.items():
        if location == "start":
            moved = np.array([(68, 2), (70, 2), (ABSENT, ABSENT), (64, 2)], "<u8").tobytes()
            encoded = moved + chunks
        configuration = {**inner, "index_location": location}
        codecs = [{"name": "sharding_indexed", "configuration": configuration}]
        folder = v3_array(tmp_path / location, encoded, (8,), "uint8", codecs, fill_value=9)
        expected = np.array([1, 2, 3, 4, 9, 9, 5, 6], "u1")
        assert_read(gpuzarr.open(folder)[...], expected)
        assert_same(zarr.open_array(folder, mode="r")[...], expected)


@pytest.mark.parametrize("location", ["start", "end"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_shards_nest_and_missing_ones_are_filled(location: Any, depth: int) -> None:
    """What zarr-python wrote of an array, with holes on every level."""
    codec = ShardingCodec(
        chunk_shape=(1, 2), codecs=[BytesCodec(), ZstdCodec()], index_location=location
    )
    for side in (2, 4)[: depth - 1]:
        codec = ShardingCodec(
            chunk_shape=(side, 2 * side), codecs=[codec], index_location=location,
            index_codecs=[BytesCodec(), Crc32cCodec()],
        )  # fmt: skip
    store: dict[str, Any] = {}
    z = zarr.create_array(
        store, shape=(20, 37), chunks=(8, 16), dtype="i4", serializer=codec, compressors=None,
        fill_value=-1,
    )  # fmt: skip
    full = np.arange(20 * 37).reshape(20, 37)
    z[:5, :9] = full[:5, :9]
    z[7, 30:] = full[7, 30:]
    z[19, 36] = full[19, 36]
    ours = gpuzarr.open_array(store)
    assert ours.chunks == (1, 2)
    assert len(ours._spec.levels) == depth
    assert_read(ours[...], z[...])
    assert_read(ours[3:8, ::-5], z[...][3:8, ::-5])
    points = [0, 19, 19], [0, 0, 36]
    assert_read(ours.vindex[points], np.array([0, -1, 20 * 37 - 1], "i4"))
