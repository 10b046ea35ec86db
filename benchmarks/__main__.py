"""Whole reads of local stores, page cache warm, every peer on the same stores in one run.

Each result is compared with the source before anything is timed; then the peers take turns, in an
order that rotates, and medians are shown. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import datetime
import json
import platform
import statistics
import subprocess
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import typer
import zarr
from rich.console import Console
from rich.table import Table

import gpuzarr
from benchmarks.peers import PEERS, Reader
from benchmarks.stores import SIZES, Size, build, field, layouts
from gpuzarr.runtime import thread_limit


def measure(readers: dict[str, Reader], repetitions: int) -> dict[str, list[float]]:
    """Seconds of each peer; in every round each has one turn, and the first one changes."""
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    names = list(readers)
    for turn in range(repetitions):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            started = perf_counter()
            readers[name]()
            seconds[name].append(perf_counter() - started)
    return seconds


def run_row(root: Path, size: Size, row: str, data: np.ndarray, repetitions: int) -> dict[str, Any]:
    """Build, check and time one row."""
    path, ratio = build(root, size, row, data)
    readers = {name: make(path) for name, make in PEERS.items()}
    for name, reader in readers.items():
        if not np.array_equal(reader(), data):
            raise SystemExit(f"{name} reads {row} {size.name} wrongly; nothing was timed.")
    seconds = measure(readers, repetitions)
    medians = {name: statistics.median(s) for name, s in seconds.items()}
    return {
        "row": row,
        "chunk": size.name,
        "chunks": size.grid**2,
        "bytes": data.nbytes,
        "compression": round(ratio, 2),
        "median_ms": {name: round(1e3 * s, 2) for name, s in medians.items()},
        "spread_ms": {
            name: [round(1e3 * min(s), 2), round(1e3 * max(s), 2)] for name, s in seconds.items()
        },
        "speedup": {
            name: round(s / medians["gpuzarr"], 2)
            for name, s in medians.items()
            if name != "gpuzarr"
        },
    }


def table(results: list[dict[str, Any]]) -> Table:
    """The results, a row each."""
    shown = Table(title=f"Whole reads, medians in ms; {thread_limit()} threads")
    for column in ("chunk", "codec", "ratio", *PEERS, *(f"× {n}" for n in PEERS if n != "gpuzarr")):
        shown.add_column(column, justify="left" if column == "codec" else "right")
    for r in results:
        shown.add_row(
            r["chunk"], r["row"], f"{r['compression']:.2f}",
            *(f"{r['median_ms'][name]:.1f}" for name in PEERS),
            *(f"{r['speedup'][name]:.2f}" for name in PEERS if name != "gpuzarr"),
        )  # fmt: skip
    return shown


def _commit() -> str:
    """The commit that is measured, or nothing outside a checkout."""
    call = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(call, capture_output=True, text=True, check=False).stdout.strip()


def main(
    repetitions: Annotated[int, typer.Option(help="Timed reads per peer and row.")] = 9,
    only: Annotated[str, typer.Option(help="Rows whose name contains this.")] = "",
    sizes: Annotated[str, typer.Option(help="Chunk sizes, separated by commas.")] = "16K,256K,4M",
    output: Annotated[Path | None, typer.Option(help="Where to write the JSON.")] = None,
) -> None:
    """Compare gpuzarr with zarr-python on this machine."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for size in (s for s in SIZES if s.name in sizes.split(",")):
            data = field(size.side * size.grid)
            rows = [row for row in layouts(size) if only in row]
            results += [run_row(Path(folder), size, row, data, repetitions) for row in rows]
    Console().print(table(results))
    if output is not None:
        about = {
            "date": datetime.date.today().isoformat(),
            "commit": _commit(),
            "gpuzarr": gpuzarr.__version__,
            "zarr": zarr.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "threads": thread_limit(),
            "repetitions": repetitions,
        }
        output.write_text(json.dumps({"about": about, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
