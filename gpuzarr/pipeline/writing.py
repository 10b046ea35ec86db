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

from gpuzarr import runtime
from gpuzarr.batch import MISSING, Batch, Scratch
from gpuzarr.codecs.chain import Chain
from gpuzarr.codecs.preparing import chain_of
from gpuzarr.device import Device
from gpuzarr.pipeline.counts import count
from gpuzarr.pipeline.merging import Shards
from gpuzarr.pipeline.reading import route_of
from gpuzarr.pipeline.under_way import UnderWay, tell_what_is_written
from gpuzarr.pipeline.waves import naming, slots_in, started_ahead
from gpuzarr.place import Boxes, Layout, Placement
from gpuzarr.plan import ReadPlan, chunk_shape
from gpuzarr.report import Tally, WriteReport, timed
from gpuzarr.shards import Extents
from gpuzarr.sources import Fetch, Sink, Source
from gpuzarr.sources.memory import Held
from gpuzarr.spec import Spec

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
_NOTHING = Batch.uniform(np.empty(0, np.uint8), 0, 0)


@dataclass
class Write:
    """A planned write, and the raw value that it takes the chunks from.

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

    `old` are the numbers of the stored objects whose content is needed, among the rows or the
    shards, and `fetch` their bytes.
    """

    write: Write
    rows: Ints
    covered: Mask
    chain: Chain
    per_pass: int
    shards: Shards | None
    old: Ints
    fetch: Fetch

    @property
    def requests(self) -> int:
        """One per object that is read first."""
        return len(self.old)

    @property
    def requests_ahead(self) -> int:
        """As the source wants it."""
        return self.write.source.requests_ahead


def write(writes: Sequence[Write], device: Device, stop: runtime.Stop | None = None) -> None:
    """Encode and store the chunks of all writes.

    `stop` ends the write from another thread.

    Raises
    ------
    ChunkError, StoreError, ReadOnlyError
        For the first chunk that cannot be encoded or stored, or read to be merged. Each stored
        object is then as it was or as it should be; the error's `written` and its note name
        those that are written.
    """
    stop = stop or runtime.Stop()
    under_way = UnderWay(stop)

    def work(wave: _Wave) -> None:
        with Scratch.lent() as scratch:
            _write_wave(wave, device, scratch, stop, under_way)
        stop.forget(wave.fetch)

    threads = max((_threads(w) for w in writes), default=1)
    try:
        waves = started_ahead(_waves(writes, device, threads, stop))
        runtime.run(work, waves, threads, stop)
        under_way.finish()
    except BaseException as error:
        under_way.give_up()
        tell_what_is_written(error, [w.report for w in writes])
        raise


def _write_wave(
    wave: _Wave, device: Device, scratch: Scratch, stop: runtime.Stop, under_way: UnderWay
) -> None:
    """gather → encode → store, for the chunks of one wave."""
    write, shards, tally = wave.write, wave.shards, Tally()
    old = timed(tally, "fetch", wave.fetch.result, scratch)
    tally.bytes_read = int(old.sizes[old.sizes != MISSING].sum())
    if shards is None:
        existing = _spread(old, wave.old, len(wave.rows))
        batch = _encoded(wave, slice(None), existing, device, scratch, tally)
        objects = iter([(write.spec.keys(write.plan.parts.coords(wave.rows)), batch)])
    else:
        shards.keep(wave.old, old, write.report, stop)
        for first in range(0, len(wave.rows), wave.per_pass):
            part = slice(first, first + wave.per_pass)
            batch = _encoded(wave, part, shards.streams(part), device, scratch, tally)
            shards.replace(part, batch)
        objects = shards.assembled(device)
    for keys, batch in objects:
        tally.bytes_written += int(batch.sizes[batch.sizes != MISSING].sum())
        storing = timed(tally, "store", write.sink.put, keys, batch, write.report.written)
        under_way.add(storing, len(keys), write.sink.requests_ahead)
    write.report.add(tally)
    count("written", len(wave.rows), wave.chain)


def _spread(batch: Batch, slots: Ints, count: int) -> Batch:
    """The streams at these of `count` slots, with none elsewhere."""
    offsets, sizes = np.zeros(count, np.int64), np.full(count, MISSING, np.int64)
    offsets[slots], sizes[slots] = batch.offsets, batch.sizes
    return Batch(batch.arena, offsets, sizes)


