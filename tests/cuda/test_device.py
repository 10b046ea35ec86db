"""Which GPU, what it costs to name one, and what is said where it cannot be used."""

from __future__ import annotations

import os
import pickle
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import zarr
from writing.twins import contents
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.codecs import numcodecs as v3

import gpuzarr
from gpuzarr import device as devices
from gpuzarr.errors import DeviceError, DeviceMemoryError

DATA = np.arange(64 * 48, dtype="i4").reshape(64, 48)


@pytest.fixture
def array() -> zarr.Array[Any]:
    """Twelve chunks, uncompressed."""
    array = zarr.create_array({}, shape=DATA.shape, chunks=(16, 16), dtype="i4", compressors=None)
    array[:] = DATA
    return array


# --- which ----------------------------------------------------------------------------------------


def test_auto_is_the_gpu(cupy: ModuleType, array: Any) -> None:
    assert gpuzarr.open(array).device == "cuda:0"
    assert gpuzarr.open(array, device="cuda:0").device == "cuda:0"


def test_a_device_that_is_not_there_is_named(cupy: ModuleType) -> None:
    count = cupy.cuda.runtime.getDeviceCount()
    with pytest.raises(DeviceError, match=f"no device 'cuda:{count}': CUDA sees {count}"):
        devices.get(f"cuda:{count}")


def test_a_second_device_is_read_to(cupy: ModuleType, two_devices: None, array: Any) -> None:
    found = gpuzarr.open(array, device="cuda:1")[...]
    assert found.device.id == 1
    np.testing.assert_array_equal(found.get(), DATA)
    assert cupy.cuda.runtime.getDevice() == 0


def test_two_devices_are_read_to_in_turn(cupy: ModuleType, two_devices: None, array: Any) -> None:
    ours = [gpuzarr.open(array, device=f"cuda:{k}") for k in range(2)]
    for k in (0, 1, 0, 1):
        np.testing.assert_array_equal(ours[k][k:].get(), DATA[k:])


def test_the_current_device_is_that_of_cuda(
    cupy: ModuleType, two_devices: None, array: Any
) -> None:
    with cupy.cuda.Device(1):
        assert gpuzarr.open(array, device="cuda").device == "cuda:1"


def test_out_on_another_device_is_refused(cupy: ModuleType, two_devices: None, array: Any) -> None:
    with cupy.cuda.Device(1):
        out = cupy.empty(DATA.shape, np.int32)
    with pytest.raises(ValueError, match="must be an array on the device 'cuda:0'"):
        gpuzarr.open(array, device="cuda:0").read(out=out)


def test_a_meta_array_names_its_device(cupy: ModuleType, array: Any) -> None:
    assert gpuzarr.open(array, meta_array=cupy.empty(())).device == "cuda:0"
    assert isinstance(gpuzarr.open(array, device="cuda").meta_array, cupy.ndarray)


def test_a_pickled_array_reads_to_the_same_device(
    cupy: ModuleType, array: Any, tmp_path: Any
) -> None:
    stored = zarr.save_array(tmp_path / "a", DATA) or zarr.open_array(tmp_path / "a")
    ours = pickle.loads(pickle.dumps(gpuzarr.open(stored, device="cuda")))
    assert ours.device == "cuda:0"
    np.testing.assert_array_equal(ours[...].get(), DATA)


# --- what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["M8[s]", "S3", "U2", [("a", "i4"), ("b", "f8")]])
def test_what_cupy_has_no_dtype_for_is_on_the_host(cupy: ModuleType, dtype: Any) -> None:
    expected = np.zeros(6, dtype)
    array = zarr.create_array({}, shape=6, chunks=4, dtype=dtype, zarr_format=2)
    ours = gpuzarr.open(array, device="cuda")
    assert isinstance(ours[...], np.ndarray)
    assert ours[...].dtype == expected.dtype
    assert "host" in str(ours.explain())


@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f2", ">f4", "c8", ">c16", ">u2"])
def test_numbers_are_native(cupy: ModuleType, dtype: str) -> None:
    expected = np.arange(40).astype(dtype)
    array = zarr.create_array({}, shape=40, chunks=7, dtype=dtype, zarr_format=2)
    array[:] = expected
    found = gpuzarr.open(array, device="cuda")[::-3]
    assert found.dtype == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found.get(), expected[::-3])


