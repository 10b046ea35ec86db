"""CUDA's own calls. Which of them make a context is CUDA 12's rule: setting a device does."""

from __future__ import annotations

import threading
from typing import Any

from cupy._machine import CUDARuntimeError, machine

__all__ = ["CUDARuntimeError", "getDevice", "getDeviceCount", "getDeviceProperties", "memGetInfo"]

_local = threading.local()


def getDeviceCount() -> int:
    machine.check()
    return machine.devices


def getDevice() -> int:
    machine.check()
    return int(getattr(_local, "device", 0))


def setDevice(device: int) -> None:
    machine.check()
    if not 0 <= device < machine.devices:
        raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
    machine.contexts.add(device)
    _local.device = device


def getDeviceProperties(device: int) -> dict[str, Any]:
    machine.check()
    major, minor = machine.capability
    return {
        "name": b"stand-in", "major": major, "minor": minor, "multiProcessorCount": 2,
        "totalGlobalMem": machine.total_bytes,
    }  # fmt: skip


def memGetInfo() -> tuple[int, int]:
    device = getDevice()
    machine.check(device)
    return machine.total_bytes - machine.allocated[device], machine.total_bytes
