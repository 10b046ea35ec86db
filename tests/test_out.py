"""Where results go: `out=`, DLPack, `__array__`, the meta-array."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zarr
from harness import assert_same
from stores import watched

import gpuzarr
from gpuzarr.errors import ChunkError, DeviceError, GpuzarrError, OutputError

VALUES = np.arange(12 * 20, dtype="f4").reshape(12, 20)


def opened(values: np.ndarray = VALUES, **arguments: Any) -> gpuzarr.Array:
    """An array with these values, in ragged chunks of 5 along each axis."""
    z = zarr.create_array({}, data=values, **{"chunks": (5,) * values.ndim, **arguments})
    return gpuzarr.open_array(z)


SELECTIONS = {
    "all": ...,
    "box": (slice(2, 9), slice(3, 18)),
    "row": 4,
    "element": (4, 5),
    "steps": (slice(None, None, -2), slice(1, None, 3)),
    "list": [7, 0, 0, 11],
    "mask": VALUES % 3 == 0,
    "points": ([[0, 11], [5, 5]], [[19, 0], [7, 7]]),
    "nothing": slice(3, 3),
    "new-axis": (None, slice(2, 4), ..., None),
}


def contiguous(shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, -7, "f4")


def column_major(shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, -7, "f4", order="F")


def strided(shape: tuple[int, ...]) -> np.ndarray:
    wide = np.full(tuple(2 * n for n in shape), -7, "f4")
    return wide[(..., *(slice(None, None, 2) for _ in shape))]


def reversed_(shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, -7, "f4")[(..., *(slice(None, None, -1) for _ in shape))]


def field_of_a_record(shape: tuple[int, ...]) -> np.ndarray:
    return np.zeros(shape, [("x", "i1"), ("y", "f4")])["y"]


def unaligned(shape: tuple[int, ...]) -> np.ndarray:
    return np.zeros(4 * int(np.prod(shape)) + 1, "u1")[1:].view("f4").reshape(shape)


def other_byte_order(shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, -7, ">f4")


TARGETS = [contiguous, column_major, strided, reversed_, field_of_a_record, unaligned,
           other_byte_order]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", SELECTIONS)
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_target_of_any_strides_is_filled(
    name: str, target: Callable[[tuple[int, ...]], np.ndarray], order: Any
) -> None:
    array = opened(zarr_format=2, order=order)
    expected = VALUES[SELECTIONS[name]]
    out = target(np.shape(expected))
    assert array.read(SELECTIONS[name], out=out) is out
    np.testing.assert_array_equal(out, expected)


def test_what_lies_around_a_target_stays_as_it_is() -> None:
    around = np.full((9, 30), -7, "f4")
    opened().read((slice(0, 5), slice(0, 10)), out=around[2:7, 10:20])
    np.testing.assert_array_equal(around[2:7, 10:20], VALUES[:5, :10])
    around[2:7, 10:20] = -7
    assert (around == -7).all()


@pytest.mark.parametrize(
    "dtype", ["i2", "f8", "c16", "M8[s]", "S5", "?", [("a", "i4"), ("b", "f2")]]
)
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_a_target_of_either_byte_order_is_filled_from_either(dtype: Any, byte_order: str) -> None:
    dtype = np.dtype(dtype).newbyteorder(byte_order)
    values = np.frombuffer(np.random.default_rng(1).bytes(17 * dtype.itemsize), "u1") % 2
    values = values.view(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array = opened(values, zarr_format=2)
        for order in "<>":
            out = np.zeros(17, dtype.newbyteorder(order))
            array.read(out=out)
            np.testing.assert_array_equal(out, values)


def test_missing_chunks_are_filled_into_a_target() -> None:
    z = zarr.create_array({}, shape=(6, 6), chunks=(2, 2), dtype="f4", fill_value=3)
    z[2:4, 2:4] = 5
    for target in (contiguous, column_major, strided, other_byte_order):
        out = target((6, 6))
        gpuzarr.open_array(z).read(out=out)
        np.testing.assert_array_equal(out, z[...])


def test_fields_of_records_are_read_into_a_target() -> None:
    records = np.zeros(7, [("a", "i4"), ("b", "f8"), ("c", "i2")])
    records["a"], records["b"] = np.arange(7), np.arange(7) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array = opened(records)
    out = np.zeros(4, "f8")
    array.read(("b", slice(1, 5)), out=out)
    np.testing.assert_array_equal(out, records["b"][1:5])
    several = np.zeros(7, [("a", "i4"), ("b", "f8")])
    array.read(["a", "b"], out=several)
    np.testing.assert_array_equal(several, records[["a", "b"]])
    with pytest.raises(OutputError):
        array.read("b", out=np.zeros(7, "f4"))


def test_variable_strings_are_read_into_a_target() -> None:
    words = np.array(["a", "", "long " * 9, "ü"], dtype=np.dtypes.StringDType())
    array = opened(words)
    out = np.empty(4, np.dtypes.StringDType())
    array.read(out=out)
    np.testing.assert_array_equal(out, words)


# Targets that do not fit ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (np.zeros((12, 19), "f4"), ["(12, 20)", "(12, 19)"]),
        (np.zeros((1, 12, 20), "f4"), ["(12, 20)", "(1, 12, 20)"]),
        (np.zeros(240, "f4"), ["(12, 20)", "(240,)"]),
        (np.zeros((12, 20), "f8"), ["float32", "float64"]),
        (np.zeros((12, 20), "i4"), ["float32", "int32"]),
        (np.broadcast_to(np.float32(0), (12, 20)), ["read-only"]),
        ([[0.0] * 20] * 12, ["list"]),
        ("text", ["str"]),
        (memoryview(bytearray(960)), ["memoryview"]),
    ],
)
def test_a_target_that_does_not_fit_is_an_error(out: Any, words: list[str]) -> None:
    store = watched({})
    z = zarr.create_array(store._store._store_dict, data=VALUES, chunks=(5, 5))  # type: ignore[attr-defined]
    assert z.shape == VALUES.shape
    array = gpuzarr.open_array(store)
    store.requests.clear()
    with pytest.raises(OutputError) as caught:
        array.read(out=out)
    for word in words:
        assert word in str(caught.value)
    assert str(caught.value).endswith(".")
    assert isinstance(caught.value, ValueError)
    assert not store.requests


def test_a_target_for_an_element_has_no_axes() -> None:
    array = opened()
    out = np.zeros((), "f4")
    assert array.read((3, 4), out=out) is out
    assert out[()] == VALUES[3, 4]
    with pytest.raises(OutputError, match=r"\(\)"):
        array.read((3, 4), out=np.zeros(1, "f4"))


def test_a_failed_read_into_a_target_raises() -> None:
    memory: dict[str, Any] = {}
    zarr.create_array(memory, data=VALUES, chunks=(5, 5))
    memory["c/1/1"] = memory["c/1/1"][:5]
    out = np.zeros_like(VALUES)
    with pytest.raises(ChunkError, match="c/1/1"):
        gpuzarr.open_array(memory).read(out=out)


# DLPack ---------------------------------------------------------------------------------------


class Tensor:
    """An array of another library, in host memory."""

    def __init__(self, array: np.ndarray) -> None:
        self.memory = array

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0

    def __dlpack__(self, **arguments: Any) -> Any:
        return self.memory.__dlpack__(**arguments)


class OldTensor(Tensor):
    """As torch: its export says nothing of a version, so that NumPy takes it for read-only."""

    def __dlpack__(self, stream: Any = None) -> Any:
        return self.memory.__dlpack__()

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.memory


class SealedTensor(OldTensor):
    """One whose `__array__` gives a copy."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.memory.copy()


