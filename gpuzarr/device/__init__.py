"""Devices by name, and whose array is whose. What a device does stands in `protocol`."""

from __future__ import annotations

import importlib.util
import logging
from functools import cache
from typing import Any

import numpy as np

from gpuzarr.config import config
from gpuzarr.device.protocol import Casting, Device
from gpuzarr.errors import DeviceError, words_of

__all__ = ["Casting", "Device", "get", "host", "like", "on_device", "trust", "why_no_gpu"]

_logger = logging.getLogger("gpuzarr")
_why_not_cuda: str | None = None
_DLPACK_CUDA = 2
TRUSTED, UNTRUSTED = "trusted", "untrusted"
_EMULATED_ARRAY = "gpuzarr.device.emulated_array.EmulatedArray"


def trust(wanted: str | None) -> str:
    """This trust; None: that of the option.

    Raises
    ------
    ValueError
        If it is another word than "trusted" and "untrusted".
    """
    found = str(config.get("trust")) if wanted is None else wanted
    if found not in (TRUSTED, UNTRUSTED):
        raise ValueError(f"The trust is 'trusted' or 'untrusted', not {found!r}.")
    return found


def get(name: str, trust: str = TRUSTED) -> Device:
    """The device of this name: "auto", "cpu", "cuda", "cuda:1" or "emulated".

    Parameters
    ----------
    trust
        "trusted", or "untrusted": only decoders that are defined on any bytes see streams
        (docs/codecs.md).

    Raises
    ------
    DeviceError
        If there is no such device, or it is not available here.

    Examples
    --------
    >>> get("cpu").name
    'cpu'
    """
    device = _named(name)
    if trust == UNTRUSTED and not device.is_host:  # whose decoders are defined on any bytes
        device.trusts = False
    return device


def _named(name: str) -> Device:
    if name == "auto":
        name = str(config.get("device"))
    if name == "auto":
        return _best()
    if name == "cpu":
        return host()
    if name == "emulated":
        from gpuzarr.device.emulated import EmulatedDevice

        return EmulatedDevice()
    kind, _, ordinal = name.partition(":")
    if kind == "cuda" and (ordinal.isdecimal() or name == "cuda"):
        return _cuda(name)
    raise DeviceError(
        f"There is no device {name!r}; use 'auto', 'cpu', 'cuda', 'cuda:1' or 'emulated'."
    )


@cache
def host() -> Device:
    """The CPU; what decodes there is imported when it is first asked for."""
    from gpuzarr.device.cpu import CPU

    return CPU()


def _cuda(name: str) -> Device:
    try:
        from gpuzarr.device.cuda import CudaDevice
    except ImportError as error:
        raise DeviceError(
            f"The device {name!r} needs CuPy, which cannot be imported ({words_of(error)}); "
            f"install gpuzarr[cuda13] or gpuzarr[cuda12], as the driver is, or use device='cpu'."
        ) from error
    ordinal = name.partition(":")[2]
    return CudaDevice(int(ordinal) if ordinal else None)


def _best() -> Device:
    """A GPU where there is one that can be used, else the CPU; the reason is logged once."""
    global _why_not_cuda
    if _why_not_cuda is None:
        try:
            if importlib.util.find_spec("cupy") is not None:
                return _cuda("cuda")
            _why_not_cuda = "CuPy is not installed"
        except DeviceError as error:
            _why_not_cuda = str(error)
            _logger.info("device='auto' is the CPU: %s", error)
    return host()


def why_no_gpu() -> str | None:
    """Why ``device="auto"`` is the CPU; None where it is not, or nobody asked yet."""
    return _why_not_cuda


def like(example: Any) -> str:
    """Name of the device that holds arrays like this one (Zarr's meta-array)."""
    if isinstance(example, np.ndarray | np.generic):
        return "cpu"
    if _is_emulated(example):
        return "emulated"
    if type(example).__module__.partition(".")[0] == "cupy":
        return f"cuda:{example.device.id}"
    raise DeviceError(
        f"meta_array must be a NumPy or a CuPy array, not {type(example).__qualname__!r}."
    )


def on_device(array: Any) -> Any | None:
    """An array in the memory of a device, which has `get` for a host copy; None for any other.

    What is on a GPU and speaks DLPack (a tensor of torch's) is given as CuPy's view of its memory.
    """
    if isinstance(array, np.ndarray | np.generic):
        return None
    if type(array).__module__.partition(".")[0] == "cupy" or _is_emulated(array):
        return array
    told = getattr(array, "__dlpack_device__", None)
    if told is None or told()[0] != _DLPACK_CUDA or importlib.util.find_spec("cupy") is None:
        return None
    from gpuzarr.device.cuda import from_dlpack

    return from_dlpack(array)


def _is_emulated(array: Any) -> bool:
    return f"{type(array).__module__}.{type(array).__name__}" == _EMULATED_ARRAY
