"""zarr-python and xarray, enabled for a GPU: numbers there, coordinates on the host."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import TransposeCodec, ZstdCodec

import gpuzarr

xr = pytest.importorskip("xarray")

LAYOUTS: dict[str, dict[str, Any]] = {
    "v2": {"zarr_format": 2},
    "v2, F order": {"zarr_format": 2, "order": "F"},
    "v3": {},
    "v3, transposed": {"filters": TransposeCodec(order=(1, 0))},
    "v3, shards": {"shards": (14, 24), "compressors": ZstdCodec()},
}


@pytest.fixture(params=LAYOUTS.values(), ids=LAYOUTS)
def stored(request: pytest.FixtureRequest) -> tuple[Any, np.ndarray]:
    """A store with missing and ragged chunks, and what is in it."""
    data, store = np.full((50, 40), 3, "f4"), zarr.storage.MemoryStore()
    array = zarr.create_array(
        store, shape=data.shape, chunks=(7, 12), dtype="f4", fill_value=3, **request.param
    )
    data[:33] = np.random.default_rng(0).normal(size=(33, 40))
    array[:33] = data[:33]
    return store, data


@pytest.fixture(autouse=True)
def enabled() -> Any:
    """For the block of a test."""
    with gpuzarr.enable(device="cuda"):
        yield


@pytest.mark.parametrize("selection", [np.s_[...], np.s_[4:45:3, 7:], np.s_[20], np.s_[30:, -1]])
def test_zarr_gives_arrays_on_the_device(
    cupy: ModuleType, stored: tuple[Any, np.ndarray], selection: Any
) -> None:
    store, data = stored
    found = zarr.open_array(store)[selection]
    assert isinstance(found, cupy.ndarray)
    np.testing.assert_array_equal(found.get(), data[selection])


def test_zarr_takes_arrays_on_the_device(cupy: ModuleType, stored: tuple[Any, np.ndarray]) -> None:
    store, data = stored
    zarr.open_array(store, mode="r+")[:] = cupy.asarray(data * 2)
    with gpuzarr.enable(device="cpu"):
        np.testing.assert_array_equal(zarr.open_array(store)[:], data * 2)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning", "ignore:.*consolidated.*")
def test_xarray_has_data_on_the_device_and_coordinates_on_the_host(
    cupy: ModuleType, tmp_path: Any, version: int
) -> None:
    given = xr.Dataset(
        {"t": (("time", "x"), np.arange(12, dtype="f4").reshape(3, 4))},
        {"time": np.array(["2020-01-01", "2020-01-02", "2020-01-04"], "M8[ns]"), "x": range(4)},
    )
    with gpuzarr.enable(device="cpu"):
        given.to_zarr(tmp_path / "s", zarr_format=version)
    found = xr.open_zarr(tmp_path / "s", chunks=None)
    assert isinstance(found.time.values, np.ndarray)
    np.testing.assert_array_equal(found.time, given.time)
    data = found.t.isel(x=slice(1, 3)).data
    assert isinstance(data, cupy.ndarray)
    np.testing.assert_array_equal(data.get(), given.t.values[:, 1:3])


def test_a_string_array_is_on_the_host(cupy: ModuleType) -> None:
    array = zarr.create_array({}, shape=3, chunks=2, dtype="U2", zarr_format=2)
    array[:] = ["a", "b", "cc"]
    assert isinstance(array[:], np.ndarray)
