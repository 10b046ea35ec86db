"""The emulated device on aarch64, under qemu: results as elsewhere, every planted bug named."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numcodecs
import numpy as np
import pytest
from device import launching
from device.launching import Kernels
from google_crc32c import value as crc32c
from kernels.aarch64.machine import HERE, Machine, missing, tools
from kernels.test_emulator import PLANTED, UNDEFINED

from gpuzarr.device import emulator_build
from kernels import test_emulator

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"needs {', '.join(missing())}")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("aarch64")
    tools(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder), prepend=os.pathsep)
        machine = Machine()
        yield machine
        assert machine.close() == 0


@pytest.fixture(autouse=True)
def on_the_machine(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests of kernels call the emulated device is this machine."""
    for module in (launching, test_emulator):
        monkeypatch.setattr(module, "RawModule", machine.module)
        monkeypatch.setattr(module, "asarray", machine.asarray)
        monkeypatch.setattr(module, "empty", machine.empty)


@pytest.fixture(params=["fast", "check"])
def ops(request: pytest.FixtureRequest) -> Kernels:
    return Kernels(request.param, seed=0 if request.param == "fast" else 7)


def test_the_cache_tells_machines_apart() -> None:
    """A home folder may be that of machines of both kinds."""
    assert "aarch64" in emulator_build.compiler()[1]


NOISE = np.random.default_rng(64).bytes(32769)
STREAMS = [NOISE[:n] for n in (0, 1, 15, 33, 1000, 16384, 16391)]
SHIFT = (1, 3)


def test_copy(ops: Kernels) -> None:
    assert ops.copy(STREAMS, SHIFT) == STREAMS


@pytest.mark.parametrize("typesize", [4, 7])
def test_unshuffle(ops: Kernels, typesize: int) -> None:
    def planes(data: bytes) -> bytes:
        whole = len(data) // typesize * typesize
        elements = np.frombuffer(data[:whole], np.uint8).reshape(-1, typesize)
        return elements.T.tobytes() + data[whole:]

    assert ops.unshuffle([planes(data) for data in STREAMS], typesize, SHIFT) == STREAMS


def test_lz4_decode(ops: Kernels) -> None:
    data = [
        b"a",
        b"abc" * 900,
        bytes(5000),
        NOISE[:3000],
        b"".join(b"%d;" % i for i in range(999)),
    ]
    blocks = [bytes(numcodecs.lz4.compress(d))[4:] for d in data]
    assert ops.decode("lz4_decode", blocks, [len(d) for d in data], SHIFT) == [(0, d) for d in data]
    assert ops.decode("lz4_decode", [blocks[1][:-1]], [2700])[0][0] != 0


@pytest.mark.parametrize(("source", "target"), [("i1", "i8"), ("u4", "u4"), ("f4", "f8")])
def test_prefix_sum(ops: Kernels, source: str, target: str) -> None:
    numbers = np.frombuffer(NOISE, np.int8)
    values = [numbers[:n].astype(source) for n in (1, 33, 500, 5000)]
    for found, given in zip(ops.prefix_sum(values, target), values, strict=True):
        assert np.array_equal(found, np.cumsum(given, dtype=target))


def test_crc32c(ops: Kernels) -> None:
    data = [*STREAMS, NOISE]
    assert ops.checksum("crc32c", data, SHIFT[0]) == [crc32c(d) for d in data]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", [name for name in PLANTED if name != "wrong_argument"])
def test_check_mode_names_kind_and_line_of_a_planted_bug(name: str, seed: int) -> None:
    test_emulator.test_check_mode_names_kind_and_line_of_a_planted_bug(name, seed)


@pytest.mark.parametrize("name", UNDEFINED)
def test_ubsan_mode_names_the_line_of_undefined_behaviour(name: str) -> None:
    test_emulator.test_ubsan_mode_names_the_line_of_undefined_behaviour(name)


@pytest.mark.parametrize("mode", ["fast", "check"])
def test_correct_kernels(mode: str) -> None:
    for seed in (0, 1):
        test_emulator.assert_collectives(mode, seed)
        test_emulator.test_scan("scan_32", 1000, mode, seed)
        test_emulator.test_whole_warps_may_leave_early(mode, seed)
        test_emulator.test_arguments_of_every_kind(mode, seed)
    test_emulator.test_intrinsics(mode)


def test_a_machine_works_on_after_a_fault() -> None:
    test_emulator.test_a_device_works_on_after_a_fault()


@pytest.mark.parametrize("mode", ["fast", "check"])
@pytest.mark.parametrize("seed", [0, 1])
def test_what_a_call_preserves_outlives_a_switch_of_stacks(
    machine: Machine, mode: str, seed: int
) -> None:
    """Registers of integers and of doubles, which most kernels leave alone."""
    given = np.arange(64, dtype=np.uint32)
    outputs = [machine.empty(64, np.uint64), machine.empty(64, np.float64)]
    kernel = machine.module(HERE / "registers.cu", mode=mode, seed=seed).get_function("registers")
    kernel((1,), (64,), (machine.asarray(given), *outputs))
    for output in outputs:
        wanted = np.zeros(64, output.dtype)
        for k in range(32):
            wanted = wanted * 3 + (given.astype(output.dtype) * (k + 3) + k)
        below = np.where(given % 32 == 31, given, given + 1)
        assert np.array_equal(output.get(), wanted + below.astype(output.dtype))
