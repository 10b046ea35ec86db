"""An EmulatedArray behaves as CuPy's arrays do, as far as it goes."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from gpuzarr.device import emulator_build, emulator_runtime
from gpuzarr.device.emulated_array import EmulatedArray, asarray, empty

pytestmark = pytest.mark.skipif(not emulator_build.is_available(), reason="there is no g++")


@pytest.fixture
def host() -> np.ndarray:
    return np.arange(24, dtype=np.int32).reshape(2, 3, 4)


def test_it_has_the_shape_and_strides_of_the_numpy_array(host: np.ndarray) -> None:
    array = asarray(host)
    for name in ("shape", "dtype", "strides", "ndim", "size", "itemsize", "nbytes"):
        assert getattr(array, name) == getattr(host, name)
    assert array.flags.c_contiguous
    assert len(array) == 2
    assert repr(array) == "<EmulatedArray shape=(2, 3, 4) dtype=int32>"


@pytest.mark.parametrize(
    "index",
    [0, -1, np.int64(1), (1, 2), (1, 2, 3), ..., (..., 1), slice(None, None, -1), (0, None, ...)],
    ids=repr,
)
def test_basic_indexing_gives_views(index: object, host: np.ndarray) -> None:
    array = asarray(host)
    part = array[index]
    assert isinstance(part, EmulatedArray)
    assert np.array_equal(part.get(), host[index])
    span = range(array.data.ptr, array.data.ptr + array.nbytes)
    assert part.data.ptr in span


@pytest.mark.parametrize("index", [[0, 1], np.array([0]), True, "x", 1.0], ids=repr)
def test_other_indexing_is_refused(index: object, host: np.ndarray) -> None:
    with pytest.raises(IndexError, match="takes integers, slices"):
        asarray(host)[index]


def test_reshape_view_and_transpose_share_memory(host: np.ndarray) -> None:
    array = asarray(host)
    assert np.array_equal(array.reshape(6, 4).get(), host.reshape(6, 4))
    assert np.array_equal(array.reshape((-1,)).get(), host.ravel())
    assert np.array_equal(array.view(np.uint8).get(), host.view(np.uint8))
    turned = array.transpose(2, 0, 1)
    assert np.array_equal(turned.get(), host.transpose(2, 0, 1))
    assert {a.data.ptr for a in (array.reshape(-1), array.view("u1"), turned)} == {array.data.ptr}
    with pytest.raises(ValueError, match="a shape that is a view"):
        turned.reshape(-1)


def test_the_host_sees_the_elements_on_request_only(host: np.ndarray) -> None:
    array = asarray(host)
    with pytest.raises(TypeError, match=r"Implicit conversion to a NumPy array is not allowed"):
        np.asarray(array)
    with pytest.raises((BufferError, RuntimeError)):
        np.from_dlpack(array)  # type: ignore[arg-type]
    capsule = array.__dlpack__(dl_device=(1, 0))
    assert "dltensor" in repr(capsule)
    with pytest.raises(BufferError, match="as a copy"):
        array.__dlpack__(dl_device=(1, 0), copy=False)


def test_it_is_a_duck_array_of_which_numpy_computes_nothing(host: np.ndarray) -> None:
    array = asarray(host)
    for compute in (np.sum, np.sqrt, np.shape, lambda a: np.add(a, 1), lambda a: np.stack([a])):
        with pytest.raises(TypeError, match="EmulatedArray"):
            compute(array)


def test_what_is_downloaded_is_a_copy(host: np.ndarray) -> None:
    array = asarray(host)
    array.get()[...] = 7
    assert np.array_equal(array.get(), host)


def test_upload_takes_the_same_shape_and_dtype(host: np.ndarray) -> None:
    array = empty(host.shape, host.dtype)
    array.set(host)
    assert np.array_equal(array.get(), host)
    array[1].set(host[0])
    assert np.array_equal(array.get()[1], host[0])
    with pytest.raises(ValueError, match=r"shape \(2, 3, 4\) and dtype int32, found \(2, 3\)"):
        array.set(host[:, :, 0])
    with pytest.raises(ValueError, match="C-contiguous"):
        array[:, 1].set(host[:, 1])


def test_memory_that_nobody_wrote_is_poison() -> None:
    assert set(empty(100).get().tolist()) == {0xCD}


def test_empty_and_zero_dimensional_arrays() -> None:
    assert asarray(np.zeros((0, 3))).get().shape == (0, 3)
    assert asarray(np.float32(2.5)).get() == np.float32(2.5)


def test_memory_is_freed_with_the_last_view(monkeypatch: pytest.MonkeyPatch) -> None:
    freed = []
    runtime = emulator_runtime.load()
    monkeypatch.setattr(runtime, "gzemu_free", freed.append)
    array = empty(100)
    start, part = array.data.ptr, array[5:]
    del array
    gc.collect()
    assert start not in freed
    del part
    gc.collect()
    assert start in freed
