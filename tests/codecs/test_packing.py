"""Packed bits, of numcodecs and of zarr's extension: literal bytes, both ways, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from harness import assert_codec, assert_read, encoded, read_v2, smooth, v3_array
from hypothesis import given
from hypothesis import strategies as st
from zarr.codecs import Crc32cCodec, TransposeCodec, ZstdCodec
from zarr.codecs import numcodecs as v3

import gpuzarr
from gpuzarr.errors import ChunkError, CorruptChunkError
from gpuzarr.zarr_packbits import PackBits

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
ON_EACH_DEVICE = pytest.mark.usefixtures("each_device")
SIZES = [1, 7, 8, 9, 1000]

# numcodecs' ---------------------------------------------------------------------------------------


@ON_EACH_DEVICE
def test_packbits_is_a_number_of_padding_bits_and_bits_from_the_top(tmp_path: Path) -> None:
    values = np.array([1, 0, 0, 1, 1, 0, 0, 0, 1], bool)
    arrays = [smooth(n, "u1") % 2 == 0 for n in SIZES]
    literal = bytes.fromhex("07 98 80")
    assert_codec(tmp_path, numcodecs.PackBits(), literal, values, arrays=arrays, as_filter=True)


@ON_EACH_DEVICE
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_packbits_is_zarr_pythons_both_ways(order: Any, size: int, each_device: str) -> None:
    data = smooth((2 * size, 3), "i4") % 3 == 0
    z = zarr.create_array(
        {}, shape=data.shape, chunks=(size, 2), dtype="?", zarr_format=2, order=order,
        filters=[numcodecs.PackBits()], compressors=None,
    )  # fmt: skip
    turned = [TransposeCodec(order=(1, 0)), v3.PackBits()]
    for array in (
        z, zarr.create_array({}, shape=data.shape, chunks=(size, 2), dtype="?", filters=turned,
                             compressors=None),
    ):  # fmt: skip
        array[...] = data
        assert_read(gpuzarr.open(array)[...], data)
        key = array.metadata.encode_chunk_key((1, 0))
        expected = array.store._store_dict[key].to_bytes()  # type: ignore[attr-defined]
        assert encoded(array, [data[size:, :2]], each_device) == [expected]


BAD = {
    "no byte": b"",
    "a byte": b"\x07",
    "too few": bytes.fromhex("07 98"),
    "too many": bytes.fromhex("07 98 80 00"),
    "other padding": bytes.fromhex("06 98 80"),
    "padding of a byte": bytes.fromhex("08 98 80"),
    "much padding": bytes.fromhex("ff 98 80"),
}


@ON_EACH_DEVICE
@pytest.mark.parametrize("name", BAD)
def test_another_number_of_bits_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ChunkError, match=r"expected .*found .*'packbits'"):
        read_v2(tmp_path, BAD[name], 9, "?", filters=[{"id": "packbits"}])


@pytest.mark.parametrize("name", BAD)
def test_where_no_size_is_known_the_bytes_tell_it(tmp_path: Path, name: str) -> None:
    """Before a codec of numcodecs' own, of which nobody knows how much it makes."""
    labels = numcodecs.Categorize(["a"], "<U1", astype="u1")
    filters, values = [labels, numcodecs.PackBits()], np.array([*"a a aa  a"])
    values[values == " "] = ""
    good = filters[1].encode(filters[0].encode(values)).tobytes()
    arguments = {"filters": [f.get_config() for f in filters], "fill_value": ""}
    assert_read(read_v2(tmp_path / "good", good, 9, "<U1", **arguments), values)
    with pytest.raises(ChunkError):
        read_v2(tmp_path / "bad", BAD[name], 9, "<U1", **arguments)


# zarr's extension ---------------------------------------------------------------------------------


def bits_of(values: np.ndarray, first: int, last: int) -> list[int]:
    """Bits of the elements in the order of the specification."""
    parts = values.reshape(-1)
    if values.dtype.kind == "c":
        parts = parts.view(f"f{values.dtype.itemsize // 2}")
    if values.dtype.kind != "b":
        parts = parts.view(f"u{parts.dtype.itemsize}")
    return [int(part) >> bit & 1 for part in parts for bit in range(first, last + 1)]


