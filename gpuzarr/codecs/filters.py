"""Filters: reversible rearrangements of bytes, and differences, that come before compression."""

from __future__ import annotations

import numpy as np

from gpuzarr.batch import Batch
from gpuzarr.codecs.number_filter import Between, NumberFilter, Op, astype_and_dtype
from gpuzarr.device import Device
from gpuzarr.errors import StreamError
from gpuzarr.spec import CodecConfig

_MOST_TYPESIZE = 2**31 - 1


class Shuffle:
    """Byte planes: all first bytes of the elements, then all second ones, and so on.

    ``{"id": "shuffle", "elementsize": 4}``; the size must be a multiple of `elementsize`, as
    numcodecs demands.
    """

    name = "shuffle"
    is_view = False

    def __init__(self, config: CodecConfig) -> None:
        given = config.configuration.get("elementsize", 4)
        if isinstance(given, int | float) and given <= 1:
            given = 1  # numcodecs takes any such number, and leaves the bytes as they are
        if not isinstance(given, int) or given > _MOST_TYPESIZE:
            raise ValueError(f"elements of {given!r} bytes")
        self.typesize = given

    def supports(self, device: Device) -> str | None:
        """None: every device has it."""
        return None

    def supports_encoding(self, device: Device) -> str | None:
        """None: every device has it."""
        return None

    def describe(self) -> str:
        """By the device's own op."""
        return "batched"

    def encoded_nbytes(self, nbytes: int | None) -> int | None:
        """The same."""
        return nbytes

    def decode(self, batch: Batch, into: Batch | None, device: Device) -> Batch:
        """Put the bytes of each element together again."""
        if into is None:
            into = device.room_for(batch.sizes)
        bad = np.flatnonzero((batch.sizes % self.typesize != 0) | (batch.sizes != into.sizes))
        if len(bad):
            slot = int(bad[0])
            raise StreamError(
                slot,
                f"expected {int(into.sizes[slot])} bytes in elements of {self.typesize}, "
                f"found {int(batch.sizes[slot])} bytes",
            )
        device.unshuffle(batch, into, self.typesize)
        return into

    def encode(self, batch: Batch, device: Device) -> Batch:
        """Take the bytes of each element apart."""
        bad = np.flatnonzero(batch.sizes % self.typesize != 0)
        if len(bad):
            slot = int(bad[0])
            raise StreamError(
                slot,
                f"expected bytes in elements of {self.typesize}, "
                f"found {int(batch.sizes[slot])} bytes",
            )
        if self.typesize == 1:
            return Batch(batch.arena, batch.offsets, batch.sizes)
        into = device.room_for(batch.sizes)
        device.shuffle(batch, into, self.typesize)
        return into


class Delta(NumberFilter):
    """Differences of neighbours, the first number as it is; decoding adds them up.

    ``{"id": "delta", "dtype": "<i4", "astype": "<i2"}``; `astype` is the dtype of what is encoded,
    and `dtype` where it is left out. Differences are those of `dtype`: a device lacks sums that
    depend on how NumPy adds them up.

    https://numcodecs.readthedocs.io/en/stable/filter/delta.html
    """

    name = "delta"
    is_elementwise = False

    @staticmethod
    def dtypes(config: CodecConfig, between: Between | None) -> tuple[np.dtype, np.dtype]:
        """`astype` and `dtype`."""
        return astype_and_dtype(config)

    def _decodes(self, device: Device, source: np.dtype, target: np.dtype) -> str | None:
        return device.computes("prefix_sum", source, target)

    def _encodes(self, device: Device, source: np.dtype, target: np.dtype) -> str | None:
        return device.computes("difference", source, target)

    def _decode(self, device: Device) -> Op:
        return device.prefix_sum

    def _encode(self, device: Device) -> Op:
        return device.difference
