"""The examples in docstrings run, and public names have docstrings."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import gpuzarr

MODULES = [
    module.name
    for module in pkgutil.walk_packages(gpuzarr.__path__, "gpuzarr.")
    if not module.name.startswith("gpuzarr._kernels")
]

NEEDS = {"gpuzarr.device.cuda": "cupy"}


@pytest.mark.parametrize("name", ["gpuzarr", *MODULES])
def test_examples_give_what_they_show(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], exc_type=ImportError)
    monkeypatch.chdir(tmp_path)
    outcome = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert outcome.failed == 0


def test_every_public_name_has_a_docstring() -> None:
    for name in gpuzarr.__all__:
        value = getattr(gpuzarr, name)
        if callable(value):
            assert inspect.getdoc(value), name
        if inspect.isclass(value):
            members = vars(value).items()
            missing = [m for m, v in members if not m.startswith("_") and not inspect.getdoc(v)]
            assert not missing, f"{name} has undocumented members {missing}"
