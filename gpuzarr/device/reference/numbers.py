"""Ops on numbers: running sums, scale and offset, casts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.device.reference.status import Status

KINDS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "b1")
"""Types as kernels number them (kernels/numbers.cuh)."""

ROUNDINGS = (
    "nearest-even", "towards-zero", "towards-positive", "towards-negative", "nearest-away",
)  # fmt: skip

RANGES = (None, "clamp", "wrap")


def prefix_sum(values: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Running sums in `dtype`; integers wrap, floats are added one after the other."""
    result = np.empty(len(values), dtype)
    total = result.dtype.type(0)
    with np.errstate(all="ignore"):
        for i, value in enumerate(values.astype(dtype)):
            total = total + value if i else value
            result[i] = total
    return result


def difference(values: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """The first number and the differences of neighbours, in the values' dtype, as `dtype`."""
    result = values.copy()
    with np.errstate(all="ignore"):
        for i in range(1, len(values)):
            result[i] = values[i] - values[i - 1]
        return result.astype(dtype)


def offset_scale(
    values: NDArray[Any], scale: float, offset: float, dtype: Any, rounds: bool
) -> NDArray[Any]:
    """``(values - offset) * scale`` as `dtype`, as numcodecs' FixedScaleOffset encodes.

    Rounded to whole numbers where `rounds` is set; integers by an integer of Python stay integers.
    """
    with np.errstate(all="ignore"):
        result = (values - offset) * scale
        return (np.around(result) if rounds else result).astype(dtype)


def offset_scale_exact(
    values: NDArray[Any], scale: int, offset: int
) -> tuple[Status, NDArray[Any]]:
    """``(values - offset) * scale`` in their own integer type, which must hold it."""
    limits = np.iinfo(values.dtype)
    products = [(int(v) - offset) * scale for v in values]
    if any(not limits.min <= p <= limits.max for p in products):
        return Status.OUT_OF_RANGE, values
    return Status.OK, np.array(products, values.dtype)


def scale_offset(values: NDArray[Any], scale: float, offset: float, dtype: Any) -> NDArray[Any]:
    """``values / scale + offset`` as `dtype`, as numcodecs' FixedScaleOffset decodes."""
    with np.errstate(all="ignore"):
        result: NDArray[Any] = ((values / scale) + offset).astype(dtype)
    return result


def scale_offset_exact(
    values: NDArray[Any], scale: int, offset: int
) -> tuple[Status, NDArray[Any]]:
    """``values / scale + offset`` in their own integer type, which must hold it exactly."""
    limits = np.iinfo(values.dtype)
    results = [divmod(int(v), scale) for v in values]
    if any(rest for _, rest in results):
        return Status.NOT_EXACT, values
    sums = [ratio + offset for ratio, _ in results]
    if any(not limits.min <= s <= limits.max for s in sums):
        return Status.OUT_OF_RANGE, values
    return Status.OK, np.array(sums, values.dtype)


def cast(values: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """NumPy's ``astype``."""
    with np.errstate(all="ignore"):
        return values.astype(dtype)


def cast_value(
    values: NDArray[Any],
    dtype: Any,
    rounding: str,
    out_of_range: str | None,
    scalar_map: Mapping[Any, Any] | None = None,
) -> tuple[Status, NDArray[Any]]:
    """Cast as zarr's ``cast_value`` does.

    Specification: https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/cast_value
    """
    result = np.zeros(len(values), dtype)
    entries = list((scalar_map or {}).items())
    for i, value in enumerate(values):
        mapped = [to for key, to in entries if value == key or (value != value and key != key)]
        try:
            result[i] = mapped[0] if mapped else _cast(value, result.dtype, rounding, out_of_range)
        except OverflowError:
            return Status.OUT_OF_RANGE, result
    return Status.OK, result


def _cast(value: Any, dtype: np.dtype, rounding: str, out_of_range: str | None) -> Any:
    if not math.isfinite(value):
        if dtype.kind == "f":
            return value
        raise OverflowError
    exact = Fraction(int(value)) if value.dtype.kind in "iu" else Fraction(float(value))
    if dtype.kind == "f":
        return _to_float(exact, value, dtype, rounding, out_of_range)
    rounded, limits = _rounded(exact, rounding), np.iinfo(dtype)
    if limits.min <= rounded <= limits.max:
        return rounded
    if out_of_range is None:
        raise OverflowError
    if out_of_range == "clamp":
        return min(max(rounded, int(limits.min)), int(limits.max))
    modulus = 1 << limits.bits
    wrapped = rounded % modulus
    return wrapped - modulus if wrapped > limits.max else wrapped


def _to_float(
    exact: Fraction, value: Any, dtype: np.dtype, rounding: str, out_of_range: str | None
) -> Any:
    if not exact:
        return value  # zero, with its sign
    info = np.finfo(dtype)
    size = abs(exact)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if size < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** (max(exponent, int(info.minexp)) - int(info.nmant))
    rounded = _rounded(exact / unit, rounding) * unit
    if abs(rounded) > Fraction(float(info.max)):
        if out_of_range != "clamp":
            raise OverflowError
        return math.copysign(math.inf, exact)
    return math.copysign(float(rounded), exact)


def _rounded(exact: Fraction, rounding: str) -> int:
    if rounding == "nearest-even":
        return round(exact)
    if rounding == "nearest-away":
        return int(math.copysign(1, exact)) * math.floor(abs(exact) + Fraction(1, 2))
    if rounding == "towards-positive":
        return math.ceil(exact)
    return math.floor(exact) if rounding == "towards-negative" else math.trunc(exact)
