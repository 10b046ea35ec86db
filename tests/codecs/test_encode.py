"""Encoding: the bytes that zarr-python stores for the same chunks, and chunks that it reads."""

from __future__ import annotations

import itertools
from typing import Any
from unittest.mock import patch

import numcodecs
import numpy as np
import pytest
import zarr
from harness import assert_same, smooth
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import (
    BloscCodec,
    BytesCodec,
    CastValue,
    Crc32cCodec,
    GzipCodec,
    ScaleOffset,
    ShardingCodec,
    TransposeCodec,
    ZstdCodec,
)
from zarr.codecs import numcodecs as v3
from zarr.codecs._v2 import V2Codec
from zarr.core.array_spec import ArrayConfig, ArraySpec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.buffer.cpu import NDBuffer
from zarr.dtype import VariableLengthBytes

from gpuzarr import device
from gpuzarr.batch import MISSING, Batch
from gpuzarr.codecs import own_codec
from gpuzarr.codecs.chain import Chain, StageError
from gpuzarr.codecs.entropy import Blosc, Compressor, Gzip, Lz4, Zlib, Zstd
from gpuzarr.codecs.preparing import chain_of
from gpuzarr.metadata import read_spec
from gpuzarr.place import Layout
from gpuzarr.spec import ChunkFormat, v2_configs

pytestmark = [
    pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning"),
    pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning"),
]

CPU = device.get("cpu")
CHUNK = (6, 8)
DATA = smooth((12, 24), "<i4")


def batch_of(chunks: list[np.ndarray], layout: Layout) -> Batch:
    """Chunks as they lie in memory."""
    order = np.argsort(layout.axes)
    memory = [
        np.ascontiguousarray(np.asarray(c).transpose(order), layout.dtype).reshape(-1)
        for c in chunks
    ]
    if not layout.on_host_only:
        memory = [m.view(np.uint8) for m in memory]
    return Batch.uniform(np.concatenate(memory), len(chunks), layout.size)


def chain_for(z: zarr.Array) -> Chain:
    return chain_of(read_spec(z.metadata).format(z.chunks))


