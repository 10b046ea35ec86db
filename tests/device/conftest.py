"""Every device that keeps the contract, in turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gpuzarr import device as devices
from gpuzarr.device import Device
from gpuzarr.errors import DeviceError


@pytest.fixture(scope="module", params=["cpu", "emulated-fast", "emulated-check", "cuda"])
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """The CPU, the emulated device in its modes, and a GPU where there is one."""
    name, _, mode = request.param.partition("-")
    with pytest.MonkeyPatch.context() as patch:
        if mode:
            patch.setenv("GPUZARR_EMULATOR", mode)
        try:
            found = devices.get(name)
        except DeviceError as error:
            pytest.skip(str(error))
        yield found


@pytest.fixture(autouse=True)
def _no_test_leaves_a_broken_device() -> Iterator[None]:
    yield
    from gpuzarr.device import emulated

    emulated.reset()
