"""Numbers of all kinds for tests, and how results are compared with NumPy's."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np

INTEGERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]
FLOATS = ["f2", "f4", "f8"]
KINDS = [*INTEGERS, *FLOATS]

ON_X86 = platform.machine() in ("x86_64", "AMD64")
"""Where NaN, and floats that an integer cannot hold, are what the kernels make of them."""

_EDGES = [
    0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1e-46, 5e-324, 6e-8, 1e-8, 65504, 65519, 65520,
    70000, 2049, 2**24 + 1, 3.4028235e38, 1e39, 1e308, 127.5, -0.3, -0.5, -0.6, 0.5, 1.5, 2.5, -1.5,
    300, -300, 40000, -40000, 3e9, -3e9, 5e9, 1e19, 2e19, -1e19, 1e30, 2147483647.5, 4294967296,
]  # fmt: skip


def numbers(rng: np.random.Generator, dtype: Any, count: int) -> np.ndarray:
    """So many numbers: any bits, small ones, and those where something ends; NaN is quiet."""
    wanted = np.dtype(dtype)
    raw = rng.integers(0, 256, wanted.itemsize * count, np.uint8)
    if wanted.kind == "b":
        return (raw & 1).view("?")
    if wanted.kind == "f":
        small = (rng.normal(size=count) * 10.0 ** rng.integers(-3, 5, count)).astype(wanted)
        edges = np.array(_EDGES, wanted)
    else:
        limits = np.iinfo(wanted)
        small = rng.integers(0, 100, count).astype(wanted)
        edges = np.array([limits.min, limits.max, 0, 1, limits.max - 1, limits.max // 2], wanted)
    kinds = raw.view(wanted), small, edges[rng.integers(0, len(edges), count)]
    found: np.ndarray = np.choose(rng.integers(0, 3, count), kinds)
    if wanted.kind == "f":
        found[np.isnan(found)] *= wanted.type(1)  # what is signalled becomes quiet
    return found


def same(found: bytes, wanted: np.ndarray, settled: np.ndarray | None = None) -> bool:
    """Whether these bytes are those numbers; of those that are not `settled` anything will do."""
    result = np.frombuffer(found, wanted.dtype)
    if len(result) != len(wanted):
        return False
    unsigned = f"u{wanted.itemsize}"
    equal = result.view(unsigned) == wanted.view(unsigned)
    if wanted.dtype.kind == "f" and not ON_X86:
        equal |= np.isnan(result) & np.isnan(wanted)
    return bool(equal.all() if settled is None else (equal | ~settled).all())


def settled(values: np.ndarray, target: Any) -> np.ndarray:
    """Which of these numbers NumPy casts to this dtype alike, wherever they stand.

    Floats that an integer cannot hold depend on the processor; as unsigned integers of 4 and more
    bytes also on how the compiler makes a vector of them.
    """
    wanted = np.dtype(target)
    everywhere = np.ones(len(values), bool)
    if values.dtype.kind != "f" or wanted.kind not in "iu":
        return everywhere
    if ON_X86 and wanted.str[1:] not in ("u4", "u8"):
        return everywhere
    limits = np.iinfo(wanted)
    wide = np.trunc(values.astype("f8"))
    return (wide >= float(limits.min)) & (wide < 2.0 ** (limits.bits - (limits.min < 0)))
