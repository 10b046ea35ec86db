"""A GPU, the CPU, and who waits for whom: what is told is what CuPy was asked for."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import ZstdCodec

import gpuzarr
from gpuzarr import calibration
from gpuzarr import device as devices
from gpuzarr.commands import calibrate
from gpuzarr.costs import Constants

VALUES = np.arange(6000, dtype="f4").reshape(60, 100)


@pytest.fixture
def array(tmp_path: Any) -> Any:
    zarr.create_array(tmp_path, data=VALUES, chunks=(10, 100), compressors=ZstdCodec())
    return gpuzarr.open_array(tmp_path, device="cuda")


def test_a_few_small_chunks_are_decoded_on_the_cpu(
    cupy: ModuleType, array: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(calibration, "cache_folder", lambda: tmp_path / "cache")
    with gpuzarr.config.set({"route": "auto"}):
        told, found = array.explain(), array[...]
    assert isinstance(found, cupy.ndarray)
    np.testing.assert_array_equal(found.get(), VALUES)
    assert "6 chunks of 3.91 KiB: the CPU is estimated at" in told.stages[0].reason
    assert "the constants are not measured" in str(told)
    assert array.last_read.stages == {("zstd", "cpu"): 6}
    array[...]
    assert array.last_read.stages == {("zstd", "cuda:0"): 6}


def test_constants_of_a_gpu_are_measured_and_kept(
    cupy: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(calibration, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(calibrate, "FULL", calibrate.TINY)
    monkeypatch.setattr(calibrate, "CPU", calibrate.TINY)
    device = devices.get("cuda")
    constants = calibrate.measure(device, seconds=0)
    assert isinstance(constants, Constants)
    file = calibration.keep(constants, device)
    assert "nvcomp" in file.name
    assert calibration.constants_of(device) == constants


def test_untrusted_streams_do_not_reach_nvcomp(machine: Any, array: Any) -> None:
    array[...]
    calls = machine.counts["nvcomp zstd"]
    assert calls
    ours = gpuzarr.open_array(array.store.root, device="cuda", trust="untrusted")
    np.testing.assert_array_equal(ours[...].get(), VALUES)
    assert ours.last_read.stages == {("zstd", "cpu"): 6}
    assert machine.counts["nvcomp zstd"] == calls


def test_copies_and_launches_are_those_of_cupy(machine: Any, array: Any) -> None:
    array[...]
    before = dict(machine.counts)
    array[...]
    made = {name: machine.counts[name] - before[name] for name in ("uploads", "downloads")}
    done = array.last_read
    assert made == {"uploads": done.uploads, "downloads": done.downloads}
    assert done.waits == done.downloads + done.waves
