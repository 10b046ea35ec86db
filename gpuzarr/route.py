"""Which device decodes which stage, and why; how many threads, and how large a wave.

Pure: it is asked before any I/O, given the chain, the device and the sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpuzarr.codecs.chain import Chain
from gpuzarr.device import Device

_THREAD_PAYS = {"zstd": 8 << 10, "gzip": 4 << 10, "zlib": 4 << 10, "blosc": 64 << 10}
"""Decoded bytes of a chunk from which a second thread pays for the hand-over of the GIL."""
_THREAD_PAYS_ELSEWHERE = 64 << 10

_DEVICE_THREADS = 8
"""Threads that read for a device, each with a stream of its own."""

_DEVICE_STREAMS, _DEVICE_BYTES = 256, 32 << 20
"""A wave on a device has at least so many chunks or decoded bytes, to fill it."""


@dataclass(frozen=True)
class StageRoute:
    """One stage: where it runs, and what it does there."""

    stage: str
    device: str
    reason: str


@dataclass(frozen=True)
class Route:
    """The way of a read.

    Attributes
    ----------
    stages
        In the order of decoding.
    device
        Of the result.
    threads
        Threads used.
    chunks_per_wave
        Chunks that one thread takes at a time.
    """

    stages: tuple[StageRoute, ...]
    device: str
    threads: int
    chunks_per_wave: int


def choose(
    chain: Chain, device: Device, *, chunks: int, thread_limit: int, wave_bytes: int
) -> Route:
    """The route of `chunks` chunks through a chain."""
    stages = []
    for stage, reason in zip(chain.stages, chain.reasons(device), strict=True):
        where = device.name if reason is None else "cpu"
        stages.append(StageRoute(stage.name, where, reason or stage.codec.describe()))
    size = max(1, _nbytes(chain))
    per_wave = max(1, wave_bytes // size)
    if device.is_host:
        threads = min(thread_limit, chunks) if size >= _thread_pays(chain) else 1
        if threads > 1:
            per_wave = max(1, min(per_wave, -(-chunks // (4 * threads))))
    else:
        threads = min(thread_limit, _DEVICE_THREADS)
        smallest = max(_DEVICE_STREAMS, _DEVICE_BYTES // size)
        per_wave = min(per_wave, max(smallest, -(-chunks // (2 * threads))))
        threads = min(threads, -(-chunks // per_wave))
    return Route(tuple(stages), device.name, max(1, threads), per_wave)


def _nbytes(chain: Chain) -> int:
    return chain.layout.count * chain.layout.dtype.itemsize


def _thread_pays(chain: Chain) -> int:
    names = [stage.name for stage in chain.stages]
    return min((_THREAD_PAYS.get(n, _THREAD_PAYS_ELSEWHERE) for n in names),
               default=_THREAD_PAYS_ELSEWHERE)  # fmt: skip
