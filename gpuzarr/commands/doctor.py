"""``gpuzarr doctor``: what is there to decode with, whether it works, and what to change.

Each finding is a sentence. What fails and is needed for the device that was asked for makes the
exit code 1; what is merely absent does not.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numcodecs
import numpy as np
import zarr
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, TransposeCodec, ZstdCodec

import gpuzarr
from gpuzarr import calibration
from gpuzarr import device as devices
from gpuzarr.errors import GpuzarrError

_MARKS = {"good": "[green]✓[/]", "absent": "[yellow]–[/]", "bad": "[red]✗[/]"}
_COPIED = 256 << 20


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    name, state
        What, and "good", "absent" or "bad".
    found
        In words.
    advice
        What to install or change, or "".
    """

    name: str
    state: str
    found: str
    advice: str = ""


def run(*, device: str, as_json: bool) -> int:
    """Look at everything; print it, and give the exit code."""
    findings = list(findings_of(device))
    if as_json:
        print(json.dumps([asdict(f) for f in findings], indent=2))  # noqa: T201
    else:
        _show(findings)
    return int(any(f.state == "bad" for f in findings))


def findings_of(wanted: str) -> Iterator[Finding]:
    """Everything that there is to tell, for the device of this name."""
    yield _packages()
    try:
        device = devices.get(wanted)
    except GpuzarrError as error:
        yield Finding("device", "bad", str(error), "Use device='cpu' until then.")
        return
    yield Finding("device", "good", f"device={wanted!r} is {device.name!r}.")
    if wanted == "auto" and device.is_host:
        why = devices.why_no_gpu() or "no GPU was looked for"
        advice = "Install gpuzarr[cuda13] or gpuzarr[cuda12] on a machine with an NVIDIA driver."
        yield Finding("GPU", "absent", f"No GPU is used: {why.rstrip('.')}.", advice)
    for name, found in device.facts().items():
        yield Finding(name, "good", found)
    yield _calibration(device)
    yield from _attempts(
        ("copy to the device", lambda: _bandwidth(device)),
        ("files", lambda: _way(device)),
    )
    for name, arguments in CHAINS.items():
        yield _round_trip(name, arguments, device)


def _packages() -> Finding:
    names = ("gpuzarr", "zarr", "numcodecs", "numpy")
    found = ", ".join(f"{name} {_version(name)}" for name in names)
    return Finding("packages", "good", f"Python {platform.python_version()}, {found}.")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def _attempts(*steps: tuple[str, Callable[[], str]]) -> Iterator[Finding]:
    for name, step in steps:
        try:
            yield Finding(name, "good", step())
        except GpuzarrError as error:
            yield Finding(name, "bad", str(error))


def _calibration(device: Any) -> Finding:
    """By what a device or the CPU is chosen."""
    constants = calibration.measured(device)
    if constants is not None:
        found = f"Measured on {constants.measured}, in {calibration.file_of(device)}."
        return Finding("calibration", "good", found)
    if device.is_host:
        return Finding("calibration", "good", "Not measured: there is nothing to choose between.")
    chosen = "predictions" if calibration.constants_of(device) else "what the device can do"
    return Finding(
        "calibration", "absent", f"Not measured: the device or the CPU is chosen by {chosen}.",
        "'gpuzarr doctor --calibrate' measures once, in a few seconds.",
    )  # fmt: skip


def _bandwidth(device: Any) -> str:
    """Of copies to the device, from the memory that reads come through."""
    if device.is_host:
        return "Results are in host memory; nothing is copied."
    nbytes = _COPIED if device.name != "emulated" else 1 << 20
    with device.working(device.begin()):
        memory = device.host_memory(nbytes)
        memory[...] = 1
        device.to_host(device.to_device(memory)[:1])
    with device.working(device.begin()):
        started = time.perf_counter()
        device.to_host(device.to_device(memory)[:1])
        seconds = time.perf_counter() - started
    return f"{nbytes / seconds / 1e9:.1f} GB/s from host memory."


def _way(device: Any) -> str:
    """How local files get there."""
    from gpuzarr.sources.gds import direct
    from gpuzarr.sources.posix import Posix

    source, way = direct(Posix("."), device)
    return f"Local files are read by {source.name}" + (f", {way}." if way else ".")


CHAINS: dict[str, dict[str, Any]] = {
    "raw": {"compressors": None},
    "big-endian": {"compressors": None, "serializer": BytesCodec(endian="big")},
    "transpose": {"compressors": None, "filters": TransposeCodec(order=(1, 0))},
    "zstd": {"compressors": ZstdCodec()},
    "gzip": {"compressors": GzipCodec()},
    "crc32c": {"compressors": Crc32cCodec()},
    **{
        f"blosc {name}, {shuffle}": {"compressors": BloscCodec(cname=name, shuffle=shuffle)}
        for name in ("blosclz", "lz4", "zlib", "zstd")
        for shuffle in ("shuffle", "bitshuffle")
    },
    "shards": {"shards": (128, 128)},
    "lz4": {"compressors": numcodecs.LZ4(), "zarr_format": 2},
    "zlib, shuffle": {
        "compressors": numcodecs.Zlib(), "filters": [numcodecs.Shuffle(4)], "zarr_format": 2,
    },
    "delta": {"compressors": None, "filters": [numcodecs.Delta("<f4")], "zarr_format": 2},
    "bz2": {"compressors": numcodecs.BZ2(), "zarr_format": 2},
}  # fmt: skip
"""Chains that are written by zarr-python and read back, one for each codec."""


def _round_trip(name: str, arguments: dict[str, Any], device: Any) -> Finding:
    values = np.cumsum(np.ones((200, 150), "f4"), axis=1)
    array = zarr.create_array({}, shape=values.shape, chunks=(64, 64), dtype="f4", **arguments)
    array[...] = values
    label = f"codec {name}"
    try:
        ours = gpuzarr.open_array(array, device=device.name)
        with gpuzarr.config.set({"route": "device"}):  # however small
            found = ours[...]
    except GpuzarrError as error:
        return Finding(label, "bad", str(error))
    there = devices.on_device(found)
    host = found if there is None else there.get()
    if not np.array_equal(host, values):
        wrong = int((host != values).sum())
        return Finding(label, "bad", f"{wrong} of {values.size} elements are not what was written.")
    report = ours.last_read
    stages = ", ".join(f"{stage} on {where}" for stage, where in report.stages) if report else ""
    return Finding(label, "good", f"{stages or 'copied'}.")


def _show(findings: list[Finding]) -> None:
    table = Table(show_header=False, box=None, padding=(0, 1))
    for finding in findings:
        text = escape(f"{finding.found} {finding.advice}".strip())
        table.add_row(_MARKS[finding.state], finding.name, text)
    Console().print(table)
