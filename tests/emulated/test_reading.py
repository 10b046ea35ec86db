"""Whatever the CPU reads, the emulated device reads: the same bits, numbers on the device."""

# ruff: noqa: F401

from test_properties import (
    pytestmark,
    rectilinear_grids_are_allowed,
    test_a_basic_selection_is_what_numpy_gives,
    test_a_basic_selection_of_any_dtype_is_what_numpy_gives,
    test_a_mask_picks_what_numpy_picks,
    test_a_rectilinear_array_is_what_zarr_python_reads,
    test_a_resized_array_is_what_zarr_python_reads,
    test_a_shard_with_other_codecs_beside_it_is_what_zarr_python_reads,
    test_a_sharded_array_is_what_zarr_python_reads,
    test_a_v2_array_is_what_zarr_python_reads,
    test_a_v3_array_is_what_zarr_python_reads,
    test_an_array_of_shards_in_shards_is_what_zarr_python_reads,
    test_any_mixture_of_indexes_is_what_numpy_gives,
    test_blocks_are_the_stored_chunks,
    test_fields_of_structs_are_what_numpy_gives,
    test_oindex_is_the_outer_product,
    test_read_many_reads_across_arrays,
    test_read_many_stacks_boxes,
    test_read_many_takes_integers_and_newaxes_alike,
    test_shards_of_a_rectilinear_grid_are_what_zarr_python_reads,
    test_the_report_keeps_to_the_explanation,
    test_vindex_is_pointwise,
    test_what_zarr_pythons_own_strategies_make_is_what_zarr_python_reads,
)
