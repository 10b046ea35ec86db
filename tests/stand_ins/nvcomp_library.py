"""nvCOMP without a GPU: the library's own answers, and CPU libraries in place of its codecs.

Where libnvcomp is installed, all but the batch calls are the real library's, which needs no GPU for
them (but to tell the memory of Zstd's compressor): it refuses a wrong structure, size or backend
itself. Elsewhere they come from the table in
docs/nvcomp.md. A batch call is work of its stream, on memory of the stand-in for CuPy's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from cupy._machine import machine
from cupy.cuda import runtime

from gpuzarr.device import emulated_compress, emulated_library, nvcomp
from gpuzarr.device.nvcomp_abi import CODECS, CUDA_BACKEND, NvcompStatus
from gpuzarr.device.nvcomp_compress import Compressors
from gpuzarr.errors import DeviceError

_STEM, _OPTIONS_BYTES = "nvcompBatched", 64
_INPUT = {"Deflate": 4, "Gdeflate": 4, "Bitcomp": 8, "ANS": 16, "Cascaded": 4}
_OUTPUT = {"Bitcomp": 8, "ANS": 16, "Cascaded": 8}
_TEMP = {"Zstd": 8, "Bitcomp": 4}
_VERSION, _CUDA = 6000, 13040


_find = nvcomp._loaded


def installed() -> ctypes.CDLL | None:
    """The library, where it is installed."""
    try:
        return _find(None)[0]
    except DeviceError:
        return None


def bound(library: Any) -> nvcomp.Nvcomp:
    """What our own code makes of it."""
    before, nvcomp._loaded = nvcomp._loaded, lambda path: (library, "the stand-in")
    try:
        return nvcomp.Nvcomp()
    finally:
        nvcomp._loaded = before


class Library:
    """What `ctypes.CDLL` gives, of functions by their names."""

    def __init__(self, found: ctypes.CDLL | None) -> None:
        self._found = found
        self._real = bound(found) if found is not None else None

    def needed(self, codec: str, capacity: np.ndarray) -> int:
        """Temporary bytes for streams of these decoded sizes at most."""
        sizes = len(capacity), int(capacity.max()), int(capacity.sum())
        if self._real is not None:
            return self._real.temp_bytes(codec, *sizes)
        return temp_bytes(CODECS[codec].symbol, sizes[0], sizes[2])

    def room_to_compress(self, codec: str, largest: int, fields: dict[str, int]) -> int:
        """Bytes of a target for a chunk of this size."""
        if self._real is None:
            return emulated_compress.requirements(codec, largest, fields).room
        return Compressors(self._real).room(codec, largest, fields)

    def needed_to_compress(self, codec: str, size: np.ndarray, fields: dict[str, int]) -> int:
        """Temporary bytes for chunks of these sizes."""
        count, largest, total = len(size), int(size.max()), int(size.sum())
        if self._real is None or codec == "zstd":
            return compress_temp_bytes(codec, count, total, fields)
        return Compressors(self._real).temp_bytes(codec, count, largest, total, fields)

    def __getitem__(self, name: str) -> Any:
        if name.endswith("DecompressAsync"):
            return _Function(_batch_call(name, self))
        if name.endswith("CompressAsync"):
            return _Function(_compress_call(name, self))
        if name.startswith(f"{_STEM}ZstdCompressGetTempSize"):
            return _Function(_documented_of_compressors(name))
        return self._found[name] if self._found is not None else _Function(_documented(name))


class _Function:
    """Called like a function of ctypes: by its declared types, which have to be declared."""

    argtypes: tuple[type, ...] = ()
    restype: Any = ctypes.c_int

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *args: Any) -> Any:
        assert len(args) == len(self.argtypes), "another number of arguments than declared"
        for arg, kind in zip(args, self.argtypes, strict=True):
            kind.from_param(arg)  # type: ignore[attr-defined]
        return self._call(*args)


def _refuses(options: ctypes.Structure) -> bool:
    """Options are 64 bytes, and of a backend that runs kernels."""
    backend = getattr(options, "backend", None)
    return ctypes.sizeof(options) != _OPTIONS_BYTES or backend not in (0, CUDA_BACKEND)


def temp_bytes(symbol: str, count: int, total: int) -> int:
    """Of the documented table, a little less than what the library says."""
    return 3 * total + 6900 * count if symbol == "Zstd" else 0


def _documented(name: str) -> Callable[..., Any]:
    if "Compress" in name:
        return _documented_of_compressors(name)
    symbol = name.removeprefix(_STEM).partition("Decompress")[0]
    largest = {codec.symbol: codec.largest for codec in CODECS.values()}

    def properties(found: Any) -> int:
        found._obj.version, found._obj.cuda = _VERSION, _CUDA
        return 0

    def words(status: int) -> bytes:
        return NvcompStatus(status).name.capitalize().replace("_", " ").encode()

    def alignments(options: Any, found: Any) -> int:
        if _refuses(options):
            return NvcompStatus.INVALID_VALUE
        tables = _INPUT, _OUTPUT, _TEMP
        found._obj.input, found._obj.output, found._obj.temp = (t.get(symbol, 1) for t in tables)
        return 0

    def temp(count: int, most: int, options: Any, found: Any, total: int, stream: int) -> int:
        if _refuses(options) or most > largest[symbol]:
            return NvcompStatus.INVALID_VALUE
        found._obj.value = temp_bytes(symbol, count, total)
        return 0

    special = {"nvcompGetProperties": properties, "nvcompGetStatusString": words}
    return special.get(name, alignments if name.endswith("Alignments") else temp)


def _batch_call(name: str, library: Library) -> Callable[..., int]:
    symbol = name.removeprefix(_STEM).removesuffix("DecompressAsync")
    (codec,) = (name for name, codec in CODECS.items() if codec.symbol == symbol)

    def call(
        source: int, size: int, capacity: int, found: int, count: int, temp: int, given: int,
        target: int, options: Any, status: int, stream: int,
    ) -> int:  # fmt: skip
        if _refuses(options) or not all((source, size, capacity, found, target, status)):
            return NvcompStatus.INVALID_VALUE
        if any(address % 8 for address in (source, size, capacity, found, target)) or status % 4:
            return NvcompStatus.MISALIGNED
        if temp % _TEMP.get(symbol, 1):
            return NvcompStatus.MISALIGNED

        def decode() -> None:
            ends = [
                np.frombuffer(machine.read(at, 8 * count), np.int64)
                for at in (source, size, capacity, target)
            ]
            needed = library.needed(codec, ends[2])
            if given < needed:
                raise RuntimeError(f"{codec} needs {needed} temporary bytes, it has {given}")
            if given:
                machine.write(temp, b"\xee" * given)
            for begin, nbytes, room, end in zip(*(e.tolist() for e in ends), strict=True):
                machine.check_live(begin, nbytes, f"{codec}: a read")
                if room:
                    machine.check_live(end, room, f"{codec}: a write")
                if begin % _INPUT.get(symbol, 1) or end % _OUTPUT.get(symbol, 1):
                    raise RuntimeError(f"{codec}: a stream at {begin:#x} is not aligned")
            verdicts, sizes = emulated_library.decompress(codec, *ends)
            machine.write(status, verdicts.astype(np.int32).tobytes())
            machine.write(found, sizes.astype(np.int64).tobytes())

        machine.counts[f"nvcomp {codec}"] += 1
        machine.queue_of(stream, runtime.getDevice()).give(decode)
        return NvcompStatus.SUCCESS

    return call


# --- compressors ----------------------------------------------------------------------------------

_COMPRESS_TEMP = {"LZ4": 2, "Deflate": 8, "Gdeflate": 8, "Gzip": 8}
_ALGORITHMS = (0, 9, 10, 10, 33, 34)
"""Temporary memory of Deflate's, in multiples of what is compressed."""


