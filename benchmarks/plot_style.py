"""How pictures look: one colour for each contestant, labels beside what they name, no boxes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.records import Record, Run

INK, SOFT, FAINT = "#22313f", "#6b7780", "#e6e9ec"

COLOURS = {
    "gpuzarr": "#0b5fff",
    "gpuzarr out=": "#6ea8ff",
    "gpuzarr in zarr": "#00a08a",
    "zarrs": "#b5338a",
    "tensorstore": "#e8710a",
    "zarr fused": "#5f6b76",
    "zarr default": "#a9b2ba",
}
OURS = ("gpuzarr", "gpuzarr out=", "gpuzarr in zarr")

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "gpuzarr",
}


def colour(name: str) -> str:
    """Of a contestant, also where its name says what it does ("zarrs loop")."""
    while name not in COLOURS and " " in name:
        name = name.rpartition(" ")[0]
    return COLOURS.get(name, SOFT)


def panels(
    rows: int,
    columns: int,
    size: tuple[float, float],
    title: str,
    subtitle: str,
    right: float = 0,
    **shared: Any,
) -> tuple[Figure, list[Axes]]:
    """A figure with a title, one line below it, and empty axes row by row.

    `size`, and what is left free at the right, are in inches.
    """
    figure = Figure(figsize=size, dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    top = 1 - 0.72 / size[1]
    figure.get_layout_engine().set(  # type: ignore[union-attr]
        rect=(0.01, 0.01, 0.98 - right / size[0], top - 0.01), wspace=0.03, hspace=0.05
    )
    figure.text(0.012, 1 - 0.14 / size[1], title, fontsize=15, weight="bold", va="top")
    figure.text(0.012, 1 - 0.46 / size[1], subtitle, fontsize=9.5, color=SOFT, va="top")
    made = figure.subplots(rows, columns, squeeze=False, **shared)
    return figure, list(made.flat)


def grid(axes: Axes, axis: str) -> None:
    """Faint lines behind the data, in place of ticks."""
    axes.grid(axis=axis, color=FAINT, linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


def end_labels(axes: Axes, labels: Iterable[tuple[float, float, str, str]]) -> None:
    """Texts right of the ends of lines, ``(x, y, text, colour)``, moved apart where they touch."""
    found = sorted(labels, key=lambda label: label[1])
    axes.figure.canvas.draw()
    ends = [axes.transData.transform((x, y)) for x, y, _, _ in found]
    gap = 11.5 * axes.figure.dpi / 72
    places = spread_out([float(end[1]) for end in ends], gap)
    for (x, y, text, shade), end, place in zip(found, ends, places, strict=True):
        label = axes.annotate(
            text, (x, y), xytext=(5, 72 / axes.figure.dpi * (place - end[1])),
            textcoords="offset points", color=shade, fontsize=8.5, va="center",
            weight="bold" if text.startswith("gpuzarr") else "normal", annotation_clip=False,
        )  # fmt: skip
        label.set_in_layout(False)


def spread_out(places: Sequence[float], gap: float) -> list[float]:
    """These ascending places, moved as little as need be so that neighbours are a gap apart."""
    groups: list[list[float]] = []  # the centre and the number of those that touch
    for place in places:
        groups.append([place, 1])
        while len(groups) > 1:
            (first, n), (second, m) = groups[-2:]
            if second - first >= gap * (n + m) / 2:
                break
            groups[-2:] = [[(first * n + second * m) / (n + m), n + m]]
    return [
        centre + gap * (i - (count - 1) / 2) for centre, count in groups for i in range(int(count))
    ]


def key(figure: Figure, names: Sequence[str], size: tuple[float, float], x: float = 0.985) -> None:
    """Coloured names in one line, at the right of the title."""
    left = x
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    for name in reversed(names):
        text = figure.text(
            left, 1 - 0.19 / size[1], f"● {name}", color=colour(name), fontsize=9, ha="right",
            va="top", weight="bold" if name in OURS else "normal",
        )  # fmt: skip
        width = text.get_window_extent(renderer).width / figure.bbox.width
        left -= width + 0.012


def save(figure: Figure, stem: Path, name: str) -> list[Path]:
    """As PNG and SVG; their paths."""
    paths = [stem.with_name(f"{stem.name}-{name}.{kind}") for kind in ("png", "svg")]
    for path in paths:
        metadata = {"Date": None} if path.suffix == ".svg" else None
        with mpl.rc_context(STYLE):
            figure.savefig(path, metadata=metadata)
    return paths


def of(run: Run, workload: str) -> list[Record]:
    """The warm rows of a workload."""
    return [r for r in run.records if r.workload == workload and r.cache == "warm"]


def size_text(chunk: str) -> str:
    """A chunk's size, spelled out."""
    return f"{chunk[:-1]} {chunk[-1]}iB"


def where(run: Run) -> str:
    """Machine, date and commit."""
    about = run.about
    machine = about["processor"] or about["machine"]
    return f"{machine}, {about['processors']} processors, {about['date'][:10]}, {about['commit']}"
