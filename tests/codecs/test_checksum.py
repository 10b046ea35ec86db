"""Checksums: four bytes, little-endian, at the place that the configuration says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
from harness import assert_codec

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


@pytest.mark.parametrize(
    ("codec", "total"),
    [(numcodecs.Fletcher32(), "00000a0014"[2:]), (numcodecs.JenkinsLookup3(), "ad6e40cd")],
)
def test_checksums_of_hdf5_are_verified_by_numcodecs(
    tmp_path: Path, codec: Any, total: str
) -> None:
    literal = VALUES.tobytes() + bytes.fromhex(total)
    v3 = {"name": f"numcodecs.{codec.codec_id}", "configuration": {}}
    reader = "by the codec object of numcodecs"
    assert_codec(tmp_path, codec, literal, VALUES, v3=v3, reader=reader)
