"""The cost model: what it is a sum of, and what it chooses."""

from __future__ import annotations

from typing import Any

import numcodecs
import pytest
import zarr
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec, TransposeCodec, ZstdCodec

from gpuzarr.calibration import PREDICTED
from gpuzarr.codecs.chain import Chain
from gpuzarr.codecs.preparing import chain_of
from gpuzarr.costs import OTHER, Constants, DeviceCost, HostCost, estimated, stream_sizes, weighed
from gpuzarr.metadata import read_spec

BY_HAND = Constants(
    on_device={"zstd": DeviceCost(1e-3, 1e8, 1e10), OTHER: DeviceCost(2e-3, 1e9, 1e11)},
    on_host={"zstd": HostCost(1e-5, 1e9), OTHER: HostCost(2e-5, 2e9)},
    upload=1e10,
    latency=1e-4,
)


def chain(nbytes: int, **arguments: Any) -> Chain:
    given = {"compressors": numcodecs.Zstd(), "zarr_format": 2, "filters": None, **arguments}
    array = zarr.create_array({}, shape=nbytes // 4, chunks=nbytes // 4, dtype="i4", **given)
    spec = read_spec(array.metadata)
    return chain_of(spec.format((nbytes // 4,)))


SHUFFLED = {"filters": [numcodecs.Shuffle(4)]}


def test_an_estimate_is_a_sum_over_stages_and_the_copy() -> None:
    here = chain(100_000, **SHUFFLED)  # zstd, then shuffle
    assert stream_sizes(here) == [50_000, 100_000, 100_000]
    of_zstd, of_shuffle = 1e-5 + 1e-4, 2e-5 + 0.5e-4
    # 10 chunks on 4 threads: 3 for the busiest
    on_cpu = 1e-4 + 1e6 / 1e10 + 3 * (of_zstd + of_shuffle)
    assert estimated(here, BY_HAND, 2, 10, 4) == pytest.approx(on_cpu)
    there = 1e-4 + 5e5 / 1e10 + (1e-3 + 1e5 / 1e8) + (2e-3 + 1e5 / 1e9)
    assert estimated(here, BY_HAND, 0, 10, 4) == pytest.approx(there)
    both = 1e-4 + 1e6 / 1e10 + 3 * of_zstd + 2e-3 + 1e5 / 1e9
    assert estimated(here, BY_HAND, 1, 10, 4) == pytest.approx(both)
    # and with as many streams as fill the device
    full = 1e-4 + 5e8 / 1e10 + (1e-3 + 1e9 / 1e10) + (2e-3 + 1e9 / 1e11)
    assert estimated(here, BY_HAND, 0, 10_000, 4) == pytest.approx(full)


@pytest.mark.parametrize("constants", [BY_HAND, PREDICTED])
@pytest.mark.parametrize("on_host", [0, 1, 2])
def test_more_chunks_and_larger_ones_never_take_less(constants: Constants, on_host: int) -> None:
    sizes = [1 << n for n in range(8, 26, 3)]
    counts = [1, 2, 3, 16, 100, 1000, 30_000]
    table = [
        [estimated(chain(size, **SHUFFLED), constants, on_host, count, 4) for count in counts]
        for size in sizes
    ]
    for row in table:
        assert row == sorted(row)
    for column in zip(*table, strict=True):
        assert list(column) == sorted(column)
    few = estimated(chain(1 << 20), constants, 1, 64, 1)
    assert few > estimated(chain(1 << 20), constants, 1, 64, 8)


def chosen(here: Chain, chunks: int, least: int = 0) -> int:
    found = weighed(
        here, PREDICTED, least=least, most=len(here.stages), chunks=chunks, threads=1, cpu_threads=4
    )
    assert found.fastest <= min(found.cpu, found.device)
    return found.on_host


def test_small_batches_go_to_the_cpu_and_large_ones_to_the_device() -> None:
    assert [chosen(chain(12 << 10), count) for count in (1, 16, 4096)] == [1, 1, 0]
    assert [chosen(chain(4 << 20), count) for count in (1, 1024)] == [1, 0]
    blosc = {"compressors": numcodecs.Blosc("zstd")}
    assert [chosen(chain(16 << 10, **blosc), count) for count in (4, 10_000)] == [1, 0]


def test_a_chain_may_change_sides_between_its_stages() -> None:
    """The codec that is slow for a few streams on the CPU, the filter behind it not."""
    constants = Constants(
        {"zstd": DeviceCost(1e-3, 1e6, 1e10), OTHER: DeviceCost(1e-6, 1e10, 1e12)},
        {"zstd": HostCost(1e-6, 1e9), OTHER: HostCost(1e-6, 1e8)},
        1e10,
        1e-6,
    )
    here = chain(1 << 20, **SHUFFLED)
    found = weighed(here, constants, least=0, most=2, chunks=4, threads=1, cpu_threads=1)
    assert found.on_host == 1
    assert found.fastest < min(found.cpu, found.device)


def test_what_only_the_cpu_can_do_is_in_every_way() -> None:
    here = chain(1 << 20, **SHUFFLED)
    found = weighed(here, BY_HAND, least=2, most=2, chunks=9, threads=2, cpu_threads=3)
    assert (found.on_host, found.fastest, found.device) == (2, found.cpu, found.cpu)


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
def test_whole_shards_are_the_chunks_inside() -> None:
    inside = ShardingCodec(chunk_shape=(10, 5), codecs=[BytesCodec(), ZstdCodec()])
    array = zarr.create_array(
        {}, shape=(50, 40), chunks=(50, 20), dtype="i4", filters=TransposeCodec(order=(1, 0)),
        serializer=inside, compressors=None,
    )  # fmt: skip
    here = chain_of(read_spec(array.metadata).format((50, 20)))
    assert [stage.name for stage in here.stages] == ["sharding_indexed"]
    on_cpu = 1e-4 + 2 * 4000 / 1e10 + 2 * 20 * (1e-5 + 200 / 1e9)
    assert estimated(here, BY_HAND, 1, 2, 1) == pytest.approx(on_cpu)
    there = 1e-4 + 2 * 2000 / 1e10 + 1e-3 + 200 / 1e8
    assert estimated(here, BY_HAND, 0, 2, 1) == pytest.approx(there)


def test_sizes_are_exact_where_codecs_tell_them() -> None:
    array = zarr.create_array(
        {}, shape=1000, chunks=1000, dtype="i4", compressors=[ZstdCodec(), Crc32cCodec()]
    )
    here = chain_of(read_spec(array.metadata).format((1000,)))
    assert [stage.name for stage in here.stages] == ["crc32c", "zstd"]
    assert stream_sizes(here) == [2004, 2000, 4000]
    assert stream_sizes(chain(400, compressors=numcodecs.CRC32())) == [404, 400]
