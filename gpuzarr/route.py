"""Which device decodes which stage, and why; how many threads, and how large a wave.

Pure: it is asked before any I/O, given the chain, the device, the sizes and the constants of the
cost model. Where a device and the CPU could both decode, the faster one by its estimate does.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpuzarr import device as devices
from gpuzarr.codecs.chain import Chain
from gpuzarr.costs import Constants, Estimate, weighed
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
    """One stage: where it runs, and what it does there.

    `by_choice` is set where the CPU does what the device could.
    """

    stage: str
    device: str
    reason: str
    by_choice: bool = False


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
    on_host
        How many stages, the first ones, the CPU decodes for another device.
    estimate
        What was weighed; None where there was nothing to weigh.
    """

    stages: tuple[StageRoute, ...]
    device: str
    threads: int
    chunks_per_wave: int
    on_host: int = 0
    estimate: Estimate | None = None


def choose(
    chain: Chain,
    device: Device,
    *,
    chunks: int,
    thread_limit: int,
    wave_bytes: int,
    cpu_wave_bytes: int,
    constants: Constants | None = None,
    prefer: str = "auto",
) -> Route:
    """The route of `chunks` chunks through a chain.

    Parameters
    ----------
    wave_bytes, cpu_wave_bytes
        Decoded bytes that a thread takes at a time, on the device and on the CPU.
    constants
        Of the device's cost model; None: it decodes all that it can.
    prefer
        "auto", or "device" or "cpu", whatever is estimated.

    Raises
    ------
    ValueError
        If `prefer` is another word.
    """
    if prefer not in ("auto", "device", "cpu"):
        raise ValueError(f"The option 'route' is 'auto', 'device' or 'cpu', not {prefer!r}.")
    reasons = chain.reasons(device)
    by_cpu = cut_for_cpu(chain, chunks, thread_limit, cpu_wave_bytes)
    if device.is_host:
        threads, per_wave = by_cpu
        return Route(_stages(chain, device, reasons, 0, ""), device.name, threads, per_wave)
    on_host = least = chain.on_host(device)
    most = max(least, _possible_on_cpu(chain))
    by_device = cut_for_device(chain, chunks, thread_limit, wave_bytes)
    estimate, why = None, ""
    if least < most and chunks and constants is not None:
        estimate = weighed(
            chain, constants, least=least, most=most, chunks=chunks, threads=by_device[0],
            cpu_threads=by_cpu[0],
        )  # fmt: skip
    if prefer == "cpu":
        on_host, why = most, "the option 'route' says so"
    elif prefer == "auto" and estimate is not None:
        on_host = estimate.on_host
        why = (
            f"{chunks} chunks of {in_words(nbytes_of(chain))}: the CPU is estimated at "
            f"{milliseconds(estimate.fastest)}, {device.name} at {milliseconds(estimate.device)}"
        )
    all_by_cpu = 0 < on_host == len(chain.stages)
    threads, per_wave = by_cpu if all_by_cpu else by_device
    stages = _stages(chain, device, reasons, on_host, why)
    return Route(stages, device.name, threads, per_wave, on_host, estimate)


def _possible_on_cpu(chain: Chain) -> int:
    """How many stages, the first ones, the CPU can decode."""
    host = devices.host()
    able = (stage.codec.supports(host) is None for stage in chain.stages)
    return next((n for n, is_able in enumerate(able) if not is_able), len(chain.stages))


def _stages(
    chain: Chain, device: Device, reasons: list[str | None], on_host: int, why: str
) -> tuple[StageRoute, ...]:
    """Where stages run: those with a reason on the CPU, and the first `on_host`, which `why` is
    of."""
    stages = []
    for number, (stage, reason) in enumerate(zip(chain.stages, reasons, strict=True)):
        if reason is not None:
            found = StageRoute(stage.name, "cpu", reason)
        elif number < on_host:
            found = StageRoute(stage.name, "cpu", why, by_choice=True)
        else:
            found = StageRoute(stage.name, device.name, stage.codec.describe())
        stages.append(found)
    return tuple(stages)


def cut_for_cpu(chain: Chain, chunks: int, thread_limit: int, wave_bytes: int) -> tuple[int, int]:
    """Threads, and chunks of a wave, where the CPU decodes."""
    size = max(1, nbytes_of(chain))
    per_wave = max(1, wave_bytes // size)
    threads = min(thread_limit, chunks) if size >= _thread_pays(chain) else 1
    if threads > 1:
        per_wave = max(1, min(per_wave, -(-chunks // (4 * threads))))
    return max(1, threads), per_wave


def cut_for_device(
    chain: Chain, chunks: int, thread_limit: int, wave_bytes: int
) -> tuple[int, int]:
    """The same where another device does a part."""
    size = max(1, nbytes_of(chain))
    threads = min(thread_limit, _DEVICE_THREADS)
    smallest = max(_DEVICE_STREAMS, _DEVICE_BYTES // size)
    per_wave = min(max(1, wave_bytes // size), max(smallest, -(-chunks // (2 * threads))))
    return max(1, min(threads, -(-chunks // per_wave))), per_wave


def milliseconds(seconds: float) -> str:
    """In words."""
    return f"{1e3 * seconds:.2g} ms" if seconds < 0.1 else f"{1e3 * seconds:,.0f} ms"


def in_words(nbytes: int) -> str:
    """Bytes, with a unit."""
    for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if nbytes >= size:
            return f"{nbytes / size:.3g} {unit}"
    return f"{nbytes} bytes"


def nbytes_of(chain: Chain) -> int:
    """Of a decoded chunk."""
    return chain.layout.count * chain.layout.dtype.itemsize


def _thread_pays(chain: Chain) -> int:
    names = [stage.name for stage in chain.stages]
    return min((_THREAD_PAYS.get(n, _THREAD_PAYS_ELSEWHERE) for n in names),
               default=_THREAD_PAYS_ELSEWHERE)  # fmt: skip