def parts_of(z: zarr.Array, data: np.ndarray) -> dict[str, np.ndarray]:
    """Store key and content of each chunk of an array of whole chunks."""
    grid = [range(n // c) for n, c in zip(z.shape, z.chunks, strict=True)]
    return {
        z.metadata.encode_chunk_key(at): data[
            (*(slice(i * c, i * c + c) for i, c in zip(at, z.chunks, strict=True)), ...)
        ]
        for at in itertools.product(*grid)
    }


def encode(z: zarr.Array, chunks: list[np.ndarray]) -> list[bytes | None]:
    """What gpuzarr makes of these chunks, which it does not change."""
    chain, seconds = chain_for(z), {}
    batch = batch_of(chunks, chain.layout)
    before = batch.arena.copy()
    found = chain.encode(batch, CPU, seconds)
    np.testing.assert_array_equal(batch.arena, before)
    assert set(seconds) == {f"encode {stage.name}" for stage in chain.stages}
    return [
        None if stop < start else bytes(found.arena[start:stop]) for start, stop in found.spans()
    ]


def assert_encoded(z: zarr.Array, data: Any, *, same_bytes: bool = True) -> list[bytes | None]:
    """zarr-python stores the same bytes, and reads the same values from ours."""
    store = z.store._store_dict  # type: ignore[attr-defined]
    z[...] = data
    expected = z[...]
    parts = parts_of(z, np.asarray(data))
    found = encode(z, list(parts.values()))
    for key, ours in zip(parts, found, strict=True):
        theirs = store[key].to_bytes() if key in store else None
        if same_bytes:
            assert ours == theirs, key
        if ours is None:
            store.pop(key, None)
        else:
            store[key] = type(store.get(key, next(iter(store.values())))).from_bytes(ours)
    assert_same(np.asarray(z[...]), np.asarray(expected))
    return found


def create(data: Any = DATA, chunks: Any = CHUNK, **arguments: Any) -> zarr.Array:
    """An array without any codec, unless `arguments` say so, that stores every chunk."""
    arguments = {"dtype": data.dtype, "compressors": None, "filters": None, **arguments}
    return zarr.create_array(
        zarr.storage.MemoryStore(), shape=data.shape, chunks=chunks,
        config={"write_empty_chunks": True}, **arguments,
    )  # fmt: skip


# Codecs of ours -----------------------------------------------------------------------------------

V3 = {
    "bytes": [],
    "zstd": [ZstdCodec(level=3)],
    "zstd, defaults": [ZstdCodec()],
    "zstd, fast": [ZstdCodec(level=-7)],
    "zstd, checksum": [ZstdCodec(level=9, checksum=True)],
    "blosc": [BloscCodec()],
    "blosc, typesize": [BloscCodec(typesize=2, cname="lz4", shuffle="shuffle")],
    "blosc, bits": [BloscCodec(cname="blosclz", clevel=9, shuffle="bitshuffle", blocksize=64)],
    "blosc, noshuffle": [BloscCodec(cname="zlib", shuffle="noshuffle")],
    "crc32c": [Crc32cCodec()],
    "zstd and crc32c": [ZstdCodec(), Crc32cCodec()],
    "numcodecs.zstd": [v3.Zstd(level=5)],
    "numcodecs.zstd, defaults": [v3.Zstd()],
    "numcodecs.zlib": [v3.Zlib()],
    "numcodecs.lz4": [v3.LZ4(acceleration=5)],
    "numcodecs.lz4, defaults": [v3.LZ4()],
    "numcodecs.blosc": [v3.Blosc()],
    "numcodecs.blosc, auto": [v3.Blosc(cname="lz4hc", shuffle=-1)],
    "numcodecs.blosc, typesize": [v3.Blosc(cname="lz4hc", shuffle=-1, typesize=4)],
    "numcodecs.shuffle": [v3.Shuffle(), v3.LZ4()],
    "numcodecs.shuffle, blosc": [v3.Shuffle(elementsize=2), v3.Blosc(typesize=2)],
    "numcodecs.crc32": [v3.CRC32()],
    "numcodecs.crc32, end": [v3.CRC32(location="end")],
    "numcodecs.crc32c": [v3.CRC32C(location="start")],
    "numcodecs.adler32": [v3.Adler32()],
    "two checksums": [v3.Adler32(location="end"), v3.Zlib(level=9), v3.CRC32()],
    "numcodecs.bz2": [v3.BZ2(level=3)],
    "numcodecs.lzma": [v3.LZMA(preset=1)],
    "numcodecs.fletcher32": [v3.Fletcher32()],
    "numcodecs.jenkins": [v3.JenkinsLookup3(), v3.Shuffle(elementsize=4), v3.BZ2()],
}


@pytest.mark.parametrize("name", V3)
def test_bytes_of_zarr_3_are_those_of_zarr_python(name: str) -> None:
    assert_encoded(create(compressors=V3[name] or None), DATA)


@pytest.mark.parametrize("level", [0, 1, 9])
def test_gzip_is_stored_without_a_time(level: int) -> None:
    """zarr-python's bytes differ each second."""
    for codec, zarr_format in (
        (GzipCodec(level=level), 3), (v3.GZip(level=level), 3), (numcodecs.GZip(level), 2),
    ):  # fmt: skip
        z = create(compressors=[codec], zarr_format=zarr_format)
        found = assert_encoded(z, DATA, same_bytes=False)
        assert all(stream[:8] == b"\x1f\x8b\x08\x00\0\0\0\0" for stream in found if stream)
        assert encode(z, [DATA[:6, :8]])[0] == found[0]


V2_COMPRESSORS = {
    "none": None,
    "zstd": numcodecs.Zstd(3),
    "zstd, fast": numcodecs.Zstd(-5, checksum=True),
    "zlib": numcodecs.Zlib(6),
    "lz4": numcodecs.LZ4(2),
    "blosc": numcodecs.Blosc(),
    "blosc, bits": numcodecs.Blosc("zstd", 9, 2, 128),
    "blosc, auto": numcodecs.Blosc("lz4hc", 3, -1),
    "blosc, typesize": numcodecs.Blosc("lz4", 5, 1, 0, typesize=3),
    "crc32": numcodecs.CRC32(),
    "bz2": numcodecs.BZ2(2),
}
V2_FILTERS = {
    "none": [],
    "delta": [numcodecs.Delta("<i4")],
    "delta, wider": [numcodecs.Delta("<i4", "<i8")],
    "shuffle": [numcodecs.Shuffle(4)],
    "shuffle of bytes": [numcodecs.Shuffle(1)],
    "checksums": [numcodecs.CRC32(), numcodecs.Adler32("end"), numcodecs.Fletcher32()],
    "astype": [numcodecs.AsType("<i2", "<i4"), numcodecs.Delta("<i2")],
}


@pytest.mark.parametrize("filters", V2_FILTERS)
@pytest.mark.parametrize("compressor", V2_COMPRESSORS)
def test_bytes_of_zarr_2_are_those_of_zarr_python(compressor: str, filters: str) -> None:
    """Blosc is told the size of what the filter before it gives."""
    for order in ("C", "F"):
        z = create(
            compressors=V2_COMPRESSORS[compressor], filters=V2_FILTERS[filters] or None,
            order=order, zarr_format=2,
        )  # fmt: skip
        assert_encoded(z, DATA)


DTYPES = ["u1", "|b1", "<i2", ">i4", "<f2", ">f8", "<c8", ">c16", "<M8[s]", ">m8[ms]", "S3", "<U2"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_dtype_of_zarr_2_is_stored_as_it_lies_in_memory(dtype: str, order: Any) -> None:
    data = smooth((12, 24), "i8").astype(dtype)
    codecs = [None, numcodecs.Zlib(1), numcodecs.BZ2(1)]
    if np.dtype(dtype).kind not in "SU":  # whose items c-blosc takes, and numcodecs can't export
        codecs.append(numcodecs.Blosc(shuffle=2))
    for codec in codecs:
        assert_encoded(create(data, compressors=codec, order=order, zarr_format=2), data)


@pytest.mark.parametrize("dtype", ["bool", "<i2", "<f8", "<c8", "<M8[s]", "S3", "<U2"])
@pytest.mark.parametrize("endian", ["little", "big"])
def test_every_dtype_of_zarr_3_is_stored_in_the_order_of_its_codec(dtype: str, endian: Any) -> None:
    data = smooth((12, 24), "i8").astype(dtype)
    z = create(data, serializer=BytesCodec(endian=endian), compressors=[BloscCodec()])
    assert_encoded(z, data)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_records_are_stored(zarr_format: Any) -> None:
    data = np.zeros((12, 24), [("a", "<i2"), ("b", "<f8"), ("c", "S3")])
    data["a"], data["b"], data["c"] = smooth((12, 24), "i2"), smooth((12, 24), "f8"), b"xyz"
    codecs: list[Any] = [numcodecs.Zlib(1), None] if zarr_format == 2 else [[ZstdCodec()], None]
    for codec in codecs:
        assert_encoded(create(data, compressors=codec, zarr_format=zarr_format), data)


def test_scalars_and_empty_strings_of_bytes_are_stored() -> None:
    data = np.array(7.5)
    for zarr_format, codecs in itertools.product((2, 3), (None, "auto")):
        assert_encoded(create(data, (), zarr_format=zarr_format, compressors=codecs), data)


@pytest.mark.parametrize("size", [1, 100, 16_384, 16_385, 100_000])
def test_zstd_is_numcodecs(size: int) -> None:
    """At any level and size, and with a checksum."""
    for seed, level in itertools.product(range(2), (-3, 0, 1, 3, 6, 12, 22)):
        data = smooth(2 * size, "u1", seed=seed)
        z = create(data, (size,), compressors=[ZstdCodec(level=level, checksum=seed == 1)])
        assert_encoded(z, data)


@pytest.mark.parametrize("codec", [Zstd, Gzip, Zlib, Lz4, Blosc])
def test_what_a_configuration_lacks_is_what_numcodecs_takes(codec: type[Compressor]) -> None:
    theirs = numcodecs.get_codec({"id": codec.name})
    (config,) = v2_configs(None, theirs)
    given = theirs.get_config()
    assert {**codec.defaults, "id": codec.name} == {**codec.defaults, **given}
    assert set(given) - {"id"} == set(codec.defaults) - {"typesize"}
    assert type(own_codec(config)) is codec
    assert own_codec(config).supports_encoding(CPU) is None


# Codecs of theirs ---------------------------------------------------------------------------------

FLOATS = np.round(smooth((12, 24), "<f8"), 2)
ARRAY_CODECS = {
    "delta": [v3.Delta(dtype="<i4")],
    "delta, wider": [v3.Delta(dtype="<i4", astype="<i8")],
    "delta, big-endian": [v3.Delta(dtype="<i4", astype=">i4")],
    "transpose, delta": [TransposeCodec(order=(1, 0)), v3.Delta(dtype="<i4")],
    "astype": [v3.AsType(encode_dtype="<i2", decode_dtype="<i4")],
    "astype, transpose": [
        v3.AsType(encode_dtype="<i2", decode_dtype="<i4"), TransposeCodec(order=(1, 0)),
    ],
    "cast_value": [CastValue(data_type="int16", rounding="nearest-even")],
    "scale_offset": [ScaleOffset(offset=3, scale=2)],
    "both": [ScaleOffset(offset=3, scale=1), CastValue(data_type="int16")],
    "all": [
        TransposeCodec(order=(1, 0)), ScaleOffset(offset=3, scale=1),
        TransposeCodec(order=(1, 0)), CastValue(data_type="int16"), TransposeCodec(order=(1, 0)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("endian", ["little", "big"])
@pytest.mark.parametrize("name", ARRAY_CODECS)
def test_codecs_of_arrays_are_run_as_zarr_python_runs_them(name: str, endian: Any) -> None:
    if any(isinstance(codec, CastValue) for codec in ARRAY_CODECS[name]):
        pytest.importorskip("cast_value_rs")
    for compressors in (None, [BloscCodec()]):
        z = create(
            filters=ARRAY_CODECS[name], serializer=BytesCodec(endian=endian),
            compressors=compressors,
        )  # fmt: skip
        assert_encoded(z, DATA)


@pytest.mark.parametrize(
    "codec",
    [
        v3.BitRound(keepbits=5), v3.BitRound(keepbits=52), v3.Quantize(digits=1, dtype="<f8"),
        v3.FixedScaleOffset(offset=1, scale=100, dtype="<f8", astype="<i4"),
    ],
)  # fmt: skip
def test_codecs_of_floats_are_run_as_zarr_python_runs_them(codec: Any) -> None:
    assert_encoded(create(FLOATS, filters=[codec]), FLOATS)


def test_packbits_is_another_shape() -> None:
    data = DATA % 3 == 0
    assert_encoded(create(data, filters=[v3.PackBits()]), data)
    assert_encoded(create(data, filters=[numcodecs.PackBits()], zarr_format=2), data)


def test_one_axis_is_not_transposed() -> None:
    """zarr-python refuses a delta behind which the axes are exchanged; so do we, in words."""
    z = create(filters=[v3.Delta(dtype="<i4"), TransposeCodec(order=(1, 0))])
    with pytest.raises(ValueError, match="axes don't match"):
        z[...] = DATA
    with pytest.raises(StageError) as caught:
        encode(z, [DATA[:6, :8]])
    assert caught.value.stage == "numcodecs.delta"
    assert "shape (6, 8), found int32 of shape (48,)" in str(caught.value.error)


def test_a_codec_that_changes_its_width_unannounced_is_refused() -> None:
    """zarr-python stores what nobody can read."""
    z = create(FLOATS, filters=[v3.Quantize(digits=1, dtype="<f8", astype="<f4")])
    with pytest.raises(StageError) as caught:
        encode(z, [FLOATS[:6, :8]])
    assert "expected to encode to float64" in str(caught.value.error)


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_transposed_chunks_are_stored_as_they_lie_in_memory(order: tuple[int, ...]) -> None:
    data = smooth((4, 6, 10), "<i2")
    for filters in ([], [TransposeCodec(order=(1, 2, 0))]):
        z = create(data, (2, 3, 5), filters=[TransposeCodec(order=order), *filters])
        assert_encoded(z, data)


SERIALIZERS = {"pcodec": v3.PCodec(level=3), "zfpy": v3.ZFPY(mode=4, tolerance=0.01)}


@pytest.mark.parametrize("name", SERIALIZERS)
def test_serializers_are_run_as_zarr_python_runs_them(name: str) -> None:
    for filters in (None, [TransposeCodec(order=(1, 0))]):
        z = create(FLOATS, filters=filters, serializer=SERIALIZERS[name], compressors=[v3.Zlib()])
        assert_encoded(z, FLOATS)


@pytest.mark.parametrize("codec", [numcodecs.ZFPY(tolerance=0.01), numcodecs.PCodec()])
def test_compressors_of_arrays_are_given_the_chunk(codec: Any) -> None:
    assert_encoded(create(FLOATS, compressors=codec, zarr_format=2), FLOATS)


FILTERS_OF_FLOATS = [
    numcodecs.FixedScaleOffset(1, 100, "<f8", "<i4"),
    numcodecs.Quantize(1, "<f8", "<f4"),
    numcodecs.BitRound(6),
    numcodecs.AsType("<f4", "<f8"),
]


@pytest.mark.parametrize("codec", FILTERS_OF_FLOATS)
@pytest.mark.parametrize("order", ["C", "F"])
def test_filters_of_floats_are_run_as_zarr_python_runs_them(codec: Any, order: Any) -> None:
    for compressor in (numcodecs.Blosc(shuffle=-1), numcodecs.Zlib(), None):
        z = create(FLOATS, filters=[codec], compressors=compressor, order=order, zarr_format=2)
        if order == "C" or codec.codec_id != "bitround":
            assert_encoded(z, FLOATS)


def test_chunks_in_f_order_stay_in_it_where_bits_are_rounded() -> None:
    """numcodecs lays them out in C order, and so zarr-python reads others than were written."""
    z = create(FLOATS, filters=[numcodecs.BitRound(6)], order="F", zarr_format=2)
    expected = numcodecs.BitRound(6).encode(FLOATS).view("<f8")
    z[...] = FLOATS
    assert (z[...] != expected).any()
    store = z.store._store_dict  # type: ignore[attr-defined]
    parts = parts_of(z, FLOATS)
    for key, ours in zip(parts, encode(z, list(parts.values())), strict=True):
        store[key] = type(store[key]).from_bytes(ours)
    assert_same(z[...], expected)


def test_labels_are_categorized() -> None:
    data = np.array(["a", "bc", "", "a"] * 4, "<U2").reshape(4, 4)
    codec = numcodecs.Categorize(["a", "bc"], "<U2", "u1")
    z = create(data, (2, 2), filters=[codec], compressors=numcodecs.Blosc(), zarr_format=2)
    assert_encoded(z, data)


TEXTS = np.array(["", "é", "日本", "x" * 300] * 4, object).reshape(4, 4)


@pytest.mark.parametrize("order", ["C", "F"])
def test_texts_are_stored(order: Any) -> None:
    for zarr_format, codec in itertools.product((2, 3), (None, "auto")):
        more = {"order": order} if zarr_format == 2 else {}
        z = create(
            TEXTS, (2, 2), dtype=str, zarr_format=zarr_format, compressors=codec, filters="auto",
            **more,
        )  # fmt: skip
        assert chain_for(z).layout.on_host_only
        assert_encoded(z, TEXTS.astype(np.dtypes.StringDType()))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_variable_bytes_are_stored(zarr_format: Any) -> None:
    data = np.array([b"a", b"", b"\0xyz", b"q"] * 4, object).reshape(4, 4)
    for codec in (None, "auto"):
        z = create(
            data, (2, 2), dtype=VariableLengthBytes(), filters="auto", compressors=codec,
            zarr_format=zarr_format,
        )  # fmt: skip
        assert chain_for(z).layout.dtype == object
        assert_encoded(z, data)


def test_pickled_chunks_are_stored() -> None:
    with (
        zarr.config.set({"array.allow_unsafe_pickle_decode": True}),
        patch.object(numcodecs.pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True),
    ):
        assert_encoded(create(compressors=numcodecs.Pickle(), zarr_format=2), DATA)


@pytest.mark.parametrize("codec", [None, numcodecs.Zlib(), numcodecs.CRC32(), numcodecs.BZ2()])
def test_objects_need_a_codec_of_objects(codec: Any) -> None:
    bare = chain_of(ChunkFormat(np.dtype(object), (2,), "C", v2_configs(None, codec), ()))
    batch = Batch.uniform(np.array(["a", "b"], object), 1, 2)
    with pytest.raises(StageError) as caught:
        bare.encode(batch, CPU, {})
    assert caught.value.stage == (codec.codec_id if codec else "bytes")
    assert "object" in caught.value.error.reason
    config = ArrayConfig("C", write_empty_chunks=True)
    spec = ArraySpec((2,), VariableLengthBytes(), b"", config, default_buffer_prototype())
    theirs = V2Codec(filters=None, compressor=codec)
    with pytest.raises(RuntimeError, match="without object codec"):
        theirs._encode_sync(NDBuffer.from_numpy_array(batch.arena), spec)


# Shards and other codecs that stand for themselves ------------------------------------------------


def shards(*before: Any) -> zarr.Array:
    """A sharding codec behind other codecs, which stays a stage of the chain."""
    return zarr.create(
        store=zarr.storage.MemoryStore(), shape=DATA.shape, chunks=CHUNK, dtype="i4",
        codecs=[*before, ShardingCodec(chunk_shape=(2, 2), codecs=[BytesCodec(), ZstdCodec()])],
    )  # fmt: skip


def test_whole_shards_are_stored_as_zarr_python_stores_them() -> None:
    z = shards(TransposeCodec(order=(1, 0)))
    chain = chain_for(z)
    assert (chain.shards_elsewhere, chain.foreign) == (False, ())
    assert_encoded(z, DATA)


def test_a_shard_of_nothing_but_the_fill_value_is_missing() -> None:
    data = DATA.copy()
    data[:6, 8:16] = 0
    found = assert_encoded(shards(TransposeCodec(order=(1, 0))), data)
    assert [stream is None for stream in found] == [False, True, False, False, False, False]


class Awaited(BytesBytesCodec):
    """A codec that can only be awaited, and has nothing to store for what begins with a zero."""

    is_fixed_size = True

    @classmethod
    def from_dict(cls, data: Any) -> Awaited:
        return cls()

    def to_dict(self) -> Any:
        return {"name": "awaited-encoder", "configuration": {}}

    async def _encode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        data = chunk_bytes.to_bytes()
        if not data:
            raise LookupError("no bytes at all")
        if data[0] == 1:
            raise LookupError("a one")
        return None if data[0] == 0 else chunk_spec.prototype.buffer.from_bytes(data[::-1])

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        return input_byte_length


def awaited_chain(*behind: Any) -> Chain:
    z = create(np.zeros(4, "u1"), (4,), compressors=[Awaited(), *behind])
    return chain_for(z)


def test_what_has_nothing_to_store_is_not_given_to_later_stages() -> None:
    """Awaited raises an error for what is empty; a checksum would make it 4 bytes."""
    chain = awaited_chain(Crc32cCodec(), Awaited(), v3.Adler32(location="end"))
    data = np.array([[9, 8, 7, 6], [0, 2, 3, 4], [5, 0, 0, 7], [0, 0, 0, 0]], np.uint8)
    found = chain.encode(Batch.uniform(data.reshape(-1), 4, 4), CPU, {})
    assert (found.sizes == MISSING).tolist() == [False, True, False, True]
    for slot in (0, 2):
        stored = found.arena[found.offsets[slot] : found.offsets[slot] + found.sizes[slot]]
        backwards = numcodecs.Adler32("end").decode(stored.tobytes()).tobytes()[::-1]
        assert numcodecs.CRC32C("end").decode(backwards).tobytes()[::-1] == data[slot].tobytes()
    again = chain.encode(found.take(np.array([1, 3])), CPU, {})
    assert (again.sizes == MISSING).all()
    assert len(chain.encode(found.take(np.array([], np.int64)), CPU, {})) == 0


def test_an_error_names_the_chunk_and_keeps_its_cause() -> None:
    """Also behind a stage that left chunks out."""
    chain = awaited_chain(Awaited())
    data = np.array([[0, 2, 3, 4], [9, 9, 9, 9], [5, 0, 0, 1]], np.uint8)
    with pytest.raises(StageError) as caught:
        chain.encode(Batch.uniform(data.reshape(-1), 3, 4), CPU, {})
    error = caught.value.error
    assert (caught.value.stage, error.slot) == ("awaited-encoder", 2)
    assert error.reason == "expected what awaited-encoder encodes, found: a one"
    assert isinstance(error.__cause__, LookupError)


def test_a_value_that_a_codec_refuses_is_an_error_of_its_chunk() -> None:
    data = np.array([[b"a", b"b"], [b"c", 5]], object)
    z = create(data, (1, 2), dtype=VariableLengthBytes(), serializer="auto")
    with pytest.raises(StageError) as caught:
        encode(z, [data[:1], data[1:]])
    assert (caught.value.stage, caught.value.error.slot) == ("vlen-bytes", 1)
    assert isinstance(caught.value.error.__cause__, TypeError)
    with pytest.raises(TypeError, match=str(caught.value.error.__cause__)):
        z[...] = data


def test_an_unknown_option_is_an_error_of_the_first_chunk() -> None:
    z = create(compressors=numcodecs.Blosc("snappy"), zarr_format=2)
    with pytest.raises(StageError) as caught:
        encode(z, [DATA[:6, :8]])
    assert caught.value.stage == "blosc"
    assert "compressor not supported" in caught.value.error.reason
    with pytest.raises(ValueError, match="compressor not supported"):
        z[...] = DATA


def test_shuffle_takes_whole_elements_only() -> None:
    z = create(np.zeros(7, "u1"), (7,), filters=[numcodecs.Shuffle(4)], zarr_format=2)
    with pytest.raises(StageError) as caught:
        encode(z, [np.zeros(7, "u1")])
    assert caught.value.error.reason == "expected bytes in elements of 4, found 7 bytes"
    with pytest.raises(ValueError, match="multiple of elementsize"):
        z[...] = 1


def test_a_codec_says_where_it_is_not_encoded() -> None:
    class Other(type(CPU)):  # type: ignore[misc]
        name, is_host = "other", False
        compressors = frozenset({"zstd"})
        checksums = frozenset()

    found = {}
    for codec in (numcodecs.Zstd(), numcodecs.Zlib(), numcodecs.CRC32(), numcodecs.Shuffle(4)):
        (config,) = v2_configs(None, codec)
        found[config.name] = own_codec(config).supports_encoding(Other())
    assert (found["zstd"], found["shuffle"]) == (None, None)
    assert found["zlib"] == "the device 'other' has no encoder for it"
    assert found["crc32"] == "the device 'other' does not compute it"
    z = create(FLOATS, filters=[v3.BitRound(keepbits=5)])
    rounded = chain_for(z).stages[0].codec
    assert rounded.supports_encoding(CPU) is None
    assert rounded.supports_encoding(Other()) == "no device encoder"
