"""Writing: whole arrays over what is stored, and a band that covers its chunks partly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import zarr

from benchmarks.peers import opened
from benchmarks.records import Record
from benchmarks.settings import Settings, require_equal
from benchmarks.stores import Store, built, create, source

WORKLOADS = ("write", "write-part")


def measure(settings: Settings, workloads: tuple[str, ...] = WORKLOADS) -> Iterator[Record]:
    """Rows of float32 arrays that have half as many chunks along each axis as those of reads."""
    for size in (size.smaller(2) for size in settings.sizes):
        data = source(size, settings.dtypes[0])
        for codec in settings.codecs:
            settings.tell(f"build {codec} {size.name}")
            with built(settings.folder, codec, size, data) as store:
                yield from (of_store(settings, store, w) for w in workloads)


def selection(store: Store, workload: str) -> tuple[slice, slice]:
    """What is written: everything, or half of each chunk in one or two rows of chunks."""
    rows, columns = store.data.shape
    if workload == "write":
        return slice(0, rows), slice(0, columns)
    side = store.size.side
    return slice(side // 2, min(rows, side + side // 2)), slice(0, columns)


def of_store(settings: Settings, store: Store, workload: str) -> Record:
    """Check and time one kind of writing, by each contestant in turn.

    Everyone begins on an array without chunks for the check, and writes over what is there when
    it is timed; the disk has taken what was written before, before the clock starts.
    """
    key = selection(store, workload)
    value = np.ascontiguousarray(store.data[key])
    names = [name for name in settings.names if not name.endswith("out=")]
    where = f"{workload} of {store.codec} {store.size.name}"
    for name in names:
        _check(name, where, store, key, value)
    party = opened(names, str(store.path), "r+")
    party.arrays["zarr default" if "zarr default" in party.arrays else names[0]][...] = store.data

    def write(name: str, array: Any) -> None:
        array[key] = value

    seconds = settings.time(where, settings.calls(party, write), before=os.sync)
    return Record(
        workload, store.codec, store.size.name, str(store.data.dtype),
        chunks=int(np.prod(store.size.grid)), nbytes=value.nbytes, ratio=store.ratio,
        values=seconds, absent=dict(party.absent),
    )  # fmt: skip


def _check(name: str, where: str, store: Store, key: Any, value: np.ndarray) -> None:
    create(store.path, store.codec, store.size, store.data)
    party = opened([name], str(store.path), "r+")
    if name not in party.arrays:
        return
    expected = np.zeros_like(store.data)
    expected[key] = value
    with party.contestants[name].active():
        party.arrays[name][key] = value
    with zarr.config.set({"codec_pipeline.path": "zarr.core.codec_pipeline.BatchedCodecPipeline"}):
        require_equal(name, where, zarr.open_array(store.path, mode="r")[...], expected)
