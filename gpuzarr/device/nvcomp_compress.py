"""How nvCOMP compresses: one call for any number of chunks, each into its place.

What is not asked for in a call are the library's defaults. `nvcomp_abi` has the structures,
docs/nvcomp.md the interface in words.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import NamedTuple

from gpuzarr.device.nvcomp import Alignments, Nvcomp
from gpuzarr.device.nvcomp_abi import (
    CODECS,
    EarlierCascadedCompressOptions,
    Requirements,
    codec_named,
)

_FIRST_GZIP = (5, 3)

_CASCADED = {"element": 5, "mode": 1, "codecs": 1, "fine_encodings": 7, "level": 3}
_EARLIER_CASCADED = {
    "part_bytes": 4096, "element": 4, "run_lengths": 2, "deltas": 1, "packs": 1,
}  # fmt: skip
_DEFAULTS = {
    "deflate": {"algorithm": 1},
    "gdeflate": {"algorithm": 1},
    "gzip": {"algorithm": 1},
    "bitcomp": {"element": 1},
    "cascaded": _CASCADED,
}
"""The library's, where they are not all zero."""

_size, _address = ctypes.c_size_t, ctypes.c_void_p


class _Calls(NamedTuple):
    kind: type[ctypes.Structure]
    defaults: dict[str, int]
    alignments: Callable[..., int]
    room: Callable[..., int]
    temp_bytes: Callable[..., int]
    compress: Callable[..., int]

    def options(self, fields: Mapping[str, int]) -> ctypes.Structure:
        return self.kind(**self.defaults | dict(fields))


class Compressors:
    """The compressors of a loaded library.

    `fields` of every call are options of a codec by their names in `nvcomp_abi`: ``algorithm``
    of Deflate, Gdeflate, Gzip and Bitcomp, ``element`` (`ELEMENTS`) of Bitcomp, ANS and Cascaded.

    Raises
    ------
    DeviceError
        If the library lacks a function.
    """

    def __init__(self, nvcomp: Nvcomp) -> None:
        self._nvcomp = nvcomp
        self._calls = {name: self._calls_of(name) for name in CODECS if self.largest(name)}

    def largest(self, codec: str) -> int:
        """Bytes of one chunk, at most; 0 where this version has no compressor (Gzip before 5.3).

        Raises
        ------
        UnsupportedError
            If nvCOMP has no such codec.
        """
        found = codec_named(codec)
        if codec == "gzip" and self._nvcomp.version < _FIRST_GZIP:
            return 0
        return found.largest_chunk

    def alignments(self, codec: str, fields: Mapping[str, int]) -> Alignments:
        """What the addresses of chunks, of their targets and of the temporary memory need.

        Raises
        ------
        DeviceError
            If the library refuses.
        """
        calls, found = self._calls[codec], Requirements()
        status = calls.alignments(calls.options(fields), ctypes.byref(found))
        self._nvcomp.check(status, f"tell the alignments of compressing {codec}")
        return Alignments(found.input, found.output, found.temp)

    def room(self, codec: str, largest: int, fields: Mapping[str, int]) -> int:
        """Bytes that each target needs if no chunk is larger than `largest`.

        Raises
        ------
        DeviceError
            If the library refuses, as it does if `largest` is more than it compresses.
        """
        calls, found = self._calls[codec], _size()
        status = calls.room(largest, calls.options(fields), ctypes.byref(found))
        self._nvcomp.check(status, f"compress {codec} chunks of {largest:,} bytes")
        return found.value

    def temp_bytes(
        self,
        codec: str,
        count: int,
        largest: int,
        total: int,
        fields: Mapping[str, int],
        stream: int = 0,
    ) -> int:
        """Temporary memory for `count` chunks of `largest` bytes at most, `total` in all.

        Raises
        ------
        DeviceError
            If the library refuses; Zstd asks the GPU, and refuses without one.
        """
        calls, found = self._calls[codec], _size()
        args = count, largest, calls.options(fields), ctypes.byref(found), total
        is_6 = self._nvcomp.is_6
        status = calls.temp_bytes(*args, stream) if is_6 else calls.temp_bytes(*args)
        self._nvcomp.check(status, f"compress {codec} chunks of {largest:,} bytes")
        return found.value

    def compress(
        self,
        codec: str,
        fields: Mapping[str, int],
        *,
        source: int,
        size: int,
        largest: int,
        count: int,
        temp: int,
        temp_bytes: int,
        target: int,
        found: int,
        status: int,
        stream: int,
    ) -> None:
        """Put `count` chunks to compress on a stream of CUDA's; nothing waits for them.

        Parameters
        ----------
        source, size, target
            Addresses of 64-bit arrays: where the chunks are and their bytes, and where their
            targets are, which have `room` each.
        found, status
            Addresses of arrays that are set: encoded bytes, 64 bits; `NvcompStatus`, 32 bits.
        largest
            Bytes of the largest chunk.
        temp, temp_bytes
            Memory of at least what `temp_bytes` says of these chunks; its address is aligned.

        Raises
        ------
        DeviceError
            If the call itself fails; what is wrong with a chunk is told in `status`.
        """
        calls = self._calls[codec]
        if count:
            refused = calls.compress(source, size, largest, count, temp, temp_bytes, target, found,
                                     calls.options(fields), status, stream)  # fmt: skip
            self._nvcomp.check(refused, f"compress {count} {codec} chunks")

    def _calls_of(self, name: str) -> _Calls:
        codec, library = CODECS[name], self._nvcomp
        kind, defaults = codec.compress_options, _DEFAULTS.get(name, {})
        if name == "cascaded" and not library.is_6:
            kind, defaults = EarlierCascadedCompressOptions, _EARLIER_CASCADED
        stem, size = f"nvcompBatched{codec.symbol}Compress", ctypes.POINTER(_size)
        temp: list[type] = [_size, _size, kind, size, _size]
        suffix = "Async"
        if library.is_6:
            suffix, temp = "", [*temp, _address]
        batch = [_address, _address, _size, _size, _address, _size, _address, _address]
        return _Calls(
            kind,
            defaults,
            library.bound(f"{stem}GetRequiredAlignments", kind, ctypes.POINTER(Requirements)),
            library.bound(f"{stem}GetMaxOutputChunkSize", _size, kind, size),
            library.bound(f"{stem}GetTempSize{suffix}", *temp),
            library.bound(f"{stem}Async", *batch, kind, _address, _address),
        )
