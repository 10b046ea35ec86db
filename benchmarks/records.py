"""What is measured, as one kind of record, and the file that holds a run."""

from __future__ import annotations

import json
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from gpuzarr.commands.timing import Spread
from gpuzarr.runtime import processors

_PACKAGES = (
    "gpuzarr", "zarr", "zarrs", "tensorstore", "numcodecs", "numpy", "zstandard", "isal", "cramjam",
)  # fmt: skip


@dataclass(frozen=True)
class Record:
    """One row: a workload on one array, by everyone.

    Attributes
    ----------
    workload, codec, chunk, dtype, cache
        What was done, on which store, with which page cache ("warm" or "cold").
    chunks, nbytes, ratio
        Chunks of the array, decoded bytes of one result, decoded over stored bytes.
    threads
        That each contestant may use.
    unit
        Of the values: "s", "bytes", or "share" of the time.
    values
        By contestant.
    absent
        Why a contestant has no value.
    limit
        What no value of gpuzarr's should be above, where there is such a thing.
    note
        What else one has to know.
    """

    workload: str
    codec: str = ""
    chunk: str = ""
    dtype: str = ""
    cache: str = "warm"
    chunks: int = 0
    nbytes: int = 0
    ratio: float = 1.0
    threads: int = field(default_factory=processors)
    unit: str = "s"
    values: dict[str, Spread] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    limit: float | None = None
    note: str = ""

    @property
    def key(self) -> str:
        """Names the row in a run, whatever was measured."""
        labels = (self.workload, self.codec, self.chunk, self.dtype, self.cache)
        counts = (f"{self.chunks} chunks", f"{self.threads} threads")
        return " · ".join([*filter(None, labels), *counts])

    @property
    def place(self) -> str:
        """The store in few words."""
        cold = "cold" if self.cache == "cold" else ""
        return " ".join(filter(None, (self.chunk, self.codec, self.dtype, cold)))

    def median(self, name: str) -> float | None:
        """Of this contestant, where it has a value."""
        return self.values[name].median if name in self.values else None

    def speed(self, ours: str, rivals: tuple[str, ...]) -> float | None:
        """How many times faster `ours` is than the fastest of `rivals` that has a value."""
        mine = self.median(ours)
        theirs = [self.values[name].median for name in rivals if name in self.values]
        return min(theirs) / mine if mine and theirs else None


@dataclass
class Run:
    """All records of a run, and where and when it was."""

    about: dict[str, Any]
    records: list[Record] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write it, in one piece."""
        document = {"about": self.about, "records": [_document(r) for r in self.records]}
        beside = path.with_name(f"{path.name}.part")
        beside.write_text(json.dumps(document, indent=1) + "\n")
        beside.replace(path)

    @classmethod
    def load(cls, path: Path) -> Run:
        """Read what `save` wrote."""
        document = json.loads(path.read_text())
        return cls(document["about"], [_record(found) for found in document["records"]])


def about(repetitions: int) -> dict[str, Any]:
    """Date, machine, commit and versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": platform.machine(),
        "processor": _processor(),
        "processors": processors(),
        "memory_bytes": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "repetitions": repetitions,
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def _document(record: Record) -> dict[str, Any]:
    return {key: _rounded(value) for key, value in asdict(record).items() if value != ""}


def _record(document: dict[str, Any]) -> Record:
    values = {name: Spread(**spread) for name, spread in document["values"].items()}
    return Record(**{**document, "values": values})


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return value


def _commit() -> str:
    """As git says it, with "-dirty" where files differ from it; nothing outside a checkout."""
    call = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    root = Path(__file__).parents[1]
    try:
        return subprocess.run(
            call, cwd=root, capture_output=True, text=True, check=False
        ).stdout.strip()
    except OSError:
        return ""


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _memory() -> int:
    info = Path("/proc/meminfo")
    return int(info.read_text().split()[1]) * 1024 if info.exists() else 0


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
