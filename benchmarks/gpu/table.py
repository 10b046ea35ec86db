"""``run.sh table``: one Markdown table and plots of what measure.jsonl holds.

The last result of each cell counts. Beside a number stands what it is held to: a kernel to the
copy on the device, a read to the slowest of its three bounds, an encoder's sizes to those of the
CPU, a peer to gpuzarr's read of the same store. Whether a number is reached is said of GPUs only.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.gpu.cells import Ledger

Line = dict[str, Any]

COLUMNS = (
    "cell", "outcome", "ratio", "median ms", "spread ms", "GB/s", "held to", "share or ×",
    "reached", "peak GiB", "GDS", "remarks",
)  # fmt: skip

_KERNEL_SHARE, _READ_SHARE, _ENOUGH_STREAMS, _ENOUGH_WAVES = 0.7, 0.8, 256, 4
_LARGER = 1.1
"""Sizes of what the device encodes, beside the CPU's, at most."""

_FILTERS = (
    "copy", "unshuffle", "bit_unshuffle", "byte_swap", "place_boxes", "place_rows",
    "place_transposed", "place_lists",
)  # fmt: skip
"""Kernels with a number to reach: filters and placements, but for single elements."""


def latest(lines: list[Line]) -> dict[str, Line]:
    """By cell, in the order in which they were first written down."""
    return {line["cell"]: line for line in lines}


def row(cell: str, line: Line, all_lines: dict[str, Line]) -> list[str]:
    """One line of the table."""
    held, share, reached, remarks = _held(cell, line, all_lines)
    if all_lines.get("about", {}).get("device") == "emulated":
        reached = None
    if line["outcome"] != "measured":
        remarks = line.get("why", "")
    peak, seconds = line.get("peak_bytes"), line.get("spread_s")
    cells = [
        cell,
        line["outcome"],
        _number(line.get("ratio"), ".2f"),
        _number(line.get("median_s"), ".3f", 1e3),
        "" if not seconds else " – ".join(f"{1e3 * s:.3f}" for s in seconds),
        _number(line.get("GB_s"), ".1f"),
        held,
        _number(share, ".2f"),
        {None: "", True: "yes", False: "**no**"}[reached],
        _number(peak, ".2f", 2**-30),
        "" if line["outcome"] != "measured" else "active" if line["gds"] else "no",
        remarks,
    ]
    return [text.replace("|", "/").replace("\n", " ") for text in cells]


def _number(value: float | None, how: str, factor: float = 1.0) -> str:
    return "" if value is None else format(factor * value, how)


def _held(
    cell: str, line: Line, lines: dict[str, Line]
) -> tuple[str, float | None, bool | None, str]:
    """What a cell is held to, its share of that, whether that suffices, and remarks."""
    kind, _, name = cell.partition("/")
    if line["outcome"] != "measured":
        return "", None, None, ""
    if kind == "kernel" and _measured(lines, "ceiling/device copy"):
        share = line["GB_s"] / lines["ceiling/device copy"]["GB_s"]
        wanted = name.startswith(_FILTERS)
        told = f"{line['ms_per_GB']:.2f} ms per GB, predicted {line['predicted_ms_per_GB']}"
        return "device copy", share, share >= _KERNEL_SHARE if wanted else None, told
    if kind == "encode":
        share = line["size_of_cpu"]
        return "size by the CPU", share, share <= _LARGER, ""
    if kind == "read":
        return _of_read(line, name, lines)
    if kind == "peer":
        store = name.partition("/")[2]
        if _measured(lines, f"read/{store}"):
            ours = lines[f"read/{store}"]
            faster = line["median_s"] / ours["median_s"]
            wanted = ours["chunks"] >= _ENOUGH_STREAMS
            return "gpuzarr's read: ×", faster, faster > 1 if wanted else None, ""
    if kind == "face":
        return "the native face", line["native_s"] / line["median_s"], None, ""
    if kind == "crops":
        return "", None, None, f"{line['crops_s']:.0f} crops/s; GB/s of chunks decoded"
    return "", None, None, ""


