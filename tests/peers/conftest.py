"""Data that other libraries write, and arrays of other frameworks."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def values() -> np.ndarray:
    """``[50, 40]`` float32 with a NaN."""
    data = np.random.default_rng(3).normal(size=(50, 40)).astype("f4")
    data[7, 9] = np.nan
    return data
