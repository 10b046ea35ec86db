"""Cells of the measurement: what one is, how it is run, and the file that its result goes to."""

from __future__ import annotations

import json
import statistics
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.gpu.machine import Machine
    from benchmarks.gpu.scale import Scale
    from benchmarks.gpu.stores import Stores


class WrongError(Exception):
    """What was read or computed is not what it should be; nothing is timed."""


class AbsentError(Exception):
    """What the cell needs is not here, in words."""


@dataclass
class Bench:
    """What cells work with."""

    machine: Machine
    scale: Scale
    stores: Stores
    repetitions: int = 5

    def times(self, call: Callable[[], Any], repetitions: int | None = None) -> list[float]:
        """Seconds of each repetition, up to where all is done; the first one warms up."""
        found = []
        for _ in range(1 + (repetitions or self.repetitions)):
            self.machine.synchronize()
            started = perf_counter()
            result = call()
            self.machine.synchronize()
            found.append(perf_counter() - started)
            del result
        return found[1:]


@dataclass(frozen=True)
class Cell:
    """One measurement; `run` checks, then times, and gives what is written down."""

    name: str
    run: Callable[[Bench], dict[str, Any]]


class Ledger:
    """A file of one JSON document a line, each on the disk as soon as it is known."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, **facts: Any) -> None:
        """Append one result."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")

    def lines(self) -> list[dict[str, Any]]:
        """All results so far; a last line that was cut short does not count."""
        found = []
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    found.append(json.loads(line))
                except json.JSONDecodeError:
                    continue
        return found

    def done(self) -> set[str]:
        """Names of the cells that have an outcome which stands."""
        return {line["cell"] for line in self.lines() if line["outcome"] != "not reached"}


def spread(seconds: list[float]) -> dict[str, Any]:
    """Median, extremes and number of repetitions."""
    return {
        "median_s": statistics.median(seconds),
        "spread_s": [min(seconds), max(seconds)],
        "repetitions": len(seconds),
    }


def check(is_right: bool, words: str) -> None:
    """Refuse to go on where something is wrong."""
    if not is_right:
        raise WrongError(words)


def run_cell(bench: Bench, cell: Cell) -> dict[str, Any]:
    """Outcome and facts of one cell; no error leaves it."""
    try:
        return {"outcome": "measured", "checked": True, **cell.run(bench)}
    except WrongError as error:
        return {"outcome": "failed", "checked": False, "why": f"wrong: {error}"}
    except AbsentError as error:
        return {"outcome": "absent", "why": str(error)}
    except Exception as error:
        last = traceback.format_exc().splitlines()[-6:]
        why = f"{type(error).__name__}: {error}"
        return {"outcome": "failed", "checked": False, "why": why[:600], "where": last}


def run_cells(bench: Bench, cells: Iterable[Cell], ledger: Ledger, deadline: float) -> bool:
    """Run cells in order, until the deadline (of `monotonic`); whether the device is whole."""
    for cell in cells:
        if monotonic() >= deadline:
            ledger.write(cell=cell.name, outcome="not reached", why="the time was over")
            continue
        started = perf_counter()
        facts = {"gds": False, **run_cell(bench, cell)}
        facts["took_s"] = round(perf_counter() - started, 3)
        ledger.write(cell=cell.name, **facts)
        print(f"{cell.name:44} {facts['outcome']:10} {facts.get('why', '')[:100]}", flush=True)
        if facts["outcome"] != "measured" and not is_whole(bench.machine):
            return False
    return True


def is_whole(machine: Machine) -> bool:
    """Whether the device still does anything: an error can end its context for good."""
    try:
        machine.device.to_host(machine.device.empty(16))
        machine.synchronize()
    except Exception:  # of CUDA, of ours: all mean the same here
        return False
    return True
