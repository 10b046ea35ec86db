"""Every device that keeps the contract, in turn."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from gpuzarr import device as devices
from gpuzarr.device import Device
from gpuzarr.device.nvcomp import Nvcomp
from gpuzarr.errors import DeviceError


def _available() -> Iterator[Any]:
    """The CPU, the emulated device in its modes, and a GPU where there is one."""
    yield "cpu"
    for name in ("emulated-fast", "emulated-check", "cuda"):
        try:
            devices.get(name.partition("-")[0])
        except DeviceError:
            continue
        yield pytest.param(name, marks=[pytest.mark.gpu] if name == "cuda" else [])


@pytest.fixture(scope="module", params=list(_available()))
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """Each of them, one after the other."""
    name, _, mode = request.param.partition("-")
    with pytest.MonkeyPatch.context() as patch:
        if mode:
            patch.setenv("GPUZARR_EMULATOR", mode)
        yield devices.get(name)


LIBRARIES = [path for path in os.environ.get("GPUZARR_TEST_NVCOMP", "").split(os.pathsep) if path]


@pytest.fixture(params=LIBRARIES or [None])
def library(request: pytest.FixtureRequest) -> Nvcomp:
    """nvCOMP as it is installed, or each that ``GPUZARR_TEST_NVCOMP`` names (test_nvcomp.py)."""
    if request.param is None:
        try:
            return Nvcomp()
        except DeviceError as error:
            if "There is no nvCOMP" not in str(error):
                raise
            pytest.skip("there is no nvCOMP (pip install nvidia-libnvcomp-cu13)")
    return Nvcomp(request.param)


@pytest.fixture(autouse=True)
def _no_test_leaves_a_broken_device() -> Iterator[None]:
    yield
    from gpuzarr.device import emulated

    emulated.reset()
