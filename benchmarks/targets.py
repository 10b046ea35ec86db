"""The speed that is to be reached, as data: on two cores, local files, page cache warm, idle.

A goal compares medians of one run: how many times faster one of our faces is than the fastest of
some others; or it bounds seconds or bytes. Of its rules the first that fits a row counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.planning import MOST_BYTES
from benchmarks.records import Record, Run

_WHOLE = ("whole",)
_PARTS = ("box", "row", "outer", "points")
_WRITES = ("write", "write-part")
_ALL = ("zarr default", "zarr fused", "zarrs", "tensorstore")


@dataclass(frozen=True)
class Rule:
    """What is wanted of these codecs and chunks; an empty tuple stands for all.

    `accelerated` is wanted in place of `least` where an optional accelerator is installed.
    """

    least: float
    codecs: tuple[str, ...] = ()
    chunks: tuple[str, ...] = ()
    accelerated: float | None = None

    def fits(self, record: Record) -> bool:
        """Whether it is about this row."""
        return (not self.codecs or record.codec in self.codecs) and (
            not self.chunks or record.chunk in self.chunks
        )


@dataclass(frozen=True)
class Speed:
    """`ours` is at least so many times as fast as the fastest of `rivals`."""

    name: str
    ours: str
    rivals: tuple[str, ...]
    workloads: tuple[str, ...]
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Bound:
    """A value of ours is at most what `most` says of a row; None where it says nothing of it."""

    name: str
    ours: tuple[str, ...]
    most: Callable[[Record], float | None]


SPEEDS = (
    Speed(
        "native face, whole reads",
        "gpuzarr",
        ("zarrs", "tensorstore"),
        _WHOLE,
        (
            Rule(0.95, ("blosc-zstd-bitshuffle",), ("16K", "256K"), accelerated=1.0),
            Rule(0.95, ("zstd",), ("4M",), accelerated=1.0),
            Rule(1.3, ("gzip", "zlib+shuffle")),
            Rule(1.3, ("raw", "sharded zstd"), ("16K",)),
            Rule(1.0),
        ),
    ),
    Speed("native face, parts", "gpuzarr", ("zarrs", "tensorstore"), _PARTS, (Rule(1.0),)),
    Speed(
        "zarr face against zarrs",
        "gpuzarr in zarr",
        ("zarrs",),
        _WHOLE,
        (Rule(0.9, chunks=("16K",)), Rule(0.95, ("zstd",), ("4M",)), Rule(1.0)),
    ),
    Speed(
        "zarr face against fused",
        "gpuzarr in zarr",
        ("zarr fused",),
        _WHOLE,
        (Rule(2.5, chunks=("16K",)), Rule(1.2, chunks=("256K",)), Rule(1.0)),
    ),
    Speed(
        "crops in one call",
        "gpuzarr",
        ("tensorstore", "tensorstore futures", "zarrs loop", "tensorstore loop"),
        ("crops",),
        (Rule(1.2),),
    ),
    Speed("writes", "gpuzarr", _ALL, _WRITES, (Rule(1.0),)),
)

_FACES = ("gpuzarr", "gpuzarr in zarr")


def _opening(record: Record) -> float | None:
    return 1e-3 if record.workload == "open and read one" else None


def _planning(record: Record) -> float | None:
    """1 µs a chunk; the fixed cost of a plan is not what this is about, so of many chunks only."""
    many = record.workload == "planning" and record.chunks >= 10_000
    return 1e-6 * record.chunks if many else None


def _memory(record: Record) -> float | None:
    return record.limit if record.workload.startswith("memory") else None


def _planning_memory(record: Record) -> float | None:
    return MOST_BYTES if record.workload == "planning memory" else None


BOUNDS = (
    Bound("open and read one element", ("gpuzarr",), _opening),
    Bound("planning, 1 µs a chunk", ("gpuzarr",), _planning),
    Bound("planning a million chunks, memory", ("gpuzarr",), _planning_memory),
    Bound("peak memory", _FACES, _memory),
)


@dataclass(frozen=True)
class Verdict:
    """One goal on one row.

    Attributes
    ----------
    found, wanted
        A ratio of speeds, of which more is better, or a value in `unit`, of which less is.
    share
        How much of the goal is reached; 1 or more is all of it.
    """

    goal: str
    record: Record
    ours: str
    rival: str
    found: float
    wanted: float
    unit: str

    @property
    def share(self) -> float:
        """See above."""
        if self.unit == "×":
            return self.found / self.wanted
        return self.wanted / self.found if self.found else 1.0

    @property
    def is_met(self) -> bool:
        """Ratios to two decimals, as they are shown."""
        if self.unit == "×":
            return round(self.found, 2) >= self.wanted
        return self.found <= self.wanted


def verdicts(run: Run) -> Iterator[Verdict]:
    """Every goal on every row that it is about, warm ones."""
    is_accelerated = bool(run.about.get("accelerator"))
    for record in run.records:
        if record.cache != "warm":
            continue
        for goal in SPEEDS:
            if record.workload in goal.workloads:
                yield from _of_speed(goal, record, is_accelerated)
        for bound in BOUNDS:
            for ours in bound.ours:
                most, found = bound.most(record), record.median(ours)
                if most is not None and found is not None:
                    yield Verdict(bound.name, record, ours, "", found, most, record.unit)


def _of_speed(goal: Speed, record: Record, is_accelerated: bool) -> Iterator[Verdict]:
    ratio = record.speed(goal.ours, goal.rivals)
    if ratio is None:
        return
    rule = next(rule for rule in goal.rules if rule.fits(record))
    wanted = rule.accelerated if is_accelerated and rule.accelerated else rule.least
    rivals = [name for name in goal.rivals if name in record.values]
    best = min(rivals, key=lambda name: record.values[name].median)
    yield Verdict(goal.name, record, goal.ours, best, ratio, wanted, "×")


def unmeasured(run: Run) -> list[str]:
    """Goals that no row of the run is about."""
    found = {verdict.goal for verdict in verdicts(run)}
    everything: list[Any] = [*SPEEDS, *BOUNDS]
    return [goal.name for goal in everything if goal.name not in found]
