"""Chunks, inner chunks and shards of nothing but the fill value vanish where zarr-python's do.

The stores of both hold the same keys and, since indexes of shards are bytes of them, the same
entries.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import strategies as some
import zarr
from writing.twins import Twins, contents, read_by_zarr
from zarr.codecs import BytesCodec, ShardingCodec, VLenBytesCodec, VLenUTF8Codec
from zarr.dtype import VariableLengthBytes
from zarr.storage import MemoryStore

import gpuzarr

pytestmark = [
    pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning"),
    pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning"),
]


def nested(innermost: Any) -> ShardingCodec:
    inner = ShardingCodec(chunk_shape=(3,), codecs=[innermost])
    return ShardingCodec(chunk_shape=(6,), codecs=[inner])


GRIDS: dict[str, dict[str, Any]] = {
    "chunks": {"chunks": (3,)},
    "shards": {"chunks": (3,), "shards": (6,)},
    "shards in shards": {"chunks": (12,), "serializer": nested(BytesCodec()), "compressors": None},
    "v2": {"chunks": (3,), "zarr_format": 2},
}


def payload(dtype: str) -> Any:
    """A NaN of other bits than the usual one."""
    dtype = np.dtype(dtype)
    return (np.array(math.nan, dtype).view(f"u{dtype.itemsize}") + 5).view(dtype)[()]


NAN = math.nan
STRUCT = np.dtype([("a", "<i4"), ("b", "<f8")])
ROW = np.array((3, 1.5), STRUCT)[()]
FILLS: list[tuple[Any, Any, list[Any]]] = [
    ("f8", 0.0, [0.0, -0.0, NAN, 1.0]),
    ("f8", -0.0, [0.0, -0.0]),
    (">f4", 0.0, [0.0, -0.0]),
    ("f8", NAN, [NAN, payload("f8"), 0.0, -NAN]),
    ("f4", NAN, [NAN, payload("f4")]),
    ("f2", math.inf, [math.inf, -math.inf]),
    ("f4", 1.5, [1.5, 1.0]),
    ("c16", 0j, [0j, complex(0, -0.0), complex(-0.0, 0), 1j]),
    ("c8", complex(NAN, 1), [complex(NAN, 1), complex(1, NAN), complex(NAN, 2)]),
    ("i4", 7, [7, 0]),
    ("?", True, [True, False]),
    ("u8", 2**64 - 1, [2**64 - 1, 0]),
    ("M8[s]", np.datetime64("NaT", "s"), [np.datetime64("NaT", "s"), np.datetime64(0, "s")]),
    ("m8[ns]", np.timedelta64(5, "ns"), [np.timedelta64(5, "ns"), np.timedelta64("NaT", "ns")]),
    ("S3", b"x", [b"x", b""]),
    ("U2", "é", ["é", ""]),
    (STRUCT, ROW, [ROW, np.array((3, 1.0), STRUCT)[()], np.zeros((), STRUCT)[()]]),
    (STRUCT, np.zeros((), STRUCT)[()], [np.array((0, -0.0), STRUCT)[()]]),
    (some.STRING, "", ["", "a"]),
    (some.STRING, "fill", ["fill", ""]),
    (VariableLengthBytes(), b"", [b"", b"a"]),
    (VariableLengthBytes(), b"\x00fill", [b"\x00fill", b""]),
]
IDS = [f"{dtype} {fill}" for dtype, fill, _ in FILLS]


def filled(twins: Twins, value: Any, count: int) -> Any:
    found = np.empty(count, twins.mirror.dtype)
    found[...] = value
    return found


@pytest.mark.parametrize(("dtype", "fill", "contents_"), FILLS, ids=IDS)
@pytest.mark.parametrize("grid", GRIDS)
def test_what_equals_the_fill_value_vanishes_as_under_zarr_python(
    grid: str, dtype: Any, fill: Any, contents_: list[Any]
) -> None:
    arguments = GRIDS[grid]
    if "serializer" in arguments and isinstance(fill, str | bytes) and not isinstance(dtype, str):
        text = VLenUTF8Codec() if isinstance(fill, str) else VLenBytesCodec()
        arguments = {**arguments, "serializer": nested(text)}
    for write_empty in (False, True):
        config = {"write_empty_chunks": write_empty}
        twins = Twins((20,), dtype=dtype, fill_value=fill, config=config, **arguments)
        other = next((c for c in contents_ if c != fill), contents_[-1])
        for value in contents_:
            twins.write(slice(0, 20), filled(twins, value, 20))
            twins.write(slice(2, 9), filled(twins, other, 7))
            twins.write(slice(3, 6), filled(twins, fill, 3))
            twins.write(slice(0, 10), filled(twins, value, 10))


@pytest.mark.parametrize("write_empty", [False, True])
@pytest.mark.parametrize("grid", GRIDS)
def test_keys_vanish_and_come_back(grid: str, write_empty: bool) -> None:
    config = {"write_empty_chunks": write_empty}
    twins = Twins((12,), dtype="i4", fill_value=9, config=config, **GRIDS[grid])
    documents = len(contents(twins.ours.store))
    for value, is_stored in ((1, True), (9, write_empty), (2, True)):
        twins.write(..., value)
        count = len(contents(twins.ours.store)) - documents
        assert count == ({"v2": 4, "chunks": 4, "shards": 2}.get(grid, 1) if is_stored else 0)


@pytest.mark.parametrize("order", "CF")
def test_without_a_fill_value_zeros_vanish_as_under_zarr_python(order: Any) -> None:
    for dtype in ("f8", "i2", "S2"):
        twins = Twins(
            (5, 4), dtype=dtype, chunks=(2, 3), zarr_format=2, fill_value=None, order=order,
            config={"write_empty_chunks": False},
        )  # fmt: skip
        zero = np.zeros((), dtype)[()]
        twins.write((slice(2, 5), slice(1, 2)), zero)
        twins.write(slice(1, 3), np.ones((), dtype))
        twins.write(..., zero)
        twins.check()


@pytest.mark.parametrize("at_start", [False, True])
def test_an_empty_inner_chunk_has_no_entry_in_the_index(at_start: bool) -> None:
    """The entry is read as the specification has it: 2⁶⁴ - 1 twice."""
    codec = ShardingCodec(
        chunk_shape=(2,), codecs=[BytesCodec()], index_codecs=[BytesCodec()],
        index_location="start" if at_start else "end",
    )  # fmt: skip
    twins = Twins((8,), dtype="i4", chunks=(8,), serializer=codec, compressors=None)
    twins.write(..., [1, 2, 3, 4, 0, 0, 5, 0])
    twins.write(slice(1, 4), 0)
    twins.write(slice(0, 1), 0)
    shard = contents(twins.ours.store)["c/0"]
    index = np.frombuffer(shard[:64] if at_start else shard[-64:], "<u8").reshape(4, 2)
    absent = 2**64 - 1
    assert index.tolist() == [[absent, absent]] * 3 + [[64 if at_start else 0, 8]]
    twins.write(..., 0)
    assert sorted(contents(twins.ours.store)) == ["zarr.json"]


@pytest.mark.parametrize("write_empty", [False, True])
def test_the_global_option_holds_for_arrays_made_or_opened_under_it(
    write_empty: bool, tmp_path: Path
) -> None:
    path = [str(tmp_path / name) for name in ("ours", "theirs")]
    with zarr.config.set({"array.write_empty_chunks": write_empty}):
        made = Twins((6,), dtype="i4", chunks=(2,))
        local = Twins(
            (6,), dtype="i4", chunks=(2,), ours=zarr.storage.LocalStore(path[0]),
            theirs=zarr.storage.LocalStore(path[1]),
        )  # fmt: skip
        local.reopen()
        opened = gpuzarr.open_array(path[0], mode="r+")
    made.write(slice(0, 4), 0)
    local.write(slice(0, 4), 0)
    found = len(contents(local.theirs.store))
    assert found == (3 if write_empty else 1)
    opened[4:] = 0
    local.theirs[4:] = 0
    local.check_stores()


def test_chunks_that_were_never_written_stay_absent_where_nothing_is_selected() -> None:
    store = MemoryStore()
    config: Any = {"write_empty_chunks": True}
    ours = gpuzarr.create_array(store, shape=(9,), chunks=(2,), dtype="i4", config=config)
    ours[3:3] = 5
    ours.oindex[[],] = 5
    ours.vindex[np.zeros(9, bool)] = 5
    assert sorted(contents(store)) == ["zarr.json"]
    ours[[8, 8, 2]] = [1, 2, 3]
    assert sorted(contents(store)) == ["c/1", "c/4", "zarr.json"]
    assert read_by_zarr(store).tolist() == [0, 0, 3, 0, 0, 0, 0, 0, 2]
