"""Arrays of nvCOMP's own codecs: containers built here byte by byte are read, and written alike.

The streams inside are the emulated device's stand-ins, which only it knows.
"""

from __future__ import annotations

import asyncio
import os
import struct
from typing import Any

import google_crc32c
import numcodecs
import numpy as np
import pytest
import zarr
from harness import assert_on_device, smooth, uploaded
from zarr.codecs import Crc32cCodec, TransposeCodec
from zarr.codecs import numcodecs as v3
from zarr.core.buffer import cpu

import gpuzarr
from gpuzarr import device as devices
from gpuzarr.batch import Batch
from gpuzarr.codecs import own_codec
from gpuzarr.device import emulated, emulated_formats
from gpuzarr.errors import (
    ChecksumError,
    ChunkSizeError,
    CorruptChunkError,
    DeviceError,
    EncodingError,
    UnsupportedError,
)
from gpuzarr.metadata import read_spec

pytestmark = [
    pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning"),
    pytest.mark.skipif(
        os.environ.get("GPUZARR_TEST_DEVICE", "emulated") != "emulated",
        reason="these streams are stand-ins; tests/cuda/test_native_codecs.py has real ones",
    ),
]

NUMBERS = {"gdeflate": 1, "bitcomp": 2, "ans": 3, "cascaded": 4}
TYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
LEVELS = {"gdeflate": 1, "bitcomp": 1, "ans": 1, "cascaded": 1}
NAMES = list(NUMBERS)


def sealed(data: bytes) -> bytes:
    return data + struct.pack("<I", google_crc32c.value(data))


def container(
    codec: str, data: bytes, data_type: str = "", blocksize: int = 65536, /, **fields: Any
) -> bytes:
    """As docs/codecs-native.md has it; `fields` change what the header says."""
    element = np.dtype(data_type).itemsize if data_type else 1
    blocks = [data[at : at + blocksize] for at in range(0, len(data), blocksize)]
    streams = [emulated_formats.encode(codec, block, element, LEVELS[codec]) for block in blocks]
    said = {
        "magic": b"GPZN", "version": 1, "codec": NUMBERS[codec],
        "data_type": 1 + TYPES.index(data_type) if data_type else 0, "reserved": 0,
        "blocksize": blocksize, "blocks": len(blocks), "nbytes": len(data),
        "sizes": [len(stream) for stream in streams], **fields,
    }  # fmt: skip
    *header, sizes = said.values()
    table = struct.pack("<4sBBBBIIQ", *header) + struct.pack(f"<{len(sizes)}I", *sizes)
    return sealed(b"".join(part + bytes(-len(part) % 16) for part in (table, *streams)))


def array_of(codec: str, shape: Any, chunks: Any, dtype: Any, version: int, **more: Any) -> Any:
    """An array without chunks, and the data type that its elements are given."""
    options = {"blocksize": more.pop("blocksize", 65536)}
    if "data_type" in more:
        options["data_type"] = more.pop("data_type")
    name = f"gpuzarr.{codec}"
    if version == 2:
        compressor: Any = numcodecs.get_codec({"id": name, **options})
    else:
        compressor = {"name": name, "configuration": options}
    before = more.pop("before", ())
    compressors = [*before, compressor, *more.pop("behind", ())] if version == 3 else compressor
    return zarr.create_array(
        {}, shape=shape, chunks=chunks, dtype=dtype, zarr_format=version, fill_value=3,
        compressors=compressors, **more,
    )  # fmt: skip


def put(array: Any, key: str, data: bytes) -> None:
    asyncio.run(array.store.set(key, cpu.Buffer.from_bytes(data)))


def key_of(version: int, *coords: int) -> str:
    return ".".join(map(str, coords)) if version == 2 else "/".join(["c", *map(str, coords)])


