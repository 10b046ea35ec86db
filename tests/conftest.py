"""Where the test data are, and how much Hypothesis tries.

`GPUZARR_FIXTURES` names the folder of arrays that other tools wrote. Without it
``../shared/fixtures`` is looked for; where there is none, the tests that need it skip, or fail
under ``GPUZARR_REQUIRE_FIXTURES=1``.

Hypothesis tries the same examples in each run, so that what is green stays green.
``HYPOTHESIS_PROFILE=explore`` tries others, and many more of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import zarr
from hypothesis import HealthCheck, settings

import gpuzarr
from gpuzarr.device import emulator_build

pytest.register_assert_rewrite("harness", "writing.twins")

os.environ.setdefault(
    "GPUZARR_FIXTURES", str(Path(__file__).parent.parent.parent / "shared" / "fixtures")
)

# what is decoded where is not to depend on how fast this machine is
gpuzarr.config.set({"route": "device"})

_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile(
    "bounded",
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=_SLOW_IS_FINE,
)
settings.register_profile(
    "explore", max_examples=2000, deadline=None, suppress_health_check=_SLOW_IS_FINE
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "bounded"))


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of arrays that other tools wrote."""
    folder = Path(os.environ["GPUZARR_FIXTURES"])
    if not folder.is_dir():
        reason = f"there is no folder {folder} (GPUZARR_FIXTURES) of arrays that other tools wrote"
        if os.environ.get("GPUZARR_REQUIRE_FIXTURES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(params=["cpu", "emulated"])
def each_device(request: pytest.FixtureRequest) -> Iterator[str]:
    """The device of the arrays that are opened, by its name."""
    if request.param == "emulated" and not emulator_build.is_available():
        pytest.skip("there is no g++")
    with gpuzarr.config.set({"device": request.param}):
        yield request.param


@pytest.fixture(autouse=True)
def _nothing_stays_enabled() -> Iterator[None]:
    """What a test enables for good ends with it."""
    kept = ("codec_pipeline.path", "ndbuffer")
    options = {name: zarr.config.get(name) for name in kept}
    with (
        zarr.config.set(options),
        gpuzarr.config.set({"pipeline_device": gpuzarr.config.get("pipeline_device")}),
    ):
        yield
