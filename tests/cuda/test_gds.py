"""Files straight to a GPU, by kvikio: the same bytes, and a reason where they go another way."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import zarr

import gpuzarr
from gpuzarr.errors import CorruptChunkError, StoreError
from gpuzarr.sources import gds

DATA = np.random.default_rng(0).integers(0, 30, (50, 40), "i4")
LAYOUTS: dict[str, dict[str, Any]] = {
    "raw": {"compressors": None},
    "zstd": {},
    "shards": {"shards": (14, 24)},
    "shards, index at start": {"shards": {"shape": (14, 24), "index_location": "start"}},
}


@pytest.fixture(autouse=True)
def kvikio(cupy: ModuleType) -> Iterator[ModuleType]:
    """kvikio, which has nothing open."""
    found = pytest.importorskip("kvikio")
    gds._kvikio.cache_clear()
    gds._Handles._kept.clear()
    with gpuzarr.config.set({"gds": "on"}):
        yield found
    gds._kvikio.cache_clear()
    gds._Handles._kept.clear()


@pytest.fixture(params=LAYOUTS.values(), ids=LAYOUTS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An array in files, some of them missing."""
    array = zarr.create_array(
        tmp_path / "a", shape=(60, 40), chunks=(7, 12), dtype="i4", fill_value=5, **request.param
    )
    array[:50] = DATA
    return tmp_path / "a"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Four files, not encoded."""
    array = zarr.create_array(
        tmp_path / "a", shape=(4, 8), chunks=(1, 8), dtype="i4", compressors=None
    )
    array[:] = DATA[:4, :8]
    return tmp_path / "a"


def expected() -> np.ndarray:
    """What is in it."""
    data = np.full((60, 40), 5, "i4")
    data[:50] = DATA
    return data


@pytest.mark.parametrize("selection", [np.s_[...], np.s_[9:52, 13:14], np.s_[55:]])
@pytest.mark.parametrize("gap", [0, 1 << 16])
def test_what_is_read_is_the_same(folder: Path, selection: Any, gap: int) -> None:
    with gpuzarr.config.set({"coalesce_gap_bytes": gap}):
        ours = gpuzarr.open(folder, device="cuda")
        np.testing.assert_array_equal(ours[selection].get(), expected()[selection])
    assert ours.last_read.source == "gds"


def test_small_waves_read_the_same(folder: Path) -> None:
    ours = gpuzarr.open(folder, device="cuda")
    with gpuzarr.config.set({"device_wave_bytes": 1024, "threads": 3}):
        np.testing.assert_array_equal(ours[...].get(), expected())


def test_no_encoded_byte_is_uploaded(folder: Path) -> None:
    posix = gpuzarr.open(folder, device="cuda")
    with gpuzarr.config.set({"gds": "off"}):
        posix[...]
    direct = gpuzarr.open(folder, device="cuda")
    direct[...]
    assert direct.last_read.bytes_read == posix.last_read.bytes_read
    least = posix.last_read.bytes_read // 2
    assert direct.last_read.bytes_uploaded <= posix.last_read.bytes_uploaded - least


def test_files_stay_open_between_reads(kvikio: ModuleType, raw: Path, machine: Any) -> None:
    ours, before = gpuzarr.open(raw, device="cuda"), kvikio.CuFile.opened
    for _ in range(3):
        ours[...]
    assert kvikio.CuFile.opened == before + 4


def test_no_more_than_some_files_stay_open(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gds, "_HANDLES", 2)
    np.testing.assert_array_equal(gpuzarr.open(raw, device="cuda")[...].get(), DATA[:4, :8])
    assert len(gds._Handles._kept) == 2


def test_a_replaced_file_is_opened_again(raw: Path) -> None:
    ours = gpuzarr.open(raw, device="cuda")
    ours[...]
    zarr.open_array(raw, mode="r+")[2] = 7
    np.testing.assert_array_equal(ours[2].get(), np.full(8, 7))
    (raw / "c" / "1" / "0").unlink()
    np.testing.assert_array_equal(ours[1].get(), np.zeros(8))


def test_a_file_that_becomes_shorter_is_told(machine: Any, raw: Path) -> None:
    file = raw / "c" / "1" / "0"
    ours = gpuzarr.open(raw, device="cuda")
    ours[...]
    stat = file.stat()
    with file.open("r+b") as opened:
        opened.truncate(9)
    handle = gds._Handles._kept[str(file)]
    now = file.stat()
    handle.identity = now.st_ino, now.st_mtime_ns, now.st_size  # as if it happened meanwhile
    assert handle.nbytes == stat.st_size
    with pytest.raises(StoreError, match=r"'c/1/0'.*expected 32 bytes, found 9"):
        ours[1]


def test_a_short_file_is_a_broken_chunk(raw: Path) -> None:
    os.truncate(raw / "c" / "1" / "0", 9)
    with pytest.raises(ValueError, match="c/1/0"):
        gpuzarr.open(raw, device="cuda")[1]


def test_a_broken_chunk_is_named(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a", shape=8, chunks=4, dtype="i4")
    array[:] = 1
    (tmp_path / "a" / "c" / "1").write_bytes(b"no frame of zstd")
    with pytest.raises(CorruptChunkError, match="'c/1'"):
        gpuzarr.open(tmp_path / "a", device="cuda")[...]


def test_a_folder_in_place_of_a_chunk_is_none(raw: Path) -> None:
    (raw / "c" / "1" / "0").unlink()
    (raw / "c" / "1" / "0").mkdir()
    np.testing.assert_array_equal(gpuzarr.open(raw, device="cuda")[1].get(), np.zeros(8))


# --- which way, and why ---------------------------------------------------------------------------


def way(path: Path) -> tuple[str, str]:
    """Source and words of explain()."""
    ours = gpuzarr.open(path, device="cuda")
    np.testing.assert_array_equal(ours[...].get(), DATA[:4, :8])
    assert f"{ours.last_read.source}" in str(ours.explain())
    return ours.last_read.source, str(ours.explain())


def test_off_is_off(raw: Path) -> None:
    with gpuzarr.config.set({"gds": "off"}):
        source, words = way(raw)
    assert source == "posix"
    assert "the option 'gds' is off" in words


def test_auto_is_direct_where_it_is_active(machine: Any, raw: Path) -> None:
    with gpuzarr.config.set({"gds": "auto"}):
        source, words = way(raw)
    assert source == "gds"
    assert "straight to the device" in words


def test_auto_keeps_to_our_reader_in_compatibility_mode(
    machine: Any, kvikio: ModuleType, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kvikio.defaults, "prefers_compat_mode", True)
    with gpuzarr.config.set({"gds": "auto"}):
        source, words = way(raw)
    assert source == "posix"
    assert "GPUDirect Storage is not active here (kvikio is in compatibility mode)" in words
    assert way(raw)[0] == "gds"  # by "on", whatever kvikio makes of it


def test_auto_keeps_to_our_reader_without_the_kernel_module(
    machine: Any, kvikio: ModuleType, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kvikio.cufile_driver.properties, "is_gds_available", False)
    with gpuzarr.config.set({"gds": "auto"}):
        source, words = way(raw)
    assert source == "posix"
    assert "not active here (no nvidia-fs)" in words


@pytest.mark.parametrize("error", [ImportError("No kvikio"), RuntimeError("no libcufile")])
def test_without_kvikio_our_reader_says_why(
    machine: Any, raw: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    class Finder:
        @staticmethod
        def find_spec(name: str, *_: Any) -> None:
            if name.startswith("kvikio"):
                raise error

    for name in [name for name in sys.modules if name.startswith("kvikio")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    source, words = way(raw)
    assert source == "posix"
    assert f"kvikio cannot be used: {error}" in words


def test_other_stores_go_through_host_memory(kvikio: ModuleType) -> None:
    array = zarr.create_array({}, shape=8, chunks=4, dtype="i4")
    assert "through host memory" in str(gpuzarr.open(array, device="cuda").explain())


def test_kvikio_reads_with_several_threads(
    machine: Any, kvikio: ModuleType, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(kvikio.defaults.values, "num_threads", 1)
    gpuzarr.open(raw, device="cuda")[...]
    assert kvikio.defaults.values["num_threads"] == 8


def test_a_number_of_threads_that_was_chosen_stays(
    machine: Any, kvikio: ModuleType, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(kvikio.defaults.values, "num_threads", 3)
    gpuzarr.open(raw, device="cuda")[...]
    assert kvikio.defaults.values["num_threads"] == 3
