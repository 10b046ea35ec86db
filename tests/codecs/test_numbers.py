"""Filters that make a number of each number: literal bytes, and what numcodecs and zarr make."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from harness import assert_codec, assert_read, encoded, read_v2, smooth, v2_array, v3_array
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BytesCodec, CastValue, ScaleOffset, TransposeCodec
from zarr.codecs import numcodecs as v3

import gpuzarr
from gpuzarr.device import emulator_build
from gpuzarr.errors import ChunkSizeError, CorruptChunkError, EncodingError, StreamError

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
ON_EACH_DEVICE = pytest.mark.usefixtures("each_device")
DEVICES = ["cpu", "emulated"] if emulator_build.is_available() else ["cpu"]

INTEGERS = [smooth((3, 5), "<i2"), smooth(1000, "<i2"), np.array([-32768, 32767, 0], "<i2")]
WIDTHS = {"i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8)}
DTYPES = [
    np.dtype(f"{order}{kind}{width}")
    for kind, widths in WIDTHS.items()
    for width in widths
    for order in ("<", ">" if width > 1 else "")
    if order
]

# Literal bytes ------------------------------------------------------------------------------------


def check(folder: Path, codec: Any, literal: str, values: Any, **arguments: Any) -> None:
    assert_codec(folder, codec, bytes.fromhex(literal), values, as_filter=True, **arguments)


@ON_EACH_DEVICE
def test_fixedscaleoffset_is_scaled_integers(tmp_path: Path) -> None:
    """round((x - offset) * scale)"""
    config = {"offset": 1, "scale": 10, "dtype": "<f4", "astype": "|u1"}
    v3 = {"name": "numcodecs.fixedscaleoffset", "configuration": config}
    values = np.array([1, 1.5, 2], "<f4")
    check(tmp_path, numcodecs.FixedScaleOffset(**config), "00 05 0a", values, v3=v3, arrays=[])


@ON_EACH_DEVICE
def test_fixedscaleoffset_has_byte_orders_of_its_own(tmp_path: Path) -> None:
    codec = numcodecs.FixedScaleOffset(1, 10, ">f4", ">i2")
    check(tmp_path, codec, "0000 0005 fff6", np.array([1, 1.5, 0], ">f4"), arrays=[])


@ON_EACH_DEVICE
def test_fixedscaleoffset_may_leave_the_type_as_it_is(tmp_path: Path) -> None:
    """Without an `astype`, in either version."""
    values, literal = np.array([1, 1.5, 2], "<f4"), np.array([0, 5, 10], "<f4").tobytes()
    config = {"offset": 1, "scale": 10, "dtype": "<f4"}
    assert_read(
        read_v2(tmp_path, literal, 3, "<f4", filters=[{"id": "fixedscaleoffset", **config}]), values
    )
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    codecs = [{"name": "numcodecs.fixedscaleoffset", "configuration": config}, little]
    path = v3_array(tmp_path / "v3", literal, (3,), "float32", codecs)
    assert_read(gpuzarr.open_array(path)[...], values)


@ON_EACH_DEVICE
def test_astype_is_another_type(tmp_path: Path) -> None:
    config = {"encode_dtype": "<i4", "decode_dtype": "<i2"}
    v3 = {"name": "numcodecs.astype", "configuration": config}
    values = np.array([1, -1], "<i2")
    check(tmp_path, numcodecs.AsType(**config), "01000000 ffffffff", values, v3=v3, arrays=INTEGERS)


@ON_EACH_DEVICE
def test_bitround_and_quantize_are_stored_as_they_are(tmp_path: Path) -> None:
    values, literal = np.array([1.125, 3.25], "<f4"), "0000903f 00005040"
    v3 = {"name": "numcodecs.bitround", "configuration": {"keepbits": 3}}
    check(tmp_path, numcodecs.BitRound(3), literal, values, v3=v3, arrays=[])
    v3 = {"name": "numcodecs.quantize", "configuration": {"digits": 1, "dtype": "<f4"}}
    check(tmp_path / "q", numcodecs.Quantize(1, "<f4"), literal, values, v3=v3, arrays=[])


@ON_EACH_DEVICE
def test_quantize_may_be_stored_as_another_type(tmp_path: Path) -> None:
    codec = numcodecs.Quantize(1, ">f8", "<f4")
    check(tmp_path, codec, "0000903f 00005040", np.array([1.125, 3.25], ">f8"), arrays=[])


@ON_EACH_DEVICE
@pytest.mark.parametrize("endian", ["little", "big"])
def test_scale_offset_and_cast_value_are_what_their_specifications_say(
    tmp_path: Path, endian: str
) -> None:
    """The example of both: [0, 2540] as 1 to 255, and NaN as 0."""
    codecs = [
        {"name": "scale_offset", "configuration": {"offset": -10, "scale": 0.1}},
        {
            "name": "cast_value",
            "configuration": {
                "data_type": "uint8",
                "rounding": "nearest-even",
                "scalar_map": {"encode": [["NaN", 0]], "decode": [[0, "NaN"]]},
            },
        },
        {"name": "bytes"},
    ]
    path = v3_array(tmp_path, bytes([0, 1, 2, 255]), (4,), "float64", codecs, fill_value="NaN")
    expected = np.array([np.nan, 0, 10, 2540])
    np.testing.assert_array_equal(zarr.open_array(path)[...], expected)
    assert_read(gpuzarr.open_array(path)[...], expected)


# Any bytes, any dtypes ----------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.sampled_from([1, -1, 2, 10, 100, 0.1, 0.5, -3.0, 1e-3, 1e9, 7]),
    st.integers(-(2**31), 2**31),
    st.floats(allow_nan=False, width=32),
)


@st.composite
def codecs_of_numbers(draw: st.DrawFn) -> Any:
    """A filter of numcodecs'."""
    decoded, encoded = draw(st.sampled_from(DTYPES)), draw(st.sampled_from(DTYPES))
    kind = draw(st.sampled_from(["fixedscaleoffset", "astype", "quantize", "delta"]))
    if kind == "fixedscaleoffset":
        scale, offset = draw(NUMBERS.filter(bool)), draw(NUMBERS)
        return numcodecs.FixedScaleOffset(offset, scale, decoded, encoded)
    if kind == "astype":
        return numcodecs.AsType(encoded, decoded)
    if kind == "delta":
        return numcodecs.Delta(decoded, encoded)
    floats = [dtype for dtype in DTYPES if dtype.kind == "f"]
    return numcodecs.Quantize(2, draw(st.sampled_from(floats)), draw(st.sampled_from(floats)))