def _of_read(line: Line, name: str, lines: dict[str, Line]) -> tuple[str, float, bool | None, str]:
    wanted = line["chunks"] >= _ENOUGH_STREAMS and line["waves"] >= _ENOUGH_WAVES
    wanted = wanted and line["bytes"] >= line["chunks"] << 20
    remarks = [f"{line['chunks']} chunks, {line['waves']} waves"]
    remarks += [f"{stage}: {n}" for stage, n in line["stages"].items() if stage.endswith("on cpu")]
    on_cpu = f"peer/gpuzarr cpu + upload/{name}"
    if _measured(lines, on_cpu) and lines[on_cpu]["median_s"] < line["median_s"]:
        remarks.append("the CPU route is faster")
    if line["peak_bytes"] is not None and line["peak_bytes"] > line["memory_limit_bytes"]:
        remarks.append("**more memory than result + 25 % + budget**")
    share = line["share_of_bound"]
    reached = share >= _READ_SHARE if wanted else None
    return line["bound_by"], share, reached, "; ".join(remarks)


def _measured(lines: dict[str, Line], cell: str) -> bool:
    return cell in lines and lines[cell]["outcome"] == "measured"


def markdown(lines: list[Line]) -> str:
    """The page: what was measured where, and the table."""
    found = latest(lines)
    about = found.get("about", {})
    told = [f"- {key}: {value}" for key, value in about.items() if key not in ("cell", "outcome")]
    if about.get("device") == "emulated":
        told.insert(0, "**Emulated on the CPU: these times say nothing of a GPU.**\n")
    rules = ["---"] * 2 + ["--:"] * 4 + ["---", "--:"] + ["---"] * 4
    rows = [
        list(COLUMNS),
        rules,
        *(row(cell, line, found) for cell, line in found.items() if cell != "about"),
    ]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    return "\n".join(["# Measured", "", *told, "", table, ""])


def plots(lines: list[Line], out: Path) -> list[Path]:
    """Bars of what kernels, reads and peers reached; none where matplotlib is absent."""
    if importlib.util.find_spec("matplotlib") is None:
        return []
    found = {c: line for c, line in latest(lines).items() if line["outcome"] == "measured"}
    held = {cell: _held(cell, line, found)[1] for cell, line in found.items()}
    series = {
        "kernels": ("share of the device copy", held, "kernel/", _KERNEL_SHARE),
        "reads": (
            "GB/s decoded",
            {c: line.get("GB_s") for c, line in found.items()},
            "read/",
            None,
        ),
        "peers": ("times as long as gpuzarr", held, "peer/", 1.0),
    }
    made = []
    for name, (label, values, start, line) in series.items():
        bars = {c.removeprefix(start): v for c, v in values.items() if c.startswith(start) and v}
        if bars:
            title = f"{name}: {_where(latest(lines).get('about', {}))}"
            made.append(_bars(out / f"{name}.png", bars, title, label, line))
    return made


def _where(about: Line) -> str:
    """The card and the day, for a picture that is seen without its table."""
    return f"{about.get('card', 'unknown device')}, {str(about.get('date', ''))[:10]}"


def _bars(path: Path, bars: dict[str, float], title: str, label: str, line: float | None) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1 + 0.22 * len(bars)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(list(bars), list(bars.values()), color="#3b6ea5")
    axes.invert_yaxis()
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(label)
    axes.tick_params(axis="y", labelsize=7)
    if line is not None:
        axes.axvline(line, color="#b03a2e", linewidth=1)
    figure.savefig(path, dpi=110)
    return path


def main(
    out: Annotated[Path, typer.Option(help="Folder of measure.jsonl.")] = Path("gpu-results"),
) -> None:
    """Draw table.md and plots beside measure.jsonl."""
    lines = Ledger(out / "measure.jsonl").lines()
    if not lines:
        raise SystemExit(f"There are no results in {out / 'measure.jsonl'}.")
    (out / "table.md").write_text(markdown(lines), encoding="utf-8")
    for path in [out / "table.md", *plots(lines, out)]:
        print(path)


if __name__ == "__main__":
    typer.run(main)
