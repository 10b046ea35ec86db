"""Compression by a device's library: where streams go, in which calls, and what comes back."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from gpuzarr.batch import Batch
from gpuzarr.device.counting import current
from gpuzarr.device.launcher import Chunks, addresses
from gpuzarr.errors import StreamError, UnsupportedError

if TYPE_CHECKING:
    from gpuzarr.device.launcher import Fields, Launcher


def compressed(device: Launcher, codec: str, batch: Batch, fields: Fields) -> Batch:
    """Each stream as the library compresses it, in a slot of its own; one copy up, one down.

    Targets have the room that the largest stream of a call may need, so streams whose sizes
    are of one power of two make a call.

    Parameters
    ----------
    codec
        One that has a `largest_chunk`.
    fields
        Options by their names in `nvcomp_compress`.

    Raises
    ------
    UnsupportedError
        If a stream is larger than `largest_chunk`.
    StreamError
        For the first stream that the library does not compress.
    """
    most, largest = device.largest_chunk(codec), int(batch.sizes.max(initial=0))
    if largest > most:
        raise UnsupportedError(
            f"The device's library compresses {codec} streams of up to {most:,} bytes, found "
            f"one of {largest:,}."
        )
    if not len(batch):
        return batch
    power = np.frexp(np.maximum(batch.sizes - 1, 0))[1]
    order = np.argsort(power, kind="stable")
    ends = [0, *(np.flatnonzero(np.diff(power[order])) + 1).tolist(), len(batch)]
    runs = [(first, last) for first, last in itertools.pairwise(ends) if last > first]
    alignment, room = 1, np.zeros(len(batch), np.int64)
    for first, last in runs:
        slots = order[first:last]
        most = int(batch.sizes[slots].max())
        alignment, _, room[slots] = device._compress_needs(codec, most, fields)
    batch, into = device.aligned(batch, alignment), device.room_for(room)
    table = np.stack([addresses(batch), batch.sizes, addresses(into)])[:, order]
    rows = device.to_device(table).view(np.int64).reshape(3, len(batch))
    verdict, middle = device.empty(12 * len(batch)), 8 * len(batch)
    columns = (
        *(rows[k] for k in range(3)),
        verdict[:middle].view(np.int64),
        verdict[middle:].view(np.int32),
    )
    for first, last in runs:
        source, size, target, found, status = (column[first:last] for column in columns)
        sizes, each = table[1, first:last], int(room[order[first]])
        chunks = Chunks(source, size, target, found, status, sizes, each)
        current().launches[f"compress {codec}"] += device._compress(codec, chunks, fields)
    host = device.to_host(verdict)
    encoded, verdicts = np.zeros_like(batch.sizes), np.zeros(len(batch), np.int64)
    encoded[order], verdicts[order] = host[:middle].view(np.int64), host[middle:].view(np.int32)
    bad = np.flatnonzero((verdicts != 0) | (encoded <= 0) | (encoded > room))
    if len(bad):
        slot = int(bad[0])
        words = f"status {verdicts[slot]} and {encoded[slot]:,} bytes"
        raise StreamError(slot, f"expected bytes that {codec} compresses, found {words}")
    return into.within(into.offsets, encoded)