def encoded_and_decoded(codec: Any) -> tuple[np.dtype, np.dtype]:
    if codec.codec_id == "astype":
        return codec.encode_dtype, codec.decode_dtype
    return codec.astype, codec.dtype


def numbers(dtype: np.dtype, count: int, seed: int, *, any_bits: bool) -> np.ndarray:
    """Of any bits but those of signalling NaNs, or such as every dtype holds."""
    rng = np.random.default_rng(seed)
    if not any_bits:
        return rng.integers(0, 50, count).astype(dtype)
    values = np.frombuffer(rng.bytes(count * dtype.itemsize), dtype)
    if dtype.kind == "f":
        with np.errstate(all="ignore"):
            values = np.where(np.isnan(values), np.nan, values).astype(dtype)
    return values


@pytest.mark.parametrize("device", DEVICES)
@settings(max_examples=150)
@given(codec=codecs_of_numbers(), count=st.integers(1, 300), seed=st.integers(0, 99),
       any_bits=st.booleans())  # fmt: skip
def test_any_numbers_are_decoded_as_numcodecs_decodes_them(
    tmp_path_factory: pytest.TempPathFactory,
    device: str,
    codec: Any,
    count: int,
    seed: int,
    any_bits: bool,
) -> None:
    dtype, decoded = encoded_and_decoded(codec)
    stored = numbers(dtype, count, seed, any_bits=any_bits)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = codec.decode(stored.tobytes())
        if codec.codec_id == "fixedscaleoffset":
            fits = fitting(stored / codec.scale + codec.offset, decoded)
        else:
            fits = fitting(stored, decoded)
        with gpuzarr.config.set({"device": device}):
            path = v2_array(
                tmp_path_factory.mktemp("array"), stored.tobytes(), (count,), decoded,
                filters=[codec.get_config()],
            )  # fmt: skip
            found = gpuzarr.open(path)[...]
    found = found if device == "cpu" else found.get().astype(decoded)
    assert found[fits].tobytes() == expected[fits].tobytes()


