"""Pictures of a run in which each row is a store and each dot a contestant."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.plot_style import (
    COLOURS,
    FAINT,
    INK,
    OURS,
    colour,
    grid,
    key,
    of,
    panels,
    size_text,
    where,
)  # fmt: skip
from benchmarks.records import Record, Run

_PEERS = ("zarrs", "tensorstore", "zarr fused", "zarr default")
_FACES = ("gpuzarr", "gpuzarr in zarr")
_PARTS = (
    "whole", "box", "row", "outer", "points", "write", "write-part", "open", "open and read one",
)  # fmt: skip


def ratios(run: Run) -> Figure | None:
    """Whole warm reads: how many times faster each face is than each peer, row by row."""
    rows = [r for r in of(run, "whole") if r.dtype == "float32"]
    if not rows:
        return None
    size = (12.5, 1.6 + 0.21 * len(rows) + 0.1 * len({r.codec for r in rows}))
    title = "How many times faster than …"
    about = f"whole reads, ratios of medians; left of the line gpuzarr is slower · {where(run)}"
    figure, axes = panels(1, len(_PEERS), size, title, about, sharey=True)
    places = _places(rows)
    for panel, peer in zip(axes, _PEERS, strict=True):
        panel.set_title(f"… {peer}", color=colour(peer))
        values = {name: [r.speed(name, (peer,)) for r in rows] for name in reversed(OURS)}
        _dots(panel, places, values)
        _ratio_axis(panel, [v for found in values.values() for v in found if v])
        for place, *found in zip(places, *(values[name] for name in _FACES), strict=True):
            lost = sorted(v for v in found if v and v < 0.995)
            if lost:
                panel.annotate(
                    " · ".join(f"{v:.2f}" for v in lost), (lost[0], place), xytext=(-6, 0),
                    fontsize=7.5, textcoords="offset points", ha="right", va="center", color=INK,
                )  # fmt: skip
    _rows(axes[0], rows, places)
    key(figure, OURS, size)
    return figure


def workloads(run: Run) -> Figure | None:
    """All warm workloads: a dot for each store, a stroke at the geometric mean."""
    found = [w for w in _PARTS if of(run, w)]
    if not found:
        return None
    size = (12.5, 1.7 + 0.5 * len(found))
    title = "Every workload, against every peer"
    about = f"ratio of medians, a dot for each store; the stroke is their mean · {where(run)}"
    figure, axes = panels(1, len(_PEERS), size, title, about, sharey=True)
    for panel, peer in zip(axes, _PEERS, strict=True):
        panel.set_title(f"… {peer}", color=colour(peer))
        everything = []
        for place, workload in enumerate(found):
            for name, shift in (("gpuzarr", -0.17), ("gpuzarr in zarr", 0.17)):
                values = [v for r in of(run, workload) if (v := r.speed(name, (peer,)))]
                everything += values
                _strip(panel, place + shift, values, name)
        _ratio_axis(panel, everything)
    axes[0].set_yticks(range(len(found)), found, color=INK)
    axes[0].set_ylim(len(found) - 0.5, -0.5)
    key(figure, _FACES, size)
    return figure


def _strip(panel: Axes, place: float, values: Sequence[float], name: str) -> None:
    if not values:
        return
    panel.scatter(values, [place] * len(values), s=16, color=colour(name), alpha=0.45, linewidth=0)
    mean = math.exp(sum(map(math.log, values)) / len(values))
    panel.plot([mean, mean], [place - 0.16, place + 0.16], color=colour(name), linewidth=2.4)


def crops(run: Run) -> Figure | None:
    """Crops per second, of everyone and in every way."""
    rows = of(run, "crops")
    if not rows:
        return None
    size = (11.0, 1.8 + 0.36 * len(rows))
    title = "A thousand random crops"
    about = f"crops per second; diamonds are futures, rings are loops · {where(run)}"
    figure, (panel,) = panels(1, 1, size, title, about)
    places = _places(rows)
    names = dict.fromkeys(name for r in rows for name in r.values)
    values = {
        n: [1000 / r.values[n].median if n in r.values else None for r in rows] for n in names
    }
    _dots(panel, places, values)
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    grid(panel, "x")
    _rows(panel, rows, places)
    shown = [n for n in COLOURS if any(name.startswith(n) for name in names)]
    key(figure, shown, size)
    return figure


def gil(run: Run) -> Figure | None:
    """The share of time for which some thread holds the interpreter's lock."""
    rows = [r for r in of(run, "gil") if r.values]
    if not rows:
        return None
    size = (10.5, _height(rows))
    about = f"share of the time of whole reads · {where(run)}"
    figure, (panel,) = panels(1, 1, size, "Python's lock is held", about)
    _contestants(panel, rows, 1)
    panel.set_xlim(0, 1.02)
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    _rows(panel, rows, _places(rows))
    key(figure, [n for n in COLOURS if any(n in r.values for r in rows)], size)
    return figure


