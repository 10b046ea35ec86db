"""Kernels run on the CPU as they are: `RawModule` and `RawKernel`, called as CuPy's are.

A kernel file is compiled by g++ (`emulator_build`) and run by the emulator's runtime, one fiber
for each CUDA thread that waits. In mode ``check`` a launch stops at the first access or collective
that a GPU would not forgive, or that would give different results from run to run, and raises
`KernelFaultError` with what, where and in which thread.

``GPUZARR_EMULATOR`` chooses the mode: ``fast`` (the default), ``check`` or ``ubsan``;
``GPUZARR_EMULATOR_SEED`` an order of threads and blocks other than one after another.
See docs/emulator.md.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpuzarr.device import emulator_build, emulator_runtime
from gpuzarr.device.emulated_array import EmulatedArray
from gpuzarr.device.emulator_runtime import Failure, Module, Options
from gpuzarr.device.kernels import MOST_SHARED_BYTES, SHARED_BYTES, folder
from gpuzarr.errors import DeviceError

STEPS = 1 << 29
"""Basic blocks that a launch in mode ``check`` may run, unless told otherwise."""

_MOST_THREADS = (1024, 1024, 64)
_MOST_BLOCKS = ((1 << 31) - 1, 65535, 65535)


class KernelFaultError(DeviceError):
    """A kernel did what a GPU would not forgive; what it wrote is undefined.

    Attributes
    ----------
    kind
        "out of bounds", "race", "uninitialised read", "misaligned access", "divergent collective",
        "partial collective", "partial barrier", "deadlock", "endless loop", "trap",
        "undefined behaviour".
    kernel
        Name of the kernel.
    block, thread
        Where in the grid and in the block; None where no single thread is to blame.
    file, line
        Where in the source; "" and 0 if unknown (without debug information or ``addr2line``).
    """

    def __init__(
        self,
        kind: str,
        text: str,
        kernel: str,
        block: tuple[int, ...] | None,
        thread: tuple[int, ...] | None,
        file: str,
        line: int,
    ) -> None:
        where = f" at {Path(file).name}:{line}" if file else ""
        who = f", block {block}, thread {thread}" if block is not None else ""
        super().__init__(f"Kernel {kernel!r}{who}: {kind}{where}: {text}.")
        self.kind = kind
        self.text = text
        self.kernel = kernel
        self.block = block
        self.thread = thread
        self.file = file
        self.line = line

    def __reduce__(self) -> tuple[Any, ...]:
        fields = ("kind", "text", "kernel", "block", "thread", "file", "line")
        return type(self), tuple(getattr(self, field) for field in fields)


class RawModule:
    """The kernels of one file, compiled for the emulated device.

    Parameters
    ----------
    path
        The .cu file.
    options
        Further options of the compiler, such as ``-DNAME=value``.
    mode
        "fast", "check" or "ubsan"; None: ``GPUZARR_EMULATOR``.
    seed
        Order of threads and blocks: 0 one after another, any other number at random;
        None: ``GPUZARR_EMULATOR_SEED``, or 0.
    steps
        Basic blocks that a launch may run in mode ``check``.

    Raises
    ------
    DeviceError
        If there is no compiler, or the file does not compile.
    """

    def __init__(
        self,
        path: Path,
        options: Sequence[str] = (),
        *,
        mode: str | None = None,
        seed: int | None = None,
        steps: int = STEPS,
    ) -> None:
        self.mode = emulator_build.mode_of(mode)
        self.seed = int(os.environ.get("GPUZARR_EMULATOR_SEED", "0")) if seed is None else seed
        self.steps = steps
        self.path = path
        self.runtime = emulator_runtime.load()
        self.object = emulator_build.module_path(path, options, self.mode)
        self._library = ctypes.CDLL(str(self.object))
        self.module = Module.in_dll(self._library, "gzemu_module")
        self._numbers = {
            self.module.kernels[i].name.decode(): i for i in range(self.module.kernel_count)
        }

    def get_function(self, name: str) -> RawKernel:
        """The kernel of this name.

        Raises
        ------
        DeviceError
            If the file has none.
        """
        if name not in self._numbers:
            raise DeviceError(
                f"{self.path.name} has no kernel {name!r}; it has {', '.join(self._numbers)}."
            )
        return RawKernel(self, name, self._numbers[name])


class RawKernel:
    """One kernel: ``kernel(grid, block, args, shared_mem=0)``.

    Attributes
    ----------
    max_dynamic_shared_size_bytes
        Most dynamic shared memory of a launch; to be raised for more than 48 KiB, as on a GPU.
    """

    def __init__(self, module: RawModule, name: str, number: int) -> None:
        self.name = name
        self._module = module
        self._number = number
        kernel = module.module.kernels[number]
        self._parameters = [
            (kernel.parameters[i].size, chr(kernel.parameters[i].kind))
            for i in range(kernel.parameter_count)
        ]
        self._most_threads = kernel.most_threads or _MOST_THREADS[0]
        self.max_dynamic_shared_size_bytes = SHARED_BYTES

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: Sequence[Any],
        *,
        shared_mem: int = 0,
    ) -> None:
        """Run the kernel to its end.

        Parameters
        ----------
        grid, block
            Blocks of the grid and threads of a block, in one to three dimensions.
        args
            One for each parameter: an `EmulatedArray` or an address (numpy.uint64) for a pointer,
            a NumPy scalar of the parameter's size for anything else; an int counts as numpy.int64
            and a float as numpy.float64, as with CuPy.
        shared_mem
            Bytes of dynamic shared memory.

        Raises
        ------
        DeviceError
            If geometry or arguments do not fit the kernel.
        KernelFaultError
            If the kernel does what it may not.
        """
        options = self._options(grid, block, shared_mem)
        values = self._values(args)
        pointers = (ctypes.c_void_p * max(1, len(values)))(*[v.ctypes.data for v in values])
        failure = Failure()
        has_failed = self._module.runtime.gzemu_launch(
            ctypes.byref(self._module.module),
            self._number,
            ctypes.byref(options),
            pointers,
            ctypes.byref(failure),
        )
        if has_failed:
            raise self._fault(failure)

    def _options(self, grid: tuple[int, ...], block: tuple[int, ...], shared_mem: int) -> Options:
        limits = {"grid": (grid, _MOST_BLOCKS), "block": (block, _MOST_THREADS)}
        sides = {}
        for name, (given, most) in limits.items():
            side = (*given, 1, 1)[:3]
            if len(given) > 3 or not all(1 <= n <= m for n, m in zip(side, most, strict=True)):
                raise self._refused(f"a {name} from (1, 1, 1) to {most}", f"{tuple(given)}")
            sides[name] = side
        threads = sides["block"][0] * sides["block"][1] * sides["block"][2]
        if threads > self._most_threads:
            raise self._refused(f"up to {self._most_threads} threads a block", f"{threads}")
        most_shared = min(self.max_dynamic_shared_size_bytes, MOST_SHARED_BYTES)
        if not 0 <= shared_mem <= most_shared:
            raise self._refused(
                f"up to {most_shared} bytes of dynamic shared memory", f"{shared_mem}"
            )
        steps = self._module.steps if self._module.mode == "check" else 0
        return Options(
            (ctypes.c_uint32 * 3)(*sides["grid"]),
            (ctypes.c_uint32 * 3)(*sides["block"]),
            shared_mem,
            self._module.seed,
            steps,
        )

    def _values(self, args: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
        if len(args) != len(self._parameters):
            raise self._refused(f"{len(self._parameters)} arguments", f"{len(args)}")
        values = []
        for number, (arg, (size, kind)) in enumerate(zip(args, self._parameters, strict=True)):
            value = np.uint64(arg.data.ptr) if isinstance(arg, EmulatedArray) else arg
            if isinstance(value, int | float) and not isinstance(value, np.generic):
                value = np.float64(value) if isinstance(value, float) else np.int64(value)
            fits = isinstance(value, np.generic) and value.dtype.itemsize == size
            if not fits or not _suits(arg, value.dtype.kind, kind):
                raise self._refused(
                    f"argument {number} to be {_words(size, kind)}", f"{type(arg).__name__} {arg!r}"
                )
            values.append(np.array([value]))
        return values

    def _refused(self, expected: str, found: str) -> DeviceError:
        return DeviceError(f"Kernel {self.name!r} expects {expected}, found {found}.")

    def _fault(self, failure: Failure) -> KernelFaultError:
        file, line = failure.file.decode(), failure.line
        if not file and failure.pc:
            file, line = _source_of(self._module.object, failure.pc - 1)
        return KernelFaultError(
            failure.kind.decode(),
            failure.text.decode(),
            self.name,
            tuple(failure.block) if failure.has_thread else None,
            tuple(failure.thread) if failure.has_thread else None,
            file,
            line,
        )


def _suits(arg: Any, found: str, kind: str) -> bool:
    """Whether an argument whose dtype has this kind may stand for a parameter of that kind."""
    if kind == "p":
        return isinstance(arg, EmulatedArray | np.uint64)
    if isinstance(arg, EmulatedArray):
        return False
    return {"i": found in "iub", "f": found == "f"}.get(kind, True)


def _words(size: int, kind: str) -> str:
    if kind == "p":
        return "an array on the emulated device, or an address (numpy.uint64)"
    noun = {"i": "an integer", "f": "a floating-point number"}.get(kind, "a structure")
    return f"{noun} of {size} bytes"


def _source_of(module: Path, pc: int) -> tuple[str, int]:
    """File and line of an address, outside of the emulator's own headers."""
    tool = shutil.which("addr2line")
    if tool is None:
        return "", 0
    command = [tool, "-i", "-e", str(module), hex(pc)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    # by name: what is cached may have been compiled in another checkout
    own = {file.name for file in (folder() / "emulator").iterdir()}
    for frame in result.stdout.splitlines():
        file, _, rest = frame.partition(":")
        number = rest.split(" ")[0]
        if number.isdigit() and Path(file).name not in own:
            return file, int(number)
    return "", 0
