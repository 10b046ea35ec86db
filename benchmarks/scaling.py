"""Time against the number of chunks, from 10² to 10⁶, and what it comes to for many.

Chunks are tiny, ``[8, 8]`` of int16, so that what is measured is the cost of a chunk and not of
its bytes. Three kinds of arrays: *empty*, of which nothing is stored; *files*, a file for each
chunk, up to 10⁴ of them, since a million files are too much for a disk; *shards*, with 10⁴ chunks
in each. A contestant that would take longer than the limit is left out from there on.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from benchmarks.data import field
from benchmarks.peers import Party, opened
from benchmarks.records import Record
from benchmarks.settings import Settings, require_equal

_SIDE = 8
_MOST_FILES = 10_000
_IN_SHARD = 100
KINDS = ("empty", "files", "shards")


@dataclass(frozen=True)
class Fit:
    """Seconds of n chunks as ``fixed + n × each``.

    Attributes
    ----------
    worst
        The largest deviation from what was measured, relative to it.
    """

    fixed: float
    each: float
    worst: float

    @classmethod
    def of(cls, counts: list[int], seconds: list[float]) -> Fit:
        """The line with the least relative deviations, neither of its numbers negative."""
        n, t = np.array(counts, float), np.array(seconds, float)
        both = np.linalg.lstsq(np.stack([1 / t, n / t], axis=1), np.ones(len(t)))[0]
        fixed, each = both
        if fixed < 0:
            fixed, each = 0.0, float(np.mean(n / t) / np.mean((n / t) ** 2))
        elif each < 0:
            fixed, each = float(np.mean(1 / t) / np.mean(1 / t**2)), 0.0
        return cls(float(fixed), float(each), float(np.abs((fixed + each * n) / t - 1).max()))


def measure(settings: Settings) -> Iterator[Record]:
    """A row for each kind and number of chunks, until nobody is left."""
    for kind in KINDS:
        left, count = set(settings.names), 100
        most = min(settings.largest, _MOST_FILES) if kind == "files" else settings.largest
        while count <= most and left:
            with_names = replace(settings, names=tuple(n for n in settings.names if n in left))
            path = settings.folder / f"{kind} {count}.zarr"
            settings.tell(f"build {kind}, {count} chunks")
            record = of_kind(with_names, kind, build(path, kind, count), path, count)
            shutil.rmtree(path)
            yield record
            left = {
                name for name, spread in record.values.items()
                if spread.median * 10 < settings.most_seconds
            }  # fmt: skip
            count *= 10


def build(path: Path, kind: str, count: int) -> np.ndarray:
    """Make the array; what it holds."""
    rows = math.isqrt(count)
    while count % rows or (kind == "shards" and count > _IN_SHARD**2 and rows % _IN_SHARD):
        rows -= 1
    grid = (rows, count // rows)
    shape = tuple(_SIDE * n for n in grid)
    shard = tuple(_SIDE * math.gcd(_IN_SHARD, n) for n in grid)
    array = zarr.create_array(
        path, shape=shape, chunks=(_SIDE, _SIDE), dtype="int16", fill_value=7,
        shards=shard if kind == "shards" else None,
        compressors=ZstdCodec(level=1) if kind == "shards" else None, overwrite=True,
    )  # fmt: skip
    if kind == "empty":
        return np.full(shape, 7, np.int16)
    data = field(shape, "int16")  # type: ignore[arg-type]
    pipeline = "gpuzarr.zarr_pipeline.GpuzarrCodecPipeline"
    with zarr.config.set({"codec_pipeline.path": pipeline, "array.write_empty_chunks": True}):
        zarr.open_array(path, mode="r+")[...] = data
    assert array.shape == shape
    return data


def of_kind(settings: Settings, kind: str, data: np.ndarray, path: Path, count: int) -> Record:
    """Check and time whole reads; who is too slow in the check is not timed."""
    party, absent = opened(settings.names, str(path)), {}
    where, key = f"{kind}, {count} chunks", tuple(slice(0, n) for n in data.shape)

    def read(name: str, array: Any) -> Any:
        return party.contestants[name].finish(array[key])

    for name, call in settings.calls(party, read).items():
        settings.tell(f"check {where}: {name}")
        started = perf_counter()
        found = call.result()
        seconds = perf_counter() - started
        require_equal(name, where, found, data)
        if seconds > settings.most_seconds:
            absent[name] = f"One call took {seconds:.0f} s, more than {settings.most_seconds:.0f}."
    arrays = {name: array for name, array in party.arrays.items() if name not in absent}
    party = Party(arrays, party.contestants, {**party.absent, **absent})
    seconds_of = settings.time(where, settings.calls(party, read)) if arrays else {}
    return Record(
        f"scaling {kind}", "zstd" if kind == "shards" else "raw", "128", "int16",
        chunks=count, nbytes=data.nbytes, values=seconds_of, absent=dict(party.absent),
    )  # fmt: skip


def fits(records: list[Record]) -> dict[tuple[str, str], Fit]:
    """The line of each kind and contestant that was measured at three sizes or more."""
    points: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for record in records:
        if record.workload.startswith(("scaling ", "planning")) and record.unit == "s":
            for name, spread in record.values.items():
                points.setdefault((record.workload, name), []).append(
                    (record.chunks, spread.median)
                )
    return {
        key: Fit.of([n for n, _ in found], [s for _, s in found])
        for key, found in points.items()
        if len(found) >= 3
    }
