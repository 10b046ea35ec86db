"""The emulated device names every planted bug, and runs correct kernels in every mode and order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpuzarr.device import emulator, emulator_build, kernels
from gpuzarr.device.emulated_array import EmulatedArray, asarray, empty
from gpuzarr.device.emulator import KernelFaultError, RawModule
from gpuzarr.errors import DeviceError

HERE = Path(__file__).parent
PLANTED = sorted(path.stem for path in (HERE / "planted").glob("*.cu"))
UNDEFINED = sorted(path.stem for path in (HERE / "undefined").glob("*.cu"))
MODES = emulator_build.MODES
SEEDS = [0, 1, 2]

needs_compiler = pytest.mark.skipif(
    os.environ.get("GPUZARR_REQUIRE_EMULATOR") != "1" and not emulator_build.is_available(),
    reason="there is no g++",
)
pytestmark = needs_compiler


def launch_of(text: str) -> tuple[int, int, int]:
    """Blocks, threads and dynamic shared memory, from the first line of a planted kernel."""
    head = re.match(r"// launch: grid (\d+), block (\d+)(?:, shared (\d+))?\n", text)
    assert head
    return int(head[1]), int(head[2]), int(head[3] or 0)


def expected_of(text: str) -> set[tuple[str, int]]:
    """Kinds of fault and lines, from the comments that mark them."""
    lines = enumerate(text.splitlines(), 1)
    return {(mark[1], n) for n, line in lines if (mark := re.search(r"// here: (.+)", line))}


def inputs() -> tuple[EmulatedArray, EmulatedArray]:
    """64 integers, and room for as many."""
    return asarray(np.arange(64, dtype=np.uint32)), empty(64, np.uint32)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", [name for name in PLANTED if name != "wrong_argument"])
def test_check_mode_names_kind_and_line_of_a_planted_bug(name: str, seed: int) -> None:
    path = HERE / "planted" / f"{name}.cu"
    text = path.read_text()
    grid, block, shared = launch_of(text)
    kernel = RawModule(path, mode="check", seed=seed, steps=1 << 16).get_function("planted")
    with pytest.raises(KernelFaultError) as caught:
        kernel((grid,), (block,), inputs(), shared_mem=shared)
    fault = caught.value
    assert (fault.kind, fault.line) in expected_of(text), str(fault)
    assert Path(fault.file).name == f"{name}.cu"
    assert f"{name}.cu:{fault.line}" in str(fault)


@pytest.mark.parametrize("name", UNDEFINED)
def test_ubsan_mode_names_the_line_of_undefined_behaviour(name: str) -> None:
    path = HERE / "undefined" / f"{name}.cu"
    kernel = RawModule(path, mode="ubsan").get_function("planted")
    with pytest.raises(KernelFaultError) as caught:
        kernel((1,), (64,), inputs())
    assert (caught.value.kind, caught.value.line) in expected_of(path.read_text())


def test_every_bug_that_the_check_mode_promises_to_find_is_planted() -> None:
    kinds = {kind for name in PLANTED for kind, _ in expected_of(read_planted(name))}
    promised = set(re.findall(r'"([a-z ]+)"', emulator.KernelFaultError.__doc__ or ""))
    assert kinds | {"undefined behaviour"} == promised


def read_planted(name: str) -> str:
    return (HERE / "planted" / f"{name}.cu").read_text()


def test_a_fault_tells_the_thread_and_the_byte_within_the_allocation() -> None:
    module = RawModule(HERE / "planted" / "off_by_one_read.cu", mode="check")
    with pytest.raises(KernelFaultError) as caught:
        module.get_function("planted")((1,), (64,), inputs())
    assert str(caught.value) == (
        "Kernel 'planted', block (0, 0, 0), thread (63, 0, 0): out of bounds at "
        "off_by_one_read.cu:3: 4-byte read at byte 256 of an allocation of 256 bytes."
    )


def test_freed_memory_is_nobodys() -> None:
    a, b = inputs()
    address = np.uint64(a.data.ptr)
    del a
    kernel = RawModule(HERE / "planted" / "off_by_one_read.cu", mode="check").get_function(
        "planted"
    )
    with pytest.raises(KernelFaultError, match="out of bounds"):
        kernel((1,), (1,), (address, b))


def test_a_device_works_on_after_a_fault() -> None:
    module = RawModule(HERE / "planted" / "barrier_deadlock.cu", mode="check")
    for _ in range(3):
        with pytest.raises(KernelFaultError, match="deadlock"):
            module.get_function("planted")((1,), (32,), inputs())
    assert_collectives("check", 0)


# --- correct kernels, in every mode and order -----------------------------------------------------


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=SEEDS)
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def correct(name: str, mode: str, seed: int) -> RawModule:
    return RawModule(HERE / "correct" / f"{name}.cu", mode=mode, seed=seed)


@pytest.mark.parametrize(("kernel", "threads"), [("scan_2", 64), ("scan_32", 1000)])
def test_scan(kernel: str, threads: int, mode: str, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 1 << 32, 2500, np.uint32)
    a, b = asarray(values), empty(2500, np.uint32)
    blocks = -(-2500 // threads)
    correct("scan", mode, seed).get_function(kernel)((blocks,), (threads,), (a, b, np.uint32(2500)))
    wanted = [
        np.cumsum(part, dtype=np.uint32) for part in np.split(values, range(0, 2500, threads))
    ]
    assert np.array_equal(b.get(), np.concatenate(wanted))


def test_histogram(mode: str, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 16, 5000, np.uint32)
    a, counts = asarray(values), asarray(np.zeros(16, np.uint32))
    module = correct("histogram", mode, seed)
    module.get_function("histogram")((3,), (128,), (a, counts, np.uint32(5000)))
    assert np.array_equal(counts.get(), np.bincount(values, minlength=16))


def test_atomics_of_signed_and_floating_point_values(mode: str, seed: int) -> None:
    values = np.arange(-20, 44, dtype=np.int32)
    least, total = asarray(np.zeros(1, np.int32)), asarray(np.zeros(1, np.float32))
    winners = asarray(np.zeros(2, np.uint32))
    kernel = correct("histogram", mode, seed).get_function("atomics")
    kernel((1,), (64,), (asarray(values), least, total, winners))
    assert least.get() == -20
    assert total.get() == values.sum()
    assert winners.get().tolist() == [1, 1]


def assert_collectives(mode: str, seed: int) -> None:
    v = np.random.default_rng(7).integers(0, 100, 32).astype(np.uint32)
    b = empty((15, 32), np.uint32)
    correct("collectives", mode, seed).get_function("collectives")((1,), (32,), (asarray(v), b))
    lane = np.arange(32)
    ballot = int(np.packbits((v & 1).astype(bool), bitorder="little").view("<u4")[0])
    matches = [sum(1 << j for j in range(32) if (v[j] ^ v[i]) & 3 == 0) for i in lane]
    half = sum(1 << j for j in range(1, 32, 2) if v[j] & 2)
    wanted: list[Any] = [
        v[(lane + 5) % 32],
        v[lane // 8 * 8 + 3],
        v[np.where(lane < 3, lane, lane - 3)],
        v[np.where(lane % 16 >= 13, lane, lane + 3) % 32],
        v[lane ^ 9],
        ballot,
        1,
        1,
        matches,
        v.sum(),
        np.uint32((int(v.min()) - 50) % (1 << 32)),
        np.bitwise_xor.reduce(v),
        (v & 1).sum(),
        2 * v[31 - lane] + 1,
        np.where(lane % 2, half, 0),
    ]
    got = b.get()
    for row, want in enumerate(wanted):
        assert np.array_equal(got[row], np.broadcast_to(want, 32)), row


def test_collectives(mode: str, seed: int) -> None:
    assert_collectives(mode, seed)


def test_whole_warps_may_leave_early(mode: str, seed: int) -> None:
    a, b = asarray(np.arange(32, dtype=np.uint32)), empty(3, np.uint32)
    kernel = correct("exits", mode, seed).get_function("exits")
    kernel((1,), (160,), (a, b, np.uint32(3)))
    assert b.get().tolist() == [496, 496 + 32, 496 + 64]


def test_intrinsics(mode: str) -> None:
    x, y = 0x12345678, 0x9ABCDEF0
    wide = x << 32 | y
    b = empty(15, np.uint32)
    kernel = correct("intrinsics", mode, 0).get_function("intrinsics")
    kernel((1,), (1,), (asarray(np.array([x, y], np.uint32)), b))
    assert [int(n) for n in b.get()] == [
        4,
        3,
        64 - (wide >> 40).bit_length(),
        x.bit_count(),
        wide.bit_count(),
        int(f"{x:032b}"[::-1], 2),
        byte_perm(x, y, 0x5140),
        byte_perm(x, y, 0xBA98),
        (y << 32 | x) >> 12 & 0xFFFFFFFF,
        ((y << 32 | x) << 12 >> 32) & 0xFFFFFFFF,
        x * y >> 32,
        wide * wide >> 96,
        11,
        int(np.float32(1.5).view(np.uint32)),
        16 + 16 + 8 + 16,
    ]


def byte_perm(a: int, b: int, selector: int) -> int:
    """What PTX's prmt gives, by its manual."""
    pool = (b << 32 | a).to_bytes(8, "little")
    result = []
    for i in range(4):
        nibble = selector >> 4 * i & 15
        byte = pool[nibble & 7]
        result.append((255 if byte & 128 else 0) if nibble & 8 else byte)
    return int.from_bytes(bytes(result), "little")


