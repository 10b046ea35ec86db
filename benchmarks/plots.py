"""Pictures of a run: throughput, scaling and threads; `benchmarks.dot_plots` has those of dots."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.dot_plots import crops, gil, memory, ratios, workloads
from benchmarks.plot_style import (
    COLOURS,
    INK,
    OURS,
    STYLE,
    end_labels,
    grid,
    of,
    panels,
    save,
    size_text,
    where,
)  # fmt: skip
from benchmarks.records import Record, Run
from benchmarks.scaling import KINDS, fits


def draw_all(run: Run, stem: Path) -> list[Path]:
    """Draw what the run has records for; the files that were written."""
    drawings: dict[str, Callable[[Run], Figure | None]] = {
        "throughput": throughput, "ratios": ratios, "workloads": workloads, "crops": crops,
        "scaling": scaling, "threads": threads, "gil": gil, "memory": memory,
    }  # fmt: skip
    paths: list[Path] = []
    with mpl.rc_context(STYLE):
        for name, draw in drawings.items():
            figure = draw(run)
            if figure is not None:
                paths += save(figure, stem, name)
    return paths


def throughput(run: Run) -> Figure | None:
    """Whole warm reads of float32: decoded GB/s by chunk size, a panel for each codec."""
    rows = [r for r in of(run, "whole") if r.dtype == "float32"]
    codecs = list(dict.fromkeys(r.codec for r in rows))
    if not rows:
        return None
    columns = min(4, len(codecs) + 1)
    height = 1.1 + 2.7 * math.ceil(len(codecs) / columns)
    title = "Reading whole arrays"
    about = f"GB of decoded values per second, by size of chunk · {where(run)}"
    figure, axes = panels(
        math.ceil(len(codecs) / columns), columns, (12.5, height), title, about, right=1.05
    )
    chunks = list(dict.fromkeys(r.chunk for r in rows))
    ends = {}
    for panel, codec in zip(axes, codecs, strict=False):
        found = [r for r in rows if r.codec == codec]
        grid(panel, "y")
        ends[codec] = [label for name in COLOURS for label in _line(panel, found, chunks, name)]
        ratio = max(r.ratio for r in found)
        panel.set_title(codec if ratio == 1 else f"{codec}  ·  {ratio:.1f} : 1")
        panel.set_xticks(range(len(chunks)), [size_text(c) for c in chunks])
        panel.set_ylim(bottom=0)
        panel.margins(x=0.06)
    for panel in axes[len(codecs) :]:
        panel.set_axis_off()
    for number, (panel, codec) in enumerate(zip(axes, codecs, strict=False)):
        is_last = number % columns == columns - 1 or number == len(codecs) - 1
        if is_last:
            end_labels(panel, ends[codec])
    return figure


def _line(
    panel: Axes, rows: list[Record], chunks: list[str], name: str
) -> Iterable[tuple[float, float, str, str]]:
    """Draw one contestant; where its label belongs."""
    found = [(chunks.index(r.chunk), r.nbytes / 1e9, r.values[name]) for r in rows
             if name in r.values]  # fmt: skip
    if not found:
        return
    x = [at for at, _, _ in found]
    y = [size / spread.median for _, size, spread in found]
    low, high = ([size / getattr(s, q) for _, size, s in found] for q in ("third", "first"))
    ours = name in OURS
    panel.fill_between(x, low, high, color=COLOURS[name], alpha=0.13, linewidth=0)
    panel.plot(x, y, color=COLOURS[name], linewidth=2.2 if ours else 1.4, marker="o",
               markersize=4.5 if ours else 3.2, zorder=4 if ours else 3)  # fmt: skip
    yield x[-1], y[-1], name, COLOURS[name]


def scaling(run: Run) -> Figure | None:
    """Time of a chunk against the number of chunks, and the asymptote of each contestant."""
    kinds = [k for k in (*(f"scaling {k}" for k in KINDS), "planning") if of(run, k)]
    if not kinds:
        return None
    title = "What a chunk costs, when there are many"
    about = f"µs a chunk against the number of chunks; the numbers are asymptotes · {where(run)}"
    figure, axes = panels(1, len(kinds), (3.3 * len(kinds) + 1, 4.6), title, about, right=0.2)
    fitted, ends = fits(run.records), []
    for panel, kind in zip(axes, kinds, strict=True):
        rows, labels = of(run, kind), []
        panel.set(xscale="log", yscale="log")
        grid(panel, "y")
        for name in COLOURS:
            found = [(r.chunks, 1e6 * r.values[name].median / r.chunks) for r in rows
                     if name in r.values]  # fmt: skip
            if not found:
                continue
            x, y = zip(*found, strict=True)
            panel.plot(x, y, color=COLOURS[name], marker="o", markersize=4,
                       linewidth=2.2 if name in OURS else 1.4)  # fmt: skip
            fit = fitted.get((kind, name))
            each = f"  {1e6 * fit.each:.3g}" if fit else ""
            labels.append((x[-1], y[-1], f"{name}{each}", COLOURS[name]))
        if kind == "planning":
            panel.axhline(1, color=INK, linewidth=1, linestyle=(0, (2, 2)))
        panel.set_title(kind.removeprefix("scaling "))
        panel.set_xlabel("chunks")
        counts = sorted({r.chunks for r in rows})
        panel.set_xticks(counts, [f"$10^{round(math.log10(n))}$" for n in counts])
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.tick_params(which="minor", length=0)
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.set_xlim(right=counts[-1] * (counts[-1] / counts[0]) ** 0.8)
        panel.spines["bottom"].set_bounds(counts[0], counts[-1])
        ends.append((panel, labels))
    for panel, labels in ends:
        end_labels(panel, labels)
    return figure


def threads(run: Run) -> Figure | None:
    """Throughput by threads, a panel for each store."""
    rows = of(run, "threads")
    if not rows:
        return None
    codecs, chunks = (list(dict.fromkeys(getattr(r, a) for r in rows)) for a in ("codec", "chunk"))
    size = (max(8.5, 1.5 + 2.6 * len(chunks)), 1.2 + 1.9 * len(codecs))
    about = f"GB of decoded values per second, by threads · {where(run)}"
    figure, axes = panels(len(codecs), len(chunks), size, "Threads", about, right=1.05, sharex=True)
    ends = []
    for number, panel in enumerate(axes):
        codec, chunk = codecs[number // len(chunks)], chunks[number % len(chunks)]
        found = sorted((r for r in rows if (r.codec, r.chunk) == (codec, chunk)),
                       key=lambda r: r.threads)  # fmt: skip
        grid(panel, "y")
        labels = []
        for name in COLOURS:
            points = [(r.threads, r.nbytes / 1e9 / r.values[name].median) for r in found
                      if name in r.values]  # fmt: skip
            if points:
                x, y = zip(*points, strict=True)
                panel.plot(x, y, color=COLOURS[name], marker="o", markersize=3.5,
                           linewidth=2 if name in OURS else 1.3)  # fmt: skip
                labels.append((x[-1], y[-1], name, COLOURS[name]))
        panel.set_title(f"{codec}, {size_text(chunk)}", fontsize=9)
        panel.set_ylim(bottom=0)
        panel.set_xticks(sorted({r.threads for r in rows}))
        if number % len(chunks) == len(chunks) - 1:
            ends.append((panel, labels))
    for panel, labels in ends:
        end_labels(panel, labels)
    return figure
