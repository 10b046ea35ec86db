"""A guard against getting slower: ratios of a run are held against those of an earlier one.

Seconds differ between machines and days; how many times faster one is than another, in the same
run, differs less. A row may lose more than a group of rows, whose deviations cancel out. Memory is
held against its bound in the same way.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

from benchmarks.peers import PEERS
from benchmarks.records import Record, Run

OURS = ("gpuzarr", "gpuzarr out=", "gpuzarr in zarr")
ROW, GROUP = 0.25, 0.10
"""Shares of a ratio that may be lost: by a row, by all rows of one workload together."""


@dataclass(frozen=True)
class Loss:
    """A ratio that is lower than before by more than is tolerated."""

    what: str
    before: float
    now: float
    tolerance: float

    def __str__(self) -> str:
        least = self.before * (1 - self.tolerance)
        return (
            f"{self.what}: expected at least {least:.2f} ({self.before:.2f} before, less "
            f"{self.tolerance:.0%}), found {self.now:.2f}"
        )


@dataclass(frozen=True)
class Comparison:
    """What two runs have in common.

    Attributes
    ----------
    compared
        Number of ratios that both have.
    losses
        Those that got worse.
    """

    compared: int
    losses: tuple[Loss, ...]


def compare(before: Run, now: Run, row: float = ROW, group: float = GROUP) -> Comparison:
    """Hold `now` against `before`.

    Parameters
    ----------
    row, group
        Shares of a ratio that may be lost.
    """
    old = {name: ratio for record in before.records for name, ratio in ratios(record).items()}
    losses, groups, compared = [], defaultdict(list), 0
    for record in now.records:
        for name, ratio in ratios(record).items():
            if name not in old:
                continue
            compared += 1
            if ratio < old[name] * (1 - row):
                losses.append(Loss(f"{name[1]}, {name[0]}", old[name], ratio, row))
            groups[record.workload, name[1]].append((old[name], ratio))
    for (workload, who), pairs in groups.items():
        first, second = (_mean([pair[i] for pair in pairs]) for i in (0, 1))
        if len(pairs) > 1 and second < first * (1 - group):
            what = f"{who}, all {len(pairs)} rows of {workload}"
            losses.append(Loss(what, first, second, group))
    return Comparison(compared, tuple(losses))


def ratios(record: Record) -> dict[tuple[str, str], float]:
    """By row and face: how many times faster than the fastest peer, or the bound over the bytes."""
    found = {}
    for ours in OURS:
        ratio = None
        if record.unit == "s":
            rivals = tuple(n for n in record.values if n.startswith(PEERS) and "out=" not in n)
            ratio = record.speed(ours, rivals)
        elif record.limit and record.median(ours):
            ratio = record.limit / record.values[ours].median
        if ratio is not None:
            found[record.key, ours] = ratio
    return found


def _mean(values: list[float]) -> float:
    """The geometric one, as befits ratios."""
    return math.exp(sum(map(math.log, values)) / len(values))
