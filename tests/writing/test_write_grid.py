"""What gpuzarr stores is what zarr-python stores: the same keys, the same bytes.

Every codec, in whole and partial writes, in chunks and in every kind of shard.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numcodecs
import numpy as np
import pytest
import strategies as some
import zarr
from writing.twins import Twins
from zarr.codecs import (
    BytesCodec,
    CastValue,
    Crc32cCodec,
    GzipCodec,
    ShardingCodec,
    TransposeCodec,
    ZstdCodec,
)
from zarr.codecs import numcodecs as v3
from zarr.dtype import VariableLengthBytes

from gpuzarr.codecs import CODECS
from gpuzarr.zarr_packbits import PackBits

pytestmark = [
    pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning"),
    pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning"),
    # zarr-python as well, while it compares chunks with the fill value
    pytest.mark.filterwarnings("ignore:invalid value encountered in equal:RuntimeWarning"),
]

SHAPE, CHUNK = (11, 14), (4, 5)
NUMBERS = ["<i4", "<f8", "|u1", ">i2", "|b1", "<c8", ">f4", "<u8", "<f2", "|i1"]
OPERATIONS: list[Any] = [
    (slice(5, 7), slice(2, 11)),
    ...,
    (slice(1, 10, 3), slice(13, 2, -2)),
    (10, slice(13, None)),
    (slice(4, 11), slice(5, 14)),
]


def written_alike(dtype: Any, *, tame: bool = True, **arguments: Any) -> None:
    """Written whole, then partly, in ways that cut chunks and that do not."""
    twins = Twins(SHAPE, dtype=dtype, **arguments)
    dtype = twins.mirror.dtype

    for seed, key in enumerate(OPERATIONS):
        shape = np.empty(SHAPE, bool)[key].shape
        is_tame = tame and dtype.kind in "iufcb"
        twins.write(key, some.values(dtype, shape, seed, tame=is_tame)[()])
    twins.check()


def is_gzip(*codecs: Any) -> bool:
    """Streams that hold the time, and that more than one library makes."""
    return any(isinstance(c, GzipCodec | numcodecs.GZip | v3.GZip) for c in codecs)


def shorter(codec: Any) -> str:
    return getattr(codec, "codec_name", None) or type(codec).__name__


# v3 -----------------------------------------------------------------------------------------------

BYTES_CODECS = [[], *([c] for c in some.v3_compressors(4)), [v3.Shuffle(elementsize=4), v3.LZ4()]]
CRC, LITTLE = Crc32cCodec(), BytesCodec()


def shardings(inner: list[Any]) -> Iterator[tuple[tuple[int, int], ShardingCodec]]:
    """Shapes of shards, and their codecs."""
    for location, order in itertools.product(
        ("end", "start"), ("morton", "lexicographic", "colexicographic")
    ):
        yield (
            (8, 10),
            ShardingCodec(
                chunk_shape=CHUNK, codecs=inner, index_location=location,
                subchunk_write_order=order,
            ),
        )  # fmt: skip
    yield (12, 5), ShardingCodec(chunk_shape=CHUNK, codecs=inner, index_codecs=[LITTLE])
    big = [TransposeCodec(order=(1, 2, 0)), BytesCodec(endian="big"), CRC, CRC]
    yield (8, 15), ShardingCodec(chunk_shape=CHUNK, codecs=inner, index_codecs=big)
    within = ShardingCodec(chunk_shape=(4, 1), codecs=inner, index_location="start")
    yield (12, 20), ShardingCodec(chunk_shape=CHUNK, codecs=[within])
    within = ShardingCodec(
        chunk_shape=(2, 2), codecs=inner, index_codecs=[LITTLE],
        subchunk_write_order="colexicographic",
    )  # fmt: skip
    yield (4, 20), ShardingCodec(chunk_shape=(2, 10), codecs=[within], index_location="start")


@pytest.mark.parametrize("codecs", BYTES_CODECS, ids=lambda c: "+".join(map(shorter, c)) or "raw")
def test_v3_chunks_are_stored_alike(codecs: list[Any]) -> None:
    for dtype, transposed in (("<i4", False), (">f8", True)):
        written_alike(
            dtype, tame=False, chunks=CHUNK, compressors=codecs or None,
            filters=[TransposeCodec(order=(1, 0))] if transposed else None,
            serializer=BytesCodec(endian="big" if transposed else "little"),
            same_bytes=not is_gzip(*codecs),
        )  # fmt: skip


@pytest.mark.parametrize("codecs", BYTES_CODECS, ids=lambda c: "+".join(map(shorter, c)) or "raw")
def test_v3_shards_are_stored_alike(codecs: list[Any]) -> None:
    for (shards, codec), dtype in zip(shardings([LITTLE, *codecs]), NUMBERS, strict=True):
        written_alike(
            dtype, chunks=shards, serializer=codec, compressors=None,
            same_bytes=not is_gzip(*codecs),
        )  # fmt: skip


@pytest.mark.parametrize("dtype", ["<i4", "<f4", "|b1"])
def test_v3_codecs_of_arrays_store_alike(dtype: str) -> None:
    for codec in some.v3_filters(np.dtype(dtype)):
        if isinstance(codec, CastValue) and find_spec("cast_value_rs") is None:
            continue
        arguments = {"dtype": dtype, "filters": [codec]}
        for compressor in (v3.BZ2(level=1), v3.Blosc(), ZstdCodec()):
            written_alike(chunks=CHUNK, compressors=[compressor], **arguments)
        written_alike(chunks=CHUNK, shards=(8, 10), compressors=[CRC, v3.BZ2()], **arguments)


@pytest.mark.parametrize("dtype", some.PCODEC, ids=str)
def test_other_serializers_store_alike(dtype: np.dtype) -> None:
    pytest.importorskip("pcodec")
    written_alike(dtype, chunks=CHUNK, serializer=v3.PCodec(level=1), compressors=[CRC])
    inner = [v3.PCodec(level=1), ZstdCodec()]
    codec = ShardingCodec(chunk_shape=CHUNK, codecs=inner)
    written_alike(dtype, chunks=(8, 10), serializer=codec, compressors=None)


PACKED = [PackBits("first_byte"), PackBits(last_bit=30)]


@pytest.mark.parametrize(("codec", "dtype"), [(PACKED[0], "|b1"), (PACKED[1], "<i4")])
def test_packed_bits_store_alike(codec: Any, dtype: str) -> None:
    written_alike(dtype, chunks=CHUNK, serializer=codec, compressors=[CRC, ZstdCodec()])
    inner = ShardingCodec(chunk_shape=CHUNK, codecs=[codec, ZstdCodec()])
    written_alike(dtype, chunks=(8, 10), serializer=inner, compressors=None)


def test_shards_with_codecs_beside_them_are_stored_alike() -> None:
    codec = ShardingCodec(chunk_shape=(5, 4), codecs=[LITTLE, ZstdCodec()])
    before = [TransposeCodec(order=(1, 0))]
    for filters, compressors in ((before, None), (None, [CRC]), (before, [v3.LZ4()])):
        written_alike(
            "<i4", chunks=(20, 20), filters=filters, serializer=codec, compressors=compressors
        )


def test_unordered_shards_hold_what_was_written() -> None:
    codec = ShardingCodec(chunk_shape=CHUNK, subchunk_write_order="unordered")
    written_alike("<i4", chunks=(8, 10), serializer=codec, compressors=None, same_bytes=False)


def test_an_order_that_metadata_do_not_tell_is_forgotten_by_both() -> None:
    codec = ShardingCodec(chunk_shape=(2, 2), subchunk_write_order="colexicographic")
    twins = Twins((8, 8), dtype="i4", chunks=(8, 8), serializer=codec, compressors=None)
    twins.write(..., np.arange(1, 65).reshape(8, 8))
    (key,) = (key for key in twins.ours.store._store_dict if key != "zarr.json")
    before = twins.ours.store._store_dict[key].to_bytes()
    twins.reopen()
    twins.write((3, 3), 28)
    assert twins.ours.store._store_dict[key].to_bytes() != before


# dtypes -------------------------------------------------------------------------------------------

DTYPES = [np.dtype(d) for d in (*some.NUMBERS, *some.TIMES, *some.TEXTS, *some.VOIDS)]


@pytest.mark.parametrize("dtype", [*DTYPES, some.STRING, some.BYTES], ids=str)
def test_every_dtype_is_stored_alike(dtype: np.dtype) -> None:
    given: Any = VariableLengthBytes() if dtype == some.BYTES else dtype
    arguments = {"dtype": given, "chunks": CHUNK, "tame": False}
    written_alike(**arguments)
    written_alike(**arguments, shards=(8, 15))
    if dtype != some.DATES_INSIDE:
        written_alike(**arguments, zarr_format=2, order="F")
    else:
        written_alike(**arguments, zarr_format=2, compressors=None)


# v2 -----------------------------------------------------------------------------------------------

COMPRESSORS = pytest.mark.parametrize("compressor", some.V2_COMPRESSORS, ids=str)


@COMPRESSORS
def test_v2_chunks_are_stored_alike(compressor: Any) -> None:
    for order, dtype in (("C", "<i4"), ("F", ">f8"), ("F", "|u1")):
        written_alike(
            dtype, tame=False, zarr_format=2, chunks=CHUNK, order=order, compressors=compressor,
            same_bytes=not is_gzip(compressor),
        )  # fmt: skip


@pytest.mark.parametrize("dtype", ["<i4", ">f4", "|b1", "<U3"])
def test_v2_filters_store_alike(dtype: str) -> None:
    for number, filters in enumerate(some.v2_filters(np.dtype(dtype))):
        if any(isinstance(f, numcodecs.Categorize) for f in filters):
            continue  # reads back only its own labels
        written_alike(
            dtype, zarr_format=2, chunks=CHUNK, order="CF"[number % 2], filters=filters,
            compressors=some.V2_COMPRESSORS[number % 3], fill_value=0 if dtype != "<U3" else "",
        )  # fmt: skip


NOT_BY_THE_CPU = ("gpuzarr.native_codecs.", "gpuzarr.hdf5_szip.")
"""Modules of codecs that have no encoder there, or one of a package that few install."""


def test_every_codec_of_ours_is_in_this_grid() -> None:
    used = list(itertools.chain(*BYTES_CODECS, some.V2_COMPRESSORS))
    for dtype in map(np.dtype, ("<i4", "<f4", "|b1")):
        used += [*itertools.chain(*some.v2_filters(dtype)), *some.v3_filters(dtype)]
    used += PACKED
    classes = {f"{type(c).__module__}.{type(c).__name__}" for c in used}
    known = {name for name in CODECS if not name.startswith(NOT_BY_THE_CPU)}
    assert known - classes == set()
    assert zarr.config.get("codec_pipeline.path").startswith("zarr.")
