"""A device made of kernels: every op as launches, whoever makes the device."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Batch
from gpuzarr.device import (
    kernel_blosc,
    kernel_compress,
    kernel_decoders,
    kernel_encoders,
    kernel_fill,
    kernel_native,
    kernel_place,
)
from gpuzarr.device.counting import current
from gpuzarr.device.kernel_boxes import strided
from gpuzarr.device.kernel_numbers import NumberOps
from gpuzarr.device.kernels import over_elements, over_streams, over_tiles
from gpuzarr.device.launcher import TILE, Ints, addresses, first_tiles
from gpuzarr.errors import UnsupportedError
from gpuzarr.place import Layout, Placement

_CHECKSUM_TILES = {"crc32": 32768, "crc32c": 32768, "adler32": TILE, "fletcher32": TILE}
_SPECIAL_TYPESIZES = (1, 2, 4, 8, 16)
_MOST_TYPESIZE = 1024
_SWAPPED_WIDTHS = (2, 4, 8, 16)
_DECODERS = {
    **kernel_decoders.DECODERS,
    **kernel_native.DECODERS,
    "blosc": kernel_blosc.blosc,
}
_DEFINED = kernel_decoders.DEFINED | kernel_native.DEFINED | {"blosc"}


class KernelDevice(NumberOps):
    """The ops of `gpuzarr.device.Device`, as kernels."""

    name: str
    is_host = False
    compressors = frozenset(kernel_encoders.ENCODERS)
    checksums = frozenset({*_CHECKSUM_TILES, "xxh64"})

    @property
    def decompressors(self) -> frozenset[str]:
        """All, or those that are defined on any bytes."""
        return frozenset(_DECODERS) - self.distrusted

    @property
    def distrusted(self) -> frozenset[str]:
        """Decoders that are undefined on bytes which break the format."""
        return frozenset() if self.trusts else frozenset(_DECODERS) - _DEFINED

    @abstractmethod
    def new_result(self, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        """An array for a result, C-contiguous, native byte order, its content undefined."""

    def arena_of(self, array: Any) -> Any:
        """The bytes of a C-contiguous array."""
        return array.reshape(-1).view(np.uint8) if array.flags.c_contiguous else None

    def decompress(
        self, codec: str, batch: Batch, into: Batch | None, most: int | None = None
    ) -> Batch:
        """Decode each stream into its slot."""
        if into is None:
            raise UnsupportedError(f"{codec} of a size that is not known is decoded on the CPU.")
        if len(batch):
            current().on_host[codec] += len(_DECODERS[codec](self, batch, into))
        return into

    def largest_stream(self, codec: str) -> int:
        """Bytes of a stream that `compress` takes, at most."""
        return kernel_encoders.largest_stream(self, codec)

    def cannot_encode(self, codec: str, options: dict[str, Any]) -> str | None:
        """None, or why `compress` does not take these options."""
        return kernel_encoders.cannot_encode(codec, options)

    def compress(self, codec: str, batch: Batch, options: dict[str, Any]) -> Batch:
        """Encode each stream, to memory of the device's."""
        if not len(batch):
            return Batch.uniform(self.empty(0), 0, 0)
        return kernel_encoders.compress(self, codec, batch, options)

    def compressed(self, codec: str, batch: Batch, **fields: int) -> Batch:
        """Each stream as the library compresses it, in a slot of its own."""
        return kernel_compress.compressed(self, codec, batch, fields)

    def zstd_frames(self, batch: Batch, expected: Ints) -> NDArray[np.uint32]:
        """Which streams are one plain zstd frame that declares this size, on the host.

        2 for those that a checksum ends, 1 for other plain ones, 0 for the rest.
        """
        count, plain = len(batch), self.empty(4 * len(batch))
        ends = addresses(batch), batch.sizes, expected
        self.launch(
            "zstd_frames", "zstd_frames", over_elements(count), *ends, np.uint32(count), plain
        )
        found: NDArray[np.uint32] = self.to_host(plain).view(np.uint32)
        return found

    # --- rearranging ------------------------------------------------------------------------------

    def unshuffle(self, batch: Batch, into: Batch, typesize: int) -> None:
        """Put byte planes together to elements; what is behind the last of them stays."""
        self._planes("unshuffle", batch, into, typesize)

    def shuffle(self, batch: Batch, into: Batch, typesize: int) -> None:
        """Take elements apart to byte planes."""
        self._planes("shuffle", batch, into, typesize)

    def _planes(self, op: str, batch: Batch, into: Batch, typesize: int) -> None:
        if typesize in _SPECIAL_TYPESIZES:
            self.streams(op, f"{op}_{typesize}", batch, into)
        elif typesize > _MOST_TYPESIZE:
            self._transposed(batch, into, typesize, is_shuffle=op == "shuffle")
        else:
            tile = typesize * max(16, (TILE // typesize) & ~15)
            self.streams(op, f"{op}_any", batch, into, np.uint32(typesize), tile=tile)

    def _transposed(self, batch: Batch, into: Batch, typesize: int, *, is_shuffle: bool) -> None:
        """The same for elements of any size, as strided copies of single bytes."""
        for size in np.unique(batch.sizes).tolist():
            slots = np.flatnonzero(batch.sizes == size)
            count = size // typesize
            planes, elements = (1, count), (typesize, 1)
            source, target = (elements, planes) if is_shuffle else (planes, elements)
            ends = addresses(batch)[slots], addresses(into)[slots]
            counts = np.tile([count, typesize], (len(slots), 1))
            self._move(strided(*ends, counts, source, target, 1))

    def bit_unshuffle(self, batch: Batch, into: Batch, typesize: int) -> None:
        """Put Blosc's bit planes together to elements."""
        self._bit_planes("bit_unshuffle", batch, into, typesize)

    def bit_shuffle(self, batch: Batch, into: Batch, typesize: int) -> None:
        """Take elements apart to Blosc's bit planes."""
        self._bit_planes("bit_shuffle", batch, into, typesize)

    def _bit_planes(self, op: str, batch: Batch, into: Batch, typesize: int) -> None:
        is_special = typesize in _SPECIAL_TYPESIZES
        kernel = f"{op}_{typesize if is_special else 'any'}"
        extra = () if is_special else (np.uint32(typesize),)
        self.streams(op, kernel, batch, into, *extra, tile=TILE * typesize, threads=128)

    def byte_swap(self, batch: Batch, into: Batch, width: int) -> None:
        """Reverse every `width` bytes."""
        if width in _SWAPPED_WIDTHS:
            self.streams("byte_swap", f"byte_swap_{width}", batch, into)
            return
        order, tile = np.arange(width, dtype=np.uint16)[::-1], width * max(1, TILE // width)
        self.streams(
            "byte_swap", "byte_swap_struct", batch, into, order, np.uint32(width), tile=tile
        )

    # --- checksums --------------------------------------------------------------------------------

    def checksum(self, algorithm: str, batch: Batch) -> NDArray[np.uint32]:
        """The checksum of each stream, on the host."""
        return self.to_host(self._checksums(algorithm, batch)).view(np.uint32)

    def _checksums(self, algorithm: str, batch: Batch) -> Any:
        count, found = np.uint32(len(batch)), self.empty(4 * len(batch))
        warps = over_streams(len(batch), self.processors)
        if algorithm == "xxh64":  # of which no part can be computed before the one in front of it
            self.launch("xxh64", "xxh64", warps, addresses(batch), batch.sizes, count, found)
            return found
        tiles = first_tiles(-(-batch.sizes // _CHECKSUM_TILES[algorithm]))
        total = int(tiles[-1])
        ends = batch.sizes, tiles, count, self.empty(16 * total)
        shape = over_tiles(total, self.processors)
        self.launch(algorithm, f"{algorithm}_tiles", shape, addresses(batch), *ends)
        self.launch(algorithm, f"{algorithm}_streams", warps, *ends, found)
        return found

    def attach_checksum(self, algorithm: str, batch: Batch, at_start: bool) -> Batch:
        """Each stream with its checksum, 4 bytes, little-endian, before or behind it."""
        sums = Batch.uniform(self._checksums(algorithm, batch), len(batch), 4)
        result = self.room_for(batch.sizes + 4)
        self.copy(batch, result.within(result.offsets + (4 if at_start else 0), batch.sizes))
        where = result.offsets + (0 if at_start else batch.sizes)
        self.copy(sums, result.within(where, sums.sizes))
        return result

    def gather_u32(self, batch: Batch, offsets: Ints) -> NDArray[np.uint32]:
        """Little-endian unsigned integers at these offsets of the arena, on the host."""
        host = self.download(batch.within(offsets, np.full(len(offsets), 4, np.int64)))
        found: NDArray[np.uint32] = host.arena[host.offsets[:, None] + np.arange(4)].view("<u4")
        return found[:, 0]

    # --- placement --------------------------------------------------------------------------------

    def place(
        self, target: Any, batch: Batch, layout: Layout, placement: Placement, field: Any
    ) -> None:
        """Copy parts of decoded chunks into the result, which has their dtype in any byte order."""
        _check_moved(target, layout, field)
        batch = self._ordered(batch, layout.dtype, target.dtype)
        self._move(kernel_place.placed(target, addresses(batch), layout, placement))

    def fill(self, target: Any, value: Any, placement: Placement) -> None:
        """Set the parts of missing chunks to the fill value."""
        one = self.to_device(np.asarray(value, target.dtype).reshape(1))
        self._move(kernel_place.filled(target, one.data.ptr, placement))

    def gather(
        self, value: Any, batch: Batch, layout: Layout, placement: Placement, field: Any = None
    ) -> None:
        """Copy parts of an array of the chunks' dtype, in any byte order, into chunks."""
        _check_moved(value, layout, field)
        chunks = self._ordered(batch, layout.dtype, value.dtype)
        self._move(kernel_place.gathered(value, addresses(chunks), layout, placement))
        if chunks is not batch:  # with what no part covers
            self.byte_swap(chunks, batch, _width(layout.dtype))

    def _move(self, launches: Any) -> None:
        for launch in launches:
            tiles = first_tiles(launch.tiles)
            shape = over_tiles(int(tiles[-1]), self.processors)
            args = [tiles if arg is None else arg for arg in launch.arguments]
            self.launch("place", launch.kernel, shape, *args)

    def _ordered(self, batch: Batch, dtype: np.dtype, like: np.dtype) -> Batch:
        """Elements of this dtype in the byte order of another."""
        if dtype.isnative == like.isnative:
            return batch
        swapped = self.room_for(batch.sizes)
        self.byte_swap(batch, swapped, _width(dtype))
        return swapped

    # --- the fill value ---------------------------------------------------------------------------

    def fill_chunks(self, batch: Batch, layout: Layout, value: Any) -> None:
        """Set whole chunks to the fill value."""
        kernel_fill.fill(self, batch, np.asarray(value, layout.dtype))

    def equals_fill(self, batch: Batch, layout: Layout, value: Any) -> NDArray[np.bool_]:
        """Which chunks hold nothing but the fill value, on the host."""
        if value is None:
            return np.zeros(len(batch), bool)
        native = layout.dtype.newbyteorder("=")
        return kernel_fill.equals(self, self._ordered(batch, layout.dtype, native), native, value)


def _check_moved(array: Any, layout: Layout, field: Any) -> None:
    """Kernels move bytes: they neither cast nor pick fields."""
    found, expected = (dtype.newbyteorder("=") for dtype in (array.dtype, layout.dtype))
    if field is not None or found != expected:
        raise UnsupportedError(
            f"A device moves elements of {expected} whole and as they are, not into {found}, "
            f"field {field!r}."
        )


def _width(dtype: np.dtype) -> int:
    """Bytes that change their order together."""
    return dtype.itemsize // (2 if dtype.kind == "c" else 1)
