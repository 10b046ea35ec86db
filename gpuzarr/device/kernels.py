"""Where the kernels are, how they are compiled and cached, and with which geometry they start.

The emulated device and the CUDA device share this module: the first compiles a kernel with g++
(`emulator_build`), the second with NVRTC (`nvrtc`). What is compiled is kept in the user's
cache folder under a name that is a digest of all that went into it, and moved there in one piece,
so that processes that compile at once do not meet.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gpuzarr.errors import DeviceError

THREADS = 256
"""Threads of a block, unless a kernel says otherwise."""

WARP = 32

SHARED_BYTES = 48 << 10
"""Shared memory of a block that needs no asking for, on every device."""

MOST_SHARED_BYTES = 64 << 10
"""What the smallest of the devices above lends to a block that asks for it."""

_MOST_THREADS_PER_PROCESSOR = 2048

_INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


@cache
def folder() -> Path:
    """The folder of kernel sources: in the package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    for candidate in (package / "_kernels", package.parent / "kernels"):
        if candidate.is_dir():
            return candidate
    raise DeviceError(f"The kernels are missing: expected {package / '_kernels'}, found no folder.")


def source(op: str) -> Path:
    """The file of an op's kernels.

    Raises
    ------
    DeviceError
        If there is no such file.
    """
    path = folder() / f"{op}.cu"
    if not path.is_file():
        raise DeviceError(f"There is no kernel file for {op!r}: expected {path}.")
    return path


def included(path: Path) -> list[Path]:
    """This file and all that it includes by ``#include "…"``, relative to the including file."""
    found = {path.resolve(): None}
    for file in (waiting := [path.resolve()]):
        for name in _INCLUDE.findall(file.read_text(encoding="utf-8")):
            other = (file.parent / name).resolve()
            if other.is_file() and other not in found:
                found[other] = None
                waiting.append(other)
    return list(found)


def digest(files: Iterable[Path], *words: str) -> str:
    """Hexadecimal name of what these files and words make; the files' folders don't matter."""
    sha = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        sha.update(f"{file.name}\0{len(content)}\0".encode() + content)
    for word in words:
        sha.update(f"{word}\0".encode())
    return sha.hexdigest()[:24]


def cached(name: str, build: Callable[[Path], object]) -> Path:
    """A file of the cache folder; `build` makes it, in a folder of its own, if it is not there.

    Raises
    ------
    DeviceError
        If the folder cannot be written.
    """
    target = cache_folder() / name
    return target if target.is_file() else kept(target, build)


def cache_folder() -> Path:
    """``$GPUZARR_CACHE``, or ``gpuzarr`` in the user's cache folder."""
    if given := os.environ.get("GPUZARR_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gpuzarr"


def kept(target: Path, build: Callable[[Path], object]) -> Path:
    """A file, made anew by `build`, in place of what is there; the errors of `cached`."""
    root, name = target.parent, target.name
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".building-") as work:
            made = Path(work) / name
            build(made)
            made.replace(target)
    except OSError as error:
        raise DeviceError(
            f"The file {name!r} cannot be kept in {root}: {error.strerror or error}; "
            f"GPUZARR_CACHE names another folder."
        ) from error
    return target


# --- launch geometry ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Geometry:
    """Blocks of a launch and threads of a block."""

    grid: tuple[int, int, int]
    block: tuple[int, int, int]


def over_tiles(tiles: int, processors: int, threads: int = THREADS) -> Geometry:
    """For kernels whose blocks share any number of tiles: enough blocks to fill the device.

    Parameters
    ----------
    tiles
        All tiles of all streams.
    processors
        Multiprocessors of the device.
    threads
        Threads of a block.
    """
    most = processors * (_MOST_THREADS_PER_PROCESSOR // threads)
    return Geometry((max(1, min(tiles, most)), 1, 1), (threads, 1, 1))


def over_streams(streams: int, processors: int, warps: int = 2) -> Geometry:
    """For kernels whose warps share any number of streams: enough to fill the device."""
    most = processors * (_MOST_THREADS_PER_PROCESSOR // (warps * WARP))
    return Geometry((max(1, min(-(-streams // warps), most)), 1, 1), (warps * WARP, 1, 1))


def over_elements(count: int, threads: int = THREADS) -> Geometry:
    """For kernels that give each element to one thread."""
    return Geometry((max(1, -(-count // threads)), 1, 1), (threads, 1, 1))
