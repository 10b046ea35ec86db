"""Checksums: four bytes, little-endian, before or behind what they protect. Never skipped."""

from __future__ import annotations

import numpy as np

from gpuzarr.batch import Batch
from gpuzarr.device import Device
from gpuzarr.errors import ChecksumError, StreamError
from gpuzarr.spec import CodecConfig

_NBYTES = 4


class Checksum:
    """A codec that verifies and strips a checksum, or attaches it.

    `location` in the configuration ("start" or "end") overrides the class's default.
    """

    name: str
    default_location: str
    is_view = True

    def __init__(self, config: CodecConfig) -> None:
        self.at_start = config.configuration.get("location", self.default_location) == "start"

    def supports(self, device: Device) -> str | None:
        """None, or that the device does not compute this checksum."""
        if self.name in device.checksums:
            return None
        return f"the device {device.name!r} does not compute it"

    def supports_encoding(self, device: Device) -> str | None:
        """The same."""
        return self.supports(device)

    def describe(self) -> str:
        """By comparison."""
        return "batched, verified"

    def encoded_nbytes(self, nbytes: int | None) -> int | None:
        """Four bytes more."""
        return None if nbytes is None else nbytes + _NBYTES

    def decode(self, batch: Batch, into: Batch | None, device: Device) -> Batch:
        """Compare stored and computed checksums, and leave the stored ones out."""
        short = np.flatnonzero(batch.sizes < _NBYTES)
        if len(short):
            found = int(batch.sizes[short[0]])
            raise StreamError(
                int(short[0]), f"expected a {self.name} checksum, found {found} bytes"
            )
        starts = batch.offsets + (_NBYTES if self.at_start else 0)
        content = batch.within(starts, batch.sizes - _NBYTES)
        where = batch.offsets if self.at_start else starts + content.sizes
        stored = device.gather_u32(batch, where)
        computed = device.checksum(self.name, content)
        bad = np.flatnonzero(stored != computed)
        if len(bad):
            slot = int(bad[0])
            raise StreamError(
                slot,
                f"expected the {self.name} checksum {int(stored[slot]):#010x} that is stored, "
                f"found {int(computed[slot]):#010x} over the bytes",
                ChecksumError,
            )
        return content

    def encode(self, batch: Batch, device: Device) -> Batch:
        """Attach the checksum of every stream."""
        return device.attach_checksum(self.name, batch, self.at_start)


class Crc32c(Checksum):
    """CRC-32C (Castagnoli), behind the bytes. ``{"name": "crc32c"}``

    Specification: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/crc32c/
    """

    name, default_location = "crc32c", "end"


class Crc32(Checksum):
    """CRC-32 as zlib computes it, before the bytes. ``{"id": "crc32"}``"""

    name, default_location = "crc32", "start"


class Adler32(Checksum):
    """Adler-32, before the bytes. ``{"id": "adler32"}``"""

    name, default_location = "adler32", "start"


class Fletcher32(Checksum):
    """Fletcher-32 as HDF5 computes it, behind the bytes. ``{"id": "fletcher32"}``

    https://numcodecs.readthedocs.io/en/stable/checksum32.html#fletcher32
    """

    name, default_location = "fletcher32", "end"
