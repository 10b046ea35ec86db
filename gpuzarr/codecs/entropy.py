"""Compressors: bytes to fewer bytes. Each way is one device op, named as the codec is."""

from __future__ import annotations

from typing import Any, ClassVar

from gpuzarr.batch import Batch
from gpuzarr.codecs.base import most_compressed
from gpuzarr.device import Device
from gpuzarr.spec import CodecConfig

UNDEFINED = "its decoder on the device is undefined on damaged bytes, and the array is untrusted"
"""Why a device leaves a codec to the CPU for want of trust."""


class Compressor:
    """A codec whose coding is the device ops ``decompress(name, …)`` and ``compress(name, …)``.

    `defaults` are the options of ``compress``, with the values that numcodecs gives to what a
    configuration lacks; what else stands in it is not for encoding.
    """

    name: str
    defaults: ClassVar[dict[str, Any]]
    is_view = False

    def __init__(self, config: CodecConfig) -> None:
        given = config.configuration
        self.options = {name: given.get(name, value) for name, value in self.defaults.items()}

    def supports(self, device: Device) -> str | None:
        """None, or that the device has no decoder of this name."""
        if self.name in device.decompressors:
            return None
        if self.name in device.distrusted:
            return UNDEFINED
        return f"the device {device.name!r} has no decoder for it"

    def supports_encoding(self, device: Device) -> str | None:
        """None, or that the device has no encoder of this name, or none for these options."""
        if self.name in device.compressors:
            return device.cannot_encode(self.name, self.options)
        return f"the device {device.name!r} has no encoder for it"

    def describe(self) -> str:
        """By the device's own decoder."""
        return "batched"

    def encoded_nbytes(self, nbytes: int | None) -> int | None:
        """Depends on the data."""
        return None

    def most_encoded(self, nbytes: int) -> int:
        """What no data exceed."""
        return most_compressed(nbytes)

    def decode(self, batch: Batch, into: Batch | None, device: Device) -> Batch:
        """Decompress every stream; one of another size than its slot is an error."""
        return device.decompress(self.name, batch, into)

    def decode_within(self, batch: Batch, most: int, device: Device) -> Batch:
        """Decompress every stream to memory of its own size; one of more bytes is an error."""
        return device.decompress(self.name, batch, None, most)

    def encode(self, batch: Batch, device: Device) -> Batch:
        """Compress every stream."""
        return device.compress(self.name, batch, self.options)


class Zstd(Compressor):
    """Zstandard frames (RFC 8878), one or several, skippable ones included.

    ``{"name": "zstd", "configuration": {"level": 0, "checksum": false}}``; level 0 means 3, and
    negative ones are faster.
    """

    name = "zstd"
    defaults: ClassVar = {"level": 0, "checksum": False}


class Gzip(Compressor):
    """RFC 1952; several members and zero padding are accepted, crc and length verified.

    ``{"name": "gzip", "configuration": {"level": 5}}``
    """

    name = "gzip"
    defaults: ClassVar = {"level": 1}


class Zlib(Compressor):
    """RFC 1950; adler32 verified, bytes behind the stream ignored, as numcodecs does.

    ``{"id": "zlib", "level": 1}``
    """

    name = "zlib"
    defaults: ClassVar = {"level": 1}


class Lz4(Compressor):
    """numcodecs' LZ4: the decoded size as little-endian u32, then one raw block.

    ``{"id": "lz4", "acceleration": 1}``
    """

    name = "lz4"
    defaults: ClassVar = {"acceleration": 1}


class Blosc(Compressor):
    """Blosc 1 chunks: every inner codec, shuffle and typesize; the chunk says which.

    ``{"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}``; zarr 3 has a
    `typesize` of the array's elements beside it, and names for `shuffle`. Without a `typesize` it
    is that of what is encoded: of the array's elements in v2, of single bytes in v3.

    Format: https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst (with offsets
    counted from the start of the chunk).
    """

    name = "blosc"
    defaults: ClassVar = {
        "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0, "typesize": None,
    }  # fmt: skip

    def __init__(self, config: CodecConfig) -> None:
        super().__init__(config)
        shuffle = self.options["shuffle"]
        if isinstance(shuffle, str):
            self.options["shuffle"] = _SHUFFLES.get(shuffle, shuffle)
        if self.options["typesize"] is None:  # numcodecs' get_config() leaves it out
            self.options["typesize"] = getattr(config.instance, "_typesize", None)


_SHUFFLES = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}
