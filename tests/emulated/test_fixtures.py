"""What other tools wrote, numcodecs' 984 chunks among it, is read on the emulated device."""

# ruff: noqa: F401

from test_conformance import (
    pytestmark,
    test_a_chunk_that_numcodecs_wrote_is_decoded,
    test_a_group_has_the_members_that_zarr_python_finds,
    test_an_array_is_what_zarr_python_reads,
)
