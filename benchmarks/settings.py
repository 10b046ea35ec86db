"""What a run is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import OURS, PEERS, Party
from benchmarks.stores import CODECS, DTYPES, SIZES, Size
from gpuzarr.commands.timing import Call, Spread, side_by_side


@dataclass(frozen=True)
class Settings:
    """Rows, repetitions, and who takes part.

    Attributes
    ----------
    folder
        Where the stores are while they are measured.
    most_seconds
        Who takes longer for one call is left out of a row, where rows grow without end.
    largest
        Most chunks of an array, where rows grow without end.
    tell
        Told what is done next.
    """

    folder: Path
    codecs: tuple[str, ...] = CODECS
    sizes: tuple[Size, ...] = SIZES
    dtypes: tuple[str, ...] = DTYPES
    names: tuple[str, ...] = (*OURS, *PEERS)
    repetitions: int = 7
    cold: bool = True
    most_seconds: float = 6.0
    largest: int = 1_000_000
    tell: Callable[[str], Any] = lambda step: None

    def time(
        self, what: str, calls: Mapping[str, Call], before: Callable[[], Any] = lambda: None
    ) -> dict[str, Spread]:
        """Time all calls side by side."""
        return side_by_side(
            calls, self.repetitions, before, lambda name: self.tell(f"{what}: {name}")
        )

    def calls(self, party: Party, work: Callable[[str, Any], Any]) -> dict[str, Call]:
        """For each contestant ``work(name, array)``, in its context."""
        return {
            name: Call(partial(work, name, array), party.contestants[name].active)
            for name, array in party.arrays.items()
        }


class WrongResult(SystemExit):
    """A contestant gave something else than what is stored; nothing is timed then."""


def require_equal(who: str, where: str, found: Any, expected: np.ndarray) -> None:
    """End the run unless both are the same in every bit.

    Raises
    ------
    WrongResult
    """
    found = np.asarray(found)
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise WrongResult(
            f"{who} gave {found.dtype}{list(found.shape)} for {where}, "
            f"expected {expected.dtype}{list(expected.shape)}; it was not timed."
        )
    kind = np.dtype(f"u{expected.dtype.itemsize}")
    bits = [np.asarray(array, order="C").view(kind) for array in (found, expected)]
    if not np.array_equal(*bits):
        raise WrongResult(f"{who} gave wrong values for {where}; it was not timed.")
