"""Fuzz on all processors: ``python -m fuzz --cases 1000000 --seed 1``, in the folder ``tests``.

Says what was found and how often what happened; the exit status is 1 where a promise was broken. A
process that crashes or hangs is reported with the round that it was in.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from queue import Empty
from typing import Any

os.environ.setdefault("GPUZARR_EMULATOR", "check")

from fuzz.campaign import ROUNDS, rounds, work_on
from fuzz.devices import DEVICES


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000, help="how many, about")
    parser.add_argument("--seed", type=int, default=1, help="the same one gives the same cases")
    parser.add_argument("--first", type=int, default=0, help="round to begin with, to go on")
    parser.add_argument("--device", choices=DEVICES, action="append", help="instead of all")
    parser.add_argument("--only", default="", help="what has this in its name")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--list", action="store_true", help="names of what is fuzzed")
    options = parser.parse_args()
    if options.list:
        _say("\n".join(name for name in ROUNDS if options.only in name))
        return 0
    work = list(rounds(options.cases, options.device or DEVICES, options.only, options.first))
    started = time.monotonic()
    counts, failures = _in_processes(work, options.seed, options.jobs)
    outcomes = ", ".join(f"{name} {n}" for name, n in counts.most_common() if name != "cases")
    last = max((number for _, number, _ in work), default=options.first)
    _say(
        f"{counts['cases']} cases of {len({name for name, *_ in work})} kinds, seed "
        f"{options.seed}, rounds {options.first} to {last}, {time.monotonic() - started:.0f} s: "
        f"{len(failures)} broken promises; {outcomes}."
    )
    return 1 if failures else 0


def _in_processes(
    work: list[tuple[str, int, str]], seed: int, jobs: int
) -> tuple[Counter[str], list[str]]:
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    parts = [work[n::jobs] for n in range(min(jobs, len(work)))]
    workers = [context.Process(target=work_on, args=(part, seed, results)) for part in parts]
    at: dict[int, str] = {}
    counts, failures, told = Counter[str](), list[str](), time.monotonic()
    for worker in workers:
        worker.start()
    while True:
        alive = any(worker.is_alive() for worker in workers)
        try:
            pid, where, found, failure = results.get(timeout=1)
        except Empty:
            if not alive:
                break
            continue
        at[pid] = where
        counts += found
        if failure:
            failures.append(failure)
            _say(failure)
        if time.monotonic() - told > 60:
            told = time.monotonic()
            _say(f"{counts['cases']} cases, {len(failures)} broken promises.")
    for worker in workers:
        worker.join()
        if worker.exitcode:
            where = at.get(worker.pid or 0, "the start")
            failures.append(f"A process ended with {worker.exitcode} in {where}.")
            _say(failures[-1])
    return counts, failures


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
