"""The stand-ins refuse what CuPy, CUDA, nvCOMP and kvikio refuse, or answer by wrong values."""

from __future__ import annotations

import ctypes
import os
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from gpuzarr.device import nvcomp, nvcomp_abi
from gpuzarr.device.nvcomp_abi import NvcompStatus
from gpuzarr.errors import DeviceError, UnsupportedError

NUMBERS = np.arange(1000, dtype="u4")


@pytest.fixture
def other(machine: Any, cupy: ModuleType) -> Any:
    """A stream that waits for nobody unasked."""
    return cupy.cuda.Stream(non_blocking=True)


@pytest.fixture
def pinned(machine: Any, cupy: ModuleType) -> np.ndarray:
    """Pinned memory with numbers in it."""
    memory = np.frombuffer(cupy.cuda.alloc_pinned_memory(NUMBERS.nbytes), np.uint8, NUMBERS.nbytes)
    memory[:] = NUMBERS.view(np.uint8)
    return memory


def upload(cupy: ModuleType, memory: np.ndarray, stream: Any = None) -> Any:
    """Asynchronously, into a new array."""
    array = cupy.empty(memory.size, np.uint8)
    array.data.copy_from_host_async(memory.ctypes.data, memory.nbytes, stream)
    return array


def copied(cupy: ModuleType, source: Any, target: Any, nbytes: int = 4000) -> None:
    """Launch our kernel that copies, with tables in device memory."""
    from gpuzarr.device import cuda

    with cupy.cuda.Device(0):
        tables = [
            cupy.asarray(np.array(table, dtype))
            for table, dtype in (
                ([source], "u8"), ([target], "u8"), ([nbytes], "u8"), ([0, 1], "u4"),
            )
        ]  # fmt: skip
        kernel = cuda._function("copy", "copy", 0, 90)
        kernel((1, 1, 1), (256, 1, 1), (*tables, np.uint32(1)))


# --- order ----------------------------------------------------------------------------------------


def test_a_stream_does_nothing_before_it_is_waited_for(
    machine: Any, cupy: ModuleType, other: Any
) -> None:
    with other:
        array = cupy.asarray(NUMBERS)
    assert (array._view != NUMBERS).any()
    other.synchronize()
    assert (array._view == NUMBERS).all()


def test_what_another_stream_works_on_is_refused(cupy: ModuleType, other: Any) -> None:
    with other:
        array = cupy.asarray(NUMBERS)
    with pytest.raises(AssertionError, match="waits for no event"):
        array.get()


def test_an_event_orders_streams(cupy: ModuleType, other: Any) -> None:
    event = cupy.cuda.Event(disable_timing=True)
    with other:
        array = cupy.asarray(NUMBERS)
        event.record()
    cupy.cuda.get_current_stream().wait_event(event)
    np.testing.assert_array_equal(array.get(), NUMBERS)


def test_an_event_orders_only_what_is_before_it(cupy: ModuleType, other: Any) -> None:
    event = cupy.cuda.Event(disable_timing=True)
    with other:
        event.record()
        array = cupy.asarray(NUMBERS)
    cupy.cuda.get_current_stream().wait_event(event)
    with pytest.raises(AssertionError, match="waits for no event"):
        array.get()


def test_the_default_stream_and_blocking_ones_wait_for_each_other(
    machine: Any, cupy: ModuleType
) -> None:
    with cupy.cuda.Stream():
        array = cupy.asarray(NUMBERS)
    np.testing.assert_array_equal(array.get(), NUMBERS)
    with cupy.cuda.Stream():
        np.testing.assert_array_equal(cupy.asarray(NUMBERS).get(), NUMBERS)


def test_a_kernel_reads_nothing_that_is_still_to_come(
    machine: Any, cupy: ModuleType, other: Any
) -> None:
    """By addresses, of which nobody keeps a record."""
    with other:
        source = cupy.asarray(NUMBERS)
    target = cupy.empty(NUMBERS.size, NUMBERS.dtype)
    copied(cupy, source.data.ptr, target.data.ptr)
    assert (target.get() != NUMBERS).any()


# --- memory ---------------------------------------------------------------------------------------


def test_pinned_memory_is_read_when_the_copy_is_done(cupy: ModuleType, pinned: Any) -> None:
    array = upload(cupy, pinned)
    pinned[:] = 0
    assert not array.get().any()


def test_other_memory_is_read_at_once(machine: Any, cupy: ModuleType) -> None:
    memory = NUMBERS.copy().view(np.uint8)
    array = upload(cupy, memory)
    memory[:] = 0
    np.testing.assert_array_equal(array.view("u4").get(), NUMBERS)


