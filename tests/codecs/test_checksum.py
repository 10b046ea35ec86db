"""Checksums: four bytes, little-endian, at the place that the configuration says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
from harness import assert_codec, read_v2

from gpuzarr.errors import ChecksumError, ChunkSizeError, CorruptChunkError

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
ON_EACH_DEVICE = pytest.mark.usefixtures("each_device")

VALUES = np.array([1, 2, 3, 4], "<i2")
SUMS = {"crc32": "16149992", "crc32c": "8b873032", "adler32": "0b003000"}
DEFAULTS = {"crc32": "start", "crc32c": "end", "adler32": "start"}


@ON_EACH_DEVICE
@pytest.mark.parametrize("location", [None, "start", "end"])
@pytest.mark.parametrize("name", SUMS)
def test_a_checksum_stands_where_its_location_says(
    tmp_path: Path, name: str, location: str | None
) -> None:
    total, data = bytes.fromhex(SUMS[name]), VALUES.tobytes()
    at_start = (location or DEFAULTS[name]) == "start"
    literal = total + data if at_start else data + total
    given: dict[str, Any] = {"location": location} if location else {}
    codec = numcodecs.get_codec({"id": name, **given})
    v3 = {"name": f"numcodecs.{name}", "configuration": given}
    assert_codec(tmp_path, codec, literal, VALUES, v3=v3)


@ON_EACH_DEVICE
def test_crc32c_of_zarr_3_stands_at_the_end(tmp_path: Path) -> None:
    literal = VALUES.tobytes() + bytes.fromhex(SUMS["crc32c"])
    assert_codec(tmp_path, numcodecs.CRC32C(), literal, VALUES, v3={"name": "crc32c"})


@ON_EACH_DEVICE
def test_fletcher32_stands_at_the_end(tmp_path: Path) -> None:
    literal = VALUES.tobytes() + bytes.fromhex("000a0014")
    v3 = {"name": "numcodecs.fletcher32", "configuration": {}}
    assert_codec(tmp_path, numcodecs.Fletcher32(), literal, VALUES, v3=v3)


def test_jenkins_lookup3_is_verified_by_numcodecs(tmp_path: Path) -> None:
    literal = VALUES.tobytes() + bytes.fromhex("ad6e40cd")
    v3 = {"name": "numcodecs.jenkins_lookup3", "configuration": {}}
    reader = "by the codec object of numcodecs"
    assert_codec(tmp_path, numcodecs.JenkinsLookup3(), literal, VALUES, v3=v3, reader=reader)


NAMES = ["crc32", "crc32c", "adler32", "fletcher32", "jenkins_lookup3"]


@ON_EACH_DEVICE
@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_checksum_is_an_error(tmp_path: Path, name: str) -> None:
    """Whichever of the bytes is another: of the checksum, or of what it protects."""
    codec = numcodecs.get_codec({"id": name})
    encoded = bytes(codec.encode(VALUES))
    for position in range(len(encoded)):
        damaged = bytearray(encoded)
        damaged[position] ^= 0x10
        with pytest.raises(RuntimeError):
            codec.decode(bytes(damaged))
        with pytest.raises(ChecksumError, match=name):
            read_v2(tmp_path / str(position), bytes(damaged), 4, "<i2", compressor={"id": name})


@ON_EACH_DEVICE
@pytest.mark.parametrize("name", NAMES)
def test_bytes_that_are_too_few_for_a_checksum_are_an_error(tmp_path: Path, name: str) -> None:
    for size in (0, 1, 3, 4, 11):
        with pytest.raises((CorruptChunkError, ChecksumError, ChunkSizeError)):
            read_v2(tmp_path / str(size), bytes(size), 4, "<i2", compressor={"id": name})
