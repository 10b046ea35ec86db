"""How nvCOMP is found and called: libnvcomp.so through its C interface, one call for any batch.

The package around the library is not imported, and loading it takes no GPU. `nvcomp_abi` has the
structures, docs/nvcomp.md the interface in words; what differs between 5.2 and 6.0 is bridged here.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from gpuzarr.device.nvcomp_abi import (
    ANY_ELEMENT,
    CODECS,
    CUDA_BACKEND,
    AnsOptions,
    Codec,
    NvcompStatus,
    Properties,
    Requirements,
    codec_named,
)
from gpuzarr.errors import DeviceError, words_of

_OLDEST, _BEYOND = (5, 2), (7,)
_SONAMES = ("libnvcomp.so.6", "libnvcomp.so.5")
_FOLDER = Path("nvidia", "libnvcomp", "lib64")
"""Of the packages nvidia-libnvcomp-cu12 and -cu13, below a folder of Python's path."""

_ADVICE = (
    "install gpuzarr[cuda13] or gpuzarr[cuda12], which bring nvidia-libnvcomp >=5.2,<7, "
    "or let GPUZARR_NVCOMP name libnvcomp.so"
)


class Alignments(NamedTuple):
    """What addresses have to be multiples of."""

    input: int
    output: int
    temp: int


_size, _address = ctypes.c_size_t, ctypes.c_void_p


class _Calls(NamedTuple):
    options: ctypes.Structure
    alignments: Callable[..., int]
    temp_bytes: Callable[..., int]
    decompress: Callable[..., int]


class Nvcomp:
    """The library, loaded.

    Parameters
    ----------
    path
        Its file; None for ``$GPUZARR_NVCOMP``, else that of a package, else the system's.

    Attributes
    ----------
    path, version, cuda
        Its file, its version as (6, 0, 0), and that of the CUDA runtime within, as (13, 4).
    is_6
        Whether it has the calls of 6.0.

    Raises
    ------
    DeviceError
        If there is none, or its version is not supported.
    """

    def __init__(self, path: str | None = None) -> None:
        self._library, self.path = _loaded(path)
        self.version, self.cuda = _versions(self._library, self.path)
        if not _OLDEST <= self.version < _BEYOND:
            found = ".".join(map(str, self.version))
            raise DeviceError(
                f"nvCOMP cannot be used: expected 5.2 or later and before 7, found {found} "
                f"in {self.path}; {_ADVICE}."
            )
        self.is_6 = self.version >= (6,)
        self._say = self.bound("nvcompGetStatusString", ctypes.c_int32)
        self._say.restype = ctypes.c_char_p
        self._calls = {name: self._calls_of(codec) for name, codec in CODECS.items()}

    @staticmethod
    def largest(codec: str) -> int:
        """Decoded bytes of one stream, at most, and encoded bytes too.

        Raises
        ------
        UnsupportedError
            If nvCOMP has no such codec.
        """
        return codec_named(codec).largest

    def alignments(self, codec: str) -> Alignments:
        """What the addresses of streams, of their targets and of the temporary memory need.

        Raises
        ------
        DeviceError
            If the library refuses.
        """
        calls, found = self._of(codec), Requirements()
        status = calls.alignments(calls.options, ctypes.byref(found))
        self.check(status, f"tell the alignments of {codec}")
        return Alignments(found.input, found.output, found.temp)

    def temp_bytes(self, codec: str, count: int, largest: int, total: int, stream: int = 0) -> int:
        """Temporary memory for `count` streams of `largest` decoded bytes at most, `total` in all.

        Raises
        ------
        DeviceError
            If the library refuses, as it does if `largest` is more than it decodes.
        """
        calls, found = self._of(codec), _size()
        args = count, largest, calls.options, ctypes.byref(found), total
        status = calls.temp_bytes(*args, stream) if self.is_6 else calls.temp_bytes(*args)
        self.check(status, f"decompress {codec} streams of {largest:,} bytes")
        return found.value

    def decompress(
        self,
        codec: str,
        *,
        source: int,
        size: int,
        capacity: int,
        found: int,
        count: int,
        temp: int,
        temp_bytes: int,
        target: int,
        status: int,
        stream: int,
    ) -> None:
        """Put `count` streams to decode on a stream of CUDA's; nothing waits for them.

        Parameters
        ----------
        source, size, target, capacity
            Addresses of 64-bit arrays: where the streams and their targets are, and their bytes.
        found, status
            Addresses of arrays that are set: decoded bytes, 64 bits; `NvcompStatus`, 32 bits.
        temp, temp_bytes
            Memory of at least what `temp_bytes` says of this batch; its address is aligned.

        Raises
        ------
        DeviceError
            If the call itself fails; what is wrong with a stream is told in `status`.
        """
        calls = self._of(codec)
        if count:
            refused = calls.decompress(source, size, capacity, found, count, temp, temp_bytes,
                                       target, calls.options, status, stream)  # fmt: skip
            self.check(refused, f"decompress {count} {codec} streams")

    def words(self, status: int) -> str:
        """What the library says of a status, for use within a sentence."""
        said: bytes = self._say(status)
        text = said.decode()
        return text[:1].lower() + text[1:]

    # --- binding ----------------------------------------------------------------------------------

    def _of(self, codec: str) -> _Calls:
        codec_named(codec)
        return self._calls[codec]

    def _calls_of(self, codec: Codec) -> _Calls:
        kind, stem = codec.options, f"nvcompBatched{codec.symbol}Decompress"
        options = kind(backend=CUDA_BACKEND)
        if isinstance(options, AnsOptions) and self.is_6:
            options.element = ANY_ELEMENT
        temp: list[type] = [_size, _size, kind, ctypes.POINTER(_size), _size]
        name = f"{stem}GetTempSizeAsync"
        if self.is_6:
            name, temp = f"{stem}GetTempSize", [*temp, _address]
        batch = [_address, _address, _address, _address, _size, _address, _size, _address]
        return _Calls(
            options,
            self.bound(f"{stem}GetRequiredAlignments", kind, ctypes.POINTER(Requirements)),
            self.bound(name, *temp),
            self.bound(f"{stem}Async", *batch, kind, _address, _address),
        )

    def bound(self, name: str, *types: type) -> ctypes._NamedFuncPointer:
        """One of the library's functions, that takes arguments of these types.

        Raises
        ------
        DeviceError
            If there is none of this name.
        """
        return _function(self._library, self.path, name, *types)

    def check(self, status: int, what: str) -> None:
        """Whether a call was good.

        Raises
        ------
        DeviceError
            If it was not, with the library's words.
        """
        if status != NvcompStatus.SUCCESS:
            raise DeviceError(f"nvCOMP cannot {what}: {self.words(status)} (status {status}).")


