"""What nothing can be faster than: copies on the device and up to it, reading files."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.gpu.cells import Bench, Cell, check, spread
from benchmarks.gpu.stores import Store

_THREADS = min(16, os.cpu_count() or 1)


def cells() -> list[Cell]:
    """Before all others: the copy on the device is what kernels are held to."""
    return [
        Cell("ceiling/device copy", _device_copy),
        Cell("ceiling/pinned copy up", _pinned_copy),
        Cell("ceiling/pageable copy up", _pageable_copy),
    ]


def _device_copy(bench: Bench) -> dict[str, Any]:
    machine, nbytes = bench.machine, bench.scale.copied
    host = np.resize(np.random.default_rng(1).integers(0, 256, 1 << 16, np.uint8), nbytes)
    source, target = machine.device.to_device(host), machine.device.empty(nbytes)
    machine.copy(source, target)
    machine.synchronize()
    check(np.array_equal(machine.host(target), host), "the copy differs")
    seconds = []
    for _ in range(4 * bench.repetitions):
        begin = machine.mark()
        machine.copy(source, target)
        end = machine.mark()
        machine.synchronize()
        seconds.append(machine.seconds(begin, end))
    found = spread(seconds)
    return {**found, "bytes": nbytes, "GB_s": 2 * nbytes / found["median_s"] / 1e9}


def _pinned_copy(bench: Bench) -> dict[str, Any]:
    host = bench.machine.pinned(bench.scale.copied)
    host[:] = np.resize(np.arange(251, dtype=np.uint8), len(host))
    seconds = upload_seconds(bench, host)
    found = spread(seconds)
    return {**found, "bytes": len(host), "GB_s": len(host) / found["median_s"] / 1e9}


def _pageable_copy(bench: Bench) -> dict[str, Any]:
    host = np.resize(np.arange(251, dtype=np.uint8), bench.scale.copied)
    array = bench.machine.upload(host)
    check(np.array_equal(bench.machine.host(array), host), "the copy differs")
    del array
    found = spread(bench.times(lambda: bench.machine.upload(host)))
    return {**found, "bytes": len(host), "GB_s": len(host) / found["median_s"] / 1e9}


def upload_seconds(bench: Bench, host: np.ndarray) -> list[float]:
    """Of pinned bytes to an arena that is there, checked."""
    target = bench.machine.device.empty(len(host))
    seconds = bench.times(lambda: bench.machine.send(host, target))
    check(np.array_equal(bench.machine.host(target), host), "the upload differs")
    return seconds


def of_store(bench: Bench, store: Store) -> dict[str, Any]:
    """Threaded pread of all chunks into pinned memory, and these bytes' way up, medians."""
    host = bench.machine.pinned(store.encoded)
    offsets = np.cumsum([0, *(size for _, size in store.files)]).tolist()
    jobs = [
        (path, memoryview(host)[begin : begin + size])
        for (path, size), begin in zip(store.files, offsets, strict=False)
    ]
    parts = [jobs[k::_THREADS] for k in range(_THREADS)]
    with ThreadPoolExecutor(_THREADS) as pool:
        reads = spread(bench.times(lambda: list(pool.map(_pread, parts))))
    for path, memory in jobs[:: max(1, len(jobs) // 16)]:
        check(path.read_bytes() == bytes(memory), f"{path.name} was read wrongly")
    uploads = spread(upload_seconds(bench, host))
    return {"pread_s": reads["median_s"], "upload_s": uploads["median_s"], "threads": _THREADS}


def _pread(jobs: list[tuple[Any, memoryview]]) -> None:
    for path, memory in jobs:
        file = os.open(path, os.O_RDONLY)
        try:
            done = 0
            while done < len(memory):
                done += os.preadv(file, [memory[done:]], done)
        finally:
            os.close(file)
