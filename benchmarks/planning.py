"""What a plan costs: everything that the native face does for a read before it asks the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import zarr

import gpuzarr
from benchmarks.records import Record
from benchmarks.settings import Settings
from gpuzarr import device, pipeline, selection
from gpuzarr.commands.timing import Call, Spread
from gpuzarr.plan import parts_of, plan_read

MOST_BYTES = 200e6
"""Of memory, to plan a million chunks."""


def plan_all(path: str, chunks: int | None = None) -> int:
    """Plan a read of the whole array, or of its first chunks, wave by wave, with the placement and
    the key of each chunk, as a read does; the number of chunks."""
    array = gpuzarr.open_array(path, device="cpu")
    spec = array._spec
    stop = array.shape[0] if chunks is None else min(array.shape[0], chunks)
    wanted = selection.basic((slice(0, stop),), array.shape, array.dtype)
    plan = plan_read(spec, parts_of(spec.grid, wanted.what))
    route = pipeline.route_of(plan, device.get("cpu"))
    planned = 0
    for first, last in plan.waves(route.chunks_per_wave):
        rows = plan.order[first:last]
        coords, placement = plan.parts.coords(rows), plan.parts.placement(rows)
        planned += len(spec.keys(coords))
        del coords, placement
    return planned


def measure(settings: Settings) -> Iterator[Record]:
    """Seconds for 10² chunks up to a million, and the memory of the most."""
    from benchmarks import jobs

    count = 100
    while count <= settings.largest:
        path = settings.folder / f"plan {count}.zarr"
        empty(path, count)
        if (found := plan_all(str(path))) != count:
            raise SystemExit(f"{found} chunks were planned, expected {count}.")
        calls = {"gpuzarr": Call(lambda path=path: plan_all(str(path)))}
        seconds = settings.time(f"plan {count} chunks", calls)
        yield Record("planning", "raw", "256", "int16", chunks=count, values=seconds,
                     note="keys and placements included")  # fmt: skip
        last, count = path, count * 10
    try:
        growth = [jobs.run("planning_memory", path=str(last)) for _ in range(3)]
    except RuntimeError as error:
        yield Record("planning memory", chunks=count // 10, unit="bytes", note=str(error))
        return
    yield Record("planning memory", "raw", "256", "int16", chunks=count // 10, unit="bytes",
                 values={"gpuzarr": Spread.of(growth)}, limit=MOST_BYTES)  # fmt: skip


def empty(path: Path, chunks: int) -> None:
    """An array of so many chunks along one axis, none of which is stored."""
    zarr.create_array(
        path, shape=(chunks, 128), chunks=(1, 128), dtype="int16", compressors=None, overwrite=True
    )
