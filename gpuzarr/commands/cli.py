"""What ``gpuzarr`` takes on the command line, and how its errors are told: one sentence, exit 1."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import gpuzarr
from gpuzarr.errors import GpuzarrError


class _Commands(TyperGroup):
    """Tells an expected error on stderr in place of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (GpuzarrError, OSError) as error:
            typer.echo(f"gpuzarr: {error}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    help="Zarr arrays on the GPU: look at them, ask how they would be read, see it done.",
)

_Path = Annotated[str, typer.Argument(metavar="PATH", help="A folder, file or URL with Zarr data.")]
_Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, …")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"gpuzarr {gpuzarr.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def info(
    path: _Path,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a tree.")] = False,
) -> None:
    """Show the hierarchy at PATH: shapes, dtypes, chunks, codecs, sizes and ratios."""
    from gpuzarr.commands import info

    info.run(path, as_json=as_json)


@app.command(context_settings={"ignore_unknown_options": True})  # a selection may start with "-"
def explain(
    path: _Path,
    selection: Annotated[
        str, typer.Argument(metavar="SELECTION", help='As in Python, like "0:10, :, 5" or "...".')
    ] = "...",
    device: _Device = "auto",
) -> None:
    """Tell how SELECTION of the array at PATH would be read, and on which device; reads nothing."""
    from gpuzarr.commands import explain

    try:
        parsed = explain.parse_selection(selection)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="SELECTION") from error
    explain.run(path, parsed, device=device)


@app.command()
def doctor(
    device: _Device = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON in place of sentences.")
    ] = False,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Measure once, and keep, how fast what decodes."),
    ] = False,
) -> None:
    """Tell what decodes here, try every codec, and say what to install or change."""
    if calibrate:
        from gpuzarr.commands import calibrate as calibration

        raise typer.Exit(calibration.run(device=device, as_json=as_json))
    from gpuzarr.commands import doctor

    raise typer.Exit(doctor.run(device=device, as_json=as_json))


@app.command()
def bench(
    path: _Path,
    device: _Device = "auto",
    megabytes: Annotated[int, typer.Option(min=1, help="Most of the array that is read.")] = 512,
    repeats: Annotated[int, typer.Option(min=1, help="Timed turns of everyone.")] = 7,
    threads: Annotated[
        int | None, typer.Option(min=1, help="For everyone; all processors if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, in seconds.")] = False,
) -> None:
    """Read the array at PATH with gpuzarr and with zarr-python, zarrs and tensorstore; time them.

    zarrs and tensorstore take part where they are installed.
    """
    from gpuzarr.commands import bench

    bench.run(
        path, device=device, megabytes=megabytes, repeats=repeats, threads=threads, as_json=as_json
    )


@app.command()
def demo(
    device: _Device = "auto",
    megabytes: Annotated[int, typer.Option(min=1, help="Decoded size of each store.")] = 160,
    repeats: Annotated[int, typer.Option(min=1, help="Timed reads; medians are shown.")] = 5,
    output: Annotated[Path, typer.Option(help="Where the map goes.")] = Path("gpuzarr-demo.png"),
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Keep the stores here; else they are temporary.")
    ] = None,
) -> None:
    """Write real fields with zarr-python, read them with gpuzarr, compare, time and draw them."""
    try:
        from gpuzarr.commands import demo
    except ModuleNotFoundError as error:
        typer.echo(
            f"gpuzarr: The demo needs the package {error.name!r}, which the extra 'demo' brings: "
            "pip install 'gpuzarr[demo]'.",
            err=True,
        )
        raise typer.Exit(1) from error

    demo.run(
        device=device, megabytes=megabytes, repeats=repeats, output=output, directory=directory
    )


def main() -> None:
    """The console script."""
    app()
