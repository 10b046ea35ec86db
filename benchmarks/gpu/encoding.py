"""Streams encoded on the device: how fast, and how much smaller beside the CPU's encoders."""

from __future__ import annotations

from functools import partial
from typing import Any

import numcodecs
import numpy as np

from benchmarks.gpu.cells import Bench, Cell, check, spread
from benchmarks.gpu.stores import RATIOS, mixed
from gpuzarr.batch import Batch
from gpuzarr.device.cpu import CPU

_COMPARED = 16 << 20
"""Decoded bytes that the CPU encodes too, to compare sizes; what comes behind repeats them."""

CODECS: dict[str, tuple[numcodecs.abc.Codec, dict[str, Any]]] = {
    "zstd": (numcodecs.Zstd(), {"level": 0, "checksum": False}),
    "lz4": (numcodecs.LZ4(), {"acceleration": 1}),
    "gzip": (numcodecs.GZip(1), {"level": 1}),
    "zlib": (numcodecs.Zlib(1), {"level": 1}),
    **{
        f"blosc-{cname}-{name}": (
            numcodecs.Blosc(cname, 5, shuffle),
            {"cname": cname, "clevel": 5, "shuffle": shuffle, "blocksize": 0, "typesize": 4},
        )
        for cname, shuffle, name in (("lz4", 1, "shuffle"), ("zstd", 2, "bitshuffle"))
    },
}
"""By name what decodes them elsewhere, and the options of the device's encoder."""


def cells(sizes: dict[str, int]) -> list[Cell]:
    """By codec and size of a stream; none longer than what all encoders take."""
    return [
        Cell(f"encode/{name}/{size}", partial(_measured, name, nbytes))
        for name in CODECS
        for size, nbytes in sizes.items()
        if nbytes <= 16 << 20
    ]


def _measured(name: str, size: int, bench: Bench) -> dict[str, Any]:
    (theirs, options), device = CODECS[name], bench.machine.device
    codec, total = name.partition("-")[0], bench.scale.library_total
    count = max(1, total // size)
    unique = min(count, max(1, _COMPARED // size))
    side = max(64, int(np.ceil(np.sqrt(unique * size / 4))))
    field = mixed(side, *RATIOS["r3"]).reshape(-1)[: unique * size // 4]
    parts = field.view(np.uint8).reshape(unique, size)
    arena = np.tile(parts.reshape(-1), -(-count // unique))[: count * size]
    batch = Batch.uniform(device.to_device(arena), count, size)
    with bench.machine.peak() as peak:
        encoded = device.compress(codec, batch, options)
    host = device.download(encoded.take(np.arange(unique)))
    for part, (start, stop) in zip(parts, host.spans(), strict=True):
        found = np.frombuffer(theirs.decode(host.arena[start:stop].tobytes()), np.uint8)
        check(np.array_equal(found, part), f"numcodecs decodes something else from {name}")
    on_cpu = CPU().compress(codec, Batch.uniform(parts.reshape(-1), unique, size), options)
    nbytes = int(encoded.sizes.sum())
    del encoded
    found = spread(bench.times(lambda: device.compress(codec, batch, options)))
    return {
        **found,
        "streams": count,
        "stream_bytes": size,
        "bytes": count * size,
        "ratio": count * size / nbytes,
        "size_of_cpu": float(host.sizes.sum() / on_cpu.sizes.sum()),
        "GB_s": count * size / found["median_s"] / 1e9,
        "peak_bytes": peak["bytes"],
    }
