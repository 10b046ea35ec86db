"""The codec `packbits` of zarr's extensions, for zarr-python, which does not have it.

Importing gpuzarr registers it, and so does the entry point that zarr-python finds, so that arrays
with it open. Chunks of it are decoded here in NumPy; gpuzarr itself has ops for bool (`codecs`).

Specification: https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/packbits
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.core.common import JSON, parse_named_configuration
from zarr.registry import register_codec

PaddingEncoding = Literal["none", "first_byte", "last_byte"]
_PADDING_ENCODINGS = ("none", "first_byte", "last_byte")


@dataclass(frozen=True)
class PackBits(ArrayBytesCodec):
    """Elements as so many bits each, from the least significant one on, one behind the other.

    ``{"name": "packbits", "configuration": {"padding_encoding": "first_byte", "first_bit": 0,
    "last_bit": 3}}``

    Parameters
    ----------
    padding_encoding
        Where a byte stands with the number of unused bits, which are 0: nowhere, before or behind
        the packed bytes.
    first_bit, last_bit
        Which bits of an element are stored, counted from the least significant one; all, if they
        are None. Signed integers are extended by their sign, all else by zeros. Of complex
        numbers they are those of both parts.

    Raises
    ------
    ValueError
        For parameters that the specification or the array's dtype excludes.
    """

    is_fixed_size = True

    padding_encoding: PaddingEncoding = "none"
    first_bit: int | None = None
    last_bit: int | None = None

    def __post_init__(self) -> None:
        if self.padding_encoding not in _PADDING_ENCODINGS:
            raise ValueError(
                f"packbits: expected one of {_PADDING_ENCODINGS} as padding_encoding, "
                f"found {self.padding_encoding!r}."
            )
        for name in ("first_bit", "last_bit"):
            bit = getattr(self, name)
            if bit is not None and (type(bit) is not int or bit < 0):
                raise ValueError(f"packbits: expected the number of a {name}, found {bit!r}.")

    @classmethod
    def from_dict(cls, data: dict[str, JSON]) -> Self:
        """From the metadata of an array."""
        _, configuration = parse_named_configuration(data, "packbits", require_configuration=False)
        return cls(**(configuration or {}))  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, JSON]:
        """For the metadata of an array, without what is as it is by default."""
        given: dict[str, JSON] = {}
        if self.padding_encoding != "none":
            given["padding_encoding"] = self.padding_encoding
        for name in ("first_bit", "last_bit"):
            if getattr(self, name) is not None:
                given[name] = getattr(self, name)
        return {"name": "packbits", **({"configuration": given} if given else {})}

    def validate(self, *, shape: Any, dtype: Any, chunk_grid: Any) -> None:
        """Whether elements of this dtype have these bits."""
        self._fields(dtype.to_native_dtype())

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """In bytes."""
        fields = self._fields(chunk_spec.dtype.to_native_dtype())
        count = input_byte_length // chunk_spec.dtype.to_native_dtype().itemsize
        return -(-count * fields.bits // 8) + (self.padding_encoding != "none")

    def _decode_sync(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        dtype = chunk_spec.dtype.to_native_dtype()
        fields, count = self._fields(dtype), math.prod(chunk_spec.shape)
        packed = self._without_padding(chunk_bytes.as_numpy_array(), count * fields.bits)
        chunk = fields.unpacked(packed, count).astype(dtype, copy=False)
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(chunk.reshape(chunk_spec.shape))

    def _encode_sync(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        fields = self._fields(chunk_spec.dtype.to_native_dtype())
        chunk = chunk_array.as_numpy_array().reshape(-1)
        packed = fields.packed(chunk)
        unused = np.array([8 * len(packed) - len(chunk) * fields.bits], np.uint8)
        parts = {
            "none": (packed,), "first_byte": (unused, packed), "last_byte": (packed, unused),
        }[self.padding_encoding]  # fmt: skip
        return chunk_spec.prototype.buffer.from_array_like(np.concatenate(parts))

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return self._decode_sync(chunk_bytes, chunk_spec)

    async def _encode_single(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        return self._encode_sync(chunk_array, chunk_spec)

    def _fields(self, dtype: np.dtype) -> _Fields:
        if dtype.kind not in "biufc":
            raise ValueError(f"packbits: expected numbers or bool, found elements of {dtype}.")
        parts = 2 if dtype.kind == "c" else 1
        width = 1 if dtype.kind == "b" else 8 * dtype.itemsize // parts
        first = 0 if self.first_bit is None else self.first_bit
        last = width - 1 if self.last_bit is None else self.last_bit
        if not first <= last < width:
            raise ValueError(
                f"packbits: expected first_bit <= last_bit < {width} for {dtype}, "
                f"found {first} and {last}."
            )
        return _Fields(dtype.newbyteorder("<"), width, first, last, parts)

    def _without_padding(self, stored: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
        nbytes, has_padding = -(-bits // 8), self.padding_encoding != "none"
        if len(stored) != nbytes + has_padding:
            raise ValueError(f"expected {nbytes + has_padding} bytes, found {len(stored)}")
        if not has_padding:
            return stored
        at_start = self.padding_encoding == "first_byte"
        unused = int(stored[0 if at_start else -1])
        if unused != 8 * nbytes - bits:
            raise ValueError(f"expected {8 * nbytes - bits} unused bits, found {unused}")
        return stored[1:] if at_start else stored[:-1]


@dataclass(frozen=True)
class _Fields:
    """Bits `first` to `last` of each of `parts` parts of `width` bits of little-endian elements."""

    dtype: np.dtype
    width: int
    first: int
    last: int
    parts: int

    @property
    def bits(self) -> int:
        """Stored bits of an element."""
        return self.parts * (self.last - self.first + 1)

    def packed(self, chunk: NDArray[Any]) -> NDArray[np.uint8]:
        """One byte string of all elements."""
        if self.width == 1:
            return np.packbits(chunk, bitorder="little")
        rows = chunk.astype(self.dtype, copy=False).view(np.uint8).reshape(-1, self.width // 8)
        bits = np.unpackbits(rows, axis=1, bitorder="little")
        return np.packbits(bits[:, self.first : self.last + 1], bitorder="little")

    def unpacked(self, packed: NDArray[np.uint8], count: int) -> NDArray[Any]:
        """So many elements."""
        stored = np.unpackbits(packed, count=count * self.bits, bitorder="little")
        if self.width == 1:
            return stored.view(bool)
        bits = np.zeros((count * self.parts, self.width), np.uint8)
        bits[:, self.first : self.last + 1] = stored.reshape(len(bits), -1)
        if self.dtype.kind == "i":
            bits[:, self.last + 1 :] = bits[:, self.last : self.last + 1]
        return np.packbits(bits, axis=1, bitorder="little").reshape(-1).view(self.dtype)


def register() -> None:
    """Make it known to zarr-python, in a process where no entry point does."""
    register_codec("packbits", PackBits)
