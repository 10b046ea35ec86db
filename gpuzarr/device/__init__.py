"""Devices: a closed set of ops on batches. Codecs compose the ops and never see a library.

A device lists the decompressors, compressors and checksums that it has; what is not listed is
absent, and a codec's `supports` and `supports_encoding` say so before any I/O.
"""

from __future__ import annotations

import importlib.util
import logging
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Batch
from gpuzarr.config import config
from gpuzarr.errors import DeviceError, words_of
from gpuzarr.place import Layout, Placement

_logger = logging.getLogger("gpuzarr")
_why_not_cuda: str | None = None
_DLPACK_CUDA = 2
_EMULATED_ARRAY = "gpuzarr.device.emulated_array.EmulatedArray"


class Device(Protocol):
    """What a device does. Errors of single streams are `StreamError` with their slot."""

    name: str
    is_host: bool
    """Whether its memory is the host's, as NumPy arrays."""
    decompressors: frozenset[str]
    compressors: frozenset[str]
    checksums: frozenset[str]

    def begin(self, stream: Any = None) -> Any:
        """What the work of a read has to wait for: what the caller's stream was given before."""

    def working(self, begun: Any) -> AbstractContextManager[None]:
        """Sets a thread up to work on the device; all it did is done at the end of the block."""

    def free_memory(self) -> None:
        """Give back what is kept for later, after an error for want of memory."""

    def facts(self) -> dict[str, str]:
        """What this device is made of, by name, in words."""

    def wave_bytes(self) -> int:
        """Decoded bytes that one thread takes at a time, at most."""

    def host_memory(self, nbytes: int) -> NDArray[np.uint8]:
        """Memory of the host's from which copies to the device are fast."""

    def empty(self, nbytes: int) -> Any:
        """An arena of `nbytes` undefined bytes."""

    def room_for(self, sizes: NDArray[np.int64]) -> Batch:
        """Memory for streams of these sizes, aligned as the device likes it."""

    def new_result(self, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        """An array for a result, its content undefined; native byte order but on the host."""

    def arena_of(self, array: Any) -> Any:
        """The bytes of a result as an arena that shares its memory; None where they have gaps."""

    def upload(self, batch: Batch) -> Batch:
        """A batch of the host's in memory of the device's, where nothing is to be written to."""

    def download(self, batch: Batch) -> Batch:
        """A batch in host memory; headers and indexes, as a rule."""

    def decompress(self, codec: str, batch: Batch, into: Batch | None) -> Batch:
        """Decode each stream into its slot, which it must fill; or to memory of the device's."""

    def compress(self, codec: str, batch: Batch, options: dict[str, Any]) -> Batch:
        """Encode each stream, to memory of the device's.

        Parameters
        ----------
        codec
            One of `compressors`.
        batch
            Its `dtype` gives the size of elements to ``blosc``, where `options` does not.
        options
            All of these, as numcodecs names and understands them: ``level`` and ``checksum`` for
            ``zstd``; ``level`` for ``gzip`` and ``zlib``; ``acceleration`` for ``lz4``; for
            ``blosc`` ``cname``, ``clevel``, ``shuffle`` (0 to 2, -1 by the size of elements),
            ``blocksize``, and ``typesize``, which may be None.
        """

    def checksum(self, algorithm: str, batch: Batch) -> NDArray[np.uint32]:
        """The checksum of each stream, on the host."""

    def attach_checksum(self, algorithm: str, batch: Batch, at_start: bool) -> Batch:
        """Each stream with its checksum, 4 bytes, little-endian, before or behind it; a copy."""

    def gather_u32(self, batch: Batch, offsets: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Little-endian unsigned integers at these offsets of the arena, on the host."""

    def unshuffle(self, batch: Batch, into: Batch, typesize: int) -> None:
        """Put byte planes together to elements of `typesize` bytes; sizes are multiples of it."""

    def shuffle(self, batch: Batch, into: Batch, typesize: int) -> None:
        """Take elements of `typesize` bytes apart to byte planes: what `unshuffle` undoes."""

    def byte_swap(self, batch: Batch, into: Batch, width: int) -> None:
        """Reverse every `width` bytes."""

    def prefix_sum(self, batch: Batch, into: Batch, source: np.dtype, target: np.dtype) -> None:
        """Running sums of native numbers, added up in another dtype as NumPy's cumsum does."""

    def place(
        self, target: Any, batch: Batch, layout: Layout, placement: Placement, field: Any
    ) -> None:
        """Copy parts of decoded chunks, or of one struct field of them, into the result."""

    def fill(self, target: Any, value: Any, placement: Placement) -> None:
        """Set the parts of missing chunks to the fill value."""

    def gather(
        self, value: Any, batch: Batch, layout: Layout, placement: Placement, field: Any = None
    ) -> None:
        """Copy parts of an array into chunks, or into one struct field: what `place` undoes.

        Where parts overlap in a chunk, the last one stays, as in an assignment of NumPy's.

        Parameters
        ----------
        value
            Array, or for `Points` one-dimensional or an iterator over one, that `placement`
            calls the result. It may be read-only, and its strides may be zero.
        batch
            Slots of ``layout.size``; what no part covers stays as it is.
        """

    def copy(self, batch: Batch, into: Batch) -> None:
        """Copy each stream into its slot, which has its size."""

    def fill_chunks(self, batch: Batch, layout: Layout, value: Any) -> None:
        """Set whole chunks to the fill value."""

    def equals_fill(self, batch: Batch, layout: Layout, value: Any) -> NDArray[np.bool_]:
        """Which chunks hold nothing but the fill value, on the host.

        As zarr-python decides it (``NDBuffer.all_equal``): -0.0 is not 0.0, NaN is NaN, except
        inside of records; and no chunk equals None.
        """


def get(name: str) -> Device:
    """The device of this name: "auto", "cpu", "cuda", "cuda:1" or "emulated".

    Raises
    ------
    DeviceError
        If there is no such device, or it is not available here.

    Examples
    --------
    >>> get("cpu").name
    'cpu'
    """
    if name == "auto":
        name = str(config.get("device"))
    if name == "auto":
        return _best()
    if name == "cpu":
        return host()
    if name == "emulated":
        from gpuzarr.device.emulated import EmulatedDevice

        return EmulatedDevice()
    kind, _, ordinal = name.partition(":")
    if kind == "cuda" and (ordinal.isdecimal() or name == "cuda"):
        return _cuda(name)
    raise DeviceError(
        f"There is no device {name!r}; use 'auto', 'cpu', 'cuda', 'cuda:1' or 'emulated'."
    )


@cache
def host() -> Device:
    """The CPU; what decodes there is imported when it is first asked for."""
    from gpuzarr.device.cpu import CPU

    return CPU()


def _cuda(name: str) -> Device:
    try:
        from gpuzarr.device.cuda import CudaDevice
    except ImportError as error:
        raise DeviceError(
            f"The device {name!r} needs CuPy, which cannot be imported ({words_of(error)}); "
            f"install gpuzarr[cuda13] or gpuzarr[cuda12], as the driver is, or use device='cpu'."
        ) from error
    ordinal = name.partition(":")[2]
    return CudaDevice(int(ordinal) if ordinal else None)


def _best() -> Device:
    """A GPU where there is one that can be used, else the CPU; the reason is logged once."""
    global _why_not_cuda
    if _why_not_cuda is None:
        try:
            if importlib.util.find_spec("cupy") is not None:
                return _cuda("cuda")
            _why_not_cuda = "CuPy is not installed"
        except DeviceError as error:
            _why_not_cuda = str(error)
            _logger.info("device='auto' is the CPU: %s", error)
    return host()


def why_no_gpu() -> str | None:
    """Why ``device="auto"`` is the CPU; None where it is not, or nobody asked yet."""
    return _why_not_cuda


def like(example: Any) -> str:
    """Name of the device that holds arrays like this one (Zarr's meta-array)."""
    if isinstance(example, np.ndarray | np.generic):
        return "cpu"
    if _is_emulated(example):
        return "emulated"
    if type(example).__module__.partition(".")[0] == "cupy":
        return f"cuda:{example.device.id}"
    raise DeviceError(
        f"meta_array must be a NumPy or a CuPy array, not {type(example).__qualname__!r}."
    )


def on_device(array: Any) -> Any | None:
    """An array in the memory of a device, which has `get` for a host copy; None for any other.

    What is on a GPU and speaks DLPack (a tensor of torch's) is given as CuPy's view of its memory.
    """
    if isinstance(array, np.ndarray | np.generic):
        return None
    if type(array).__module__.partition(".")[0] == "cupy" or _is_emulated(array):
        return array
    told = getattr(array, "__dlpack_device__", None)
    if told is None or told()[0] != _DLPACK_CUDA or importlib.util.find_spec("cupy") is None:
        return None
    from gpuzarr.device.cuda import from_dlpack

    return from_dlpack(array)


def _is_emulated(array: Any) -> bool:
    return f"{type(array).__module__}.{type(array).__name__}" == _EMULATED_ARRAY
