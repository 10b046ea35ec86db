"""SZIP of HDF5, on the CPU: libaec's, chunk by chunk, with declared sizes compared before."""

from __future__ import annotations

import numpy as np

from gpuzarr.batch import Batch
from gpuzarr.codecs.foreign import Foreign
from gpuzarr.device import Device
from gpuzarr.errors import ChunkSizeError, StreamError, UnsupportedError
from gpuzarr.hdf5_szip import declared_size, why_not
from gpuzarr.spec import CodecConfig


class Hdf5Szip(Foreign):
    """What `gpuzarr.hdf5_szip.Hdf5Szip` does, of chunks of a known size.

    ``{"id": "hdf5_szip", "mask": 141, "bits_per_pixel": 16, "pixels_per_block": 32,
    "pixels_per_scanline": 256}``
    """

    takes_objects = False

    def __init__(self, config: CodecConfig) -> None:
        super().__init__(config, None)

    def supports(self, device: Device) -> str | None:
        """None on the CPU, where libaec is."""
        return super().supports(device) or why_not()

    def supports_encoding(self, device: Device) -> str | None:
        """The same."""
        return super().supports_encoding(device) or why_not()

    def describe(self) -> str:
        """By libaec."""
        return "chunk by chunk, by libaec"

    def decode(self, batch: Batch, into: Batch | None, device: Device) -> Batch:
        """Compare declared sizes, then decode each chunk by itself."""
        self._check_usable()
        if into is not None:
            self._check_declared(batch, into)
        return super().decode(batch, into, device)

    def encode(self, batch: Batch, device: Device) -> Batch:
        """Encode each chunk by itself."""
        self._check_usable()
        return super().encode(batch, device)

    def _check_usable(self) -> None:
        reason = why_not()
        if reason is not None:
            raise UnsupportedError(f"The codec {self.name!r} cannot be used: {reason}.")

    def _check_declared(self, batch: Batch, into: Batch) -> None:
        sizes = zip(batch.offsets.tolist(), batch.sizes.tolist(), into.sizes.tolist(), strict=True)
        for slot, (start, nbytes, expected) in enumerate(sizes):
            head: np.ndarray = batch.arena[start : start + nbytes]
            try:
                declared = declared_size(head)
            except ValueError as error:
                raise StreamError(slot, str(error)) from error
            if declared != expected:
                reason = f"expected {expected} bytes, found {declared} declared"
                raise StreamError(slot, reason, ChunkSizeError)
