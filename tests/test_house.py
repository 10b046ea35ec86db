"""What holds the house: layers, heavy packages, the public API, the weight of the import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

import gpuzarr

PACKAGE = Path(gpuzarr.__file__).parent

# Lowest first. Modules in one set are peers, which never import each other; inside a package
# that is one layer, imports are free.
LAYERS = [
    {"errors"},
    {"config"},
    {"runtime"},
    {"batch"},
    {"place"},
    {"device"},
    {"axis"},
    {"spec", "zarr_packbits"},
    {"metadata", "native_codecs", "hdf5_szip"},
    {"shards"},
    {"codecs"},
    {"indexing"},
    {"selection"},
    {"costs"},
    {"calibration"},
    {"route"},
    {"writing_route"},
    {"report"},
    {"plan"},
    {"crops", "explain"},
    {"sources"},
    {"locate"},
    {"pipeline"},
    {"items"},
    {"described", "targets", "values", "indexer", "pending", "zarr_buffers", "zarr_stores"},
    {"writable"},
    {"array", "zarr_pipeline"},
    {"enabling"},
    {"group", "many"},
    {"opening"},
    {"integrations"},
    {"commands"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

# Only these see the package as its users do, through ``import gpuzarr``.
USERS = {"integrations", "commands"}

# Who may import a package that is heavy, optional, or a model we keep at arm's length.
IMPORTERS = {
    "cupy": ["device/cuda.py"],
    "dask": ["integrations/dask.py"],
    "h5py": ["commands/fields.py"],
    "imagecodecs": ["hdf5_szip.py"],
    "iris_sample_data": ["commands/fields.py"],
    "kvikio": ["sources/gds.py"],
    "matplotlib": ["commands/picture.py"],
    "rich": ["commands/*.py"],
    "torch": ["integrations/torch.py"],
    "typer": ["commands/*.py"],
    "xarray": ["integrations/xarray.py"],
    "zarr": [
        "array.py",
        "codecs/foreign.py",
        "commands/*.py",
        "errors.py",
        "group.py",
        "items.py",
        "metadata.py",
        "native_codecs.py",
        "opening.py",
        "sources/store.py",
        "sources/store_sink.py",
        "spec.py",
        "enabling.py",
        "zarr_buffers.py",
        "zarr_packbits.py",
        "writable.py",
        "zarr_pipeline.py",
        "zarr_stores.py",
    ],
}

MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def imported(module: str) -> Iterator[tuple[int, str]]:
    """Line and full name of each import in `module`, wherever it stands."""
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    package = ["gpuzarr", *Path(module).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                # `from gpuzarr import errors` names a module, `from gpuzarr import open` doesn't
                is_layer = source == "gpuzarr" and alias.name in RANK
                yield node.lineno, f"{source}.{alias.name}" if is_layer else source


def layer(module: str) -> str:
    """The layer that a path such as ``codecs/chain.py`` belongs to."""
    return Path(module).parts[0].removesuffix(".py")


@pytest.mark.parametrize("module", MODULES)
def test_every_module_belongs_to_a_layer(module: str) -> None:
    assert module == "__init__.py" or layer(module) in RANK


@pytest.mark.parametrize("module", [name for name in MODULES if name != "__init__.py"])
def test_a_module_imports_only_from_layers_below_its_own(module: str) -> None:
    own = layer(module)
    wrong = []
    for line, name in imported(module):
        head, *rest = name.split(".")
        if head != "gpuzarr":
            continue
        below = bool(rest) and (rest[0] == own or RANK[rest[0]] < RANK[own])
        if not below and (rest or own not in USERS):
            wrong.append(f"{module}:{line} imports {name}")
    assert not wrong


@pytest.mark.parametrize("module", MODULES)
def test_a_heavy_package_is_imported_only_where_it_belongs(module: str) -> None:
    wrong = [
        f"{module}:{line} imports {name}"
        for line, name in imported(module)
        if not any(
            fnmatch(module, pattern) for pattern in IMPORTERS.get(name.split(".")[0], [module])
        )
    ]
    assert not wrong


@pytest.mark.parametrize("module", MODULES)
def test_a_module_stays_under_about_300_lines(module: str) -> None:
    lines = len((PACKAGE / module).read_text(encoding="utf-8").splitlines())
    assert lines <= 320


def test_the_public_api_is_this() -> None:
    assert sorted(gpuzarr.__all__) == [
        "Array",
        "Group",
        "__version__",
        "config",
        "create_array",
        "enable",
        "errors",
        "open",
        "open_array",
        "open_group",
        "read_many",
    ]
    assert all(hasattr(gpuzarr, name) for name in gpuzarr.__all__)


IMPORT = """
import sys, time
import zarr
before = set(sys.modules)
start = time.process_time()
import gpuzarr
print(time.process_time() - start)
print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""


def import_in_a_fresh_process() -> tuple[float, set[str]]:
    """Processor seconds that ``import gpuzarr`` adds to ``import zarr``, and packages it brings."""
    result = subprocess.run(
        [sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True
    )
    seconds, names = result.stdout.splitlines()
    return float(seconds), set(names.split())


def test_importing_brings_no_heavy_package() -> None:
    _, names = import_in_a_fresh_process()
    assert "gpuzarr" in names
    assert names.isdisjoint(set(IMPORTERS) - {"zarr"})
    assert names.isdisjoint({"cramjam", "isal", "zstandard"})  # which the first array brings


def test_importing_adds_less_than_0_3_seconds_to_zarr() -> None:
    assert min(import_in_a_fresh_process()[0] for _ in range(3)) < 0.3
