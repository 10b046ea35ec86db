"""The CPU: well-kept libraries, stream by stream, none of them holding the GIL while it decodes."""

from __future__ import annotations

import zlib
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Batch
from gpuzarr.device import cpu_decoders, cpu_place, host_memory
from gpuzarr.errors import ChunkSizeError, StreamError
from gpuzarr.place import Boxes, Grid, Layout, Placement

_CHECKSUMS = {
    "crc32c": google_crc32c.value,
    "crc32": zlib.crc32,
    "adler32": zlib.adler32,
}


class CPU:
    """NumPy arrays and host memory."""

    name = "cpu"
    decompressors = frozenset(cpu_decoders.INTO)
    checksums = frozenset(_CHECKSUMS)

    def empty(self, nbytes: int) -> NDArray[np.uint8]:
        """An arena of `nbytes` undefined bytes."""
        return np.empty(nbytes, np.uint8)

    def new_result(self, shape: tuple[int, ...], dtype: np.dtype) -> NDArray[Any]:
        """A C-contiguous NumPy array."""
        return host_memory.empty(shape, dtype)

    def decompress(self, codec: str, batch: Batch, into: Batch | None) -> Batch:
        """Decode each stream into its slot, or, if sizes are not known, one behind the other."""
        source = memoryview(batch.arena)
        if into is None:
            return self._decompress_unsized(codec, source, batch)
        target = memoryview(into.arena)
        if codec == "zstd" and cpu_decoders.zstd_batch(batch, into):
            return into
        decode = cpu_decoders.INTO[codec]
        spans = zip(batch.spans(), into.spans(), strict=True)
        for slot, ((start, stop), (begin, end)) in enumerate(spans):
            try:
                decode(source[start:stop], target[begin:end])
            except cpu_decoders.SizeError as error:
                raise StreamError(slot, str(error), ChunkSizeError) from error
            except Exception as error:
                raise StreamError.refused(slot, f"a valid {codec} stream", error) from error
        return into

    def _decompress_unsized(self, codec: str, source: memoryview, batch: Batch) -> Batch:
        decode, results = cpu_decoders.UNSIZED[codec], []
        for slot, (start, stop) in enumerate(batch.spans()):
            try:
                results.append(np.frombuffer(decode(source[start:stop]), np.uint8))
            except Exception as error:
                raise StreamError.refused(slot, f"a valid {codec} stream", error) from error
        sizes = np.array([len(r) for r in results], np.int64)
        offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        return Batch(np.concatenate(results), offsets, sizes)

    def checksum(self, algorithm: str, batch: Batch) -> NDArray[np.uint32]:
        """The checksum of each stream."""
        compute, source = _CHECKSUMS[algorithm], batch.arena
        return np.array([compute(source[a:b]) for a, b in batch.spans()], np.uint32)

    def gather_u32(self, arena: Any, offsets: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Little-endian unsigned integers at these offsets."""
        if not len(offsets):
            return np.empty(0, np.uint32)
        picked = arena[offsets[:, None] + np.arange(4)]
        return np.ascontiguousarray(picked).view("<u4")[:, 0]

    def unshuffle(self, batch: Batch, into: Batch, typesize: int) -> None:
        """Put byte planes together to elements."""
        for (start, stop), (begin, end) in zip(batch.spans(), into.spans(), strict=True):
            cpu_decoders.unshuffle(batch.arena[start:stop], into.arena[begin:end], typesize)

    def place(
        self, target: Any, batch: Batch, layout: Layout, placement: Placement, field: Any
    ) -> None:
        """Copy parts of decoded chunks into the result."""
        chunks = cpu_place.Chunks(batch, layout, field)
        if isinstance(placement, Boxes):
            cpu_place.place_boxes(target, chunks, placement)
        elif isinstance(placement, Grid):
            cpu_place.place_grid(target, chunks, placement)
        else:
            cpu_place.place_points(target, chunks, placement)

    def fill(self, target: Any, value: Any, placement: Placement) -> None:
        """Set the parts of missing chunks to the fill value."""
        cpu_place.fill(target, value, placement)
