"""One read of each layout, compared bit for bit: the first thing that a device does."""

from __future__ import annotations

import sys

import gpuzarr
from benchmarks.gpu.machine import machine
from benchmarks.gpu.scale import TINY
from benchmarks.gpu.stores import LAYOUTS, Stores


def main(device: str) -> None:
    """Print a line a layout; the exit status says whether all were right."""
    found, stores, wrong = machine(device), Stores(TINY), []
    chunk = next(iter(TINY.chunks))
    try:
        for name in [*(f"{layout}/{chunk}/r3" for layout in LAYOUTS), "image"]:
            store = stores.get(name)
            array = gpuzarr.open_array(store.path, device=device)
            result = array[...]
            is_right = store.holds(found.host(result))
            wrong += [] if is_right else [name]
            stages = ", ".join(f"{stage} on {where}" for stage, where in array.last_read.stages)
            print(f"{name:28} {'right' if is_right else 'WRONG'}  {stages}", flush=True)
    finally:
        stores.close()
    if wrong:
        raise SystemExit(f"Read wrongly: {', '.join(wrong)}.")


if __name__ == "__main__":
    main(sys.argv[1])
