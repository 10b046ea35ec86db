"""A run with made-up numbers, and settings that take no time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.records import Record, Run, about
from benchmarks.settings import Settings
from benchmarks.stores import TINY
from gpuzarr.commands.timing import Spread

EVERYONE = (
    "gpuzarr", "gpuzarr out=", "gpuzarr in zarr", "zarr default", "zarr fused", "zarrs",
    "tensorstore",
)  # fmt: skip


def spread(value: float) -> Spread:
    """One whose median is this."""
    return Spread(value, *(float(f"{f * value:.5g}") for f in (0.9, 0.95, 1.1)), 7)


def row(workload: str = "whole", codec: str = "zstd", chunk: str = "16K", **facts: Any) -> Record:
    """A row in which gpuzarr takes 1 s, in zarr 1.1 s, and every peer 3 s; `medians` changes it."""
    medians = {"gpuzarr": 1.0, "gpuzarr out=": 0.8, "gpuzarr in zarr": 1.1} | dict.fromkeys(
        EVERYONE[3:], 3.0
    )
    medians |= facts.pop("medians", {})
    values = {name: spread(value) for name, value in medians.items() if value is not None}
    known = {"dtype": "float32", "chunks": 64, "nbytes": 1 << 30, "ratio": 2.0, "threads": 2}
    return Record(workload, codec, chunk, values=values, **(known | facts))


def run_of(*records: Record, **facts: Any) -> Run:
    """A run of these rows."""
    return Run(about(7) | facts, list(records))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Tiny arrays, one turn, few contestants."""
    return Settings(
        tmp_path, codecs=("zstd",), sizes=TINY[:1], dtypes=("float32",),
        names=("gpuzarr", "gpuzarr out=", "gpuzarr in zarr", "zarr default"), repetitions=1,
        largest=1000,
    )  # fmt: skip
