"""What an array is, told by its metadata alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpuzarr.device import Device
from gpuzarr.metadata import Metadata
from gpuzarr.spec import Spec


class Described:
    """The properties of an array that its metadata give; sizes in elements unless named bytes."""

    _spec: Spec
    _metadata: Metadata
    _device: Device

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis, in elements."""
        return self._spec.shape

    @property
    def dtype(self) -> np.dtype:
        """dtype of the elements, as zarr-python reports it."""
        return self._spec.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Decoded size in bytes."""
        return self.size * self.dtype.itemsize

    @property
    def chunks(self) -> tuple[int, ...] | tuple[tuple[int, ...], ...]:
        """Shape of the innermost chunks; for an irregular grid the lengths along each axis."""
        if self._spec.is_regular:
            return self._spec.chunk_shape
        return tuple(tuple(axis.extent(np.arange(axis.count)).tolist()) for axis in self._spec.grid)

    @property
    def shards(self) -> tuple[int, ...] | None:
        """Shape of the shards, or None."""
        return self._spec.levels[0].shape if self._spec.levels else None

    @property
    def nchunks(self) -> int:
        """Number of innermost chunks."""
        return math.prod(axis.count for axis in self._spec.grid)

    @property
    def fill_value(self) -> Any:
        """What the metadata says that absent chunks hold; None where it says nothing (v2)."""
        return self._spec.fill_value

    @property
    def order(self) -> str:
        """ "C" or "F": order of the elements in a chunk (v2)."""
        return self._spec.order

    @property
    def codecs(self) -> list[dict[str, Any]]:
        """Codecs of the innermost chunks in the order of encoding, as names and configurations."""
        return [{"name": c.name, "configuration": c.configuration} for c in self._spec.codecs]

    @property
    def zarr_format(self) -> int:
        """2 or 3."""
        return self._spec.zarr_format

    @property
    def dimension_names(self) -> tuple[str | None, ...] | None:
        """Names of the axes (v3)."""
        return getattr(self._metadata, "dimension_names", None)

    @property
    def path(self) -> str:
        """Path in the store."""
        return self._spec.path

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self._spec.path.rpartition("/")[2]

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("The length of a 0-dimensional array is not defined.")
        return self.shape[0]

    def __repr__(self) -> str:
        where = f" /{self.path}" if self.path else ""
        inner = f" shards={self.shards}" if self.shards else ""
        codecs = "+".join(c.name for c in self._spec.codecs) or "raw"
        return (
            f"<gpuzarr.Array{where} {self.shape} {self.dtype} chunks={self.chunks}{inner} "
            f"{codecs} v{self.zarr_format} on {self._device.name}>"
        )