def test_bytes_put_together_need_no_alignment(mode: str) -> None:
    data = np.arange(64, dtype=np.uint8)
    b = empty(4, np.uint32)
    kernel = correct("bytes", mode, 0).get_function("bytes")
    kernel((1,), (4,), (asarray(data)[1:], b))
    wanted = [int.from_bytes(data[i + 1 : i + 5].tobytes(), "little") for i in range(4)]
    assert b.get().tolist() == wanted
    kernel((1,), (4,), (asarray(data)[1:], asarray(data)[17:]))


Box = np.dtype([("start", np.uint32), ("step", np.uint32)])


def test_arguments_of_every_kind(mode: str, seed: int) -> None:
    a, b = inputs()
    box = np.array((3, 2), Box)[()]
    kernel = correct("plain", mode, seed).get_function("plain")
    kernel((3,), (8,), (a, b, 20, box, np.float32(0.5), np.bool_(True)))
    i = np.arange(20)
    wanted = 1000 - 0.5 * (3 + 2 * i) + np.array([10, 20, 30, 40])[i % 4]
    assert np.array_equal(b.get()[:20], wanted.astype(np.uint32))


def test_a_kernel_without_parameters(mode: str) -> None:
    correct("plain", mode, 0).get_function("nothing")((2, 3, 4), (4, 2, 8), ())