def memory(run: Run) -> Figure | None:
    """Memory that reading and writing take, and the bound on ours."""
    works = [work for work in ("read", "write") if of(run, f"memory {work}")]
    if not works:
        return None
    rows = of(run, f"memory {works[0]}")
    size = (12.5, _height(rows))
    about = f"MiB that a process grows by; the bar is the bound on gpuzarr · {where(run)}"
    figure, axes = panels(1, len(works), size, "Peak memory", about, sharey=True)
    for panel, work in zip(axes, works, strict=True):
        found = of(run, f"memory {work}")
        _contestants(panel, found, 1 / (1 << 20))
        for place, row in zip(_places(found), found, strict=True):
            bound = (row.limit or 0) / (1 << 20)
            panel.plot([bound, bound], [place - 0.42, place + 0.42], color=INK, linewidth=2)
        panel.set_title(f"{work} the whole array")
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.xaxis.set_minor_formatter(NullFormatter())
    _rows(axes[0], rows, _places(rows))
    key(figure, [n for n in COLOURS if any(n in r.values for r in rows)], size)
    return figure


def _contestants(panel: Axes, rows: list[Record], scale: float) -> None:
    """A dot for each contestant in each row."""
    values = {
        name: [scale * r.values[name].median if name in r.values else None for r in rows]
        for name in reversed(COLOURS)
    }
    _dots(panel, _places(rows), values)
    grid(panel, "x")
    panel.spines["left"].set_visible(False)


def _height(rows: list[Record]) -> float:
    """Of a figure with so many rows, in inches."""
    return 1.6 + 0.24 * len(rows) + 0.1 * len({r.codec for r in rows})


def _dots(panel: Axes, places: list[float], values: dict[str, list[float | None]]) -> None:
    """A dot for each value; loops are rings, and futures diamonds."""
    for place in places:
        panel.axhline(place, color=FAINT, linewidth=0.7, zorder=1)
    for name, found in values.items():
        points = [(v, p) for v, p in zip(found, places, strict=True) if v is not None]
        panel.scatter(
            [v for v, _ in points], [p for _, p in points], s=34 if name in OURS else 26, zorder=3,
            facecolor="white" if name.endswith("loop") else colour(name), edgecolor=colour(name),
            marker="D" if name.endswith("futures") else "o", linewidth=1.3,
        )  # fmt: skip


def _places(rows: list[Record]) -> list[float]:
    """Where rows stand, downwards, with a space between codecs and workloads."""
    places: list[float] = []
    for number, row in enumerate(rows):
        before = rows[number - 1] if number else row
        gap = (row.codec, row.workload) != (before.codec, before.workload)
        places.append(places[-1] + (1.5 if gap else 1) if places else 0)
    return places


def _rows(panel: Axes, rows: list[Record], places: list[float]) -> None:
    """Names of stores at the left, the codec where it begins."""
    labels = []
    for number, row in enumerate(rows):
        is_new = not number or (row.codec, row.workload) != (
            rows[number - 1].codec, rows[number - 1].workload,
        )  # fmt: skip
        size = size_text(row.chunk)
        labels.append(f"{row.codec}   {size}" if is_new else size)
    panel.set_yticks(places, labels, color=INK)
    panel.set_ylim(places[-1] + 0.8, -0.8)
    panel.spines["left"].set_visible(False)


def _ratio_axis(panel: Axes, values: Sequence[float]) -> None:
    """Logarithmic, with a line at one; what is slower stands on a faint ground."""
    low, high = min([*values, 0.9]), max([*values, 1.6]) * 1.15
    low /= (high / low) ** 0.35  # room for numbers beside the dots
    panel.set_xscale("log")
    panel.set_xlim(low, high)
    span = high / low
    within = (1, 2, 5) if span < 60 else (1, 3) if span < 400 else (1,)
    steps = [m * 10**e for e in range(-3, 4) for m in within if low <= m * 10**e <= high]
    panel.set_xticks(steps, [f"{v:g}×" for v in steps])
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.tick_params(which="minor", length=0)
    grid(panel, "x")
    panel.axvspan(low, 1, color=FAINT, alpha=0.5, linewidth=0, zorder=0)
    panel.axvline(1, color=INK, linewidth=1.2, zorder=2)
    panel.spines["left"].set_visible(False)
