"""``gpuzarr bench`` compares before it times, and says who is left out and why."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numcodecs import Shuffle, Zlib
from typer.testing import CliRunner, Result

import gpuzarr
from gpuzarr.commands import bench, timing
from gpuzarr.commands.cli import app
from gpuzarr.commands.contestants import Contestant, Rewriting, contestants, limit_threads

VALUES = np.random.default_rng(1).normal(size=(40, 30)).astype("float32")
FACES = {"gpuzarr", "gpuzarr out=", "gpuzarr in zarr", "zarr default", "zarr fused"}


def invoke(*arguments: Any) -> Result:
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    store = tmp_path / "a.zarr"
    zarr.create_array(store, data=VALUES, chunks=(8, 10))
    return store


def test_everyone_reads_the_whole_array_and_boxes(path: Path) -> None:
    result = invoke(path, "--repeats", 3, "--json")
    assert result.exit_code == 0, result.output
    whole, boxes = json.loads(result.stdout)
    assert whole["nbytes"] == VALUES.nbytes
    assert boxes["nbytes"] == 8 * 4 * 3 * 4
    for found in (whole, boxes):
        assert set(found["seconds"]) >= FACES
        for spread in found["seconds"].values():
            assert spread["count"] == 3
            assert 0 < spread["low"] <= spread["first"] <= spread["median"] <= spread["third"]


def test_the_table_tells_ratios_and_the_threads(path: Path) -> None:
    result = invoke(path, "--repeats", 1)
    assert result.exit_code == 0, result.output
    assert "Reading the whole array, 4.8 kB" in result.stdout
    assert "× as fast" in result.stdout
    assert "same in every bit" in result.stdout


def test_a_group_is_one_sentence(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "g.zarr")
    result = invoke(tmp_path / "g.zarr")
    assert result.exit_code == 1
    assert result.stderr.startswith("gpuzarr: There is a group, not an array")


def test_who_cannot_read_it_is_left_out_and_told(tmp_path: Path) -> None:
    pytest.importorskip("tensorstore")
    store = tmp_path / "v2.zarr"
    zarr.create_array(
        store, data=VALUES, chunks=(8, 10), zarr_format=2, filters=[Shuffle(4)], compressors=Zlib(1)
    )
    result = invoke(store, "--repeats", 1)
    assert result.exit_code == 0, result.output
    assert "Left out: tensorstore. It refuses the metadata: filters are not supported." in (
        " ".join(result.stdout.split())
    )


class Wrong:
    """Reads what is not there."""

    def __getitem__(self, key: Any) -> np.ndarray:
        return VALUES[key] + 1


def test_a_peer_that_reads_otherwise_is_not_timed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everyone = contestants() | {"wrong": Contestant("wrong", lambda path, mode: Wrong())}
    monkeypatch.setattr(bench, "contestants", lambda device: everyone)
    array = gpuzarr.open_array(path)
    for task in bench.tasks(array, 1):
        found = bench.measure(str(path), task, "cpu", 1, lambda step: None)
        assert "wrong" not in found.seconds
        assert found.left_out["wrong"] == "It reads other values than zarr-python."


def test_gpuzarr_that_reads_otherwise_ends_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everyone = contestants() | {"gpuzarr": Contestant("gpuzarr", lambda path, mode: Wrong())}
    monkeypatch.setattr(bench, "contestants", lambda device: everyone)
    result = invoke(path)
    assert result.exit_code == 1
    assert "read different values" in result.stderr


@pytest.mark.parametrize(
    ("shape", "chunks", "most", "expected"),
    [
        ((40, 30), (8, 10), 10**6, (40, 30)),
        ((40, 30), (8, 10), 16 * 30 * 4, (16, 30)),
        ((40, 30), (8, 10), 8 * 20 * 4, (8, 20)),
        ((40, 30), (8, 10), 1, (8, 10)),
        ((), (), 1, ()),
        ((0, 3), (1, 1), 1, (0, 1)),
    ],
)
def test_the_first_whole_chunks_are_read_up_to_a_limit(
    shape: tuple[int, ...], chunks: tuple[int, ...], most: int, expected: tuple[int, ...]
) -> None:
    array = gpuzarr.create_array({}, shape=shape, chunks=chunks, dtype="f4")
    assert bench.leading(array, most) == expected


@pytest.mark.parametrize("shape", [(), (0, 3), (1,)])
def test_arrays_without_boxes_are_read_whole(tmp_path: Path, shape: tuple[int, ...]) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=np.zeros(shape, "i2"))
    result = invoke(tmp_path / "a.zarr", "--repeats", 1, "--json")
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)) == 1


def test_nan_and_byte_order_and_strings_are_compared_as_they_are_meant() -> None:
    nan = np.array([np.nan, 1.0])
    assert bench._are_same(nan, nan.astype(">f8"))
    assert not bench._are_same(nan, np.array([np.nan, 2.0]))
    assert not bench._are_same(nan, nan.astype("f4"))
    assert bench._are_same(np.array(["a", None], object), np.array(["a", None], object))


def test_a_selection_is_rewritten_in_the_same_memory(path: Path) -> None:
    array = Rewriting(gpuzarr.open_array(path))
    key = (slice(0, 9), slice(3, 20))
    first = array[key]
    first[...] = 0
    assert array[key] is first
    assert np.array_equal(first, VALUES[key])


def test_everyone_is_first_in_turn_and_has_changing_neighbours() -> None:
    names = list("abcd")
    rounds = [timing.order(names, turn) for turn in range(8)]
    assert [found[0] for found in rounds] == list("abcdabcd")
    assert all(sorted(found) == names for found in rounds)
    before = {found[found.index("b") - 1] for found in rounds if found[0] != "b"}
    assert len(before) > 1


def test_a_spread_has_median_quartiles_and_the_smallest() -> None:
    found = timing.Spread.of([4, 1, 3, 2, 5])
    assert (found.low, found.first, found.median, found.third, found.count) == (1, 2, 3, 4, 5)
    assert timing.Spread.of([2.0]) == timing.Spread(2.0, 2.0, 2.0, 2.0, 1)
    assert found.scaled(2).median == 6


def test_what_a_call_needs_is_entered_outside_the_clock() -> None:
    steps: list[str] = []

    class Noting(nullcontext[None]):
        def __enter__(self) -> None:
            steps.append("in")

        def __exit__(self, *args: object) -> None:
            steps.append("out")

    seconds = timing.side_by_side(
        {"one": timing.Call(lambda: steps.append("run"), Noting)}, 2, lambda: steps.append("before")
    )
    assert steps == ["before", "in", "run", "out"] * 2
    assert seconds["one"].count == 2


def test_the_limit_of_threads_reaches_gpuzarr_and_zarr() -> None:
    try:
        limit_threads(3)
        assert gpuzarr.config.get("threads") == 3
        assert zarr.config.get("codec_pipeline.max_workers") == 3
        assert zarr.config.get("threading.max_workers") == 3
    finally:
        limit_threads(None)
