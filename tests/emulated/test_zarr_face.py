"""Behind zarr-python, numbers are read to the device, and written from it, as the default does."""

# ruff: noqa: F401

from __future__ import annotations

from zarr_face.test_pipeline_properties import (
    chunks_went_through_gpuzarr,
    pytestmark,
    rectilinear_grids_are_allowed,
    test_rectilinear_grids,
    test_rectilinear_grids_of_shards,
    test_sharded_arrays,
    test_shards_in_shards,
    test_shards_with_codecs_beside_them,
    test_v2_arrays,
    test_v3_arrays,
)
