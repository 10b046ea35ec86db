"""Chains: stages in any order, on what zarr-python wrote."""

from __future__ import annotations

import itertools
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from harness import assert_read, smooth
from zarr.codecs import BytesCodec, Crc32cCodec, GzipCodec, TransposeCodec, ZstdCodec
from zarr.codecs import numcodecs as v3

import gpuzarr

pytestmark = [
    pytest.mark.usefixtures("each_device"),
    pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning"),
]

STAGES = {
    "zstd": ZstdCodec(level=1),
    "gzip": GzipCodec(level=1),
    "lz4": v3.LZ4(),
    "bz2": v3.BZ2(level=1),
    "crc32c": Crc32cCodec(),
    "adler32": v3.Adler32(),
    "shuffle": v3.Shuffle(elementsize=1),
}
ORDERS = [*itertools.permutations(range(3))]


@pytest.mark.parametrize("first", STAGES)
def test_stages_of_every_kind_follow_one_another(first: str) -> None:
    """Those that write to memory, those that give a view of it, those of unknown size."""
    data = smooth((9, 10), "<i4")
    for others in itertools.product(STAGES, repeat=2):
        codecs = [v3.Shuffle(elementsize=4), *(STAGES[name] for name in (first, *others))]
        z = zarr.create_array(
            {}, shape=data.shape, chunks=(4, 4), dtype="i4", compressors=codecs,
            config={"write_empty_chunks": True},
        )  # fmt: skip
        z[...] = data
        assert_read(gpuzarr.open_array(z)[...], data)


@pytest.mark.parametrize("filters", [*itertools.permutations(["shuffle", "crc32", "fletcher32"])])
@pytest.mark.parametrize("order", ["C", "F"])
def test_v2_filters_are_run_in_reverse(filters: tuple[str, ...], order: Any) -> None:
    data = smooth((9, 10), "<i4")
    codecs = [numcodecs.get_codec({"id": name}) for name in filters]
    z = zarr.create_array(
        {}, shape=data.shape, chunks=(4, 4), dtype="i4", zarr_format=2, order=order,
        filters=[numcodecs.Delta("<i4"), *codecs], compressors=numcodecs.Zstd(),
    )  # fmt: skip
    z[...] = data
    assert_read(gpuzarr.open_array(z)[...], data)


@pytest.mark.parametrize("orders", [*itertools.product(ORDERS, repeat=2)])
def test_transpositions_add_up(orders: tuple[tuple[int, ...], ...]) -> None:
    data = smooth((3, 5, 7), "<i4")
    z = zarr.create_array(
        {}, shape=data.shape, chunks=(2, 3, 4), dtype="i4",
        filters=[TransposeCodec(order=order) for order in orders],
    )  # fmt: skip
    z[...] = data
    assert_read(gpuzarr.open_array(z)[...], z[...])


@pytest.mark.parametrize("endian", ["little", "big"])
@pytest.mark.parametrize("dtype", ["<i2", "<f8", "<c8", "<M8[s]"])
def test_bytes_are_in_the_order_of_their_codec(dtype: str, endian: Any) -> None:
    data = smooth((6, 7), "<i8").astype(dtype)
    z = zarr.create_array(
        {}, shape=data.shape, chunks=(4, 4), dtype=dtype, serializer=BytesCodec(endian=endian),
    )  # fmt: skip
    z[...] = data
    assert_read(gpuzarr.open_array(z)[...], data)


def test_a_filter_is_given_values_in_the_order_of_its_data_type() -> None:
    """Big-endian bytes become native numbers before numcodecs' delta sums them up."""
    data = smooth((6, 7), "<i2")
    z = zarr.create_array(
        {}, shape=data.shape, chunks=(4, 4), dtype="i2", filters=[v3.Delta(dtype="<i2")],
        serializer=BytesCodec(endian="big"),
    )  # fmt: skip
    z[...] = data
    assert_read(gpuzarr.open_array(z)[...], data)


def test_records_with_dates_inside_are_read() -> None:
    """numcodecs' compiled codecs don't encode them, so that strategies leave them out."""
    data = np.array([(1, "2020-01-01"), (2, "NaT")], [("n", ">i4"), ("t", "<M8[D]")])
    for codec in (None, numcodecs.Zlib(), numcodecs.BZ2()):
        z = zarr.create_array(
            {}, shape=2, chunks=1, dtype=data.dtype, zarr_format=2, compressors=codec
        )
        z[...] = data
        assert_read(gpuzarr.open_array(z)[...], data)
        assert_read(gpuzarr.open_array(z)["t"], data["t"].copy())
