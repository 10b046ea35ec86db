"""A part of all this with every access to device memory checked."""

# ruff: noqa: F401

from __future__ import annotations

import pytest
from emulated.test_encoding import test_every_stage_encodes_on_the_device
from emulated.test_errors_on_the_device import (
    test_a_truncated_chunk_is_an_error_that_names_it,
    test_an_empty_chunk_is_an_error,
    test_each_field_of_a_blosc_header_is_checked,
)
from emulated.test_mixed_chains import (
    test_the_cpu_does_the_first_stages_and_bytes_go_up_once,
    uploads,
)
from emulated.test_results import test_missing_chunks_are_filled_into_a_target
from emulated.test_rules import (
    ours,
    test_a_box_may_come_many_times_and_boxes_may_overlap,
    test_index_lists_and_masks_give_what_numpy_gives,
    test_oindex_is_the_outer_product,
    test_shards_nest_and_missing_ones_are_filled,
    test_slices_and_integers_give_what_numpy_gives,
    test_vindex_is_pointwise_and_broadcasts,
)
from test_properties import (
    pytestmark,
    test_a_sharded_array_is_what_zarr_python_reads,
    test_a_v2_array_is_what_zarr_python_reads,
    test_a_v3_array_is_what_zarr_python_reads,
)


@pytest.fixture(autouse=True)
def every_access_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUZARR_EMULATOR", "check")
