"""Each kernel alone: its bytes moved against the copy of the device, beside what was predicted.

A case launches through the device's own methods. The first run is checked, then the kernels are
timed by the device's clock, each behind a copy that empties the caches and hides the launch.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.gpu import placements, streams
from benchmarks.gpu.cells import Bench, Cell, check
from benchmarks.gpu.machine import traced
from gpuzarr.batch import Batch
from gpuzarr.device import reference
from gpuzarr.place import Layout


@dataclass
class Case:
    """One launch of a kernel, or of those that belong together.

    Attributes
    ----------
    run, is_right
        The launch, and whether what it left is right.
    decoded, moved
        Bytes of the chunks that it serves, and bytes that it reads and writes.
    """

    run: Callable[[], Any]
    is_right: Callable[[], bool]
    decoded: int
    moved: int


Make = Callable[[Bench], Case]


@dataclass
class _Streams:
    """What most cases start from: streams of random bytes on the device, and room for as many."""

    bench: Bench
    size: int
    host: list[bytes]
    batch: Batch
    into: Batch

    @classmethod
    def of(cls, bench: Bench, size: int | None = None) -> _Streams:
        scale, device = bench.scale, bench.machine.device
        size = size or scale.stream
        rng = np.random.default_rng(7)
        host = [rng.bytes(size) for _ in range(scale.unique)]
        arena = device.to_device(np.resize(_bytes(b"".join(host)), scale.streams * size))
        room = device.to_device(np.full(scale.streams * size, 0xEE, np.uint8))
        ends = (Batch.uniform(memory, scale.streams, size) for memory in (arena, room))
        return cls(bench, size, host, *ends)

    @property
    def total(self) -> int:
        return len(self.batch) * self.size

    def gave(self, oracle: Callable[[bytes], bytes]) -> bool:
        """Whether each slot has what the oracle makes of its stream."""
        found = self.bench.machine.host(self.into.arena).reshape(-1, len(self.host) * self.size)
        wanted = _bytes(b"".join(oracle(data) for data in self.host))
        return all(np.array_equal(row, wanted) for row in found)


def _bytes(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)


def _rearranging(op: str, *args: Any, size: Callable[[int], int] = lambda n: n) -> Make:
    """An op from streams to streams of the same sizes."""

    def make(bench: Bench) -> Case:
        data, device = _Streams.of(bench, size(bench.scale.stream)), bench.machine.device
        oracle = partial(_oracle, op, *args)
        run = partial(getattr(device, op), data.batch, data.into, *args)
        return Case(run, lambda: data.gave(oracle), data.total, 2 * data.total)

    return make


def _oracle(op: str, *args: Any) -> bytes:
    *options, data = args
    return bytes(getattr(reference, op)(data, *options))


def _checksum(algorithm: str) -> Make:
    def make(bench: Bench) -> Case:
        data, device = _Streams.of(bench), bench.machine.device
        wanted = [getattr(reference, algorithm)(stream) for stream in data.host]
        run = partial(device.checksum, algorithm, data.batch)
        return Case(run, lambda: run().tolist() == _again(wanted, data), data.total, data.total)

    return make


def _again(values: list[Any], data: _Streams) -> list[Any]:
    return values * (len(data.batch) // len(values))


def _prefix_sum(bench: Bench) -> Case:
    data, dtype = _Streams.of(bench), np.dtype("i4")
    run = partial(bench.machine.device.prefix_sum, data.batch, data.into, dtype, dtype)

    def oracle(stream: bytes) -> bytes:
        return np.cumsum(np.frombuffer(stream, dtype), dtype=dtype).tobytes()

    return Case(run, lambda: data.gave(oracle), data.total, 3 * data.total)


def _fill(bench: Bench) -> Case:
    data, layout = _Streams.of(bench), Layout.plain(np.dtype("f4"), (bench.scale.stream // 4,))
    run = partial(bench.machine.device.fill_chunks, data.into, layout, 1.5)
    wanted = np.full(layout.shape, 1.5, "f4").tobytes()
    return Case(run, lambda: data.gave(lambda _: wanted), data.total, data.total)


def _equals_fill(bench: Bench) -> Case:
    data, device = _Streams.of(bench), bench.machine.device
    layout = Layout.plain(np.dtype("f4"), (bench.scale.stream // 4,))
    device.fill_chunks(data.into, layout, 1.5)
    run = partial(device.equals_fill, data.into, layout, 1.5)

    def is_right() -> bool:
        other = device.equals_fill(data.batch, layout, 1.5)
        return bool(run().all()) and not other.any()

    return Case(run, is_right, data.total, data.total)


def _placement(make: Callable[[Bench], placements.Placed]) -> Make:
    def case(bench: Bench) -> Case:
        placed = make(bench)
        return Case(placed.run, placed.is_right, placed.nbytes, 2 * placed.nbytes + placed.lists)

    return case


def _decoder(codec: str) -> Make:
    def case(bench: Bench) -> Case:
        decoded = streams.by_kernel(bench, codec)
        moved = decoded.encoded + decoded.nbytes
        return Case(decoded.run, decoded.is_right, decoded.nbytes, moved)

    return case


CASES: dict[str, tuple[Make, str]] = {
    "copy": (_rearranging("copy"), "0.47"),
    "unshuffle_2": (_rearranging("unshuffle", 2), "0.47"),
    "unshuffle_4": (_rearranging("unshuffle", 4), "0.47"),
    "unshuffle_8": (_rearranging("unshuffle", 8), "0.47"),
    "unshuffle_any": (_rearranging("unshuffle", 7, size=lambda n: n // 112 * 112), "1"),
    "bit_unshuffle_4": (_rearranging("bit_unshuffle", 4), "0.47"),
    "byte_swap_4": (_rearranging("byte_swap", 4), "0.47"),
    "crc32c": (_checksum("crc32c"), "0.5"),
    "adler32": (_checksum("adler32"), "0.24"),
    "prefix_sum": (_prefix_sum, "0.47 to 0.7"),
    "place_boxes": (_placement(placements.boxes), "0.47"),
    "place_rows": (_placement(placements.rows), "0.47"),
    "place_transposed": (_placement(placements.transposed), "0.47"),
    "place_lists": (_placement(placements.lists), "0.47 and lists"),
    "place_points": (_placement(placements.points), "0.47 and lists"),
    "fill": (_fill, "0.24"),
    "equals_fill": (_equals_fill, "0.24"),
    "lz4_decode": (_decoder("lz4"), "3 to 10"),
    "blosclz_decode": (_decoder("blosclz"), "5 to 20"),
}
"""By kernel: how the case is made, and the ms per GB decoded that docs/kernels.md predicts."""


def cells() -> list[Cell]:
    """One for each kernel."""
    return [
        Cell(f"kernel/{name}", partial(_measured, name, make, predicted))
        for name, (make, predicted) in CASES.items()
    ]


def _measured(name: str, make: Make, predicted: str, bench: Bench) -> dict[str, Any]:
    case = make(bench)
    with traced(bench.machine) as trace:
        case.run()
    ours = [kernel for kernel in trace.by_name() if kernel.startswith(name)]
    check(bool(ours), f"{sorted(trace.by_name())} were launched instead")
    check(case.is_right(), "what it left differs from the oracle's")
    seconds = []
    for _ in range(4 * bench.repetitions):
        with traced(bench.machine, bench.machine.flush) as trace:
            case.run()
        seconds.append(sum(s for kernel, s in trace.by_name().items() if kernel.startswith(name)))
    median = statistics.median(seconds)
    return {
        "kernels": ours,
        "median_s": median,
        "spread_s": [min(seconds), max(seconds)],
        "repetitions": len(seconds),
        "bytes": case.decoded,
        "moved_bytes": case.moved,
        "GB_s": case.moved / median / 1e9,
        "ms_per_GB": 1e3 * median / case.decoded * 1e9,
        "predicted_ms_per_GB": predicted,
    }
