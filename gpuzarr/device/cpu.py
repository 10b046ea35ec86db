"""The CPU: well-kept libraries, stream by stream, none of which holds the GIL while it works."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Batch, packed
from gpuzarr.config import config
from gpuzarr.device import (
    cpu_checksums,
    cpu_decoders,
    cpu_encoders,
    cpu_fill,
    cpu_numbers,
    cpu_place,
    cpu_unsized,
    host_memory,
)
from gpuzarr.device.protocol import Casting
from gpuzarr.errors import ChunkSizeError, SizeError, StreamError
from gpuzarr.place import Layout, Placement
from gpuzarr.runtime import thread_limit


class CPU:
    """NumPy arrays and host memory."""

    name = "cpu"
    is_host = True
    trusts = True
    decompressors = frozenset(cpu_decoders.INTO)
    distrusted: frozenset[str] = frozenset()
    compressors = frozenset(cpu_encoders.ENCODERS)
    checksums = frozenset(cpu_checksums.CHECKSUMS)

    def begin(self, stream: Any = None) -> None:
        """Nothing: what was done before is done."""

    def working(self, begun: None) -> AbstractContextManager[None]:
        """Nothing has to be set up."""
        return nullcontext()

    def free_memory(self) -> None:
        """Give back what is kept for later, after an error for want of memory."""

    def identity(self) -> str:
        """Its name: the libraries are those of the package."""
        return self.name

    def facts(self) -> dict[str, str]:
        """How many processors there are to use."""
        return {"processors": f"{thread_limit()} threads decode."}

    def wave_bytes(self) -> int:
        """As configured: what stays in a cache."""
        return int(config.get("wave_bytes"))

    def host_memory(self, nbytes: int) -> NDArray[np.uint8]:
        """The same as `empty`."""
        return self.empty(nbytes)

    def empty(self, nbytes: int) -> NDArray[np.uint8]:
        """An arena of `nbytes` undefined bytes."""
        return np.empty(nbytes, np.uint8)

    def room_for(self, sizes: NDArray[np.int64]) -> Batch:
        """Memory for streams of these sizes, one behind the other."""
        return Batch(self.empty(int(sizes.sum())), packed(sizes), sizes)

    def new_result(self, shape: tuple[int, ...], dtype: np.dtype) -> NDArray[Any]:
        """A C-contiguous NumPy array."""
        return host_memory.empty(shape, dtype)

    def arena_of(self, array: NDArray[Any]) -> NDArray[np.uint8] | None:
        """The bytes of a C-contiguous array."""
        return array.reshape(-1).view(np.uint8) if array.flags.c_contiguous else None

    def upload(self, batch: Batch) -> Batch:
        """The batch: it is there."""
        return batch

    def download(self, batch: Batch) -> Batch:
        """The batch: it is there."""
        return batch

    def decompress(
        self, codec: str, batch: Batch, into: Batch | None, most: int | None = None
    ) -> Batch:
        """Decode each stream into its slot, or, if sizes are not known, one behind the other."""
        source = memoryview(batch.arena)
        if into is None:
            limit = int(config.get("most_unsized_bytes")) if most is None else most
            return self._decompress_unsized(codec, source, batch, limit)
        target = memoryview(into.arena)
        if codec == "zstd" and cpu_decoders.zstd_batch(batch, into):
            return into
        decode = cpu_decoders.INTO[codec]
        spans = zip(batch.spans(), into.spans(), strict=True)
        for slot, ((start, stop), (begin, end)) in enumerate(spans):
            try:
                decode(source[start:stop], target[begin:end])
            except SizeError as error:
                raise StreamError(slot, str(error), ChunkSizeError) from error
            except Exception as error:
                raise StreamError.refused(slot, f"a valid {codec} stream", error) from error
        return into

    def _decompress_unsized(self, codec: str, source: memoryview, batch: Batch, most: int) -> Batch:
        decode, results = cpu_unsized.UNSIZED[codec], []
        for slot, (start, stop) in enumerate(batch.spans()):
            try:
                results.append(np.frombuffer(decode(source[start:stop], most), np.uint8))
            except SizeError as error:
                raise StreamError(slot, str(error), ChunkSizeError) from error
            except Exception as error:
                raise StreamError.refused(slot, f"a valid {codec} stream", error) from error
        return Batch.joined(results)

    def largest_stream(self, codec: str) -> int:
        """Bytes of a stream that the format holds."""
        return cpu_encoders.MOST.get(codec, sys.maxsize)

    def cannot_encode(self, codec: str, options: dict[str, Any]) -> None:
        """The libraries are those that the options were made for."""

    def compress(self, codec: str, batch: Batch, options: dict[str, Any]) -> Batch:
        """Encode stream by stream, exactly as numcodecs does."""
        source, results = memoryview(batch.arena), []
        try:
            encode = cpu_encoders.ENCODERS[codec](options, batch.dtype)
            for start, stop in batch.spans():
                results.append(np.frombuffer(encode(source[start:stop]), np.uint8))
        except Exception as error:
            wanted = f"bytes that {codec} encodes"
            raise StreamError.refused(len(results), wanted, error) from error
        if len(results) == 1:  # a large chunk, as a rule, and its memory is nobody else's
            return Batch.uniform(results[0], 1, len(results[0]))
        return Batch.joined(results)

    def checksum(self, algorithm: str, batch: Batch) -> NDArray[np.uint32]:
        """The checksum of each stream."""
        compute, source = cpu_checksums.CHECKSUMS[algorithm], batch.arena
        return np.array([compute(source[a:b]) for a, b in batch.spans()], np.uint32)

    def attach_checksum(self, algorithm: str, batch: Batch, at_start: bool) -> Batch:
        """Each stream with its checksum, 4 bytes, little-endian, before or behind it."""
        sums = self.checksum(algorithm, batch).astype("<u4").view(np.uint8).reshape(-1, 4)
        sizes = batch.sizes + 4
        result = Batch(np.empty(int(sizes.sum()), np.uint8), packed(sizes), sizes)
        content = result.offsets + (4 if at_start else 0)
        for (start, stop), begin in zip(batch.spans(), content.tolist(), strict=True):
            result.arena[begin : begin + stop - start] = batch.arena[start:stop]
        where = result.offsets + (0 if at_start else batch.sizes)
        result.arena[where[:, None] + np.arange(4)] = sums
        return result

    def gather_u32(self, batch: Batch, offsets: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Little-endian unsigned integers at these offsets of the arena."""
        if not len(offsets):
            return np.empty(0, np.uint32)
        picked = batch.arena[offsets[:, None] + np.arange(4)]
        return np.ascontiguousarray(picked).view("<u4")[:, 0]

    def unshuffle(self, batch: Batch, into: Batch, typesize: int) -> None:
        """Put byte planes together to elements."""
        for (start, stop), (begin, end) in zip(batch.spans(), into.spans(), strict=True):
            cpu_decoders.unshuffle(batch.arena[start:stop], into.arena[begin:end], typesize)

    def shuffle(self, batch: Batch, into: Batch, typesize: int) -> None:
        """Take elements apart to byte planes."""
        for (start, stop), (begin, end) in zip(batch.spans(), into.spans(), strict=True):
            planes = into.arena[begin:end].reshape(typesize, -1)
            planes[...] = batch.arena[start:stop].reshape(-1, typesize).T

    def byte_swap(self, batch: Batch, into: Batch, width: int) -> None:
        """Reverse every `width` bytes."""
        for (start, stop), (begin, end) in zip(batch.spans(), into.spans(), strict=True):
            rows = batch.arena[start:stop].reshape(-1, width)
            into.arena[begin:end].reshape(-1, width)[...] = rows[:, ::-1]

    def computes(
        self,
        op: str,
        source: np.dtype,
        target: np.dtype,
        scale: Any = 1,
        offset: Any = 0,
        casting: Casting | None = None,
    ) -> str | None:
        """None, but for casts by rules that a package is missing for."""
        return cpu_numbers.NO_CASTING if casting and cpu_numbers.cast_into is None else None

    prefix_sum = staticmethod(cpu_numbers.prefix_sum)
    difference = staticmethod(cpu_numbers.difference)
    scale_offset = staticmethod(cpu_numbers.scale_offset)
    offset_scale = staticmethod(cpu_numbers.offset_scale)
    scale_offset_exact = staticmethod(cpu_numbers.scale_offset_exact)
    offset_scale_exact = staticmethod(cpu_numbers.offset_scale_exact)
    cast = staticmethod(cpu_numbers.cast)
    bit_unpack = staticmethod(cpu_numbers.bit_unpack)
    bit_pack = staticmethod(cpu_numbers.bit_pack)

    def place(
        self, target: Any, batch: Batch, layout: Layout, placement: Placement, field: Any
    ) -> None:
        """Copy parts of decoded chunks into the result."""
        cpu_place.place(target, cpu_place.Chunks(batch, layout, field), placement)

    def fill(self, target: Any, value: Any, placement: Placement) -> None:
        """Set the parts of missing chunks to the fill value."""
        cpu_fill.fill(target, value, placement)

    def gather(
        self, value: Any, batch: Batch, layout: Layout, placement: Placement, field: Any = None
    ) -> None:
        """Copy parts of an array into chunks."""
        cpu_place.gather(value, cpu_place.Chunks(batch, layout, field), placement)

    def copy(self, batch: Batch, into: Batch) -> None:
        """Copy each stream into its slot."""
        for (start, stop), (begin, end) in zip(batch.spans(), into.spans(), strict=True):
            into.arena[begin:end] = batch.arena[start:stop]

    def fill_chunks(self, batch: Batch, layout: Layout, value: Any) -> None:
        """Set whole chunks to the fill value."""
        cpu_fill.fill_chunks(cpu_place.Chunks(batch, layout), value)

    def equals_fill(self, batch: Batch, layout: Layout, value: Any) -> NDArray[np.bool_]:
        """Which chunks hold nothing but the fill value."""
        return cpu_fill.equals_fill(batch, layout, value)
