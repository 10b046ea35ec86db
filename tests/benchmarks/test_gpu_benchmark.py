"""Both parts of the GPU benchmark run to the end on the emulated device, and check what they time.

What their code does on a GPU only a GPU can show (docs/gpu-checklist.md).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

import gpuzarr
from benchmarks.gpu import check, kernels, measure, reads, table
from benchmarks.gpu.cells import Bench, Cell, Ledger, run_cell, run_cells
from benchmarks.gpu.machine import machine
from benchmarks.gpu.scale import FULL, TINY
from benchmarks.gpu.stores import LAYOUTS, Stores, workplace
from gpuzarr.device import reference

ROOT = Path(__file__).parents[2]
NAME = TINY.named[0]


def run(part: str, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """One part by its one command."""
    bin_folder = str(Path(sys.executable).parent)
    env = os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", str(ROOT / "benchmarks/gpu/run.sh"), part, "--out", str(out), *options]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """The emulated device, and stores that end with the test."""
    stores = Stores(TINY, tmp_path)
    yield Bench(machine("emulated"), TINY, stores, 1)
    stores.close()


def test_measure_checks_and_times_every_cell(tmp_path: Path) -> None:
    done = run("measure", tmp_path, "--device", "emulated")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = Ledger(tmp_path / "measure.jsonl").lines()
    assert [line["cell"] for line in lines[1:]] == [cell.name for cell in measure.all_cells(TINY)]
    assert {"device", "commit", "date", "gds_active", "versions"} <= set(lines[0])
    for line in lines[1:]:
        assert line["gds"] is False
        if line["outcome"] == "absent":
            assert line["cell"].startswith("peer/")
            assert line["why"]
        else:
            assert (line["outcome"], line["checked"]) == ("measured", True), line
            low, high = line["spread_s"]
            assert 0 < low <= line["median_s"] <= high
            assert line["repetitions"] >= 5

    drawn = run("table", tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    page = (tmp_path / "table.md").read_text()
    assert "say nothing of a GPU" in page
    assert page.count("\n| ") == 2 + len(lines) - 1
    assert len(list(tmp_path.iterdir())) <= 8 - 2  # beside the two files of check


def test_check_runs_every_step(tmp_path: Path, fixtures: Path) -> None:
    few = ["--tests", "tests/test_place.py", "--cases", "1"]
    done = run("check", tmp_path, "--device", "emulated", *few)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((tmp_path / "check.json").read_text())
    assert document["passed"]
    assert document["about"]["device"] == "emulated"
    outcomes = {step["step"]: step["outcome"] for step in document["steps"]}
    assert outcomes["smoke"] == outcomes["conformance fixtures"] == "passed"
    assert outcomes["memcheck"] == "absent"
    assert {f"corrupt {layout}" for layout in LAYOUTS if layout != "raw"} <= set(outcomes)
    assert all("seconds" in step for step in document["steps"])


def test_check_fails_without_the_fixtures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUZARR_FIXTURES", str(tmp_path / "nowhere"))
    steps = check.Run("emulated", tmp_path, monotonic() + 9, [], [], 0)
    check.fixtures(steps)
    assert steps.document["steps"][0]["outcome"] == "failed"


def test_check_ends_where_there_is_no_such_device(tmp_path: Path) -> None:
    steps = check.Run("cuda:99", tmp_path, monotonic() + 60, [], [], 0)
    check.about(steps)
    assert steps.is_lost
    assert "Error" in steps.document["steps"][0]["why"]


def test_stores_of_a_process_that_was_killed_are_removed(tmp_path: Path) -> None:
    with workplace(tmp_path):
        left = Stores(TINY).folder
        assert left.is_dir()
    assert not left.exists()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("program", "outcome"),
    [("pass", "passed"), ("raise SystemExit(2)", "failed"), ("while True: pass", "timed out")],
)
def test_a_step_has_the_outcome_of_its_process(tmp_path: Path, program: str, outcome: str) -> None:
    steps = check.Run("emulated", tmp_path, monotonic() + 60, [], [], 0)
    steps.step("a step", [sys.executable, "-c", program], 2)
    assert [s["outcome"] for s in steps.document["steps"]] == [outcome]


def test_no_tests_fail_the_check_of_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for device, outcome in (("cuda", "failed"), ("emulated", "absent")):
        steps = check.Run(device, tmp_path, monotonic() + 60, [], [], 0)
        monkeypatch.setattr(steps, "call", lambda *args, **env: (5, "no tests ran", 0.1))
        check.suite(steps)
        assert steps.document["steps"][0]["outcome"] == outcome


def test_a_read_that_is_wrong_is_failed_and_not_timed(bench: Bench) -> None:
    store = bench.stores.get(NAME)
    store.square = store.square + 1
    for cell in (reads.whole(NAME), *reads.parts(TINY)[:1]):
        facts = run_cell(bench, cell)
        assert facts["outcome"] == "failed"
        assert "differs" in facts["why"]
        assert "median_s" not in facts


def test_a_kernel_that_is_wrong_is_failed_and_not_timed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "byte_swap", lambda data, width: data)
    (cell,) = (cell for cell in kernels.cells() if cell.name == "kernel/byte_swap_4")
    facts = run_cell(bench, cell)
    assert (facts["outcome"], facts["checked"]) == ("failed", False)
    assert "median_s" not in facts


def test_what_the_time_does_not_suffice_for_is_taken_up_later(bench: Bench, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "m.jsonl")
    cells = [Cell(name, lambda bench: {}) for name in "ab"]
    assert run_cells(bench, cells, ledger, monotonic() - 1)
    assert [line["outcome"] for line in ledger.lines()] == ["not reached"] * 2
    assert ledger.done() == set()
    assert run_cells(bench, cells, ledger, monotonic() + 60)
    assert ledger.done() == {"a", "b"}
    with ledger.path.open("a") as file:
        file.write('{"cell": "c", "outc')  # cut short
    assert len(ledger.lines()) == 4


def test_a_worker_that_dies_costs_the_cell_that_it_was_at(tmp_path: Path) -> None:
    ledger, cells = Ledger(tmp_path / "m.jsonl"), measure.chosen(TINY, "ceiling/", "")
    ledger.write(cell="about", outcome="told")
    dying = [sys.executable, "-c", "import os; os.abort()"]
    measure.supervise(dying, cells, ledger, monotonic() + 60)
    assert [line["cell"] for line in ledger.lines()[1:]] == [cell.name for cell in cells]
    assert all("status" in line["why"] for line in ledger.lines()[1:])


def test_the_grid_begins_where_it_is_told() -> None:
    names = [cell.name for cell in measure.all_cells(FULL)]
    assert len(set(names)) == len(names)
    reached = [cell.name for cell in measure.chosen(FULL, "read/", names[30])]
    assert reached == [name for name in names[30:] if "read/" in name]
    whole = {name for name in names if name.startswith("read/")}
    assert len(whole) == len(LAYOUTS) * len(FULL.chunks) * 2


def test_stores_hold_what_they_say(bench: Bench) -> None:
    for name in ("lz4/1K/r1.5", "sharded-zstd/1K/r3", "image"):
        store = bench.stores.get(name)
        found = gpuzarr.open_array(store.path)[...]
        assert store.holds(found)
        assert np.array_equal(found[60:70, 3:9], store.part(slice(60, 70), slice(3, 9)))
        found[-1, -1] += 1
        assert not store.holds(found)


def line(**facts: Any) -> dict[str, Any]:
    return {"outcome": "measured", "gds": False, "median_s": 1.0, "spread_s": [1.0, 1.0], **facts}


def test_the_table_says_what_numbers_are_reached() -> None:
    read = partial(
        line, chunks=512, waves=4, bytes=1 << 30, bound_by="upload", stages={}, peak_bytes=9,
        memory_limit_bytes=10,
    )  # fmt: skip
    found = {
        "ceiling/device copy": line(GB_s=4000),
        "kernel/unshuffle_4": line(GB_s=2900, ms_per_GB=1.0, predicted_ms_per_GB="0.47"),
        "read/zstd/1M/r3": read(share_of_bound=0.7),
        "read/raw/1M/r3": read(share_of_bound=0.9, waves=2, peak_bytes=11),
        "peer/zarrs + upload/zstd/1M/r3": line(median_s=3.0),
        "peer/gpuzarr cpu + upload/zstd/1M/r3": line(median_s=0.5),
    }
    rows = {name: table.row(name, facts, found) for name, facts in found.items()}
    reached = {name: cells[table.COLUMNS.index("reached")] for name, cells in rows.items()}
    assert reached == {
        "ceiling/device copy": "",
        "kernel/unshuffle_4": "yes",
        "read/zstd/1M/r3": "**no**",
        "read/raw/1M/r3": "",
        "peer/zarrs + upload/zstd/1M/r3": "yes",
        "peer/gpuzarr cpu + upload/zstd/1M/r3": "**no**",
    }
    assert "the CPU route is faster" in rows["read/zstd/1M/r3"][-1]
    assert "more memory" in rows["read/raw/1M/r3"][-1]
