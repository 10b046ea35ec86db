"""Reading: whole arrays with the page cache warm and cold, boxes, rows, lists and points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.cache import evict, share_cached, why_not_cold
from benchmarks.peers import NULL, Party, opened
from benchmarks.records import Record
from benchmarks.settings import Settings, require_equal
from benchmarks.stores import Store, built, source

_BOXES, _ROWS, _LIST, _POINTS = 8, 8, 64, 4096

_OUTER_CODECS = ("raw", "zstd", "blosc-lz4-shuffle", "sharded zstd")
"""Codecs whose fancy indexing is measured: the others differ in the decoder alone."""


@dataclass(frozen=True)
class Query:
    """Selections that are read one after the other; times are of one of them.

    Attributes
    ----------
    way
        The attribute that is indexed, "" for the array itself.
    """

    workload: str
    way: str
    keys: tuple[Any, ...]

    def run(self, array: Any, finish: Any) -> list[Any]:
        """The results."""
        indexed = getattr(array, self.way) if self.way else array
        return [finish(indexed[key]) for key in self.keys]

    def expected(self, data: np.ndarray) -> list[np.ndarray]:
        """From the source."""
        if self.way == "oindex":
            return [data[np.ix_(*key)] for key in self.keys]
        return [data[key] for key in self.keys]


def queries(shape: tuple[int, int]) -> dict[str, Query]:
    """The selections of an array of this shape, by workload; the same in every run."""
    rng = np.random.default_rng(7)
    height, width = (max(1, n // 10) for n in shape)
    boxes = []
    for _ in range(_BOXES):
        top, left = rng.integers(shape[0] - height + 1), rng.integers(shape[1] - width + 1)
        boxes.append((slice(int(top), int(top) + height), slice(int(left), int(left) + width)))
    rows = [(int(row), slice(0, shape[1])) for row in rng.integers(shape[0], size=_ROWS)]
    lists = tuple(np.sort(rng.choice(n, min(n, _LIST), replace=False)) for n in shape)
    points = tuple(rng.integers(n, size=_POINTS) for n in shape)
    everything = tuple(slice(0, n) for n in shape)
    found = (
        Query("whole", "", (everything,)),
        Query("box", "", tuple(boxes)),
        Query("row", "", tuple(rows)),
        Query("outer", "oindex", (lists,)),
        Query("points", "vindex", (points,)),
    )
    return {query.workload: query for query in found}


WORKLOADS = ("whole", "cold", "box", "row", "outer", "points")


def measure(settings: Settings, workloads: Iterable[str]) -> Iterator[Record]:
    """All rows, store by store."""
    wanted = [name for name in WORKLOADS if name in workloads]
    for size in settings.sizes:
        for dtype in settings.dtypes:
            chosen = wanted if dtype == settings.dtypes[0] else [w for w in wanted if w == "whole"]
            if not chosen:
                continue
            data = source(size, dtype)
            for codec in settings.codecs:
                settings.tell(f"build {codec} {size.name} {dtype}")
                with built(settings.folder, codec, size, data) as store:
                    yield from _of_store(settings, store, chosen)


def _of_store(settings: Settings, store: Store, workloads: list[str]) -> Iterator[Record]:
    found = queries(store.data.shape)  # type: ignore[arg-type]
    for workload in workloads:
        if workload == "cold":
            if settings.cold:
                yield cold(settings, store)
        elif found[workload].way == "" or store.codec in _OUTER_CODECS:
            yield warm(settings, store, found[workload])


def warm(settings: Settings, store: Store, query: Query) -> Record:
    """Check and time one query with the page cache warm."""
    party = opened(_names(settings, query), str(store.path))
    where = f"{query.workload} of {store.codec} {store.size.name}"
    expected = query.expected(store.data)
    calls = settings.calls(party, lambda name, array: _read(party, name, array, query))
    for name, call in calls.items():
        for found, part in zip(call.result(), expected, strict=True):
            if name != NULL:
                require_equal(name, where, found, part)
    seconds = settings.time(where, calls)
    n = len(query.keys)
    return _record(store, query.workload, party, nbytes=expected[0].nbytes,
                   values={name: spread.scaled(1 / n) for name, spread in seconds.items()},
                   note=f"{n} one after the other, time of one" if n > 1 else "")  # fmt: skip


def cold(settings: Settings, store: Store) -> Record:
    """Time whole reads of files that are not in the page cache."""
    query = queries(store.data.shape)["whole"]  # type: ignore[arg-type]
    if why := why_not_cold(store.path):
        return _record(store, "whole", cache="cold", nbytes=store.data.nbytes, note=why)
    party = opened(settings.names, str(store.path))
    calls = settings.calls(party, lambda name, array: _read(party, name, array, query))
    for name, call in calls.items():
        require_equal(name, f"cold {store.codec} {store.size.name}", call.result()[0], store.data)
    where = f"cold {store.codec} {store.size.name}"
    seconds = settings.time(where, calls, before=lambda: evict(store.path))
    evict(store.path)
    share = share_cached(store.path) or 0
    return _record(store, "whole", party, cache="cold", nbytes=store.data.nbytes, values=seconds,
                   note=f"{share:.0%} of the pages were in the cache before a read")  # fmt: skip


def _names(settings: Settings, query: Query) -> list[str]:
    """Whole reads have three contestants more; lists have no ``out=``."""
    names = list(settings.names)
    if query.way:
        return [name for name in names if not name.endswith("out=")]
    if query.workload == "whole":
        names += [f"{name} out=" for name in ("zarrs", "tensorstore") if name in names]
        names += [NULL] if "zarr default" in names else []
    return names


def _read(party: Party, name: str, array: Any, query: Query) -> list[Any]:
    return query.run(array, party.contestants[name].finish)


def _record(store: Store, workload: str, party: Party | None = None, **facts: Any) -> Record:
    return Record(
        workload, store.codec, store.size.name, str(store.data.dtype),
        chunks=int(np.prod(store.size.grid)), ratio=store.ratio,
        absent=dict(party.absent) if party else {}, **facts,
    )  # fmt: skip
