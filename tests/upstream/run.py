"""Does zarr-python's own test suite pass with gpuzarr's codec pipeline behind it?

    uv run --group upstream python tests/upstream/run.py

downloads the source of the zarr-python that is installed, for its tests, and runs those about
arrays, indexing, codecs and groups: with zarr's default pipeline, then with gpuzarr's. It ends
with 1 when a test fails that passes with the default, when fewer than 95 % of the chunks went
through gpuzarr natively, or when some went elsewhere unannounced (`counting.py` tells how).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".upstream"
PIPELINES = {
    "default": "zarr.core.codec_pipeline.BatchedCodecPipeline",
    "fused": "zarr.core.codec_pipeline.FusedCodecPipeline",
    "gpuzarr": "gpuzarr.zarr_pipeline.GpuzarrCodecPipeline",
}
TESTS = ["test_array", "test_indexing", "test_codecs", "test_v2", "test_properties", "test_buffer",
         "test_config", "test_codec_entrypoints", "test_api", "test_group"]  # fmt: skip
NATIVE_SHARE = 0.95


@dataclass
class Outcome:
    """What came of the tests with one pipeline."""

    pipeline: str
    tests: dict[str, str]  # name → passed, failed, error, skipped, xfailed
    returncode: int
    counts: dict[str, Any] | None  # what counting.py left, summed over processes

    def having(self, *kinds: str) -> set[str]:
        """Tests of these kinds."""
        return {name for name, kind in self.tests.items() if kind in kinds}


def main() -> int:
    """Run, compare, and say so."""
    args = _arguments()
    source = _source(args.sdist)
    names = [args.pipeline]
    if args.baseline and args.pipeline != "default":
        names.insert(0, "default")
    outcomes = [_run(name, source, args) for name in names]
    problems = _problems(outcomes)
    _report(outcomes, problems)
    if args.json:
        result = {"zarr": version("zarr"), "problems": problems,
                  "outcomes": [vars(outcome) for outcome in outcomes]}  # fmt: skip
        args.json.write_text(json.dumps(result, indent=1))
    return 1 if problems else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pipeline", choices=PIPELINES, default="gpuzarr")
    parser.add_argument("-n", default="2", help="processes")
    parser.add_argument("--select", default=",".join(TESTS), help="modules, by commas")
    parser.add_argument("-k", default="", help="passed on to pytest")
    parser.add_argument("--no-baseline", dest="baseline", action="store_false")
    parser.add_argument("--sdist", type=Path, help="zarr's sdist, else it is downloaded once")
    parser.add_argument("--json", type=Path, help="where to write all outcomes")
    return parser.parse_args()


def _source(sdist: Path | None) -> Path:
    """The unpacked source of the zarr-python that is installed."""
    name = f"zarr-{version('zarr')}"
    source = CACHE / name
    if sdist is None and (source / "tests").is_dir():
        return source
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        if sdist is None:
            subprocess.run([*_pip(), "download", "--quiet", "--no-binary=zarr", "--no-deps",
                            "--dest", folder, name.replace("-", "==", 1)], check=True)  # fmt: skip
            sdist = next(Path(folder).glob("*.tar.gz"))
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        shutil.rmtree(source, ignore_errors=True)
        (Path(folder) / name).rename(source)
    return source


def _pip() -> list[str]:
    """A command that is pip; the environments of uv have none."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv:
        return [uv, "tool", "run", "--python", sys.executable, "pip"]
    raise SystemExit("Expected pip or uv to download zarr's tests, and found neither.")


def _run(pipeline: str, source: Path, args: argparse.Namespace) -> Outcome:
    """zarr's tests, with its own configuration of pytest, in processes of their own."""
    tests = source / "tests"
    selected = [tests / form for name in args.select.split(",") for form in (f"{name}.py", name)]
    paths = [path for path in selected if path.exists()]
    if not paths:
        raise SystemExit(f"Expected modules of {tests}, not {args.select!r}.")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        junit = out / "junit.xml"
        environment = {
            **os.environ,
            "ZARR_CODEC_PIPELINE__PATH": PIPELINES[pipeline],  # survives zarr's config.reset()
            "GPUZARR_UPSTREAM_OUT": folder,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")])),
        }
        environment.setdefault("HYPOTHESIS_PROFILE", "ci")  # zarr's own: the same examples always
        plugin = ["-p", "counting"] if pipeline == "gpuzarr" else []
        command = [sys.executable, "-m", "pytest", "-q", "-r", "fE", "-p", "no:cacheprovider",
                   *plugin, "-n", args.n, "-k", args.k,
                   "-c", source / "pyproject.toml", "--rootdir", source,
                   "--junitxml", junit, *paths]  # fmt: skip
        done = subprocess.run(command, cwd=source, env=environment, check=False)
        if not junit.exists():
            raise SystemExit(f"pytest ended with {done.returncode} and left no results.")
        counts = _sum(out) if pipeline == "gpuzarr" else None
        return Outcome(pipeline, _outcomes(junit), done.returncode, counts)


