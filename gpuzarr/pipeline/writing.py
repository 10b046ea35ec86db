"""Writing: gather → encode → store, the mirror of reading.

Whole chunks are taken from the value, chunks that are partly covered are read and merged first.
A stored object is written in one piece: a chunk by itself, a shard with all that is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr import device as devices
from gpuzarr import runtime
from gpuzarr.batch import MISSING, Batch, Scratch
from gpuzarr.calibration import encoding_constants_of
from gpuzarr.codecs.chain import Chain, downloaded, spread
from gpuzarr.codecs.preparing import chain_of
from gpuzarr.config import config
from gpuzarr.device import Device
from gpuzarr.errors import DeviceMemoryError
from gpuzarr.pipeline.counts import count, tell_fallbacks
from gpuzarr.pipeline.encoding import Chunks
from gpuzarr.pipeline.merging import Shards
from gpuzarr.pipeline.reading import first_chain
from gpuzarr.pipeline.under_way import UnderWay, tell_what_is_written
from gpuzarr.pipeline.waves import at_work, started_ahead
from gpuzarr.plan import ReadPlan, chunk_shape
from gpuzarr.report import Tally, WriteReport, timed
from gpuzarr.route import Route
from gpuzarr.shards import Extents
from gpuzarr.sources import Fetch, Sink, Source
from gpuzarr.sources.memory import Held
from gpuzarr.spec import Spec
from gpuzarr.writing_route import choose_encoding

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass
class Write:
    """A planned write, and the raw value that it takes the chunks from, on the device.

    `covers` tells which rows of the plan need not be read first (`plan.WriteParts`);
    `write_empty` has chunks stored that hold nothing but the fill value; `field` names the field
    of a struct that alone is written.
    """

    plan: ReadPlan
    covers: Callable[[Ints, bool], Mask]
    value: Any
    source: Source
    sink: Sink
    write_empty: bool
    report: WriteReport
    field: Any = None

    @property
    def spec(self) -> Spec:
        """Of the array that is written."""
        return self.plan.spec


@dataclass
class _Wave:
    """Some chunks of one write; of a sharded array all that lie in some shards.

    `per_pass` of the chunks of shards are encoded at once. `old` are the numbers of the stored
    objects whose content is needed, among the rows or the shards, and `fetch` their bytes.
    """

    write: Write
    rows: Ints
    chain: Chain
    route: Route
    per_pass: int
    shards: Shards | None
    covered: Mask
    old: Ints
    fetch: Fetch

    def part(self, part: slice, existing: Batch) -> Chunks:
        """Some of the chunks, with what is stored of them."""
        write = self.write
        return Chunks(
            write.plan, self.rows[part], self.covered[part], existing, write.value, write.field,
            write.write_empty, self.chain,
        )  # fmt: skip

    @property
    def is_least(self) -> bool:
        """Whether no wave can be smaller."""
        return len(self.rows) == 1 or (
            self.shards is not None and len(self.shards.keys) == 1 and self.per_pass == 1
        )

    @property
    def requests(self) -> int:
        """One per object that is read first."""
        return len(self.old)

    @property
    def requests_ahead(self) -> int:
        """As the source wants it."""
        return self.write.source.requests_ahead


def write(
    writes: Sequence[Write], device: Device, stop: runtime.Stop | None = None, begun: Any = None
) -> None:
    """Encode and store the chunks of all writes.

    `stop` ends the write from another thread; `begun` is what `Device.begin` gave to the thread
    that made the values, where that is not this one.

    Raises
    ------
    ChunkError, StoreError, ReadOnlyError
        For the first chunk that cannot be encoded or stored, or read to be merged. Each stored
        object is then as it was or as it should be; the error's `written` and its note name
        those that are written.
    DeviceMemoryError
        Where the device has no room for a single chunk, or shard; with the same promise.
    """
    stop, begun = stop or runtime.Stop(), begun or device.begin()
    routes = [encoding_route_of(w.plan, device, is_chosen=True) for w in writes]
    threads = max((route.threads for route in routes), default=1)
    for w in writes:
        w.report.threads = threads
    under_way = UnderWay(stop)

    def work(wave: _Wave) -> None:
        try:
            with at_work(device, begun) as (scratch, counts):
                tally = _write_wave(wave, device, scratch, stop, under_way)
        except DeviceMemoryError:
            if wave.is_least:
                raise
        else:
            wave.write.report.add(tally, wave.route, counts)
            stop.forget(wave.fetch)
            return
        # nothing was stored; not in the handler, in which the error keeps all memory of the wave
        stop.forget(wave.fetch)
        device.free_memory()
        for half in _halves(wave, stop):
            work(half)

    try:
        runtime.run(work, started_ahead(_waves(writes, routes, stop)), threads, stop)
        under_way.finish()
    except BaseException as error:
        under_way.give_up()
        tell_what_is_written(error, [w.report for w in writes])
        raise


def _write_wave(
    wave: _Wave, device: Device, scratch: Scratch, stop: runtime.Stop, under_way: UnderWay
) -> Tally:
    """gather → encode → store, for the chunks of one wave."""
    write, shards, tally = wave.write, wave.shards, Tally()
    old = timed(tally, "fetch", wave.fetch.result, scratch)
    tally.bytes_read = int(old.sizes[old.sizes != MISSING].sum())
    if shards is None:
        existing = spread(old, wave.old, len(wave.rows))
        batch = wave.part(slice(None), existing).encoded(device, scratch, tally)
        batch = downloaded(batch, device, tally.seconds)
        objects = iter([(write.spec.keys(write.plan.parts.coords(wave.rows)), batch)])
    else:
        shards.keep(wave.old, old, write.report, stop)
        for first in range(0, len(wave.rows), wave.per_pass):
            rows = slice(first, first + wave.per_pass)
            batch = wave.part(rows, shards.streams(rows)).encoded(device, scratch, tally)
            shards.replace(rows, batch)
        objects = shards.assembled(device, tally.seconds)
    for keys, batch in objects:
        tally.bytes_written += int(batch.sizes[batch.sizes != MISSING].sum())
        storing = timed(tally, "store", write.sink.put, keys, batch, write.report.written)
        under_way.add(storing, len(keys), write.sink.requests_ahead)
    count("written", len(wave.rows), wave.chain, device.name)
    return tally


def is_for_a_device(value: Any, plans: Sequence[ReadPlan]) -> bool:
    """Whether a value is to be encoded on a device: where it is there, or the CPU cannot do it."""
    host = devices.host()
    return devices.on_device(value) is not None or any(
        reason for plan in plans for reason in first_chain(plan).encode_reasons(host)
    )


def encoder_of(plans: Sequence[ReadPlan], device: Device, value: Any) -> Device:
    """The device that is to encode a value for these plans: this one, or the CPU.

    What the CPU has to do for it is logged, once for each array.
    """
    is_there = devices.on_device(value) is not None
    routes = [encoding_route_of(plan, device, is_there=is_there) for plan in plans]
    for plan, route in zip(plans, routes, strict=True):
        tell_fallbacks(plan.spec, route, device, "written from")
    return device if all(route.device == device.name for route in routes) else devices.host()


def encoding_route_of(
    plan: ReadPlan, device: Device, *, is_there: bool = True, is_chosen: bool = False
) -> Route:
    """How this plan would be written; nothing is read for it.

    Parameters
    ----------
    is_there
        Whether the value is on the device.
    is_chosen
        Whether this is the device that encodes, whatever the option ``route`` says.
    """
    prefer = "device" if is_chosen else str(config.get("route"))
    return choose_encoding(
        first_chain(plan),
        device,
        chunks=plan.count,
        objects=len(plan.cuts) - 1 if plan.spec.levels else plan.count,
        thread_limit=runtime.thread_limit(),
        wave_bytes=device.wave_bytes(),
        cpu_wave_bytes=devices.host().wave_bytes(),
        constants=encoding_constants_of(device) if prefer == "auto" else None,
        prefer=prefer,
        is_there=is_there,
    )


def _waves(writes: Sequence[Write], routes: Sequence[Route], stop: runtime.Stop) -> Iterator[_Wave]:
    """The waves of all writes in order, each with the fetch of what it needs begun."""
    for write, route in zip(writes, routes, strict=True):
        for first, last in write.plan.waves(route.chunks_per_wave):
            rows = write.plan.order[first:last]
            yield _wave(write, rows, route, route.chunks_per_wave, stop)


def _wave(write: Write, rows: Ints, route: Route, per_pass: int, stop: runtime.Stop) -> _Wave:
    """The wave of these rows, with its fetch begun."""
    spec, coords = write.spec, write.plan.parts.coords(rows)
    covered = write.covers(rows, bool(spec.levels))
    chain = chain_of(spec.format(chunk_shape(spec, coords[0]), write.write_empty))
    if spec.levels:
        shards = Shards(spec, coords)
        old = shards.not_rewritten(covered)
        keys = [shards.keys[n] for n in old.tolist()]
    else:
        shards, old = None, np.flatnonzero(~covered)
        keys = spec.keys(coords[old])
    fetch = write.source.start(Extents.whole(keys)) if keys else Held(Batch.joined([]))
    stop.watch(fetch)
    return _Wave(write, rows, chain, route, per_pass, shards, covered, old, fetch)


def _halves(wave: _Wave, stop: runtime.Stop) -> Iterator[_Wave]:
    """The same chunks in two waves, or one shard in more passes; what they need is fetched anew."""
    parts, per_pass = np.array_split(wave.rows, 2), wave.per_pass
    if wave.shards is not None:
        parts = wave.shards.halves(wave.rows)
        if len(parts) == 1:
            per_pass = -(-min(per_pass, len(wave.rows)) // 2)
    for rows in parts:
        yield _wave(wave.write, rows, wave.route, per_pass, stop)
