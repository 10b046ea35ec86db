"""Batches and arrays on any device: put there, and looked at from the host.

Streams start at odd addresses and lie between poison, which is still there when they are looked
at; so is what no part of a placement covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gpuzarr.batch import Batch
from gpuzarr.device import Device
from gpuzarr.device.emulated_array import EmulatedArray
from gpuzarr.place import Layout

POISON = 0xA5
GAPS = (3, 32, 1, 8, 0, 21)


def put(device: Device, streams: Sequence[bytes], *, gaps: Sequence[int] = GAPS) -> Batch:
    """Streams with gaps of these sizes between them, as they are after an upload."""
    pieces, offsets, at = [], [], 0
    for number, stream in enumerate(streams):
        gap = gaps[number % len(gaps)]
        pieces += [bytes([POISON]) * gap, stream]
        offsets.append(at + gap)
        at += gap + len(stream)
    arena = np.frombuffer(b"".join([*pieces, bytes([POISON]) * 5]), np.uint8).copy()
    # the arena counts as a stream of its own, so that all of it goes up
    first = [0, *offsets], [len(arena), *map(len, streams)]
    batch = device.upload(Batch(arena, *(np.array(column, np.int64) for column in first)))
    return batch.take(np.arange(1, len(batch)))


def made(device: Device, streams: Sequence[bytes], *, gaps: Sequence[int] = GAPS) -> Batch:
    """Streams as an op of the device leaves them: nothing of them is on the host."""
    batch = put(device, streams, gaps=gaps)
    if not device.is_host:
        batch = replace(batch, host=None)
    return batch


def slots(device: Device, sizes: Sequence[int], *, gaps: Sequence[int] = GAPS) -> Batch:
    """Targets of these sizes, with poison in them."""
    return made(device, [bytes([POISON]) * size for size in sizes], gaps=gaps)


def streams_of(device: Device, batch: Batch) -> list[bytes]:
    """Streams of any batch."""
    host = device.download(batch)
    assert len(host) == len(batch)
    return [host.arena[start:stop].tobytes() for start, stop in host.spans()]


def written(device: Device, batch: Batch) -> list[bytes]:
    """Streams of a batch made by `made` or `slots`, beside which nothing has been written."""
    arena = np.frombuffer(_arena(device, batch.arena), np.uint8)
    beside = np.ones(len(arena), bool)
    for start, stop in batch.spans():
        beside[start:stop] = False
    assert (arena[beside] == POISON).all()
    return [arena[start:stop].tobytes() for start, stop in batch.spans()]


def _arena(device: Device, arena: Any) -> bytes:
    return streams_of(device, Batch.uniform(arena, 1, len(arena)))[0]


class Array:
    """An array on a device: `whole` C-contiguous, and `part` a view of it.

    Parameters
    ----------
    content
        Of the whole array.
    index, axes
        ``whole[index].transpose(axes)`` is the part.
    shift
        Bytes between an aligned address and the first element.
    """

    def __init__(
        self,
        device: Device,
        content: np.ndarray,
        index: Any = ...,
        axes: Sequence[int] | None = None,
        shift: int = 0,
    ) -> None:
        self._device, self._index, self._axes = device, index, axes
        self._dtype, self._shape, self._shift = content.dtype, content.shape, shift
        raw = bytes([POISON]) * shift + np.ascontiguousarray(content).tobytes()
        self._arena = device.empty(len(raw))
        device.copy(put(device, [raw]), Batch.uniform(self._arena, 1, len(raw)))
        self.whole = self._arena[shift:].view(content.dtype).reshape(content.shape)
        self.part = self.view(self.whole)

    def view(self, whole: Any) -> Any:
        """The part of an array of this shape."""
        index = self._index if isinstance(self._index, tuple) else (self._index,)
        part = whole[index if Ellipsis in index else (*index, ...)]  # never a scalar
        return part if self._axes is None else part.transpose(*self._axes)

    def host(self) -> np.ndarray:
        """All of it on the host; nothing has been written before its first element."""
        raw = _arena(self._device, self._arena)
        assert raw[: self._shift] == bytes([POISON]) * self._shift
        return np.frombuffer(raw[self._shift :], self._dtype).reshape(self._shape).copy()


def like(device: Device, value: np.ndarray, dtype: np.dtype) -> Any:
    """An array as this one, with its order of axes, and strides that go back or are 0.

    On the host it is the array itself; elsewhere its elements are of this dtype.
    """
    if device.is_host:
        return value
    once = tuple(slice(0, 1) if s == 0 else slice(None) for s in value.strides)
    ways = tuple(slice(None, None, -1 if s < 0 else 1) for s in value.strides)
    order = np.argsort([-abs(s) for s in value.strides], kind="stable")
    memory = value[once][ways].transpose(order).astype(dtype)
    held = Array(device, memory).part.transpose(*np.argsort(order))[ways]
    if held.shape == value.shape:
        return held
    if isinstance(held, EmulatedArray):
        return EmulatedArray(np.broadcast_to(held._view, value.shape))
    return np.broadcast_to(held, value.shape)


def poisoned(shape: Sequence[int], dtype: Any) -> np.ndarray:
    """Elements made of poison."""
    count = int(np.prod(shape, dtype=np.int64))
    raw = np.full(count * np.dtype(dtype).itemsize, POISON, np.uint8)
    return raw.view(dtype).reshape(tuple(shape))


def random(rng: np.random.Generator, shape: Sequence[int], dtype: Any) -> np.ndarray:
    """Elements of any bits, bool ones excepted."""
    count = int(np.prod(shape, dtype=np.int64))
    raw = rng.integers(0, 256, count * np.dtype(dtype).itemsize, np.uint8)
    if np.dtype(dtype).kind == "b":
        raw &= 1
    return raw.view(dtype).reshape(tuple(shape))


def layout_of(dtype: Any, shape: Sequence[int], axes: Sequence[int]) -> Layout:
    """Of chunks of this shape, whose memory has their axes in another order."""
    return Layout(np.dtype(dtype), tuple(shape[a] for a in np.argsort(axes)), tuple(axes))


def chunk_of(stream: bytes | np.ndarray, layout: Layout) -> np.ndarray:
    """A view of a chunk's bytes as an array."""
    raw = np.frombuffer(stream, np.uint8) if isinstance(stream, bytes) else stream
    return raw.view(layout.dtype).reshape(layout.shape).transpose(layout.axes)
