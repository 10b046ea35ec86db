"""The emulated device: the kernels as they are, run and checked on the CPU (docs/emulator.md).

It is for tests, and chosen by its name only. As a process has one CUDA context, it has one
emulated device, which a fault breaks for good: every later call fails, until `reset`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuzarr.device import emulated_array, emulated_compress, emulated_library
from gpuzarr.device.emulated_array import EmulatedArray
from gpuzarr.device.emulator import KernelFaultError, RawModule
from gpuzarr.device.emulator_build import mode_of
from gpuzarr.device.kernel_device import KernelDevice
from gpuzarr.device.kernels import Geometry, source
from gpuzarr.device.launcher import Chunks
from gpuzarr.errors import DeviceError

_broken: list[str] = []


class EmulatedDevice(KernelDevice):
    """`EmulatedArray`, kernels compiled by g++, and CPU libraries in place of nvCOMP.

    Raises
    ------
    DeviceError
        If there is no g++, or a fault broke the device before.
    """

    name = "emulated"
    processors = 1

    def __init__(self) -> None:
        emulated_array.empty(0)

    def identity(self) -> str:
        """The mode of the emulator."""
        return f"{self.name} {mode_of(None)}"

    def facts(self) -> dict[str, str]:
        """The mode of the emulator."""
        return {"emulator": f"Kernels run on the CPU, in mode {mode_of(None)!r}."}

    def free_memory(self) -> None:
        """Nothing is kept."""

    def empty(self, nbytes: int) -> EmulatedArray:
        """An arena of `nbytes` undefined bytes."""
        _check_whole()
        return emulated_array.empty(nbytes)

    def new_result(self, shape: tuple[int, ...], dtype: np.dtype) -> EmulatedArray:
        """An `EmulatedArray`."""
        _check_whole()
        return emulated_array.empty(shape, dtype.newbyteorder("="))

    def _copy_in(self, values: NDArray[np.uint8]) -> EmulatedArray:
        _check_whole()
        return emulated_array.asarray(values)

    def _copy_out(self, array: EmulatedArray) -> NDArray[Any]:
        _check_whole()
        return array.get()

    def _launch(self, op: str, kernel: str, shape: Geometry, args: Sequence[Any]) -> None:
        _check_whole()
        try:
            _module(op, mode_of(None)).get_function(kernel)(shape.grid, shape.block, args)
        except KernelFaultError as error:
            _broken.append(str(error))
            raise

    def _alignment(self, codec: str) -> tuple[int, int]:
        return emulated_library.ALIGNMENTS[codec]

    def largest_chunk(self, codec: str) -> int:
        """As nvCOMP 6.0 has it."""
        return emulated_compress.largest_chunk(codec)

    def _compress_needs(
        self, codec: str, largest: int, fields: Mapping[str, int]
    ) -> tuple[int, int, int]:
        return emulated_compress.requirements(codec, largest, fields)

    def _decompress(
        self,
        codec: str,
        source: EmulatedArray,
        size: EmulatedArray,
        capacity: EmulatedArray,
        target: EmulatedArray,
        room: NDArray[np.int64],
    ) -> tuple[EmulatedArray, EmulatedArray]:
        _check_whole()
        ends = [array.get()[: len(room)] for array in (source, size, capacity, target)]
        with _breaking():
            status, found = emulated_library.decompress(codec, *ends)
        return emulated_array.asarray(status), emulated_array.asarray(found)

    def _compress(self, codec: str, chunks: Chunks, fields: Mapping[str, int]) -> int:
        _check_whole()
        source, size, target = (array.get() for array in chunks[:3])
        with _breaking():
            found = emulated_compress.compress(codec, source, size, target, chunks.room, fields)
        chunks.found.set(found)
        chunks.status.set(np.zeros(len(found), np.int32))
        return 1


@contextmanager
def _breaking() -> Iterator[None]:
    """What the library does not promise to survive ends the device."""
    try:
        yield
    except emulated_library.BrokenStreamError as error:
        _broken.append(str(error))
        _check_whole()
        raise


@cache
def _module(op: str, mode: str) -> RawModule:
    return RawModule(source(op), mode=mode)


def _check_whole() -> None:
    if _broken:
        raise DeviceError(
            f"The emulated device is broken, as a CUDA context would be: {_broken[0]}."
        )


def reset() -> None:
    """Make the device whole again, as a new process does with a GPU."""
    _broken.clear()
