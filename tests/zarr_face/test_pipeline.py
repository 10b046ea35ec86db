"""The pipeline as an object: what zarr-python asks of one, beside reading and writing."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import numpy as np
import pytest
import zarr
from harness import assert_same
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import (
    BytesCodec,
    Crc32cCodec,
    GzipCodec,
    ShardingCodec,
    TransposeCodec,
    VLenUTF8Codec,
    ZstdCodec,
)
from zarr.core.array_spec import ArrayConfig, ArraySpec
from zarr.core.buffer import cpu, default_buffer_prototype
from zarr.core.codec_pipeline import BatchedCodecPipeline
from zarr.dtype import parse_dtype
from zarr.registry import register_codec
from zarr.storage import MemoryStore

import gpuzarr
from gpuzarr import pipeline
from gpuzarr.zarr_pipeline import GpuzarrCodecPipeline

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")

ZERO = np.float32(0)
VALUES = np.arange(60, dtype="f4").reshape(10, 6)
CODECS: dict[str, list[Any]] = {
    "zstd": [BytesCodec(), ZstdCodec(level=1)],
    "raw": [BytesCodec(endian="big")],
    "transposed": [TransposeCodec(order=(1, 0)), BytesCodec(), GzipCodec(), Crc32cCodec()],
    "sharded": [ShardingCodec(chunk_shape=(2, 3), codecs=[BytesCodec(), ZstdCodec()])],
    "shards in shards": [
        ShardingCodec(
            chunk_shape=(4, 3),
            codecs=[ShardingCodec(chunk_shape=(2, 1), codecs=[BytesCodec(), GzipCodec()])],
        )
    ],
    "shards beside": [
        TransposeCodec(order=(1, 0)),
        ShardingCodec(chunk_shape=(3, 2), codecs=[BytesCodec()]),
        Crc32cCodec(),
    ],
}


def opened(store: Any, **arguments: Any) -> zarr.Array:
    """An array of the store, under gpuzarr from here on."""
    with gpuzarr.enable():
        return zarr.open_array(store, **arguments)


def pipeline_of(array: zarr.Array) -> Any:
    """The pipeline that an array carries."""
    return array.async_array.codec_pipeline


def spec_of(dtype: str, fill: Any = ZERO, **config: Any) -> ArraySpec:
    """A chunk of eight by six."""
    zdtype = parse_dtype(np.dtype(dtype), zarr_format=3)
    settings = ArrayConfig.from_dict({"order": "C", **config})
    return ArraySpec((8, 6), zdtype, fill, settings, default_buffer_prototype())


def pair(codecs: list[Any], spec: ArraySpec) -> list[Any]:
    """Gpuzarr's pipeline and zarr's default one."""
    kinds = (GpuzarrCodecPipeline, BatchedCodecPipeline)
    return [kind.from_codecs(codecs).evolve_from_array_spec(spec) for kind in kinds]


# An object like zarr's own ------------------------------------------------------------------------


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.filterwarnings("ignore:Combining a `sharding_indexed`")
def test_codecs_sizes_and_order_are_those_of_zarrs_pipeline(name: str) -> None:
    spec = spec_of("<f4")
    ours, theirs = pair(CODECS[name], spec)
    assert list(ours) == list(theirs)

    def size(pipeline: Any) -> Any:
        try:
            return pipeline.compute_encoded_size(192, spec)
        except NotImplementedError:
            return NotImplementedError

    assert size(ours) == size(theirs)
    assert ours.evolve_from_array_spec(spec) == ours


def test_the_order_of_codecs_is_checked_as_zarr_does() -> None:
    codecs = [ZstdCodec(), BytesCodec()]
    for kind in (GpuzarrCodecPipeline, BatchedCodecPipeline):
        with pytest.raises((TypeError, ValueError), match="codec"):
            kind.from_codecs(codecs)
        with pytest.raises(ValueError, match="ArrayBytesCodec"):
            kind.from_codecs([ZstdCodec()])


def test_codecs_are_validated_as_zarr_does() -> None:
    spec, grid = spec_of("<f4"), zarr.create_array({}, **_like((8, 6))).metadata.chunk_grid
    arguments: Any = {"shape": (8, 6), "dtype": spec.dtype, "chunk_grid": grid}
    for pipeline_ in pair(CODECS["sharded"], spec):
        pipeline_.validate(**arguments)
    for pipeline_ in pair([TransposeCodec(order=(1, 0)), BytesCodec()], spec):
        with pytest.raises(ValueError, match="order"):
            pipeline_.validate(**{**arguments, "shape": (8, 6, 2)})


def _like(shape: tuple[int, ...], **arguments: Any) -> dict[str, Any]:
    return {"shape": shape, "chunks": shape, "dtype": "f4", **arguments}


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.filterwarnings("ignore:Combining a `sharding_indexed`")
async def test_chunks_are_encoded_and_decoded_as_zarr_does(name: str) -> None:
    """Each pipeline decodes what the other encoded; no chunk, or an empty one, is None."""
    spec = spec_of("<f4")
    ours, theirs = pair(CODECS[name], spec)
    arrays = [np.arange(48, dtype="f4").reshape(8, 6), None, np.full((8, 6), -0.0, "f4")]
    given = [a if a is None else cpu.NDBuffer.from_numpy_array(a) for a in arrays]
    both = [list(await p.encode([(a, spec) for a in given])) for p in (ours, theirs)]
    assert [b is None for b in both[0]] == [b is None for b in both[1]] == [False, True, False]
    for encoded in both:
        for decoder in (ours, theirs):
            found = list(await decoder.decode([(data, spec) for data in encoded]))
            for chunk, array in zip(found, arrays, strict=True):
                assert (chunk is None) == (array is None)
                if chunk is not None:
                    assert_same(chunk.as_numpy_array(), array)


@pytest.mark.parametrize("empty", [True, False])
async def test_empty_shards_are_encoded_as_zarr_does(empty: bool) -> None:
    spec = spec_of("<f4", fill=np.float32(7), write_empty_chunks=empty)
    chunk = cpu.NDBuffer.from_numpy_array(np.full((8, 6), 7, "f4"))
    ours, theirs = pair(CODECS["sharded"], spec)
    (found,), (expected,) = [list(await p.encode([(chunk, spec)])) for p in (ours, theirs)]
    assert (found is None) == (expected is None)


async def test_strings_are_encoded_and_decoded_as_zarr_does() -> None:
    zdtype = parse_dtype(np.dtypes.StringDType(), zarr_format=3)
    spec = ArraySpec((3,), zdtype, "", ArrayConfig.from_dict({}), default_buffer_prototype())
    ours, theirs = pair([VLenUTF8Codec(), ZstdCodec()], spec)
    texts = np.array(["a", "", "日本"], np.dtypes.StringDType())
    for encoder, decoder in ((ours, theirs), (theirs, ours)):
        encoded = await encoder.encode([(cpu.NDBuffer.from_numpy_array(texts), spec)])
        (found,) = await decoder.decode([(data, spec) for data in encoded])
        assert found.as_numpy_array().tolist() == texts.tolist()


def test_pipelines_of_equal_codecs_are_equal() -> None:
    store = MemoryStore()
    zarr.create_array(store, data=VALUES, chunks=(4, 3))
    one, other = (pipeline_of(opened(store)) for _ in range(2))
    assert isinstance(one, GpuzarrCodecPipeline)
    opened(store)[...]
    assert one == other
    assert pickle.loads(pickle.dumps(one)) == one
    different = zarr.create_array({}, data=VALUES, chunks=(4, 3), compressors=GzipCodec())
    assert one != pipeline_of(opened(different.store))
    assert one != pair(CODECS["zstd"], spec_of("<f4"))[1]


def test_a_changed_shape_keeps_the_pipeline_and_works() -> None:
    for more in ({}, {"shards": (4, 6)}):
        theirs = zarr.create_array({}, data=VALUES, chunks=(4, 3), **more)
        ours = opened(dict(theirs.store._store_dict), mode="r+")
        carried = pipeline_of(ours)
        assert_same(ours[...], theirs[...])
        for change in (
            lambda a: a.resize((7, 11)),
            lambda a: a.append(VALUES[:, :3], axis=1) if a.shape[0] == 10 else a.resize((10, 5)),
            lambda a: a.append(VALUES[:, :3], axis=1),
            lambda a: a.append(np.ones((3, a.shape[1]), "f4")),
        ):
            change(ours), change(theirs)
            assert pipeline_of(ours) is carried
            assert ours.shape == theirs.shape
            assert_same(ours[...], theirs[...])
            assert_same(zarr.open_array(ours.store)[...], theirs[...])


# Whose codecs -------------------------------------------------------------------------------------


class Inverting(GzipCodec):
    """A codec of the user's own under a name that gpuzarr knows."""

    def _encode_sync(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        return _inverted(super()._encode_sync(chunk_bytes, chunk_spec))

    def _decode_sync(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        return super()._decode_sync(_inverted(chunk_bytes), chunk_spec)


def _inverted(data: Any) -> Any:
    return cpu.Buffer.from_bytes(bytes(byte ^ 0xFF for byte in data.to_bytes()))


@pytest.mark.parametrize("sharded", [False, True])
def test_a_codec_that_the_user_put_in_place_of_zarrs_stays_in_charge(sharded: bool) -> None:
    register_codec("gzip", Inverting)
    override = {"codecs.gzip": f"{__name__}.Inverting"}
    more: dict[str, Any] = {"chunks": (4, 3), "shards": (8, 6) if sharded else None}
    with zarr.config.set(override), gpuzarr.enable():
        ours = zarr.create_array({}, shape=(10, 6), dtype="f4", compressors=Inverting(), **more)
        before = pipeline.counts()["foreign"].get("gzip", 0)
        ours[...] = VALUES
        ours = zarr.open_array(ours.store)
        assert_same(ours[...], VALUES)
    assert pipeline.counts()["foreign"]["gzip"] > before
    with zarr.config.set(override):
        assert_same(zarr.open_array(ours.store)[...], VALUES)
    with zarr.config.set({"codecs.gzip": "zarr.codecs.gzip.GzipCodec"}), pytest.raises(OSError):  # noqa: PT011
        zarr.open_array(ours.store)[...]


class Counted(BytesBytesCodec):
    """Async only, as a codec may be."""

    is_fixed_size = True
    calls = 0

    def to_dict(self) -> dict[str, Any]:
        return {"name": "counted", "configuration": {}}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Counted:
        return cls()

    async def _encode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        Counted.calls += 1
        await asyncio.sleep(0)
        return chunk_bytes

    _decode_single = _encode_single

    def compute_encoded_size(self, size: int, spec: Any) -> int:
        return size


def test_a_codec_that_nobody_knows_is_asked_for_every_chunk() -> None:
    register_codec("counted", Counted)
    with gpuzarr.enable():
        array = zarr.create_array(
            {}, shape=(10, 6), chunks=(4, 3), dtype="f4", compressors=Counted()
        )
        before = Counted.calls
        array[...] = VALUES
        assert Counted.calls == before + 6
        assert_same(array[...], VALUES)
        assert Counted.calls == before + 12


# Missing chunks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [None, (4, 6)])
@pytest.mark.parametrize("key", [np.s_[...], np.s_[3:5, ::2], np.s_[9, 5], np.s_[5:7], np.s_[1, 1]])
def test_missing_chunks_are_refused_as_zarr_does(shards: Any, key: Any) -> None:
    theirs = zarr.create_array({}, shape=(10, 6), chunks=(2, 3), shards=shards, dtype="f4")
    theirs[:2], theirs[5:, :3] = 1, 2
    results: list[Any] = []
    for context in (gpuzarr.enable(), zarr.config.set({})):
        with context:
            array = zarr.open_array(theirs.store, config={"read_missing_chunks": False})
        try:
            results.append(array[key])
        except Exception as error:
            results.append((type(error), str(error)))
    ours, expected = results
    if isinstance(expected, tuple):
        assert ours == expected
    else:
        assert_same(np.asarray(ours), np.asarray(expected))