def test_pinned_memory_that_is_given_back_too_early_is_a_fault(
    machine: Any, cupy: ModuleType
) -> None:
    array = upload(cupy, np.frombuffer(cupy.cuda.alloc_pinned_memory(4000), np.uint8, 4000))
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="given back before it was done"):
        array.get()


def test_memory_is_freed_in_the_order_of_its_stream(machine: Any, cupy: ModuleType) -> None:
    target, source = cupy.empty(1000, np.uint32), cupy.asarray(NUMBERS)
    copied(cupy, source.data.ptr, target.data.ptr)
    del source
    np.testing.assert_array_equal(target.get(), NUMBERS)


def test_memory_that_is_freed_is_nobodys(machine: Any, cupy: ModuleType) -> None:
    array = cupy.empty(4, np.uint8)
    address = array.data.ptr
    assert address in machine.blocks
    del array
    with pytest.raises(RuntimeError, match="nobody's"):
        machine.read(address, 4)


def test_a_launch_with_freed_memory_is_a_fault(machine: Any, cupy: ModuleType) -> None:
    from gpuzarr.device import cuda

    tables = [cupy.asarray(np.zeros(2, kind)) for kind in ("u8", "u8", "u8", "u4")]
    for table in tables:
        table.get()
    gone = np.uint64(cupy.empty(8, np.uint8).data.ptr)
    kernel = cuda._function("copy", "copy", 0, 90)
    kernel((1, 1, 1), (256, 1, 1), (gone, *tables[1:], np.uint32(0)))
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="nobody's"):
        cupy.cuda.get_current_stream().synchronize()
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorIllegalAddress"):
        cupy.empty(1)  # for good


def test_more_than_there_is_does_not_fit(machine: Any, cupy: ModuleType) -> None:
    machine.total_bytes = machine.allocated[0] + 1024
    kept = cupy.empty(1024, np.uint8)
    with pytest.raises(cupy.cuda.memory.OutOfMemoryError, match="allocating 1 bytes"):
        cupy.empty(1, np.uint8)
    del kept
    cupy.empty(700, np.uint8)


def test_the_pool_keeps_what_is_freed_by_stream(machine: Any, cupy: ModuleType, other: Any) -> None:
    counts = []
    for stream in (cupy.cuda.Stream.null, other, other):
        with stream:
            cupy.empty(54321, np.uint8)
        counts.append(machine.counts["allocations"])
    assert counts == [1, 2, 2]
    pool, before = cupy.get_default_memory_pool(), machine.allocated[0]
    pool.free_all_blocks()
    assert pool.total_bytes() <= before - 2 * 54321


# --- what CuPy refuses ----------------------------------------------------------------------------


def test_implicit_conversion_is_refused(cupy: ModuleType) -> None:
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(cupy.empty(3))


@pytest.mark.parametrize("dtype", ["M8[s]", "S3", "U1", [("a", "i4")], object, ">i4"])
def test_other_dtypes_are_refused(machine: Any, cupy: ModuleType, dtype: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        cupy.empty(3, dtype)


def test_a_stream_of_another_device_is_refused(
    cupy: ModuleType, other: Any, two_devices: None
) -> None:
    with cupy.cuda.Device(1), pytest.raises(RuntimeError, match="does not match"):
        other.__enter__()
    with cupy.cuda.Device(1), pytest.raises(RuntimeError, match="invalid resource handle"):
        cupy.cuda.Event().record(other)


def test_each_device_has_a_current_stream(cupy: ModuleType, other: Any, two_devices: None) -> None:
    with other, cupy.cuda.Device(1):
        assert cupy.cuda.get_current_stream().ptr == 0
        with cupy.cuda.Device(0):
            assert cupy.cuda.get_current_stream() is other


def test_arguments_of_a_kernel_are_arrays_and_scalars(machine: Any, cupy: ModuleType) -> None:
    from gpuzarr.device import cuda

    with pytest.raises(TypeError, match="Unsupported type"):
        cuda._function("copy", "copy", 0, 90)((1,), (32,), (np.zeros(3),))


def test_a_kernel_belongs_to_its_device(machine: Any, cupy: ModuleType) -> None:
    from gpuzarr.device import cuda

    kernel = cuda._function("copy", "copy", 0, 90)
    with cupy.cuda.Device(1), pytest.raises(RuntimeError, match="invalid resource handle"):
        kernel((1,), (32,), ())


def test_a_module_is_of_one_capability(machine: Any, cupy: ModuleType) -> None:
    from gpuzarr.device.nvrtc import cubin

    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="NO_BINARY_FOR_GPU"):
        cupy.RawModule(path=str(cubin("copy", 80))).get_function("copy")


