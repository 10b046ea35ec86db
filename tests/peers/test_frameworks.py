"""Reading into, and giving to, the arrays of other frameworks."""

from __future__ import annotations

import numpy as np
import pytest
import zarr

import gpuzarr


@pytest.fixture
def array(values: np.ndarray) -> gpuzarr.Array:
    stored = zarr.create_array({}, data=values, chunks=(16, 20))
    return gpuzarr.open_array(stored)


def test_a_torch_tensor_is_filled_in_place(array: gpuzarr.Array, values: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.zeros((50, 40))
    assert array.read(out=tensor) is tensor
    np.testing.assert_array_equal(tensor.numpy(), values)
    crops = torch.zeros((2, 8, 8))
    array.read_many([(3, 4), (30, 20)], shape=(8, 8), out=crops)
    np.testing.assert_array_equal(crops.numpy(), [values[3:11, 4:12], values[30:38, 20:28]])


def test_torch_takes_an_array_through_dlpack(array: gpuzarr.Array, values: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(torch.from_dlpack(array).numpy(), values)


def test_jax_takes_what_is_read(array: gpuzarr.Array, values: np.ndarray) -> None:
    jnp = pytest.importorskip("jax.numpy")
    np.testing.assert_array_equal(np.asarray(jnp.asarray(array.read())), values)
    np.testing.assert_array_equal(np.asarray(jnp.from_dlpack(array.read())), values)
