"""The main path: plan → locate → fetch → decode → place.

`read` takes any number of planned reads as one batch. Shard indexes are fetched first and refine
the plan to inner chunks; then the chunks go wave by wave, on threads, from the source through the
chain into the result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr import runtime
from gpuzarr.batch import MISSING, Batch, Scratch
from gpuzarr.codecs.chain import Chain, StageError, chain_of
from gpuzarr.config import config
from gpuzarr.device import Device
from gpuzarr.errors import ChunkError, StreamError
from gpuzarr.locate import check_extents, locate
from gpuzarr.place import Boxes, Placement, contiguous_offsets
from gpuzarr.plan import ReadPlan, chunk_shape
from gpuzarr.report import Report, Tally, timed
from gpuzarr.route import Route, choose
from gpuzarr.shards import Extents
from gpuzarr.sources import Fetch, Source
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


def read(reads: Sequence[Read], device: Device, stop: runtime.Stop | None = None) -> None:
    """Fill the targets of all reads.

    `stop` ends the read from another thread.

    Raises
    ------
    ChunkError, StoreError
        For the first chunk that cannot be read; the content of the targets is then undefined.
    """
    routes = [route_of(r.plan, device) for r in reads]
    for r, route in zip(reads, routes, strict=True):
        r.report.threads = route.threads
    stop = stop or runtime.Stop()
    waves = _Waves(reads, routes, device, stop)

    def work(wave: _Wave) -> None:
        with Scratch.lent() as scratch:
            _read_wave(wave, device, scratch)
        stop.forget(wave.fetch)

    threads = max((route.threads for route in routes), default=1)
    runtime.run(work, waves.started(), threads, stop)


def _read_wave(wave: _Wave, device: Device, scratch: Scratch) -> None:
    """fetch → decode → place, for the chunks of one wave."""
    read, chain, tally = wave.read, wave.chain, Tally()
    placement = read.plan.parts.placement(wave.rows)
    batch = timed(tally, "fetch", wave.fetch.result, scratch)
    present = batch.sizes != MISSING
    if not present.all():
        timed(tally, "fill", _fill, read, device, placement, present)
        slots = np.cumsum(present) - 1
        batch, placement = batch.take(present), placement.take(present[placement.slots], slots)
    rows = np.flatnonzero(present)
    tally.chunks, tally.missing = len(rows), len(present) - len(rows)
    tally.bytes_read = int(batch.sizes.sum())
    if len(rows):
        try:
            if wave.extents.are_ranges:
                check_extents(batch, wave.extents.nbytes[rows])
            target = _direct_target(read, chain, placement)
            decoded = chain.decode(batch, target, device, scratch, tally.seconds)
        except StageError as error:
            raise _located(wave, rows, error.stage, error.error, device) from error.error
        except StreamError as error:
            raise _located(wave, rows, "sharding_indexed", error, device) from error
        except MemoryError as error:
            size = len(rows) * chain.layout.size
            reason = StreamError(0, f"expected memory for {size} decoded bytes, found too little")
            raise _located(wave, rows, "allocate", reason, device) from error
        tally.bytes_decoded = len(rows) * chain.layout.size
        if target is None:
            timed(tally, "place", device.place, read.target, decoded, chain.layout, placement,
                   read.field)  # fmt: skip
    read.report.add(tally, wave.route)


class _Waves:
    """The waves of all reads, with as many requests started ahead as their source wants."""

    def __init__(
        self, reads: Sequence[Read], routes: Sequence[Route], device: Device, stop: runtime.Stop
    ) -> None:
        self._reads, self._routes, self._device, self._stop = reads, routes, device, stop

    def started(self) -> Iterator[_Wave]:
        """Waves in order, each with its fetch begun."""
        pending: deque[_Wave] = deque()
        requests = 0
        for wave in self._all():
            pending.append(wave)
            requests += len(wave.rows)
            ahead = wave.read.source.requests_ahead
            while pending and requests - len(pending[0].rows) >= ahead:
                requests -= len(pending[0].rows)
                yield pending.popleft()
        yield from pending

    def _all(self) -> Iterator[_Wave]:
        for read, route in zip(self._reads, self._routes, strict=True):
            plan = read.plan
            is_sharded = plan.count and plan.spec.levels
            located = None
            if is_sharded:
                located = locate(plan, read.source, self._device, read.report, self._stop)
            for first, last in plan.waves(route.chunks_per_wave):
                rows = plan.order[first:last]
                coords = plan.parts.coords(rows)
                if located is None:
                    extents = Extents.whole(plan.spec.keys(coords))
                else:
                    extents = located.take(np.arange(first, last))
                fetch = read.source.start(extents)
                self._stop.watch(fetch)
                chain = chain_of(plan.spec.format(chunk_shape(plan.spec, coords[0])))
                yield _Wave(read, rows, chain, route, extents, fetch)


def _direct_target(read: Read, chain: Chain, placement: Placement) -> Batch | None:
    """Slots in the result itself, where the last stage can write each chunk in one piece."""
    layout, target = chain.layout, read.target
    if not chain.writes or not isinstance(placement, Boxes) or read.field is not None:
        return None
    if not layout.is_c_order or layout.on_host_only or layout.dtype != target.dtype:
        return None
    if not target.flags.c_contiguous:
        return None
    offsets = contiguous_offsets(placement, layout.shape, target.shape, layout.dtype.itemsize)
    if offsets is None:
        return None
    arena = target.reshape(-1).view(np.uint8)
    return Batch(arena, offsets, np.full(len(offsets), layout.size, np.int64))


def _fill(read: Read, device: Device, placement: Placement, present: NDArray[np.bool_]) -> None:
    value = read.spec.fill if read.field is None else np.asarray(read.spec.fill)[read.field]
    slots = np.arange(len(present))
    device.fill(read.target, value, placement.take(~present[placement.slots], slots))


def _located(wave: _Wave, rows: Ints, stage: str, error: StreamError, device: Device) -> ChunkError:
    """The error of a stream, with the names of its array and chunk."""
    row, spec = int(rows[error.slot]), wave.read.spec
    key = wave.extents.keys[int(wave.extents.resource[row])]
    if spec.levels:
        coords = wave.read.plan.parts.coords(wave.rows[row : row + 1])[0]
        inner = coords % np.array(spec.chunks_per_outer)
        key = f"{key} (inner chunk {tuple(inner.tolist())})"
    return error.kind(error.reason, array=spec.name, chunk=key, stage=stage, device=device.name)


def route_of(plan: ReadPlan, device: Device) -> Route:
    """How this plan would be read; nothing is read for it."""
    shape = (
        chunk_shape(plan.spec, plan.parts.coords(plan.order[:1])[0])
        if plan.count
        else (tuple(1 for _ in plan.spec.shape))
    )
    return choose(
        chain_of(plan.spec.format(shape)),
        device,
        chunks=plan.count,
        thread_limit=runtime.thread_limit(),
        wave_bytes=int(config.get("wave_bytes")),
    )