def _named(name: str) -> str:
    """Our name of a function's codec."""
    symbol = name.removeprefix(_STEM).partition("Compress")[0]
    (codec,) = (name for name, codec in CODECS.items() if codec.symbol == symbol)
    return codec


def _fields(options: ctypes.Structure) -> dict[str, int]:
    return {name: getattr(options, name) for name, *_ in options._fields_ if name != "unused"}


def _refused(options: ctypes.Structure) -> int:
    if ctypes.sizeof(options) != _OPTIONS_BYTES:
        return NvcompStatus.INVALID_VALUE
    return NvcompStatus.NOT_SUPPORTED if _fields(options).get("algorithm", 0) > 5 else 0


def compress_temp_bytes(codec: str, count: int, total: int, fields: dict[str, int]) -> int:
    """About what the library says; of Zstd, which asks the GPU, a guess."""
    if codec in ("deflate", "gdeflate", "gzip"):
        return _ALGORITHMS[fields["algorithm"]] * total
    return {"lz4": 32768 * count, "zstd": 2 * total + 8192 * count}.get(codec, 0)


def _documented_of_compressors(name: str) -> Callable[..., int]:
    codec = _named(name)

    def alignments(options: Any, found: Any) -> int:
        if not (status := _refused(options)):
            needs = emulated_compress.requirements(codec, 1, _fields(options))
            found._obj.input, found._obj.output = needs.input, needs.output
            found._obj.temp = _COMPRESS_TEMP.get(CODECS[codec].symbol, 1)
        return status

    def room(largest: int, options: Any, found: Any) -> int:
        if largest > emulated_compress.largest_chunk(codec):
            return NvcompStatus.CHUNK_TOO_LARGE
        if not (status := _refused(options)):
            needs = emulated_compress.requirements(codec, largest, _fields(options))
            found._obj.value = needs.room
        return status

    def temp(count: int, most: int, options: Any, found: Any, total: int, *stream: int) -> int:
        if not (status := _refused(options)):
            found._obj.value = compress_temp_bytes(codec, count, total, _fields(options))
        return status

    if name.endswith("Alignments"):
        return alignments
    return room if name.endswith("OutputChunkSize") else temp


