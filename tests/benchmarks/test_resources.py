"""What is measured in processes of their own: memory, threads and the GIL."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks import gil, jobs, resources
from benchmarks.settings import Settings
from benchmarks.stores import Size, Store, built, source

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """16 MiB in four chunks."""
    size = Size("4M", 1024, (2, 2), (1, 1))
    with built(settings.folder, "zstd", size, source(size, "float32")) as found:
        yield found


@linux
def test_the_memory_of_a_read_holds_at_least_its_result(store: Store) -> None:
    shape, checksum = store.data.shape, store.crc
    grown = jobs.run("memory", contestant="zarr default", path=str(store.path), value="",
                     shape=shape, checksum=checksum)  # fmt: skip
    assert store.data.nbytes <= grown < 40 * store.data.nbytes


@linux
def test_the_memory_of_a_write_does_not_hold_what_is_written(
    settings: Settings, store: Store
) -> None:
    np.save(settings.folder / "value.npy", store.data)
    grown = jobs.run("memory", contestant="gpuzarr", path=str(store.path), shape=store.data.shape,
                     value=str(settings.folder / "value.npy"), checksum=store.crc)  # fmt: skip
    assert 0 < grown < resources._SLACK + 4 * store.size.chunk_bytes


@linux
def test_a_job_that_reads_wrong_values_fails(store: Store) -> None:
    with pytest.raises(RuntimeError, match="zarr default gave wrong values"):
        jobs.run("memory", contestant="zarr default", path=str(store.path), value="",
                 shape=store.data.shape, checksum=1 + store.crc)  # fmt: skip


def test_threads_are_timed_in_a_process_of_their_own(store: Store) -> None:
    found = jobs.run("threads", threads=1, contestants=["gpuzarr", "zarr fused"],
                     path=str(store.path), shape=store.data.shape, checksum=store.crc,
                     turns=2)  # fmt: skip
    assert {name: values[-1] for name, values in found.items()} == {"gpuzarr": 2, "zarr fused": 2}


def test_threads_are_powers_of_two_and_all() -> None:
    assert resources.counts(1) == [1]
    assert resources.counts(2) == [1, 2]
    assert resources.counts(12) == [1, 2, 4, 8, 12]


@linux
def test_the_lock_is_seen_where_it_is_held_and_where_it_is_not() -> None:
    spinning = gil.watch(jobs.command("spinning", seconds=0.5), jobs.ROOT)
    waiting = gil.watch(jobs.command("waiting", seconds=0.5), jobs.ROOT)
    assert spinning.share > 0.9
    assert waiting.share < 0.5
    assert spinning.looks > 10
    assert 0 <= spinning.error < 0.2


def test_a_process_that_ends_early_cannot_be_watched() -> None:
    command = [sys.executable, "-c", "raise SystemExit('no lock here')"]
    with pytest.raises(RuntimeError, match="no lock here"):
        gil.watch(command, jobs.ROOT)
