"""Device arrays behind zarr-python's face, on the emulated device."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from harness import assert_on_device, assert_same
from zarr.codecs import BytesCodec
from zarr.codecs.numcodecs import BZ2
from zarr.storage import MemoryStore

import gpuzarr
from gpuzarr import pipeline
from gpuzarr.device import emulator_build
from gpuzarr.device.emulated_array import EmulatedArray, asarray

pytestmark = [
    pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning"),
    pytest.mark.skipif(not emulator_build.is_available(), reason="there is no g++"),
]

VALUES = np.arange(240, dtype="f4").reshape(20, 12)
LAYOUTS: dict[str, dict[str, Any]] = {
    "v2": {"zarr_format": 2},
    "v2, big-endian, F": {"zarr_format": 2, "dtype": ">f4", "order": "F"},
    "v3": {},
    "v3, big-endian": {"serializer": BytesCodec(endian="big")},
    "v3, raw": {"compressors": None},
    "sharded": {"shards": (10, 12)},
    "F order": {"config": {"order": "F"}},
    "one chunk": {"chunks": (20, 12)},
    "complex": {"dtype": "c8"},
    "bool": {"dtype": "?"},
    "float16": {"dtype": "f2"},
}


def stored(name: str, store: Any = None, **more: Any) -> tuple[Any, np.ndarray]:
    """A store and what is in it."""
    arguments = {"dtype": "f4", "chunks": (5, 4), **LAYOUTS[name], **more}
    store = MemoryStore() if store is None else store
    array = zarr.create_array(store, shape=VALUES.shape, fill_value=1, **arguments)
    array[:15] = VALUES[:15]
    assert len([key for key in store._store_dict if key[-1].isdigit()]) < 12
    return store, array[...]


KEYS = [np.s_[...], np.s_[3:17:2, 1:], np.s_[4], np.s_[:, 3], np.s_[16:, :2], np.s_[7:8, 5]]


@pytest.mark.parametrize("name", LAYOUTS)
def test_numbers_are_on_the_device(name: str) -> None:
    """Missing chunks too."""
    store, expected = stored(name)
    with gpuzarr.enable("emulated"):
        array = zarr.open_array(store)
        for key in KEYS:
            assert_on_device(array[key], expected[key])
        assert_on_device(array.oindex[[3, 1, 18], 2:4], expected[[3, 1, 18], 2:4])
        mask = np.arange(20) % 3 == 0
        assert_on_device(array.oindex[mask, [1, 5]], expected[mask][:, [1, 5]])
        blocks = (slice(0, 5), slice(4, 8)) if name not in ("one chunk", "sharded") else None
        if blocks:
            assert_on_device(array.blocks[0, 1], expected[blocks])


@pytest.mark.parametrize("name", ["v2", "v3", "sharded"])
def test_what_zarr_python_makes_numpy_arrays_of_is_on_the_host(name: str) -> None:
    store, expected = stored(name)
    with gpuzarr.enable("emulated"):
        array = zarr.open_array(store)
        for key in ((3, 4), (19, 11)):
            assert_same(array[key], np.asarray(expected[key]))
        points = ([1, 19, 1], [0, 3, 11])
        assert_same(array.vindex[points], expected[points])
        mask = expected % 7 == 1
        assert_same(array.vindex[mask], expected[mask])
        point = zarr.create_array(MemoryStore(), data=np.array(3.0))
        assert type(zarr.open_array(point.store)[()]) is type(zarr.open_array(point.store)[...])


@pytest.mark.parametrize("kind", ["coordinate", "CF time", "string", "struct", "datetime"])
@pytest.mark.parametrize("version", [2, 3])
def test_some_arrays_stay_on_the_host(kind: str, version: int) -> None:
    data: Any = {
        "string": np.array(["a", "bc", ""], np.dtypes.StringDType()),
        "struct": np.array([(1, 2.0)] * 3, [("a", "i4"), ("b", "f8")]),
        "datetime": np.array([1, 2, 3], "M8[s]"),
    }.get(kind, np.arange(3.0))
    name = "x" if kind == "coordinate" else "other"
    units = "days since 2000-01-01" if kind == "CF time" else "metres"
    named: dict[str, Any] = {"dimension_names": ["x"]} if version == 3 else {}
    group = zarr.open_group(MemoryStore(), mode="w", zarr_format=version)
    attributes = {"units": units, **({} if version == 3 else {"_ARRAY_DIMENSIONS": ["x"]})}
    group.create_array(name, data=data, chunks=(2,), attributes=attributes, **named)
    group.create_array("y", data=np.arange(3.0), attributes=attributes | {"units": "m"}, **named)
    with gpuzarr.enable("emulated"):
        opened = zarr.open_group(group.store, mode="r")
        assert_same(np.asarray(opened[name][...]), np.asarray(group[name][...]))
        assert type(opened["y"][...]) is EmulatedArray


def test_only_enable_puts_results_on_a_device() -> None:
    store, expected = stored("v3")
    before = zarr.open_array(store)
    with gpuzarr.enable("emulated"):
        inside = zarr.open_array(store)
        assert_same(before[...], expected)
        assert_on_device(inside[...], expected)
        with gpuzarr.enable("cpu"):
            host = zarr.open_array(store)
            assert_same(host[...], expected)
            assert_same(inside[...], expected)
        assert_same(host[...], expected)
        assert_on_device(inside[...], expected)
    assert_same(inside[...], expected)
    assert_same(zarr.open_array(store)[...], expected)


def test_a_pickled_array_is_on_the_device_while_enable_holds(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path, data=VALUES, chunks=(5, 4))
    with gpuzarr.enable("emulated"):
        data = pickle.dumps(zarr.open_array(tmp_path))
        with ThreadPoolExecutor(1) as pool:
            assert_on_device(pool.submit(lambda: pickle.loads(data)[...]).result(), VALUES)
    copied = pickle.loads(data)
    assert copied.async_array.codec_pipeline.device == "emulated"
    assert_same(copied[...], VALUES)
    assert_same(array[...], VALUES)


def test_writing_takes_host_arrays_as_ever() -> None:
    with gpuzarr.enable("emulated"):
        array = zarr.create_array(MemoryStore(), shape=(20, 12), chunks=(5, 4), dtype="f4")
        array[...] = VALUES
        array[3, 1:5] = 9
        assert type(array[:2]) is EmulatedArray
    expected = VALUES.copy()
    expected[3, 1:5] = 9
    assert_same(zarr.open_array(array.store)[...], expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_on_the_device_are_encoded_there(layout: str) -> None:
    """Inside of `enable` and, to an array that was opened there, outside."""
    with gpuzarr.enable("emulated"):
        given = {"dtype": "f4", "chunks": (5, 4), "fill_value": 7, **LAYOUTS[layout]}
        array = zarr.create_array({}, shape=VALUES.shape, **given)
        values = VALUES.astype(array.dtype.newbyteorder("="))
        before = pipeline.counts()
        array[...] = asarray(values)
        array[3:9, ::5] = array[:6, 1:4]
        array.oindex[[19, 11], :] = asarray(values[2:4])
        array.append(asarray(values[:4]))
    array[0] = asarray(values[5])
    after = pipeline.counts()
    assert after["bytes_downloaded"] == before["bytes_downloaded"]
    on_device = after["encoded"]["emulated"] - before["encoded"].get("emulated", 0)
    assert on_device == after["written"] - before["written"] > 0
    expected = np.concatenate([values, values[:4]])
    expected[3:9, ::5] = values[:6, 1:4]
    expected[[19, 11]] = values[2:4]
    expected[0] = values[5]
    np.testing.assert_array_equal(zarr.open_array(array.store)[...], expected)


def test_values_on_the_device_come_down_once_where_the_cpu_encodes() -> None:
    with gpuzarr.enable("emulated"):
        array = zarr.create_array(
            {}, shape=VALUES.shape, chunks=(5, 4), dtype="f4", compressors=[BZ2()]
        )
        before = pipeline.counts()
        array[...] = asarray(VALUES)
    after = pipeline.counts()
    assert after["bytes_downloaded"] == before["bytes_downloaded"] + VALUES.nbytes
    assert after["encoded"]["cpu"] == before["encoded"].get("cpu", 0) + 12
    with gpuzarr.enable("cpu"):
        host = zarr.open_array(array.store)
        host[:5] = asarray(VALUES[:5] * 2)
    assert pipeline.counts()["bytes_downloaded"] == after["bytes_downloaded"] + 5 * 12 * 4
    expected = VALUES.copy()
    expected[:5] *= 2
    assert_same(zarr.open_array(array.store)[...], expected)


def test_an_array_is_made_of_values_on_the_device() -> None:
    with gpuzarr.enable("emulated"):
        array = zarr.create_array({}, data=asarray(VALUES), chunks=(5, 4))
    assert_same(zarr.open_array(array.store)[...], VALUES)


def test_dask_has_blocks_on_the_device() -> None:
    """With ``asarray=False``, as it takes CuPy's."""
    da = pytest.importorskip("dask.array")
    with gpuzarr.enable("emulated"):
        array = zarr.create_array({}, data=VALUES, chunks=(5, 4))
        lazy = da.from_array(zarr.open_array(array.store), chunks=(10, 4), asarray=False)
        blocks = lazy.to_delayed()
        assert_on_device(blocks[1, 2].compute(scheduler="threads"), VALUES[10:, 8:])
        on_host = lazy.map_blocks(lambda block: block.get(), meta=np.empty((0, 0), "f4"))
        assert_same(on_host.compute(scheduler="threads"), VALUES)


@pytest.mark.parametrize("version", [2, 3])
def test_xarray_has_variables_on_the_device_and_coordinates_on_the_host(
    tmp_path: Path, version: int
) -> None:
    xr = pytest.importorskip("xarray")
    times = np.array(["2000-01-01", "2000-01-05", "2000-02-01"], "M8[ns]")
    coords = {"time": times, "x": [1.5, 2.5], "name": ("x", ["a", "b"])}
    data = np.arange(6.0).reshape(3, 2)
    dataset = xr.Dataset({"field": (("time", "x"), data)}, coords)
    dataset.to_zarr(tmp_path / "a", zarr_format=version, consolidated=False)
    with gpuzarr.enable("emulated"):
        found = xr.open_zarr(tmp_path / "a", chunks=None, consolidated=False)
        assert_on_device(found["field"].isel(time=slice(1, 3)).data, data[1:3])
        assert_on_device(found["field"].data, data)
        for name in coords:
            assert isinstance(found[name].to_numpy(), np.ndarray)
            np.testing.assert_array_equal(found[name].to_numpy(), dataset[name].to_numpy())
        assert_on_device(found["field"].sel(time="2000-01-05").data, data[1])
