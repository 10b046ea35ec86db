"""Bad input is the same error on the device, or breaks it where no check can show what is bad."""

# ruff: noqa: F401

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import test_errors
import zarr
from harness import assert_on_device
from test_errors import (
    CODECS,
    Stored,
    pytestmark,
    sharded,
    stored,
    test_a_bomb_in_a_shard_takes_little_memory,
    test_a_chunk_of_blosc_2_is_refused_in_words,
    test_a_chunk_that_decodes_to_far_too_much_takes_little_memory,
    test_a_crc_tells_both_values_in_hexadecimal,
    test_a_damaged_inner_chunk_is_named,
    test_a_damaged_literal_in_lz4_and_zstd_is_decoded_as_the_reference_does,
    test_a_header_makes_no_memory_where_the_size_is_not_known,
    test_a_shard_shorter_than_its_index_is_an_error,
    test_a_shard_truncated_behind_its_index_is_an_error,
    test_a_valid_chunk_of_another_size_is_an_error,
    test_a_wrong_checksum_is_an_error_of_its_own,
    test_a_wrong_checksum_of_the_index_is_an_error,
    test_a_zero_sized_entry_is_an_inner_chunk_of_no_bytes,
    test_a_zstd_chunk_whose_header_hides_its_size_takes_little_memory,
    test_an_empty_chunk_is_an_error,
    test_an_error_in_one_of_many_chunks_names_that_one,
    test_an_index_entry_outside_the_shard_is_an_error,
    test_an_inner_chunk_of_another_size_is_named,
    test_each_field_of_a_blosc_header_is_checked,
)

import gpuzarr
from gpuzarr.device import emulated
from gpuzarr.errors import CorruptChunkError, DeviceError

# What the checks, the headers and the decoders that are safe on any bytes refuse ------------------

UNDEFINED = {"zlib", "shuffle+zlib"}
"""Of which half a stream looks like a whole one to every check of a header."""


@pytest.mark.parametrize(
    ("version", "name"), [codec for codec in CODECS if codec.values[1] not in UNDEFINED]
)
def test_a_truncated_chunk_is_an_error_that_names_it(
    tmp_path: Path, version: int, name: str
) -> None:
    test_errors.test_a_truncated_chunk_is_an_error_that_names_it(tmp_path, version, name, "posix")


@pytest.mark.parametrize("name", ["lz4", "bz2", "shuffle", "crc32c", "fletcher32"])
def test_damage_gives_what_the_reference_decoder_gives(tmp_path: Path, name: str) -> None:
    test_errors.test_damage_gives_what_the_reference_decoder_gives(tmp_path, name)


@pytest.mark.parametrize("cname", ["lz4", "blosclz"])
@pytest.mark.parametrize("shuffle", [0, 1, 2])
def test_damage_behind_a_blosc_header_gives_what_c_blosc_gives(
    tmp_path: Path, cname: str, shuffle: int
) -> None:
    test_errors.test_damage_behind_a_blosc_header_gives_what_c_blosc_gives(tmp_path, cname, shuffle)


# What only a decoder could find -------------------------------------------------------------------

RESERVED = 0x06
"""Of the first byte of a deflate stream: a type of block that does not exist."""


def without_tree(encoded: bytes, begin: int = 0) -> bytes:
    """The frame that begins there, its literals coded with the tree of a block before the first."""
    flags = encoded[begin + 4]
    is_single = flags >> 5 & 1
    block = begin + 5 + (1 - is_single) + (is_single, 2, 4, 8)[flags >> 6]
    assert encoded[block] >> 1 & 3 == 2, "a block that is compressed"
    return encoded[: block + 3] + bytes([encoded[block + 3] | 3]) + encoded[block + 4 :]


def of_no_type(encoded: bytes, begin: int) -> bytes:
    """The deflate stream that begins there, of a block of a type that is reserved."""
    return encoded[:begin] + bytes([encoded[begin] | RESERVED]) + encoded[begin + 1 :]


STREAM = 24
"""Where the only stream of a chunk of Blosc begins."""

DAMAGE: dict[str, tuple[numcodecs.abc.Codec, Callable[[bytes], bytes]]] = {
    "zstd": (numcodecs.Zstd(), without_tree),
    "gzip": (numcodecs.GZip(), lambda e: of_no_type(e, 10)),
    "zlib": (numcodecs.Zlib(), lambda e: of_no_type(e, 2)),
    "half of zlib": (numcodecs.Zlib(), lambda e: e[: len(e) // 2]),
    "blosc, zstd": (numcodecs.Blosc("zstd"), lambda e: without_tree(e, STREAM)),
    "blosc, zlib": (numcodecs.Blosc("zlib"), lambda e: of_no_type(e, STREAM + 2)),
}


@pytest.mark.skipif(
    os.environ.get("GPUZARR_TEST_DEVICE", "emulated") != "emulated",
    reason="a GPU stays broken until its process ends",
)
@pytest.mark.parametrize("name", DAMAGE)
def test_damage_that_no_check_sees_breaks_the_device(tmp_path: Path, name: str) -> None:
    """As it may break a GPU's context: nothing works there until the device is a new one."""
    codec, damaged = DAMAGE[name]
    values = np.repeat(np.arange(4000, dtype="i4") % 37, 2).reshape(4, 2000)
    z = zarr.create_array(
        tmp_path, data=values, chunks=(1, 2000), zarr_format=2, compressors=codec, filters=None
    )
    file = tmp_path / "2.0"
    file.write_bytes(damaged(file.read_bytes()))
    with pytest.raises(CorruptChunkError):
        gpuzarr.open(z, device="cpu")[...]
    ours, other = gpuzarr.open(z), gpuzarr.create_array({}, data=values)
    with pytest.raises(DeviceError, match=r"chunks '0.0' to '3.0' of array .*is broken"):
        ours[...]
    for later in (ours, other):
        with pytest.raises(DeviceError, match="is broken, as a CUDA context would be"):
            later[0]
    emulated.reset()
    assert_on_device(ours[:2], values[:2])
    assert_on_device(other[...], values)
