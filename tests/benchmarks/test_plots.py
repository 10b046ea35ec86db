"""The pictures of made-up runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.plot_style import COLOURS, colour, spread_out
from benchmarks.plots import draw_all

from .conftest import row, run_of


def test_every_picture_is_drawn_as_png_and_svg(tmp_path: Path) -> None:
    stores = [("zstd", "16K"), ("zstd", "4M"), ("gzip", "4M")]
    run = run_of(
        *(row("whole", *store, medians={"zarrs": 0.9}) for store in stores),
        *(row("crops", *store) for store in stores),
        *(row("open", *store) for store in stores[:1]),
        *(row("gil", *store, unit="share", medians={"gpuzarr": 0.2}) for store in stores),
        *(row("threads", *store, threads=n) for store in stores for n in (1, 2, 16)),
        *(row("memory read", *store, unit="bytes", limit=9e8) for store in stores),
        *(row("memory write", *store, unit="bytes", limit=9e8) for store in stores),
        *(row("scaling files", chunks=n) for n in (100, 1000, 10_000)),
        *(row("planning", chunks=n) for n in (100, 1000)),
    )
    paths = draw_all(run, tmp_path / "run")
    names = ("throughput", "ratios", "workloads", "crops", "scaling", "threads", "gil", "memory")
    assert [path.name for path in paths] == [
        f"run-{name}.{kind}" for name in names for kind in ("png", "svg")
    ]
    for path in paths:
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG" if path.suffix == ".png" else b"<?xml")
    ratios = (tmp_path / "run-ratios.svg").read_text()
    assert "0.90" in ratios  # a row that is lost has its number beside it
    assert COLOURS["zarrs"] in ratios


def test_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    assert draw_all(run_of(), tmp_path / "run") == []
    names = {path.stem for path in draw_all(run_of(row("box")), tmp_path / "run")}
    assert names == {"run-workloads"}


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([], []),
        ([5.0], [5.0]),
        ([0.0, 10.0], [0.0, 10.0]),
        ([5.0, 5.0], [4.5, 5.5]),
        ([0.0, 0.0, 0.5], [-0.8333, 0.1667, 1.1667]),
    ],
)
def test_labels_are_moved_apart_and_no_farther(places: list[float], expected: list[float]) -> None:
    assert spread_out(places, 1.0) == pytest.approx(expected, abs=1e-3)


def test_a_contestant_has_one_colour_whatever_it_does() -> None:
    assert colour("zarrs loop") == colour("zarrs")
    assert colour("gpuzarr in zarr loop") == colour("gpuzarr in zarr")
    assert colour("tensorstore futures") == colour("tensorstore")
    assert len(set(COLOURS.values())) == len(COLOURS)