# --- finding --------------------------------------------------------------------------------------


def _loaded(path: str | None) -> tuple[ctypes.CDLL, str]:
    """The first library that loads, and its name."""
    given = path or os.environ.get("GPUZARR_NVCOMP")
    refusals = []
    for name in [given] if given else _candidates():
        try:
            return ctypes.CDLL(name), name
        except OSError as error:
            refusals.append(words_of(error))
    why = f" ({refusals[0]})" if given or len(refusals) > len(_SONAMES) else ""
    raise DeviceError(f"There is no nvCOMP to decompress with{why}; {_ADVICE}.")


def _candidates() -> Iterator[str]:
    for place in sys.path:
        for name in _SONAMES:
            file = Path(place, _FOLDER, name)
            if file.is_file():
                yield str(file)
    yield from _SONAMES


def _function(library: ctypes.CDLL, path: str, name: str, *types: type) -> ctypes._NamedFuncPointer:
    try:
        function = library[name]
    except AttributeError as error:
        raise DeviceError(f"{path} is no nvCOMP that is supported, it lacks {name}.") from error
    function.argtypes = types
    return function


def _versions(library: ctypes.CDLL, path: str) -> tuple[tuple[int, int, int], tuple[int, int]]:
    """Of the library, and of the CUDA runtime within."""
    found = Properties()
    _function(library, path, "nvcompGetProperties", ctypes.POINTER(Properties))(ctypes.byref(found))
    major, rest = divmod(found.version, 1000)
    return (major, *divmod(rest, 100)), (found.cuda // 1000, found.cuda % 1000 // 10)