def _encoded(
    wave: _Wave, part: slice, existing: Batch, device: Device, scratch: Scratch, tally: Tally
) -> Batch:
    """The new streams of some rows; none where nothing but the fill value is left."""
    write, chain, rows = wave.write, wave.chain, wave.rows[part]
    placement = write.plan.parts.placement(rows)
    chunks = slots_in(write.value, write.field, chain.layout, placement, device)
    if chunks is None:
        present = ~wave.covered[part] & (existing.sizes != MISSING)
        chunks = _merged(wave, rows, placement, present, existing, device, scratch, tally)
    stored = np.arange(len(rows))
    if not write.write_empty:
        empty = timed(tally, "compare", device.equals_fill, chunks, chain.layout, write.spec.fill)
        stored = np.flatnonzero(~empty)
    tally.chunks += len(stored)
    tally.missing += len(rows) - len(stored)
    tally.bytes_encoded += len(stored) * chain.layout.size
    if not len(stored):
        return _spread(_NOTHING, stored, len(rows))
    with naming(write.plan, rows[stored], chain, device, "written"):
        encoded = chain.encode(chunks.take(stored), device, tally.seconds)
    return _spread(encoded, stored, len(rows))


def _merged(
    wave: _Wave,
    rows: Ints,
    placement: Placement,
    present: Mask,
    existing: Batch,
    device: Device,
    scratch: Scratch,
    tally: Tally,
) -> Batch:
    """Whole chunks: what is stored, or the fill value, and the value over it."""
    write, chain = wave.write, wave.chain
    chunks = _slots(chain, len(rows), bool(write.spec.levels), device, scratch)
    blank = ~present
    if write.field is None:
        blank &= ~_overwritten(placement, chain.layout)
    if blank.any():
        timed(tally, "fill", device.fill_chunks, chunks.take(blank), chain.layout, write.spec.fill)
    if present.any():
        streams, slots = existing.take(present), chunks.take(present)
        target = slots if chain.writes and not chain.layout.on_host_only else None
        with naming(write.plan, rows[present], chain, device, "read"):
            decoded = chain.decode(streams, target, device, scratch, tally.seconds)
        if decoded.arena is not chunks.arena:
            device.copy(decoded, slots)
    timed(tally, "gather", device.gather, write.value, chunks, chain.layout, placement, write.field)
    return chunks


def _slots(chain: Chain, count: int, is_sharded: bool, device: Device, scratch: Scratch) -> Batch:
    """Memory for whole chunks; not to be used again where it has to wait for its shard."""
    layout = chain.layout
    if layout.on_host_only:
        arena: Any = np.empty(count * layout.size, layout.dtype)
    elif chain.stages or not is_sharded:
        arena = scratch.take("chunks", count * layout.size)
    else:
        arena = device.empty(count * layout.size)
    batch = Batch.uniform(arena, count, layout.size)
    batch.dtype = layout.dtype
    return batch


def _overwritten(placement: Placement, layout: Layout) -> Mask:
    """Slots of which the value covers every element, beyond the array as well."""
    if not isinstance(placement, Boxes):
        return np.zeros(len(placement.slots), bool)
    shape = tuple(layout.shape[axis] for axis in layout.axes)
    overwritten: Mask = (placement.count == np.array(shape, np.int64)).all(axis=1)
    return overwritten


def _waves(
    writes: Sequence[Write], device: Device, threads: int, stop: runtime.Stop
) -> Iterator[_Wave]:
    """The waves of all writes in order, each with the fetch of what it needs begun."""
    for write in writes:
        plan, spec, report = write.plan, write.spec, write.report
        per_pass = route_of(plan, device).chunks_per_wave
        report.threads = threads
        for first, last in plan.waves(per_pass):
            rows = plan.order[first:last]
            coords = plan.parts.coords(rows)
            covered = write.covers(rows, bool(spec.levels))
            chain = chain_of(spec.format(chunk_shape(spec, coords[0]), write.write_empty))
            if spec.levels:
                shards = Shards(spec, coords)
                old = shards.not_rewritten(covered)
                keys = [shards.keys[n] for n in old.tolist()]
            else:
                shards, old = None, np.flatnonzero(~covered)
                keys = spec.keys(coords[old])
            fetch = write.source.start(Extents.whole(keys)) if keys else Held(_NOTHING)
            stop.watch(fetch)
            yield _Wave(write, rows, covered, chain, per_pass, shards, old, fetch)


def _threads(write: Write) -> int:
    objects = len(write.plan.cuts) - 1 if write.spec.levels else write.plan.count
    return max(1, min(runtime.thread_limit(), objects))