def fitting(values: np.ndarray, target: np.dtype) -> Any:
    """Which floats an integer dtype can hold: of others processors make what they like."""
    if values.dtype.kind != "f" or target.kind == "f":
        return ...
    limits, whole = np.iinfo(target), np.trunc(values.astype("f8"))
    return (whole >= float(limits.min)) & (whole < float(limits.max) + (target.itemsize < 8))


@pytest.mark.parametrize("device", DEVICES)
@settings(max_examples=150)
@given(codec=codecs_of_numbers(), count=st.integers(1, 300), seed=st.integers(0, 99),
       any_bits=st.booleans())  # fmt: skip
def test_any_numbers_are_encoded_as_numcodecs_encodes_them(
    device: str, codec: Any, count: int, seed: int, any_bits: bool
) -> None:
    decoded = encoded_and_decoded(codec)[1]
    values = numbers(decoded, count, seed, any_bits=any_bits)
    z = zarr.create_array(
        {}, shape=count, chunks=count, dtype=decoded, zarr_format=2, filters=[codec],
        compressors=None,
    )  # fmt: skip
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            expected = codec.encode(values)
        except (OverflowError, ValueError):  # NumPy's, of integers that are out of bounds, and NaN
            with pytest.raises(StreamError):
                encoded(z, [values], device)
            return
        found = np.frombuffer(encoded(z, [values], device)[0], expected.dtype)
        fits: Any = ...
        if codec.codec_id == "fixedscaleoffset":
            fits = fitting(np.around((values - codec.offset) * codec.scale), expected.dtype)
        elif codec.codec_id == "astype":
            fits = fitting(values, expected.dtype)
        elif codec.codec_id == "delta":
            fits = fitting(np.append(values[:1], np.diff(values)), expected.dtype)
        assert found[fits].tobytes() == expected[fits].tobytes()


# Chains, both ways --------------------------------------------------------------------------------

V2: dict[str, tuple[str, list[Any]]] = {
    "fixedscaleoffset": ("<f8", [numcodecs.FixedScaleOffset(1, 10, "<f8", "<i2")]),
    "fixedscaleoffset, big": (">f4", [numcodecs.FixedScaleOffset(1, 10, ">f4", ">i2")]),
    "fixedscaleoffset of integers": ("<i4", [numcodecs.FixedScaleOffset(3, 1, "<i4")]),
    "fixedscaleoffset of a wider type": ("<i2", [numcodecs.FixedScaleOffset(0.5, 3, "<i2", "<f4")]),
    "astype": (">i4", [numcodecs.AsType("<i2", ">i4")]),
    "astype to bool": ("|b1", [numcodecs.AsType("<i2", "|b1")]),
    "quantize": ("<f8", [numcodecs.Quantize(1, "<f8")]),
    "quantize, cast": ("<f8", [numcodecs.Quantize(1, "<f8", ">f4")]),
    "bitround, delta": ("<f4", [numcodecs.BitRound(5), numcodecs.Delta("<i4")]),
    "delta": (">i4", [numcodecs.Delta(">i4", ">i8")]),
    "delta of floats": ("<f4", [numcodecs.Delta("<f4")]),
    "delta, shuffle": ("<u4", [numcodecs.Delta("<u4"), numcodecs.Shuffle(4)]),
    "bool as bytes": ("|b1", [numcodecs.Delta("|u1"), numcodecs.PackBits()]),
    "many": (
        "<f8",
        [
            numcodecs.FixedScaleOffset(0, 10, "<f8", "<i4"), numcodecs.Delta("<i4"),
            numcodecs.AsType("<i8", "<i4"), numcodecs.Shuffle(8), numcodecs.Fletcher32(),
        ],
    ),
    "dates": ("<M8[s]", [numcodecs.Delta("<i8")]),
}  # fmt: skip
SHAPE, CHUNKS = (7, 10), (3, 4)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("name", V2)
@ON_EACH_DEVICE
def test_v2_filters_are_zarr_pythons_both_ways(name: str, order: Any, each_device: str) -> None:
    """Edge chunks are read whole, of which arrays have a part."""
    if (name, order) == ("bitround, delta", "F"):
        return  # numcodecs mixes the orders up
    dtype, filters = V2[name]
    data = smooth(SHAPE, "f8").astype("i8" if dtype[1] == "M" else dtype).astype(dtype)
    if dtype == "|b1":
        data = smooth(SHAPE, "i4") % 3 == 0
    z = zarr.create_array(
        {}, shape=SHAPE, chunks=CHUNKS, dtype=dtype, zarr_format=2, filters=filters,
        compressors=None, order=order,
    )  # fmt: skip
    assert_both_ways(z, data, each_device)
    if dtype[1] != "M":
        z = zarr.create_array(
            {}, shape=SHAPE, chunks=CHUNKS, dtype=dtype, zarr_format=2, filters=filters,
            compressors=numcodecs.Zstd(), order=order,
        )  # fmt: skip
        z[...] = data
        assert not gpuzarr.open(z).explain().fallbacks
        assert_read(gpuzarr.open(z)[...], z[...])


