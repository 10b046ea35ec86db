"""Arrays without axes, whose elements some codecs hand on as NumPy's scalars."""

from __future__ import annotations

import numpy as np
import zarr
from zarr.codecs import ScaleOffset

import gpuzarr


def test_a_scalar_passes_a_filter_of_zarr_python_under_enable() -> None:
    filters = [ScaleOffset(offset=3, scale=2)]
    with gpuzarr.enable():
        z = zarr.create_array({}, shape=(), dtype="i4", filters=filters, compressors=None)
        z[...] = 5
        assert z[()] == 5
    stored = zarr.open_array(z.store)
    assert type(stored.async_array.codec_pipeline).__module__.startswith("zarr.")
    assert np.asarray(stored[()]) == 5
