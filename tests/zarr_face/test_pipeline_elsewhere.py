"""The pipeline in other threads and processes, and chosen in a fresh one."""

from __future__ import annotations

import importlib.metadata
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from harness import assert_same

import gpuzarr
from gpuzarr import pipeline

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")

PATH = "gpuzarr.zarr_pipeline.GpuzarrCodecPipeline"
VALUES = np.arange(60, dtype="f4").reshape(10, 6)


def opened(store: Any, **arguments: Any) -> zarr.Array:
    """An array of the store, under gpuzarr from here on."""
    with gpuzarr.enable():
        return zarr.open_array(store, **arguments)


def pipeline_of(array: zarr.Array) -> Any:
    """The pipeline that an array carries."""
    return array.async_array.codec_pipeline


@pytest.fixture
def on_disk(tmp_path: Path) -> zarr.Array:
    zarr.create_array(tmp_path / "a.zarr", data=VALUES, chunks=(4, 3))
    return opened(tmp_path / "a.zarr", mode="r+")


SPAWNED = """
import multiprocessing, sys
import gpuzarr, zarr
from gpuzarr import pipeline

def look(array):
    total = float(array[...].sum())
    array[0] = 1
    kind = type(array.async_array.codec_pipeline).__qualname__
    return kind, total, pipeline.counts()["read"], pipeline.counts()["written"]

if __name__ == "__main__":
    with gpuzarr.enable():
        array = zarr.open_array(sys.argv[1], mode="r+")
    array[...]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(*pool.apply(look, (array,)), flush=True)
"""


def output_of(folder: Path, script: str, *arguments: str, **env: str) -> str:
    """What a fresh Python prints that runs a script."""
    (folder / "main.py").write_text(script)
    result = subprocess.run(
        [sys.executable, str(folder / "main.py"), *arguments],
        env={**os.environ, **env}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_an_array_that_goes_to_a_spawned_process_keeps_its_pipeline(on_disk: zarr.Array) -> None:
    folder = Path(on_disk.store.root)
    found = output_of(folder.parent, SPAWNED, str(folder))
    assert found == f"GpuzarrCodecPipeline {VALUES.sum()} 6 2"
    assert_same(zarr.open_array(folder)[:], np.concatenate([np.ones((1, 6), "f4"), VALUES[1:]]))


def test_a_pickled_array_keeps_its_pipeline_in_a_thread(on_disk: zarr.Array) -> None:
    results: list[Any] = []
    copied = pickle.loads(pickle.dumps(on_disk))
    assert pipeline_of(copied) == pipeline_of(on_disk)
    before = pipeline.counts()["read"]
    thread = threading.Thread(target=lambda: results.append(copied[...]))
    thread.start()
    thread.join(30)
    assert_same(results[0], VALUES)
    assert pipeline.counts()["read"] == before + 6


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_an_array_works_in_a_forked_child_and_then_in_its_parent(on_disk: zarr.Array) -> None:
    assert_same(on_disk[...], VALUES)

    def check() -> bool:
        before = pipeline.counts()["read"]
        equal = np.array_equal(on_disk[...], VALUES)
        on_disk[3] = 5
        return equal and bool((on_disk[3] == 5).all()) and pipeline.counts()["read"] > before

    assert _in_fork(check) == 0
    assert_same(on_disk[2:4], np.stack([VALUES[2], np.full(6, 5, "f4")]))


def _in_fork(check: Callable[[], bool]) -> int:
    """Exit status of a forked child that runs `check`: 0 where it holds."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if check() else 2
        finally:
            os._exit(status)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return -9


CHOSEN = """
import sys, zarr
array = zarr.create_array({}, shape=(4,), chunks=(2,), dtype="i4")
array[:] = 3
print(type(array.async_array.codec_pipeline).__qualname__, array[:].sum(), end=" ")
print(sys.modules["gpuzarr.pipeline"].counts()["written"])
"""


def test_the_environment_chooses_it_where_the_package_is_installed(tmp_path: Path) -> None:
    """zarr-python then finds it by its entry point: nothing imports gpuzarr."""
    points = importlib.metadata.entry_points(group="zarr.codec_pipeline")
    if PATH not in {point.value.replace(":", ".") for point in points}:
        pytest.skip("gpuzarr is not installed here, so that zarr-python cannot find it by itself")
    found = output_of(tmp_path, CHOSEN, ZARR_CODEC_PIPELINE__PATH=PATH)
    assert found == "GpuzarrCodecPipeline 12 2"
