"""What decoding is estimated to take on a device and on the CPU, and so where it is done.

Pure: given a chain, the number of chunks and the constants. An estimate is a sum over stages, and
has the copy to the device in it: of encoded bytes where the device decodes, of decoded bytes where
the CPU does (docs/decisions/0007-routing.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gpuzarr.codecs.base import Codec, Stage
from gpuzarr.codecs.chain import Chain

RATIO = 2.0
"""Decoded bytes for each encoded one of a compressor, whose ratio nobody knows before the read."""

OTHER = "other"
"""Constants of codecs that have none of their own: filters."""


@dataclass(frozen=True)
class DeviceCost:
    """Decoding of a batch on a device.

    Attributes
    ----------
    fixed
        Seconds of a batch of any size.
    alone, full
        Decoded bytes per second of a single stream, and of as many as fill the device.
    """

    fixed: float
    alone: float
    full: float

    def seconds(self, count: int, nbytes: float) -> float:
        """Of `count` streams of `nbytes` decoded bytes each."""
        return self.fixed + max(nbytes / self.alone, count * nbytes / self.full)


@dataclass(frozen=True)
class HostCost:
    """Decoding by one thread of the CPU.

    Attributes
    ----------
    stream
        Seconds of a stream of any size.
    rate
        Decoded bytes per second.
    """

    stream: float
    rate: float

    def seconds(self, count: int, nbytes: float) -> float:
        """Of `count` streams of `nbytes` decoded bytes each."""
        return count * (self.stream + nbytes / self.rate)


@dataclass(frozen=True)
class Constants:
    """Of a device and the CPU beside it.

    Attributes
    ----------
    on_device, on_host
        By `kind_of` codecs; `OTHER` is always among them.
    upload
        Bytes per second of a copy to the device.
    latency
        Seconds of a copy of any size.
    measured
        The day on which they were measured, as ``2026-11-23``; None where they are predictions.
    """

    on_device: Mapping[str, DeviceCost]
    on_host: Mapping[str, HostCost]
    upload: float
    latency: float
    measured: str | None = None


@dataclass(frozen=True)
class Estimate:
    """Of one read, in seconds.

    Attributes
    ----------
    on_host
        How many stages, the first ones, the CPU does in the fastest way.
    fastest, device, cpu
        Of that way; of the one on which the device does all that it can; of the one on which the
        CPU does.
    measured
        As in `Constants`.
    """

    on_host: int
    fastest: float
    device: float
    cpu: float
    measured: str | None


def kind_of(codec: Codec) -> str:
    """The name of a codec's constants: Blosc's depend on the codec inside."""
    inside = getattr(codec, "options", {}).get("cname")
    return codec.name if inside is None else f"{codec.name} {_SAME.get(inside, inside)}"


_SAME = {"lz4hc": "lz4"}


def stream_sizes(chain: Chain) -> list[float]:
    """Bytes of a chunk as it is given to each stage, then those of the decoded one."""
    sizes: list[float] = [chain.layout.count * chain.layout.dtype.itemsize]
    for stage in reversed(chain.stages):
        size = sizes[0]
        known = stage.codec.encoded_nbytes(int(size)) if size == int(size) else None
        sizes.insert(0, size / RATIO if known is None else known)
    return sizes


def estimated(chain: Chain, constants: Constants, on_host: int, chunks: int, threads: int) -> float:
    """Seconds of a read of which the CPU does the first `on_host` stages, on `threads` threads."""
    sizes = stream_sizes(chain)
    per_thread = -(-chunks // threads)
    seconds = constants.latency + chunks * sizes[on_host] / constants.upload
    for number, stage in enumerate(chain.stages):
        for kind, streams, nbytes in _steps(stage, sizes[number + 1]):
            if number < on_host:
                on_cpu = constants.on_host.get(kind, constants.on_host[OTHER])
                seconds += on_cpu.seconds(per_thread * streams, nbytes)
            else:
                there = constants.on_device.get(kind, constants.on_device[OTHER])
                seconds += there.seconds(chunks * streams, nbytes)
    return seconds


def _steps(stage: Stage, nbytes: float) -> list[tuple[str, int, float]]:
    """Kind, streams of a chunk, and decoded bytes of each; of whole shards, of what is inside."""
    inside: tuple[Chain, int] | None = getattr(stage.codec, "inside", None)
    if inside is None:
        return [(kind_of(stage.codec), 1, nbytes)]
    chain, count = inside
    return [
        (kind, count * streams, size)
        for inner, decoded in zip(chain.stages, stream_sizes(chain)[1:], strict=True)
        for kind, streams, size in _steps(inner, decoded)
    ]


def weighed(
    chain: Chain,
    constants: Constants,
    *,
    least: int,
    most: int,
    chunks: int,
    threads: int,
    cpu_threads: int,
) -> Estimate:
    """The fastest way through a chain.

    Parameters
    ----------
    least, most
        How many stages, the first ones, only the CPU can do, and how many it can do.
    threads, cpu_threads
        How many threads a read has of which the device does a stage, and one of which it does none.
    """
    ways = {
        n: estimated(
            chain, constants, n, chunks, cpu_threads if n == len(chain.stages) else threads
        )
        for n in range(least, most + 1)
    }
    on_host = min(ways, key=lambda n: (ways[n], n))
    return Estimate(on_host, ways[on_host], ways[least], ways[most], constants.measured)
