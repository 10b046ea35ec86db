"""Side by side: ``python -m benchmarks`` measures, ``check``, ``draw``, ``table`` and ``guard``
work on what it wrote. How, and what the numbers say, is in benchmarks/README.md."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks import crops, opening, planning, reads, resources, scaling, writes
from benchmarks.guard import GROUP, ROW, compare
from benchmarks.peers import OURS, PEERS, everyone
from benchmarks.records import Record, Run, about
from benchmarks.settings import Settings
from benchmarks.stores import CODECS, DTYPES, SIZES, TINY
from benchmarks.tables import misses, tables
from benchmarks.targets import unmeasured, verdicts
from gpuzarr.commands.contestants import limit_threads
from gpuzarr.runtime import processors

WORKLOADS = (
    *reads.WORKLOADS, "crops", *writes.WORKLOADS, "open", "memory", "planning", "scaling",
    "threads",
)  # fmt: skip
EVERYTHING = {
    "workloads": WORKLOADS, "codecs": CODECS, "dtypes": DTYPES, "who": (*OURS, *PEERS),
}  # fmt: skip
QUICK = {
    "workloads": ("whole", "box", "crops", "open", "planning"),
    "codecs": ("zstd", "blosc-lz4-shuffle", "gzip"),
    "sizes": ("16K", "4M"),
    "dtypes": ("float32",),
}
"""The rows of ``--quick``; they are rows of a full run, too."""

app = typer.Typer(add_completion=False, invoke_without_command=True, help=__doc__)
_Paths = Annotated[Path, typer.Argument(exists=True, dir_okay=False)]


def measure(settings: Settings, workloads: Sequence[str]) -> Iterator[Record]:
    """All records, workload by workload."""
    yield from reads.measure(settings, workloads)
    if "crops" in workloads:
        yield from crops.measure(settings)
    if wanted := tuple(w for w in writes.WORKLOADS if w in workloads):
        yield from writes.measure(settings, wanted)
    if "open" in workloads:
        yield from opening.measure(settings)
    if "planning" in workloads:
        yield from planning.measure(settings)
    if "scaling" in workloads:
        yield from scaling.measure(settings)
    yield from resources.measure(settings, workloads)


def chosen(text: str, everything: Sequence[str], option: str) -> tuple[str, ...]:
    """Names between commas; all of them where nothing is said.

    Raises
    ------
    typer.BadParameter
        If one of them is not known.
    """
    names = tuple(filter(None, (name.strip() for name in text.split(","))))
    for name in names:
        if name not in everything:
            known = ", ".join(everything)
            raise typer.BadParameter(f"{name!r} is none of {known}.", param_hint=option)
    return names or tuple(everything)


@app.callback()
def run(
    context: typer.Context,
    workloads: Annotated[str, typer.Option(help=", ".join(WORKLOADS))] = "",
    codecs: Annotated[str, typer.Option(help=", ".join(CODECS))] = "",
    sizes: Annotated[str, typer.Option(help="Of chunks: 16K, 256K, 4M, 64M.")] = "",
    dtypes: Annotated[str, typer.Option(help="float32, int16")] = "",
    names: Annotated[str, typer.Option("--who", help=", ".join((*OURS, *PEERS)))] = "",
    repetitions: Annotated[int, typer.Option(min=1, help="Turns of each contestant.")] = 7,
    quick: Annotated[bool, typer.Option("--quick", help="A few rows, in minutes.")] = False,
    tiny: Annotated[bool, typer.Option("--tiny", help="See that it runs; no numbers.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="The JSON; pictures go beside it. [build/benchmarks/DATE]")
    ] = None,
    pictures: Annotated[bool, typer.Option(help="Draw them.")] = True,
    check: Annotated[bool, typer.Option("--check", help="Print misses; status 1 if any.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Where the stores go meanwhile.")] = None,
    accelerator: Annotated[str, typer.Option(help="The optional one that is installed.")] = "",
) -> None:
    """Measure gpuzarr, zarr-python, zarrs and tensorstore side by side on this machine."""
    if context.invoked_subcommand is not None:
        return
    known = {size.name: size for size in (TINY if tiny else SIZES)}
    defaults = {**EVERYTHING, "sizes": tuple(known), **(QUICK if quick and not tiny else {})}

    def wanted(text: str, option: str) -> tuple[str, ...]:
        everything = tuple(known) if option == "sizes" else EVERYTHING[option]
        return chosen(text, everything, f"--{option}") if text else defaults[option]

    settings = Settings(
        folder or Path(tempfile.gettempdir()),
        codecs=wanted(codecs, "codecs"),
        sizes=tuple(known[name] for name in wanted(sizes, "sizes")),
        dtypes=wanted(dtypes, "dtypes"),
        names=wanted(names, "who"),
        repetitions=repetitions,
        largest=1000 if tiny else 1_000_000,
        tell=_tell,
    )
    console = Console()
    target = output or Path(f"build/benchmarks/{datetime.now(UTC):%Y-%m-%d}.json")
    facts = {"accelerator": accelerator, "tiny": tiny}
    found = measured(settings, wanted(workloads, "workloads"), target, facts, console)
    _show(found, console)
    console.print(f"Written: {target}")
    if pictures:
        _draw(found, target, console)
    if check:
        raise typer.Exit(_check(found, console))


def measured(
    settings: Settings, workloads: Sequence[str], target: Path, facts: dict[str, Any],
    console: Console,
) -> Run:  # fmt: skip
    """A run, which is written after each record; its stores are in a folder of their own."""
    absent = [name for name in settings.names if name not in everyone()]
    if absent:
        command = "uv run --group bench python -m benchmarks"
        console.print(f"Not installed: {', '.join(absent)}. With them: {command}", highlight=False)
    found = Run(about(settings.repetitions) | facts)
    target.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="gpuzarr-benchmarks-", dir=settings.folder))
    limit_threads(processors())
    try:
        for record in measure(replace(settings, folder=place), workloads):
            found.records.append(record)
            found.save(target)
            _tell("")
            console.print(record.key, highlight=False)
    finally:
        limit_threads(None)
        shutil.rmtree(place, ignore_errors=True)
    return found


@app.command()
def table(
    path: _Paths,
    markdown: Annotated[bool, typer.Option("--markdown", help="For the results page.")] = False,
) -> None:
    """Print the tables of a run."""
    found = Run.load(path)
    if markdown:
        typer.echo("\n".join(shown.markdown() for shown in tables(found)))
    else:
        _show(found, Console())


@app.command()
def draw(path: _Paths) -> None:
    """Draw the pictures of a run, beside it."""
    _draw(Run.load(path), path, Console())


@app.command("check")
def check_run(path: _Paths) -> None:
    """Print the rows of a run that fall short of a goal; the exit status is 1 if there are any."""
    raise typer.Exit(_check(Run.load(path), Console()))


@app.command()
def join(
    paths: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False)],
    output: Annotated[Path, typer.Option(help="Where the whole goes.")],
) -> None:
    """Join runs of parts that were made by the same commit on the same machine."""
    runs = [Run.load(path) for path in paths]
    for key in ("commit", "processor", "processors", "python", "versions", "accelerator"):
        if any(run.about.get(key) != runs[0].about.get(key) for run in runs):
            typer.echo(f"The runs differ in their {key}, so they are none of parts.", err=True)
            raise typer.Exit(1)
    records = {record.key: record for run in runs for record in run.records}
    Run(runs[0].about, list(records.values())).save(output)


@app.command()
def guard(
    before: _Paths,
    now: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, help="If not given, --quick is measured."),
    ] = None,
    row: Annotated[float, typer.Option(help="Share of a ratio that one row may lose.")] = ROW,
    group: Annotated[float, typer.Option(help="… that a workload's rows may lose.")] = GROUP,
) -> None:
    """Hold the ratios of the run NOW against those of BEFORE; exit status 1 if some got worse."""
    console = Console(soft_wrap=True)
    second = Run.load(now) if now else _quick(console)
    found = compare(Run.load(before), second, row, group)
    for loss in found.losses:
        console.print(str(loss), highlight=False)
    console.print(f"{found.compared} ratios compared, {len(found.losses)} got worse.")
    if not found.compared:
        console.print("The two runs have no row in common.")
    raise typer.Exit(int(bool(found.losses) or not found.compared))


def _quick(console: Console) -> Run:
    settings = Settings(
        Path(tempfile.gettempdir()),
        codecs=QUICK["codecs"],
        sizes=tuple(size for size in SIZES if size.name in QUICK["sizes"]),
        dtypes=QUICK["dtypes"],
        tell=_tell,
    )
    target = Path("build/benchmarks/guard.json")
    return measured(settings, QUICK["workloads"], target, {}, console)


def _show(found: Run, console: Console) -> None:
    wide = Console(width=max(console.width, 190))
    for shown in tables(found):
        wide.print(shown.rich())


def _check(found: Run, console: Console) -> int:
    everything = list(verdicts(found))
    short = [verdict for verdict in everything if not verdict.is_met]
    Console(width=max(console.width, 150)).print(misses(everything).rich())
    for goal in unmeasured(found):
        console.print(f"Not measured: {goal}.", highlight=False)
    console.print(f"{len(everything) - len(short)} of {len(everything)} are met.")
    return int(bool(short))


def _draw(found: Run, path: Path, console: Console) -> None:
    from benchmarks.plots import draw_all

    for picture in draw_all(found, path.with_suffix("")):
        console.print(f"Drawn: {picture}")


def _tell(step: str) -> None:
    """What is done next, in one line; no thread draws it, which would disturb what is timed."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{step}")
        sys.stderr.flush()


if __name__ == "__main__":
    app(prog_name="python -m benchmarks")
