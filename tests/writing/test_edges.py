"""Where chunks, shards, shapes and selections end; every dtype of objects, every store.

What is written goes to a twin of zarr-python's as well (`twins`): the same keys, the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import strategies as some
import zarr
from harness import assert_same, smooth, uploaded
from writing.twins import Twins, contents, read_by_zarr
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec
from zarr.storage import FsspecStore, LocalStore, MemoryStore, ObjectStore, ZipStore

import gpuzarr
from gpuzarr.errors import UnsupportedError

pytestmark = [
    pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning"),
    pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning"),
]

NESTED = ShardingCodec(chunk_shape=(4, 4), codecs=[ShardingCodec(chunk_shape=(2, 4))])
GRIDS: dict[str, dict[str, Any]] = {
    "chunks": {"chunks": (4, 5)},
    "F order": {"chunks": (4, 5), "zarr_format": 2, "order": "F"},
    "shards": {"chunks": (2, 3), "shards": (8, 6)},
    "shards in shards": {"chunks": (8, 8), "serializer": NESTED, "compressors": None},
}
ON_ALL_GRIDS = pytest.mark.parametrize("grid", GRIDS)


# Cells beyond the shape ---------------------------------------------------------------------------


@ON_ALL_GRIDS
@pytest.mark.parametrize("small", [(5, 7), (9, 3), (1, 1)])
def test_cells_beyond_a_shape_are_kept_or_lost_as_under_zarr_python(
    grid: str, small: tuple[int, int]
) -> None:
    for key in (..., (slice(1, None), slice(1, None)), (slice(-1, None), slice(None, 1)), (0, 0)):
        twins = Twins((11, 13), dtype="i4", fill_value=-1, **GRIDS[grid])
        twins.write(..., smooth((11, 13), "i4"))
        twins.resize(small)
        twins.write(key, 1000)
        twins.resize((12, 14))
        twins.write((slice(3, 9), slice(4, 12)), 2000)
        twins.resize((11, 13))
        twins.reopen()
        twins.write((slice(3, 4), slice(None)), 3000)
        twins.check()


@ON_ALL_GRIDS
def test_a_shape_that_only_the_metadata_changed_hides_cells(grid: str) -> None:
    """So that objects beyond the shape are left as well, which resize deletes."""
    twins = Twins((11, 13), dtype="i4", **GRIDS[grid])
    twins.write(..., smooth((11, 13), "i4"))
    for shape in ((6, 7), (11, 13)):
        for array in (twins.ours.zarr, twins.theirs):
            array.update_attributes({})
            document = array.metadata.to_dict() | {"shape": shape}
            edited = type(array.metadata).from_dict(document)
            for key, value in edited.to_buffer_dict(
                zarr.core.buffer.default_buffer_prototype()
            ).items():
                array.store.set_sync(key, value)
        twins.reopen()
        assert twins.ours.shape == shape
        twins.mirror = read_by_zarr(twins.theirs.store)
        twins.write((slice(2, None), slice(6, None)), 1000)
        twins.write((-1, slice(0, 2)), 0)
        twins.check()


@ON_ALL_GRIDS
@pytest.mark.parametrize("axis", [0, 1])
def test_append_extends_edge_chunks(grid: str, axis: int) -> None:
    twins = Twins((3, 7), dtype="f4", **GRIDS[grid])
    twins.write(..., 5)
    for length in (1, 2, 0, 9):
        shape = (length, twins.ours.shape[1]) if axis == 0 else (twins.ours.shape[0], length)
        value = smooth(shape, "f4", length)
        found = twins.ours.append(uploaded(value), axis)
        assert found == twins.theirs.append(value, axis) == twins.ours.shape
        twins.mirror = np.concatenate([twins.mirror, value], axis)
        twins.check()


# Shapes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["i4", "U3", "M8[s]", [("a", "i2"), ("b", "f8")]], ids=str)
@pytest.mark.parametrize("arguments", [{}, {"zarr_format": 2}, {"shards": ()}], ids=str)
def test_an_array_without_axes_is_written(dtype: Any, arguments: Any) -> None:
    if arguments == {"shards": ()}:
        serializer = ShardingCodec(chunk_shape=(), codecs=[BytesCodec(), Crc32cCodec()])
        arguments = {"serializer": serializer, "compressors": None}
    twins = Twins((), dtype=dtype, chunks=(), **arguments)
    for seed in range(3):
        for key in ((), ..., (...,)):
            value = some.values(twins.mirror.dtype, (), seed)
            twins.write(key, value)
            twins.write(key, value[()])
            twins.check()


def test_a_field_of_an_array_without_axes_leaves_the_others() -> None:
    """Of a chunk that is there, and of one that is not."""
    dtype = np.dtype([("a", "<i4"), ("b", "<f8")])
    fill = np.array((7, 2.5), dtype)[()]
    for shape in ((), (1,), (4,)):
        store = MemoryStore()
        ours = gpuzarr.create_array(
            store, shape=shape, chunks=shape, dtype=dtype, zarr_format=2, fill_value=fill
        )
        expected = np.full(shape, fill, dtype)
        for name, value in (("b", 1.5), ("a", 3), ("a", 7)):
            ours[name] = value
            expected[name] = value
            assert_same(read_by_zarr(store), expected)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (0, 0)])
def test_an_array_of_no_elements_takes_values_and_grows(shape: tuple[int, ...]) -> None:
    twins = Twins(shape, dtype="i4", chunks=(2,) * len(shape))
    twins.write(..., 5)
    twins.write(..., np.empty(shape))
    assert len(contents(twins.ours.store)) == 1
    twins.resize(tuple(n + 3 for n in shape))
    twins.write(..., 6)
    twins.resize(shape)
    assert len(contents(twins.ours.store)) == 1


@ON_ALL_GRIDS
def test_an_empty_selection_writes_nothing(grid: str) -> None:
    twins = Twins((9, 9), dtype="i4", **GRIDS[grid])
    twins.write(..., 1)
    ours = twins.ours
    for key in (slice(3, 3), (slice(None), slice(5, 2)), (slice(4, 4), 0), [], np.zeros(9, bool)):
        ours[key] = 5
    ours.oindex[[], :] = 5
    ours.vindex[np.zeros((9, 9), bool)] = 5
    ours.blocks[1:1] = 5
    twins.check()


@pytest.mark.parametrize("chunks", [(1, 1), (100, 100), (1, 100), (5, 7)])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_chunks_of_one_element_and_chunks_beyond_the_array(
    chunks: tuple[int, int], zarr_format: Any
) -> None:
    twins = Twins((5, 7), dtype="i2", chunks=chunks, zarr_format=zarr_format, fill_value=3)
    twins.write((2, slice(None)), np.arange(7))
    twins.write(..., smooth((5, 7), "i2"))
    twins.write((slice(None, None, 2), slice(1, 6, 3)), 3)
    twins.check()


@pytest.mark.parametrize("inner", [None, (2, 2)])
def test_a_rectilinear_grid_is_written(inner: Any) -> None:
    with zarr.config.set({"array.rectilinear_chunks": True}):
        more = {} if inner is None else {"serializer": ShardingCodec(chunk_shape=inner)}
        twins = Twins(
            (12, 10), dtype="i4", chunks=[[2, 6, 4], [4, 4, 2]], compressors=None, fill_value=1,
            **more,
        )  # fmt: skip
        twins.write(..., smooth((12, 10), "i4"))
        twins.write((slice(1, 11, 2), slice(3, 9)), 1)
        twins.write((slice(2, 8), slice(4, 8)), 1)
        twins.check()
        twins.ours.blocks[1, 1:] = 77
        twins.theirs[2:8, 4:] = 77
        twins.mirror[2:8, 4:] = 77
        twins.check()


# dtypes -------------------------------------------------------------------------------------------


def test_text_of_several_kinds_becomes_the_array_s() -> None:
    store = MemoryStore()
    ours = gpuzarr.create_array(store, shape=(4,), chunks=(3,), dtype=str)
    ours[:2] = ["a", "bc"]
    ours[2:] = np.array(["déf", ""], "U3")
    ours[1:3] = np.array(["object", "x"], object)
    ours[3] = "last"
    assert read_by_zarr(store).tolist() == ["a", "object", "x", "last"]


def test_dates_are_written_in_the_unit_of_the_array() -> None:
    store, mirror = MemoryStore(), np.zeros(5, "M8[s]")
    ours = gpuzarr.create_array(store, shape=(5,), chunks=(2,), dtype="M8[s]")
    for key, value in (
        (slice(1, 4), np.array(["2020-01-01", "NaT", "1969-12-31"], "M8[D]")),
        (0, np.datetime64("2001-02-03T04:05:06")),
        (4, np.datetime64("2020-01-01T00:00:00.999", "ms")),
    ):
        ours[key] = value
        mirror[key] = value
    assert_same(read_by_zarr(store), mirror)


# Stores -------------------------------------------------------------------------------------------

STORES = ["memory", "local", "zip", "fsspec", "obstore", "obstore files"]


@contextmanager
def store_of(kind: str, folder: Path) -> Iterator[Any]:
    folder.mkdir()
    if kind == "memory":
        yield MemoryStore()
    elif kind == "local":
        yield LocalStore(folder)
    elif kind == "zip":
        with ZipStore(folder / "a.zip", mode="w") as store:
            yield store
    elif kind == "fsspec":
        pytest.importorskip("fsspec")
        yield FsspecStore.from_url(f"memory://{folder}")
    else:
        obstore = pytest.importorskip("obstore.store")
        is_memory = kind == "obstore"
        yield ObjectStore(obstore.MemoryStore() if is_memory else obstore.LocalStore(str(folder)))


@pytest.mark.parametrize("grid", ["chunks", "shards"])
@pytest.mark.parametrize("kind", STORES)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # of zip files
def test_every_store_is_written(kind: str, grid: str, tmp_path: Path) -> None:
    with store_of(kind, tmp_path / "ours") as ours, store_of(kind, tmp_path / "theirs") as theirs:
        twins = Twins((11, 13), ours=ours, theirs=theirs, dtype="f4", **GRIDS[grid])
        twins.write((slice(2, 11), slice(1, 12)), smooth((9, 11), "f4"))
        twins.write((slice(5, 6), slice(None)), 4)
        if kind == "zip":
            before = contents(ours)
            with pytest.raises(UnsupportedError, match="deletes nothing"):
                twins.ours[...] = 0
            assert contents(ours) == before
        else:
            twins.write(..., 0)
            twins.resize((7, 20))
            twins.write(..., smooth((7, 20), "f4"))
            twins.check()
