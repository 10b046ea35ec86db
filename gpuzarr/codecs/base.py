"""What a codec is: one step of a chain, run on a whole batch.

Three nouns: the *configuration* is the JSON of the metadata (`spec.CodecConfig`); the *codec* is
a class of this package, resolved for it; a `Stage` is a codec prepared for one chunk shape, with
sizes known, and shared by all chunks of a request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gpuzarr.batch import Batch
from gpuzarr.config import config
from gpuzarr.device import Device
from gpuzarr.place import Layout


class Codec(Protocol):
    """One step of a chain. `decode` and `encode` raise `StreamError` for the first bad stream.

    A codec that decodes to memory of its own size has ``decode_within(batch, most, device)``
    as well, which gives no stream of more than `most` bytes and takes no more memory for it; and
    one whose encoded size depends on the data may have ``most_encoded(nbytes)``, its bound.
    """

    name: str
    is_view: bool
    """Whether `decode` gives a part of what it was given, so that no memory is written."""

    def supports(self, device: Device) -> str | None:
        """None where this device decodes it, else the reason in words. Asked before any I/O."""

    def supports_encoding(self, device: Device) -> str | None:
        """None where this device encodes it, else the reason in words."""

    def describe(self) -> str:
        """In a few words, by what it is decoded."""

    def encoded_nbytes(self, nbytes: int | None) -> int | None:
        """Encoded size of `nbytes`; None where it depends on the data."""

    def decode(self, batch: Batch, into: Batch | None, device: Device) -> Batch:
        """Decode every stream, into the slots of `into` where the decoded size is known."""

    def encode(self, batch: Batch, device: Device) -> Batch:
        """Encode every stream; the result may share the memory of `batch`, which is not changed.

        None of `batch` is missing. A codec that stores nothing for a stream makes it `MISSING`.
        """


@dataclass(frozen=True)
class Stage:
    """A codec prepared for one chunk shape.

    Attributes
    ----------
    size
        Decoded length of one chunk: bytes, or elements where `layout` is on the host only; None
        where only the data tells.
    layout
        Of the decoded chunk, where it is an array rather than bytes.
    most
        Bytes to which one chunk may decode, at most; None where nothing bounds them but the option
        ``most_unsized_bytes``.
    """

    codec: Codec
    size: int | None
    layout: Layout | None = None
    most: int | None = None

    @property
    def name(self) -> str:
        """The codec's name in metadata."""
        return self.codec.name

    def decode(self, batch: Batch, into: Batch | None, device: Device) -> Batch:
        """By the codec; where there are no slots, no chunk may become larger than it can be."""
        within = getattr(self.codec, "decode_within", None)
        if into is not None or within is None:
            return self.codec.decode(batch, into, device)
        most = int(config.get("most_unsized_bytes")) if self.most is None else self.most
        decoded: Batch = within(batch, most, device)
        return decoded


_SLACK = 64 << 10


def most_compressed(nbytes: int) -> int:
    """Bytes that a compressor makes of `nbytes`, at most: far more than any that is known does."""
    return 2 * nbytes + _SLACK


def most_encoded(codec: Codec, most: int | None) -> int | None:
    """Bytes that a codec makes of `most` bytes, at most; None where nothing bounds them."""
    if most is None:
        return None
    exact = codec.encoded_nbytes(most)
    if exact is not None:
        return exact
    bound = getattr(codec, "most_encoded", None)
    return None if bound is None else bound(most)
