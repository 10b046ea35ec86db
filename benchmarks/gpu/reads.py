"""Reads from a store into an array on the device, and what bounds them.

Of a whole read three times are known beside its own, all from the same run: threaded pread of the
store into pinned memory, the upload of these bytes, and how long the device was at work. The
slowest of them is the bound that the read is held to.
"""

from __future__ import annotations

import statistics
from functools import partial
from typing import Any

import numpy as np
import zarr

import gpuzarr
from benchmarks.gpu import ceilings
from benchmarks.gpu.cells import Bench, Cell, check, spread
from benchmarks.gpu.machine import traced
from benchmarks.gpu.scale import Scale
from benchmarks.gpu.stores import LAYOUTS, RATIOS, Store


def cells(scale: Scale) -> list[Cell]:
    """Whole reads of the rest of the grid, small ratios last."""
    names = [
        f"{layout}/{chunk}/{ratio}"
        for ratio in reversed(RATIOS)
        for chunk in scale.chunks
        for layout in LAYOUTS
    ]
    return [whole(name) for name in names if name not in scale.named]


def whole(name: str) -> Cell:
    """A whole read by gpuzarr."""
    return Cell(f"read/{name}", partial(_whole, name))


def _whole(name: str, bench: Bench) -> dict[str, Any]:
    store, machine = bench.stores.get(name), bench.machine
    with machine.peak() as peak:
        array = gpuzarr.open_array(store.path, device=machine.name)
        result = array[...]
    check(store.holds(machine.host(result)), "the result differs from the source")
    del result
    seconds = bench.times(lambda: array[...])
    report = array.last_read
    with traced(machine) as trace:
        array[...]
    bounds = {**ceilings.of_store(bench, store), "device_s": trace.busy()}
    limit = max(("pread_s", "upload_s", "device_s"), key=lambda key: bounds[key])
    found = spread(seconds)
    return {
        **found,
        **_about(store),
        **_report(bench, report),
        **bounds,
        "memory_limit_bytes": _memory_limit(bench, store, report.threads),
        "bound_by": limit.removesuffix("_s"),
        "share_of_bound": bounds[limit] / found["median_s"],
        "device_by_kernel_s": {name: round(s, 7) for name, s in trace.by_name().items()},
        "GB_s": store.nbytes / found["median_s"] / 1e9,
        "peak_bytes": peak["bytes"],
    }


def _memory_limit(bench: Bench, store: Store, threads: int) -> int:
    """The result, a quarter more, and what the threads may have under way."""
    return int(1.25 * store.nbytes) + threads * bench.machine.device.wave_bytes()


def _about(store: Store) -> dict[str, Any]:
    return {
        "bytes": store.nbytes,
        "encoded_bytes": store.encoded,
        "files": len(store.files),
        "ratio": store.nbytes / store.encoded,
    }


def _report(bench: Bench, report: Any) -> dict[str, Any]:
    """What the read says of itself, and whether GPUDirect Storage served it."""
    return {
        "source": report.source,
        "gds": report.source == "gds" and bench.machine.gds[0],
        "chunks": report.chunks,
        "waves": report.waves,
        "threads": report.threads,
        "launches": report.launches,
        "uploaded_bytes": report.bytes_uploaded,
        "downloaded_bytes": report.bytes_downloaded,
        "stages": {f"{stage} on {device}": n for (stage, device), n in report.stages.items()},
        "stage_s": {name: round(s, 6) for name, s in report.seconds.items()},
    }


def parts(scale: Scale) -> list[Cell]:
    """Reads of parts, and one through zarr-python."""
    crops, boxes, face = scale.named[0], scale.named[-1], scale.named[0]
    return [
        Cell(f"crops/{scale.crops} of {scale.crop}²/{crops}", partial(_crops, crops)),
        Cell("tiles/sharded image", _tiles),
        Cell(f"face/zarr/{face}", partial(_face, face)),
        Cell(f"boxes/1 %/{boxes}", partial(_boxes, boxes)),
    ]


def _crops(name: str, bench: Bench) -> dict[str, Any]:
    store, side = bench.stores.get(name), bench.scale.crop
    rng = np.random.default_rng(5)
    origins = rng.integers(0, np.array(store.shape) - side + 1, (bench.scale.crops, 2))
    array = gpuzarr.open_array(store.path, device=bench.machine.name)

    def read() -> Any:
        return array.read_many(origins, shape=(side, side))

    found = bench.machine.host(read())
    for crop, (row, column) in zip(found, origins.tolist(), strict=True):
        wanted = store.part(slice(row, row + side), slice(column, column + side))
        check(crop.tobytes() == wanted.tobytes(), f"the crop at {row, column} differs")
    times = spread(bench.times(read))
    return {
        **times,
        **_about(store),
        **_report(bench, array.last_read),
        "crops": len(origins),
        "crops_s": len(origins) / times["median_s"],
        "GB_s": array.last_read.bytes_decoded / times["median_s"] / 1e9,
        "GB_s_of_result": found.nbytes / times["median_s"] / 1e9,
    }


def _tiles(bench: Bench) -> dict[str, Any]:
    """Aligned tiles of an image, one read each, in an order of chance."""
    store, side = bench.stores.get("image"), bench.scale.image[2]
    corners = [
        (row, column)
        for row in range(0, store.shape[0] - side + 1, side)
        for column in range(0, store.shape[1] - side + 1, side)
    ]
    order = np.random.default_rng(6).permutation(len(corners))[:16]
    keys = [tuple(slice(n, n + side) for n in corners[k]) for k in order.tolist()]
    return _each(bench, store, keys, "tiles")


def _boxes(name: str, bench: Bench) -> dict[str, Any]:
    """Boxes of a tenth of each side."""
    store, rng = bench.stores.get(name), np.random.default_rng(8)
    size = np.maximum(1, np.array(store.shape) // 10)
    corners = rng.integers(0, np.array(store.shape) - size + 1, (10, 2)).tolist()
    keys = [tuple(slice(n, n + m) for n, m in zip(c, size.tolist(), strict=True)) for c in corners]
    return _each(bench, store, keys, "boxes")


def _each(bench: Bench, store: Store, keys: list[Any], what: str) -> dict[str, Any]:
    array = gpuzarr.open_array(store.path, device=bench.machine.name)
    nbytes = 0
    for key in keys:
        found = bench.machine.host(array[key])
        check(found.tobytes() == store.part(*key).tobytes(), f"the part {key} differs")
        nbytes = found.nbytes
    seconds = [s for key in keys for s in bench.times(partial(array.__getitem__, key), 1)]
    times = spread(seconds)
    return {
        **times,
        **_about(store),
        **_report(bench, array.last_read),
        what: len(keys),
        "read_bytes": nbytes,
        "GB_s": nbytes / times["median_s"] / 1e9,
    }


def _face(name: str, bench: Bench) -> dict[str, Any]:
    """`zarr.open_array(…)[...]` under `gpuzarr.enable`."""
    store, machine = bench.stores.get(name), bench.machine
    with gpuzarr.enable(device=machine.name):
        array = zarr.open_array(store.path, mode="r")
        result: Any = array[...]
        check(not isinstance(result, np.ndarray), "the result is in host memory")
        check(store.holds(machine.host(result)), "the result differs from the source")
        del result
        times = spread(bench.times(lambda: array[...]))
    own = gpuzarr.open_array(store.path, device=machine.name)
    native = statistics.median(bench.times(lambda: own[...]))
    return {
        **times,
        **_about(store),
        **_report(bench, own.last_read),
        "native_s": native,
        "GB_s": store.nbytes / times["median_s"] / 1e9,
    }
