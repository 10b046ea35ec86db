"""Work that needs a process of its own: ``python -m benchmarks.jobs NAME ARGUMENTS``.

A job takes JSON and prints JSON in its last line. It begins with nothing of the other contestants
in memory, with its own limit of threads, and on as many processors.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from benchmarks import gil
from benchmarks.peers import everyone
from benchmarks.planning import plan_all
from benchmarks.stores import crc
from gpuzarr.commands.contestants import limit_threads
from gpuzarr.commands.timing import Call, side_by_side

ROOT = Path(__file__).parents[1]


def command(job: str, **arguments: Any) -> list[str]:
    """How a job is started."""
    return [sys.executable, "-m", "benchmarks.jobs", job, json.dumps(arguments)]


def run(job: str, **arguments: Any) -> Any:
    """What a job finds out.

    Raises
    ------
    RuntimeError
        If it ends with an error, with the end of what it said.
    """
    done = subprocess.run(
        command(job, **arguments), cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise RuntimeError(f"The job {job} failed: {said[0]}")
    return json.loads(done.stdout.splitlines()[-1])


def memory(contestant: str, path: str, value: str, shape: list[int], checksum: int) -> int:
    """Bytes by which the process grows at most while it reads, or writes, the whole array.

    The highest mark of resident memory (VmHWM), which is set back in front of the work, less the
    resident memory there. One element is read before, so that libraries are loaded. `value` is
    a file with what is written; "" asks for a read.
    """
    found = everyone()[contestant]
    array = found.opened(path, "r+" if value else "r")
    key = tuple(slice(0, n) for n in shape)
    with found.active():
        found.finish(array[tuple(slice(0, 1) for _ in shape)])
        written = np.load(value) if value else None
        gc.collect()
        before = _reset_peak()
        if written is None:
            result = found.finish(array[key])
            peak = _status("VmHWM")
        else:
            array[key] = written
            peak = _status("VmHWM")
            result = found.finish(array[key])
    if crc(result) != checksum:
        raise SystemExit(f"{contestant} gave wrong values.")
    return peak - before


def planning_memory(path: str) -> int:
    """Bytes by which the process grows at most while a read of the whole array is planned."""
    plan_all(path, 100)
    gc.collect()
    before = _reset_peak()
    plan_all(path)
    return _status("VmHWM") - before


def threads(
    threads: int, contestants: list[str], path: str, shape: list[int], checksum: int, turns: int
) -> dict[str, Any]:
    """Seconds of whole reads with so many threads, on so many processors where that can be set."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    limit_threads(threads)
    found, calls = everyone(), {}
    key = tuple(slice(0, n) for n in shape)
    for name in contestants:
        contestant, array = found[name], found[name].opened(path)
        calls[name] = Call(
            lambda array=array, finish=contestant.finish: finish(array[key]), contestant.active
        )
        if crc(calls[name].result()) != checksum:
            raise SystemExit(f"{name} gave wrong values.")
    return {
        name: [s.median, s.low, s.first, s.third, s.count]
        for name, s in side_by_side(calls, turns).items()
    }


def reading(contestant: str, path: str, shape: list[int], seconds: float) -> int:
    """Tell where the lock of the interpreter is, then read until the time is over."""
    found = everyone()[contestant]
    array, key = found.opened(path), tuple(slice(0, n) for n in shape)
    return _watched(Call(lambda: found.finish(array[key]), found.active), seconds)


def spinning(seconds: float) -> int:
    """Hold the lock all the time, to prove the method."""
    return _watched(Call(lambda: sum(range(10_000))), seconds)


def waiting(seconds: float) -> int:
    """Hardly ever hold it."""
    from time import sleep

    return _watched(Call(lambda: sleep(0.05)), seconds)


def _watched(call: Call, seconds: float) -> int:
    with call.active():
        call.run()
        sys.stdout.write(f"{gil.address()}\n")
        sys.stdout.flush()
        count, end = 0, monotonic() + seconds
        while monotonic() < end:
            call.run()
            count += 1
    sys.stdout.write("end\n")
    sys.stdout.flush()
    sys.stdin.read()  # the watcher looks until it has read the line
    return count


def _reset_peak() -> int:
    """Set the highest mark back to what is resident, which is returned, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024


JOBS: dict[str, Callable[..., Any]] = {
    job.__name__: job for job in (memory, planning_memory, threads, reading, spinning, waiting)
}

if __name__ == "__main__":
    print(json.dumps(JOBS[sys.argv[1]](**json.loads(sys.argv[2]))))
