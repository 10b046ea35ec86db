"""``run.sh measure``: ceilings, kernels, codecs, whole reads and peers, the weightiest first.

A worker process runs the cells and writes each result at once. Where an error ends the device for
good, or a cell hangs or takes the process down, the supervisor notes that cell as failed and starts
a worker anew behind it. What the time does not suffice for is noted as not reached; ``--from``
takes up there, with the same file.
"""

from __future__ import annotations

import faulthandler
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer

from benchmarks.gpu import ceilings, encoding, kernels, peers, reads, streams
from benchmarks.gpu.about import about
from benchmarks.gpu.cells import Bench, Cell, Ledger, run_cells
from benchmarks.gpu.machine import Machine, machine
from benchmarks.gpu.scale import Scale, scale
from benchmarks.gpu.stores import Stores, workplace

_DEVICE_ENDED = 3
"""Exit status of a worker whose device an error ended."""

_SLOWEST = 90
"""Seconds after which a cell hangs."""


def all_cells(size: Scale) -> list[Cell]:
    """In their order; cells of one store stand together."""
    found = [*ceilings.cells(), *kernels.cells()]
    found += [cell for name in size.named for cell in (reads.whole(name), *peers.cells(name))]
    found += [*reads.parts(size), *streams.cells(size.library), *encoding.cells(size.library)]
    found += reads.cells(size)
    return found + peers.late(size.named)


def chosen(size: Scale, only: str, start: str) -> list[Cell]:
    """Cells whose name contains `only`, from the one named `start` on."""
    cells = all_cells(size)
    if start:
        names = [cell.name for cell in cells]
        if start not in names:
            raise typer.BadParameter(f"There is no cell {start!r}.", param_hint="--from")
        cells = cells[names.index(start) :]
    return [cell for cell in cells if only in cell.name]


def work(device: str, size: Scale, cells: list[Cell], ledger: Ledger, deadline: float) -> bool:
    """Run the cells that have no outcome yet; whether the device is whole."""
    stores, done = Stores(size), ledger.done()
    try:
        faulthandler.dump_traceback_later(_SLOWEST, exit=True)
        bench = Bench(_machine(device), size, stores)
        if "about" not in done:
            ledger.write(
                cell="about", outcome="told", in_memory=stores.is_in_memory, **about(bench.machine)
            )
        left = [cell for cell in cells if cell.name not in done]
        for cell in left:
            faulthandler.dump_traceback_later(_SLOWEST, exit=True)
            if not run_cells(bench, [cell], ledger, deadline):
                return False
        return True
    finally:
        faulthandler.cancel_dump_traceback_later()
        stores.close()


def _machine(device: str) -> Machine:
    """The machine, or an end in a sentence."""
    try:
        return machine(device)
    except Exception as error:  # of ours, of CuPy's, of an import
        raise SystemExit(f"{device!r} cannot be measured: {error}") from error


def supervise(command: list[str], cells: list[Cell], ledger: Ledger, deadline: float) -> None:
    """Start workers until every cell has an outcome."""
    while True:
        before = len(ledger.lines())
        left = max(0.0, (deadline - monotonic()) / 60)
        code = subprocess.run([*command, "--minutes", f"{left:.3f}"], check=False).returncode
        if code == 0:
            return
        if code == _DEVICE_ENDED and len(ledger.lines()) > before:
            continue
        done = ledger.done()
        stuck = next((cell.name for cell in cells if cell.name not in done), None)
        if stuck is None:
            return
        if "about" not in done:
            raise SystemExit(f"The worker ended with status {code} before its first cell.")
        why = f"the process ended with status {code}, or hung for {_SLOWEST} seconds"
        ledger.write(cell=stuck, outcome="failed", checked=False, gds=False, why=why)


def main(
    device: Annotated[str, typer.Option(help="cuda, cuda:1 or emulated.")] = "cuda",
    out: Annotated[Path, typer.Option(help="Folder of measure.jsonl.")] = Path("gpu-results"),
    minutes: Annotated[float, typer.Option(help="After these no cell begins.")] = 8.5,
    start: Annotated[str, typer.Option("--from", help="Begin with this cell.")] = "",
    only: Annotated[str, typer.Option(help="Cells whose name contains this.")] = "",
    size: Annotated[str, typer.Option(help="full, or tiny to see the code run.")] = "",
    stores: Annotated[
        Path | None, typer.Option(help="Where stores are built, else in memory-backed files.")
    ] = None,
    worker: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Measure; results stand in measure.jsonl, a line each."""
    deadline = monotonic() + 60 * minutes
    size = size or ("tiny" if device == "emulated" else "full")
    cells = chosen(scale(size), only, start)
    out.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(out / "measure.jsonl")
    if worker:
        is_whole = work(device, scale(size), cells, ledger, deadline)
        raise SystemExit(0 if is_whole else _DEVICE_ENDED)
    command = [
        sys.executable, "-m", "benchmarks.gpu.measure", "--worker", "--device", device,
        "--out", str(out), "--size", size, "--only", only, "--from", start,
    ]  # fmt: skip
    with workplace(stores):
        supervise(command, cells, ledger, deadline)
    outcomes = [line["outcome"] for line in ledger.lines()]
    print({outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))})
    if "failed" in outcomes:
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
