"""``gpuzarr demo``: write real fields with zarr-python, read them back, compare, time and draw.

Three stores hold the same values in three layouts. Each is read whole by gpuzarr and by
zarr-python's default and fused pipelines; the results must agree in every bit before any clock
runs. Times are medians with a warm page cache, the readers taking turns at going first.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from operator import getitem
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import gpuzarr
from gpuzarr.commands.fields import Field, sea_surface_temperature
from gpuzarr.commands.picture import draw_map
from gpuzarr.errors import GpuzarrError

_PIPELINES = {
    "zarr default": "zarr.core.codec_pipeline.BatchedCodecPipeline",
    "zarr fused": "zarr.core.codec_pipeline.FusedCodecPipeline",
}
_READERS = ("gpuzarr", *_PIPELINES)

Reader = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """One way of storing the values."""

    title: str
    folder: str
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    zarr_format: Literal[2, 3]
    compressor: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured on one store: bytes, and the median seconds of each reader."""

    layout: Layout
    stored: int
    decoded: int
    seconds: dict[str, float]


def layouts(shape: tuple[int, int, int]) -> list[Layout]:
    """The stores of the demo for fields of shape ``(months, y, x)``.

    No chunk holds more than one copy of the fields, so no compressor gains by the repetition.
    """
    months, y, x = shape
    blosc = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
    zstd = {"name": "zstd", "configuration": {"level": 3, "checksum": False}}
    tile = (1, 1, -(-y // 3), -(-x // 3))
    shard = (8, months, *(3 * length for length in tile[2:]))
    return [
        Layout("v2 blosc-lz4-shuffle", "v2-blosc-lz4.zarr", (1, *shape), None, 2, blosc),
        Layout("v3 zstd", "v3-zstd.zarr", (1, *shape), None, 3, zstd),
        Layout("v3 sharded zstd", "v3-sharded.zarr", tile, shard, 3, zstd),
    ]


def write(layout: Layout, folder: Path, values: NDArray[np.float32], field: Field) -> str:
    """Write `values` with zarr-python; the path of the array."""
    path = str(folder / layout.folder)
    array = zarr.create_array(
        path,
        shape=values.shape,
        dtype=values.dtype,
        chunks=layout.chunks,
        shards=layout.shards,
        zarr_format=layout.zarr_format,
        compressors=layout.compressor,
        fill_value=field.missing,
        attributes={"long_name": "sea surface temperature", "units": field.units},
        overwrite=True,
    )
    array[...] = values
    return path


def open_readers(path: str, device: str) -> dict[str, Reader]:
    """Functions that read the whole array at `path`, by name."""
    readers: dict[str, Reader] = {"gpuzarr": gpuzarr.open_array(path, device=device).read}
    for name, pipeline in _PIPELINES.items():
        with zarr.config.set({"codec_pipeline.path": pipeline}):
            array = zarr.open_array(path, mode="r")
        readers[name] = partial(getitem, array, ...)
    return readers


def measure(
    readers: dict[str, Reader], repeats: int, tell: Callable[[str], None]
) -> dict[str, float]:
    """Median seconds of each reader; whoever was first goes last in the next round."""
    times: dict[str, list[float]] = {name: [] for name in readers}
    order = list(readers)
    for _ in range(repeats):
        for name in order:
            tell(f"time {name}")
            start = perf_counter()
            readers[name]()
            times[name].append(perf_counter() - start)
        order.append(order.pop(0))
    return {name: median(seconds) for name, seconds in times.items()}


def run(*, device: str, megabytes: int, repeats: int, output: Path, directory: Path | None) -> None:
    """Run the demo; see ``gpuzarr demo --help``."""
    if not output.absolute().parent.is_dir():
        raise FileNotFoundError(f"The folder for {str(output)!r} does not exist.")
    console = Console()
    field = sea_surface_temperature()
    copies = max(1, round(megabytes * 1e6 / field.values.nbytes))
    values = np.broadcast_to(field.values, (copies, *field.values.shape))
    months, y, x = field.values.shape
    console.print(
        f"Sea surface temperature of an ocean model, {months} monthly means of {y} × {x} cells "
        f"(float32, {decimal(field.values.nbytes)}), from the package iris-sample-data.\n"
        f"That is too small to time, so it is tiled {copies} times along a new first axis to "
        f"{decimal(values.nbytes)}; no chunk holds two copies.\n",
        highlight=False,
    )

    plans = layouts((months, y, x))
    steps = len(plans) * (1 + len(_READERS) * (1 + repeats)) + 1
    with _folder(directory) as folder, _progress(console, steps) as tell:
        results = []
        for layout in plans:
            tell(f"write {layout.title}")
            path = write(layout, folder, values, field)
            readers = open_readers(path, device)
            for name, read in readers.items():
                tell(f"compare {name}")
                _require_equal(name, path, read(), values)
            stored = sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())
            seconds = measure(readers, repeats, tell)
            results.append(Result(layout, stored, values.nbytes, seconds))
        tell("draw the map")
        array = gpuzarr.open_array(path, device=device)
        _draw(field, _on_host(array[copies - 1, 0]), output)

    console.print(_table(results))
    console.print(
        f"All {len(plans)} × {len(_READERS)} results were the same in every bit. "
        f"Medians of {repeats}, warm page cache, {os.cpu_count()} CPUs; "
        f"gpuzarr {gpuzarr.__version__} on {array.device}, zarr-python {zarr.__version__}.\n"
        f"Map: {output}" + (f"\nStores: {directory}" if directory else ""),
        highlight=False,
        soft_wrap=True,
    )


def _table(results: list[Result]) -> Table:
    table = Table(
        title="Reading the whole array, GB/s of decoded bytes",
        box=SIMPLE,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("store", no_wrap=True)
    headers = ("chunks", "ratio", *_READERS, "over\ndefault", "over\nfused")
    for header in headers:
        table.add_column(header.replace("zarr ", "zarr\n"), justify="right", no_wrap=True)
    for result in results:
        chunk = np.prod(result.layout.chunks) * np.dtype(np.float32).itemsize
        seconds = result.seconds
        table.add_row(
            result.layout.title,
            decimal(int(chunk)),
            f"{result.decoded / result.stored:.2f}",
            *(f"{result.decoded / seconds[name] / 1e9:.2f}" for name in _READERS),
            *(f"{seconds[name] / seconds['gpuzarr']:.1f} ×" for name in _PIPELINES),
        )
    return table


def _draw(field: Field, values: NDArray[np.float32], output: Path) -> None:
    y, x = values.shape
    draw_map(
        np.where(values == np.float32(field.missing), np.float32(np.nan), values),
        field.corner_longitude,
        field.corner_latitude,
        title=f"Sea surface temperature, {field.months[0]}",
        subtitle=f"monthly mean · ocean model NEMO on its own grid of {y} × {x} cells · "
        "read from Zarr by gpuzarr",
        label=field.units,
        output=output,
    )


def _require_equal(name: str, path: str, result: Any, expected: NDArray[np.float32]) -> None:
    found = _on_host(result)
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise GpuzarrError(
            f"{name} read {found.dtype}{found.shape} from {path!r}, "
            f"expected {expected.dtype}{expected.shape}."
        )
    wrong = np.count_nonzero(found.view(np.uint32) != expected.view(np.uint32))
    if wrong:
        raise GpuzarrError(f"{name} read {wrong} of {found.size} values wrong from {path!r}.")


def _on_host(array: Any) -> NDArray[np.float32]:
    host: NDArray[np.float32] = array.get() if hasattr(array, "get") else np.asarray(array)
    return host


@contextmanager
def _folder(directory: Path | None) -> Iterator[Path]:
    """`directory`, made if need be, or a temporary one."""
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        yield directory
        return
    temporary = Path(tempfile.mkdtemp(prefix="gpuzarr-demo-"))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _progress(console: Console, steps: int) -> Iterator[Callable[[str], None]]:
    """A bar; the function tells it what is done next."""
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=steps)
        begun = False

        def tell(step: str) -> None:
            nonlocal begun
            progress.update(task, description=step, advance=int(begun))
            begun = True

        yield tell
