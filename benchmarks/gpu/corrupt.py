"""Damaged chunks, one at a time, in a process that may not survive them.

Each case changes one chunk of a store and reads it on the device and on the CPU. Right is: both
refuse; or both give the same bytes, where no rule shows the damage; or the device ends with an
error that says so, which is what is promised for decoders that are undefined on such bytes. Wrong
are other bytes, and bytes where the CPU refuses. Each case is told before it is begun, so that a
process that dies or hangs names it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import gpuzarr
from benchmarks.gpu.cells import is_whole
from benchmarks.gpu.machine import Machine, machine
from benchmarks.gpu.scale import TINY
from benchmarks.gpu.stores import Store, Stores
from gpuzarr.errors import DeviceError, GpuzarrError

_LIMITS = (b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f")


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Changed, cut, prolonged, or with a header at its limits."""
    found = bytearray(data)
    kind = int(rng.integers(5))
    if kind == 0:
        for at in rng.integers(0, len(found), 1 + int(rng.integers(4))).tolist():
            found[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del found[int(rng.integers(len(found))) :]
    elif kind == 2:
        found += rng.bytes(1 + int(rng.integers(64)))
    elif kind == 3:
        at = int(rng.integers(min(20, len(found))))
        found[at : at + 4] = _LIMITS[int(rng.integers(len(_LIMITS)))]
    else:
        at = int(rng.integers(len(found)))
        found[at:] = rng.bytes(len(found) - at)
    return bytes(found)


def verdict(store: Store, device: str, found: Machine) -> tuple[str, Any]:
    """``read`` with the bytes, ``refused`` or ``fault`` with the words."""
    try:
        array = gpuzarr.open_array(store.path, device=device)
        result = found.host(array[...])
    except DeviceError as error:
        return "fault", str(error)
    except GpuzarrError as error:
        return "refused", str(error)
    return "read", result.tobytes()


def outcome(store: Store, found: Machine) -> tuple[str, str]:
    """``right``, ``fault`` or ``wrong``, and why."""
    wanted, reference = verdict(store, "cpu", found)
    got, result = verdict(store, found.name, found)
    if got == "fault":
        return ("fault", result) if wanted == "refused" else ("wrong", f"valid, but: {result}")
    if got != wanted:
        return "wrong", f"{got} where the CPU has {wanted}"
    if got == "read" and result != reference:
        return "wrong", "bytes that differ from the CPU's"
    return "right", got


def main(device: str, layout: str, first: int, last: int) -> None:
    """Run cases from `first` to `last`; a line of JSON before and behind each."""
    found, stores = machine(device), Stores(TINY)
    try:
        store = stores.get(f"{layout}/{next(iter(TINY.chunks))}/r3")
        whole: dict[Path, bytes] = {path: path.read_bytes() for path, _ in store.files}
        for case in range(first, last):
            rng = np.random.default_rng([13, case])
            path = store.files[int(rng.integers(len(store.files)))][0]
            print(json.dumps({"case": case, "begun": True}), flush=True)
            path.write_bytes(damaged(whole[path], rng))
            found_out, why = outcome(store, found)
            path.write_bytes(whole[path])
            print(json.dumps({"case": case, "outcome": found_out, "why": why[:300]}), flush=True)
            if found_out == "fault" and not is_whole(found):
                return
    finally:
        stores.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
