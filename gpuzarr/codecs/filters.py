"""Filters: reversible rearrangements and transforms of bytes that come before compression."""

from __future__ import annotations

import numpy as np

from gpuzarr.batch import Batch, packed
from gpuzarr.device import Device
from gpuzarr.errors import StreamError
from gpuzarr.spec import CodecConfig


class Shuffle:
    """Byte planes: all first bytes of the elements, then all second ones, and so on.

    ``{"id": "shuffle", "elementsize": 4}``; the size must be a multiple of `elementsize`, as
    numcodecs demands.
    """

    name = "shuffle"
    is_view = False

    def __init__(self, config: CodecConfig) -> None:
        # numcodecs takes 0, and means by it that the bytes stay as they are
        self.typesize = max(1, int(config.configuration.get("elementsize", 4)))

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
            into = _room_for(batch, device)
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
        into = _room_for(batch, device)
        device.shuffle(batch, into, self.typesize)
        return into


def _room_for(batch: Batch, device: Device) -> Batch:
    return Batch(device.empty(int(batch.sizes.sum())), packed(batch.sizes), batch.sizes)
