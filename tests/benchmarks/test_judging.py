"""Goals, the guard and the tables, on made-up numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from benchmarks.__main__ import WORKLOADS, app
from benchmarks.guard import compare
from benchmarks.records import Record, Run
from benchmarks.tables import tables
from benchmarks.targets import BOUNDS, SPEEDS, Verdict, unmeasured, verdicts

from .conftest import row, run_of


def missed(*records: Record, **facts: str) -> list[Verdict]:
    return [v for v in verdicts(run_of(*records, **facts)) if not v.is_met]


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    run = run_of(row(), row("memory read", unit="bytes", limit=5.0, absent={"zarrs": "It fails."}))
    run.save(tmp_path / "r.json")
    assert Run.load(tmp_path / "r.json") == run
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize(
    ("codec", "chunk", "least"),
    [
        ("blosc-zstd-bitshuffle", "16K", 0.95),
        ("blosc-zstd-bitshuffle", "256K", 0.95),
        ("zstd", "4M", 0.95),
        ("gzip", "64M", 1.3),
        ("zlib+shuffle", "16K", 1.3),
        ("raw", "16K", 1.3),
        ("sharded zstd", "16K", 1.3),
        ("raw", "256K", 1.0),
        ("blosc-zstd-bitshuffle", "4M", 1.0),
        ("zstd", "16K", 1.0),
    ],
)
def test_the_native_face_is_held_against_the_better_of_two(
    codec: str, chunk: str, least: float
) -> None:
    medians = {"gpuzarr in zarr": None, "zarrs": 9.0}
    reached = row(codec=codec, chunk=chunk, medians=medians | {"tensorstore": least + 0.001})
    short = row(codec=codec, chunk=chunk, medians=medians | {"tensorstore": least - 0.01})
    assert not missed(reached)
    (verdict,) = missed(short)
    assert (verdict.ours, verdict.rival, verdict.wanted) == ("gpuzarr", "tensorstore", least)
    assert verdict.found == pytest.approx(least - 0.01)


def test_more_is_wanted_where_there_is_an_accelerator() -> None:
    record = row(codec="zstd", chunk="4M", medians={"zarrs": 0.97, "gpuzarr in zarr": None})
    assert not missed(record, accelerator="")
    assert [v.wanted for v in missed(record, accelerator="one")] == [1.0]


@pytest.mark.parametrize(
    ("chunk", "codec", "zarrs", "fused"),
    [
        ("16K", "zstd", 0.9, 2.5),
        ("256K", "raw", 1.0, 1.2),
        ("4M", "zstd", 0.95, 1.0),
        ("4M", "raw", 1.0, 1.0),
        ("64M", "gzip", 1.0, 1.0),
    ],
)
def test_the_zarr_face_is_held_against_zarrs_and_fused(
    chunk: str, codec: str, zarrs: float, fused: float
) -> None:
    ours = {"gpuzarr in zarr": 1.0, "gpuzarr": None}
    good = ours | {"zarrs": zarrs + 0.001, "zarr fused": fused + 0.001}
    assert not missed(row(chunk=chunk, codec=codec, medians=good))
    for rival, wanted in (("zarrs", zarrs), ("zarr fused", fused)):
        (verdict,) = missed(row(chunk=chunk, codec=codec, medians=good | {rival: wanted - 0.02}))
        assert (verdict.rival, verdict.wanted) == (rival, wanted)


def test_crops_and_writes_are_held_against_the_best_peer() -> None:
    assert [v.rival for v in missed(row("crops", medians={"tensorstore": 1.1}))] == ["tensorstore"]
    (verdict,) = missed(row("write", medians={"zarr default": 0.9}))
    assert verdict.rival == "zarr default"
    assert not missed(row("write-part"), row("crops"), row("box"))
    assert missed(row("points", medians={"zarrs": 0.9}))


def test_bounds_on_opening_planning_and_memory() -> None:
    alone = {"gpuzarr": 1.1e-3, "gpuzarr in zarr": 9.0}
    assert [v.goal for v in missed(row("open and read one", medians=alone))] == [
        "open and read one element"
    ]
    plan = {"medians": {"gpuzarr": 1.1}, "chunks": 1_000_000}
    assert len(missed(row("planning", **plan))) == 1
    assert not missed(row("planning", medians={"gpuzarr": 1.0}, chunks=100))
    memory = row("memory read", unit="bytes", limit=100.0,
                 medians={"gpuzarr": 101.0, "gpuzarr in zarr": 99.0})  # fmt: skip
    (verdict,) = missed(memory)
    assert (verdict.ours, verdict.wanted) == ("gpuzarr", 100)
    assert missed(row("planning memory", unit="bytes", medians={"gpuzarr": 201e6}))


def test_cold_rows_and_absent_rivals_are_not_judged() -> None:
    slow = {"zarrs": 0.1, "zarr fused": 0.1, "tensorstore": 0.1}
    assert not list(verdicts(run_of(row(cache="cold", medians=slow))))
    none = dict.fromkeys(slow)
    assert not list(verdicts(run_of(row(medians=none))))


def test_goals_that_no_row_is_about_are_named() -> None:
    names = {goal.name for goal in (*SPEEDS, *BOUNDS)}
    assert set(unmeasured(run_of())) == names
    assert "writes" not in unmeasured(run_of(row("write")))


def test_a_row_that_lost_more_than_is_tolerated_is_a_loss() -> None:
    before = run_of(row(), row(codec="gzip"))
    assert compare(before, before).losses == ()
    assert compare(before, before).compared == 6
    slower = row(medians={"gpuzarr": 1.5})
    (loss,) = compare(before, run_of(slower)).losses
    assert (loss.before, loss.now) == (3, 2)
    assert "gpuzarr, whole" in str(loss)
    assert "expected at least 2.25 (3.00 before, less 25%), found 2.00" in str(loss)
    assert not compare(before, run_of(row(medians={"gpuzarr": 1.3}))).losses


def test_seconds_do_not_matter_to_the_guard() -> None:
    twice = {name: 2 * spread.median for name, spread in row().values.items()}
    assert not compare(run_of(row()), run_of(row(medians=twice))).losses


def test_rows_that_all_lose_a_little_are_a_loss_together() -> None:
    codecs = ("zstd", "gzip", "raw")
    before = run_of(*(row(codec=codec) for codec in codecs))
    now = run_of(*(row(codec=codec, medians={"gpuzarr": 1.15}) for codec in codecs))
    (loss,) = compare(before, now).losses
    assert loss.what == "gpuzarr, all 3 rows of whole"


def test_memory_is_guarded_by_its_bound() -> None:
    before = row("memory read", unit="bytes", limit=100.0, medians={"gpuzarr": 50.0})
    now = row("memory read", unit="bytes", limit=100.0, medians={"gpuzarr": 90.0})
    assert len(compare(run_of(before), run_of(now)).losses) == 1


def test_only_rows_of_the_same_store_are_compared() -> None:
    assert compare(run_of(row()), run_of(row(chunk="4M"), row(threads=16))).compared == 0


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A run that misses one goal."""
    run = run_of(row(), row("crops", medians={"tensorstore": 1.1}))
    run.save(tmp_path / "run.json")
    return tmp_path / "run.json"


