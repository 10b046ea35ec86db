"""nvCOMP's own codecs, written and read on a GPU, or on stand-ins for nvCOMP."""

from __future__ import annotations

import asyncio
import struct
from types import ModuleType
from typing import Any

import google_crc32c
import numcodecs
import numpy as np
import pytest
import zarr
from harness import smooth
from zarr.core.buffer import cpu

import gpuzarr
from gpuzarr.errors import ChecksumError

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")

NUMBERS = {"gdeflate": 1, "bitcomp": 2, "ans": 3, "cascaded": 4}
DTYPES = ["u1", "<i2", "<f4", "<f8", "<i8"]


def array_of(codec: str, values: np.ndarray, version: int, **configuration: Any) -> Any:
    name = f"gpuzarr.{codec}"
    compressor: Any = {"name": name, "configuration": configuration}
    if version == 2:
        compressor = numcodecs.get_codec({"id": name, **configuration})
    return zarr.create_array(
        {}, shape=values.shape, chunks=(64, 100), dtype=values.dtype, zarr_format=version,
        compressors=compressor, fill_value=3,
    )  # fmt: skip


def stored(array: Any, key: str) -> bytes:
    return asyncio.run(array.store.get(key, cpu.buffer_prototype)).to_bytes()


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("codec", NUMBERS)
def test_what_is_written_is_read_back(
    cupy: ModuleType, codec: str, dtype: str, version: int
) -> None:
    values = smooth((150, 333), dtype)
    values[70:, 100:] = np.random.default_rng(1).integers(0, 255, (80, 233)).astype(dtype)
    array = array_of(codec, values, version, blocksize=4096)
    ours = gpuzarr.open(array, mode="r+", device="cuda")
    ours[...] = cupy.asarray(values)
    assert {device for _, device in ours.last_write.stages} == {ours.device}
    np.testing.assert_array_equal(ours[...].get(), values)
    data = stored(array, "1.1" if version == 2 else "c/1/1")
    magic, number, blocksize, _, nbytes = struct.unpack_from("<4sxBxxIIQ", data)
    assert (magic, number, blocksize) == (b"GPZN", NUMBERS[codec], 4096)
    assert nbytes == 6400 * values.itemsize
    assert google_crc32c.value(data[:-4]) == int.from_bytes(data[-4:], "little")


@pytest.mark.parametrize("codec", NUMBERS)
def test_blocks_of_the_usual_size_hold_what_compresses(cupy: ModuleType, codec: str) -> None:
    values = (np.arange(64 * 100 * 16).reshape(64 * 16, 100) // 1000).astype("<i4")
    array = array_of(codec, values, 3)
    ours = gpuzarr.open(array, mode="r+", device="cuda")
    ours[...] = cupy.asarray(values)
    np.testing.assert_array_equal(ours[...].get(), values)
    assert ours.last_write.bytes_written < values.nbytes


@pytest.mark.parametrize("codec", NUMBERS)
def test_damage_is_a_checksum_error_and_the_gpu_stays_whole(cupy: ModuleType, codec: str) -> None:
    values = smooth((64, 100), "<i4")
    array = array_of(codec, values, 3)
    gpuzarr.open(array, mode="r+", device="cuda")[...] = cupy.asarray(values)
    whole = stored(array, "c/0/0")
    for at in (0, 9, 24, 40, len(whole) // 2, len(whole) - 6, len(whole) - 1):
        data = bytearray(whole)
        data[at] ^= 0x10
        asyncio.run(array.store.set("c/0/0", cpu.Buffer.from_bytes(bytes(data))))
        with pytest.raises(ChecksumError):
            gpuzarr.open(array, device="cuda")[...]
    asyncio.run(array.store.set("c/0/0", cpu.Buffer.from_bytes(whole)))
    np.testing.assert_array_equal(gpuzarr.open(array, device="cuda")[...].get(), values)
