"""For what share of the time some thread holds the lock of the interpreter (the GIL).

A process that works is looked at from another one, a few thousand times a second, at moments that
are random: the word ``locked`` of its lock is read from ``/proc/PID/mem``. The process that works
has no part in this; it is slowed down only by what the watcher takes of a processor, less than a
tenth of one. The word is found without knowledge of the interpreter's layout: the lock begins with
the switch interval in µs, which is set to a rare value for a moment, and ``locked`` stands behind
it and one pointer, as in CPython 3.12 to 3.14. Two processes, one that always holds the lock and
one that never does, prove this before anything is believed.

The error is that of counting: with n looks and a share p, √(p (1 − p) / n), about 0.01.
"""

from __future__ import annotations

import ctypes
import math
import os
import random
import select
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import sleep

_RARE = 12345
"""Microseconds."""

_PAUSE = (0.0001, 0.0004)
"""Seconds between two looks."""


@dataclass(frozen=True)
class Share:
    """What was seen: the share of the time, its standard error, and the number of looks."""

    share: float
    error: float
    looks: int


def address() -> int:
    """Where this process has the word that says whether its lock is held.

    Raises
    ------
    RuntimeError
        If it is not found.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_RARE / 1e6)
    try:
        start = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
        memory = ctypes.string_at(start, _end(start) - start)
    except (OSError, ValueError) as error:
        raise RuntimeError(f"The state of the interpreter cannot be read: {error}.") from error
    finally:
        sys.setswitchinterval(before)
    found = memory.find(struct.pack("L", _RARE))
    if found < 0:
        raise RuntimeError("The lock is not where CPython 3.12 to 3.14 have it.")
    return start + found + struct.calcsize("LP")


def _end(start: int) -> int:
    """Of the piece of memory that `start` lies in."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(bound, 16) for bound in line.split()[0].split("-"))
        if first <= start < last:
            return last
    raise ValueError("it is in no mapping")


def watch(command: list[str], folder: Path) -> Share:
    """Look at a process from when it prints the word's address until it prints another line.

    Raises
    ------
    RuntimeError
        If the process fails, or may not be looked at.
    """
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.strip().isdigit():
            _, errors = process.communicate()
            said = errors.decode().strip().splitlines()[-1:] or ["it said nothing"]
            raise RuntimeError(f"The process to be watched ended: {said[0]}")
        try:
            held, looks = _looks(process, int(line))
        except OSError as error:
            raise RuntimeError(f"The process cannot be looked at: {error}.") from error
        finally:
            process.communicate()
    if not looks:
        raise RuntimeError("The process ended before it was looked at.")
    share = held / looks
    return Share(share, math.sqrt(share * (1 - share) / looks), looks)


def _looks(process: subprocess.Popen[bytes], word: int) -> tuple[int, int]:
    held = looks = 0
    memory = os.open(f"/proc/{process.pid}/mem", os.O_RDONLY)
    try:
        while not select.select([process.stdout], [], [], 0)[0]:
            held += os.pread(memory, 4, word) != bytes(4)
            looks += 1
            sleep(random.uniform(*_PAUSE))
    finally:
        os.close(memory)
    return held, looks
