"""Reading: plan → locate → fetch → decode → place.

`read` takes any number of planned reads as one batch. Shard indexes are fetched first and refine
the plan to inner chunks; then the chunks go wave by wave, on threads, from the source through the
chain into the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr import device as devices
from gpuzarr import runtime
from gpuzarr.batch import MISSING, Scratch
from gpuzarr.calibration import constants_of
from gpuzarr.codecs.chain import Chain
from gpuzarr.codecs.preparing import chain_of
from gpuzarr.config import config
from gpuzarr.device import Device
from gpuzarr.errors import DeviceMemoryError
from gpuzarr.locate import check_extents, locate
from gpuzarr.pipeline.counts import count, tell_fallbacks
from gpuzarr.pipeline.waves import at_work, naming, slots_in, started_ahead
from gpuzarr.place import Placement
from gpuzarr.plan import ReadPlan, chunk_shape
from gpuzarr.report import Report, Tally, timed
from gpuzarr.route import Route, choose
from gpuzarr.shards import Extents
from gpuzarr.sources import Fetch, Source
from gpuzarr.sources.gds import direct
from gpuzarr.spec import Spec

Ints = NDArray[np.int64]


@dataclass
class Read:
    """A planned read, and the raw array that it fills."""

    plan: ReadPlan
    target: Any
    field: Any
    source: Source
    report: Report
    on_absent: Callable[[Ints], None] | None = None
    """Told the grid coordinates ``[n, ndim]`` of stored objects that are not there."""

    @property
    def spec(self) -> Spec:
        """Of the array that is read."""
        return self.plan.spec


@dataclass
class _Wave:
    """Some chunks of one read, on their way."""

    read: Read
    rows: Ints
    chain: Chain
    route: Route
    extents: Extents
    fetch: Fetch

    @property
    def requests(self) -> int:
        """One per chunk, at most."""
        return len(self.rows)

    @property
    def requests_ahead(self) -> int:
        """As the source wants it."""
        return self.read.source.requests_ahead


def read(
    reads: Sequence[Read],
    device: Device,
    stop: runtime.Stop | None = None,
    begun: Any = None,
    beyond_cpu: Callable[[], Device] | None = None,
) -> None:
    """Fill the targets of all reads.

    `stop` ends the read from another thread; `begun` is what `Device.begin` gave to a thread that
    has used the targets before, where that is not this one. `beyond_cpu` gives the device that
    reads numbers for the host which the CPU cannot decode.

    Raises
    ------
    ChunkError, StoreError
        For the first chunk that cannot be read; the content of the targets is then undefined.
    """
    if beyond_cpu is not None and device.is_host and any(map(_is_beyond_cpu, reads)):
        other = beyond_cpu()
        if not other.is_host:
            _read_and_download(reads, other, stop)
            return
    routes = [route_of(r.plan, device) for r in reads]
    for r, route in zip(reads, routes, strict=True):
        r.report.threads = route.threads
        r.report.source, _ = way_of(r.source, route, device)
        tell_fallbacks(r.spec, route, device, "read to")
    stop, begun = stop or runtime.Stop(), begun or device.begin()

    def work(wave: _Wave) -> None:
        try:
            with at_work(device, begun) as (scratch, counts):
                tally = _read_wave(wave, device, scratch)
        except DeviceMemoryError:
            if len(wave.rows) == 1:
                raise
        else:
            wave.read.report.add(tally, wave.route, counts)
            stop.forget(wave.fetch)
            return
        # not in the handler, in which the error keeps all memory that the wave had
        stop.forget(wave.fetch)
        device.free_memory()
        for half in _halves(wave, device, stop):
            work(half)

    threads = max((route.threads for route in routes), default=1)
    runtime.run(work, started_ahead(_waves(reads, routes, device, stop)), threads, stop)


def _is_beyond_cpu(read: Read) -> bool:
    numeric = isinstance(read.target, np.ndarray) and read.target.dtype.kind in "biufc"
    return numeric and any(first_chain(read.plan).reasons(devices.host()))


def _read_and_download(reads: Sequence[Read], device: Device, stop: runtime.Stop | None) -> None:
    targets = [device.new_result(r.target.shape, r.target.dtype) for r in reads]
    read([replace(r, target=t) for r, t in zip(reads, targets, strict=True)], device, stop)
    for r, target in zip(reads, targets, strict=True):
        r.target[...] = target.get()


def _read_wave(wave: _Wave, device: Device, scratch: Scratch) -> Tally:
    """fetch → decode → place, for the chunks of one wave."""
    read, chain, tally = wave.read, wave.chain, Tally()
    placement = read.plan.parts.placement(wave.rows)
    batch = timed(tally, "fetch", wave.fetch.result, scratch)
    present = batch.sizes != MISSING
    if not present.all():
        if read.on_absent is not None and not read.spec.levels:
            read.on_absent(read.plan.parts.coords(wave.rows[~present]))
        timed(tally, "fill", _fill, read, device, placement, present)
        slots = np.cumsum(present) - 1
        batch, placement = batch.take(present), placement.take(present[placement.slots], slots)
    rows = np.flatnonzero(present)
    tally.chunks, tally.missing = len(rows), len(present) - len(rows)
    tally.bytes_read = int(batch.sizes.sum())
    if len(rows):
        with naming(read.plan, wave.rows[rows], chain, device, "read"):
            if wave.extents.are_ranges:
                check_extents(batch, wave.extents.nbytes[rows])
            target = None
            on_host = wave.route.on_host
            if chain.writes_on(device, on_host):
                target = slots_in(read.target, read.field, chain.layout, placement, device)
            decoded = chain.decode(batch, target, device, scratch, tally.seconds, on_host)
        tally.bytes_decoded = len(rows) * chain.layout.size
        if target is None:
            timed(tally, "place", device.place, read.target, decoded, chain.layout, placement,
                   read.field)  # fmt: skip
    count("read", len(present), chain)
    return tally


def _waves(
    reads: Sequence[Read], routes: Sequence[Route], device: Device, stop: runtime.Stop
) -> Iterator[_Wave]:
    """The waves of all reads in order, each with its fetch begun."""
    for read, route in zip(reads, routes, strict=True):
        plan, spec = read.plan, read.spec
        located = None
        if plan.count and spec.levels:
            chunks = plan.parts.coords(plan.order)
            located, exists = locate(spec, chunks, read.source, read.report, stop)
            if read.on_absent is not None and not exists.all():
                read.on_absent(chunks[~exists] // np.array(spec.chunks_per_outer))
        for first, last in plan.waves(route.chunks_per_wave):
            rows = plan.order[first:last]
            coords = plan.parts.coords(rows)
            if located is None:
                extents = Extents.whole(spec.keys(coords))
            else:
                extents = located.take(np.arange(first, last))
            chain = chain_of(spec.format(chunk_shape(spec, coords[0])))
            source, _ = source_for(read.source, route, device)
            fetch = source.start(extents)
            stop.watch(fetch)
            yield _Wave(read, rows, chain, route, extents, fetch)


def _halves(wave: _Wave, device: Device, stop: runtime.Stop) -> Iterator[_Wave]:
    """The same chunks in two waves, which are fetched once more."""
    middle = len(wave.rows) // 2
    for rows in (np.arange(middle), np.arange(middle, len(wave.rows))):
        extents = wave.extents.take(rows)
        source, _ = source_for(wave.read.source, wave.route, device)
        fetch = source.start(extents)
        stop.watch(fetch)
        yield replace(wave, rows=wave.rows[rows], extents=extents, fetch=fetch)


def source_for(source: Source, route: Route, device: Device) -> tuple[Source, str]:
    """What brings the bytes to where they are decoded first, and by which way."""
    if device.is_host:
        return source, ""
    if route.on_host:
        return source, "through host memory, where the first codecs run"
    return direct(source, device)


def _fill(read: Read, device: Device, placement: Placement, present: NDArray[np.bool_]) -> None:
    value = read.spec.fill if read.field is None else np.asarray(read.spec.fill)[read.field]
    slots = np.arange(len(present))
    device.fill(read.target, value, placement.take(~present[placement.slots], slots))


def route_of(plan: ReadPlan, device: Device) -> Route:
    """How this plan would be read; nothing is read for it."""
    prefer = str(config.get("route"))
    return choose(
        first_chain(plan),
        device,
        chunks=plan.count,
        thread_limit=runtime.thread_limit(),
        wave_bytes=device.wave_bytes(),
        cpu_wave_bytes=devices.host().wave_bytes(),
        constants=constants_of(device) if prefer == "auto" else None,
        prefer=prefer,
    )


def way_of(source: Source, route: Route, device: Device) -> tuple[str, str]:
    """Name of the source that would be read from on this route, and by which way to the device."""
    found, way = source_for(source, route, device)
    return found.name, way


def first_chain(plan: ReadPlan) -> Chain:
    """The chain of its first chunk."""
    shape = tuple(1 for _ in plan.spec.shape)
    if plan.count:
        shape = chunk_shape(plan.spec, plan.parts.coords(plan.order[:1])[0])
    return chain_of(plan.spec.format(shape))
