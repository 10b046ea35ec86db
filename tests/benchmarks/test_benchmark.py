"""The benchmark checks what it times, and says how it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest

from benchmarks import __main__ as bench
from benchmarks.stores import Size, field, layouts

TINY = Size("1K", 16, 16)
DATA = field(TINY.side * TINY.grid)


@pytest.mark.parametrize("row", layouts(TINY))
@pytest.mark.parametrize("what", ["read", "write"])
def test_a_row_is_built_checked_and_timed(tmp_path: Path, row: str, what: str) -> None:
    run = {"read": bench.run_read, "write": bench.run_write}[what]
    result = run(tmp_path, TINY, row, DATA, repetitions=2)
    assert result["chunks"] == 256
    assert {"gpuzarr", "gpuzarr in zarr", "zarr fused", "zarr default"} <= set(result["median_ms"])
    assert ("null" in result["median_ms"]) == (what == "read")
    assert result["speedup"]["gpuzarr in zarr / zarr fused"] > 0
    assert bench.table([result], what).row_count == 1


class Wrong:
    """Reads what was never written, and writes nothing."""

    def __init__(self, path: Path) -> None:
        pass

    def __getitem__(self, key: Any) -> np.ndarray:
        return DATA + 2

    def __setitem__(self, key: Any, value: np.ndarray) -> None:
        pass


def test_a_peer_that_reads_wrongly_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(bench.PEERS, "wrong", Wrong)
    with pytest.raises(SystemExit, match="wrong reads raw 1K wrongly"):
        bench.run_read(tmp_path, TINY, "raw", DATA, repetitions=1)


def test_a_peer_that_writes_wrongly_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "PEERS", {"wrong": Wrong, **bench.PEERS})
    with pytest.raises(SystemExit, match="wrong writes raw 1K wrongly"):
        bench.run_write(tmp_path, TINY, "raw", DATA, repetitions=1)


def test_what_is_measured_went_through_gpuzarr(tmp_path: Path) -> None:
    from gpuzarr.pipeline import counts

    path, _ = bench.build(tmp_path, TINY, "zstd", DATA)
    before = counts()
    bench.PEERS["gpuzarr in zarr"](path)[...]
    after = counts()
    assert after["read"] - before["read"] == 256
    assert after["elsewhere"] == before["elsewhere"]


def test_the_field_compresses_two_to_three_times() -> None:
    tile = field(4096)[1024:1088, 2048:2112]
    encoded = numcodecs.Zstd(3).encode(np.ascontiguousarray(tile))
    assert 2 < tile.nbytes / len(encoded) < 3