def test_queries_pick_on_the_device(cupy: ModuleType, array: Any) -> None:
    ours, rows, columns = gpuzarr.open(array, device="cuda"), [3, 60, 3], [0, 47, 20]
    np.testing.assert_array_equal(ours.vindex[rows, columns].get(), DATA[rows, columns])
    np.testing.assert_array_equal(ours.oindex[rows, columns].get(), DATA[np.ix_(rows, columns)])
    np.testing.assert_array_equal(ours.vindex[DATA % 7 == 1].get(), DATA[DATA % 7 == 1])
    assert ours[5, 7].get() == DATA[5, 7]


def test_crops_are_stacked(cupy: ModuleType, array: Any) -> None:
    ours, origins = gpuzarr.open(array, device="cuda"), np.array([[0, 0], [30, 20], [1, 2]])
    found = ours.read_many(origins, shape=(9, 11))
    expected = [DATA[i : i + 9, j : j + 11] for i, j in origins]
    np.testing.assert_array_equal(found.get(), expected)


def test_nothing_goes_to_the_host_unasked(cupy: ModuleType, array: Any) -> None:
    found = gpuzarr.open(array, device="cuda")[...]
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(found)


# --- what is written ------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [..., np.s_[3:60:7, 40:5:-2], 5])
@pytest.mark.parametrize("compressors", [None, [Crc32cCodec()], [ZstdCodec()]], ids=str)
def test_a_value_on_the_device_is_encoded_there(
    cupy: ModuleType, compressors: Any, key: Any
) -> None:
    ours = gpuzarr.create_array(
        {}, shape=DATA.shape, chunks=(16, 16), dtype="i4", compressors=compressors, device="cuda"
    )
    ours[...] = cupy.asarray(DATA)
    ours[key] = cupy.asarray(DATA * 2)[key]
    expected = DATA.copy()
    expected[key] = (DATA * 2)[key]
    np.testing.assert_array_equal(zarr.open_array(ours.store)[...], expected)
    done = ours.last_write
    assert done.device == "cuda:0"
    assert {device for _, device in done.stages} <= {"cuda:0"}


def test_values_are_broadcast_and_cast_on_the_device(cupy: ModuleType, array: Any) -> None:
    ours = gpuzarr.open(array, device="cuda", mode="r+")
    ours[3:9] = cupy.asarray(DATA[:1])
    ours[20:30] = cupy.asarray(DATA[:10] + 0.75)
    ours[:, 7] = cupy.asarray(np.array(-5, "i8"))
    expected = DATA.copy()
    expected[3:9], expected[20:30], expected[:, 7] = DATA[:1], DATA[:10], -5
    np.testing.assert_array_equal(array[...], expected)
    assert ours.last_write.device == "cuda:0"


def test_what_is_stored_comes_down_once(machine: Any, array: Any) -> None:
    import cupy

    ours, value = gpuzarr.open(array, device="cuda", mode="r+"), cupy.asarray(DATA)
    before = machine.counts["downloads"]
    ours[...] = value
    assert machine.counts["downloads"] == before + 2  # and which chunks are empty
    assert ours.last_write.downloads == 2
    assert ours.last_write.bytes_downloaded == DATA.nbytes + 4 * 12


def test_few_small_chunks_are_encoded_on_the_cpu_and_many_on_the_device(cupy: ModuleType) -> None:
    """By estimates, which differ with where the value is; a choice is not logged."""
    ours = gpuzarr.create_array(
        {}, shape=(1 << 30,), chunks=(1 << 16,), dtype="f4", compressors=[ZstdCodec()],
        device="cuda",
    )  # fmt: skip
    with gpuzarr.config.set({"route": "auto"}):
        few, many = (ours.explain(np.s_[: n << 16], writing=True) for n in (2, 4096))
        assert [(s.device, s.by_choice) for s in few.stages] == [("cpu", True)]
        assert "2 chunks of 256 KiB: the CPU is estimated at" in few.stages[0].reason
        assert "the constants are not measured" in str(few)
        assert [(s.device, s.by_choice) for s in many.stages] == [("cuda:0", False)]
        ours[: 2 << 16] = cupy.asarray(np.ones(2 << 16, "f4"))
        done = ours.last_write
        assert (done.device, done.stages) == ("cpu", {("zstd", "cpu"): 2})
        assert (done.downloads, done.bytes_downloaded) == (1, 4 << 17)
    with gpuzarr.config.set({"route": "cpu"}):
        assert "the option 'route' says so" in str(ours.explain(writing=True))
    with gpuzarr.config.set({"route": "device"}):
        assert not ours.explain(np.s_[:9], writing=True).fallbacks


