"""How the stand-ins take the places of the libraries, for a while."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gpuzarr import device as devices
from gpuzarr.batch import Scratch
from gpuzarr.device import nvcomp, nvrtc

_OURS = ("gpuzarr.device.cuda",)
_THEIRS = ("cupy", "kvikio", "nvcomp_library")
_versions = itertools.count()


class _Nvrtc:
    """NVRTC's version, by which what it compiled is kept."""

    def __init__(self) -> None:
        self._minor = next(_versions)

    def nvrtcVersion(self, major: Any, minor: Any) -> int:
        major._obj.value, minor._obj.value = 0, self._minor
        return 0


@contextmanager
def installed(root: Path) -> Iterator[ModuleType]:
    """CuPy's stand-in, with those of kvikio, nvCOMP and NVRTC; what is compiled is kept in `root`.

    Modules that are imported already stay so for others, and are back at the end.
    """
    imported, nvrtc_library = _forget(), _Nvrtc()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        library = importlib.import_module("nvcomp_library")
        cupy = importlib.import_module("cupy")
        calls = library.Library(library.installed())
        patch.setattr(nvcomp, "_loaded", lambda path: (calls, "the stand-in for libnvcomp"))
        patch.setattr(nvrtc, "load", lambda: nvrtc_library)

        def compile_cubin(path: Path, capability: int, _: Any) -> tuple[bytes, str]:
            cupy._machine.machine.counts["compiled"] += 1
            return f"{path.stem} sm_{capability}".encode(), ""

        def cached(name: str, build: Any) -> Path:
            if not (root / name).exists():
                build(root / name)
            return root / name

        patch.setattr(nvrtc, "compile_cubin", compile_cubin)
        patch.setattr(nvrtc, "cached", cached)
        try:
            yield cupy
        finally:
            _forget()
            sys.modules.update(imported)


def _forget() -> dict[str, ModuleType]:
    """As if nothing had been imported, nor any device been used; what was imported."""
    names = [n for n in sys.modules if n in _OURS or n.partition(".")[0] in _THEIRS]
    imported = {name: sys.modules.pop(name) for name in names}
    vars(devices).pop("cuda", None)
    devices._why_not_cuda = None
    for name in [name for name in Scratch._idle if name.startswith("cuda")]:
        del Scratch._idle[name]
    return imported
