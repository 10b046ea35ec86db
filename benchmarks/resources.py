"""Peak memory, time by threads, and the share of time that the GIL is held; each in processes of
their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from benchmarks import gil, jobs
from benchmarks.peers import opened
from benchmarks.records import Record
from benchmarks.settings import Settings
from benchmarks.stores import Store, built, source
from gpuzarr.commands.timing import Spread
from gpuzarr.runtime import processors

_MEMORY_CODECS = ("zstd", "blosc-lz4-shuffle", "sharded zstd")
_THREADS_CODECS = ("raw", "zstd", "blosc-lz4-shuffle", "sharded zstd")
_SLACK = 64 << 20
_SECONDS = 2.0
"""For which the lock is watched."""


def memory(settings: Settings) -> Iterator[Record]:
    """Peak memory of whole reads and writes against the bound on gpuzarr's."""
    for size in settings.sizes:
        data = source(size, settings.dtypes[0])
        for codec in (c for c in settings.codecs if c in _MEMORY_CODECS):
            with built(settings.folder, codec, size, data) as store:
                yield memory_of(settings, store, "read")
                yield memory_of(settings, store, "write")


def memory_of(settings: Settings, store: Store, work: str) -> Record:
    """Bytes by which each contestant's process grows; a value that is written is there before."""
    names = [name for name in settings.names if not name.endswith("out=")]
    party = opened(names, str(store.path))
    absent, values = dict(party.absent), {}
    value = ""
    if work == "write":
        value = str(settings.folder / "value.npy")
        np.save(value, store.data)
    for name in party.arrays:
        settings.tell(f"memory of a {work} of {store.codec} {store.size.name}: {name}")
        try:
            found = [
                jobs.run("memory", contestant=name, path=str(store.path), value=value,
                         shape=store.data.shape, checksum=store.crc)
                for _ in range(min(3, settings.repetitions))
            ]  # fmt: skip
        except RuntimeError as error:
            absent[name] = str(error)
        else:
            values[name] = Spread.of(found)
    result = store.data.nbytes if work == "read" else 0
    limit = result + 2 * processors() * store.size.chunk_bytes + _SLACK
    return Record(
        f"memory {work}", store.codec, store.size.name, str(store.data.dtype),
        chunks=store.size.grid[0] * store.size.grid[1], nbytes=store.data.nbytes,
        ratio=store.ratio, unit="bytes", values=values, absent=absent, limit=limit,
    )  # fmt: skip


def threads(settings: Settings) -> Iterator[Record]:
    """Time of whole reads by threads, and the share of time that the GIL is held with all."""
    why = why_not_watched()
    for size in settings.sizes:
        data = source(size, settings.dtypes[0])
        for codec in (c for c in settings.codecs if c in _THREADS_CODECS):
            with built(settings.folder, codec, size, data) as store:
                yield from (threads_of(settings, store, n) for n in counts(processors()))
                yield gil_of(settings, store, why)


def counts(most: int) -> list[int]:
    """Powers of two, and the most."""
    return sorted({1 << n for n in range(most.bit_length())} | {most})


def threads_of(settings: Settings, store: Store, number: int) -> Record:
    """Time whole reads with so many threads and processors."""
    settings.tell(f"{number} threads, {store.codec} {store.size.name}")
    party = opened(settings.names, str(store.path))
    try:
        found = jobs.run(
            "threads", threads=number, contestants=list(party.arrays), path=str(store.path),
            shape=store.data.shape, checksum=store.crc, turns=settings.repetitions,
        )  # fmt: skip
    except RuntimeError as error:
        return _record(store, "threads", threads=number, note=str(error))
    values = {name: Spread(*spread) for name, spread in found.items()}
    return _record(store, "threads", threads=number, values=values, absent=dict(party.absent))


def gil_of(settings: Settings, store: Store, why: str | None) -> Record:
    """The share of time for which each contestant's process holds the lock."""
    if why is not None:
        return _record(store, "gil", unit="share", note=f"Not measured: {why}")
    party = opened(settings.names, str(store.path))
    values, errors, absent = {}, [0.0], dict(party.absent)
    for name in party.arrays:
        settings.tell(f"GIL, {store.codec} {store.size.name}: {name}")
        try:
            seen = gil.watch(
                jobs.command("reading", contestant=name, path=str(store.path),
                             shape=store.data.shape, seconds=_SECONDS), jobs.ROOT
            )  # fmt: skip
        except RuntimeError as error:
            absent[name] = str(error)
        else:
            low, high = max(0.0, seen.share - seen.error), min(1.0, seen.share + seen.error)
            values[name] = Spread(seen.share, low, low, high, seen.looks)
            errors.append(seen.error)
    return _record(store, "gil", unit="share", values=values, absent=absent,
                   note=f"standard error up to {max(errors):.3f}")  # fmt: skip


def why_not_watched() -> str | None:
    """Why the lock cannot be watched here; None if what it shows of known processes is right."""
    try:
        spinning = gil.watch(jobs.command("spinning", seconds=0.5), jobs.ROOT).share
        waiting = gil.watch(jobs.command("waiting", seconds=0.5), jobs.ROOT).share
    except RuntimeError as error:
        return str(error)
    if spinning < 0.9 or waiting > 0.1:
        return f"who always holds it shows {spinning:.0%}, who never does {waiting:.0%}."
    return None


def _record(store: Store, workload: str, **facts: Any) -> Record:
    return Record(
        workload, store.codec, store.size.name, str(store.data.dtype),
        chunks=store.size.grid[0] * store.size.grid[1], nbytes=store.data.nbytes,
        ratio=store.ratio, **facts,
    )  # fmt: skip


def measure(settings: Settings, workloads: Iterable[str]) -> Iterator[Record]:
    """Those of the two that are wanted."""
    wanted = set(workloads)
    if "memory" in wanted:
        yield from memory(settings)
    if "threads" in wanted:
        yield from threads(settings)
