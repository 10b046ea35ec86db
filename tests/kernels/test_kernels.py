"""Where kernels are found, how the cache names them, how they start, how NVRTC compiles them."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from gpuzarr.device import kernels, nvrtc
from gpuzarr.errors import DeviceError


def library() -> ctypes.CDLL:
    """NVRTC, where there is one."""
    try:
        return nvrtc.load()
    except DeviceError as error:
        pytest.skip(str(error))


def test_the_file_of_an_op_is_found() -> None:
    assert kernels.source("copy").name == "copy.cu"
    with pytest.raises(DeviceError, match="no kernel file for 'nonsense': expected"):
        kernels.source("nonsense")


def test_a_digest_changes_with_everything_included(tmp_path: Path) -> None:
    (tmp_path / "a.cu").write_text('#include "b.cuh"\n')
    (tmp_path / "b.cuh").write_text('  #  include "c.cuh"\n#include "b.cuh"\n')
    (tmp_path / "c.cuh").write_text("int x;\n")
    files = kernels.included(tmp_path / "a.cu")
    assert [file.name for file in files] == ["a.cu", "b.cuh", "c.cuh"]
    before = kernels.digest(files, "-O2")
    assert kernels.digest(files, "-O3") != before
    (tmp_path / "c.cuh").write_text("int y;\n")
    assert kernels.digest(files, "-O2") != before


def test_a_file_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUZARR_CACHE", str(tmp_path / "cache"))
    made = []

    def build(target: Path) -> None:
        made.append(target)
        target.write_text("content")

    first, second = kernels.cached("name", build), kernels.cached("name", build)
    assert first == second == tmp_path / "cache" / "name"
    assert first.read_text() == "content"
    assert len(made) == 1
    assert [file.name for file in first.parent.iterdir()] == ["name"]


def test_a_build_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUZARR_CACHE", str(tmp_path))

    def build(target: Path) -> None:
        target.write_text("half")
        raise DeviceError("no")

    with pytest.raises(DeviceError, match="no"):
        kernels.cached("name", build)
    assert not list(tmp_path.iterdir())


def test_geometry_fills_the_device_and_no_more() -> None:
    assert kernels.over_tiles(0, processors=132) == kernels.Geometry((1, 1, 1), (256, 1, 1))
    assert kernels.over_tiles(5, processors=132).grid == (5, 1, 1)
    assert kernels.over_tiles(100_000, processors=132).grid == (132 * 8, 1, 1)
    assert kernels.over_streams(9, processors=132) == kernels.Geometry((5, 1, 1), (64, 1, 1))
    assert kernels.over_streams(100_000, processors=132).grid == (132 * 32, 1, 1)
    assert kernels.over_elements(257).grid == (2, 1, 1)


@pytest.mark.parametrize("capability", nvrtc.CAPABILITIES)
def test_every_kernel_compiles_with_nvrtc_and_does_not_spill(capability: int) -> None:
    loaded = library()
    for path in sorted(kernels.folder().glob("*.cu")):
        cubin, log = nvrtc.compile_cubin(path, capability, loaded)
        assert cubin.startswith(b"\x7fELF")
        if capability == 90:
            lines = [line for line in log.splitlines() if "spill" in line]
            assert all(" 0 bytes spill stores, 0 bytes spill loads" in line for line in lines), log


def test_a_kernel_that_nvrtc_refuses_shows_its_log(tmp_path: Path) -> None:
    path = tmp_path / "broken.cu"
    path.write_text('extern "C" __global__ void broken() { nowhere(); }\n')
    with pytest.raises(DeviceError, match=r"broken.cu does not compile for sm_90: .*nowhere"):
        nvrtc.compile_cubin(path, 90, library())


def test_a_compiled_kernel_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library()
    monkeypatch.setenv("GPUZARR_CACHE", str(tmp_path))
    first = nvrtc.cubin("copy", 90)
    assert first.read_bytes().startswith(b"\x7fELF")
    monkeypatch.setattr(nvrtc, "compile_cubin", None)
    assert nvrtc.cubin("copy", 90) == first
    assert first.name.startswith("copy-sm_90-")


def test_without_nvrtc_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUZARR_NVRTC", "nowhere.so")
    with pytest.raises(DeviceError, match=r"install gpuzarr\[cuda13\]"):
        nvrtc.load.__wrapped__()