# --- what it costs --------------------------------------------------------------------------------


def test_naming_a_device_makes_no_context(machine: Any, array: Any) -> None:
    ours = gpuzarr.open(array, device="cuda")
    str(ours.explain())
    repr(ours)
    pickle.loads(pickle.dumps(devices.get("cuda").name))
    assert machine.contexts == set()
    ours[...]
    assert machine.contexts == {0}


def test_kernels_are_compiled_once(machine: Any, array: Any) -> None:
    from gpuzarr.device import cuda

    cuda._module.cache_clear()
    cuda._function.cache_clear()
    for _ in range(2):
        gpuzarr.open(array, device="cuda")[...]
    kept = machine.counts["compiled"]
    cuda._module.cache_clear()  # as a new process
    cuda._function.cache_clear()
    gpuzarr.open(array, device="cuda")[...]
    assert machine.counts["compiled"] == kept
    for device in range(2):
        gpuzarr.open(array, device=f"cuda:{device}")[...]
    assert machine.counts["compiled"] == kept
    assert {device for _, device in machine.loaded} == {0, 1}


def test_a_wave_leaves_room_for_others(machine: Any) -> None:
    machine.total_bytes = 960_000
    assert devices.get("cuda").wave_bytes() == 10_000


# --- out of memory --------------------------------------------------------------------------------


