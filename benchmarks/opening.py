"""Opening an array, and opening it to read one element, in a process that has done so before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.peers import opened
from benchmarks.records import Record
from benchmarks.settings import Settings, require_equal
from benchmarks.stores import Store, built, source
from gpuzarr.commands.contestants import Contestant
from gpuzarr.commands.timing import Call

_TIMES = 20
_CODECS = ("zstd", "zlib+shuffle", "sharded zstd")
"""v3, v2 and a shard."""


def measure(settings: Settings) -> Iterator[Record]:
    """Rows of small arrays in the smallest chunks."""
    size = settings.sizes[0].smaller(4)
    data = source(size, settings.dtypes[0])
    for codec in (c for c in settings.codecs if c in _CODECS):
        with built(settings.folder, codec, size, data) as store:
            yield of_store(settings, store, "open")
            yield of_store(settings, store, "open and read one")


def of_store(settings: Settings, store: Store, workload: str) -> Record:
    """Check and time it; each call does it twenty times."""
    names = [name for name in settings.names if not name.endswith("out=")]
    party = opened(names, str(store.path))
    calls = {name: Call(_opening(c, store, workload), c.active) for name, c in
             party.contestants.items()}  # fmt: skip
    where = f"{workload} of {store.codec}"
    for name, call in calls.items():
        for found in call.result():
            if workload == "open":
                require_equal(name, where, found.shape, np.array(store.data.shape))
            else:
                require_equal(name, where, found, store.data[3, 5])
    seconds = settings.time(where, calls)
    return Record(
        workload, store.codec, store.size.name, str(store.data.dtype),
        chunks=store.size.grid[0] * store.size.grid[1], nbytes=store.data.itemsize,
        ratio=store.ratio, values={n: s.scaled(1 / _TIMES) for n, s in seconds.items()},
        absent=dict(party.absent), note=f"{_TIMES} one after the other, time of one",
    )  # fmt: skip


def _opening(contestant: Contestant, store: Store, workload: str) -> Any:
    path, opening, finish = str(store.path), contestant.open, contestant.finish

    def run() -> list[Any]:
        if workload == "open":
            return [opening(path, "r") for _ in range(_TIMES)]
        return [finish(opening(path, "r")[3, 5]) for _ in range(_TIMES)]

    return run
