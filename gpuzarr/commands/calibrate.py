"""``gpuzarr doctor --calibrate``: the constants of the cost model, measured once and kept.

Of each codec three batches are decoded, by the device and by one thread of the CPU: a single
stream, many small ones and many large ones. From their times follow its constants
(docs/decisions/0007-routing.md).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
from rich.console import Console
from rich.table import Table

from gpuzarr import calibration
from gpuzarr import device as devices
from gpuzarr.batch import Batch
from gpuzarr.codecs import Codec, own_codec
from gpuzarr.costs import OTHER, Constants, DeviceCost, HostCost
from gpuzarr.spec import CodecConfig

SAMPLES: dict[str, numcodecs.abc.Codec] = {
    "lz4": numcodecs.LZ4(),
    "zstd": numcodecs.Zstd(),
    "gzip": numcodecs.GZip(5),
    "zlib": numcodecs.Zlib(5),
    **{
        f"blosc {inner}": numcodecs.Blosc(inner, shuffle=numcodecs.Blosc.SHUFFLE)
        for inner in ("lz4", "blosclz", "zstd", "zlib")
    },
    "crc32c": numcodecs.CRC32C(),
    OTHER: numcodecs.Shuffle(4),
}
"""A codec for each kind of constants."""

_REPEATS = 5


@dataclass(frozen=True)
class Sizes:
    """Streams of the batches, and decoded bytes of small, large and single ones."""

    streams: int
    small: int
    large: int
    alone: int
    copied: int


FULL = Sizes(512, 4 << 10, 256 << 10, 1 << 20, 256 << 20)
CPU = Sizes(32, 4 << 10, 256 << 10, 1 << 20, 0)
TINY = Sizes(4, 256, 2 << 10, 4 << 10, 64 << 10)
"""For a device whose speed is no matter."""


def run(*, device: str, as_json: bool) -> int:
    """Measure, keep, and print what was measured and where it is."""
    found = devices.get(device)
    constants = measure(found)
    file = calibration.keep(constants, found)
    if as_json:
        print(json.dumps({"file": str(file), **asdict(constants)}, indent=2))  # noqa: T201
    else:
        _show(constants, found.name, file)
    return 0


def measure(device: Any, *, seconds: float = 8.0) -> Constants:
    """The constants of a device and of the CPU beside it, of the CPU alone if it is that.

    `seconds` is about what it may take; each batch is decoded twice at least.
    """
    sizes, host_sizes = FULL, CPU
    if device.name == "emulated":
        sizes = host_sizes = TINY
    host = devices.host()
    on_device: dict[str, DeviceCost] = {}
    on_host: dict[str, HostCost] = {}
    share = seconds / (2 * 3 * len(SAMPLES))
    for kind, sample in SAMPLES.items():
        config = sample.get_config()
        codec = own_codec(CodecConfig(config.pop("id"), config, "buffer", sample))
        assert codec is not None, kind
        timed = [_seconds(codec, batch, host, share) for batch in _batches(sample, host_sizes)]
        on_host[kind] = _host_cost(host_sizes, *timed[1:])
        if not device.is_host:
            timed = [_seconds(codec, batch, device, share) for batch in _batches(sample, sizes)]
            on_device[kind] = _device_cost(sizes, *timed)
    upload, latency = _upload(device, sizes, share)
    today = datetime.now(UTC).date().isoformat()
    return Constants(on_device, on_host, upload, latency, today)


def _batches(sample: numcodecs.abc.Codec, sizes: Sizes) -> Iterator[tuple[Batch, int]]:
    """One stream, many small ones, many large ones; and the decoded bytes of each stream."""
    shapes = (1, sizes.alone), (sizes.streams, sizes.small), (sizes.streams, sizes.large)
    for count, nbytes in shapes:
        encoded = np.frombuffer(sample.encode(_values(nbytes)), np.uint8)
        yield Batch.joined([encoded] * count), nbytes


def _values(nbytes: int) -> Any:
    """A measured field: a walk with noise, which lossless codecs halve."""
    steps = np.random.default_rng(1).normal(0, 1, nbytes // 4)
    return (280 + np.cumsum(steps) / 64).round(2).astype("f4")


def _seconds(codec: Codec, given: tuple[Batch, int], device: Any, share: float) -> float:
    """Of decoding a batch that is on the device: the best of several, but for the first."""
    batch, nbytes = given
    target_sizes = np.full(len(batch), nbytes, np.int64)
    with device.working(device.begin()):
        there = device.upload(batch)
        into = None if codec.is_view else device.room_for(target_sizes)

    def decode() -> None:
        codec.decode(there, into, device)

    decoded = _best(decode, device, share)
    nothing = _best(lambda: None, device, 0)  # but to begin and to wait
    return max(decoded - nothing, decoded / 100)


def _best(work: Callable[[], Any], device: Any, share: float) -> float:
    """Seconds of work until the device has done it."""
    times: list[float] = []
    until = time.perf_counter() + share
    while len(times) < 2 or (len(times) < 1 + _REPEATS and time.perf_counter() < until):
        begun = device.begin()
        started = time.perf_counter()
        with device.working(begun):
            work()
        times.append(time.perf_counter() - started)
    return min(times[1:])


def _host_cost(sizes: Sizes, small: float, large: float) -> HostCost:
    """The line through both: seconds a stream, and seconds a byte."""
    slope = (large - small) / sizes.streams / (sizes.large - sizes.small)
    slope = max(slope, large / sizes.streams / sizes.large / 100)
    stream = max(small / sizes.streams - slope * sizes.small, small / sizes.streams / 100)
    return HostCost(stream, 1 / slope)


def _device_cost(sizes: Sizes, alone: float, small: float, large: float) -> DeviceCost:
    """What is left of a small batch without its bytes is fixed; the rates are without that."""
    total = sizes.streams * sizes.large
    cost = DeviceCost(small / 100, sizes.alone / alone, total / large)
    fixed = max(small - (cost.seconds(sizes.streams, sizes.small) - cost.fixed), small / 100)
    return DeviceCost(
        fixed,
        sizes.alone / max(alone - fixed, alone / 10),
        total / max(large - fixed, large / 10),
    )


def _upload(device: Any, sizes: Sizes, share: float) -> tuple[float, float]:
    """Bytes per second of a large copy from the memory that reads come through, and seconds of a
    small one; of the CPU, where nothing is copied, of a copy in its memory."""
    memory = device.host_memory(max(sizes.copied, CPU.alone))
    memory[...] = 1
    there = (lambda part: part.copy()) if device.is_host else device.to_device
    latency = _best(lambda: there(memory[:64]), device, share)
    large = _best(lambda: there(memory), device, share)
    return len(memory) / max(large - latency, large / 10), latency


def _show(constants: Constants, name: str, file: Path) -> None:
    columns = ["codec", "CPU: µs a stream", "GB/s a thread"]
    if constants.on_device:
        columns += [f"{name}: ms a batch", "GB/s a stream", "GB/s in all"]
    table = Table(box=None, padding=(0, 2))
    for column in columns:
        table.add_column(column, no_wrap=True)
    for kind, host in constants.on_host.items():
        row = [kind, f"{1e6 * host.stream:.1f}", f"{host.rate / 1e9:.2f}"]
        there = constants.on_device.get(kind)
        if there is not None:
            row += [
                f"{1e3 * there.fixed:.2f}",
                f"{there.alone / 1e9:.3f}",
                f"{there.full / 1e9:.2f}",
            ]
        table.add_row(*row)
    console = Console()
    console.print(table)
    if constants.on_device:
        console.print(
            f"Copies to {name}: {constants.upload / 1e9:.1f} GB/s, "
            f"{1e6 * constants.latency:.0f} µs at least."
        )
    console.print(f"Kept in {file}.", soft_wrap=True, highlight=False)
