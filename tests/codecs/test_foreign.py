"""Codecs that are run through numcodecs' own objects: literal bytes, and what numcodecs writes."""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from harness import assert_codec, assert_read, smooth
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import GzipCodec
from zarr.core.buffer import Buffer
from zarr.registry import register_codec

import gpuzarr

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")

THEIRS = "by the codec object of numcodecs"
TEXTS = [np.array([["", "é"], ["日本", "x" * 300]], object), np.array([""], object)]


def check(folder: Path, codec: Any, literal: str, values: Any, **arguments: Any) -> None:
    arguments = {"as_filter": True, "reader": THEIRS, **arguments}
    assert_codec(folder, codec, bytes.fromhex(literal), values, **arguments)


def test_categorize_is_numbers_of_labels_and_0_for_none(tmp_path: Path) -> None:
    codec = numcodecs.Categorize(["a", "bc"], "<U2")
    check(tmp_path, codec, "02 01 00", np.array(["bc", "a", ""]), arrays=[np.array([["a", "bc"]])])


def test_vlen_utf8_is_a_count_and_sized_texts(tmp_path: Path) -> None:
    literal = "02000000 02000000 c3a9 02000000 6162"
    check(tmp_path, numcodecs.VLenUTF8(), literal, np.array(["é", "ab"], object), arrays=TEXTS)


def test_vlen_bytes_is_a_count_and_sized_bytes(tmp_path: Path) -> None:
    values, arrays = np.array([b"a", b""], object), [np.array([[b"\0", b"xyz"]], object)]
    literal = "02000000 01000000 61 00000000"
    check(tmp_path, numcodecs.VLenBytes(), literal, values, arrays=arrays)


def test_base64_is_text(tmp_path: Path) -> None:
    values = np.array([1, 2, 3, 4], "<i2")
    check(tmp_path, numcodecs.Base64(), b"AQACAAMABAA=".hex(), values, as_filter=False)


def test_bz2_and_lzma_are_pythons(tmp_path: Path) -> None:
    values = smooth(100, "<i2")
    for codec, literal in (
        (numcodecs.BZ2(level=1), bz2.compress(values.tobytes())),
        (numcodecs.LZMA(preset=1), lzma.compress(values.tobytes())),
    ):
        folder = tmp_path / codec.codec_id
        check(folder, codec, literal.hex(), values, as_filter=False)


# Codecs of the user's own -------------------------------------------------------------------------


def inverted(data: Any) -> bytes:
    return bytes(255 - byte for byte in bytes(data))


class OwnGzip(GzipCodec):
    """What a subclass does differently is done, under a name that we have a decoder for."""

    def _decode_sync(self, chunk_bytes: Buffer, chunk_spec: Any) -> Buffer:
        decoded = super()._decode_sync(chunk_bytes, chunk_spec)
        return chunk_spec.prototype.buffer.from_bytes(inverted(decoded.to_bytes()))

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: Any) -> Buffer:
        return self._decode_sync(chunk_bytes, chunk_spec)


class Awaited(BytesBytesCodec):
    """A codec that can only be awaited."""

    is_fixed_size = True

    @classmethod
    def from_dict(cls, data: Any) -> Awaited:
        return cls()

    def to_dict(self) -> Any:
        return {"name": "awaited", "configuration": {}}

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: Any) -> Buffer:
        return chunk_spec.prototype.buffer.from_bytes(inverted(chunk_bytes.to_bytes()))

    _encode_single = _decode_single

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        return input_byte_length


class OwnZlib(numcodecs.Zlib):
    def decode(self, buf: Any, out: Any = None) -> Any:
        return inverted(super().decode(buf))


@pytest.fixture
def awaited_codec() -> Iterator[None]:
    name = f"{Awaited.__module__}.{Awaited.__qualname__}"
    register_codec("awaited", Awaited, qualname=name)
    with zarr.config.set({"codecs.awaited": name}):
        yield


def test_a_subclass_of_a_codec_that_we_have_is_in_charge() -> None:
    values = smooth((5, 6), "u1")
    store: dict[str, Any] = {}
    z = zarr.create_array(store, shape=(5, 6), chunks=(3, 3), dtype="u1", compressors=GzipCodec())
    z[...] = values
    name = f"{OwnGzip.__module__}.{OwnGzip.__qualname__}"
    register_codec("gzip", OwnGzip, qualname=name)
    with zarr.config.set({"codecs.gzip": name}):
        ours = gpuzarr.open_array(store)
        assert_read(ours[...], 255 - values)
        assert "by the codec object of" in ours.explain().stages[0].reason
    assert_read(gpuzarr.open_array(store)[...], values)


def test_a_subclass_of_numcodecs_is_in_charge() -> None:
    values = smooth((5, 6), "u1")
    z = zarr.create_array(
        {}, shape=(5, 6), chunks=(3, 3), dtype="u1", zarr_format=2, compressors=OwnZlib()
    )
    z[...] = values
    assert_read(gpuzarr.open_array(z)[...], 255 - values)


@pytest.mark.usefixtures("awaited_codec")
@pytest.mark.parametrize("shards", [None, (4, 4)])
def test_a_codec_that_can_only_be_awaited_is_awaited(shards: Any) -> None:
    values = smooth((5, 6), "<i4")
    z = zarr.create_array(
        {}, shape=(5, 6), chunks=(2, 2), shards=shards, dtype="i4", compressors=Awaited()
    )
    z[...] = values
    assert_read(gpuzarr.open_array(z)[...], values)
    with gpuzarr.config.set({"threads": 2, "wave_bytes": 1}):
        assert_read(gpuzarr.open_array(z)[::-1], values[::-1])
