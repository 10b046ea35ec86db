"""What a result belongs to: date, commit, machine and versions."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import gpuzarr
from benchmarks.gpu.machine import Machine, machine

_PACKAGES = (
    "zarr", "numcodecs", "numpy", "cupy-cuda13x", "cupy-cuda12x", "nvidia-libnvcomp-cu13",
    "nvidia-libnvcomp-cu12", "nvidia-cuda-nvrtc", "kvikio-cu13", "kvikio-cu12", "zarrs",
    "tensorstore", "czarr",
)  # fmt: skip


def about(machine: Machine) -> dict[str, Any]:
    """One document, the same in every result file."""
    is_active, why = machine.gds
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "gpuzarr": gpuzarr.__version__,
        "device": machine.name,
        **machine.about(),
        "driver_version": _driver_version(),
        "gds_active": is_active,
        "gds_why": why,
        "python": platform.python_version(),
        "processors_of_host": os.cpu_count(),
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def main(device: str) -> None:
    """Print it."""
    print(json.dumps(about(machine(device))))


def commit() -> str:
    """``GPUZARR_COMMIT``, or what git says; empty where neither knows."""
    if given := os.environ.get("GPUZARR_COMMIT"):
        return given
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    call = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(call, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def _driver_version() -> str:
    """As the driver's own tool prints it."""
    call = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main(sys.argv[1])
