"""Which numbers kernels compute exactly as NumPy does, and in words why they leave others alone.

NumPy's rules (NEP 50): an integer of Python takes the dtype of an array of integers, and must fit
it; a float of Python makes double precision of integers, and takes the dtype of floats. The
division of integers is one of doubles.

Bits that are the same on no two processors are not promised: what becomes of a float that an
integer dtype cannot hold is here what x86-64 gives, and signalling NaNs become quiet.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpuzarr.device.protocol import Casting
from gpuzarr.device.reference.numbers import KINDS

_INTEGERS, _FLOATS = "iu", "f"


def refused(
    op: str,
    source: np.dtype,
    target: np.dtype,
    scale: Any = 1,
    offset: Any = 0,
    casting: Casting | None = None,
) -> str | None:
    """None for what the kernels of this op compute as NumPy does, or the reason in words.

    Parameters
    ----------
    op
        A method of `Device` on numbers: "cast", "difference", and so on.
    source, target
        Of native numbers.
    scale, offset, casting
        As they are given to the op.
    """
    for dtype in (source, target):
        if dtype.str[1:] not in KINDS or not dtype.isnative:
            return f"kernels compute integers and real numbers, not {dtype}"
    if op == "cast" and casting is None:
        return None
    if op == "cast":
        return None if "b" not in source.kind + target.kind else "no rules are defined for bool"
    if source.kind == "b":
        return f"{op} of bool is not arithmetic"
    if op == "prefix_sum":
        return _prefix_sum(source, target)
    if op == "difference":
        if source.kind in _FLOATS and target.kind not in _FLOATS:
            return f"NumPy refuses some differences of {source} as {target}"
        return None
    return _scaled(op, source, (scale, offset))


def _prefix_sum(source: np.dtype, target: np.dtype) -> str | None:
    """Only sums that do not depend on how NumPy adds them up."""
    both = source.kind + target.kind
    if all(kind in _INTEGERS for kind in both) and np.result_type(source, target).kind != "f":
        return None
    if both == _FLOATS * 2 and source.itemsize <= target.itemsize:
        return None
    return f"sums of {source} as {target} depend on how NumPy adds them up"


def _scaled(op: str, source: np.dtype, numbers: tuple[Any, Any]) -> str | None:
    if op.endswith("_exact"):
        if source.kind not in _INTEGERS or not all(isinstance(n, int) for n in numbers):
            return f"{op} is for integers alone"
        if numbers[0] == 0:
            return f"{op} by a scale of 0"
    scale, offset = numbers
    for number in numbers:
        if not isinstance(number, int | float):
            return f"expected numbers of Python for {op}, found {type(number).__name__}"
        if isinstance(number, float) and math.isnan(number):
            return f"{op} by NaN"
        if isinstance(number, int) and not -(1 << 63) <= number < 1 << 64:
            return f"{op} by {number}, which NumPy takes for an object"
    if source.kind in _FLOATS or op == "scale_offset" or isinstance(offset, float):
        return None
    limits = np.iinfo(source)
    for number in (offset,) if isinstance(scale, float) else numbers:
        if not int(limits.min) <= number <= int(limits.max):
            return f"{op} of {source} by {number}, which NumPy refuses"
    return None
