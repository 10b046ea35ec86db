"""The CUDA device, run: on a GPU where there is one, else on stand-ins for the libraries it calls.

`tests/stand_ins` has CuPy, kvikio and nvCOMP as far as gpuzarr calls them; kernels are run by the
emulator. The same tests run with the real ones, which keeps the stand-ins honest; what only the
stand-ins can show asks for `machine`, and skips there. With neither a GPU nor g++ all skips.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from stand_ins.installing import installed

from gpuzarr import device as devices
from gpuzarr.device import emulated, emulator_build


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.gpu)


def _has_gpu() -> bool:
    """Whether the real CuPy finds a device."""
    try:
        import cupy

        return cupy.cuda.runtime.getDeviceCount() > 0
    except Exception:
        return False


HAS_GPU = _has_gpu()


@pytest.fixture(scope="module", autouse=True)
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """CuPy, or its stand-in with all that goes with it."""
    if HAS_GPU:
        import cupy

        yield cupy
    elif not emulator_build.is_available():
        pytest.skip("there is neither a GPU nor g++")
    else:
        with installed(tmp_path_factory.mktemp("cubins")) as cupy:
            yield cupy


@pytest.fixture(autouse=True)
def _each_test_finds_a_new_machine(libraries: ModuleType) -> Iterator[None]:
    if not HAS_GPU:
        libraries._machine.machine.reset()
    devices._why_not_cuda = None
    yield
    emulated.reset()
    if not HAS_GPU:
        libraries._machine.machine.reset()


@pytest.fixture
def cupy(libraries: ModuleType) -> ModuleType:
    """CuPy."""
    return libraries


@pytest.fixture
def machine(libraries: ModuleType) -> Any:
    """What the stand-in for CuPy counts, and can be told to be."""
    if HAS_GPU:
        pytest.skip("only a stand-in can be told to be so")
    return libraries._machine.machine


@pytest.fixture
def two_devices(cupy: ModuleType) -> None:
    """Skips where there is one."""
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is one GPU")
