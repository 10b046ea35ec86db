"""``gpuzarr bench PATH``: how fast one's own array is read, by gpuzarr and by what else is here.

Everyone reads the same selections: the whole array, or as many of its first chunks as a limit of
bytes allows, and random boxes of a hundredth of that. What zarr-python's default pipeline reads is
the reference; the others must agree in every bit before any clock runs. Then they take turns.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import typer
import zarr
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

import gpuzarr
from gpuzarr.commands.contestants import Contestant, contestants, limit_threads
from gpuzarr.commands.timing import Call, Spread, side_by_side
from gpuzarr.errors import GpuzarrError, UnsupportedError
from gpuzarr.runtime import processors

_REFERENCE = "zarr default"
_BOXES = 8


@dataclass(frozen=True, slots=True)
class Task:
    """Selections that are read one after the other."""

    title: str
    keys: tuple[tuple[slice, ...], ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured: bytes of all results together, seconds, and who is left out and why."""

    task: str
    nbytes: int
    seconds: dict[str, Spread]
    left_out: dict[str, str]


def run(
    path: str, *, device: str, megabytes: int, repeats: int, threads: int | None, as_json: bool
) -> None:
    """Measure, and print what was found."""
    if threads is not None:
        limit_threads(threads)
    array = gpuzarr.open_array(path, device=device)
    errors = Console(stderr=True)

    def tell(step: str) -> None:
        if errors.is_terminal:
            errors.print(f"\r\x1b[K{step}", end="", markup=False, highlight=False)

    results = [measure(path, task, device, repeats, tell) for task in tasks(array, megabytes)]
    tell("")
    if as_json:
        typer.echo(json.dumps([asdict(result) for result in results], indent=2))
        return
    console = Console()
    for result in results:
        console.print(_table(result))
    console.print(
        f"Medians and quartiles of {repeats}, the page cache warm; {threads or processors()} "
        f"threads. All results were the same in every bit. gpuzarr {gpuzarr.__version__} on "
        f"{array.device}, zarr-python {zarr.__version__}.",
        highlight=False,
    )
    for name, reason in results[0].left_out.items():
        console.print(f"Left out: {name}. {reason}", highlight=False, markup=False)


def tasks(array: gpuzarr.Array, megabytes: int) -> Iterator[Task]:
    """What is read of an array."""
    shape = leading(array, megabytes * 1_000_000)
    whole = tuple(slice(0, n) for n in shape)
    yield Task("the whole array" if shape == array.shape else f"its first {list(shape)}", (whole,))
    if not math.prod(shape) > 1:
        return
    rng = np.random.default_rng(0)
    side = 0.01 ** (1 / len(shape))
    lengths = [max(1, round(n * side)) for n in shape]
    boxes = []
    for _ in range(_BOXES):
        starts = [int(rng.integers(n - m + 1)) for n, m in zip(shape, lengths, strict=True)]
        boxes.append(tuple(slice(a, a + m) for a, m in zip(starts, lengths, strict=True)))
    yield Task(f"{_BOXES} random boxes of {lengths}", tuple(boxes))


def leading(array: gpuzarr.Array, most_bytes: int) -> tuple[int, ...]:
    """The shape of so many whole stored chunks as have about this many bytes, decoded."""
    chunks: Any = array.shards or array.chunks
    shape = list(array.shape)
    for axis, length in enumerate(chunks or ()):
        others = math.prod(shape[:axis] + shape[axis + 1 :]) * max(1, array.dtype.itemsize)
        chunk = int(np.max(length))  # lengths may differ along an axis
        fitting = max(1, most_bytes // max(1, others * chunk)) * chunk
        shape[axis] = min(shape[axis], fitting)
    return tuple(shape)


def measure(path: str, task: Task, device: str, repeats: int, tell: Callable[[str], Any]) -> Result:
    """Check everyone, and time those that read the same.

    Raises
    ------
    GpuzarrError
        If gpuzarr reads something else than zarr-python.
    """
    found = contestants(device)
    calls: dict[str, Call] = {}
    left_out: dict[str, str] = {}
    expected = _read(found[_REFERENCE], path, task).result()
    for name, contestant in found.items():
        tell(f"compare {name}")
        try:
            call = _read(contestant, path, task)
            results = call.result()
        except Exception as error:
            if name.startswith("gpuzarr"):
                raise
            kind = "" if isinstance(error, UnsupportedError) else f"{type(error).__name__}: "
            left_out[name] = f"{kind}{error}"
            continue
        if all(map(_are_same, results, expected)):
            calls[name] = call
        elif name.startswith("gpuzarr"):
            raise GpuzarrError(f"{name} and zarr-python read different values from {path!r}.")
        else:
            left_out[name] = "It reads other values than zarr-python."
    nbytes = sum(part.nbytes for part in expected)
    del expected, results
    seconds = side_by_side(calls, repeats, tell=lambda name: tell(f"time {name}"))
    return Result(task.title, nbytes, seconds, left_out)


def _read(contestant: Contestant, path: str, task: Task) -> Call:
    array = contestant.opened(path)
    return Call(lambda: [contestant.finish(array[key]) for key in task.keys], contestant.active)


def _are_same(found: Any, expected: Any) -> bool:
    one, other = _native(found), _native(expected)
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.hasobject or one.dtype.kind == "T":
        return np.array_equal(one, other)
    return np.array_equal(one.reshape(-1).view(np.uint8), other.reshape(-1).view(np.uint8))


def _native(array: Any) -> NDArray[Any]:
    """On the host, in native byte order and C order."""
    host = np.asarray(array.get() if hasattr(array, "get") else array)
    return np.ascontiguousarray(host, host.dtype.newbyteorder("="))


def _table(result: Result) -> Table:
    table = Table(
        title=f"Reading {result.task}, {decimal(result.nbytes)}", box=SIMPLE, pad_edge=False,
        title_justify="left",
    )  # fmt: skip
    for header in ("", "median, ms", "quartiles, ms", "GB/s", "gpuzarr is"):
        table.add_column(header, justify="right" if header else "left", no_wrap=True)
    ours = result.seconds["gpuzarr"].median
    for name, spread in sorted(result.seconds.items(), key=lambda item: item[1].median):
        ratio = spread.median / ours
        table.add_row(
            f"[bold]{name}[/]" if name.startswith("gpuzarr") else name,
            f"{1e3 * spread.median:.2f}",
            f"{1e3 * spread.first:.2f} – {1e3 * spread.third:.2f}",
            f"{result.nbytes / spread.median / 1e9:.2f}",
            "" if name == "gpuzarr" else f"{ratio:.2f} × as fast",
        )
    return table