def test_threads_launch_side_by_side(mode: str) -> None:
    module = correct("scan", mode, 0)

    def sums(start: int) -> bool:
        values = np.arange(start, start + 640, dtype=np.uint32)
        b = empty(640, np.uint32)
        module.get_function("scan_2")((10,), (64,), (asarray(values), b, np.uint32(640)))
        wanted = np.cumsum(values.reshape(10, 64), axis=1, dtype=np.uint32).ravel()
        return np.array_equal(b.get(), wanted)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(sums, range(40)))


# --- what does not fit is refused -----------------------------------------------------------------


WRONG: dict[str, tuple[Any, str]] = {
    "a size": (np.uint64(32), "argument 2 to be an integer of 4 bytes, found uint64"),
    "an int, which counts as 8 bytes": (32, "argument 2 to be an integer of 4 bytes, found int"),
    "a kind": (np.float32(32), "argument 2 to be an integer of 4 bytes, found float32"),
    "an array": (np.zeros(1, np.uint32), "found ndarray"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_is_refused(case: str, mode: str) -> None:
    value, message = WRONG[case]
    module = RawModule(HERE / "planted" / "wrong_argument.cu", mode=mode)
    with pytest.raises(DeviceError, match=message):
        module.get_function("planted")((1,), (32,), (*inputs(), value))


def test_a_number_for_a_pointer_and_a_pointer_for_a_number_are_refused() -> None:
    kernel = RawModule(HERE / "planted" / "wrong_argument.cu").get_function("planted")
    a, b = inputs()
    with pytest.raises(DeviceError, match="argument 1 to be an array on the emulated device"):
        kernel((1,), (32,), (a, 12, np.uint32(32)))
    with pytest.raises(DeviceError, match="argument 2 to be an integer of 4 bytes"):
        kernel((1,), (32,), (a, b, b))
    with pytest.raises(DeviceError, match="expects 3 arguments, found 2"):
        kernel((1,), (32,), (a, b))


@pytest.mark.parametrize(
    ("grid", "block", "shared", "message"),
    [
        ((0,), (32,), 0, "expects a grid from"),
        ((1, 65536), (32,), 0, "expects a grid from"),
        ((1,), (1, 1, 65), 0, "expects a block from"),
        ((1, 1, 1, 1), (32,), 0, "expects a grid from"),
        ((1,), (65,), 0, "expects up to 64 threads a block, found 65"),
        ((1,), (64,), 50000, "dynamic shared memory, found 50000"),
    ],
)
def test_geometry_beyond_the_limits_is_refused(
    grid: tuple[int, ...], block: tuple[int, ...], shared: int, message: str
) -> None:
    kernel = correct("scan", "fast", 0).get_function("scan_2")
    with pytest.raises(DeviceError, match=message):
        kernel(grid, block, (*inputs(), np.uint32(64)), shared_mem=shared)


def test_an_unknown_kernel_and_an_unknown_mode_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(DeviceError, match=r"scan.cu has no kernel 'sum'; it has scan_2, scan_32"):
        correct("scan", "fast", 0).get_function("sum")
    monkeypatch.setenv("GPUZARR_EMULATOR", "slow")
    with pytest.raises(DeviceError, match="no mode 'slow'; GPUZARR_EMULATOR is one of fast, check"):
        RawModule(HERE / "correct" / "scan.cu")


def test_mode_and_seed_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUZARR_EMULATOR", "check")
    monkeypatch.setenv("GPUZARR_EMULATOR_SEED", "5")
    module = RawModule(HERE / "correct" / "scan.cu")
    assert (module.mode, module.seed) == ("check", 5)


# --- compiling and caching ------------------------------------------------------------------------


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder that holds the runtime alone."""
    runtime = emulator_build.runtime_path()
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / runtime.name).symlink_to(runtime)
    monkeypatch.setenv("GPUZARR_CACHE", str(cache))
    yield cache
    assert not list(cache.glob(".building-*"))


def test_a_missing_compiler_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DeviceError, match=r"g\+\+, which is not on the PATH; install it"):
        RawModule(HERE / "correct" / "scan.cu")


def test_a_file_that_does_not_compile_shows_the_compilers_errors(
    tmp_path: Path, empty_cache: Path
) -> None:
    path = tmp_path / "broken.cu"
    path.write_text('extern "C" __global__ void broken(unsigned* a) { a[0] = nowhere; }\n')
    with pytest.raises(DeviceError, match=r"broken\.cu: .*broken\.cu:1:.*error: .nowhere. was not"):
        RawModule(path)
    path.write_text("// nothing\n")
    with pytest.raises(DeviceError, match=r'broken\.cu has no kernel: expected extern "C"'):
        RawModule(path)


def test_a_change_of_an_included_file_or_an_option_compiles_anew(
    tmp_path: Path, empty_cache: Path
) -> None:
    (tmp_path / "value.cuh").write_text("#define VALUE 1\n")
    path = tmp_path / "k.cu"
    path.write_text(
        '#include "value.cuh"\n#ifndef MORE\n#define MORE 0\n#endif\n'
        'extern "C" __global__ void k(unsigned* b) { b[0] = VALUE + MORE; }\n'
    )

    def value(*options: str) -> int:
        b = empty(1, np.uint32)
        RawModule(path, options).get_function("k")((1,), (1,), (b,))
        return int(b.get()[0])

    assert value() == 1
    (tmp_path / "value.cuh").write_text("#define VALUE 2\n")
    assert value() == 2
    assert value("-DMORE=5") == 7
    assert value() == 2
    assert len(list(empty_cache.glob("k-fast-*.so"))) == 3


def test_processes_that_compile_at_once_do_not_meet(empty_cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from gpuzarr.device.emulator import RawModule\n"
        "RawModule(Path(sys.argv[1])).get_function('nothing')((1,), (1,), ())"
    )
    command = [sys.executable, "-c", code, str(HERE / "correct" / "plain.cu")]
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert len(list(empty_cache.glob("plain-fast-*.so"))) == 1


def test_a_cache_folder_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GPUZARR_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DeviceError, match="GPUZARR_CACHE names another folder"):
        RawModule(HERE / "correct" / "scan.cu")


def test_every_kernel_file_compiles_for_the_emulated_device() -> None:
    for path in sorted(kernels.folder().glob("*.cu")):
        assert RawModule(path, mode="fast").module.kernel_count
