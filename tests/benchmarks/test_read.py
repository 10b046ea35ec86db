"""The benchmark checks what it times, and says how it stands."""

from __future__ import annotations

from pathlib import Path

import numcodecs
import numpy as np
import pytest

from benchmarks import __main__ as bench
from benchmarks.stores import Size, field, layouts

TINY = Size("1K", 16, 32)


@pytest.mark.parametrize("row", layouts(TINY))
def test_a_row_is_built_checked_and_timed(tmp_path: Path, row: str) -> None:
    data = field(TINY.side * TINY.grid)
    result = bench.run_row(tmp_path, TINY, row, data, repetitions=2)
    assert result["chunks"] == 1024
    assert set(result["median_ms"]) == {"gpuzarr", "zarr fused", "zarr default"}
    assert bench.table([result]).row_count == 1


def test_a_peer_that_reads_wrongly_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(bench.PEERS, "wrong", lambda path: lambda: field(8))
    with pytest.raises(SystemExit, match="wrong reads raw 1K wrongly"):
        bench.run_row(tmp_path, TINY, "raw", field(TINY.side * TINY.grid), repetitions=1)


def test_the_field_compresses_two_to_three_times() -> None:
    tile = field(4096)[1024:1088, 2048:2112]
    encoded = numcodecs.Zstd(3).encode(np.ascontiguousarray(tile))
    assert 2 < tile.nbytes / len(encoded) < 3
