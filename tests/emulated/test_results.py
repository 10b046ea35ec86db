"""Where results of a device array go: device memory, new or `out=`; to the host on request."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from harness import asarray, assert_on_device, assert_same, empty
from test_out import ORIGINS, SELECTIONS, VALUES, opened

import gpuzarr
from gpuzarr import device as devices
from gpuzarr.errors import OutputError

ON_THE_EMULATED = pytest.mark.skipif(
    os.environ.get("GPUZARR_TEST_DEVICE", "emulated") != "emulated",
    reason="CuPy has no such arrays, and a GPU is what auto takes",
)

# Targets ------------------------------------------------------------------------------------------


def contiguous(shape: tuple[int, ...]) -> Any:
    return asarray(np.full(shape, -7, "f4"))


def column_major(shape: tuple[int, ...]) -> Any:
    return contiguous(shape[::-1]).transpose()


def strided(shape: tuple[int, ...]) -> Any:
    return contiguous(tuple(2 * n for n in shape))[(..., *(slice(None, None, 2) for _ in shape))]


def reversed_(shape: tuple[int, ...]) -> Any:
    return contiguous(shape)[(..., *(slice(None, None, -1) for _ in shape))]


def unaligned(shape: tuple[int, ...]) -> Any:
    return empty(4 * int(np.prod(shape)) + 1)[1:].view("f4").reshape(shape)


TARGETS = pytest.mark.parametrize(
    "target", [contiguous, column_major, strided, reversed_, unaligned]
)


@TARGETS
@pytest.mark.parametrize("name", SELECTIONS)
@pytest.mark.parametrize("dtype", ["<f4", ">f4"])
def test_a_target_of_any_strides_is_filled(
    name: str, target: Callable[[tuple[int, ...]], Any], dtype: str
) -> None:
    array, expected = opened(VALUES.astype(dtype), zarr_format=2), VALUES[SELECTIONS[name]]
    out = target(np.shape(expected))
    assert array.read(SELECTIONS[name], out=out) is out
    assert_on_device(out, expected)


@TARGETS
def test_missing_chunks_are_filled_into_a_target(
    target: Callable[[tuple[int, ...]], Any],
) -> None:
    z = zarr.create_array({}, shape=(6, 6), chunks=(2, 2), dtype="f4", fill_value=3)
    z[2:4, 2:4] = 5
    out = target((6, 6))
    gpuzarr.open_array(z).read(out=out)
    assert_on_device(out, z[...])


@TARGETS
def test_read_many_fills_a_target(target: Callable[[tuple[int, ...]], Any]) -> None:
    out = target((5, 4, 7))
    assert opened().read_many(ORIGINS, shape=(4, 7), out=out) is out
    assert_on_device(out, np.stack([VALUES[i : i + 4, j : j + 7] for i, j in ORIGINS]))


def test_what_lies_around_a_target_stays_as_it_is() -> None:
    around = contiguous((9, 30))
    opened().read((slice(0, 5), slice(0, 10)), out=around[2:7, 10:20])
    expected = np.full((9, 30), -7, "f4")
    expected[2:7, 10:20] = VALUES[:5, :10]
    assert_on_device(around, expected)


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (np.zeros((12, 20), "f4"), "on the device '[a-z:0]+', not ndarray.*device='cpu'"),
        ([[0.0] * 20] * 12, "not list"),
        ("text", "not str"),
        (np.zeros((12, 19)), "not ndarray"),
    ],
)
def test_a_target_on_the_host_is_refused(out: Any, words: str) -> None:
    assert_refused(opened(), out, words)


@ON_THE_EMULATED
def test_a_device_target_that_does_not_fit_is_refused() -> None:
    array = opened()
    assert_refused(array, empty((12, 19), "f4"), r"shape \(12, 20\), it has \(12, 19\)")
    assert_refused(array, empty((12, 20), "f8"), "dtype float32, it has float64")
    assert_refused(array, empty((12, 20), ">f4"), "native byte order, it has >f4")


@ON_THE_EMULATED
@pytest.mark.parametrize("dtype", ["f4", "M8[s]", "U3"])
def test_an_array_on_the_host_refuses_a_device_target(dtype: str) -> None:
    """Named so, or since a device has no such elements."""
    z = zarr.create_array({}, shape=(12, 20), chunks=(5, 5), dtype=dtype)
    device = "cpu" if dtype == "f4" else opened(VALUES).device
    out = empty((12, 20), np.dtype(dtype))
    assert_refused(gpuzarr.open_array(z, device=device), out, "read on the host")


def assert_refused(array: gpuzarr.Array, out: Any, words: str) -> None:
    with pytest.raises(OutputError, match=words) as caught:
        array.read(out=out)
    assert str(caught.value).endswith(".")


# The host -----------------------------------------------------------------------------------------


def test_numpy_gets_nothing_unasked() -> None:
    array = opened()
    for convert in (np.asarray, np.array, np.add.reduce, lambda a: np.asarray(a, dtype="f8")):
        with pytest.raises(TypeError, match=r"Implicit conversion.*use `.get\(\)`"):
            convert(array)


def test_dlpack_gives_a_copy_on_the_host_on_request() -> None:
    array = opened()
    assert array.__dlpack_device__() == empty(1).__dlpack_device__()
    with pytest.raises((BufferError, RuntimeError)):
        np.from_dlpack(array)
    assert_same(np.from_dlpack(array, device="cpu", copy=True), VALUES)


@pytest.mark.parametrize("dtype", ["M8[s]", "S3", "T", [("a", "i4"), ("b", "f8")]], ids=str)
@pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")
def test_what_a_device_has_no_arrays_of_is_on_the_host_and_explained(dtype: Any) -> None:
    values = np.ones(9, "i8").astype(dtype)
    array = opened(values)
    assert array.device == "cpu"
    assert "on the host, since" in str(array.explain())
    assert_same(array[2:7], values[2:7])
    assert_same(np.asarray(array), values)


# Which device -------------------------------------------------------------------------------------


def test_a_meta_array_chooses_the_device_and_is_told() -> None:
    z = opened().zarr
    on_device = gpuzarr.open_array(z, device="cpu", meta_array=empty(0))
    assert on_device.device == devices.get(gpuzarr.config.get("device")).name
    assert_on_device(on_device.meta_array[...], on_device.meta_array.get())
    on_host = gpuzarr.open_array(z, meta_array=np.empty(0))
    assert on_host.device == "cpu"
    assert_same(on_host[...], VALUES)


@ON_THE_EMULATED
def test_auto_is_never_this_device() -> None:
    with gpuzarr.config.set({"device": "auto"}):
        assert gpuzarr.open(opened().zarr).device == "cpu"


def test_a_group_hands_its_device_on(tmp_path: Path) -> None:
    zarr.create_array(tmp_path, name="a/b", data=VALUES)
    group = gpuzarr.open_group(tmp_path)
    for opened_group in (group, pickle.loads(pickle.dumps(group))):
        assert_on_device(opened_group["a/b"][...], VALUES)


@pytest.mark.parametrize("again", [lambda a: pickle.loads(pickle.dumps(a)), copy.deepcopy])
def test_a_pickled_array_is_on_its_device(again: Callable[[Any], Any], tmp_path: Path) -> None:
    zarr.create_array(tmp_path, data=VALUES)
    array = gpuzarr.open_array(tmp_path)
    with gpuzarr.config.set({"device": "cpu"}):
        assert_on_device(again(array)[...], VALUES)


# Threads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wave_bytes", [1 << 20, 100])
def test_many_threads_and_tasks_read_at_once(wave_bytes: int) -> None:
    array = opened()

    async def read() -> list[Any]:
        return await asyncio.gather(*(array.read_async(n) for n in range(12)))

    with gpuzarr.config.set({"threads": 2, "device_wave_bytes": wave_bytes}):
        with ThreadPoolExecutor(4) as pool:
            rows = list(pool.map(array.read, range(12)))
        for found in (rows, asyncio.run(read())):
            for row, expected in zip(found, VALUES, strict=True):
                assert_on_device(row, expected)
