"""Memory, transfers and launches: what a device made of kernels stands on.

A subclass has memory, copies to and from the host, kernels by name, and a library that
decompresses batches of streams. Nothing else differs between the emulated device and a GPU.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Batch, packed
from gpuzarr.config import config
from gpuzarr.device.counting import current
from gpuzarr.device.kernels import THREADS, Geometry, over_tiles

Ints = NDArray[np.int64]
Fields = Mapping[str, int]

TILE = 16384
"""Bytes that a block takes at a time, in most kernels."""

_ALIGNMENT = 16
_PARAMETERS = 256
"""Alignment of the small arrays of one launch, which are uploaded together."""


class Chunks(NamedTuple):
    """What the library compresses in one call: arrays of the device, 64 bits but for `status`.

    `found`, the encoded sizes, and `status` are to be set; `sizes` is `size` on the host, and each
    target has `room`.
    """

    source: Any
    size: Any
    target: Any
    found: Any
    status: Any
    sizes: Ints
    room: int


class Launcher(ABC):
    """A device's memory and its kernels."""

    processors: int
    """Multiprocessors, which launches are to fill."""

    trusts = True
    """Whether streams may reach decoders that are undefined on bytes which break the format."""

    def begin(self, stream: Any = None) -> Any:
        """What the work of a read has to wait for: what the caller's stream was given before."""
        return stream

    @contextmanager
    def working(self, begun: Any) -> Iterator[None]:
        """Sets a thread up to work on the device; all it did is done at the end of the block."""
        try:
            yield
        finally:
            self._wait()

    def _wait(self) -> None:
        """Wait until the device has done all that this thread gave it to do."""
        current().waits += 1

    @abstractmethod
    def free_memory(self) -> None:
        """Give back what is kept for later, after an error for want of memory."""

    @abstractmethod
    def identity(self) -> str:
        """The hardware and the libraries that its speed depends on, in a few words."""

    @abstractmethod
    def facts(self) -> dict[str, str]:
        """What this device is made of, by name, in words."""

    def wave_bytes(self) -> int:
        """Decoded bytes that one thread takes at a time, at most."""
        return int(config.get("device_wave_bytes"))

    def host_memory(self, nbytes: int) -> NDArray[np.uint8]:
        """Memory of the host's from which copies to the device are fast."""
        return np.empty(nbytes, np.uint8)

    @abstractmethod
    def empty(self, nbytes: int) -> Any:
        """An arena of `nbytes` undefined bytes."""

    @abstractmethod
    def _copy_in(self, values: NDArray[np.uint8]) -> Any:
        """Bytes of the host's on the device."""

    @abstractmethod
    def _copy_out(self, array: Any) -> NDArray[Any]:
        """A copy on the host."""

    @abstractmethod
    def _launch(self, op: str, kernel: str, shape: Geometry, args: Sequence[Any]) -> None:
        """Run one kernel of an op's file; arrays among the arguments are the device's."""

    @abstractmethod
    def _decompress(
        self, codec: str, source: Any, size: Any, capacity: Any, target: Any, room: Ints
    ) -> tuple[Any, Any]:
        """The library's batch call, on 64-bit arrays of the device.

        `room` has on the host what each stream decodes to at most, for the library's own memory.
        Gives the status (``int32``, 0 is good) and decoded size (``int64``) of each stream.
        """

    @abstractmethod
    def _alignment(self, codec: str) -> tuple[int, int]:
        """What the library wants addresses of encoded streams and of their targets to be
        multiples of."""

    @abstractmethod
    def largest_chunk(self, codec: str) -> int:
        """Bytes of one stream that the library compresses, at most; 0 if it cannot at all."""

    @abstractmethod
    def _compress_needs(self, codec: str, largest: int, fields: Fields) -> tuple[int, int, int]:
        """What addresses of streams of up to `largest` bytes and of their targets have to be
        multiples of, and bytes that each target needs."""

    @abstractmethod
    def _compress(self, codec: str, chunks: Chunks, fields: Fields) -> int:
        """The library's batch call; the number of calls, where its own memory takes several."""

    # --- transfers --------------------------------------------------------------------------------

    def to_device(self, values: NDArray[Any]) -> Any:
        """An array of the host's as bytes on the device."""
        counts = current()
        counts.uploads += 1
        counts.bytes_uploaded += values.nbytes
        return self._copy_in(np.ascontiguousarray(values).reshape(-1).view(np.uint8))

    def to_host(self, array: Any) -> NDArray[Any]:
        """A copy on the host."""
        counts = current()
        counts.downloads += 1
        counts.waits += 1
        counts.bytes_downloaded += array.nbytes
        return self._copy_out(array)

    def upload(self, batch: Batch) -> Batch:
        """A batch of the host's, in one copy; it keeps the bytes on the host too."""
        if not len(batch):
            return replace(batch, arena=self.empty(0), host=batch.arena[:0])
        first, last = _span(batch)
        gaps = last - first - int(batch.sizes.sum())
        if gaps > 64 * len(batch) + TILE and 2 * gaps > last - first:  # most of it is not ours
            streams = [batch.arena[a:b] for a, b in batch.spans()]
            batch, first = Batch.joined(streams, batch.dtype), 0
            last = len(batch.arena)
        host = batch.arena[first:last]
        return Batch(self.to_device(host), batch.offsets - first, batch.sizes, batch.dtype, host)

    def download(self, batch: Batch) -> Batch:
        """A batch on the host, where its bytes may be already."""
        if batch.host is not None:
            return replace(batch, arena=batch.host, host=None)
        together, (first, last) = batch, _span(batch)
        if last - first > 2 * int(batch.sizes.sum()):  # most of it is not theirs
            together = self.room_for(batch.sizes)
            self.copy(batch, together)
            first, last = _span(together)
        host = self.to_host(together.arena[first:last])
        return Batch(host, together.offsets - first, batch.sizes, batch.dtype)

    def room_for(self, sizes: Ints) -> Batch:
        """Memory for streams of these sizes, each aligned for any element."""
        room = -(-sizes // _ALIGNMENT) * _ALIGNMENT
        return Batch(self.empty(int(room.sum())), packed(room), sizes)

    def aligned(self, batch: Batch, alignment: int) -> Batch:
        """Streams whose addresses are multiples of this; copied where they are not."""
        if not (addresses(batch) % alignment).any():
            return batch
        into = self.room_for(batch.sizes)
        self.copy(batch, into)
        return replace(into, dtype=batch.dtype)

    def copy(self, batch: Batch, into: Batch) -> None:
        """Copy each stream into its slot."""
        self.streams("copy", "copy", batch, into)

    def move(self, source: Ints, target: Ints, sizes: Ints) -> None:
        """Copy bytes from addresses to addresses, of any arenas."""
        tiles = first_tiles(-(-sizes // TILE))
        shape = over_tiles(int(tiles[-1]), self.processors)
        self.launch("copy", "copy", shape, source, target, sizes, tiles, np.uint32(len(sizes)))

    # --- launches ---------------------------------------------------------------------------------

    def launch(self, op: str, kernel: str, shape: Geometry, *args: Any) -> None:
        """Run a kernel; arrays of the host among its arguments are uploaded in one copy."""
        sizes = np.array([a.nbytes if isinstance(a, np.ndarray) else 0 for a in args], np.int64)
        room = -(-sizes // _PARAMETERS) * _PARAMETERS
        places, packet = packed(room).tolist(), np.zeros(int(room.sum()), np.uint8)
        for arg, place in zip(args, places, strict=True):
            if isinstance(arg, np.ndarray):
                packet[place : place + arg.nbytes] = (
                    np.ascontiguousarray(arg).reshape(-1).view("u1")
                )
        held = self.to_device(packet) if len(packet) else self.empty(1)
        values = [
            np.uint64(held.data.ptr + place) if isinstance(arg, np.ndarray) else arg
            for arg, place in zip(args, places, strict=True)
        ]
        current().launches[op] += 1
        self._launch(op, kernel, shape, values)

    def streams(
        self,
        op: str,
        kernel: str,
        batch: Batch,
        into: Batch,
        *args: Any,
        tile: int = TILE,
        threads: int = THREADS,
    ) -> None:
        """Run a kernel of streams whose targets have the sizes of their sources."""
        tiles = first_tiles(-(-batch.sizes // tile))
        if tiles[-1]:
            shape = over_tiles(int(tiles[-1]), self.processors, threads)
            ends = addresses(batch), addresses(into), batch.sizes, tiles
            self.launch(op, kernel, shape, *ends, np.uint32(len(batch)), *args)

    def decompressed(self, codec: str, batch: Batch, into: Batch) -> tuple[Ints, Ints]:
        """What the library says of each stream: its status, 0 where it is good, and its size."""
        source, target = self._alignment(codec)
        batch, slots = self.aligned(batch, source), into
        if (addresses(into) % target).any():
            slots = self.room_for(into.sizes)
        ends = np.stack([addresses(batch), batch.sizes, slots.sizes, addresses(slots)])
        table = self.to_device(ends).view(np.int64).reshape(4, len(batch))
        comp, size, room, end = (table[k] for k in range(4))
        verdicts = self.decompress_streams(codec, comp, size, room, end, slots.sizes)
        if slots is not into:
            self.copy(slots, into)
        return verdicts

    def decompress_streams(
        self, codec: str, source: Any, size: Any, capacity: Any, target: Any, room: Ints
    ) -> tuple[Ints, Ints]:
        """The same, of addresses and sizes that are on the device."""
        current().launches[f"decompress {codec}"] += 1
        status, found = self._decompress(codec, source, size, capacity, target, room)
        return self.to_host(status).astype(np.int64), self.to_host(found)


def _span(batch: Batch) -> tuple[int, int]:
    """The part of the arena that all streams lie in."""
    if not len(batch):
        return 0, 0
    return int(batch.offsets.min()), int((batch.offsets + batch.sizes).max())


def addresses(batch: Batch) -> Ints:
    """Of each stream, on its device."""
    found: Ints = batch.arena.data.ptr + batch.offsets
    return found


def first_tiles(counts: Ints) -> NDArray[np.uint32]:
    """First tile of each stream, and the number of all."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)
