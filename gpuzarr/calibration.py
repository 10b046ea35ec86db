"""Constants of the cost model: predicted, or measured once and kept in a file of the user's cache.

``gpuzarr doctor --calibrate`` measures them. The file is named after the device and the versions of
the libraries, since none of these may change; one that cannot be used is ignored, and the log says
why.
"""

from __future__ import annotations

import json
import logging
import platform
import re
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path
from typing import Any

from gpuzarr.costs import OTHER, Constants, DeviceCost, HostCost
from gpuzarr.device import Device
from gpuzarr.device.kernels import cache_folder, kept

_logger = logging.getLogger("gpuzarr")
_FORMAT = 1
_DECODERS = ("gpuzarr", "numcodecs", "zstandard", "isal")
"""Packages that decode on the CPU."""

_GB = 1e9

PREDICTED = Constants(
    on_device={
        "lz4": DeviceCost(0.4e-3, 0.2 * _GB, 30 * _GB),
        "zstd": DeviceCost(0.6e-3, 0.1 * _GB, 15 * _GB),
        "gzip": DeviceCost(1.0e-3, 0.08 * _GB, 15 * _GB),
        "zlib": DeviceCost(1.0e-3, 0.08 * _GB, 15 * _GB),
        "blosc lz4": DeviceCost(1.5e-3, 0.5 * _GB, 30 * _GB),
        "blosc blosclz": DeviceCost(1.5e-3, 0.5 * _GB, 30 * _GB),
        "blosc snappy": DeviceCost(2.0e-3, 0.5 * _GB, 30 * _GB),
        "blosc zstd": DeviceCost(2.0e-3, 0.2 * _GB, 15 * _GB),
        "blosc zlib": DeviceCost(2.0e-3, 0.2 * _GB, 15 * _GB),
        "crc32c": DeviceCost(0.3e-3, 10 * _GB, 2000 * _GB),
        OTHER: DeviceCost(0.1e-3, 10 * _GB, 2000 * _GB),
    },
    on_host={
        "lz4": HostCost(4e-6, 3.0 * _GB),
        "zstd": HostCost(5e-6, 0.9 * _GB),
        "gzip": HostCost(6e-6, 0.7 * _GB),
        "zlib": HostCost(6e-6, 0.7 * _GB),
        "blosc lz4": HostCost(3e-6, 4.0 * _GB),
        "blosc blosclz": HostCost(3e-6, 3.0 * _GB),
        "blosc snappy": HostCost(8e-6, 1.0 * _GB),
        "blosc zstd": HostCost(6e-6, 1.2 * _GB),
        "blosc zlib": HostCost(6e-6, 0.5 * _GB),
        "crc32c": HostCost(2e-6, 8.0 * _GB),
        OTHER: HostCost(5e-6, 1.5 * _GB),
    },
    upload=50 * _GB,
    latency=30e-6,
)
"""For NVIDIA GPUs, not measured: on the device from docs/kernels.md and from what others report of
nvCOMP, on the CPU from two cores of a server, the upload by PCIe 5."""

PREDICTED_ENCODING = Constants(
    on_device={
        "lz4": DeviceCost(1e-3, 0.1 * _GB, 15 * _GB),
        "zstd": DeviceCost(3e-3, 0.02 * _GB, 5 * _GB),
        "gzip": DeviceCost(2e-3, 0.03 * _GB, 5 * _GB),
        "zlib": DeviceCost(2e-3, 0.03 * _GB, 5 * _GB),
        "blosc lz4": DeviceCost(2e-3, 0.3 * _GB, 15 * _GB),
        "blosc zstd": DeviceCost(4e-3, 0.1 * _GB, 5 * _GB),
        OTHER: DeviceCost(0.2e-3, 10 * _GB, 1000 * _GB),
    },
    on_host={
        "lz4": HostCost(4e-6, 2.0 * _GB),
        "zstd": HostCost(10e-6, 0.6 * _GB),
        "gzip": HostCost(10e-6, 0.025 * _GB),
        "zlib": HostCost(10e-6, 0.035 * _GB),
        "blosc lz4": HostCost(5e-6, 3.0 * _GB),
        "blosc zstd": HostCost(10e-6, 0.7 * _GB),
        "crc32c": HostCost(2e-6, 8.0 * _GB),
        OTHER: HostCost(5e-6, 1.5 * _GB),
    },
    upload=50 * _GB,
    latency=30e-6,
)
"""Of encoding by NVIDIA GPUs, which nobody has measured, at the levels that Zarr has by default.

The CPU's are of one core of a server, on a smooth field with noise.
"""


def constants_of(device: Device) -> Constants | None:
    """What was measured, else what is predicted; None where there is neither."""
    if device.is_host:
        return None
    predicted = PREDICTED if device.name.startswith("cuda") else None
    return _read(file_of(device)) or predicted


def encoding_constants_of(device: Device) -> Constants | None:
    """What is predicted of encoding on this device, if anything is; nobody measures it yet."""
    return PREDICTED_ENCODING if device.name.startswith("cuda") else None


def file_of(device: Device) -> Path:
    """Where the constants of this device are kept."""
    return cache_folder() / _name(device.identity())


@cache
def _name(identity: str) -> str:
    versions = [f"{name} {_version(name)}" for name in _DECODERS]
    words = " ".join([identity, platform.machine(), *versions])
    return f"calibration-{re.sub(r'[^a-z0-9.]+', '-', words.lower())}.json"


def keep(constants: Constants, device: Device) -> Path:
    """Keep measured constants; gives the file.

    Raises
    ------
    DeviceError
        If the folder cannot be written.
    """
    file = file_of(device)
    document = {"format": _FORMAT, "name": file.name, **asdict(constants)}
    kept(file, lambda path: path.write_text(json.dumps(document, indent=2) + "\n"))
    _read.cache_clear()
    return file


def measured(device: Device) -> Constants | None:
    """The constants that are kept of this device, be it the CPU."""
    return _read(file_of(device))


@cache
def _read(file: Path) -> Constants | None:
    """The constants in a file; None where there is none, or none to be used."""
    try:
        return _parsed(json.loads(file.read_text(encoding="utf-8")), file.name)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        _logger.warning(
            "The calibration in %s is ignored: %s. 'gpuzarr doctor --calibrate' makes it anew.",
            file, f"it has no {error}" if isinstance(error, KeyError) else error,
        )  # fmt: skip
        return None


def _parsed(document: dict[str, Any], name: str) -> Constants:
    if document["format"] != _FORMAT:
        raise ValueError(f"expected the format {_FORMAT}, found {document['format']!r}")
    if document["name"] != name:  # renamed, or a copy: of another device or other versions
        raise ValueError(f"it was measured as {document['name']!r}")
    found = Constants(
        {kind: DeviceCost(**cost) for kind, cost in document["on_device"].items()},
        {kind: HostCost(**cost) for kind, cost in document["on_host"].items()},
        float(document["upload"]),
        float(document["latency"]),
        str(document["measured"]),
    )
    costs = [*found.on_device.values(), *found.on_host.values()]
    numbers = [found.upload, found.latency, *(n for cost in costs for n in vars(cost).values())]
    if not all(isinstance(n, int | float) and isfinite(n) and n > 0 for n in numbers):
        raise ValueError("expected positive numbers")
    for table in (found.on_device, found.on_host):
        if table and OTHER not in table:
            raise KeyError(OTHER)
    return found


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
