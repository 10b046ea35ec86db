"""Streams of one codec, decoded without a chunk around them: by kernels and by the library."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import cramjam
import numcodecs
import numcodecs.blosc
import numpy as np

from benchmarks.gpu.cells import Bench, Cell, check, spread
from benchmarks.gpu.machine import traced
from benchmarks.gpu.stores import RATIOS, mixed
from gpuzarr.batch import Batch
from gpuzarr.device.kernels import over_streams
from gpuzarr.device.launcher import addresses

_UNIQUE = 16 << 20
"""Decoded bytes that are encoded; what comes behind repeats them at other addresses."""


def _raw_deflate(data: bytes) -> bytes:
    encoder = zlib.compressobj(5, zlib.DEFLATED, -15)
    return encoder.compress(data) + encoder.flush()


def _blosclz(data: bytes) -> bytes:
    """The only stream of a chunk that is one block of bytes."""
    # from: https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst
    chunk = numcodecs.blosc.compress(np.frombuffer(data, np.uint8), b"blosclz", 9, 0, len(data))
    (start,) = struct.unpack_from("<i", chunk, 16)
    (size,) = struct.unpack_from("<i", chunk, start)
    check(start == 20 and size < len(data), "the chunk is not one block of blosclz")
    return bytes(chunk[start + 4 : start + 4 + size])


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": lambda data: bytes(numcodecs.Zstd(3).encode(data)),
    "lz4": lambda data: bytes(numcodecs.LZ4().encode(data))[4:],
    "deflate": _raw_deflate,
    "snappy": lambda data: bytes(cramjam.snappy.compress_raw(data)),
    "blosclz": _blosclz,
}


@dataclass
class Decoding:
    """A decoding that can be run, and whether it came out right; sizes in bytes."""

    run: Callable[[], Any]
    is_right: Callable[[], bool]
    nbytes: int
    encoded: int
    streams: int


def _decoding(
    bench: Bench,
    codec: str,
    size: int,
    total: int,
    planes: int,
    run: Callable[[Batch, Batch], Callable[[], Any]],
    status: Callable[[Any], bool],
) -> Decoding:
    """`total` bytes in streams of this size, of byte planes where there are several."""
    machine, count = bench.machine, max(1, total // size)
    unique = min(count, max(1, min(_UNIQUE, total) // size))
    side = max(64, int(np.ceil(np.sqrt(unique * size / 4))))
    field = mixed(side, *RATIOS["r3"]).reshape(-1).view(np.uint8)[: unique * size]
    parts = field.reshape(unique, size // planes, planes)
    decoded = [part.tobytes() for part in parts.transpose(0, 2, 1)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        encoded = list(pool.map(ENCODERS[codec], decoded))
    sizes = np.array([len(encoded[k % unique]) for k in range(count)], np.int64)
    room = -(-sizes // 16) * 16
    offsets = np.cumsum(room) - room
    arena = np.zeros(int(room.sum()), np.uint8)
    for number, begin in enumerate(offsets.tolist()):
        stream = encoded[number % unique]
        arena[begin : begin + len(stream)] = np.frombuffer(stream, np.uint8)
    batch = Batch(machine.device.to_device(arena), offsets, sizes)
    room = machine.device.to_device(np.full(count * size, 0xEE, np.uint8))
    into = Batch.uniform(room, count, size)
    call, wanted = run(batch, into), np.frombuffer(b"".join(decoded), np.uint8)

    def is_right() -> bool:
        if not status(call()):
            return False
        found = machine.host(into.arena)
        pieces = (found[k : k + len(wanted)] for k in range(0, len(found), len(wanted)))
        return all(np.array_equal(p, wanted[: len(p)]) for p in pieces)

    return Decoding(call, is_right, count * size, int(sizes.sum()), count)


def by_kernel(bench: Bench, codec: str) -> Decoding:
    """Shuffled floats by a decoder of our own, one warp a stream."""
    device, scale = bench.machine.device, bench.scale

    def run(batch: Batch, into: Batch) -> Callable[[], Any]:
        count, status = len(batch), device.empty(4 * len(batch))
        route = np.zeros(count, np.uint32)

        def call() -> Any:
            device.launch(
                f"{codec}_decode", f"{codec}_decode", over_streams(count, device.processors),
                addresses(batch), batch.sizes, addresses(into), into.sizes, route,
                np.uint32(0), np.uint32(count), status,
            )  # fmt: skip
            return status

        return call

    total = scale.stream * scale.streams

    def good(status: Any) -> bool:
        return not device.to_host(status).any()

    return _decoding(bench, codec, scale.small, total, 4, run, good)


def _by_library(bench: Bench, codec: str, size: int) -> Decoding:
    device = bench.machine.device

    def run(batch: Batch, into: Batch) -> Callable[[], Any]:
        return partial(device.decompressed, codec, batch, into)

    def good(verdict: Any) -> bool:
        status, found = verdict
        return not status.any() and bool((found == size).all())

    return _decoding(bench, codec, size, bench.scale.library_total, 1, run, good)


def cells(bench_sizes: dict[str, int]) -> list[Cell]:
    """The library's raw decode, by codec and size of a stream."""
    return [
        Cell(f"decode/{codec}/{name}", partial(_measured, codec, size))
        for codec in ("zstd", "lz4", "deflate", "snappy")
        for name, size in bench_sizes.items()
    ]


def _measured(codec: str, size: int, bench: Bench) -> dict[str, Any]:
    with bench.machine.peak() as peak:
        decoding = _by_library(bench, codec, size)
        check(decoding.is_right(), "what it decoded differs from the source")
        seconds = []
        for _ in range(bench.repetitions):
            with traced(bench.machine, bench.machine.flush) as trace:
                decoding.run()
            seconds.append(trace.by_name()[f"library {codec}"])
    found = spread(seconds)
    return {
        **found,
        "streams": decoding.streams,
        "stream_bytes": size,
        "bytes": decoding.nbytes,
        "ratio": decoding.nbytes / decoding.encoded,
        "GB_s": decoding.nbytes / found["median_s"] / 1e9,
        "peak_bytes": peak["bytes"],
    }
