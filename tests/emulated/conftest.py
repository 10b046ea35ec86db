"""Tests of the CPU's, run on the emulated device: numbers are there, and the same bits.

The modules here import them, and `gpuzarr.config` names the device of the arrays that they open:
the emulated one, or `GPUZARR_TEST_DEVICE`, as ``cuda`` on a machine with a GPU.
Hypothesis tries fewer examples than on the CPU. Without g++ nothing here is collected.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import gpuzarr
from gpuzarr import device as devices
from gpuzarr import locate
from gpuzarr.codecs import assembling
from gpuzarr.codecs.sharding import Sharding
from gpuzarr.device import emulated, emulator_build
from gpuzarr.device.cpu import CPU

FEWER = 6
DEVICE = os.environ.get("GPUZARR_TEST_DEVICE", "emulated")

settings.register_profile(
    "emulated", settings.default, max_examples=settings.default.max_examples // FEWER
)


@contextmanager
def _fewer_examples() -> Iterator[None]:
    profile = settings.get_current_profile_name()
    settings.load_profile("emulated")
    try:
        yield
    finally:
        settings.load_profile(profile)


def _imported_for_the_device() -> None:
    """Modules that open arrays, or make numbers of examples of their own, as they are imported."""
    with _fewer_examples(), gpuzarr.config.set({"device": DEVICE}):
        for name in (
            "test_properties",
            "test_selection",
            "writing.test_write_properties",
            "zarr_face.test_pipeline_properties",
        ):
            import_module(name)


if DEVICE != "emulated":
    _imported_for_the_device()
    collect_ignore_glob = ["test_checked.py"]  # which is about the emulator's modes
elif emulator_build.is_available():
    _imported_for_the_device()
else:
    collect_ignore_glob = ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On a GPU they are tests of it."""
    if DEVICE != "emulated":
        for item in items:
            if item.path.is_relative_to(Path(__file__).parent):
                item.add_marker(pytest.mark.gpu)


@pytest.fixture(autouse=True)
def fewer_examples() -> Iterator[None]:
    """Hypothesis tries fewer of them."""
    with _fewer_examples():
        yield


@pytest.fixture(autouse=True, scope="module")
def on_the_emulated_device() -> Iterator[None]:
    """Arrays are opened on it."""
    with gpuzarr.config.set({"device": DEVICE}):
        yield


@pytest.fixture(autouse=True)
def the_device_stays_whole() -> Iterator[None]:
    """A test that leaves it broken fails, and no other one."""
    yield
    try:
        devices.get(DEVICE).empty(1)
    finally:
        emulated.reset()


OPS = (
    "compress", "decompress", "checksum", "attach_checksum", "gather_u32", "shuffle", "unshuffle",
    "byte_swap", "prefix_sum", "difference", "scale_offset", "offset_scale", "scale_offset_exact",
    "offset_scale_exact", "cast", "bit_unpack", "bit_pack", "place", "fill", "fill_chunks", "copy",
    "gather", "equals_fill",
)  # fmt: skip
"""Of a device, but for its memory."""


@pytest.fixture
def no_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ops of the CPU's raise, but for the indexes of shards, from which the host plans."""
    in_index: list[bool] = []

    def guarded(name: str, op: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            assert in_index, f"the CPU was asked for {name}"
            return op(*args, **named)

        return call

    def allowed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            in_index.append(True)
            try:
                return function(*args)
            finally:
                in_index.pop()

        return call

    for name in OPS:
        monkeypatch.setattr(CPU, name, guarded(name, getattr(CPU, name)))
    monkeypatch.setattr(locate, "_indexes", allowed(locate._indexes))
    monkeypatch.setattr(assembling, "_encoded", allowed(assembling._encoded))
    monkeypatch.setattr(Sharding, "_located", allowed(Sharding._located))
