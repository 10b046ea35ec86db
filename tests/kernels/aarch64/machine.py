"""Kernels on an aarch64 machine: compiled by a cross compiler, run by qemu's user mode.

`Machine.module`, `Machine.asarray` and `Machine.empty` stand for `RawModule`, `asarray` and
`empty` of the emulated device; everything else is the package's own code.
"""

from __future__ import annotations

import ctypes
import shutil
import struct
import subprocess
import weakref
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from gpuzarr.device import emulator_build, kernels
from gpuzarr.device.emulated_array import EmulatedArray
from gpuzarr.device.emulator import STEPS, RawModule
from gpuzarr.device.emulator_runtime import Failure, Kernel, Module, Parameter

GXX, ADDR2LINE, QEMU = "aarch64-linux-gnu-g++", "aarch64-linux-gnu-addr2line", "qemu-aarch64"
HERE = Path(__file__).parent


def missing() -> list[str]:
    """The tools that are not here."""
    return [tool for tool in (GXX, ADDR2LINE, QEMU) if shutil.which(tool) is None]


def tools(folder: Path) -> None:
    """Links by which a folder in front of the PATH makes aarch64 the machine to compile for."""
    for name, tool in (("g++", GXX), ("addr2line", ADDR2LINE)):
        (folder / name).symlink_to(str(shutil.which(tool)))


def _driver() -> Path:
    gxx, version = emulator_build.compiler()
    unit, emulator = HERE / "driver.cpp", kernels.folder() / "emulator"
    flags = ["-std=c++17", "-O1", "-Wall"]
    key = kernels.digest([unit, *sorted(emulator.glob("*.hpp"))], *flags, version)

    def build(target: Path) -> None:
        command = [gxx, *flags, f"-I{emulator}", str(unit), "-o", str(target)]
        subprocess.run(command, check=True)

    return kernels.cached(f"aarch64-driver-{key}", build)


class Machine:
    """One process, with memory, modules and launches of its own; `tools` must be in front."""

    def __init__(self) -> None:
        gxx, _ = emulator_build.compiler()
        found = subprocess.run([gxx, "-print-file-name=libc.so.6"], capture_output=True, text=True)
        system = Path(found.stdout.strip()).resolve().parents[1]
        command = [QEMU, "-L", str(system), str(_driver()), str(emulator_build.runtime_path())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self) -> int:
        """Its exit status, 0 unless it crashed."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        return self._process.wait(10)

    def send(self, command: str, *parts: int | bytes) -> None:
        message = [command.encode()]
        for part in parts:
            message.append(struct.pack("<Q", len(part) if isinstance(part, bytes) else part))
            message += [part] if isinstance(part, bytes) else []
        assert self._process.stdin
        self._process.stdin.write(b"".join(message))
        self._process.stdin.flush()

    def _bytes(self, size: int) -> bytes:
        assert self._process.stdout
        found = self._process.stdout.read(size)
        assert len(found) == size, f"the machine ended with status {self._process.wait(10)}"
        return found

    def number(self) -> int:
        return int.from_bytes(self._bytes(8), "little")

    def block(self) -> bytes:
        return self._bytes(self.number())

    def empty(self, shape: Any, dtype: Any = np.uint8) -> Array:
        return Array(self, np.empty(shape, dtype))

    def asarray(self, values: Any) -> Array:
        array = Array(self, np.asarray(values))
        array.put(np.asarray(values).tobytes(), is_written=True)
        return array

    def module(
        self, path: Path, *, mode: str = "fast", seed: int = 0, steps: int = STEPS
    ) -> _Module:
        return _Module(self, path, mode, seed, steps)


class Array(EmulatedArray):
    """An array in the machine's memory."""

    def __init__(self, machine: Machine, like: np.ndarray) -> None:
        super().__init__(like)
        self._machine = machine
        machine.send("a", self.nbytes)
        self.data = SimpleNamespace(ptr=machine.number())
        self._view: Any = _View(self)

    def __del__(self) -> None:
        with suppress(Exception):  # the machine may have ended
            self._machine.send("f", self.data.ptr)

    def put(self, data: bytes, is_written: bool) -> None:
        self._machine.send("p", self.data.ptr, data, is_written)

    def get(self) -> np.ndarray:
        self._machine.send("g", self.data.ptr, self.nbytes)
        return np.frombuffer(self._machine.block(), self.dtype).reshape(self.shape)


class _View:
    """What can be done to an array's memory without its being written, to the checker."""

    def __init__(self, array: Array) -> None:
        self._array = weakref.proxy(array)

    def __setitem__(self, all_of_it: Any, value: int) -> None:
        assert all_of_it is ...
        self._array.put(bytes([value]) * self._array.nbytes, is_written=False)


class _Module(RawModule):
    """A module of the machine's, which the package's own `RawKernel` launches."""

    def __init__(self, machine: Machine, path: Path, mode: str, seed: int, steps: int) -> None:
        self.path, self.mode, self.seed, self.steps = path, mode, seed, steps
        self.object = emulator_build.module_path(path, (), mode)
        machine.send("m", str(self.object).encode())
        address, table = machine.number(), []
        for _ in range(machine.number()):
            name, most, raw = machine.block(), machine.number(), machine.block()
            count = len(raw) // ctypes.sizeof(Parameter)
            parameters = (Parameter * max(1, count)).from_buffer_copy(raw.ljust(8, b"\0"))
            table.append(Kernel(name, None, parameters, count, most))
        self.module = Module((Kernel * len(table))(*table), len(table))
        self._numbers = {kernel.name.decode(): i for i, kernel in enumerate(table)}
        launch: Any = partial(_launch, machine, address)
        self.runtime = SimpleNamespace(gzemu_launch=launch)  # type: ignore[assignment]


def _launch(
    machine: Machine, address: int, module: Any, number: int, options: Any, pointers: Any, out: Any
) -> int:
    kernel = module._obj.kernels[number]
    sizes = [kernel.parameters[i].size for i in range(kernel.parameter_count)]
    values = [ctypes.string_at(p, n) for p, n in zip(pointers, sizes, strict=False)]
    parts: list[int | bytes] = [address, number, bytes(options._obj), len(sizes)]
    machine.send("l", *parts, *values)
    has_failed, failure = machine.number(), machine.block()
    assert len(failure) == ctypes.sizeof(Failure)
    ctypes.memmove(out, failure, len(failure))
    return has_failed
