"""Memory of results: used again only once nobody can see it."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import gpuzarr
from gpuzarr.device import host_memory

SHAPE, DTYPE = (1024, 1200), np.dtype("f8")


@pytest.fixture(autouse=True)
def no_idle_memory() -> None:
    gc.collect()
    host_memory._idle.clear()


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_a_result_is_a_plain_writable_array() -> None:
    array = host_memory.empty(SHAPE, DTYPE)
    assert type(array) is np.ndarray
    assert array.shape == SHAPE
    assert array.dtype == DTYPE
    assert array.flags.c_contiguous
    assert array.flags.writeable
    array[:] = 1.5
    assert array.sum() == 1.5 * array.size


def test_memory_is_lent_again_once_nobody_holds_it() -> None:
    first = host_memory.empty(SHAPE, DTYPE)
    place = address(first)
    del first
    assert address(host_memory.empty(SHAPE, DTYPE)) == place


@pytest.mark.parametrize(
    "part",
    [
        lambda a: a[3:5, 7],
        lambda a: a.T.view("i8"),
        lambda a: memoryview(a),
        np.from_dlpack,
        lambda a: a.ravel().reshape(-1, 8)[::2],
    ],
    ids=["slice", "view", "memoryview", "dlpack", "reshaped"],
)
def test_memory_stays_as_it_is_while_any_view_of_it_lives(part: object) -> None:
    first = host_memory.empty(SHAPE, DTYPE)
    first[:] = 7
    place, view = address(first), part(first)  # type: ignore[operator]
    del first
    gc.collect()
    second = host_memory.empty(SHAPE, DTYPE)
    second[:] = 9
    assert address(second) != place
    expected = np.array(7.0).view("i8") if np.asarray(view).dtype == np.dtype("i8") else 7
    assert (np.asarray(view) == expected).all()


@pytest.mark.parametrize(("shape", "dtype"), [((10,), "f8"), ((10**6,), "O"), ((0,), "f4")])
def test_small_results_and_objects_are_numpy_s_own(shape: tuple[int, ...], dtype: str) -> None:
    assert host_memory.empty(shape, np.dtype(dtype)).flags.owndata


def test_the_option_bounds_what_is_kept() -> None:
    with gpuzarr.config.set({"result_pool_bytes": 3 * 1024 * 1200 * 8}):
        held = [host_memory.empty(SHAPE, DTYPE) for _ in range(6)]
        del held
        assert len(host_memory._idle) <= 3
    with gpuzarr.config.set({"result_pool_bytes": 0}):
        assert host_memory.empty(SHAPE, DTYPE).flags.owndata


def test_threads_never_share_memory() -> None:
    def use(number: int) -> bool:
        for _ in range(20):
            array = host_memory.empty((512, 1100), DTYPE)
            array[:] = number
            if not (array == number).all():
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(16)))
