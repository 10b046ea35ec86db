"""Filters that pack elements into fewer bits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np

from gpuzarr.batch import BYTES, Batch
from gpuzarr.codecs.foreign import Foreign
from gpuzarr.codecs.number_filter import ArrayFilter, Between
from gpuzarr.device import Device
from gpuzarr.errors import StreamError
from gpuzarr.place import Layout
from gpuzarr.spec import CodecConfig

_PADDINGS = {"none": "none", "first_byte": "first", "last_byte": "last"}


class PackBits(ArrayFilter):
    """A bit for each byte, the first one the most significant, behind the number of unused bits.

    ``{"id": "packbits"}``; every byte that is not 0 is stored as 1.

    https://numcodecs.readthedocs.io/en/stable/filter/packbits.html
    """

    name = "packbits"
    is_view = False

    def __init__(self, between: Between | None) -> None:
        self.layout = None if between is None else between.after

    @classmethod
    def resolved(cls, config: CodecConfig, between: Between | None) -> Self | None:
        """None for elements other than bool."""
        is_bool = between is None or (between.after.dtype == bool and between.before.is_c_order)
        return cls(between) if is_bool else None

    def supports(self, device: Device) -> str | None:
        """None: every device has it."""
        return None

    def supports_encoding(self, device: Device) -> str | None:
        """None: every device has it."""
        return None

    def encoded_nbytes(self, nbytes: int | None) -> int | None:
        """A bit for each, and a byte."""
        return None if nbytes is None else 1 + -(-nbytes // 8)

    def decode(self, batch: Batch, into: Batch | None, device: Device) -> Batch:
        """A byte, 0 or 1, for each bit."""
        if into is None:
            into = device.room_for(_declared(batch))
        device.bit_unpack(batch, into, "first", msb=True)
        return into

    def encode(self, batch: Batch, device: Device) -> Batch:
        """A bit for each byte."""
        into = device.room_for(1 + -(-batch.sizes // 8))
        device.bit_pack(batch, into, "first", msb=True)
        return into


def _declared(batch: Batch) -> Any:
    """Numbers of bits that streams on the host say to hold."""
    short = np.flatnonzero(batch.sizes < 1)
    if len(short):
        raise StreamError(int(short[0]), "expected a number of unused bits, found 0 bytes")
    counts = 8 * (batch.sizes - 1) - batch.arena[batch.offsets]
    odd = np.flatnonzero((counts < 0) | (batch.arena[batch.offsets] > 7))
    if len(odd):
        slot = int(odd[0])
        found = int(batch.arena[batch.offsets[slot]])
        raise StreamError(slot, f"expected at most 7 unused bits, found {found}")
    return counts


class BitFields:
    """zarr's extension `packbits`: so many bits of each element, the first one the least.

    ``{"name": "packbits", "configuration": {"padding_encoding": "first_byte", "first_bit": 0,
    "last_bit": 3}}``; a device packs and unpacks elements of one bit, which are bool.

    Specification: https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/packbits
    """

    name = "packbits"
    is_view = False

    def __init__(self, config: CodecConfig, spec: Any, layout: Layout) -> None:
        self._codec, self._spec, self._size = config.instance, spec, layout.size
        self._padding = _PADDINGS[config.instance.padding_encoding]
        self._is_bool = layout.dtype == bool
        self._theirs = Foreign(config, spec, after=layout)

    def supports(self, device: Device) -> str | None:
        """None for bool, which are single bits."""
        if device.is_host or self._is_bool:
            return None
        return f"no device packs bits of {self._spec.dtype.to_native_dtype()}"

    supports_encoding = supports

    def describe(self) -> str:
        """By the device's own op, or stream by stream."""
        return "batched" if self._is_bool else "chunk by chunk"

    def encoded_nbytes(self, nbytes: int | None) -> int | None:
        """As the codec computes it."""
        return None if nbytes is None else self._codec.compute_encoded_size(nbytes, self._spec)

    def decode(self, batch: Batch, into: Batch | None, device: Device) -> Batch:
        """Bits to elements, zero- or sign-extended."""
        if not self._is_bool:
            return self._theirs.decode(batch, into, device)
        if into is None:
            into = device.room_for(np.full(len(batch), self._size))
        device.bit_unpack(batch, into, self._padding, msb=False)
        return into

    def encode(self, batch: Batch, device: Device) -> Batch:
        """Elements to bits."""
        if not self._is_bool:
            return self._theirs.encode(batch, device)
        nbytes = self._codec.compute_encoded_size(self._size, self._spec)
        into = device.room_for(np.full(len(batch), nbytes))
        device.bit_pack(batch, into, self._padding, msb=False)
        return replace(into, dtype=BYTES)
