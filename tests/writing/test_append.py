"""What cannot be appended changes nothing, not even the shape."""

from __future__ import annotations

import numpy as np
import pytest
import zarr

import gpuzarr
from gpuzarr.errors import ValueFitError


@pytest.mark.parametrize("data", [np.array(["no number"]), np.zeros((1, 2))])
def test_what_does_not_fit_is_refused_before_the_shape_changes(data: np.ndarray) -> None:
    a = gpuzarr.create_array({}, shape=(3,), chunks=(2,), dtype="i4", fill_value=7)
    with pytest.raises(ValueFitError):
        a.append(data)
    assert a.shape == (3,)
    assert zarr.open_array(a.store).shape == (3,)