def assert_both_ways(z: zarr.Array, data: np.ndarray, device: str) -> None:
    """Arrays are read as zarr-python reads them, and whole chunks encoded to its bytes."""
    z[...] = data
    assert_read(gpuzarr.open(z)[...], z[...])
    assert_read(gpuzarr.open(z)[1:6:2, ::-3], z[...][1:6:2, ::-3])
    keys, chunks = [], []
    for at in itertools.product(*(range(n // c) for n, c in zip(z.shape, z.chunks, strict=True))):
        keys.append(z.metadata.encode_chunk_key(at))
        parts = (slice(i * c, i * c + c) for i, c in zip(at, z.chunks, strict=True))
        chunks.append(data[tuple(parts)])
    stored = [z.store._store_dict[key].to_bytes() for key in keys]  # type: ignore[attr-defined]
    assert encoded(z, chunks, device) == stored


OFFSET = v3.FixedScaleOffset(offset=1, scale=10, dtype="<f8", astype="<i2")
TURN = TransposeCodec(order=(1, 0))
V3: dict[str, tuple[str, list[Any]]] = {
    "fixedscaleoffset": ("<f8", [OFFSET]),
    "turned fixedscaleoffset": ("<f8", [TURN, OFFSET]),
    "astype": ("<i4", [v3.AsType(encode_dtype="<i2", decode_dtype="<i4")]),
    "astype, turned": ("<i4", [v3.AsType(encode_dtype="<f8", decode_dtype="<i4"), TURN]),
    "quantize, turned": ("<f8", [v3.Quantize(digits=1, dtype="<f8"), TURN]),
    "bitround": ("<f4", [v3.BitRound(keepbits=5)]),
    "delta": ("<i4", [v3.Delta(dtype="<i4", astype="<i8")]),
    "packbits": ("|b1", [v3.PackBits()]),
    "scale_offset of floats": ("<f4", [ScaleOffset(offset=3, scale=0.1)]),
    "scale_offset of half floats": ("<f2", [ScaleOffset(offset=3, scale=0.1)]),
    "scale_offset of integers": ("<i2", [ScaleOffset(offset=-3, scale=-7)]),
    "scale_offset of large integers": ("<u8", [ScaleOffset(offset=0, scale=2**50)]),
    "scale_offset, turned": ("<i8", [ScaleOffset(offset=3, scale=2), TURN]),
    "turned twice": ("<f8", [TURN, ScaleOffset(offset=3), TURN, CastValue(data_type="float32")]),
    **{
        f"cast_value {rounding}": (
            "<f8", [CastValue(data_type="uint8", rounding=rounding, out_of_range="clamp"), TURN],
        )
        for rounding in (
            "nearest-even", "towards-zero", "towards-positive", "towards-negative", "nearest-away",
        )
    },
    "cast_value wraps": ("<i4", [CastValue(data_type="int8", out_of_range="wrap")]),
    "cast_value of a map": (
        "<i4",
        [
            CastValue(
                data_type="float32",
                scalar_map={"encode": [(50, "NaN"), (51, "-Infinity")], "decode": [("NaN", -1)]},
                out_of_range="clamp",
            ),
        ],
    ),
    "many": (
        "<f8",
        [
            ScaleOffset(offset=0, scale=10), OFFSET,
            v3.AsType(encode_dtype="<i4", decode_dtype="<i2"), v3.Delta(dtype="<i4"),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("endian", ["little", "big"])
@pytest.mark.parametrize("name", V3)
@ON_EACH_DEVICE
def test_v3_filters_are_zarr_pythons_both_ways(name: str, endian: Any, each_device: str) -> None:
    dtype, filters = V3[name]
    data = smooth(SHAPE, "f8").astype(dtype)
    if dtype == "|b1":
        data = smooth(SHAPE, "i4") % 3 == 0
    z = zarr.create_array(
        {}, shape=SHAPE, chunks=CHUNKS, dtype=dtype, filters=filters, compressors=None,
        serializer=BytesCodec(endian=endian),
    )  # fmt: skip
    if name == "cast_value of a map":  # infinities have no way back
        data[data == 51] = 52
    assert_both_ways(z, data, each_device)
    assert not gpuzarr.open(z).explain().fallbacks


# What is no number, not declared, or somebody else's ----------------------------------------------

THEIRS = {
    "complex": ("<c8", 2, [numcodecs.FixedScaleOffset(1, 10, "<c8")]),
    "complex sums": ("<c8", 2, [numcodecs.Delta("<c8")]),
    "text": ("<i4", 2, [numcodecs.AsType("<U8", "<i4")]),
    "long doubles": ("<f8", 2, [numcodecs.AsType(np.dtype("longdouble").str, "<f8")]),
    "a scale of NumPy's": ("<f4", 2, [numcodecs.FixedScaleOffset(1, np.float64(0.1), "<f4")]),
    "another order": ("<f8", 3, [v3.AsType(encode_dtype="<f4", decode_dtype=">f8")]),
    "another dtype": ("<f8", 3, [v3.FixedScaleOffset(offset=1, scale=8, dtype="<i8")]),
}


@pytest.mark.parametrize("name", THEIRS)
@ON_EACH_DEVICE
def test_what_is_not_ours_is_run_by_its_own_object(name: str) -> None:
    dtype, version, filters = THEIRS[name]
    data = smooth(SHAPE, "i4").astype(dtype)
    z = zarr.create_array(
        {}, shape=SHAPE, chunks=CHUNKS, dtype=dtype, zarr_format=version, filters=filters,
        compressors=None,
    )  # fmt: skip
    z[...] = data
    ours = gpuzarr.open(z)
    assert_read(ours[...], z[...])
    reason = "no device" if gpuzarr.config.get("device") == "emulated" else "by the codec object of"
    assert reason in ours.explain().stages[-1].reason


class Doubled(numcodecs.FixedScaleOffset):
    def decode(self, buf: Any, out: Any = None) -> Any:
        return 2 * super().decode(buf)


class OwnScaleOffset(ScaleOffset):
    def _decode_sync(self, chunk_array: Any, chunk_spec: Any) -> Any:
        decoded = super()._decode_sync(chunk_array, chunk_spec).as_ndarray_like()
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(2 * decoded)

    async def _decode_single(self, chunk_array: Any, chunk_spec: Any) -> Any:
        return self._decode_sync(chunk_array, chunk_spec)


@ON_EACH_DEVICE
def test_a_subclass_is_in_charge() -> None:
    data = smooth(SHAPE, "<f8")
    for version, filters in (
        (2, [Doubled(0, 1024, "<f8", "<i4")]),
        (3, [OwnScaleOffset(scale=1024.0)]),
    ):
        z = zarr.create_array(
            {}, shape=SHAPE, chunks=CHUNKS, dtype="<f8", zarr_format=version, filters=filters,
            compressors=None,
        )  # fmt: skip
        z[...] = data
        assert_read(gpuzarr.open(z)[...], z[...])
        assert (np.abs(z[...] - 2 * data) < 0.01).all()


@ON_EACH_DEVICE
def test_numbers_of_unknown_count_are_told_by_their_bytes(tmp_path: Path) -> None:
    """Before a codec of numcodecs' own, of which nobody knows how much it makes."""
    labels = numcodecs.Categorize(["a", "b"], "<U1", astype="<i2")
    filters = [labels, numcodecs.AsType("<i4", "<i2"), numcodecs.Delta("<i4")]
    values = np.array([*"ab", "", *"bba"])
    stored: Any = values
    for codec in filters:
        stored = codec.encode(stored)
    arguments = {"filters": [codec.get_config() for codec in filters], "fill_value": ""}
    assert_read(read_v2(tmp_path / "good", stored.tobytes(), 6, "<U1", **arguments), values)
    with pytest.raises(ChunkSizeError, match="expected numbers of int32, found 23 bytes"):
        read_v2(tmp_path / "bad", stored.tobytes()[:-1], 6, "<U1", **arguments)


# Bad input ----------------------------------------------------------------------------------------

SIZED = {
    "fixedscaleoffset": ({"offset": 0, "scale": 2, "dtype": "<f8", "astype": "<i2"}, "<f8", 6),
    "astype": ({"encode_dtype": "<i4", "decode_dtype": "<i2"}, "<i2", 12),
    "quantize": ({"digits": 1, "dtype": "<f8", "astype": "<f4"}, "<f8", 12),
    "bitround": ({"keepbits": 3}, "<f4", 12),
    "delta": ({"dtype": "<i2", "astype": "<i8"}, "<i2", 24),
}


@pytest.mark.parametrize("compressor", [None, {"id": "zlib", "level": 1}])
@pytest.mark.parametrize("change", [-12, -2, -1, 1, 2, 8])
@pytest.mark.parametrize("name", SIZED)
@ON_EACH_DEVICE
def test_other_sizes_than_the_chunks_are_errors(
    tmp_path: Path, name: str, change: int, compressor: Any
) -> None:
    config, dtype, nbytes = SIZED[name]
    found = max(0, nbytes + change)
    stored = bytes(found)
    if compressor is not None:  # whose slots are as large as they have to be, and no larger
        stored = numcodecs.Zlib().encode(stored)
    with pytest.raises(ChunkSizeError, match=rf"expected {nbytes} bytes.*, found (more|{found})"):
        read_v2(tmp_path, stored, 3, dtype, filters=[{"id": name, **config}], compressor=compressor)


REFUSED = {
    "a remainder": ("int16", [{"offset": 1, "scale": 3}], "scale_offset", [3, 4], "multiples"),
    "above": ("uint8", [{"offset": 10}], "scale_offset", [4, 246], "uint8"),
    "below": ("int8", [{"offset": -100}], "scale_offset", [0, -50], "int8"),
    "not wrapped": ("uint64", [{"offset": 2}], "scale_offset", [2**64 - 1], "uint64"),
    "a negative number": ("uint8", [{"data_type": "int16"}], "cast_value", [3, -1], "uint8"),
    "not a number": ("int16", [{"data_type": "float32"}], "cast_value", [np.nan], "int16"),
    "too large": ("float16", [{"data_type": "float64"}], "cast_value", [1e6], "float16"),
}


@pytest.mark.parametrize("name", REFUSED)
@ON_EACH_DEVICE
def test_numbers_that_the_rules_refuse_are_errors(tmp_path: Path, name: str) -> None:
    dtype, (config,), codec, values, words = REFUSED[name]
    stored = np.array(values, config.get("data_type", dtype))
    codecs = [
        {"name": codec, "configuration": config},
        {"name": "bytes", "configuration": {"endian": "little"}},
    ]
    fill = 12 if codec == "scale_offset" else 0
    path = v3_array(tmp_path, stored.tobytes(), stored.shape, dtype, codecs, fill_value=fill)
    with pytest.raises(ValueError, match=r"scale_offset|range|representable|NaN|cast"):
        zarr.open_array(path)[...]
    with pytest.raises(CorruptChunkError, match=rf"expected .*{words}.*found .*'{codec}'"):
        gpuzarr.open(path)[...]


UNWRITABLE = {
    "above": ("int16", ScaleOffset(scale=200), 300),
    "below 0": ("uint8", ScaleOffset(offset=0, scale=3), 100),
    "cast": ("float64", CastValue(data_type="int8"), 128.0),
    "cast NaN": ("float64", CastValue(data_type="int8"), np.nan),
}


@pytest.mark.parametrize("name", UNWRITABLE)
def test_numbers_that_have_no_encoding_are_not_written(name: str) -> None:
    dtype, codec, value = UNWRITABLE[name]
    z = zarr.create_array({}, shape=4, chunks=2, dtype=dtype, filters=[codec], compressors=None)
    with pytest.raises(ValueError, match=r"scale_offset|range|representable|NaN|cast"):
        z[0] = value
    ours = gpuzarr.open(z, mode="r+")
    with pytest.raises(EncodingError, match=r"expected .*found"):
        ours[0] = value
    ours[:2] = 0
    assert_read(ours[...], np.zeros(4, dtype))
