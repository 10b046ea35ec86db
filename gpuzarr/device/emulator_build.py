"""How a .cu file becomes a shared object of the emulated device: g++, with a dialect in front.

Three builds of a kernel file: ``fast``; ``check``, whose every access to memory and every basic
block calls the runtime; ``ubsan``, where undefined behaviour of C++ does. They share one runtime
(kernels/emulator), which is built once and owns the device memory.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from gpuzarr.device import kernels
from gpuzarr.errors import DeviceError

MODES = ("fast", "check", "ubsan")

_COMMON = [
    "-std=c++17",
    "-gdwarf-4",  # addr2line mixes up the files of version 5
    "-fPIC",
    "-fvisibility=hidden",
    "-ffp-contract=off",  # what a GPU computes without --fmad
    "-Wall",
]
_KERNEL = [
    *_COMMON,
    "-fno-exceptions",
    "-fno-finite-loops",  # an endless loop stays one, for the budget of steps to end
    "-fno-strict-aliasing",
    "-fno-gnu-unique",
    "-fno-omit-frame-pointer",
    "-Wno-attributes",
    "-Wno-unknown-pragmas",
    "-Wno-unused",
]
_BY_MODE = {
    "fast": ["-O2"],
    # The sanitizers are here for the calls they insert; their libraries are not linked. Accesses
    # stay what they are in the source: -fno-tree-sra keeps one of 16 bytes from becoming four.
    "check": [
        "-O2",
        "-DGZEMU_CHECK",
        "-fsanitize=thread",
        "--param=tsan-instrument-func-entry-exit=0",
        "-fsanitize-coverage=trace-pc",
        "-fno-tree-sra",
        "-fno-tree-vectorize",
        "-fno-store-merging",
        "-fno-tree-loop-distribute-patterns",
    ],
    "ubsan": [
        "-O1",
        "-fsanitize=undefined,float-cast-overflow",
        "-fno-sanitize-recover=all",
        "-fno-sanitize=vptr",
    ],
}

_PARENTHESES = r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"
_KERNEL_HEAD = re.compile(
    rf'extern\s*"C"\s*__global__\s*(?:__launch_bounds__\s*({_PARENTHESES})\s*)?void\s*'
    rf"(?:__launch_bounds__\s*({_PARENTHESES})\s*)?(\w+)\s*({_PARENTHESES})\s*\{{"
)


def mode_of(mode: str | None) -> str:
    """The mode that is asked for: this one, or ``GPUZARR_EMULATOR``'s, or ``fast``."""
    chosen = mode or os.environ.get("GPUZARR_EMULATOR") or "fast"
    if chosen not in MODES:
        raise DeviceError(
            f"The emulated device has no mode {chosen!r}; GPUZARR_EMULATOR is one of "
            f"{', '.join(MODES)}."
        )
    return chosen


def is_available() -> bool:
    """Whether kernels can be compiled here."""
    return shutil.which("g++") is not None


def compiler() -> tuple[str, str]:
    """Path and version of g++.

    Raises
    ------
    DeviceError
        If there is none.
    """
    path = shutil.which("g++")
    if path is None:
        raise DeviceError(
            "The emulated device compiles its kernels with g++, which is not on the PATH; install "
            "it (Debian and Ubuntu: apt install g++) or use device='cpu'."
        )
    return path, _version(path)


@cache
def _version(path: str) -> str:
    # one by one: g++ answers only the first
    commands = [[path, flag] for flag in ("-dumpfullversion", "-dumpmachine")]
    runs = [subprocess.run(c, capture_output=True, text=True, check=False) for c in commands]
    return "".join(run.stdout for run in runs)


def _run(command: Sequence[str], what: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        errors = [line for line in result.stderr.splitlines() if "error" in line][:3]
        raise DeviceError(
            f"g++ does not compile {what}: {'; '.join(errors) or result.stderr.strip()[-500:]}."
        )
    return result.stdout


def _emulator_files() -> list[Path]:
    return sorted((kernels.folder() / "emulator").glob("*.[hc]pp"))


def runtime_path() -> Path:
    """The runtime's shared object, built if it is not in the cache."""
    gxx, version = compiler()
    flags = [*_COMMON, "-O2"]
    files = _emulator_files()
    name = f"libgpuzarr-emulator-{kernels.digest(files, *flags, version)}.so"
    units = [str(file) for file in files if file.suffix == ".cpp"]

    def build(target: Path) -> None:
        # modules ask for the runtime by this soname, and find it loaded
        command = [gxx, *flags, "-shared", f"-Wl,-soname,{name}", *units, "-o", str(target)]
        _run(command, "the emulator's runtime")

    return kernels.cached(name, build)


def module_path(path: Path, options: Sequence[str], mode: str) -> Path:
    """The shared object of a kernel file, compiled if it is not in the cache."""
    gxx, version = compiler()
    runtime = runtime_path()
    flags = [*_KERNEL, *_BY_MODE[mode], *options]
    headers = [file for file in _emulator_files() if file.suffix == ".hpp"]
    key = kernels.digest([*kernels.included(path), *headers], *flags, version, runtime.name)
    dialect = kernels.folder() / "emulator" / "dialect.hpp"

    def build(target: Path) -> None:
        base = [gxx, *flags, f"-I{path.parent}", f"-I{kernels.folder()}"]
        unit = target.with_suffix(".cpp")
        # a namespace without a name makes all of the file its own
        unit.write_text(f'namespace {{\n#include "{path.resolve()}"\n}}\n', encoding="utf-8")
        text = _run(
            [*base, "-DGZEMU_SCAN", "-include", str(dialect), "-E", "-P", str(unit)], path.name
        )
        with unit.open("a", encoding="utf-8") as file:
            file.write(f"GZEMU_MODULE({_table(text, path.name)})\n")
        code = target.with_suffix(".o")
        _run([*base, "-include", str(dialect), "-c", str(unit), "-o", str(code)], path.name)
        # Without the flags of the sanitizers, which would link their libraries; and without the
        # variables of the C library's start files, so that .bss is shared memory alone.
        link = [gxx, "-shared", "-nostartfiles", str(code), str(runtime), "-o", str(target)]
        _run(link, path.name)

    return kernels.cached(f"{path.stem}-{mode}-{key}.so", build)


def _table(preprocessed: str, name: str) -> str:
    entries = []
    for before, after, kernel, parameters in _KERNEL_HEAD.findall(preprocessed):
        bounds = before or after or "()"
        inner = parameters[1:-1].strip()
        entries.append(f"GZEMU_KERNEL({kernel}, {bounds}, {'' if inner == 'void' else inner})")
    if not entries:
        raise DeviceError(f'{name} has no kernel: expected extern "C" __global__ void name(…) {{.')
    return " ".join(entries)
