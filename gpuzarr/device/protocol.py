"""The closed set of ops on batches that a device is. Codecs compose them, and see no library.

A device lists the decompressors, compressors and checksums that it has; what is not listed is
absent, and a codec's `supports` and `supports_encoding` say so before any I/O.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Batch
from gpuzarr.place import Layout, Placement


@dataclass(frozen=True)
class Casting:
    """How numbers are cast, as zarr's ``cast_value`` has it.

    https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/cast_value

    Attributes
    ----------
    rounding
        "nearest-even", "towards-zero", "towards-positive", "towards-negative", "nearest-away".
    out_of_range
        "clamp", "wrap", or None for an error.
    scalar_map
        Pairs of a number of the source's dtype and what it becomes, before all else.
    """

    rounding: str = "nearest-even"
    out_of_range: str | None = None
    scalar_map: tuple[tuple[Any, Any], ...] = ()


class Device(Protocol):
    """What a device does. Errors of single streams are `StreamError` with their slot."""

    name: str
    is_host: bool
    """Whether its memory is the host's, as NumPy arrays."""
    trusts: bool
    """Whether streams may reach decoders that are undefined on bytes which break the format."""
    compressors: frozenset[str]
    checksums: frozenset[str]

    @property
    def decompressors(self) -> frozenset[str]:
        """Codecs that it decodes."""

    @property
    def distrusted(self) -> frozenset[str]:
        """Codecs that it does not decode only since it does not trust their streams."""

    def begin(self, stream: Any = None) -> Any:
        """What the work of a read has to wait for: what the caller's stream was given before."""

    def working(self, begun: Any) -> AbstractContextManager[None]:
        """Sets a thread up to work on the device; all it did is done at the end of the block."""

    def free_memory(self) -> None:
        """Give back what is kept for later, after an error for want of memory."""

    def identity(self) -> str:
        """The hardware and the libraries that its speed depends on, in a few words."""

    def facts(self) -> dict[str, str]:
        """What this device is made of, by name, in words."""

    def wave_bytes(self) -> int:
        """Decoded bytes that one thread takes at a time, at most."""

    def host_memory(self, nbytes: int) -> NDArray[np.uint8]:
        """Memory of the host's from which copies to the device are fast."""

    def empty(self, nbytes: int) -> Any:
        """An arena of `nbytes` undefined bytes."""

    def room_for(self, sizes: NDArray[np.int64]) -> Batch:
        """Memory for streams of these sizes, aligned as the device likes it."""

    def new_result(self, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        """An array for a result, its content undefined; native byte order but on the host."""

    def arena_of(self, array: Any) -> Any:
        """The bytes of a result as an arena that shares its memory; None where they have gaps."""

    def upload(self, batch: Batch) -> Batch:
        """A batch of the host's in memory of the device's, where nothing is to be written to."""

    def download(self, batch: Batch) -> Batch:
        """A batch in host memory; headers and indexes, as a rule."""

    def decompress(
        self, codec: str, batch: Batch, into: Batch | None, most: int | None = None
    ) -> Batch:
        """Decode each stream into its slot, which it must fill; or to memory of the device's.

        In that case `most` is the size in bytes that no stream may exceed; None: that of the
        option ``most_unsized_bytes``.
        """

    def largest_stream(self, codec: str) -> int:
        """Bytes of a stream that `compress` takes, at most, of one of `compressors`."""

    def cannot_encode(self, codec: str, options: dict[str, Any]) -> str | None:
        """None, or in words why `compress` does not take these options."""

    def compress(self, codec: str, batch: Batch, options: dict[str, Any]) -> Batch:
        """Encode each stream, to memory of the device's.

        Parameters
        ----------
        codec
            One of `compressors`.
        batch
            Its `dtype` gives the size of elements to ``blosc``, where `options` does not.
        options
            All of these, as numcodecs names and understands them: ``level`` and ``checksum`` for
            ``zstd``; ``level`` for ``gzip`` and ``zlib``; ``acceleration`` for ``lz4``; for
            ``blosc`` ``cname``, ``clevel``, ``shuffle`` (0 to 2, -1 by the size of elements),
            ``blocksize``, and ``typesize``, which may be None. How hard a device other than the
            host tries, its library decides.
        """

    def checksum(self, algorithm: str, batch: Batch) -> NDArray[np.uint32]:
        """The checksum of each stream, on the host."""

    def attach_checksum(self, algorithm: str, batch: Batch, at_start: bool) -> Batch:
        """Each stream with its checksum, 4 bytes, little-endian, before or behind it; a copy."""

    def gather_u32(self, batch: Batch, offsets: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Little-endian unsigned integers at these offsets of the arena, on the host."""

    def unshuffle(self, batch: Batch, into: Batch, typesize: int) -> None:
        """Put byte planes together to elements of `typesize` bytes; sizes are multiples of it."""

    def shuffle(self, batch: Batch, into: Batch, typesize: int) -> None:
        """Take elements of `typesize` bytes apart to byte planes: what `unshuffle` undoes."""

    def byte_swap(self, batch: Batch, into: Batch, width: int) -> None:
        """Reverse every `width` bytes."""

    def computes(
        self,
        op: str,
        source: np.dtype,
        target: np.dtype,
        scale: Any = 1,
        offset: Any = 0,
        casting: Casting | None = None,
    ) -> str | None:
        """None where an op on numbers gives what NumPy gives, or the reason in words.

        Parameters
        ----------
        op
            One of the methods from `prefix_sum` to `cast`.
        source, target
            Native dtypes; the same one for the exact ops.
        """

    def prefix_sum(self, batch: Batch, into: Batch, source: np.dtype, target: np.dtype) -> None:
        """Running sums of native numbers, added up in another dtype as NumPy's cumsum does."""

    def difference(self, batch: Batch, into: Batch, source: np.dtype, target: np.dtype) -> None:
        """The first native number and the differences of neighbours, as another dtype.

        As numcodecs' Delta encodes: differences in `source`, converted by ``astype``; what
        `prefix_sum` undoes.
        """

    def scale_offset(
        self, batch: Batch, into: Batch, source: np.dtype, target: np.dtype, scale: Any, offset: Any
    ) -> None:
        """``x / scale + offset`` of native numbers, as NumPy computes it, as another dtype.

        As numcodecs' FixedScaleOffset decodes (Python numbers as `scale` and `offset`), and zarr's
        scale_offset the floats.
        """

    def offset_scale(
        self,
        batch: Batch,
        into: Batch,
        source: np.dtype,
        target: np.dtype,
        scale: Any,
        offset: Any,
        rounds: bool,
    ) -> None:
        """``(x - offset) * scale``, as NumPy computes it, as another dtype: encoding.

        Rounded by ``np.around`` before it is converted where `rounds` is set, as numcodecs'
        FixedScaleOffset has it.
        """

    def scale_offset_exact(
        self, batch: Batch, into: Batch, dtype: np.dtype, scale: int, offset: int
    ) -> None:
        """``x / scale + offset`` of integers in their own dtype, as zarr's scale_offset decodes.

        `StreamError` for the first stream with a remainder, or a result that the dtype lacks.
        """

    def offset_scale_exact(
        self, batch: Batch, into: Batch, dtype: np.dtype, scale: int, offset: int
    ) -> None:
        """``(x - offset) * scale`` of integers, as zarr's scale_offset encodes; the same errors."""

    def cast(
        self,
        batch: Batch,
        into: Batch,
        source: np.dtype,
        target: np.dtype,
        casting: Casting | None = None,
    ) -> None:
        """Native real numbers, or bool, as another dtype: NumPy's ``astype``, or by these rules.

        `StreamError` for the first stream with a number that the rules refuse.
        """

    def bit_unpack(self, batch: Batch, into: Batch, padding: str, msb: bool) -> None:
        """One byte, 0 or 1, for each bit; `into` has a byte for each element.

        Parameters
        ----------
        padding
            Where a byte with the number of unused bits stands: "none", "first" or "last". It must
            be what the sizes say, else `StreamError`.
        msb
            Whether the first element is the most significant bit of its byte (numcodecs).
        """

    def bit_pack(self, batch: Batch, into: Batch, padding: str, msb: bool) -> None:
        """A bit for each byte, set where it is not 0; what `bit_unpack` undoes. Unused bits are 0.

        `into` has the packed bytes, and one more where there is `padding`.
        """

    def place(
        self, target: Any, batch: Batch, layout: Layout, placement: Placement, field: Any
    ) -> None:
        """Copy parts of decoded chunks, or of one struct field of them, into the result."""

    def fill(self, target: Any, value: Any, placement: Placement) -> None:
        """Set the parts of missing chunks to the fill value."""

    def gather(
        self, value: Any, batch: Batch, layout: Layout, placement: Placement, field: Any = None
    ) -> None:
        """Copy parts of an array into chunks, or into one struct field: what `place` undoes.

        Where parts overlap in a chunk, the last one stays, as in an assignment of NumPy's.

        Parameters
        ----------
        value
            Array, or for `Points` one-dimensional or an iterator over one, that `placement`
            calls the result. It may be read-only, and its strides may be zero.
        batch
            Slots of ``layout.size``; what no part covers stays as it is.
        """

    def copy(self, batch: Batch, into: Batch) -> None:
        """Copy each stream into its slot, which has its size."""

    def fill_chunks(self, batch: Batch, layout: Layout, value: Any) -> None:
        """Set whole chunks to the fill value."""

    def equals_fill(self, batch: Batch, layout: Layout, value: Any) -> NDArray[np.bool_]:
        """Which chunks hold nothing but the fill value, on the host.

        As zarr-python decides it (``NDBuffer.all_equal``): -0.0 is not 0.0, NaN is NaN, except
        inside of records; and no chunk equals None.
        """
