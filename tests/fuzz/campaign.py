"""What is fuzzed, by name, and how rounds of it are run: the same cases for the same seed."""

from __future__ import annotations

import faulthandler
import logging
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

from fuzz import chunks, documents, shards
from fuzz.chains import recipes
from fuzz.chunks import FoundError, round_of_chunks
from fuzz.documents import DOCUMENTS, round_of_documents
from fuzz.shards import SHARDED, round_of_shards

SECONDS = 120
"""Time limit of a round: the process ends with a traceback of all threads."""

Round = Callable[[str, int, int, str], Counter[str]]

KINDS: dict[Round, tuple[list[str], int]] = {
    round_of_chunks: (list(recipes()), chunks.SLOTS),
    round_of_shards: (list(SHARDED), 2 * shards.SLOTS),
    round_of_documents: (list(DOCUMENTS), documents.SLOTS),
}
"""Names of what is fuzzed, and the cases of one round."""

ROUNDS = {name: (run, cases) for run, (names, cases) in KINDS.items() for name in names}


def rounds(
    cases: int, devices: Sequence[str], only: str = "", first: int = 0
) -> Iterator[tuple[str, int, str]]:
    """Name, number and device of as many rounds as have this many cases, all names in turn."""
    names = [name for name in ROUNDS if only in name]
    for number in count(first):
        for name in names:
            if cases <= 0:
                return
            yield name, number, devices[number % len(devices)]
            cases -= ROUNDS[name][1]


def run_round(name: str, seed: int, number: int, device: str) -> Counter[str]:
    """Counts of outcomes; "cases" has the number of cases.

    Raises
    ------
    FoundError
        For the first case that breaks a promise.
    """
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    try:
        return ROUNDS[name][0](name, seed, number, device)
    finally:
        faulthandler.cancel_dump_traceback_later()


def work_on(part: list[tuple[str, int, str]], seed: int, results: Any) -> None:
    """Run these rounds; each is put to the queue before it begins, and with what came of it."""
    warnings.simplefilter("ignore")
    logging.getLogger("gpuzarr").setLevel(logging.ERROR)  # what is decoded on the CPU is no news
    for name, number, device in part:
        where = f"{name}, {device}, seed {seed}, round {number}"
        results.put((os.getpid(), where, Counter(), ""))
        try:
            found, failure = run_round(name, seed, number, device), ""
        except FoundError as error:
            found, failure = Counter(cases=ROUNDS[name][1]), str(error)
        except Exception as error:
            found, failure = Counter(cases=ROUNDS[name][1]), f"{where}: {error!r}"
        results.put((os.getpid(), where, found, failure))