def _compress_call(name: str, library: Library) -> Callable[..., int]:
    codec = _named(name)

    def call(
        source: int, size: int, largest: int, count: int, temp: int, given: int, target: int,
        found: int, options: Any, status: int, stream: int,
    ) -> int:  # fmt: skip
        if _refused(options) or not all((source, size, target, found, status)):
            return NvcompStatus.INVALID_VALUE
        if any(address % 8 for address in (source, size, target, found)) or status % 4:
            return NvcompStatus.MISALIGNED
        if temp % _COMPRESS_TEMP.get(CODECS[codec].symbol, 1):
            return NvcompStatus.MISALIGNED
        fields = _fields(options)

        def encode() -> None:
            ends = [
                np.frombuffer(machine.read(at, 8 * count), np.int64)
                for at in (source, size, target)
            ]
            sizes = ends[1]
            if sizes.max() > largest:
                raise RuntimeError(f"{codec}: a chunk of {sizes.max()} bytes, not {largest}")
            needed = library.needed_to_compress(codec, sizes, fields)
            if given < needed:
                raise RuntimeError(f"{codec} needs {needed} temporary bytes, it has {given}")
            if given:
                machine.write(temp, b"\xee" * given)
            room = library.room_to_compress(codec, largest, fields)
            for begin, nbytes, end in zip(*(e.tolist() for e in ends), strict=True):
                machine.check_live(begin, nbytes, f"{codec}: a read")
                machine.check_live(end, room, f"{codec}: a write")
            encoded = emulated_compress.compress(codec, *ends, room, fields)
            machine.write(status, bytes(4 * count))
            machine.write(found, encoded.tobytes())

        machine.counts[f"nvcomp compress {codec}"] += 1
        machine.queue_of(stream, runtime.getDevice()).give(encode)
        return NvcompStatus.SUCCESS

    return call