def _outcomes(junit: Path) -> dict[str, str]:
    """Of each test; the worst of its setup, call and teardown."""
    outcomes: dict[str, str] = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        kind = "passed"
        for name in ("skipped", "failure", "error"):
            if (found := case.find(name)) is not None:
                kind = {"failure": "failed"}.get(name, name)
                if found.get("type") == "pytest.xfail":
                    kind = "xfailed"
        name = f"{case.get('classname')}::{case.get('name')}"
        if outcomes.get(name) not in ("failed", "error"):
            outcomes[name] = kind
    return outcomes


def _sum(folder: Path) -> dict[str, Any]:
    """The files that counting.py left, of all processes."""
    total: dict[str, Any] = {"violations": {}, "read": 0, "written": 0}
    for key in ("handed", "entered", "entered_native", "strays", "elsewhere", "foreign", "encoded"):
        total[key] = Counter()
    for path in folder.glob("counts-*.json"):
        part = json.loads(path.read_text())
        part |= part.pop("counts")
        for key, value in part.items():
            if isinstance(value, int):
                total[key] = total.get(key, 0) + value
            else:
                total[key].update(value)
    return total


def _share(counts: dict[str, Any]) -> float:
    """Of all chunks, those that neither gpuzarr nor what was seen entering zarr's code gives away.

    Handed, entered, elsewhere and strays count what zarr calls chunks, which may be whole shards;
    gpuzarr's own `read` and `written` count inner chunks.
    """
    handed, entered, elsewhere, strays = (
        sum(counts[name].values()) for name in ("handed", "entered", "elsewhere", "strays")
    )
    return float((handed - max(entered, elsewhere)) / max(handed + strays, 1))


def _problems(outcomes: list[Outcome]) -> list[str]:
    """What must not be, in sentences."""
    tested = outcomes[-1]
    known = outcomes[0].having("failed", "error") if len(outcomes) > 1 else set()
    fails = sorted(tested.having("failed", "error") - known)
    problems = [f"fails with {tested.pipeline}: {name}" for name in fails]
    if len(outcomes) > 1 and (lost := outcomes[0].having("passed") - tested.having("passed")):
        problems += [f"passes with the default only: {name}" for name in sorted(lost - set(fails))]
    if tested.returncode not in (0, 1):
        problems.append(f"pytest ended with {tested.returncode}")
    if (counts := tested.counts) is not None:
        if (share := _share(counts)) < NATIVE_SHARE:
            problems.append(f"{share:.2%} of the chunks were native, not {NATIVE_SHARE:.0%}")
        for name, (entered, announced) in counts["violations"].items():
            what = f"{entered} chunks entered zarr's code, {announced} were announced"
            problems.append(f"{what}: {name}")
    return problems


def _report(outcomes: list[Outcome], problems: list[str]) -> None:
    kinds = ["passed", "failed", "error", "skipped", "xfailed"]
    lines = ["", f"{'pipeline':<10}" + "".join(f"{kind:>9}" for kind in kinds)]
    for outcome in outcomes:
        sizes = "".join(f"{len(outcome.having(kind)):>9}" for kind in kinds)
        lines.append(f"{outcome.pipeline:<10}{sizes}")
    if (counts := outcomes[-1].counts) is not None:
        rows = {
            "chunks handed to gpuzarr": sum(counts["handed"].values()),
            "  read natively (inner chunks)": counts["read"],
            "  written natively (inner chunks)": counts["written"],
            **{f"    with a foreign {why}": n for why, n in sorted(counts["foreign"].items())},
            **{f"  elsewhere: {why}": n for why, n in sorted(counts["elsewhere"].items())},
            "  seen entering zarr's code": sum(counts["entered"].values()),
            "    from gpuzarr's main path": sum(counts["entered_native"].values()),
            "chunks in zarr's pipelines without a call to gpuzarr": sum(counts["strays"].values()),
            "tests with violations": len(counts["violations"]),
        }
        lines += ["", *(f"{size:>9}  {what}" for what, size in rows.items())]
        lines.append(f"{_share(counts):>9.2%}  native")
    lines += ["", *problems, "all well" if not problems else f"{len(problems)} problems"]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
