"""Filters: reversible rearrangements and transforms of bytes that come before compression."""

from __future__ import annotations

import numcodecs.delta
import numpy as np

from gpuzarr.batch import BYTES, Batch
from gpuzarr.device import Device
from gpuzarr.errors import ChunkSizeError, StreamError
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


class Delta:
    """Differences of neighbours, the first number as it is; decoding adds them up.

    ``{"id": "delta", "dtype": "<i4", "astype": "<i2"}``; `astype` is the dtype of what is encoded,
    and `dtype` where it is left out. `stored` is what these numbers are when they come as bytes of
    another byte order.
    """

    name = "delta"
    is_view = False

    def __init__(self, config: CodecConfig, stored: np.dtype | None = None) -> None:
        given = config.configuration
        self.dtype = np.dtype(given["dtype"])
        self.astype = np.dtype(given.get("astype") or self.dtype)
        self._stored = stored or self.astype
        self._is_v2 = config.kind == "buffer"

    def supports(self, device: Device) -> str | None:
        """None for sums that do not depend on how NumPy adds them up."""
        if device.is_host:
            return None
        source, target = self._stored.newbyteorder("="), self.dtype.newbyteorder("=")
        are_integers = source.kind in "iu" and target.kind in "iu"
        if are_integers and np.result_type(source, target).kind != "f":  # else sums of doubles
            return None
        if source.kind == target.kind == "f" and source.itemsize <= target.itemsize:
            return None
        return f"no device sums {source} up in {target}"

    def supports_encoding(self, device: Device) -> str | None:
        """None on the CPU."""
        return None if device.is_host else "no device encoder"

    def describe(self) -> str:
        """By running sums."""
        return "batched"

    def encoded_nbytes(self, nbytes: int | None) -> int | None:
        """As many numbers."""
        return None if nbytes is None else nbytes // self.dtype.itemsize * self.astype.itemsize

    def decode(self, batch: Batch, into: Batch | None, device: Device) -> Batch:
        """Add up."""
        count = batch.sizes // self._stored.itemsize
        if into is None:
            into = device.room_for(count * self.dtype.itemsize)
        odd = (batch.sizes % self._stored.itemsize != 0) | (
            count * self.dtype.itemsize != into.sizes
        )
        bad = np.flatnonzero(odd)
        if len(bad):
            slot = int(bad[0])
            expected = int(into.sizes[slot]) // self.dtype.itemsize * self._stored.itemsize
            reason = f"expected {expected} bytes of differences, found {int(batch.sizes[slot])}"
            raise StreamError(slot, reason, ChunkSizeError)
        source, target = self._stored.newbyteorder("="), self.dtype.newbyteorder("=")
        if source != self._stored:
            swapped = device.room_for(batch.sizes)
            device.byte_swap(batch, swapped, source.itemsize)
            batch = swapped
        device.prefix_sum(batch, into, source, target)
        if target == self.dtype:
            return into
        swapped = device.room_for(into.sizes)
        device.byte_swap(into, swapped, target.itemsize)
        device.copy(swapped, into)
        return into

    def encode(self, batch: Batch, device: Device) -> Batch:
        """Take differences, as numcodecs does."""
        codec, results = numcodecs.delta.Delta(self.dtype, self.astype), []
        for slot, (start, stop) in enumerate(batch.spans()):
            try:
                encoded = codec.encode(batch.arena[start:stop])
            except Exception as error:
                raise StreamError.refused(slot, f"numbers of {self.dtype}", error) from error
            results.append(encoded.astype(self._stored, copy=False).view(np.uint8))
        return Batch.joined(results, self.astype if self._is_v2 else BYTES)
