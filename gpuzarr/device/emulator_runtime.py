"""The C interface of the emulator's runtime: kernels/emulator/interface.hpp and launch.cpp.

The runtime owns the memory of the emulated device and runs its launches, one at a time.
"""

from __future__ import annotations

import ctypes

from gpuzarr.device import emulator_build


class Parameter(ctypes.Structure):
    """A parameter of a kernel."""

    _fields_ = [("size", ctypes.c_uint32), ("kind", ctypes.c_uint32)]


class Kernel(ctypes.Structure):
    """An entry of a module's table."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("call", ctypes.c_void_p),
        ("parameters", ctypes.POINTER(Parameter)),
        ("parameter_count", ctypes.c_uint32),
        ("most_threads", ctypes.c_uint32),
    ]


class Module(ctypes.Structure):
    """What a module tells of itself."""

    _fields_ = [
        ("kernels", ctypes.POINTER(Kernel)),
        ("kernel_count", ctypes.c_uint32),
        ("is_checked", ctypes.c_uint32),
        ("shared_begin", ctypes.c_void_p),
        ("shared_end", ctypes.c_void_p),
        ("image_begin", ctypes.c_void_p),
        ("image_end", ctypes.c_void_p),
    ]


class Options(ctypes.Structure):
    """How a launch runs."""

    _fields_ = [
        ("grid", ctypes.c_uint32 * 3),
        ("block", ctypes.c_uint32 * 3),
        ("dynamic_shared", ctypes.c_uint32),
        ("seed", ctypes.c_uint64),
        ("steps", ctypes.c_uint64),
    ]


class Failure(ctypes.Structure):
    """Why a launch stopped."""

    _fields_ = [
        ("kind", ctypes.c_char * 32),
        ("text", ctypes.c_char * 480),
        ("file", ctypes.c_char * 256),
        ("pc", ctypes.c_uint64),
        ("line", ctypes.c_uint32),
        ("has_thread", ctypes.c_uint32),
        ("block", ctypes.c_uint32 * 3),
        ("thread", ctypes.c_uint32 * 3),
    ]


_loaded: list[ctypes.CDLL] = []


def load() -> ctypes.CDLL:
    """The runtime, compiled if need be; a process loads it once."""
    if not _loaded:
        library = ctypes.CDLL(str(emulator_build.runtime_path()))
        address, size = ctypes.c_void_p, ctypes.c_size_t
        library.gzemu_allocate.restype = address
        library.gzemu_allocate.argtypes = [size]
        library.gzemu_free.restype = None
        library.gzemu_free.argtypes = [address]
        library.gzemu_written.restype = None
        library.gzemu_written.argtypes = [address, size]
        library.gzemu_launch.restype = ctypes.c_int
        library.gzemu_launch.argtypes = [address, ctypes.c_uint32, address, address, address]
        _loaded.append(library)
    return _loaded[0]
