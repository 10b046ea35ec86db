"""From a value to encoded chunks: gather, merge with what is stored, leave out, encode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import MISSING, Batch, Scratch
from gpuzarr.codecs.chain import Chain, spread
from gpuzarr.codecs.ordering import ordered, ordered_like, swap
from gpuzarr.device import Device
from gpuzarr.device.counting import current
from gpuzarr.pipeline.waves import naming, slots_in
from gpuzarr.place import Boxes, Layout, Placement
from gpuzarr.plan import ReadPlan
from gpuzarr.report import Tally, timed

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass
class Chunks:
    """Some rows of a plan that are to be encoded.

    `value` is the raw value on the device, of which `field` names the field of a struct that
    alone is written; `covered` are the rows of which nothing old is left; `existing` has the
    encoded streams that are stored, on the host.
    """

    plan: ReadPlan
    rows: Ints
    covered: Mask
    existing: Batch
    value: Any
    field: Any
    write_empty: bool
    chain: Chain

    def encoded(self, device: Device, scratch: Scratch, tally: Tally) -> Batch:
        """The new streams; none where nothing but the fill value is left."""
        plan, chain, count = self.plan, self.chain, len(self.rows)
        layout = ordered_like(chain.layout, self.value, device)
        placement = plan.parts.placement(self.rows)
        chunks = slots_in(self.value, self.field, layout, placement, device)
        if chunks is None:
            chunks = self._merged(layout, placement, device, scratch, tally)
        stored = np.arange(count)
        if not self.write_empty:
            fill = plan.spec.fill
            empty = timed(tally, "compare", device.equals_fill, chunks, layout, fill)
            stored = np.flatnonzero(~empty)
        tally.chunks += len(stored)
        tally.missing += count - len(stored)
        tally.bytes_encoded += len(stored) * layout.size
        if not len(stored):
            return Batch.joined([None] * count)
        left = current().on_host.copy()  # while old chunks were decoded
        with naming(plan, self.rows[stored], chain, device, "written"):
            chunks = ordered(chunks.take(stored), layout, chain.layout, device)
            encoded = chain.encode(chunks, device, tally.seconds)
        tally.on_host.update(current().on_host - left)
        return spread(encoded, stored, count)

    def _merged(
        self, layout: Layout, placement: Placement, device: Device, scratch: Scratch, tally: Tally
    ) -> Batch:
        """Whole chunks in this layout: what is stored, or the fill value, and the value over it."""
        spec, chain = self.plan.spec, self.chain
        present = ~self.covered & (self.existing.sizes != MISSING)
        chunks = _slots(chain, len(self.rows), bool(spec.levels), device, scratch)
        blank = ~present
        if self.field is None:
            blank &= ~_overwritten(placement, layout)
        if blank.any():
            timed(tally, "fill", device.fill_chunks, chunks.take(blank), layout, spec.fill)
        if present.any():
            streams, slots = self.existing.take(present), chunks.take(present)
            is_swapped = layout.dtype != chain.layout.dtype
            writes = chain.writes_on(device) and not layout.on_host_only and not is_swapped
            with naming(self.plan, self.rows[present], chain, device, "read"):
                decoded = chain.decode(
                    streams, slots if writes else None, device, scratch, tally.seconds
                )
            if is_swapped:
                swap(decoded, slots, layout, device)
            elif decoded.arena is not chunks.arena:
                device.copy(decoded, slots)
        timed(tally, "gather", device.gather, self.value, chunks, layout, placement, self.field)
        return chunks


def _slots(chain: Chain, count: int, is_sharded: bool, device: Device, scratch: Scratch) -> Batch:
    """Memory for whole chunks; not to be used again where it has to wait for its shard."""
    layout = chain.layout
    if not device.is_host:
        return device.room_for(np.full(count, layout.size, np.int64))
    if layout.on_host_only:
        arena: Any = np.empty(count * layout.size, layout.dtype)
    elif chain.stages or not is_sharded:
        arena = scratch.take("chunks", count * layout.size)
    else:
        arena = device.empty(count * layout.size)
    return Batch.uniform(arena, count, layout.size, layout.dtype)


def _overwritten(placement: Placement, layout: Layout) -> Mask:
    """Slots of which the value covers every element, beyond the array as well."""
    if not isinstance(placement, Boxes):
        return np.zeros(len(placement.slots), bool)
    shape = tuple(layout.shape[axis] for axis in layout.axes)
    overwritten: Mask = (placement.count == np.array(shape, np.int64)).all(axis=1)
    return overwritten
