"""Ops on numbers as kernels: sums and differences, scale and offset, casts, single bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Batch
from gpuzarr.device import number_rules
from gpuzarr.device.cpu_numbers import NOT_EXACT, PADDING, PADDINGS, out_of_range
from gpuzarr.device.kernels import over_streams, over_tiles
from gpuzarr.device.launcher import TILE, Launcher, addresses, first_tiles
from gpuzarr.device.protocol import Casting
from gpuzarr.device.reference.numbers import KINDS, RANGES, ROUNDINGS
from gpuzarr.device.reference.status import Status
from gpuzarr.errors import StreamError

_NUMBERS_TILE = 4096
_AS_X86 = 3
"""Behind the last of RANGES: what NumPy's astype makes of floats that an integer cannot hold."""


class NumberOps(Launcher):
    """The ops of `gpuzarr.device.Device` on numbers."""

    def computes(
        self,
        op: str,
        source: np.dtype,
        target: np.dtype,
        scale: Any = 1,
        offset: Any = 0,
        casting: Casting | None = None,
    ) -> str | None:
        """None where an op on numbers gives what NumPy gives, or the reason in words."""
        return number_rules.refused(op, source, target, scale, offset, casting)

    def prefix_sum(self, batch: Batch, into: Batch, source: np.dtype, target: np.dtype) -> None:
        """Running sums, as NumPy's cumsum adds native numbers up in another type."""
        slots = self._aligned_slots(into, target.itemsize)
        batch = self.aligned(batch, source.itemsize)
        kind, count = _kind(source), np.uint32(len(batch))
        elements = batch.sizes // source.itemsize
        ends = addresses(batch), addresses(slots), elements
        warps = over_streams(len(batch), self.processors)
        tiles = first_tiles(-(-elements // _NUMBERS_TILE))
        total = int(tiles[-1])
        if not total:
            return
        if source.kind == "f":
            self.launch("prefix_sum", "prefix_sum_float", warps, *ends, count, kind, _kind(target))
        else:
            shape = over_tiles(total, self.processors)
            sums, carries = self.empty(8 * total), self.empty(8 * total)
            self.launch("prefix_sum", "prefix_sum_tiles", shape, ends[0], elements, tiles, count,
                        kind, sums)  # fmt: skip
            self.launch("prefix_sum", "prefix_sum_carries", warps, tiles, count, sums, carries)
            self.launch("prefix_sum", "prefix_sum", shape, *ends, tiles, count, kind,
                        np.uint32(target.itemsize), carries)  # fmt: skip
        self._deliver(slots, into)

    def difference(self, batch: Batch, into: Batch, source: np.dtype, target: np.dtype) -> None:
        """The first number and the differences of neighbours."""
        are_integers = source.kind in "iu" and target.kind in "iu"
        # NumPy assigns the first number by itself, and there refuses what signed targets lack
        first_fits = target.kind == "i" and not np.can_cast(source, target)
        ends = "difference", "difference", batch, into, source, target
        kinds = _kind(source), _kind(target), np.uint32(first_fits)
        if first_fits:
            self._judged(target, *ends, *kinds)
        elif are_integers and source.itemsize == target.itemsize:
            self.streams("difference", f"difference_{source.itemsize}", batch, into)
        else:
            self._numbers(*ends, *kinds, self.empty(0))

    def scale_offset(
        self, batch: Batch, into: Batch, source: np.dtype, target: np.dtype, scale: Any, offset: Any
    ) -> None:
        """``x / scale + offset`` of native numbers, as NumPy computes it."""
        numbers = np.float64(scale), np.float64(offset)
        ends = batch, into, source, target
        self._numbers("scale_offset", "scale_offset", *ends, _kind(source), _kind(target), *numbers)

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
        """``(x - offset) * scale`` of native numbers, as NumPy computes it."""
        whole = 0  # steps in integers
        if source.kind in "iu" and isinstance(offset, int):
            whole = 2 if isinstance(scale, int) else 1
        integers = _word(scale if whole == 2 else 0), _word(offset if whole else 0)
        self._numbers(
            "offset_scale", "offset_scale", batch, into, source, target, _kind(source),
            _kind(target), np.float64(scale), np.float64(offset), *integers, np.uint32(whole),
            np.uint32(rounds),
        )  # fmt: skip

    def scale_offset_exact(
        self, batch: Batch, into: Batch, dtype: np.dtype, scale: int, offset: int
    ) -> None:
        """``x / scale + offset`` of integers in their own dtype."""
        self._exact("scale_offset", "scale_offset_exact", batch, into, dtype, scale, offset)

    def offset_scale_exact(
        self, batch: Batch, into: Batch, dtype: np.dtype, scale: int, offset: int
    ) -> None:
        """``(x - offset) * scale`` of integers in their own dtype."""
        self._exact("offset_scale", "offset_scale_exact", batch, into, dtype, scale, offset)

    def _exact(
        self,
        op: str,
        kernel: str,
        batch: Batch,
        into: Batch,
        dtype: np.dtype,
        scale: int,
        offset: int,
    ) -> None:
        args = _kind(dtype), _word(scale), _word(offset)
        self._judged(dtype, op, kernel, batch, into, dtype, dtype, *args)

    def cast(
        self,
        batch: Batch,
        into: Batch,
        source: np.dtype,
        target: np.dtype,
        casting: Casting | None = None,
    ) -> None:
        """Numbers as another dtype: NumPy's ``astype``, or by rules."""
        kinds = _kind(source), _kind(target)
        ends = "cast", "cast", batch, into, source, target, *kinds
        if casting is None:
            rounding = "nearest-even" if target.kind == "f" else "towards-zero"
            is_float = source.kind == "f" and target.kind in "iu"
            found = _AS_X86 if is_float else RANGES.index("wrap")
            rules = np.uint32(ROUNDINGS.index(rounding)), np.uint32(found)
            nothing = np.zeros(0, np.uint64)
            status = self.empty(4 * len(batch))  # which nobody reads
            self._numbers(*ends, *rules, nothing, nothing, np.uint32(0), status)
            return
        rules = (
            np.uint32(ROUNDINGS.index(casting.rounding)),
            np.uint32(RANGES.index(casting.out_of_range)),
        )
        entries = casting.scalar_map
        keys = _bits([key for key, _ in entries], source), _bits([to for _, to in entries], target)
        self._judged(target, *ends, *rules, *keys, np.uint32(len(entries)))

    def bit_unpack(self, batch: Batch, into: Batch, padding: str, msb: bool) -> None:
        """One byte, 0 or 1, for each bit."""
        tiles, status = _bit_tiles(into.sizes), self._status(len(batch))
        ends = addresses(batch), batch.sizes, addresses(into), into.sizes, tiles
        rules = np.uint32(PADDINGS.index(padding)), np.uint32(msb)
        if len(batch):
            shape = over_tiles(int(tiles[-1]), self.processors)
            self.launch(
                "bit_unpack", "bit_unpack", shape, *ends, np.uint32(len(batch)), *rules, status
            )
        self._check(status, {Status.BAD_SIZE: PADDING})

    def bit_pack(self, batch: Batch, into: Batch, padding: str, msb: bool) -> None:
        """A bit for each byte, set where it is not 0."""
        tiles = _bit_tiles(batch.sizes)
        ends = addresses(batch), addresses(into), batch.sizes, tiles
        rules = np.uint32(PADDINGS.index(padding)), np.uint32(msb)
        if len(batch):
            shape = over_tiles(int(tiles[-1]), self.processors)
            self.launch("bit_pack", "bit_pack", shape, *ends, np.uint32(len(batch)), *rules)

    # --- launches ---------------------------------------------------------------------------------

    def _numbers(
        self,
        op: str,
        kernel: str,
        batch: Batch,
        into: Batch,
        source: np.dtype,
        target: np.dtype,
        *args: Any,
    ) -> None:
        """Run a kernel of streams of numbers, at whatever addresses they are."""
        elements = batch.sizes // source.itemsize
        tiles = first_tiles(-(-elements // _NUMBERS_TILE))
        if not tiles[-1]:
            return
        slots = self._aligned_slots(into, target.itemsize)
        batch = self.aligned(batch, source.itemsize)
        shape = over_tiles(int(tiles[-1]), self.processors)
        ends = addresses(batch), addresses(slots), elements, tiles
        self.launch(op, kernel, shape, *ends, np.uint32(len(batch)), *args)
        self._deliver(slots, into)

    def _judged(self, dtype: np.dtype, op: str, kernel: str, batch: Batch, *args: Any) -> None:
        """The same for kernels with a verdict on each stream, whose results are of this dtype."""
        status = self._status(len(batch))
        self._numbers(op, kernel, batch, *args, status)
        self._check(status, {Status.NOT_EXACT: NOT_EXACT, Status.OUT_OF_RANGE: out_of_range(dtype)})

    def _status(self, count: int) -> Any:
        return self.to_device(np.zeros(count, np.uint32))

    def _check(self, status: Any, words: dict[Status, str]) -> None:
        found = self.to_host(status).view(np.uint32)
        bad = np.flatnonzero(found)
        if len(bad):
            raise StreamError(int(bad[0]), words[Status(int(found[bad[0]]))])

    def _aligned_slots(self, into: Batch, alignment: int) -> Batch:
        """These slots, or others where a kernel cannot write to them."""
        return self.room_for(into.sizes) if (addresses(into) % alignment).any() else into

    def _deliver(self, slots: Batch, into: Batch) -> None:
        if slots is not into:
            self.copy(slots, into)


def _kind(dtype: np.dtype) -> np.uint32:
    return np.uint32(KINDS.index(dtype.str[1:]))


def _word(number: int) -> np.int64:
    """The bits of an integer of either kind."""
    return np.uint64(int(number) % (1 << 64)).astype(np.int64)


def _bits(numbers: list[Any], dtype: np.dtype) -> NDArray[np.uint64]:
    return np.array(numbers, dtype).view(f"u{dtype.itemsize}").astype(np.uint64)


def _bit_tiles(elements: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Also an empty stream is looked at, since it may have a byte of padding."""
    return first_tiles(np.maximum(1, -(-elements // TILE)))
