"""Numbers on the CPU: NumPy, stream by stream, step by step as numcodecs and zarr-python do it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Batch
from gpuzarr.device.protocol import Casting
from gpuzarr.errors import StreamError, UnsupportedError

cast_into: Any = None
try:
    import cast_value_rs

    cast_into = cast_value_rs.cast_array_into
except ImportError:  # it is optional
    pass

Numbers = NDArray[Any]

NO_CASTING = "casting by rules needs the package cast-value-rs, as in zarr-python"

NOT_EXACT = "expected multiples of the scale, found a number with a non-zero remainder"
PADDING = "expected as many packed bits as the chunk has elements, found another number of them"

PADDINGS = ("none", "first", "last")


def out_of_range(dtype: np.dtype) -> str:
    """The verdict on a stream with a number that its target lacks."""
    return f"expected numbers of {dtype}, found one outside the range of dtype {dtype}"


def prefix_sum(batch: Batch, into: Batch, source: np.dtype, target: np.dtype) -> None:
    """Running sums, added up in the target's dtype."""

    def compute(values: Numbers, out: Numbers) -> None:
        np.cumsum(values, out=out)

    _each(batch, into, source, target, compute)


def difference(batch: Batch, into: Batch, source: np.dtype, target: np.dtype) -> None:
    """The first number, and the differences of neighbours."""

    def compute(values: Numbers, out: Numbers) -> None:
        if len(values):
            out[0] = values[0]
            out[1:] = np.diff(values)

    _each(batch, into, source, target, compute)


def scale_offset(
    batch: Batch, into: Batch, source: np.dtype, target: np.dtype, scale: Any, offset: Any
) -> None:
    """``x / scale + offset``."""

    def compute(values: Numbers, out: Numbers) -> None:
        out[...] = ((values / scale) + offset).astype(target, copy=False)

    _each(batch, into, source, target, compute)


def offset_scale(
    batch: Batch,
    into: Batch,
    source: np.dtype,
    target: np.dtype,
    scale: Any,
    offset: Any,
    rounds: bool,
) -> None:
    """``(x - offset) * scale``, rounded to whole numbers if need be."""

    def compute(values: Numbers, out: Numbers) -> None:
        result = (values - offset) * scale
        if rounds:
            result = np.around(result)
        out[...] = result.astype(target, copy=False)

    _each(batch, into, source, target, compute)


def scale_offset_exact(batch: Batch, into: Batch, dtype: np.dtype, scale: int, offset: int) -> None:
    """``x / scale + offset`` of integers."""

    def compute(values: Numbers, out: Numbers) -> None:
        factor, term = dtype.type(scale), dtype.type(offset)
        if np.any(values % factor):
            raise StreamError(0, NOT_EXACT)
        _check_range(values, lambda value: value // scale + offset)
        out[...] = values // factor + term

    _each(batch, into, dtype, dtype, compute)


def offset_scale_exact(batch: Batch, into: Batch, dtype: np.dtype, scale: int, offset: int) -> None:
    """``(x - offset) * scale`` of integers."""

    def compute(values: Numbers, out: Numbers) -> None:
        factor, term = dtype.type(scale), dtype.type(offset)
        _check_range(values, lambda value: (value - offset) * scale)
        out[...] = (values - term) * factor

    _each(batch, into, dtype, dtype, compute)


def _check_range(values: Numbers, function: Callable[[int], int]) -> None:
    """That their dtype has all results of a monotonic function; steps before it may wrap."""
    limits = np.iinfo(values.dtype)
    for end in (values.min(), values.max()) if len(values) else ():
        if not int(limits.min) <= function(int(end)) <= int(limits.max):
            raise StreamError(0, out_of_range(values.dtype))


def cast(
    batch: Batch,
    into: Batch,
    source: np.dtype,
    target: np.dtype,
    casting: Casting | None = None,
) -> None:
    """As ``astype`` does, or by rules.

    Raises
    ------
    UnsupportedError
        If the package that knows the rules is not there.
    """

    def astype(values: Numbers, out: Numbers) -> None:
        out[...] = values.astype(target, copy=False)

    def by_rules(values: Numbers, out: Numbers) -> None:
        if casting is None or not len(values):
            return
        try:
            cast_into(
                np.require(values, requirements="A"),  # it panics at other addresses
                result := np.empty(len(values), target),
                rounding_mode=casting.rounding,
                out_of_range_mode=casting.out_of_range,
                scalar_map_entries=list(casting.scalar_map) or None,
            )
        except ValueError as error:
            raise StreamError(0, out_of_range(target)) from error
        out[...] = result

    if casting is not None and cast_into is None:
        raise UnsupportedError(f"The device 'cpu' cannot do this: {NO_CASTING}.")
    _each(batch, into, source, target, astype if casting is None else by_rules)


def bit_unpack(batch: Batch, into: Batch, padding: str, msb: bool) -> None:
    """One byte for each bit."""
    spare = int(padding != "none")
    first, last = int(padding == "first"), -1 if padding == "last" else None
    where = 0 if padding == "first" else -1

    def compute(packed: Numbers, out: Numbers) -> None:
        nbytes = -(-len(out) // 8)
        if len(packed) != nbytes + spare or (spare and packed[where] != 8 * nbytes - len(out)):
            raise StreamError(0, PADDING)
        bits = packed[first:last]
        out[...] = np.unpackbits(bits, count=len(out), bitorder="big" if msb else "little")

    _each(batch, into, np.dtype(np.uint8), np.dtype(np.uint8), compute)


def bit_pack(batch: Batch, into: Batch, padding: str, msb: bool) -> None:
    """A bit for each byte."""

    def compute(values: Numbers, out: Numbers) -> None:
        bits = np.packbits(values, bitorder="big" if msb else "little")
        unused = 8 * len(bits) - len(values)
        if padding == "none":
            out[...] = bits
        else:
            out[0 if padding == "first" else -1] = unused
            (out[1:] if padding == "first" else out[:-1])[...] = bits

    _each(batch, into, np.dtype(np.uint8), np.dtype(np.uint8), compute)


def _each(
    batch: Batch,
    into: Batch,
    source: np.dtype,
    target: np.dtype,
    compute: Callable[[Numbers, Numbers], None],
) -> None:
    """Run on each stream; what it refuses gets a slot."""
    spans = zip(batch.spans(), into.spans(), strict=True)
    with np.errstate(all="ignore"):
        for slot, ((start, stop), (begin, end)) in enumerate(spans):
            values, out = batch.arena[start:stop].view(source), into.arena[begin:end].view(target)
            try:
                compute(values, out)
            except StreamError as error:
                error.slot = slot
                raise
            except Exception as error:
                raise StreamError.refused(slot, f"numbers of {source}", error) from error
