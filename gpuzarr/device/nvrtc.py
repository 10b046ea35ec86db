"""Kernels compiled for GPUs, by NVRTC: no compiler has to be installed, nor a GPU be there.

They are compiled for the capability of the GPU itself, not to PTX, which a driver older than NVRTC
may refuse.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
from functools import cache
from pathlib import Path

from gpuzarr.device.kernels import cached, digest, included, source
from gpuzarr.errors import DeviceError

CAPABILITIES = (75, 80, 86, 89, 90, 100, 120)
"""Compute capabilities that every kernel compiles for."""

OPTIONS = (
    "--std=c++17",
    "--fmad=false",  # results are equal to the CPU's, bit for bit
    "--device-as-default-execution-space",
    "--ptxas-options=--verbose",  # registers and spills, in the log
)


def compile_cubin(path: Path, capability: int, nvrtc: ctypes.CDLL) -> tuple[bytes, str]:
    """A kernel file compiled for one compute capability, and the compiler's log.

    Parameters
    ----------
    path
        The .cu file; its own folder is where it includes from.
    capability
        As in `CAPABILITIES`: 90 for 9.0.
    nvrtc
        What `load` gives.

    Raises
    ------
    DeviceError
        If the file does not compile; the log is its text.
    """
    program = ctypes.c_void_p()
    text = path.read_bytes()
    options = [*OPTIONS, f"--gpu-architecture=sm_{capability}", f"-I{path.parent}"]
    encoded = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])

    def call(name: str, *arguments: object) -> int:
        return int(getattr(nvrtc, name)(*arguments))

    def fetched(what: str) -> bytes:
        size = ctypes.c_size_t()
        call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(max(1, size.value))
        call(f"nvrtcGet{what}", program, buffer)
        return buffer.raw[: size.value]

    created = call(
        "nvrtcCreateProgram", ctypes.byref(program), text, path.name.encode(), 0, None, None
    )
    if created != 0:
        raise DeviceError(f"NVRTC cannot be used: nvrtcCreateProgram gave status {created}.")
    try:
        status = call("nvrtcCompileProgram", program, len(options), encoded)
        log = fetched("ProgramLog").rstrip(b"\0").decode(errors="replace")
        if status != 0:
            raise DeviceError(f"{path.name} does not compile for sm_{capability}: {log}")
        return fetched("CUBIN"), log
    finally:
        call("nvrtcDestroyProgram", ctypes.byref(program))


def cubin(op: str, capability: int) -> Path:
    """The file of an op's kernels, compiled for one compute capability; it is kept.

    Raises
    ------
    DeviceError
        If there is no NVRTC, or it does not compile the file.
    """
    path, library = source(op), load()
    major, minor = ctypes.c_int(), ctypes.c_int()
    library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    version = f"{major.value}.{minor.value}"
    name = digest(included(path), *OPTIONS, f"sm_{capability}", version)

    def build(target: Path) -> None:
        target.write_bytes(compile_cubin(path, capability, library)[0])

    return cached(f"{op}-sm_{capability}-{name}.cubin", build)


@cache
def load() -> ctypes.CDLL:
    """NVRTC: ``$GPUZARR_NVRTC``, that of the package nvidia-cuda-nvrtc, or the system's.

    Raises
    ------
    DeviceError
        If there is none.
    """
    spec = importlib.util.find_spec("nvidia")
    folders = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    found = [str(file) for folder in folders for file in folder.glob("*/lib/libnvrtc.so.*")]
    given = os.environ.get("GPUZARR_NVRTC")
    for name in [given] if given else [*found, "libnvrtc.so.13", "libnvrtc.so.12"]:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise DeviceError(
        "There is no NVRTC to compile kernels with; install gpuzarr[cuda13] or gpuzarr[cuda12], "
        "or let GPUZARR_NVRTC name libnvrtc.so."
    )
