"""Times side by side: everyone has a turn in each round, in an order that changes, and of the
seconds the median and the spread are kept."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import Any


@dataclass(frozen=True, slots=True)
class Spread:
    """Of several measurements the median, the smallest, both quartiles and their number."""

    median: float
    low: float
    first: float
    third: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value."""
        first, median, third = (
            statistics.quantiles(values, n=4, method="inclusive")
            if len(values) > 1
            else 3 * (values[0],)
        )
        return cls(median, min(values), first, third, len(values))

    def scaled(self, factor: float) -> Spread:
        """Every value times `factor`."""
        return Spread(
            self.median * factor, self.low * factor, self.first * factor, self.third * factor,
            self.count,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call:
    """What is timed, and a context that it needs and that is not timed."""

    run: Callable[[], Any]
    active: Callable[[], AbstractContextManager[Any]] = nullcontext

    def result(self) -> Any:
        """What the call gives, not timed."""
        with self.active():
            return self.run()

    def seconds(self) -> float:
        """Of one call; what it gives is dropped after the clock has stopped."""
        with self.active():
            started = perf_counter()
            kept = self.run()
            stopped = perf_counter()
            del kept
        return stopped - started


def order(names: Sequence[str], turn: int) -> list[str]:
    """Who is when in this round: everyone comes first in turn, and every second time backwards,
    so that nobody always follows the same one."""
    start = turn % len(names)
    turned = [*names[start:], *names[:start]]
    return turned if turn % 2 == 0 else [turned[0], *turned[:0:-1]]


def side_by_side(
    calls: Mapping[str, Call],
    repetitions: int,
    before: Callable[[], Any] = lambda: None,
    tell: Callable[[str], Any] = lambda name: None,
) -> dict[str, Spread]:
    """Seconds of every call, each in `repetitions` rounds.

    `before` is called in front of each turn and not timed; `tell` is told whose turn it is.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repetitions):
        for name in order(list(calls), turn):
            tell(name)
            before()
            gc.collect()
            seconds[name].append(calls[name].seconds())
    return {name: Spread.of(values) for name, values in seconds.items()}
