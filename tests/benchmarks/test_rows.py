"""Every workload is built, checked and timed; who gives something else ends the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr

from benchmarks import cache, crops, opening, peers, planning, reads, scaling, writes
from benchmarks.data import MISSING, field
from benchmarks.records import Record
from benchmarks.settings import Settings, WrongResult, require_equal
from benchmarks.stores import CODECS, SIZES, TINY, built, source
from gpuzarr.commands.contestants import Contestant, contestants
from gpuzarr.pipeline import counts

Measure = Callable[[Settings], Iterator[Record]]


def one_by_one(settings: Settings) -> Iterator[Record]:
    return crops.measure(settings, 12)


@pytest.mark.parametrize(
    ("measure", "workloads"),
    [
        (lambda s: reads.measure(s, ["whole", "box"]), ["whole", "box"]),
        (lambda s: reads.measure(s, ["row", "outer", "points"]), ["row", "outer", "points"]),
        (one_by_one, ["crops"]),
        (writes.measure, ["write", "write-part"]),
        (opening.measure, ["open", "open and read one"]),
    ],
)
def test_a_row_is_built_checked_and_timed(
    settings: Settings, measure: Measure, workloads: list[str]
) -> None:
    found = list(measure(settings))
    assert [record.workload for record in found] == workloads
    for record in found:
        timed = {name.removesuffix(" loop") for name in record.values}
        assert {"gpuzarr", "gpuzarr in zarr", "zarr default"} <= timed
        assert all(spread.median > 0 for spread in record.values.values())
        assert record.nbytes > 0
    assert not list(settings.folder.iterdir())


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_stores_hold_the_field_as_they_say(tmp_path: Path, codec: str, dtype: str) -> None:
    size = TINY[0]
    with built(tmp_path, codec, size, source(size, dtype)) as store:
        array = zarr.open_array(store.path, mode="r")
        assert np.array_equal(array[...], store.data)
        assert array.chunks == size.chunk(dtype)
        assert np.prod(array.chunks) * array.dtype.itemsize == size.chunk_bytes
        assert (array.shards is not None) == codec.startswith("sharded")
        assert array.metadata.zarr_format == (2 if codec == "zlib+shuffle" else 3)
        assert (store.ratio <= 1) == (codec == "raw")  # the metadata count
    assert not store.path.exists()


def test_sizes_are_what_they_are_called() -> None:
    units = {"K": 1 << 10, "M": 1 << 20}
    for size in SIZES:
        assert size.chunk_bytes == int(size.name[:-1]) * units[size.name[-1]]
        for smaller in (size, size.smaller(2)):
            assert not any(n % s for n, s in zip(smaller.grid, smaller.shard, strict=True))
    assert [size.nbytes >> 20 for size in SIZES] == [64, 128, 256, 512]
    crop_sizes = [crops.geometry(size) for size in SIZES]
    assert [4 * size.chunk_bytes for size in crop_sizes] == [size.chunk_bytes for size in SIZES]
    assert {size.side * size.grid[0] for size in crop_sizes} == {2048}


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_the_field_is_real_and_no_compressor_gains_by_its_copies(dtype: str) -> None:
    data = field((1400, 1500), dtype)
    is_land = data == MISSING[dtype]
    assert 0.4 < is_land.mean() < 0.5
    values = data[~is_land].astype(float)
    degrees = values if dtype == "float32" else 0.001 * values + 16
    assert -3 < degrees.min() < degrees.max() < 39
    alone = len(numcodecs.Zstd(3).encode(np.ascontiguousarray(data[:330, :360])))
    together = len(numcodecs.Zstd(3).encode(np.ascontiguousarray(data[:990, :1080])))
    assert together > 0.85 * 9 * alone


class Wrong:
    """Gives what was never written, and writes nothing."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.oindex, self.vindex, self.shape = self, self, (1, 2)

    def __getitem__(self, key: Any) -> Any:
        return np.zeros_like(self._array[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


@pytest.mark.parametrize(
    "measure",
    [
        lambda s: reads.measure(s, ["whole"]),
        lambda s: reads.measure(s, ["cold"]),
        lambda s: reads.measure(s, ["box"]),
        one_by_one,
        writes.measure,
        opening.measure,
        scaling.measure,
    ],
)
def test_a_contestant_that_is_wrong_ends_the_run(
    settings: Settings, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = contestants()["zarr default"]
    wrong = Contestant("wrong", lambda *a: Wrong(default.open(*a)), active=default.active)
    everyone = contestants() | {"wrong": wrong}
    monkeypatch.setattr(peers, "contestants", lambda: everyone)
    with pytest.raises(WrongResult, match=r"^wrong( loop)? gave .* not timed"):
        list(measure(replace(settings, names=("wrong", "zarr default"))))


def test_results_must_agree_in_every_bit() -> None:
    expected = np.array([0.0, np.nan], "f4")
    require_equal("a", "b", expected.copy(), expected)
    for found in (np.array([-0.0, np.nan], "f4"), expected.astype("f8"), expected[:1]):
        with pytest.raises(WrongResult):
            require_equal("a", "b", found, expected)


def test_what_is_measured_went_through_gpuzarr(settings: Settings) -> None:
    before = counts()
    (record,) = reads.measure(replace(settings, names=("gpuzarr in zarr",)), ["whole"])
    after = counts()
    assert after["read"] - before["read"] == 2 * record.chunks  # the check, and one turn
    assert after["elsewhere"] == before["elsewhere"]


def test_who_is_not_installed_or_cannot_read_is_told(settings: Settings) -> None:
    pytest.importorskip("tensorstore")
    settings = replace(settings, codecs=("zlib+shuffle",), names=("tensorstore", "gpuzarr"))
    (record,) = reads.measure(settings, ["box"])
    assert set(record.values) == {"gpuzarr"}
    assert "filters are not supported" in record.absent["tensorstore"]
    assert peers.opened(["nobody"], "x").absent == {"nobody": "It is not installed."}


def test_out_is_rewritten_by_peers_too(settings: Settings) -> None:
    pytest.importorskip("tensorstore")
    pytest.importorskip("zarrs")
    (record,) = reads.measure(replace(settings, names=("zarrs", "tensorstore")), ["whole"])
    assert set(record.values) == {"zarrs", "zarrs out=", "tensorstore", "tensorstore out="}
    size = TINY[0]
    with built(settings.folder, "zstd", size, source(size, "float32")) as store:
        key = (slice(0, 20), slice(3, 9))
        for name in ("zarrs out=", "tensorstore out="):
            party = peers.opened([name], str(store.path))
            first = party.arrays[name][key]
            first[...] = 0
            assert party.arrays[name][key] is first or party.arrays[name][key].base is first
            assert np.array_equal(first, store.data[key])


def test_a_cold_read_is_of_files_that_are_not_in_the_cache(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}").write_bytes(bytes(100_000))
    if why := cache.why_not_cold(tmp_path):
        pytest.skip(why)
    assert cache.share_cached(tmp_path) == 0
    (tmp_path / "1").read_bytes()
    assert cache.share_cached(tmp_path) == pytest.approx(1 / 3)
    cache.evict(tmp_path)
    assert cache.share_cached(tmp_path) == 0


def test_arrays_of_many_chunks_have_so_many(tmp_path: Path) -> None:
    for kind in scaling.KINDS:
        for count in (100, 1000):
            data = scaling.build(tmp_path / "a.zarr", kind, count)
            array = zarr.open_array(tmp_path / "a.zarr", mode="r")
            assert np.array_equal(array[...], data)
            assert np.prod([n // 8 for n in array.shape]) == count
            assert (array.nchunks_initialized > 0) == (kind != "empty")
    data = scaling.build(tmp_path / "b.zarr", "empty", 1_000_000)
    assert data.size == 64_000_000


def test_who_is_too_slow_is_left_out_of_longer_rows(settings: Settings) -> None:
    settings = replace(settings, names=("zarr default",), most_seconds=0.0)
    found = list(scaling.measure(settings))
    assert [(r.workload, r.chunks) for r in found] == [
        (f"scaling {kind}", 100) for kind in scaling.KINDS
    ]
    assert all("more than 0" in record.absent["zarr default"] for record in found)


def test_a_fit_finds_the_cost_of_a_chunk() -> None:
    counts = [100, 1000, 10_000, 100_000]
    fit = scaling.Fit.of(counts, [2e-3 + 3e-6 * n for n in counts])
    assert fit.fixed == pytest.approx(2e-3)
    assert fit.each == pytest.approx(3e-6)
    assert fit.worst < 1e-6
    assert scaling.Fit.of(counts, [1e-6 * n * n for n in counts]).fixed == 0
    assert scaling.Fit.of(counts, [1.0, 0.9, 0.8, 0.7]).each == 0


def test_a_plan_covers_every_chunk(settings: Settings) -> None:
    planning.empty(settings.folder / "p.zarr", 1000)
    assert planning.plan_all(str(settings.folder / "p.zarr")) == 1000
    assert planning.plan_all(str(settings.folder / "p.zarr"), 10) == 10