class DeviceTensor(Tensor):
    """One in the memory of a GPU."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self, **arguments: Any) -> Any:
        raise BufferError("in device memory")


@pytest.mark.parametrize("kind", [Tensor, OldTensor])
@pytest.mark.parametrize("name", SELECTIONS)
def test_a_tensor_of_another_library_is_filled(kind: type[Tensor], name: str) -> None:
    expected = VALUES[SELECTIONS[name]]
    out = kind(contiguous(np.shape(expected)))
    assert opened().read(SELECTIONS[name], out=out) is out
    np.testing.assert_array_equal(out.memory, expected)


def test_a_tensor_that_cannot_be_written_is_an_error() -> None:
    array, frozen = opened(), VALUES.copy()
    frozen.flags.writeable = False
    for out in (
        Tensor(frozen),
        OldTensor(frozen),
        SealedTensor(VALUES.copy()),
        DeviceTensor(VALUES.copy()),
        SimpleNamespace(__dlpack__=lambda **_: None),
        SimpleNamespace(__dlpack__=lambda **_: None, __dlpack_device__=lambda: (1, 0)),
    ):
        with pytest.raises(OutputError) as caught:
            array.read(out=out)
        assert str(caught.value).endswith(".")
    with pytest.raises(OutputError, match=r"\(3, 20\)"):
        array.read(out=Tensor(contiguous((3, 20))))


def test_an_array_of_the_array_api_is_filled() -> None:
    xp = pytest.importorskip("array_api_strict", reason="array_api_strict is not installed")
    out = xp.zeros((12, 20), dtype=xp.float32)
    opened().read(out=out)
    np.testing.assert_array_equal(np.from_dlpack(out), VALUES)


def test_an_array_is_exported_through_dlpack() -> None:
    array = opened()
    assert array.__dlpack_device__() == VALUES.__dlpack_device__()
    assert_same(np.from_dlpack(array), VALUES)
    assert_same(np.from_dlpack(opened(np.array(5.5), chunks=())), np.array(5.5))


def test_what_dlpack_does_not_know_is_not_exported() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dates = opened(np.array(["2020-01-01"], "M8[D]"))
    with pytest.raises((BufferError, GpuzarrError)):
        np.from_dlpack(dates)


# NumPy ----------------------------------------------------------------------------------------


def test_an_array_is_taken_by_numpy() -> None:
    array = opened()
    assert_same(np.asarray(array), VALUES)
    assert_same(np.array(array), VALUES)
    assert_same(np.asarray(array, dtype="f8"), VALUES.astype("f8"))
    assert_same(np.asarray(array, dtype="i2"), VALUES.astype("i2"))
    assert np.add(array, 1).sum() == (VALUES + 1).sum()
    assert np.asarray(array).flags.writeable
    assert_same(np.asarray(opened(np.array(7), chunks=())), np.array(7))
    with pytest.raises(ValueError, match="copy"):
        np.asarray(array, copy=False)


# Devices by example ---------------------------------------------------------------------------


def test_a_meta_array_chooses_the_device_and_is_told() -> None:
    array = opened()
    for example in (np.empty(()), np.zeros((3, 4), "i1"), np.float32(0)):
        chosen = gpuzarr.open_array(array.zarr, device="cuda", meta_array=example)
        assert chosen.device == "cpu"
        assert isinstance(chosen.meta_array, np.ndarray)
        assert chosen.meta_array.shape == ()
    with pytest.raises(DeviceError):
        gpuzarr.open_array(array.zarr, meta_array="cpu")


def test_the_device_is_an_option() -> None:
    z = opened().zarr
    with gpuzarr.config.set({"device": "cpu"}):
        assert gpuzarr.open(z).device == "cpu"
    with gpuzarr.config.set({"device": "cuda:7"}), pytest.raises(DeviceError, match="cuda:7"):
        gpuzarr.open(z)
    with gpuzarr.config.set({"device": "emulated"}):
        assert gpuzarr.open(z, device="cpu").device == "cpu"


# Many at once ---------------------------------------------------------------------------------

ORIGINS = np.array([[0, 0], [8, 13], [3, 3], [3, 3], [1, 12]])


@pytest.mark.parametrize("target", TARGETS)
def test_read_many_fills_a_target(target: Callable[[tuple[int, ...]], np.ndarray]) -> None:
    out = target((5, 4, 7))
    assert opened().read_many(ORIGINS, shape=(4, 7), out=out) is out
    expected = np.stack([VALUES[i : i + 4, j : j + 7] for i, j in ORIGINS])
    np.testing.assert_array_equal(out, expected)
    boxes = [(slice(i, i + 4), slice(j, j + 7)) for i, j in ORIGINS]
    again = target((5, 4, 7))
    opened().read_many(boxes, out=again)
    np.testing.assert_array_equal(again, expected)


def test_read_many_checks_its_target() -> None:
    array = opened()
    for out in (contiguous((5, 4, 6)), contiguous((4, 4, 7)), np.zeros((5, 4, 7))):
        with pytest.raises(OutputError):
            array.read_many(ORIGINS, shape=(4, 7), out=out)


def test_read_many_drops_axes_as_each_selection_does() -> None:
    found = opened().read_many([(3, slice(0, 8)), (11, slice(12, 20))])
    assert_same(found, np.stack([VALUES[3, :8], VALUES[11, 12:]]))


def test_arrays_are_read_together() -> None:
    big, small = opened(), opened(np.arange(9, dtype="i8"))
    found = gpuzarr.read_many([(big, (2, slice(3))), (small, slice(None, None, -2)), (big, ...)])
    for result, expected in zip(found, [VALUES[2, :3], np.arange(9)[::-2], VALUES], strict=True):
        assert_same(result, expected)
    assert gpuzarr.read_many([]) == []
