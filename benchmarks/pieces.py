"""What the pieces of a read cost on one thread: ``python -m benchmarks.pieces``.

Decoding by library, in µs a stream, and the first and second writing of a large array, in ms:
the numbers behind decisions 0002 and 0003. Best of several; run it on an idle machine.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numcodecs
import numcodecs.blosc
import numcodecs.lz4
import numcodecs.zstd
import numpy as np
import zstandard
from isal import isal_zlib

from gpuzarr.device import host_memory


def field(side: int) -> np.ndarray:
    """``[side, side]`` float32: waves, and noise in steps of 2⁻⁸, so that zstd makes it 2 to 3
    times smaller."""
    rng = np.random.default_rng(20)
    axis = np.linspace(0, 12, side, dtype=np.float32)
    smooth = 280 + 15 * np.sin(axis)[:, None] * np.cos(0.7 * axis)[None, :]
    noise = rng.normal(scale=0.05, size=(side, side)).astype(np.float32)
    return (np.round((smooth + noise) * 256) / 256).astype(np.float32)


def best(call: Callable[[], Any], repetitions: int = 7) -> float:
    """Seconds of the fastest repetition."""
    seconds = []
    for _ in range(repetitions):
        started = perf_counter()
        call()
        seconds.append(perf_counter() - started)
    return min(seconds)


def decoders(tile: np.ndarray) -> dict[str, tuple[bytes, Callable[[bytes], Any]]]:
    """By name an encoded stream of the tile, and what decodes it."""
    slot = np.empty(tile.nbytes, np.uint8)
    context = zstandard.ZstdDecompressor()
    zstd, gzip = bytes(numcodecs.Zstd(3).encode(tile)), bytes(numcodecs.GZip(5).encode(tile))
    return {
        "zstd numcodecs": (zstd, lambda data: numcodecs.zstd.decompress(data, slot)),
        "zstd zstandard": (
            zstd,
            lambda data: context.decompress(
                data, max_output_size=tile.nbytes, allow_extra_data=False
            ),
        ),
        "gzip zlib": (gzip, lambda data: zlib.decompress(data, 31)),
        "gzip isal": (gzip, lambda data: isal_zlib.decompress(data, 31, tile.nbytes)),
        "blosc numcodecs": (
            bytes(numcodecs.Blosc("lz4", 5, 1).encode(tile)),
            lambda data: numcodecs.blosc.decompress(data, slot),
        ),
        "lz4 numcodecs": (
            bytes(numcodecs.LZ4().encode(tile)),
            lambda data: numcodecs.lz4.decompress(data, slot),
        ),
    }


def main() -> None:
    """Print both tables."""
    data = field(2048)
    for side in (64, 256, 1024):
        tile = np.ascontiguousarray(data[:side, :side])
        loops = max(1, (1 << 20) // tile.nbytes)
        for name, (stream, decode) in decoders(tile).items():
            if bytes(decode(stream)) != tile.tobytes():
                raise SystemExit(f"{name} decodes wrongly; nothing more was timed.")
            seconds = best(lambda s=stream, d=decode, n=loops: [d(s) for _ in range(n)])
            print(f"{tile.nbytes >> 10:5} KiB  {name:16} {1e6 * seconds / loops:9.1f} µs")
    size = 256 << 20
    for name, make in (
        ("numpy.empty", lambda: np.empty(size, np.uint8)),
        ("used again", lambda: host_memory.empty((size,), np.dtype(np.uint8))),
    ):
        make()[:] = 1
        first = best(lambda make=make: make().fill(1))
        print(f"  256 MiB  {name:16} {1e3 * first:9.1f} ms")


if __name__ == "__main__":
    main()
