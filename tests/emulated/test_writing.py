"""Arrays on the device are written as on the CPU, by whichever of them encodes a stage."""

# ruff: noqa: F401

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness import asarray, smooth
from writing.test_edges import (
    test_append_extends_edge_chunks,
    test_cells_beyond_a_shape_are_kept_or_lost_as_under_zarr_python,
    test_chunks_of_one_element_and_chunks_beyond_the_array,
    test_every_store_is_written,
)
from writing.test_empty_chunks import test_keys_vanish_and_come_back
from writing.test_failures import (
    test_a_chunk_that_a_codec_refuses_is_named_and_others_stay_whole,
    test_a_slow_store_that_fails_is_waited_for,
    test_a_store_that_takes_no_more_keeps_what_it_took,
    test_local_files_are_old_or_new_and_nothing_else_is_left,
    test_what_is_damaged_is_neither_merged_nor_touched,
)
from writing.test_write_grid import (
    pytestmark,
    test_every_dtype_is_stored_alike,
    test_other_serializers_store_alike,
    test_shards_with_codecs_beside_them_are_stored_alike,
    test_v2_chunks_are_stored_alike,
    test_v3_chunks_are_stored_alike,
)
from writing.test_write_properties import (
    rectilinear_grids_are_allowed,
    test_a_shape_changes_as_under_zarr_python,
    test_fields_of_structs_are_assigned_as_numpy_assigns_them,
    test_what_is_assigned_to_a_sharded_array_is_what_zarr_python_reads,
    test_what_is_assigned_to_a_v2_array_is_what_zarr_python_reads,
    test_what_is_assigned_to_a_v3_array_is_what_zarr_python_reads,
)
from writing.twins import Twins, read_by_zarr
from zarr.codecs.numcodecs import BZ2

import gpuzarr
from gpuzarr import device as devices
from gpuzarr.errors import ValueFitError

DATA = smooth((12, 10), "f4")


@pytest.mark.parametrize("shards", [None, (8, 10)])
@pytest.mark.parametrize("key", [..., (slice(1, 11, 3), slice(2, 7)), 5])
def test_a_value_whose_codecs_are_the_cpu_s_is_downloaded_once(key: Any, shards: Any) -> None:
    twins = Twins((12, 10), chunks=(4, 5), shards=shards, dtype="i2", compressors=[BZ2()])
    twins.write(key, DATA[key])
    ours, nbytes = twins.ours, DATA[key].nbytes
    done = ours.last_write
    assert (done.device, done.downloads, done.bytes_downloaded) == ("cpu", 1, nbytes)
    assert f"0 bytes up in 0 copies, {nbytes} down in 1" in str(done)
    ours[key] = DATA[key]
    assert ours.last_write.bytes_downloaded == 0
    assert ours.append(asarray(DATA)) == (24, 10)
    assert ours.last_write.bytes_downloaded == DATA.nbytes


@pytest.mark.parametrize("turn", [lambda a: a[::-1, ::2], lambda a: a.transpose()[:, :5]])
def test_a_value_on_the_device_may_be_a_view(turn: Any) -> None:
    ours = gpuzarr.create_array({}, shape=turn(DATA).shape, chunks=(3, 2), dtype="f4")
    ours[...] = turn(asarray(DATA))
    np.testing.assert_array_equal(read_by_zarr(ours.store), turn(DATA))


def test_a_value_on_the_device_that_does_not_fit_is_refused() -> None:
    ours = gpuzarr.create_array({}, shape=(12, 10), chunks=(4, 5), dtype="f4")
    with pytest.raises(ValueFitError):
        ours.append(asarray(DATA[:, 1:]))
    with pytest.raises(ValueFitError):
        ours[0] = asarray(DATA)
    assert ours.shape == (12, 10)


def test_arrays_of_two_devices_are_written_from_each_other() -> None:
    on_device = gpuzarr.create_array({}, data=asarray(DATA))
    on_host = gpuzarr.create_array({}, data=on_device[...], device="cpu")
    assert devices.on_device(on_device[...]) is not None
    on_device[2:4] = on_host[:2]
    expected = DATA.copy()
    expected[2:4] = DATA[:2]
    np.testing.assert_array_equal(read_by_zarr(on_device.store), expected)
