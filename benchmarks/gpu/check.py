"""``run.sh check``: is everything right on this device? Each step is a process with a time limit.

check.json is written anew after each step, so a run that is cut short keeps what it has; check.log
has the whole output.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, perf_counter
from typing import Annotated, Any

import typer

from benchmarks.gpu.stores import LAYOUTS, workplace

ROOT = Path(__file__).parents[2]
_TAIL, _LOGGED = 4000, 1 << 20
"""Characters of a step's output that check.json and check.log keep."""
_CORRUPT = 25
"""Seconds for the damaged chunks of one layout."""

_NO_TESTS = 5
"""Exit status of pytest that collected nothing."""

BAD = ("failed", "timed out", "not reached")


@dataclass
class Run:
    """The steps so far, and the file that has them."""

    device: str
    out: Path
    deadline: float
    tests: list[str]
    sanitized: list[str]
    cases: int
    document: dict[str, Any] = field(default_factory=dict)
    is_lost: bool = False
    """Whether there is no device to go on with."""

    def left(self, most: float) -> float:
        """Seconds that a step may take."""
        return max(0.0, min(most, self.deadline - monotonic()))

    def note(self, step: str, outcome: str, seconds: float = 0.0, **facts: Any) -> None:
        """Write a step down."""
        entry = {"step": step, "outcome": outcome, "seconds": round(seconds, 2), **facts}
        self.document.setdefault("steps", []).append(entry)
        self.save()
        print(f"{step:34} {outcome:12} {seconds:7.1f} s  {facts.get('why', '')[:90]}", flush=True)

    def save(self) -> None:
        """In one piece, so that the file can be read at any time."""
        draft = self.out / "check.json.part"
        draft.write_text(json.dumps(self.document, indent=1) + "\n")
        draft.replace(self.out / "check.json")

    def call(self, command: list[str], most: float, **env: str) -> tuple[int | None, str, float]:
        """Exit status (None: the time was over), output and seconds of a process."""
        started, limit = perf_counter(), self.left(most)
        self.document["running"] = command
        self.save()
        surroundings = os.environ | env
        process = subprocess.Popen(
            command, cwd=ROOT, env=surroundings, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            output, code = process.communicate(timeout=limit)[0], process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            output, code = process.communicate()[0], None
        del self.document["running"]
        with (self.out / "check.log").open("a") as log:
            log.write(f"$ {' '.join(command)}\n{output[-_LOGGED:]}\n")
        return code, output, perf_counter() - started

    def step(self, name: str, command: list[str], most: float, **env: str) -> int | None:
        """A process whose exit status is the outcome."""
        if self.left(most) < 1:
            self.note(name, "not reached", why="the time was over")
            return None
        code, output, seconds = self.call(command, most, **env)
        word = {0: "passed", None: "timed out"}.get(code, "failed")
        why = {} if word == "passed" else {"why": f"exit status {code}" if code else "time limit"}
        if code == _NO_TESTS and "pytest" in command:
            word = "absent" if self.device == "emulated" else "failed"
            why = {"why": "no tests were collected"}
        self.note(name, word, seconds, command=" ".join(command), tail=output[-_TAIL:], **why)
        return code


def about(run: Run) -> None:
    """Driver, card and versions, told by a process that may fail."""
    code, output, seconds = run.call([sys.executable, "-m", "benchmarks.gpu.about", run.device], 60)
    if code == 0:
        run.document["about"] = json.loads(output.splitlines()[-1])
        run.note("device is there", "passed", seconds)
    else:
        run.is_lost = True
        run.note("device is there", "failed", seconds, why=last_line(output), tail=output[-_TAIL:])


def last_line(output: str) -> str:
    """Of what a process said; of an exception, its words."""
    return next((line for line in reversed(output.splitlines()) if line.strip()), "")[:300]


def fixtures(run: Run) -> None:
    """The arrays that other tools wrote must be there."""
    folder = os.environ.get("GPUZARR_FIXTURES", "")
    if folder and Path(folder).is_dir() and any(Path(folder).iterdir()):
        run.note("conformance fixtures", "passed")
    else:
        run.note("conformance fixtures", "failed", why=f"GPUZARR_FIXTURES={folder!r} has none")


def doctor(run: Run) -> None:
    """What the package itself says of this machine, and measures of it."""
    if importlib.util.find_spec("gpuzarr.commands.doctor") is None:
        run.note("doctor", "absent", why="this version has no such command")
        return
    command = [sys.executable, "-c", "from gpuzarr.commands.cli import main; main()", "doctor"]
    run.step("doctor", command, 60)
    run.step("calibration", [*command, "--device", run.device, "--calibrate"], 60)


def smoke(run: Run) -> None:
    """One read of each layout."""
    run.step("smoke", [sys.executable, "-m", "benchmarks.gpu.smoke", run.device], 90)


def pytest(paths: list[str], workers: int) -> list[str]:
    """The tests that are marked for GPUs."""
    options = ["-m", "gpu", "-q", "-p", "no:cacheprovider", "-n", str(workers)]
    return [sys.executable, "-m", "pytest", *options, *paths]


def suite(run: Run) -> None:
    """All tests that are marked for GPUs, on this device."""
    env = {"GPUZARR_TEST_DEVICE": run.device, "GPUZARR_REQUIRE_FIXTURES": "1"}
    run.step("tests", pytest(run.tests, 4 if run.device != "emulated" else 0), 190, **env)


def sanitizers(run: Run) -> None:
    """The contract suite, every access watched."""
    tool = shutil.which("compute-sanitizer", path=f"{os.environ['PATH']}:/usr/local/cuda/bin")
    for what, most in (("memcheck", 90), ("racecheck", 60)):
        if tool is None or run.device == "emulated":
            why = "the tool is not here" if tool is None else "it watches GPUs only"
            run.note(what, "absent", why=why)
            continue
        watched = [tool, "--tool", what, "--error-exitcode", "99", "--print-limit", "20"]
        plugin = ["-p", "benchmarks.gpu.unpooled"]
        command = [*watched, *pytest(run.sanitized, 0), *plugin]
        run.step(what, command, most, GPUZARR_TEST_DEVICE=run.device)


def corrupt(run: Run) -> None:
    """Damaged chunks last, layout by layout: they may end the device."""
    for layout in LAYOUTS:
        if layout == "raw":
            continue
        first, counts, why = 0, {"right": 0, "fault": 0, "wrong": 0, "died": 0}, []
        started = perf_counter()
        while first < run.cases and run.left(_CORRUPT - (perf_counter() - started)) > 1:
            command = [sys.executable, "-m", "benchmarks.gpu.corrupt", run.device, layout]
            most = _CORRUPT - (perf_counter() - started)
            code, output, _ = run.call([*command, str(first), str(run.cases)], most)
            lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
            for line in lines:
                if "outcome" in line:
                    counts[line["outcome"]] += 1
                    if line["outcome"] != "right":
                        why.append(f"case {line['case']}: {line['why']}")
            reached = max((line["case"] for line in lines), default=first - 1)
            if not lines or "outcome" not in lines[-1]:
                counts["died"] += 1
                ended = "hung" if code is None else f"ended with status {code}"
                why.append(f"case {reached}: the process {ended}: {last_line(output)}")
            first = max(first, reached) + 1
        bad = counts["wrong"] or counts["died"]
        word = "failed" if bad else "passed" if first >= run.cases else "not reached"
        run.note(
            f"corrupt {layout}", word, perf_counter() - started, counts=counts, cases=why[:20],
            **({"why": why[0]} if bad else {}),
        )  # fmt: skip


STEPS = (fixtures, about, doctor, smoke, suite, sanitizers, corrupt)


def main(
    device: Annotated[str, typer.Option(help="cuda, cuda:1 or emulated.")] = "cuda",
    out: Annotated[Path, typer.Option(help="Folder of check.json.")] = Path("gpu-results"),
    minutes: Annotated[float, typer.Option(help="After these no step begins.")] = 8.5,
    tests: Annotated[str, typer.Option(help="Where tests are looked for, by spaces.")] = "tests",
    sanitized: Annotated[str, typer.Option(help="Those under a sanitizer.")] = "tests/device",
    cases: Annotated[int, typer.Option(help="Damaged chunks of each layout.")] = 8,
) -> None:
    """Check the device; the exit status says whether every step passed."""
    out.mkdir(parents=True, exist_ok=True)
    deadline = monotonic() + 60 * minutes
    run = Run(device, out.resolve(), deadline, tests.split(), sanitized.split(), cases)
    try:
        with workplace():
            for step in STEPS:
                if not run.is_lost:
                    step(run)
    except Exception as error:  # what is known stays, and the reason with it
        run.note("check itself", "failed", why=f"{type(error).__name__}: {error}")
    outcomes = [step["outcome"] for step in run.document["steps"]]
    run.document["passed"] = not any(outcome in BAD for outcome in outcomes)
    run.save()
    if not run.document["passed"]:
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