def filled(
    codec: str, values: np.ndarray, chunks: tuple[int, int], version: int, **more: Any
) -> Any:
    """An array of these values, its chunks built by `container`."""
    blocksize = more.get("blocksize", 65536)
    data_type = ""
    if codec in ("bitcomp", "cascaded"):
        kind = "int" if values.dtype.kind == "i" else "uint"
        data_type = f"{kind}{8 * values.dtype.itemsize}"
    array = array_of(codec, values.shape, chunks, values.dtype, version, **more)
    grid = [range(-(-n // c)) for n, c in zip(values.shape, chunks, strict=True)]
    for i in grid[0]:
        for j in grid[1]:
            chunk = np.full(chunks, 3, values.dtype)
            part = values[i * chunks[0] :, j * chunks[1] :][: chunks[0], : chunks[1]]
            chunk[: part.shape[0], : part.shape[1]] = part
            data = container(codec, chunk.tobytes(), data_type, blocksize)
            put(array, key_of(version, i, j), data)
    return array


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("codec", NAMES)
def test_an_array_is_read_on_the_device_by_both_faces(codec: str, version: int) -> None:
    values = smooth((50, 41), "<i4")
    array = filled(codec, values, (16, 12), version, blocksize=256)
    ours = gpuzarr.open(array)
    (told,) = ours.explain().stages
    assert (told.stage, told.device, told.reason) == (
        f"gpuzarr.{codec}", ours.device, "batched, verified",
    )  # fmt: skip
    assert_on_device(ours[...], values)
    assert ours.last_read.stages == {(f"gpuzarr.{codec}", ours.device): 16}
    with gpuzarr.enable(device="emulated"):
        theirs = zarr.open_array(array.store, mode="r")
        assert_on_device(theirs[3:40, 5:], values[3:40, 5:])
        assert theirs[7, 8] == values[7, 8]
        np.testing.assert_array_equal(theirs.vindex[[3, 49], [0, 40]], values[[3, 49], [0, 40]])


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "<f4", ">f8", "<u8", "<c8", "?"])
@pytest.mark.parametrize("codec", ["bitcomp", "cascaded"])
def test_the_data_type_is_that_of_the_elements(codec: str, dtype: str) -> None:
    width = {"c": 4}.get(np.dtype(dtype).kind, np.dtype(dtype).itemsize)
    expected = f"{'int' if np.dtype(dtype).kind == 'i' else 'uint'}{8 * width}"
    array = array_of(codec, (10,), (10,), dtype, 3)
    (found,) = [c for c in array.metadata.codecs if c.to_dict()["name"] == f"gpuzarr.{codec}"]
    assert found.to_dict()["configuration"]["data_type"] == expected
    again = zarr.open_array(array.store, mode="r")
    assert again.metadata.codecs == array.metadata.codecs
    values = (np.arange(10) % 2).astype(dtype)
    put(array, "c/0", container(codec, values.astype(array.dtype).tobytes(), expected))
    if values.dtype.kind == "b":
        assert expected == "uint8"
    order = values.astype(values.dtype.newbyteorder("<"))
    put(array, "c/0", container(codec, order.tobytes(), expected))
    assert_on_device(gpuzarr.open(array)[...], values)


def test_chunks_of_several_data_types_are_one_read() -> None:
    """In v2 each chunk says its own, and the library takes one width at a time."""
    array = array_of("cascaded", (8,), (2,), "<i8", 2)
    values = np.arange(8) * 7
    for number, data_type in enumerate(["int64", "uint8", "int16", "int64"]):
        chunk = values[2 * number : 2 * number + 2].tobytes()
        put(array, str(number), container("cascaded", chunk, data_type))
    assert_on_device(gpuzarr.open(array)[...], values)


@pytest.mark.parametrize("codec", NAMES)
def test_shards_and_other_codecs_stand_around_it(codec: str) -> None:
    values, chunks = smooth((48, 24), "<u2"), (12, 12)
    data_type = "uint16" if codec in ("bitcomp", "cascaded") else ""
    array = array_of(
        codec, values.shape, chunks, "u2", 3, shards=(24, 24), behind=[Crc32cCodec()],
        filters=TransposeCodec(order=(1, 0)), blocksize=256,
    )  # fmt: skip
    for i in range(2):
        pieces = []
        for k, j in np.ndindex(2, 2):
            at = i * 24 + k * 12, j * 12
            part = values[at[0] : at[0] + 12, at[1] : at[1] + 12]
            data = container(codec, np.ascontiguousarray(part.T).tobytes(), data_type, 256)
            pieces.append(sealed(data))
        sizes = [len(piece) for piece in pieces]
        index = np.stack([np.cumsum(sizes) - sizes, sizes], axis=1).astype("<u8")
        put(array, f"c/{i}/0", b"".join(pieces) + sealed(index.tobytes()))
    ours = gpuzarr.open(array)
    assert not ours.explain().fallbacks
    assert_on_device(ours[...], values)


def encoded(codec: str, values: np.ndarray, **configuration: Any) -> bytes:
    """What the device makes of one chunk."""
    array = array_of(codec, values.shape, values.shape, values.dtype, 3, **configuration)
    chunk = read_spec(array.metadata).format(values.shape)
    device, own = devices.get("emulated"), own_codec(chunk.codecs[-1])
    data = np.ascontiguousarray(values).reshape(-1).view("u1")
    batch = device.upload(Batch.uniform(data, 1, len(data)))
    found = device.download(own.encode(batch, device))
    ((start, stop),) = found.spans()
    return bytes(found.arena[start:stop])


@pytest.mark.parametrize("codec", NAMES)
@pytest.mark.parametrize("count", [1, 63, 64, 65, 1000])
def test_what_is_encoded_is_the_container_that_is_documented(codec: str, count: int) -> None:
    values = smooth(count, "<i4")
    data_type = "int32" if codec in ("bitcomp", "cascaded") else ""
    expected = container(codec, values.tobytes(), data_type, 256)
    assert encoded(codec, values, blocksize=256) == expected


def test_the_bytes_are_these() -> None:
    """Magic, version 1, cascaded, int16, blocks of 256 bytes, two of them, 260 bytes."""
    data = encoded("cascaded", np.arange(130, dtype="<i2"), blocksize=256)
    head = "47505a4e 01 04 03 00 00010000 02000000 0401000000000000"
    assert data[:24] == bytes.fromhex(head)
    first, second = struct.unpack_from("<2I", data, 24)
    assert len(data) == 32 + -(-first // 16) * 16 + -(-second // 16) * 16 + 4
    assert google_crc32c.value(data[:-4]) == int.from_bytes(data[-4:], "little")


def stored(array: Any, key: str) -> bytes:
    return asyncio.run(array.store.get(key, cpu.buffer_prototype)).to_bytes()


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("codec", NAMES)
def test_an_array_is_written_on_the_device(codec: str, version: int, on_device: bool) -> None:
    values = smooth((20, 15), "<f4")
    array = array_of(codec, values.shape, (8, 12), "f4", version, blocksize=256)
    ours = gpuzarr.open(array, mode="r+")
    ours[...] = uploaded(values) if on_device else values
    assert ours.last_write.stages == {(f"gpuzarr.{codec}", ours.device): 6}
    data_type = "uint32" if codec in ("bitcomp", "cascaded") else ""
    chunk = values[8:16, :12].tobytes()
    assert stored(array, key_of(version, 1, 0)) == container(codec, chunk, data_type, 256)
    ours[5:9, 3:] = values[5:9, 3:] * 2
    values[5:9, 3:] *= 2
    assert_on_device(ours[...], values)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("codec", NAMES)
def test_zarr_python_writes_it_on_the_device(codec: str, version: int) -> None:
    values = smooth((20, 35), "<i2")
    array = array_of(codec, values.shape, (8, 30), "i2", version, blocksize=256)
    with gpuzarr.enable(device="emulated"):
        theirs = zarr.open_array(array.store, mode="r+")
        theirs[...] = values
        assert_on_device(theirs[...], values)
    data_type = "int16" if codec in ("bitcomp", "cascaded") else ""
    chunk = values[8:16, :30].tobytes()
    assert stored(array, key_of(version, 1, 0)) == container(codec, chunk, data_type, 256)


@pytest.mark.parametrize("version", [2, 3])
def test_what_only_the_cpu_encodes_may_stand_before_it(version: int) -> None:
    """Its chunks come down to be rounded, and go up to be compressed."""
    values, rounded = smooth((30, 20), "<f4"), numcodecs.BitRound(keepbits=4)
    filters = [rounded if version == 2 else v3.BitRound(keepbits=4)]
    array = array_of("bitcomp", values.shape, (8, 20), "f4", version, filters=filters)
    ours = gpuzarr.open(array, mode="r+")
    ours[...] = uploaded(values)
    assert ours.last_write.stages == {
        ("bitround", "cpu"): 4,
        ("gpuzarr.bitcomp", ours.device): 4,
    }
    expected = rounded.decode(rounded.encode(values)).reshape(values.shape)
    assert_on_device(ours[...], expected)
    assert ours.last_read.bytes_uploaded < values.nbytes + 20000


def test_elements_that_do_not_fill_their_bytes_are_refused() -> None:
    array = array_of("bitcomp", (3,), (3,), "u1", 3, data_type="uint16")
    with pytest.raises(EncodingError, match="expected whole elements of uint16, found 3 bytes"):
        gpuzarr.open(array, mode="r+")[...] = np.arange(3)


def test_ops_count_stages_and_not_chunks() -> None:
    counts = []
    for chunks in ((32, 24), (8, 6)):
        array = filled("bitcomp", smooth((96, 96), "<f4"), chunks, 3, blocksize=256)
        ours = gpuzarr.open(array)
        ours[...]
        counts.append((ours.last_read.launches, ours.last_read.chunks))
    (few, fewer), (many, more) = counts
    assert more == 16 * fewer
    assert many <= few + 2  # parts at other addresses may be placed by other kernels


# Damage -------------------------------------------------------------------------------------------

VALUES = smooth((16, 15), "<i4")


def read(codec: str, data: bytes, version: int = 3) -> Any:
    array = array_of(codec, VALUES.shape, VALUES.shape, "<i4", version, blocksize=256)
    put(array, key_of(version, 0, 0), data)
    return gpuzarr.open(array)[...]


def good(codec: str, /, **fields: Any) -> bytes:
    data_type = "int32" if codec in ("bitcomp", "cascaded") else ""
    return container(codec, VALUES.tobytes(), data_type, 256, **fields)


FIELDS: dict[str, tuple[Any, type[Exception], str]] = {
    "magic": (b"GPZM", CorruptChunkError, "a container of gpuzarr's"),
    "version": (2, CorruptChunkError, "version 1, found 2"),
    "codec": (0, CorruptChunkError, "found 0"),
    "data_type": (9, CorruptChunkError, "data type"),
    "reserved": (1, CorruptChunkError, "reserved"),
    "blocksize": (272, CorruptChunkError, "blocksize of 256, found 272"),
    "blocks": (5, CorruptChunkError, "number of blocks of 4, found 5"),
    "nbytes": (1 << 63, ChunkSizeError, "expected a decoded size of 960, found 92233720368"),
}  # fmt: skip


@pytest.mark.parametrize("codec", NAMES)
@pytest.mark.parametrize("field", FIELDS)
def test_a_header_that_says_something_else_is_an_error(codec: str, field: str) -> None:
    value, kind, words = FIELDS[field]
    with pytest.raises(kind, match=f"Chunk 'c/0/0'.*{words}"):
        read(codec, good(codec, **{field: value}))


@pytest.mark.parametrize("sizes", [[0, 8, 8, 8], [1 << 32, 1, 1, 1], None, "more"])
@pytest.mark.parametrize("codec", NAMES)
def test_sizes_that_do_not_fill_the_container_are_an_error(codec: str, sizes: Any) -> None:
    """Blocks have no offsets, so they can only be too long, too short or none."""
    true = [len(emulated_formats.encode(codec, VALUES.tobytes()[at : at + 256], 4, 1))
            for at in range(0, 960, 256)]  # fmt: skip
    if sizes is None:
        sizes = [true[0] + 16, *true[1:]]
    elif sizes == "more":
        sizes = [true[0] - 16, *true[1:]]
    sizes = [min(size, (1 << 32) - 1) for size in sizes]
    with pytest.raises(CorruptChunkError, match=r"blocks that end|bytes in block 0, found none"):
        read(codec, good(codec, sizes=sizes))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("codec", NAMES)
def test_any_accidental_damage_is_a_checksum_error(codec: str, version: int) -> None:
    """Wherever it is: the device stays whole, so no decoder saw it."""
    whole = good(codec)
    np.testing.assert_array_equal(read(codec, whole, version).get(), VALUES)
    for at in range(0, len(whole), 37):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(ChecksumError):
            read(codec, bytes(damaged), version)
        with pytest.raises(CorruptChunkError if at < 4 else ChecksumError):
            read(codec, whole[:at], version)


@pytest.mark.parametrize("codec", NAMES)
def test_a_short_container_with_a_good_checksum_is_an_error(codec: str) -> None:
    for nbytes in (0, 1, 24, 47):
        with pytest.raises(CorruptChunkError, match="expected a header of 48 bytes"):
            read(codec, sealed(good(codec)[:nbytes]))


@pytest.mark.parametrize("data_type", ["int64", ""])
def test_a_data_type_that_does_not_fit_is_an_error(data_type: str) -> None:
    array = array_of("cascaded", (3,), (3,), "<i4", 2)
    put(array, "0", container("cascaded", bytes(12), data_type))
    with pytest.raises(CorruptChunkError, match=r"whole elements of int64|data type from 1 to 8"):
        gpuzarr.open(array)[...]


def forged(codec: str, at: int) -> bytes:
    """A stream that is none, with a checksum that fits."""
    data = bytearray(good(codec)[:-4])
    data[at] ^= 0xFF
    return sealed(bytes(data))


def test_a_forged_stream_is_an_error_where_the_library_promises_one() -> None:
    with pytest.raises(CorruptChunkError, match=r"expected a valid ans stream.* in block 0"):
        read("ans", forged("ans", 48 + 6))
    with pytest.raises(CorruptChunkError, match=r"expected a valid gdeflate stream.* in block 0"):
        read("gdeflate", forged("gdeflate", 48))


@pytest.mark.parametrize("codec", ["gdeflate", "bitcomp", "cascaded"])
def test_a_forged_stream_breaks_the_device_where_it_promises_none(codec: str) -> None:
    with pytest.raises(DeviceError):
        read(codec, forged(codec, 48 + 6))
    emulated.reset()


# Without a GPU ------------------------------------------------------------------------------------


def test_the_cpu_says_what_to_do() -> None:
    array = filled("ans", VALUES, VALUES.shape, 3)
    ours = gpuzarr.open(array, device="cpu")
    assert "gpuzarr.ans: cpu, the device 'cpu' has no decoder for it" in str(ours.explain())
    for attempt in (
        lambda: ours[...],
        lambda: array[...],
        lambda: gpuzarr.open(array, device="cpu", mode="r+").__setitem__(..., VALUES),
        lambda: array.__setitem__(..., VALUES),
    ):
        with pytest.raises(UnsupportedError, match=r"gpuzarr.open\(..., device='cuda'\)"):
            attempt()


def test_a_stage_of_the_cpu_behind_it_leaves_it_to_the_cpu_which_has_no_decoder() -> None:
    array = array_of("ans", (8,), (8,), "f4", 3, before=[v3.BZ2()])
    put(array, "c/0", container("ans", bytes(10)))
    told = gpuzarr.open(array).explain()
    assert (told.stages[0].stage, told.stages[0].device) == ("gpuzarr.ans", "cpu")
    with pytest.raises(UnsupportedError, match="has no decoder and no encoder on the CPU"):
        gpuzarr.open(array)[...]
