"""Every device that keeps the contract, in turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gpuzarr import device as devices
from gpuzarr.device import Device
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


@pytest.fixture(autouse=True)
def _no_test_leaves_a_broken_device() -> Iterator[None]:
    yield
    from gpuzarr.device import emulated

    emulated.reset()