def test_a_wave_without_room_is_halved(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it had taken is free again by then."""
    data = np.random.default_rng(0).integers(0, 9, (512, 64), "i4")
    array = zarr.create_array({}, shape=data.shape, chunks=(16, 64), dtype="i4")  # 32 of 4 KiB
    array[:] = data
    ours = gpuzarr.open(array, device="cuda")
    result = ours._device.new_result(data.shape, data.dtype)
    monkeypatch.setattr(type(ours._device), "wave_bytes", lambda self: 1 << 20)
    with gpuzarr.config.set({"threads": 1}):
        ours.read(np.s_[:, ::2], out=result[:, ::2])  # decoded elsewhere first
        in_one = ours.last_read.launches
        machine.free_unused(0)
        machine.total_bytes = machine.allocated[0] + (150 << 10)
        ours.read(np.s_[:, ::2], out=result[:, ::2])
    assert ours.last_read.launches >= 2 * in_one
    assert ours.last_read.chunks == 32
    np.testing.assert_array_equal(result[:, ::2].get(), data[:, ::2])


@pytest.mark.parametrize("shards", [None, (64, 64), (512, 64)], ids=str)
def test_a_wave_of_a_write_without_room_is_halved(
    machine: Any, monkeypatch: pytest.MonkeyPatch, shards: Any
) -> None:
    """A shard by itself is encoded in more passes, and all is stored in the end."""
    import cupy

    data = np.random.default_rng(0).integers(1, 9, (512, 64), "i4")
    ours = gpuzarr.create_array(
        {}, shape=data.shape, chunks=(16, 64), shards=shards, dtype="i4", device="cuda",
        compressors=[v3.Shuffle(elementsize=4), Crc32cCodec()],
    )  # fmt: skip
    value = cupy.asarray(data)
    monkeypatch.setattr(type(ours._device), "wave_bytes", lambda self: 1 << 20)
    with gpuzarr.config.set({"threads": 1}):
        ours[:, ::2] = value[:, ::2]
        in_one, before = ours.last_write.launches, contents(ours.store)
        machine.free_unused(0)
        machine.total_bytes = machine.allocated[0] + (320 << 10)
        ours[:, ::2] = value[:, ::2]
        assert ours.last_write.launches > 1.5 * in_one
        assert contents(ours.store) == before
        machine.free_unused(0)
        machine.total_bytes = machine.allocated[0] + (3 << 10)
        with pytest.raises(DeviceMemoryError, match="has no room") as caught:
            ours[:, ::2] = value[:, 1::2]
    assert caught.value.__notes__ == ["Nothing was written."]
    assert contents(ours.store) == before
    np.testing.assert_array_equal(zarr.open_array(ours.store)[:, ::2], data[:, ::2])


def test_a_value_without_room_is_encoded_on_the_cpu(
    machine: Any, array: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ours = gpuzarr.create_array(
        {}, shape=DATA.shape, chunks=(16, 16), dtype="i4", compressors=[Crc32cCodec()],
        device="cuda",
    )  # fmt: skip
    ours[0] = 1
    machine.free_unused(0)
    machine.total_bytes = machine.allocated[0] + 4_000
    ours[...] = DATA
    machine.total_bytes = 1 << 40
    np.testing.assert_array_equal(zarr.open_array(ours.store)[...], DATA)
    assert ours.last_write.device == "cpu"
    assert "is encoded on the CPU: The device 'cuda:0' has no room" in caplog.text


def test_a_chunk_without_room_says_how_much(machine: Any, array: Any) -> None:
    ours = gpuzarr.open(array, device="cuda")
    machine.total_bytes = room = machine.allocated[0] + 4_000
    with pytest.raises(DeviceMemoryError) as caught:
        ours[...]
    words = str(caught.value)
    assert "The device 'cuda:0' has no room: Out of memory allocating 12,288 bytes" in words
    assert f"4,000 of {room:,} bytes are free" in words
    assert "CuPy's pool of this process holds" in words
    assert isinstance(caught.value, MemoryError)
    machine.total_bytes = 1 << 40
    np.testing.assert_array_equal(ours[...].get(), DATA)


def test_a_single_chunk_without_room_is_an_error(machine: Any, array: Any) -> None:
    ours = gpuzarr.open(array, device="cuda")
    result = ours._device.new_result(DATA.shape, DATA.dtype)
    machine.free_unused(0)
    machine.total_bytes = machine.allocated[0]
    with pytest.raises(DeviceMemoryError, match="has no room"):
        ours.read(out=result)


def test_the_free_memory_is_that_of_the_device(machine: Any, array: Any) -> None:
    import cupy

    kept = cupy.empty(4096, np.uint8)
    ours = gpuzarr.open(array, device="cuda:1")
    machine.free_unused(1)
    machine.total_bytes = room = machine.allocated[1] + 1_000
    with pytest.raises(DeviceMemoryError, match=rf"'cuda:1'.*1,000 of {room:,} bytes are free"):
        ours[...]
    assert kept.nbytes == 4096


# --- where it cannot be used ----------------------------------------------------------------------


def test_without_a_driver_a_sentence_says_so(machine: Any, array: Any) -> None:
    machine.has_driver = False
    with pytest.raises(DeviceError, match="cannot be found: cudaErrorNoDevice"):
        gpuzarr.open(array, device="cuda")


def test_without_a_driver_auto_is_the_cpu(
    machine: Any, array: Any, caplog: pytest.LogCaptureFixture
) -> None:
    machine.has_driver = False
    with caplog.at_level("INFO", "gpuzarr"):
        assert gpuzarr.open(array).device == "cpu"
        assert isinstance(gpuzarr.open(array)[...], np.ndarray)
    assert [record.message for record in caplog.records if "cudaErrorNoDevice" in record.message]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_is_told_to_spawn(machine: Any, array: Any) -> None:
    ours = gpuzarr.open(array, device="cuda")
    ours[...]
    inner, outer = os.pipe()
    child = os.fork()
    if not child:
        try:
            ours[...]
        except DeviceError as error:
            os.write(outer, str(error).encode())
        finally:
            os._exit(0)
    os.close(outer)
    os.waitpid(child, 0)
    words = os.read(inner, 4096).decode()
    os.close(inner)
    assert "initialization error" in words
    assert "start it by spawn" in words


def test_a_fault_is_said_and_stays(machine: Any, array: Any) -> None:
    ours = gpuzarr.open(array, device="cuda")
    machine.broken = "planted"
    for _ in range(2):
        with pytest.raises(DeviceError, match="cannot be used: cudaErrorIllegalAddress"):
            ours[...]
