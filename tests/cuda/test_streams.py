"""Whose memory is used when: streams, events, threads, and reads that nobody waits for yet."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import zarr

import gpuzarr
from gpuzarr import device as devices
from gpuzarr.batch import Scratch
from gpuzarr.errors import CorruptChunkError, OutputError

DATA = np.arange(64 * 48, dtype="f4").reshape(64, 48)


@pytest.fixture
def array() -> zarr.Array[Any]:
    """Twelve chunks."""
    array = zarr.create_array({}, shape=DATA.shape, chunks=(16, 16), dtype="f4")
    array[:] = DATA
    return array


def fill(array: Any, value: float) -> None:
    """Work for the current stream, which writes all of an array."""
    array.set(np.full(array.shape, value, array.dtype))


def test_out_is_filled(cupy: ModuleType, array: Any) -> None:
    out = cupy.empty((16, 48), np.float32)
    found = gpuzarr.open(array, device="cuda").read(np.s_[8:24], out=out)
    assert found is out
    np.testing.assert_array_equal(out.get(), DATA[8:24])


def test_out_is_filled_through_strides(cupy: ModuleType, array: Any) -> None:
    whole = cupy.empty((20, 96), np.float32)
    fill(whole, -1)
    gpuzarr.open(array, device="cuda").read(np.s_[:10, ::-1], out=whole[5:15, ::2])
    expected = np.full((20, 96), -1, "f4")
    expected[5:15, ::2] = DATA[:10, ::-1]
    np.testing.assert_array_equal(whole.get(), expected)


def test_out_is_written_behind_what_its_stream_does(cupy: ModuleType, array: Any) -> None:
    ours, stream = gpuzarr.open(array, device="cuda"), cupy.cuda.Stream(non_blocking=True)
    with stream:
        out = cupy.empty(DATA.shape, np.float32)
        fill(out, -1)
        ours.read(out=out)
        np.testing.assert_array_equal(out.get(), DATA)


def test_out_is_written_behind_what_a_named_stream_does(cupy: ModuleType, array: Any) -> None:
    ours, stream = gpuzarr.open(array, device="cuda"), cupy.cuda.Stream(non_blocking=True)
    with stream:
        out = cupy.empty(DATA.shape, np.float32)
        fill(out, -1)
    ours.read(out=out, stream=stream)
    np.testing.assert_array_equal(out.get(), DATA)


def test_a_new_result_waits_for_the_current_stream_too(machine: Any, array: Any) -> None:
    """Its memory comes from the pool of that one, which may still use it."""
    import cupy

    ours, other = gpuzarr.open(array, device="cuda"), cupy.cuda.Stream(non_blocking=True)
    fill(before := cupy.empty(4, np.float32), 1)
    ours.read(stream=other)
    assert before._block.last[0].done == before._block.last[0].given


def test_a_result_is_complete_for_every_stream(cupy: ModuleType, array: Any) -> None:
    found = gpuzarr.open(array, device="cuda")[...]
    with cupy.cuda.Stream(non_blocking=True):
        np.testing.assert_array_equal(found.get(), DATA)


def test_the_current_device_and_stream_stay(cupy: ModuleType, array: Any) -> None:
    with cupy.cuda.Stream(non_blocking=True) as stream:
        gpuzarr.open(array, device="cuda")[...]
        assert cupy.cuda.get_current_stream() is stream
    assert cupy.cuda.runtime.getDevice() == 0


def test_a_read_goes_on_while_its_caller_does(cupy: ModuleType, array: Any) -> None:
    ours = gpuzarr.open(array, device="cuda")
    reads = [ours.read(np.s_[k : k + 9], wait=False) for k in range(0, 48, 8)]
    for k, read in zip(range(0, 48, 8), reads, strict=True):
        np.testing.assert_array_equal(read.result(60).get(), DATA[k : k + 9])
        assert read.done()


def test_an_error_waits_for_who_asks(cupy: ModuleType, array: Any) -> None:
    store = array.store_path.store._store_dict
    key = next(key for key in store if key.endswith("c/1/1"))
    store[key] = zarr.core.buffer.cpu.Buffer.from_bytes(b"no frame of zstd")
    read = gpuzarr.open(array, device="cuda").read(wait=False)
    with pytest.raises(CorruptChunkError, match="c/1/1"):
        read.result(60)
    assert read.done()
    with pytest.raises(CorruptChunkError):
        read.result()


def test_a_cancelled_read_says_so(
    cupy: ModuleType, array: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, go_on = gpuzarr.open(array, device="cuda"), threading.Event()
    device = type(ours._device)
    place = device.place
    monkeypatch.setattr(device, "place", lambda *args: (go_on.wait(60), place(*args)))
    with gpuzarr.config.set({"device_wave_bytes": 1024, "threads": 1}):
        read = ours.read(np.s_[:, ::2], wait=False)
        with pytest.raises(TimeoutError):
            read.result(0.05)
        read.cancel()
        go_on.set()
        with pytest.raises(CancelledError):
            read.result(60)


@pytest.mark.parametrize("threads", [1, 4])
def test_waves_are_one_result(cupy: ModuleType, array: Any, threads: int) -> None:
    ours = gpuzarr.open(array, device="cuda")
    ours[3:61, 5:]
    in_one = ours.last_read.launches
    with gpuzarr.config.set({"device_wave_bytes": 2048, "threads": threads}):
        found = ours[3:61, 5:]
    assert ours.last_read.launches >= 3 * in_one
    np.testing.assert_array_equal(found.get(), DATA[3:61, 5:])


def test_many_threads_read_at_once(cupy: ModuleType, array: Any) -> None:
    ours, start = gpuzarr.open(array, device="cuda"), threading.Barrier(6)

    def read(k: int) -> None:
        start.wait()
        for _ in range(3):
            with cupy.cuda.Stream(non_blocking=True):
                found = ours[k : k + 30, k:]
                np.testing.assert_array_equal(found.get(), DATA[k : k + 30, k:])

    small = gpuzarr.config.set({"device_wave_bytes": 2048, "threads": 3})
    with small, ThreadPoolExecutor(6) as pool:
        list(pool.map(read, range(6)))


def test_each_thread_has_a_stream_of_its_own(cupy: ModuleType) -> None:
    device, together = devices.get("cuda"), threading.Barrier(3)

    def pointer(_: int) -> int:
        with device.working(device.begin()):
            together.wait()
            return int(cupy.cuda.get_current_stream().ptr)

    with ThreadPoolExecutor(3) as pool:
        assert len({0, *pool.map(pointer, range(3))}) == 4


def test_host_memory_is_lent_again_when_it_was_copied(
    cupy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    lent = Scratch.lent

    @contextmanager
    def overwriting(*args: Any) -> Any:
        with lent(*args) as scratch:
            yield scratch
            for arena in scratch._arenas.values():
                arena[:] = 0xFF

    array = zarr.create_array({}, shape=DATA.shape, chunks=(16, 16), dtype="f4", compressors=None)
    array[:] = DATA
    monkeypatch.setattr(Scratch, "lent", overwriting)
    np.testing.assert_array_equal(gpuzarr.open(array, device="cuda")[...].get(), DATA)


def test_repeated_reads_allocate_nothing_more(machine: Any, array: Any) -> None:
    ours = gpuzarr.open(array, device="cuda")
    with gpuzarr.config.set({"threads": 1}):
        for _ in range(2):
            ours[...]
        before = {name: machine.counts[name] for name in ("allocations", "pinned", "compiled")}
        for _ in range(4):
            ours[...]
    assert {name: machine.counts[name] for name in before} == before


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (lambda cupy: np.empty(DATA.shape, "f4"), "must be an array on the device 'cuda:0'"),
        (lambda cupy: cupy.empty((3, 3), np.float32), "must have the shape"),
        (lambda cupy: cupy.empty(DATA.shape, np.int32), "must have the dtype"),
    ],
)
def test_another_out_is_refused(cupy: ModuleType, array: Any, out: Any, words: str) -> None:
    with pytest.raises(OutputError, match=words):
        gpuzarr.open(array, device="cuda").read(out=out(cupy))


def test_out_on_a_device_is_refused_on_the_host(cupy: ModuleType, array: Any) -> None:
    with pytest.raises(OutputError, match="open it with device='cuda:0'"):
        gpuzarr.open(array, device="cpu").read(out=cupy.empty(DATA.shape, np.float32))


class Tensor:
    """Of another library on the GPU: DLPack is all that it speaks."""

    def __init__(self, array: Any) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()

    def __dlpack__(self, **arguments: Any) -> Any:
        return self.array.__dlpack__(**arguments) if hasattr(self.array, "toDlpack") else self.array

    def __array__(self, *arguments: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


def test_out_may_be_a_tensor_of_another_library(cupy: ModuleType, array: Any) -> None:
    memory = cupy.empty(DATA.shape, np.float32)
    out = Tensor(memory)
    assert gpuzarr.open(array, device="cuda").read(out=out) is out
    np.testing.assert_array_equal(memory.get(), DATA)
    with pytest.raises(OutputError, match="open it with device='cuda:0'"):
        gpuzarr.open(array, device="cpu").read(out=out)


def test_a_tensor_of_another_library_is_written(cupy: ModuleType, array: Any) -> None:
    ours = gpuzarr.open(array, device="cuda", mode="r+")
    ours[:16] = Tensor(cupy.asarray(DATA[:16] * 3))
    ours.append(Tensor(cupy.asarray(DATA[:5])))
    stored = zarr.open_array(array.store)
    np.testing.assert_array_equal(stored[:16], DATA[:16] * 3)
    np.testing.assert_array_equal(stored[-5:], DATA[:5])
    assert ours.last_write.device == ours.device