def packed(values: np.ndarray, padding: str, first: int, last: int) -> bytes:
    """As the specification says, bit by bit."""
    bits = bits_of(values, first, last)
    unused = -len(bits) % 8
    total = sum(bit << at for at, bit in enumerate(bits))
    content = total.to_bytes((len(bits) + unused) // 8, "little")
    front = bytes([unused]) if padding == "first_byte" else b""
    return front + content + (bytes([unused]) if padding == "last_byte" else b"")


def kept(values: np.ndarray, first: int, last: int) -> np.ndarray:
    """What is left of integers of which these bits are stored."""
    mask, width = (1 << (last - first + 1)) - 1, 8 * values.dtype.itemsize
    left = []
    for value in values.reshape(-1).tolist():
        rest = (value >> first) & mask
        if values.dtype.kind == "i" and rest >> (last - first):
            rest -= mask + 1
        left.append((rest << first) % (1 << width))
    return np.array(left, f"u{values.dtype.itemsize}").view(values.dtype).reshape(values.shape)


LITERALS = [
    ("none", "98 01", [0, 0, 0, 1, 1, 0, 0, 1, 1]),
    ("first_byte", "07 98 01", [0, 0, 0, 1, 1, 0, 0, 1, 1]),
    ("last_byte", "98 01 07", [0, 0, 0, 1, 1, 0, 0, 1, 1]),
    ("last_byte", "ff 00", [1] * 8),
]


@ON_EACH_DEVICE
@pytest.mark.parametrize(("padding", "literal", "bits"), LITERALS)
def test_bool_is_a_bit_from_the_bottom(
    tmp_path: Path, padding: str, literal: str, bits: list[int]
) -> None:
    codec = {"name": "packbits", "configuration": {"padding_encoding": padding}}
    values, stored = np.array(bits, bool), bytes.fromhex(literal)
    assert packed(values, padding, 0, 0) == stored
    path = v3_array(tmp_path, stored, values.shape, "bool", [codec])
    assert_read(gpuzarr.open(path)[...], values)
    assert not gpuzarr.open(path).explain().fallbacks
    np.testing.assert_array_equal(zarr.open_array(path)[...], values)


def test_an_integer_is_its_bits_from_the_first_to_the_last(tmp_path: Path) -> None:
    """Signed ones are extended by their sign, others by zeros."""
    config = {"first_bit": 1, "last_bit": 3, "padding_encoding": "first_byte"}
    codec = {"name": "packbits", "configuration": config}
    stored = bytes([4, 0b10_101_001, 0b0000_100_0])  # 001, 101, 010, 100 from the bottom
    for dtype, values in (("int8", [2, -6, 4, -8]), ("uint8", [2, 10, 4, 8])):
        path = v3_array(tmp_path / dtype, stored, (4,), dtype, [codec])
        assert_read(gpuzarr.open(path)[...], np.array(values, dtype))


NUMBERS = ["|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8"]
PADDINGS = st.sampled_from(["none", "first_byte", "last_byte"])


@given(
    dtype=st.sampled_from(NUMBERS), padding=PADDINGS, count=st.integers(1, 40),
    seed=st.integers(0, 99), ends=st.tuples(st.integers(0, 63), st.integers(0, 63)),
)  # fmt: skip
def test_integers_are_packed_as_the_specification_says(
    dtype: str, padding: Any, count: int, seed: int, ends: tuple[int, int]
) -> None:
    """By zarr-python's pipeline, and by ours, both ways."""
    width = 8 * np.dtype(dtype).itemsize
    first, last = sorted(end % width for end in ends)
    rng = np.random.default_rng(seed)
    values = np.frombuffer(rng.bytes(count * width // 8), dtype)
    z = zarr.create_array(
        {}, shape=count, chunks=count, dtype=dtype, compressors=None, fill_value=1,
        serializer=PackBits(padding_encoding=padding, first_bit=first, last_bit=last),
        config={"write_empty_chunks": True},
    )  # fmt: skip
    z[...] = values
    store = z.store._store_dict  # type: ignore[attr-defined]
    assert store["c/0"].to_bytes() == packed(values, padding, first, last)
    expected = kept(values, first, last)
    np.testing.assert_array_equal(z[...], expected)
    ours = gpuzarr.open(z, mode="r+")
    np.testing.assert_array_equal(ours[...], expected)
    ours[...] = values
    assert store["c/0"].to_bytes() == packed(values, padding, first, last)


@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<c8", "<c16", *NUMBERS])
def test_without_ends_elements_are_their_bytes(dtype: str) -> None:
    values = smooth((3, 4), dtype)
    z = zarr.create_array({}, shape=(3, 4), chunks=(3, 4), dtype=dtype, compressors=None,
                          serializer=PackBits(padding_encoding="last_byte"))  # fmt: skip
    z[...] = values
    assert z.store._store_dict["c/0/0"].to_bytes() == values.tobytes() + b"\0"  # type: ignore[attr-defined]
    np.testing.assert_array_equal(z[...], values)
    np.testing.assert_array_equal(gpuzarr.open(z)[...], values)


@ON_EACH_DEVICE
@pytest.mark.parametrize("padding", ["none", "first_byte", "last_byte"])
@pytest.mark.parametrize("size", SIZES)
def test_bool_is_packed_and_unpacked_on_each_device(
    padding: Any, size: int, each_device: str
) -> None:
    data = smooth((2 * size, 3), "i4") % 3 == 0
    z = zarr.create_array({}, shape=data.shape, chunks=(size, 2), dtype="?", compressors=None,
                          serializer=PackBits(padding_encoding=padding))  # fmt: skip
    z[...] = data
    assert_read(gpuzarr.open(z)[...], data)
    chunk = data[size:, :2]
    assert encoded(z, [chunk], each_device) == [packed(chunk, padding, 0, 0)]


@ON_EACH_DEVICE
@pytest.mark.parametrize("shards", [None, (8, 8)])
@pytest.mark.parametrize("dtype", ["?", "i4"])
def test_packed_bits_stand_in_any_chain(dtype: str, shards: Any) -> None:
    """Transposed, compressed, with a checksum, in shards, in chunks at the edge."""
    data = smooth((15, 17), "i4")
    data = data % 2 == 0 if dtype == "?" else data
    z = zarr.create_array(
        {}, shape=data.shape, chunks=(4, 4), shards=shards, dtype=dtype,
        filters=[TransposeCodec(order=(1, 0))],
        serializer=PackBits(padding_encoding="first_byte"),
        compressors=[ZstdCodec(), Crc32cCodec()],
    )  # fmt: skip
    z[...] = data
    ours = gpuzarr.open(z, mode="r+")
    assert_read(ours[...], data)
    told = ours.explain()
    if dtype == "?":
        assert not told.fallbacks
    elif gpuzarr.config.get("device") == "emulated":
        assert told.fallbacks[-1].reason == "no device packs bits of int32"
    ours[3:9] = data[3:9]
    np.testing.assert_array_equal(z[...], data)


BAD_PADDED = [
    ("none", "98", "expected as many packed bits"),
    ("none", "98 01 00", "expected as many packed bits"),
    ("first_byte", "98 01", "expected as many packed bits"),
    ("first_byte", "06 98 01", "expected as many packed bits"),
    ("last_byte", "98 01 08", "expected as many packed bits"),
    ("last_byte", "", "expected as many packed bits"),
]


@ON_EACH_DEVICE
@pytest.mark.parametrize(("padding", "stored", "words"), BAD_PADDED)
def test_another_number_of_packed_bits_is_an_error(
    tmp_path: Path, padding: str, stored: str, words: str
) -> None:
    codec = {"name": "packbits", "configuration": {"padding_encoding": padding}}
    path = v3_array(tmp_path, bytes.fromhex(stored), (9,), "bool", [codec])
    with pytest.raises(CorruptChunkError, match=rf"{words}.*'packbits'"):
        gpuzarr.open(path)[...]
    with pytest.raises(ValueError, match="expected"):
        zarr.open_array(path)[...]


@pytest.mark.parametrize("stored", ["", "04", "05 a9 08", "04 a9", "04 a9 08 00"])
def test_another_number_of_bits_of_integers_is_an_error(tmp_path: Path, stored: str) -> None:
    config = {"first_bit": 1, "last_bit": 3, "padding_encoding": "first_byte"}
    codec = {"name": "packbits", "configuration": config}
    path = v3_array(tmp_path, bytes.fromhex(stored), (4,), "uint8", [codec])
    with pytest.raises(CorruptChunkError, match=r"expected \d+ (bytes|unused bits), found"):
        gpuzarr.open(path)[...]


@pytest.mark.parametrize(
    ("dtype", "config", "words"),
    [
        ("uint8", {"first_bit": 3, "last_bit": 2}, "first_bit <= last_bit < 8"),
        ("uint8", {"last_bit": 8}, "first_bit <= last_bit < 8"),
        ("bool", {"last_bit": 1}, "first_bit <= last_bit < 1"),
        ("bool", {"first_bit": -1}, "expected the number of a first_bit"),
        ("bool", {"padding_encoding": "start_byte"}, "as padding_encoding, found 'start_byte'"),
        ("string", {}, "expected numbers or bool"),
    ],
)
def test_what_the_specification_excludes_is_refused_in_words(
    tmp_path: Path, dtype: str, config: dict[str, Any], words: str
) -> None:
    fill = "" if dtype == "string" else False
    codec = {"name": "packbits", "configuration": config}
    path = v3_array(tmp_path, b"", (4,), dtype, [codec], fill_value=fill)
    with pytest.raises(ValueError, match=words):
        zarr.open_array(path)
    with pytest.raises(ValueError, match=words):
        gpuzarr.open(path)


@pytest.mark.parametrize(
    "codec",
    [
        PackBits(),
        PackBits(padding_encoding="last_byte"),
        PackBits(first_bit=0, last_bit=3, padding_encoding="first_byte"),
    ],
)
def test_a_codec_comes_back_from_its_metadata(codec: PackBits) -> None:
    document = json.loads(json.dumps(codec.to_dict()))
    assert PackBits.from_dict(document) == codec
    assert (
        PackBits.from_dict({"name": "packbits", "configuration": {"first_bit": None}}) == PackBits()
    )
