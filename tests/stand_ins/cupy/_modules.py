"""Kernels, which the emulator runs; the "cubin" is what the stand-in for NVRTC wrote."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from cupy._machine import CUDADriverError, machine
from gpuzarr.device import emulator
from gpuzarr.device.emulator_build import mode_of
from gpuzarr.device.kernels import source
from gpuzarr.errors import DeviceError

_SCALARS = {np.dtype(char).type for char in "?bhilqBHILQefdFD"}


class RawModule:
    """Kernels of one file; they are loaded on each device when one is first asked for there."""

    def __init__(self, *, code: str | None = None, path: str | None = None) -> None:
        if (code is None) == (path is None):
            raise TypeError("Exactly one of `code` and `path` keyword arguments must be given.")
        if not isinstance(path, str):
            raise TypeError("path must be a str")
        self._path = path

    def get_function(self, name: str) -> RawKernel:
        """A kernel on the current device."""
        from cupy.cuda import runtime

        device = runtime.getDevice()
        machine.check(device)
        op, architecture = Path(self._path).read_text().split()
        if architecture != "sm_{}{}".format(*machine.capability):
            raise CUDADriverError("CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image is available")
        machine.loaded[self._path, device] = 1
        try:
            return RawKernel(_emulated(op, mode_of(None)).get_function(name), device)
        except DeviceError as error:
            raise CUDADriverError("CUDA_ERROR_NOT_FOUND: named symbol not found") from error


class RawKernel:
    """One kernel of a module that is loaded on one device."""

    def __init__(self, kernel: emulator.RawKernel, device: int) -> None:
        self._kernel, self._device = kernel, device

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: Any) -> None:
        """Give a launch to the current stream."""
        from cupy.cuda import get_current_stream, runtime

        if runtime.getDevice() != self._device:
            raise CUDADriverError("CUDA_ERROR_INVALID_HANDLE: invalid resource handle")
        if not isinstance(grid, tuple) or not isinstance(block, tuple):
            raise TypeError("grid and block must be tuples")
        queue, values = get_current_stream().queue(), [_value(arg, self) for arg in args]

        def launch() -> None:
            for value, (_, kind) in zip(values, self._kernel._parameters, strict=False):
                if kind == "p" and value:  # of no bytes, it may as well be the end of a block
                    machine.check_live(int(value), 0, "a launch with memory")
            self._kernel(grid, block, values)

        machine.counts["launches"] += 1
        queue.give(launch)


@cache
def _emulated(op: str, mode: str) -> emulator.RawModule:
    return emulator.RawModule(source(op), mode=mode)


def _value(arg: Any, kernel: RawKernel) -> Any:
    """As CuPy takes it; an array is its address, and nothing keeps its memory."""
    from cupy import ndarray
    from cupy.cuda import get_current_stream

    if isinstance(arg, ndarray):
        arg._block.used_by(get_current_stream().queue())
        return np.uint64(arg.data.ptr)
    if type(arg) in _SCALARS:
        return arg
    if isinstance(arg, int | float):
        return np.float64(arg) if isinstance(arg, float) else np.int64(arg)
    raise TypeError(f"Unsupported type {type(arg)}")
