"""Byte order of chunks that are made on a device, where the op that gathers them only moves bytes.

They are put together in the byte order of what they are taken from, and swapped once at the end.
The host's op swaps as it copies.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gpuzarr.batch import Batch
from gpuzarr.device import Device
from gpuzarr.place import Layout


def ordered_like(layout: Layout, value: Any, device: Device) -> Layout:
    """The layout in which a device gathers chunks from this value, of native numbers or others."""
    if device.is_host or layout.dtype.isnative == value.dtype.isnative:
        return layout
    return replace(layout, dtype=layout.dtype.newbyteorder("S"))


def ordered(batch: Batch, found: Layout, wanted: Layout, device: Device) -> Batch:
    """Chunks in the byte order of a layout; the same ones where they have it."""
    if found.dtype == wanted.dtype:
        return batch
    into = device.room_for(batch.sizes)
    swap(batch, into, wanted, device)
    return replace(into, dtype=wanted.dtype)


def swap(batch: Batch, into: Batch, layout: Layout, device: Device) -> None:
    """Chunks in the other byte order, into slots of their sizes."""
    dtype = layout.dtype
    device.byte_swap(batch, into, dtype.itemsize // (2 if dtype.kind == "c" else 1))
