"""What filters of numbers share: dtypes, sizes, byte order, and where in a chain they stand.

A filter of ours is one class that names the ops of the device for either way (`numbers`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from gpuzarr.batch import BYTES, Batch
from gpuzarr.codecs.base import Codec
from gpuzarr.codecs.foreign import Foreign
from gpuzarr.device import Device
from gpuzarr.errors import ChunkSizeError, StreamError
from gpuzarr.place import Layout
from gpuzarr.spec import CodecConfig

Op = Callable[[Batch, Batch, np.dtype, np.dtype], None]
"""From a batch to slots, of numbers of one dtype to those of another."""


@dataclass(frozen=True)
class Between:
    """What a codec from array to array stands between in v3. The words speak of decoding.

    Attributes
    ----------
    spec
        zarr's spec of what it encodes.
    before
        Layout of what it decodes.
    given
        The dtype in which zarr-python gives it that.
    after
        Layout of what it decodes to, in C order.
    """

    spec: Any
    before: Layout
    given: np.dtype
    after: Layout


class ArrayFilter(Codec):
    """A codec from array to array. In v3, `layout` is that of what it decodes to."""

    layout: Layout | None = None

    @classmethod
    @abstractmethod
    def resolved(cls, config: CodecConfig, between: Between | None) -> Self | None:
        """The codec, or None where its own object has to see to it. `between` is None in v2."""

    def describe(self) -> str:
        """By the device's own op."""
        return "batched"


class NumberFilter(ArrayFilter):
    """A codec that makes numbers of as many numbers, by an op of the device on native ones.

    `encoded` and `decoded` are their dtypes as they lie in memory, byte order included. One that
    is elementwise leaves the elements in the order in which they lie.
    """

    is_view = False
    is_elementwise: ClassVar[bool] = True
    kinds: ClassVar[str] = "iuf"

    def __init__(self, config: CodecConfig, between: Between | None) -> None:
        self.encoded, self.decoded = self.dtypes(config, between)
        self._is_v2 = between is None
        if between is not None:
            self.encoded, self.layout = between.before.dtype, between.after
            if self.is_elementwise:
                self.layout = replace(between.before, dtype=self.decoded)

    @staticmethod
    @abstractmethod
    def dtypes(config: CodecConfig, between: Between | None) -> tuple[np.dtype, np.dtype]:
        """Of what is encoded and what is decoded, as numcodecs or zarr-python has them."""

    @classmethod
    def resolved(cls, config: CodecConfig, between: Between | None) -> Self | None:
        """None where dtypes are no numbers, or not those around it, or the memory is not in C
        order, of which numcodecs makes something else.
        """
        dtypes = cls.dtypes(config, between)
        if any(dtype.kind not in cls.kinds or dtype.itemsize > 8 for dtype in dtypes):
            return None
        if between is not None and dtypes != (between.given, between.after.dtype):
            return None
        if between is not None and not (cls.is_elementwise or between.before.is_c_order):
            return None
        return cls(config, between)

    def supports(self, device: Device) -> str | None:
        """None where the device computes it as NumPy does."""
        if device.is_host:
            return None
        return self._decodes(device, _native(self.encoded), _native(self.decoded))

    def supports_encoding(self, device: Device) -> str | None:
        """None where the device computes it as NumPy does."""
        if device.is_host:
            return None
        return self._encodes(device, _native(self.decoded), _native(self.encoded))

    def encoded_nbytes(self, nbytes: int | None) -> int | None:
        """As many numbers."""
        return None if nbytes is None else nbytes // self.decoded.itemsize * self.encoded.itemsize

    def decode(self, batch: Batch, into: Batch | None, device: Device) -> Batch:
        """Of each stream as many numbers as it holds, which is as many as its slot has."""
        width, target = self.encoded.itemsize, self.decoded.itemsize
        sizes = batch.sizes // width * target
        bad = batch.sizes % width != 0
        if into is not None:
            bad |= sizes != into.sizes
        if bad.any():
            slot = int(np.argmax(bad))
            expected = f"numbers of {self.encoded}"
            if into is not None:
                expected = f"{int(into.sizes[slot]) // target * width} bytes of {expected}"
            reason = f"expected {expected}, found {int(batch.sizes[slot])} bytes"
            raise StreamError(slot, reason, ChunkSizeError)
        if into is None:
            into = device.room_for(sizes)
        self._run(self._decode(device), batch, into, self.encoded, self.decoded, device)
        return into

    def encode(self, batch: Batch, device: Device) -> Batch:
        """Of each stream as many numbers as it holds."""
        width = self.decoded.itemsize
        bad = batch.sizes % width != 0
        if bad.any():
            slot = int(np.argmax(bad))
            found = int(batch.sizes[slot])
            raise StreamError(slot, f"expected numbers of {self.decoded}, found {found} bytes")
        into = device.room_for(batch.sizes // width * self.encoded.itemsize)
        self._run(self._encode(device), batch, into, self.decoded, self.encoded, device)
        return replace(into, dtype=self.encoded if self._is_v2 else BYTES)

    @abstractmethod
    def _decodes(self, device: Device, source: np.dtype, target: np.dtype) -> str | None:
        """Why the device cannot decode these native numbers, if so."""

    @abstractmethod
    def _encodes(self, device: Device, source: np.dtype, target: np.dtype) -> str | None:
        """Why the device cannot encode these native numbers, if so."""

    def _run(
        self, op: Op, batch: Batch, into: Batch, source: np.dtype, target: np.dtype, device: Device
    ) -> None:
        """The op on native numbers: those of the other byte order are swapped around it."""
        if self._takes_any_order(device):
            op(batch, into, source, target)
            return
        if not source.isnative:
            swapped = device.room_for(batch.sizes)
            device.byte_swap(batch, swapped, source.itemsize)
            batch = swapped
        if target.isnative:
            op(batch, into, _native(source), target)
            return
        result = device.room_for(into.sizes)
        op(batch, result, _native(source), _native(target))
        device.byte_swap(result, into, target.itemsize)

    def _takes_any_order(self, device: Device) -> bool:
        """Whether its ops take numbers of any byte order, as NumPy on the host does."""
        return device.is_host

    @abstractmethod
    def _decode(self, device: Device) -> Op:
        """The op that decodes."""

    @abstractmethod
    def _encode(self, device: Device) -> Op:
        """The op that encodes."""


class EncodedByObject:
    """How filters encode that only an object of numcodecs knows how to."""

    _theirs: Foreign

    def _keep_object(
        self, config: CodecConfig, between: Between | None, layout: Layout | None
    ) -> None:
        if between is None:
            self._theirs = Foreign(config, None)
        else:
            self._theirs = Foreign(config, between.spec, between.before, between.given, layout)

    def supports_encoding(self, device: Device) -> str | None:
        """None on the CPU."""
        return self._theirs.supports_encoding(device)

    def encode(self, batch: Batch, device: Device) -> Batch:
        """Chunk by chunk."""
        return self._theirs.encode(batch, device)


def astype_and_dtype(config: CodecConfig) -> tuple[np.dtype, np.dtype]:
    """Of what is encoded and what is decoded, as many filters of numcodecs name them."""
    decoded = np.dtype(config.configuration["dtype"])
    return np.dtype(config.configuration.get("astype") or decoded), decoded


def _native(dtype: np.dtype) -> np.dtype:
    return dtype.newbyteorder("=")
