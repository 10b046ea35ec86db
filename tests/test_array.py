"""Arrays and groups as objects: what they tell, how they are opened, made and written."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from harness import assert_read, assert_same
from stores import OwnLocalStore
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ShardingCodec, ZstdCodec
from zarr.storage import LocalStore

import gpuzarr
from gpuzarr.errors import NodeNotFoundError

pytestmark = [
    pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning"),
    pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning"),
]

ARRAYS: dict[str, dict[str, Any]] = {
    "v3": {"shape": (30, 7), "chunks": (4, 7), "dtype": "f4", "fill_value": np.nan},
    "v2": {"shape": (30, 7), "chunks": (4, 3), "dtype": ">i2", "zarr_format": 2, "order": "F"},
    "v2-null-fill": {"shape": 5, "chunks": 2, "dtype": "i2", "zarr_format": 2, "fill_value": None},
    "named-axes": {
        "shape": (3, 4), "chunks": (3, 4), "dtype": "u1", "dimension_names": ("y", None),
    },
    "sharded": {"shape": (30, 7), "chunks": (2, 7), "shards": (8, 7), "dtype": "c8"},
    "scalar": {"shape": (), "chunks": (), "dtype": "f8", "fill_value": 2.5},
    "empty": {"shape": (0, 7), "chunks": (4, 7), "dtype": "f4"},
    "dates": {"shape": 9, "chunks": 4, "dtype": "M8[ns]"},
    "strings": {"shape": 9, "chunks": 4, "dtype": "U5"},
    "texts": {"shape": 9, "chunks": 4, "dtype": str},
    "records": {"shape": 9, "chunks": 4, "dtype": [("a", "i4"), ("b", "f8")]},
    "attributes": {"shape": 9, "chunks": 4, "dtype": "i4", "attributes": {"a": [1, {"b": None}]}},
}  # fmt: skip


def opened_all_ways(root: Path) -> list[gpuzarr.Array]:
    return [
        gpuzarr.open_array(root, path="deep/er"),
        gpuzarr.open_array(root / "deep" / "er"),
        gpuzarr.open_array(OwnLocalStore(root), path="deep/er"),
        gpuzarr.open_array(zarr.open_array(root, path="deep/er", mode="r")),
        gpuzarr.open_array(zarr.open_group(root, mode="r"), path="deep/er"),
    ]


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_tells_what_zarr_python_tells(tmp_path: Path, name: str) -> None:
    version = ARRAYS[name].get("zarr_format", 3)
    zarr.create_group(tmp_path, zarr_format=version)
    z = zarr.create_array(tmp_path, name="deep/er", **ARRAYS[name])
    for array in opened_all_ways(tmp_path):
        for property_ in ("shape", "ndim", "size", "dtype", "chunks", "shards", "order", "nbytes"):
            assert getattr(array, property_) == getattr(z, property_), property_
        assert array.zarr_format == z.metadata.zarr_format
        np.testing.assert_array_equal(array.fill_value, z.fill_value)
        assert type(array.fill_value) is type(z.fill_value)
        assert array.dimension_names == getattr(z.metadata, "dimension_names", None)
        assert dict(array.attrs) == dict(z.attrs)
        assert array.nbytes_stored() == z.nbytes_stored()
        assert array.name == array.path.rpartition("/")[2]
        assert array.device == "cpu"
        assert array.last_read is None
        if z.shape:
            assert len(array) == z.shape[0]
        else:
            with pytest.raises(TypeError):
                len(array)
    assert [a.path for a in opened_all_ways(tmp_path)] == ["deep/er", "", *["deep/er"] * 3]


def test_chunks_are_counted_inside_shards() -> None:
    def count(**arguments: Any) -> int:
        return gpuzarr.open_array(zarr.create_array({}, dtype="i1", **arguments)).nchunks

    assert count(shape=(30, 7), chunks=(4, 3)) == 8 * 3
    assert count(shape=(30, 7), chunks=(2, 7), shards=(8, 7)) == 15
    assert count(shape=(), chunks=()) == 1
    assert count(shape=(0, 7), chunks=(4, 7)) == 0


def test_codecs_are_told_in_the_order_of_encoding() -> None:
    z = zarr.create_array(
        {}, shape=8, chunks=4, dtype="i4", filters=None,
        compressors=[BloscCodec(cname="zstd", typesize=4, shuffle="shuffle"), Crc32cCodec()],
    )  # fmt: skip
    codecs = gpuzarr.open_array(z).codecs
    assert [codec["name"] for codec in codecs] == ["bytes", "blosc", "crc32c"]
    assert codecs[0]["configuration"] == {"endian": "little"}
    assert codecs[1]["configuration"]["cname"] == "zstd"
    assert codecs[2]["configuration"] == {}
    z = zarr.create_array(
        {}, shape=8, chunks=4, dtype="i4", zarr_format=2,
        filters=[numcodecs.Shuffle(4)], compressors=numcodecs.Zlib(3),
    )  # fmt: skip
    assert gpuzarr.open_array(z).codecs == [
        {"name": "shuffle", "configuration": {"elementsize": 4}},
        {"name": "zlib", "configuration": {"level": 3}},
    ]
    sharded = ShardingCodec(chunk_shape=(2,), codecs=[BytesCodec(), ZstdCodec(level=7)])
    z = zarr.create_array({}, shape=8, chunks=4, dtype="i4", serializer=sharded, compressors=None)
    names = [codec["name"] for codec in gpuzarr.open_array(z).codecs]
    assert names == ["bytes", "zstd"]


def test_a_repr_tells_what_matters(tmp_path: Path) -> None:
    zarr.create_array(tmp_path, name="a/b", shape=(30, 7), chunks=(2, 7), shards=(8, 7), dtype="f4")
    text = repr(gpuzarr.open(tmp_path, path="a/b"))
    for word in ("/a/b", "(30, 7)", "float32", "(2, 7)", "(8, 7)", "zstd", "v3", "cpu"):
        assert word in text
    zarr.create_array(tmp_path, name="raw", shape=3, dtype="i1", zarr_format=2, compressors=None)
    assert "raw v2" in repr(gpuzarr.open(tmp_path, path="raw"))
    assert repr(gpuzarr.open_group(tmp_path, path="a")) == "<gpuzarr.Group /a on cpu>"


# Writing --------------------------------------------------------------------------------------


@pytest.fixture(params=["path", "own-store", "zarr", "group"])
def writable(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[gpuzarr.Array, Path]:
    """An array of 0 to 9 that was opened for writing, and where it is."""
    z = zarr.create_array(tmp_path, name="x", data=np.arange(10, dtype="i4"), chunks=4)
    match request.param:
        case "path":
            return gpuzarr.open_array(tmp_path, path="x", mode="r+"), tmp_path
        case "own-store":
            return gpuzarr.open_array(OwnLocalStore(tmp_path), path="x", mode="r+"), tmp_path
        case "zarr":
            return gpuzarr.open_array(z, mode="r+"), tmp_path
    node = gpuzarr.open_group(tmp_path, mode="r+")["x"]
    assert isinstance(node, gpuzarr.Array)
    return node, tmp_path


def test_what_is_assigned_is_read(writable: tuple[gpuzarr.Array, Path]) -> None:
    array, root = writable
    expected = np.arange(10, dtype="i4")
    assert_read(array[...], expected)
    for key, value in ((slice(2, 5), -1), (9, 7), (slice(None, 3), [5, 6, 7]), (..., 3)):
        array[key] = expected[key] = value  # type: ignore[call-overload]
        assert_read(array[...], expected)
        assert_read(gpuzarr.open_array(root, path="x")[...], expected)
        assert_same(zarr.open_array(root, path="x", mode="r")[...], expected)


def test_an_array_grows_and_shrinks(writable: tuple[gpuzarr.Array, Path]) -> None:
    array, root = writable
    assert array.append(np.array([10, 11, 12], "i4")) == (13,)
    assert array.shape == (13,)
    assert_read(array[...], np.arange(13, dtype="i4"))
    array.resize((6,))
    assert array.shape == (6,)
    assert len(array) == array.size == 6
    assert_read(array[...], np.arange(6, dtype="i4"))
    array.resize(9)
    assert_read(array[...], zarr.open_array(root, path="x", mode="r")[...])
    array.resize(2)
    array.resize(9)
    assert_read(array[4:], np.zeros(5, "i4"))
    with pytest.raises(IndexError):
        array[9]
    assert_read(gpuzarr.open_array(root, path="x")[...], zarr.open_array(root, path="x")[...])
    assert zarr.open_array(root, path="x", mode="r").shape == (9,)


def test_an_array_grows_along_any_axis() -> None:
    array = gpuzarr.create_array({}, shape=(2, 3), chunks=(2, 2), dtype="i4")
    array[...] = 1
    assert array.append(np.full((2, 2), 2, "i4"), axis=1) == (2, 5)
    assert_read(array[...], np.array([[1, 1, 1, 2, 2]] * 2, "i4"))


def test_attributes_that_are_set_are_kept(writable: tuple[gpuzarr.Array, Path]) -> None:
    array, root = writable
    array.attrs["unit"] = "K"
    assert dict(array.attrs) == {"unit": "K"}
    assert dict(gpuzarr.open_array(root, path="x").attrs) == {"unit": "K"}


def test_an_array_opened_before_sees_what_others_write(tmp_path: Path) -> None:
    z = zarr.create_array(tmp_path, data=np.zeros(10, "i4"), chunks=4)
    for array in (gpuzarr.open_array(tmp_path), gpuzarr.open_array(OwnLocalStore(tmp_path))):
        z[:] = 0
        assert_read(array[...], np.zeros(10, "i4"))
        z[2:9] = 5
        assert_read(array[...], z[...])


# Making ---------------------------------------------------------------------------------------


def test_an_array_is_made(tmp_path: Path) -> None:
    array = gpuzarr.create_array(
        tmp_path, name="a/b", shape=(6, 4), chunks=(2, 2), shards=(4, 4), dtype="f4",
        compressors=ZstdCodec(level=3), attributes={"unit": "K"}, fill_value=9,
    )  # fmt: skip
    assert (array.path, array.shape, array.shards, array.device) == ("a/b", (6, 4), (4, 4), "cpu")
    assert_read(array[...], np.full((6, 4), 9, "f4"))
    array[1:3] = 5
    assert_read(array[...], zarr.open_array(tmp_path, path="a/b", mode="r")[...])
    assert dict(array.attrs) == {"unit": "K"}


def test_an_array_is_made_of_data() -> None:
    values = np.arange(12, dtype="i8").reshape(3, 4)
    assert_read(gpuzarr.create_array({}, data=values, zarr_format=2)[...], values)


def test_an_array_is_not_made_where_one_is(tmp_path: Path) -> None:
    gpuzarr.create_array(tmp_path, data=np.arange(4))
    with pytest.raises(zarr.errors.ContainsArrayError):
        gpuzarr.create_array(tmp_path, data=np.zeros(4))
    assert_read(gpuzarr.open_array(tmp_path)[...], np.arange(4))
    gpuzarr.create_array(tmp_path, data=np.zeros(4), overwrite=True)
    assert_read(gpuzarr.open_array(tmp_path)[...], np.zeros(4))


def test_no_array_is_made_for_a_device_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(gpuzarr.errors.DeviceError):
        gpuzarr.create_array(tmp_path / "x", shape=3, dtype="i4", device="cuda")
    assert not (tmp_path / "x").exists()


# Modes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["r", "r+", "a"])
def test_what_exists_is_opened_in_any_mode_that_keeps_it(tmp_path: Path, mode: str) -> None:
    zarr.create_array(tmp_path / "array", data=np.arange(4))
    zarr.create_group(tmp_path / "group")
    assert_read(gpuzarr.open_array(tmp_path / "array", mode=mode)[...], np.arange(4))
    assert isinstance(gpuzarr.open(tmp_path / "array", mode=mode), gpuzarr.Array)
    assert isinstance(gpuzarr.open_group(tmp_path / "group", mode=mode), gpuzarr.Group)
    assert isinstance(gpuzarr.open(tmp_path / "group", mode=mode), gpuzarr.Group)


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_what_does_not_exist_is_not_made_by_opening_it(tmp_path: Path, mode: str) -> None:
    for opener in (gpuzarr.open, gpuzarr.open_array, gpuzarr.open_group):
        with pytest.raises(NodeNotFoundError):
            opener(tmp_path / "new", mode=mode)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("mode", ["a", "w", "w-"])
def test_a_group_is_made_where_the_mode_says_so(tmp_path: Path, mode: str) -> None:
    for number, opener in enumerate((gpuzarr.open, gpuzarr.open_group)):
        group = opener(tmp_path / str(number), mode=mode)
        assert isinstance(group, gpuzarr.Group)
        assert group.keys() == []
        group.zarr.create_array("x", data=np.arange(4))
        member = group["x"]
        assert isinstance(member, gpuzarr.Array)
        member[0] = 9
        assert_read(member[...], np.array([9, 1, 2, 3]))


def test_the_mode_w_takes_the_place_of_what_is_there(tmp_path: Path) -> None:
    zarr.create_array(tmp_path, name="x", data=np.arange(4))
    assert gpuzarr.open_group(tmp_path, mode="w").keys() == []


def test_the_mode_w_minus_keeps_what_is_there(tmp_path: Path) -> None:
    zarr.create_array(tmp_path, data=np.arange(4))
    for opener in (gpuzarr.open, gpuzarr.open_group):
        with pytest.raises(FileExistsError):
            opener(tmp_path, mode="w-")
    assert_read(gpuzarr.open_array(tmp_path)[...], np.arange(4))


@pytest.mark.parametrize("mode", ["w", "w-"])
def test_opening_an_array_never_takes_its_place(tmp_path: Path, mode: str) -> None:
    zarr.create_array(tmp_path, data=np.arange(4))
    with pytest.raises(ValueError, match="create_array"):
        gpuzarr.open_array(tmp_path, mode=mode)
    assert_read(gpuzarr.open_array(tmp_path)[...], np.arange(4))


def test_opening_an_array_to_append_makes_no_group(tmp_path: Path) -> None:
    with pytest.raises(NodeNotFoundError):
        gpuzarr.open_array(tmp_path / "new", mode="a")
    assert not (tmp_path / "new").exists()


def test_the_format_is_chosen_where_a_store_holds_both(tmp_path: Path) -> None:
    zarr.create_array(tmp_path, data=np.arange(4), zarr_format=2)
    zarr.create_array(tmp_path, data=np.arange(5), zarr_format=3)
    for store in (tmp_path, LocalStore(tmp_path), OwnLocalStore(tmp_path)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert len(gpuzarr.open_array(store)) == 5
        assert len(gpuzarr.open_array(store, zarr_format=2)) == 4
        assert len(gpuzarr.open_array(store, zarr_format=3)) == 5
    zarr.create_array(tmp_path / "only", data=np.arange(4), zarr_format=2)
    with pytest.raises(NodeNotFoundError):
        gpuzarr.open(tmp_path / "only", zarr_format=3)


def test_attributes_of_v2_are_a_document_of_their_own(tmp_path: Path) -> None:
    z = zarr.create_array(tmp_path, data=np.arange(4), zarr_format=2, attributes={"a": 1})
    assert dict(gpuzarr.open_array(tmp_path).attrs) == {"a": 1}
    (tmp_path / ".zattrs").unlink()
    assert dict(gpuzarr.open_array(tmp_path).attrs) == {}
    assert_read(gpuzarr.open_array(tmp_path)[...], z[...])


# Groups ---------------------------------------------------------------------------------------


def test_a_group_opens_its_members_on_its_device_and_in_its_mode(tmp_path: Path) -> None:
    zarr.create_array(tmp_path, name="a/b/c", data=np.arange(4))
    calls: list[Callable[[gpuzarr.Group], Any]] = [
        lambda g: g["a/b/c"],
        lambda g: g["a"]["b"]["c"],  # type: ignore[index]
        lambda g: dict(dict(g.members())["a"].members())["b"]["c"],  # type: ignore[union-attr]
        lambda g: dict(dict(g.groups())["a"].groups())["b"].arrays()[0][1],
    ]
    for call in calls:
        array = call(gpuzarr.open_group(tmp_path))
        assert (array.path, array.device) == ("a/b/c", "cpu")
        with pytest.raises(gpuzarr.errors.ReadOnlyError):
            array[0] = 1
        writable = call(gpuzarr.open_group(tmp_path, mode="r+"))
        writable[0] = 7
        assert writable[0] == array[0] == 7


def test_a_group_is_a_mapping_of_names(tmp_path: Path) -> None:
    root = zarr.create_group(tmp_path, attributes={"title": "test"})
    for name in ("b", "a"):
        root.create_array(name, data=np.arange(2))
    root.create_group("c")
    group = gpuzarr.open_group(tmp_path)
    assert list(group) == group.keys() == ["a", "b", "c"]
    assert len(group) == 3
    assert "a" in group
    assert "d" not in group
    assert [name for name, _ in group.arrays()] == ["a", "b"]
    assert [name for name, _ in group.groups()] == ["c"]
    assert (group.path, group.name) == ("", "")
    assert dict(group.attrs) == {"title": "test"}
    assert group.zarr.store is group.store
    with pytest.raises(KeyError):
        group["d"]


def test_consolidated_metadata_are_used(tmp_path: Path) -> None:
    root = zarr.create_group(tmp_path, zarr_format=2)
    root.create_array("x", data=np.arange(4))
    zarr.consolidate_metadata(tmp_path, zarr_format=2)
    (tmp_path / "x" / ".zarray").unlink()
    for store in (tmp_path, OwnLocalStore(tmp_path)):
        array = gpuzarr.open_group(store)["x"]
        assert isinstance(array, gpuzarr.Array)
        assert_read(array[...], np.arange(4))
