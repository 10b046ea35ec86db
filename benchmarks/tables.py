"""Runs as tables: on the terminal, and as Markdown for the results page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rich.box import SIMPLE
from rich.table import Table as RichTable

from benchmarks.peers import NULL, OURS, PEERS
from benchmarks.records import Record, Run
from benchmarks.scaling import fits
from benchmarks.targets import Verdict, unmeasured, verdicts

_RATIOS = (
    ("native × best of zarrs, ts", "gpuzarr", ("zarrs", "tensorstore")),
    ("in zarr × zarrs", "gpuzarr in zarr", ("zarrs",)),
    ("in zarr × fused", "gpuzarr in zarr", ("zarr fused",)),
)
_SHORT = {"gpuzarr out=": "gpuzarr\nout=", "gpuzarr in zarr": "gpuzarr\nin zarr"}


@dataclass(frozen=True)
class Table:
    """Cells as text, the first column of which says what the row is."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def _side(self, column: int) -> Literal["left", "right"]:
        """Numbers stand at the right."""
        cells = [row[column] for row in self.rows if row[column] not in ("", "–")]
        return (
            "right" if column and cells and all(c[:1] in "+-0123456789" for c in cells) else "left"
        )

    def rich(self) -> RichTable:
        """For the terminal."""
        shown = RichTable(title=self.title, box=SIMPLE, pad_edge=False, title_justify="left")
        for number, column in enumerate(self.columns):
            shown.add_column(column, justify=self._side(number), no_wrap=True)
        for row in self.rows:
            shown.add_row(*row)
        return shown

    def markdown(self) -> str:
        """For a page."""
        rules = {"left": "---", "right": "---:"}
        head = [self.columns, [rules[self._side(n)] for n in range(len(self.columns))]]
        lines = [f"| {' | '.join(cells)} |".replace("\n", " ") for cells in [*head, *self.rows]]
        return f"### {self.title}\n\n" + "\n".join(lines) + "\n"


def tables(run: Run) -> list[Table]:
    """A table for each workload, the fits, and the goals."""
    workloads = dict.fromkeys(record.workload for record in run.records)
    found = [of_workload(run.records, workload) for workload in workloads]
    if fitted := fits(run.records):
        rows = tuple(
            (f"{workload}: {name}", f"{1e3 * fit.fixed:.2f}", f"{1e6 * fit.each:.2f}",
             f"{fit.worst:.0%}")
            for (workload, name), fit in fitted.items()
        )  # fmt: skip
        title = "Asymptotes: seconds of n chunks as fixed + n × each"
        found.append(Table(title, ("what", "fixed, ms", "each, µs", "worst deviation"), rows))
    return [*found, *left_out(run), *goals(run)]


def left_out(run: Run) -> list[Table]:
    """Who has no value in some rows, and why."""
    reasons = Counter((name, why) for r in run.records for name, why in r.absent.items())
    rows = tuple((name, why, str(count)) for (name, why), count in reasons.items())
    return [Table("Left out", ("who", "why", "rows"), rows)] if rows else []


def of_workload(records: Iterable[Record], workload: str) -> Table:
    """All rows of one workload."""
    rows = [record for record in records if record.workload == workload]
    names = [n for n in (*OURS, *PEERS) if any(n in r.values for r in rows)]
    others = dict.fromkeys(n for r in rows for n in r.values if n not in names and n != NULL)
    names += [*others, *([NULL] if any(NULL in r.values for r in rows) else [])]
    ratios = [
        ratio for ratio in _RATIOS
        if any(r.unit == "s" and r.speed(*ratio[1:]) is not None for r in rows)
    ]  # fmt: skip
    has_ratio, has_limit = any(r.ratio != 1 for r in rows), any(r.limit for r in rows)
    columns = ["store", "chunks", "threads"]
    columns += ["ratio"] if has_ratio else []
    columns += [_SHORT.get(n, n).replace("tensorstore", "tensor-\nstore") for n in names]
    columns += ["bound"] if has_limit else []
    columns += [ratio[0] for ratio in ratios]
    cells = []
    for r in rows:
        row = [r.place, str(r.chunks), str(r.threads)]
        row += [f"{r.ratio:.2f}"] if has_ratio else []
        row += [_value(r, name) for name in names]
        row += [_text(r.limit, r.unit) if r.limit else ""] if has_limit else []
        row += [_ratio(r.speed(*ratio[1:])) for ratio in ratios]
        cells.append(tuple(row))
    return Table(_title(workload, rows), tuple(columns), tuple(cells))


def goals(run: Run) -> list[Table]:
    """What is reached, goal by goal, and every row that falls short."""
    found = list(verdicts(run))
    columns = ("goal", "rows", "met", "least", "median")
    rows = []
    for goal in dict.fromkeys(v.goal for v in found):
        shares = sorted(v.share for v in found if v.goal == goal)
        met = sum(v.is_met for v in found if v.goal == goal)
        rows.append((goal, str(len(shares)), str(met), f"{shares[0]:.2f}",
                     f"{shares[len(shares) // 2]:.2f}"))  # fmt: skip
    rows += [(goal, "0", "not measured", "", "") for goal in unmeasured(run)]
    title = "Goals: shares reached, 1 is all of one"
    return [Table(title, columns, tuple(rows)), misses(found)]


def misses(found: Iterable[Verdict]) -> Table:
    """The rows that fall short of a goal, the farthest first."""
    short = sorted((v for v in found if not v.is_met), key=lambda v: v.share)
    rows = tuple(
        (f"{v.record.workload}, {v.record.place or v.record.chunks}", v.goal, v.ours,
         v.rival or "the bound", _text(v.found, v.unit), _text(v.wanted, v.unit),
         f"{v.share - 1:+.0%}")
        for v in short
    )  # fmt: skip
    columns = ("row", "goal", "who", "against", "found", "wanted", "by")
    return Table(f"Rows that fall short: {len(rows)}", columns, rows)


def _title(workload: str, rows: list[Record]) -> str:
    kinds = {
        "s": "medians in ms",
        "bytes": "MiB by which a process grows",
        "share": "share of time",
    }
    notes = [note for note in dict.fromkeys(r.note for r in rows) if note]
    return "; ".join([f"{workload}: {kinds[rows[0].unit]}", *notes[:2]])


def _value(record: Record, name: str) -> str:
    return (
        _text(record.values[name].median, record.unit).split(" ")[0]
        if name in record.values
        else "–"
    )


def _ratio(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f}"


def _text(value: float, unit: str) -> str:
    """A value as it is read best: milliseconds, MiB, shares or ratios."""
    if unit == "s":
        return f"{1e3 * value:.3g} ms" if value < 0.1 else f"{1e3 * value:.0f} ms"
    if unit == "bytes":
        return f"{value / (1 << 20):.0f} MiB"
    return f"{value:.2f} ×" if unit == "×" else f"{value:.2f}"
