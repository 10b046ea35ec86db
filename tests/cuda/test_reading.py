"""What a GPU reads is what zarr-python reads."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from emulated.test_whole_chains import CASES, stored

import gpuzarr

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")


@pytest.mark.parametrize("arguments", CASES)
def test_a_layout_is_what_zarr_python_reads(cupy: ModuleType, arguments: dict[str, Any]) -> None:
    array, expected = stored(arguments)
    ours = gpuzarr.open(array, device="cuda")
    assert ours.device == "cuda:0"
    assert not ours.explain().fallbacks
    found = ours[...]
    assert isinstance(found, cupy.ndarray)
    assert found.dtype == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found.get(), expected)
    told = {(stage.stage, stage.device) for stage in ours.explain().stages}
    assert set(ours.last_read.stages) == told
    assert {device for _, device in told} <= {"cuda:0"}
