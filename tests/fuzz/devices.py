"""The ways in which a case is read, and what a fault leaves behind."""

from __future__ import annotations

from typing import Any

import gpuzarr
from gpuzarr.device import emulated

DEVICES = ("cpu", "emulated", "untrusted")


def opened(array: Any, device: str) -> gpuzarr.Array:
    """An array of zarr-python's, or a folder, as gpuzarr's.

    "untrusted" is the emulated device, for arrays that nobody trusts.
    """
    if device == "untrusted":
        return gpuzarr.open_array(array, device="emulated", trust="untrusted")
    return gpuzarr.open_array(array, device=device)


def fault_of(error: Exception) -> str:
    """By what the emulated device broke. It is whole again."""
    fault = emulated._broken[0] if emulated._broken else str(error)
    emulated.reset()
    return fault


def is_undefined(fault: str, device: str) -> bool:
    """Whether a decoder broke it whose library promises nothing on damaged bytes."""
    names = ("zstd:", "deflate:", "snappy:")
    return device != "untrusted" and fault.startswith(names) and "aligned" not in fault
