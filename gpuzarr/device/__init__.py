"""Devices: a closed set of ops on batches. Codecs compose the ops and never see a library.

A device lists the decompressors and checksums that it has; what is not listed is absent, and a
codec's `supports` says so before any I/O.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Batch
from gpuzarr.config import config
from gpuzarr.errors import DeviceError
from gpuzarr.place import Layout, Placement


class Device(Protocol):
    """What a device does. Errors of single streams are `StreamError` with their slot."""

    name: str
    decompressors: frozenset[str]
    checksums: frozenset[str]

    def empty(self, nbytes: int) -> Any:
        """An arena of `nbytes` undefined bytes."""

    def new_result(self, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        """An array for a result, its content undefined."""

    def decompress(self, codec: str, batch: Batch, into: Batch | None) -> Batch:
        """Decode each stream into its slot, which it must fill; or to memory of the device's."""

    def checksum(self, algorithm: str, batch: Batch) -> NDArray[np.uint32]:
        """The checksum of each stream, on the host."""

    def gather_u32(self, arena: Any, offsets: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Little-endian unsigned integers at these offsets, on the host."""

    def unshuffle(self, batch: Batch, into: Batch, typesize: int) -> None:
        """Put byte planes together to elements of `typesize` bytes; sizes are multiples of it."""

    def place(
        self, target: Any, batch: Batch, layout: Layout, placement: Placement, field: Any
    ) -> None:
        """Copy parts of decoded chunks, or of one struct field of them, into the result."""

    def fill(self, target: Any, value: Any, placement: Placement) -> None:
        """Set the parts of missing chunks to the fill value."""


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
    from gpuzarr.device.cpu import CPU

    if name == "auto":
        name = str(config.get("device"))
    if name in ("auto", "cpu"):
        return CPU()
    if name == "cuda" or name.startswith("cuda:") or name == "emulated":
        raise DeviceError(
            f"The device {name!r} is not available: this version of gpuzarr decodes on the CPU "
            f"only; use device='cpu' or 'auto'."
        )
    raise DeviceError(
        f"There is no device {name!r}; use 'auto', 'cpu', 'cuda', 'cuda:1' or 'emulated'."
    )


def like(example: Any) -> str:
    """Name of the device that holds arrays like this one (Zarr's meta-array)."""
    if isinstance(example, np.ndarray | np.generic):
        return "cpu"
    if type(example).__module__.partition(".")[0] == "cupy":
        return f"cuda:{example.device.id}"
    raise DeviceError(
        f"meta_array must be a NumPy or a CuPy array, not {type(example).__qualname__!r}."
    )