def test_a_kernel_that_is_not_there_is_refused(machine: Any, cupy: ModuleType) -> None:
    from gpuzarr.device.nvrtc import cubin

    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="NOT_FOUND"):
        cupy.RawModule(path=str(cubin("copy", 90))).get_function("nothing")


# --- what CUDA refuses ----------------------------------------------------------------------------


def test_without_a_driver_every_call_fails(machine: Any, cupy: ModuleType) -> None:
    machine.has_driver = False
    for call in (cupy.cuda.runtime.getDeviceCount, cupy.cuda.Event, lambda: cupy.empty(1)):
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorNoDevice"):
            call()


def test_a_forked_child_cannot_begin(machine: Any, cupy: ModuleType) -> None:
    machine.process = os.getpid() + 1
    try:
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="initialization error"):
            cupy.cuda.runtime.getDeviceCount()
    finally:
        machine.process = os.getpid()


def test_setting_a_device_makes_a_context(machine: Any, cupy: ModuleType) -> None:
    cupy.cuda.runtime.getDeviceProperties(1)
    assert machine.contexts == set()
    with cupy.cuda.Device(1):
        assert machine.contexts == {1}


# --- what nvCOMP refuses --------------------------------------------------------------------------


@pytest.fixture
def library(machine: Any) -> nvcomp.Nvcomp:
    """The stand-in, bound by our own code."""
    return nvcomp.Nvcomp()


def batch(cupy: ModuleType, encoded: bytes, room: int) -> dict[str, Any]:
    """One stream and its tables."""
    source, target = cupy.asarray(np.frombuffer(encoded, "u1")), cupy.empty(room + 8, np.uint8)
    tables = {
        "source": [source.data.ptr], "size": [len(encoded)], "capacity": [room],
        "target": [target.data.ptr],
    }  # fmt: skip
    arrays = {name: cupy.asarray(np.array(value, "i8")) for name, value in tables.items()}
    arrays |= {"found": cupy.empty(1, np.int64), "status": cupy.empty(1, np.int32)}
    arrays["temp"] = cupy.empty(100_000, np.uint8)
    return {"arrays": arrays, "kept": (source, target)}


def call(library: nvcomp.Nvcomp, codec: str, given: dict[str, Any], **other: int) -> None:
    """Decompress on the current stream."""
    addresses = {name: array.data.ptr for name, array in given["arrays"].items()}
    numbers = {"count": 1, "temp_bytes": 100_000, "stream": 0}
    library.decompress(codec, **{**addresses, **numbers, **other})


@pytest.fixture
def lz4(cupy: ModuleType, machine: Any) -> dict[str, Any]:
    """Two literal bytes."""
    return batch(cupy, b"\x20ab", 2)


def test_a_batch_is_decoded_in_the_order_of_its_stream(
    cupy: ModuleType, library: Any, lz4: dict[str, Any]
) -> None:
    call(library, "lz4", lz4)
    assert lz4["arrays"]["status"].get().tolist() == [0]
    assert lz4["arrays"]["found"].get().tolist() == [2]
    assert lz4["kept"][1].get()[:2].tobytes() == b"ab"


@pytest.mark.parametrize("name", ["source", "status", "target"])
def test_an_array_that_is_not_there_is_refused(
    library: Any, lz4: dict[str, Any], name: str
) -> None:
    with pytest.raises(DeviceError, match=f"status {NvcompStatus.INVALID_VALUE}"):
        call(library, "lz4", lz4, **{name: 0})


def test_tables_are_aligned(library: Any, lz4: dict[str, Any]) -> None:
    with pytest.raises(DeviceError, match=f"status {NvcompStatus.MISALIGNED}"):
        call(library, "lz4", lz4, size=lz4["arrays"]["size"].data.ptr + 4)


def test_temporary_memory_is_aligned(library: Any, lz4: dict[str, Any]) -> None:
    with pytest.raises(DeviceError, match=f"status {NvcompStatus.MISALIGNED}"):
        call(library, "zstd", lz4, temp=lz4["arrays"]["temp"].data.ptr + 4)


def test_too_little_temporary_memory_is_a_fault(
    cupy: ModuleType, library: Any, lz4: dict[str, Any]
) -> None:
    call(library, "zstd", lz4, temp_bytes=1000)
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="temporary bytes"):
        lz4["arrays"]["status"].get()


