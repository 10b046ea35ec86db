"""Whole reads and writes of local stores, page cache warm, every peer on the same stores.

Each result is compared with the source before anything is timed; then the peers take turns, in an
order that rotates, and medians are shown. Run it on a machine that does nothing else. zarrs is
among the peers where it is installed (the dependency group ``peers-light``).
"""

from __future__ import annotations

import datetime
import json
import platform
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import typer
import zarr
from rich.console import Console
from rich.table import Table

import gpuzarr
from benchmarks.peers import NULL, PEERS
from benchmarks.stores import SIZES, Size, build, empty, field, layouts
from gpuzarr.runtime import thread_limit

OURS = ("gpuzarr", "gpuzarr in zarr")
OTHERS = ("zarr fused", "zarrs")
"""The peers that ratios are shown against."""


def measure(calls: dict[str, Callable[[], Any]], repetitions: int) -> dict[str, list[float]]:
    """Seconds of each peer; in every round each has one turn, and the first one changes."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for turn in range(repetitions):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            started = perf_counter()
            calls[name]()
            seconds[name].append(perf_counter() - started)
    return seconds


def run_read(
    root: Path, size: Size, row: str, data: np.ndarray, repetitions: int
) -> dict[str, Any]:
    """Build, check and time whole reads of one store."""
    path, ratio = build(root, size, row, data)
    arrays = {name: opened(path) for name, opened in PEERS.items()}
    for name, array in arrays.items():
        if not np.array_equal(array[...], data):
            raise SystemExit(f"{name} reads {row} {size.name} wrongly; nothing was timed.")
    calls = {name: lambda a=array: a[...] for name, array in arrays.items()}
    null = NULL(path)
    calls["null"] = lambda: null[...]
    return _result("read", size, row, data, ratio, measure(calls, repetitions))


def run_write(
    root: Path, size: Size, row: str, data: np.ndarray, repetitions: int
) -> dict[str, Any]:
    """Check and time writing all chunks of one store that exists, by each peer in turn."""
    path = empty(root, size, row, data)
    arrays = {name: opened(path) for name, opened in PEERS.items()}
    for name, array in arrays.items():
        arrays["zarr default"][...] = data + 1
        array[...] = data
        if not np.array_equal(arrays["zarr default"][...], data):
            raise SystemExit(f"{name} writes {row} {size.name} wrongly; nothing was timed.")
    ratio = data.nbytes / arrays["zarr default"].nbytes_stored()

    def store(array: Any) -> None:
        array[...] = data

    calls = {name: lambda a=array: store(a) for name, array in arrays.items()}
    return _result("write", size, row, data, ratio, measure(calls, repetitions))


def _result(
    what: str, size: Size, row: str, data: np.ndarray, ratio: float, seconds: dict[str, list[float]]
) -> dict[str, Any]:
    medians = {name: statistics.median(s) for name, s in seconds.items()}
    return {
        "what": what,
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
            f"{ours} / {other}": round(medians[other] / medians[ours], 2)
            for ours in OURS
            for other in OTHERS
            if other in medians
        },
    }


def table(results: list[dict[str, Any]], what: str) -> Table:
    """The results, a row each."""
    results = [r for r in results if r["what"] == what]
    shown = Table(title=f"Whole {what}s, medians in ms; {thread_limit()} threads")
    peers, ratios = list(results[0]["median_ms"]), list(results[0]["speedup"])
    for column in ("chunk", "codec", "ratio", *peers, *(f"× {name}" for name in ratios)):
        shown.add_column(column, justify="left" if column == "codec" else "right")
    for r in results:
        shown.add_row(
            r["chunk"], r["row"], f"{r['compression']:.2f}",
            *(f"{r['median_ms'][name]:.1f}" for name in peers),
            *(f"{r['speedup'][name]:.2f}" for name in ratios),
        )  # fmt: skip
    return shown


def _commit() -> str:
    """The commit that is measured, or nothing outside a checkout."""
    call = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(call, capture_output=True, text=True, check=False).stdout.strip()


def main(
    repetitions: Annotated[int, typer.Option(help="Timed turns per peer and row.")] = 9,
    only: Annotated[str, typer.Option(help="Rows whose name contains this.")] = "",
    sizes: Annotated[str, typer.Option(help="Chunk sizes, separated by commas.")] = "16K,256K,4M",
    what: Annotated[str, typer.Option(help="read, write, or both by a comma.")] = "read,write",
    output: Annotated[Path | None, typer.Option(help="Where to write the JSON.")] = None,
) -> None:
    """Compare gpuzarr with zarr-python, and with zarrs, on this machine."""
    results: list[dict[str, Any]] = []
    runs = {"read": run_read, "write": run_write}
    with tempfile.TemporaryDirectory() as folder:
        for size in (s for s in SIZES if s.name in sizes.split(",")):
            data = field(size.side * size.grid)
            for row in (row for row in layouts(size) if only in row):
                results += [
                    runs[kind](Path(folder), size, row, data, repetitions)
                    for kind in what.split(",")
                ]
    for kind in what.split(","):
        Console(width=200).print(table(results, kind))
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