def test_check_prints_misses_and_what_is_not_measured(path: Path) -> None:
    result = invoke("check", path)
    assert result.exit_code == 1
    assert "crops in one call" in result.stdout
    assert "Rows that fall short: 1" in result.stdout
    assert "Not measured: writes." in result.stdout
    run_of(row()).save(path)
    assert invoke("check", path).exit_code == 0


def test_guard_ends_with_one_where_something_got_worse(path: Path, tmp_path: Path) -> None:
    assert invoke("guard", path, path).exit_code == 0
    slower = replace(row(), values=row(medians={"gpuzarr": 2.0}).values)
    run_of(slower).save(tmp_path / "now.json")
    result = invoke("guard", path, tmp_path / "now.json")
    assert result.exit_code == 1
    assert "1 got worse" in result.stdout
    assert invoke("guard", path, tmp_path / "now.json", "--row", 0.6).exit_code == 0
    run_of(row(chunk="64M")).save(tmp_path / "now.json")
    result = invoke("guard", path, tmp_path / "now.json")
    assert result.exit_code == 1
    assert "no row in common" in result.stdout


def test_the_table_has_a_row_for_each_store_and_names_who_is_left_out(path: Path) -> None:
    run = run_of(
        row(), row(codec="gzip", medians={"zarrs": None}, absent={"zarrs": "It fails."}),
        *(row("scaling empty", chunks=n, medians={"gpuzarr": 1e-6 * n}) for n in (10, 100, 1000)),
    )  # fmt: skip
    found = {table.title.split(":")[0].split(";")[0]: table for table in tables(run)}
    assert len(found["whole"].rows) == 2
    assert ("zarrs", "It fails.", "1") in found["Left out"].rows
    asymptotes = found["Asymptotes"].rows
    assert ("scaling empty: gpuzarr", "0.00", "1.00", "0%") in asymptotes
    run.save(path)
    result = invoke("table", path, "--markdown")
    assert "| 16K zstd float32 | 64 | 2 | 2.00 | 1000 |" in result.stdout
    assert invoke("table", path).exit_code == 0


def test_parts_of_one_commit_are_joined_and_others_are_not(path: Path, tmp_path: Path) -> None:
    run_of(row("box"), row(medians={"gpuzarr": 2.0})).save(tmp_path / "b.json")
    output = tmp_path / "all.json"
    assert invoke("join", path, tmp_path / "b.json", "--output", output).exit_code == 0
    joined = Run.load(output).records
    assert [record.workload for record in joined] == ["whole", "crops", "box"]
    assert joined[0].median("gpuzarr") == 2
    run_of(row(), commit="another").save(tmp_path / "b.json")
    result = invoke("join", path, tmp_path / "b.json", "--output", output)
    assert result.exit_code == 1
    assert "differ in their commit" in result.stderr


def test_an_unknown_workload_is_refused() -> None:
    result = invoke("--workloads", "whole,everything")
    assert result.exit_code == 2
    assert "everything" in result.output


def test_one_command_measures_checks_and_draws(tmp_path: Path) -> None:
    output = tmp_path / "out" / "r.json"
    result = invoke(
        "--tiny", "--repetitions", 1, "--workloads", "whole,cold", "--codecs", "zstd",
        "--sizes", "1K", "--dtypes", "float32", "--who", "gpuzarr,zarr fused", "--output", output,
        "--folder", tmp_path, "--check",
    )  # fmt: skip
    assert result.exit_code in (0, 1), result.output
    run = Run.load(output)
    assert [(r.workload, r.cache) for r in run.records] == [("whole", "warm"), ("whole", "cold")]
    assert {"date", "commit", "machine", "versions"} <= set(run.about)
    assert (tmp_path / "out" / "r-throughput.svg").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert set(WORKLOADS) >= {"crops", "write", "open", "memory", "scaling", "threads"}