def test_a_stream_at_an_odd_address_is_a_fault(cupy: ModuleType, library: Any) -> None:
    given = batch(cupy, b"\x00\x00\x00", 2)
    address = given["kept"][0].data.ptr + 1
    given["arrays"]["source"] = cupy.asarray(np.array([address]))
    given["arrays"]["size"] = cupy.asarray(np.array([2]))
    call(library, "deflate", given)
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="not aligned"):
        given["arrays"]["status"].get()


def test_a_target_that_is_freed_is_a_fault(
    cupy: ModuleType, library: Any, lz4: dict[str, Any]
) -> None:
    for array in lz4["arrays"].values():
        array.get()
    lz4["kept"] = lz4["kept"][:1]
    cupy.cuda.get_current_stream().synchronize()
    call(library, "lz4", lz4)
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="nobody's"):
        lz4["arrays"]["status"].get()


def test_bytes_on_which_a_decoder_is_undefined_are_a_fault(cupy: ModuleType, library: Any) -> None:
    given = batch(cupy, b"no frame", 2)
    call(library, "zstd", given)
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="illegal memory access"):
        given["arrays"]["status"].get()


def test_another_structure_is_refused(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Short(ctypes.Structure):
        _fields_ = [("backend", ctypes.c_int32)]

    codec = nvcomp_abi.CODECS["lz4"]
    import nvcomp_library

    stand_in = nvcomp_library.Library(None)
    function = stand_in[f"nvcompBatched{codec.symbol}DecompressGetRequiredAlignments"]
    function.argtypes = (Short, ctypes.POINTER(nvcomp_abi.Requirements))
    found = ctypes.byref(nvcomp_abi.Requirements())
    assert function(Short(2), found) == NvcompStatus.INVALID_VALUE
    function.argtypes = (codec.options, ctypes.POINTER(nvcomp_abi.Requirements))
    assert function(codec.options(backend=2), found) == NvcompStatus.SUCCESS
    assert function(codec.options(backend=1), found) == NvcompStatus.INVALID_VALUE
    with pytest.raises(TypeError):
        function(Short(2), found)
    with pytest.raises(AssertionError, match="number of arguments"):
        function(found)


@pytest.mark.parametrize("codec", nvcomp_abi.CODECS)
def test_its_table_is_what_the_library_says(machine: Any, codec: str) -> None:
    """Where it is installed."""
    import nvcomp_library

    real = nvcomp_library.installed()
    if real is None:
        pytest.skip("libnvcomp is not installed")
    ours, theirs = (nvcomp_library.bound(nvcomp_library.Library(found)) for found in (None, real))
    assert ours.alignments(codec) == theirs.alignments(codec)
    least, said = (each.temp_bytes(codec, 10, 1 << 20, 10 << 20) for each in (ours, theirs))
    assert least <= said
    assert codec in ("bitcomp",) or said <= 1.05 * least + 100_000


def test_a_codec_that_it_lacks_is_named(library: Any) -> None:
    with pytest.raises(UnsupportedError, match="no codec 'bzip2'"):
        library.alignments("bzip2")


# --- what kvikio refuses --------------------------------------------------------------------------


def test_a_file_is_read_when_it_is_asked_for(machine: Any, cupy: ModuleType, tmp_path: Any) -> None:
    import kvikio

    (tmp_path / "file").write_bytes(bytes(range(100)))
    file, array = kvikio.CuFile(str(tmp_path / "file"), "r"), cupy.empty(10, np.uint8)
    read = file.pread(array, 10, 50)
    assert array.get().tolist() != list(range(50, 60))
    assert read.get() == 10
    assert array.get().tolist() == list(range(50, 60))
    assert file.pread(array, 10, 95).get() == 5
    with pytest.raises(ValueError, match="greater than the size"):
        file.pread(array, 11)
    with pytest.raises(ValueError, match="contiguous"):
        file.pread(array[::2], 5)
    with pytest.raises(FileNotFoundError):
        kvikio.CuFile(str(tmp_path / "none"))


def test_a_file_is_not_read_to_what_a_stream_works_on(
    machine: Any, cupy: ModuleType, tmp_path: Any
) -> None:
    import kvikio

    (tmp_path / "file").write_bytes(bytes(100))
    file, array = kvikio.CuFile(str(tmp_path / "file"), "r"), cupy.asarray(np.zeros(9, "u1"))
    with pytest.raises(AssertionError, match="still works on"):
        file.pread(array, 9)
    array.get()
    assert file.pread(array, 9).get() == 9
