"""Compressors: literal bytes of each format, and what numcodecs writes."""

from __future__ import annotations

from pathlib import Path

import numcodecs
import numpy as np
import pytest
from harness import assert_codec

pytestmark = [
    pytest.mark.usefixtures("each_device"),
    pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning"),
]

VALUES = np.array([1, 2, 3, 4], "<i2")
DATA = bytes.fromhex("0100 0200 0300 0400")


def test_zstd_is_a_frame_with_its_size(tmp_path: Path) -> None:
    """Magic number; a single segment with one byte of size, 8; one last block, raw, of 8 bytes."""
    literal = bytes.fromhex("28b52ffd 20 08 410000") + DATA
    v3 = {"name": "zstd", "configuration": {"level": 0, "checksum": False}}
    assert_codec(tmp_path, numcodecs.Zstd(level=3, checksum=True), literal, VALUES, v3=v3)


def test_gzip_is_rfc_1952(tmp_path: Path) -> None:
    """Header; a last block, stored, of 8 bytes; their crc32 and number."""
    literal = bytes.fromhex("1f8b 08 00 00000000 00 ff 01 0800 f7ff") + DATA
    literal += bytes.fromhex("16149992 08000000")
    v3 = {"name": "gzip", "configuration": {"level": 5}}
    assert_codec(tmp_path, numcodecs.GZip(level=5), literal, VALUES, v3=v3)


def test_zlib_is_rfc_1950(tmp_path: Path) -> None:
    """Header; a last block, stored, of 8 bytes; their adler32, big-endian."""
    literal = bytes.fromhex("7801 01 0800 f7ff") + DATA + bytes.fromhex("0030000b")
    v3 = {"name": "numcodecs.zlib", "configuration": {"level": 1}}
    assert_codec(tmp_path, numcodecs.Zlib(level=5), literal, VALUES, v3=v3)


def test_lz4_is_a_size_and_a_raw_block(tmp_path: Path) -> None:
    """The size as u32; a token for 4 literals and a match of 4 bytes, 4 bytes back; 8 literals."""
    literal = bytes.fromhex("10000000") + b"\x40abcd\x04\x00" + b"\x80stuvwxyz"
    v3 = {"name": "numcodecs.lz4", "configuration": {"acceleration": 1}}
    values = np.frombuffer(b"abcdabcdstuvwxyz", "u1")
    assert_codec(tmp_path, numcodecs.LZ4(acceleration=1), literal, values, v3=v3)


@pytest.mark.parametrize("cname", ["lz4", "lz4hc", "zstd", "zlib", "blosclz"])
@pytest.mark.parametrize("shuffle", [0, 1, 2])
def test_blosc_stores_what_does_not_compress(tmp_path: Path, cname: str, shuffle: int) -> None:
    """Version 2.1; flags: stored, whatever the others say; typesize 2; sizes 8, 8 and 24."""
    literal = bytes.fromhex("02 01 33 02 08000000 08000000 18000000") + DATA
    v3 = {
        "name": "blosc",
        "configuration": {
            "cname": cname, "clevel": 5, "shuffle": "shuffle", "typesize": 2, "blocksize": 0,
        },
    }  # fmt: skip
    codec = numcodecs.Blosc(cname=cname, shuffle=shuffle)
    assert_codec(tmp_path, codec, literal, VALUES, v3=v3)


def test_blosc_is_blocks_of_streams_of_byte_planes(tmp_path: Path) -> None:
    """One block that starts at 20, of one stream of 29 bytes of lz4, shuffled by 4 bytes."""
    header = bytes.fromhex("02 01 31 04 00010000 00010000 35000000")
    planes = bytes.fromhex("1b00 0100 1b01 0100 1b02 0100 1b03 0100 0b3f00 0f0200 99 500000000000")
    literal = header + bytes.fromhex("14000000 1d000000") + planes
    values = np.repeat(np.arange(4, dtype="<i4"), 16)
    assert_codec(tmp_path, numcodecs.Blosc(cname="lz4"), literal, values)
