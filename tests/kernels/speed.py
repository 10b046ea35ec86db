"""Speed of the emulated device, kernel by kernel: ``python tests/kernels/speed.py fast check``.

The best of three launches, in MB/s of decoded bytes. docs/emulator.md shows what came out.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import numcodecs
import numpy as np
from numpy.typing import NDArray

from gpuzarr.device import kernels
from gpuzarr.device.emulated_array import EmulatedArray, asarray, empty
from gpuzarr.device.emulator import RawKernel, RawModule

STREAMS = 8
NBYTES = {"fast": 8 << 20, "check": 1 << 18, "ubsan": 2 << 20}


def kernel(op: str, name: str, mode: str) -> RawKernel:
    return RawModule(kernels.source(op), mode=mode).get_function(name)


def addresses(arrays: Sequence[EmulatedArray]) -> EmulatedArray:
    return asarray(np.array([array.data.ptr for array in arrays], np.uint64))


def tiles(size: int, tile: int) -> EmulatedArray:
    """First tile of each stream, and the number of all."""
    return asarray((np.arange(STREAMS + 1) * -(-size // tile)).astype(np.uint32))


def report(mode: str, label: str, nbytes: int, launch: Callable[[], None]) -> None:
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        launch()
        best = min(best, time.perf_counter() - start)
    sys.stdout.write(f"{mode:6} {label:28} {nbytes / best / 1e6:8.1f} MB/s\n")
    sys.stdout.flush()


def measure(mode: str) -> None:
    nbytes = NBYTES[mode]
    size = nbytes // STREAMS
    rng = np.random.default_rng(0)
    raw: list[NDArray[np.uint8]] = [
        np.cumsum(rng.normal(size=size // 4)).astype(np.float32).view(np.uint8)
        for _ in range(STREAMS)
    ]
    inputs, outputs = [asarray(part) for part in raw], [empty(size) for _ in raw]
    source, target = addresses(inputs), addresses(outputs)
    sizes = asarray(np.full(STREAMS, size, np.uint64))
    count = np.uint32(STREAMS)

    cases: list[tuple[str, str, int, int, tuple[np.generic, ...]]] = [
        ("copy", "copy", 256, 16384, ()),
        ("unshuffle", "unshuffle_2", 256, 16384, ()),
        ("unshuffle", "unshuffle_4", 256, 16384, ()),
        ("unshuffle", "unshuffle_8", 256, 16384, ()),
        ("unshuffle", "unshuffle_any", 256, 7 * (16384 // 7 & ~15), (np.uint32(7),)),
        ("bit_unshuffle", "bit_unshuffle_4", 128, 65536, ()),
    ]
    for op, name, threads, tile, extra in cases:
        function, first = kernel(op, name, mode), tiles(size, tile)
        args = (source, target, sizes, first, count, *extra)
        report(mode, name, nbytes, lambda f=function, t=threads, a=args: f((4,), (t,), a))  # type: ignore[misc]

    function, first = kernel("crc32c", "crc32c_tiles", mode), tiles(size, 32768)
    remainder = empty(nbytes // 32768 + STREAMS, np.uint32)
    args = (source, sizes, first, count, remainder)
    report(mode, "crc32c_tiles", nbytes, lambda: function((4,), (256,), args))

    decode, codec = kernel("lz4_decode", "lz4_decode", mode), numcodecs.LZ4()
    planes = [part.reshape(-1, 4).T.ravel().copy() for part in raw]
    for label, parts in (("hardly compressible", raw), ("shuffled floats", planes)):
        streams = [np.frombuffer(codec.encode(part)[4:], np.uint8) for part in parts]
        encoded, status = [asarray(stream) for stream in streams], empty(STREAMS, np.uint32)
        lengths = asarray(np.array([len(stream) for stream in streams], np.uint64))
        route, wanted = asarray(np.zeros(STREAMS, np.uint32)), np.uint32(0)
        block = (addresses(encoded), lengths, target, sizes, route, wanted, count, status)
        report(mode, f"lz4 {label}", nbytes, lambda b=block: decode((2,), (128,), b))  # type: ignore[misc]
        assert not status.get().any()
        assert np.array_equal(outputs[0].get(), parts[0])


if __name__ == "__main__":
    for chosen in sys.argv[1:] or ["fast", "check"]:
        measure(chosen)
