"""Selections, crops, shards, arrays and reports: the rules of the CPU's hold on the device."""

# ruff: noqa: F401

from test_array import (
    pytestmark,
    test_an_array_grows_along_any_axis,
    test_an_array_grows_and_shrinks,
    test_an_array_is_made_of_data,
    test_an_array_is_not_made_where_one_is,
    test_an_array_opened_before_sees_what_others_write,
    test_attributes_that_are_set_are_kept,
    test_chunks_are_counted_inside_shards,
    test_codecs_are_told_in_the_order_of_encoding,
    test_consolidated_metadata_are_used,
    test_what_exists_is_opened_in_any_mode_that_keeps_it,
    test_what_is_assigned_is_read,
    writable,
)
from test_crops import (
    ours,
    test_a_box_may_come_many_times_and_boxes_may_overlap,
    test_no_boxes_and_empty_boxes_give_no_elements,
)
from test_report import (
    test_chunks_that_boxes_share_are_decoded_once,
    test_no_option_changes_a_result,
    test_shards_and_missing_chunks_are_counted,
    test_the_bytes_read_are_those_in_the_store,
    test_the_counts_of_a_selection_are_those_of_its_chunks,
    test_what_is_explained_is_what_is_done,
)
from test_selection import (
    test_blocks_are_chunks_or_shards_by_number,
    test_every_mixture_of_integers_slices_and_lists_is_numpys_or_refused,
    test_fields_of_missing_chunks_hold_their_part_of_the_fill_value,
    test_index_lists_and_masks_give_what_numpy_gives,
    test_oindex_is_the_outer_product,
    test_slices_and_integers_give_what_numpy_gives,
    test_struct_fields_are_picked_by_name,
    test_vindex_is_pointwise_and_broadcasts,
)
from test_shards import (
    test_a_shard_is_read_byte_for_byte_as_the_format_says,
    test_shards_nest_and_missing_ones_are_filled,
)
