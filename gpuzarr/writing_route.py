"""Which device encodes which stage, and why: the route of a write.

Pure, as `route` is: asked before any I/O, given the chain, the device, the sizes and the constants
of the cost model. A write has two ways: the device encodes all that it can, or the CPU all.
"""

from __future__ import annotations

from gpuzarr import device as devices
from gpuzarr.codecs.chain import Chain
from gpuzarr.costs import OTHER, Constants, Estimate, kind_of, stream_sizes
from gpuzarr.device import Device
from gpuzarr.route import (
    Route,
    StageRoute,
    cut_for_cpu,
    cut_for_device,
    in_words,
    milliseconds,
    nbytes_of,
)


def choose_encoding(
    chain: Chain,
    device: Device,
    *,
    chunks: int,
    objects: int,
    thread_limit: int,
    wave_bytes: int,
    cpu_wave_bytes: int,
    constants: Constants | None = None,
    prefer: str = "auto",
    is_there: bool = True,
) -> Route:
    """The route of `chunks` chunks, which are stored as `objects`, through a chain.

    Its stages are in the order of encoding, its device is where chunks are put together: not this
    one where the CPU does all stages.

    Parameters
    ----------
    wave_bytes, cpu_wave_bytes
        Decoded bytes that a thread takes at a time, on the device and on the CPU.
    constants
        Of the cost model of encoding; None: the device encodes all that it can.
    prefer
        "auto", or "device" or "cpu", whatever is estimated.
    is_there
        Whether the value is on the device; one on the host stays there if there are no stages.
    """
    reasons, host = chain.encode_reasons(device), devices.host()
    by_cpu_too = not any(chain.encode_reasons(host))
    can_choose = not device.is_host and None in reasons and by_cpu_too
    estimate, why = None, ""
    if can_choose and constants is not None and chunks:
        threads = max(1, min(thread_limit, objects))
        estimate = _weighed(chain, reasons, constants, chunks, threads, is_there)
    if can_choose and prefer == "cpu":
        why = "the option 'route' says so"
    elif can_choose and prefer == "auto" and estimate is not None and estimate.on_host:
        why = (
            f"{chunks} chunks of {in_words(nbytes_of(chain))}: the CPU is estimated at "
            f"{milliseconds(estimate.cpu)}, {device.name} at {milliseconds(estimate.device)}"
        )
    stages: list[StageRoute] = []
    for stage, reason in zip(chain.stages, reasons, strict=True):
        is_choice = reason is None and bool(why)
        where = "cpu" if reason or is_choice else device.name
        words = reason or why or stage.codec.describe()
        stages.insert(0, StageRoute(stage.name, where, words, is_choice))
    all_on_cpu = all(stage.device == "cpu" for stage in stages) if stages else not is_there
    if device.is_host or all_on_cpu:
        _, per_wave = cut_for_cpu(chain, chunks, thread_limit, cpu_wave_bytes)
        threads, device = thread_limit, host
    else:
        threads, per_wave = cut_for_device(chain, chunks, thread_limit, wave_bytes)
    threads = max(1, min(threads, objects))
    return Route(tuple(stages), device.name, threads, per_wave, estimate=estimate)


def _weighed(
    chain: Chain,
    reasons: list[str | None],
    constants: Constants,
    chunks: int,
    threads: int,
    is_there: bool,
) -> Estimate:
    """Both ways, with copies: of the value to where it is not, of encoded bytes down."""
    sizes, per_thread = stream_sizes(chain), -(-chunks // threads)

    def copy(nbytes: float) -> float:
        return constants.latency + chunks * nbytes / constants.upload

    first = sum(reason is not None for reason in reasons)
    on_device, on_cpu = copy(sizes[first]), 0.0
    if is_there:
        on_cpu += copy(sizes[-1])
    else:
        on_device += copy(sizes[-1])
    for number, stage in enumerate(chain.stages):
        kind, nbytes = kind_of(stage.codec), sizes[number + 1]
        by_host = constants.on_host.get(kind, constants.on_host[OTHER]).seconds(per_thread, nbytes)
        there = constants.on_device.get(kind, constants.on_device[OTHER]).seconds(chunks, nbytes)
        on_cpu += by_host
        on_device += by_host if number < first else there
    on_host = len(reasons) if on_cpu < on_device else 0
    return Estimate(on_host, min(on_cpu, on_device), on_device, on_cpu, None)
