"""Compressors: bytes to fewer bytes. Decoding is one device op, named as the codec is."""

from __future__ import annotations

from gpuzarr.batch import Batch
from gpuzarr.device import Device
from gpuzarr.spec import CodecConfig


class Compressor:
    """A codec whose decoding is the device op ``decompress(name, …)``."""

    name: str
    is_view = False

    def __init__(self, config: CodecConfig) -> None:
        pass

    def supports(self, device: Device) -> str | None:
        """None, or that the device has no decoder of this name."""
        if self.name in device.decompressors:
            return None
        return f"{self.name}: the device {device.name!r} has no decoder for it"

    def describe(self) -> str:
        """By the device's own decoder."""
        return "batched"

    def encoded_nbytes(self, nbytes: int | None) -> int | None:
        """Depends on the data."""
        return None

    def decode(self, batch: Batch, into: Batch | None, device: Device) -> Batch:
        """Decompress every stream; one of another size than its slot is an error."""
        return device.decompress(self.name, batch, into)


class Zstd(Compressor):
    """Zstandard frames (RFC 8878), one or several, skippable ones included.

    ``{"name": "zstd", "configuration": {"level": 0, "checksum": false}}``
    """

    name = "zstd"


class Gzip(Compressor):
    """RFC 1952; several members and zero padding are accepted, crc and length verified.

    ``{"name": "gzip", "configuration": {"level": 5}}``
    """

    name = "gzip"


class Zlib(Compressor):
    """RFC 1950; adler32 verified, bytes behind the stream ignored, as numcodecs does.

    ``{"id": "zlib", "level": 1}``
    """

    name = "zlib"


class Lz4(Compressor):
    """numcodecs' LZ4: the decoded size as little-endian u32, then one raw block.

    ``{"id": "lz4", "acceleration": 1}``
    """

    name = "lz4"


class Blosc(Compressor):
    """Blosc 1 chunks: every inner codec, shuffle and typesize; the chunk says which.

    ``{"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}``

    Format: https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst (with offsets
    counted from the start of the chunk).
    """

    name = "blosc"
