"""nvCOMP's library is found, asked and refused as it should be; none of it takes a GPU.

The library is the one that gpuzarr finds (``uv run --group nvrtc`` installs one), or each of those
that ``GPUZARR_TEST_NVCOMP`` names, as ``PATH`` names folders. Several versions are unpacked by::

    pip download --no-deps nvidia-libnvcomp-cu13==5.2.0.13
    python -m zipfile -e nvidia_libnvcomp_cu13-5.2.0.13-*.whl nvcomp-5.2
    GPUZARR_TEST_NVCOMP=nvcomp-5.2/nvidia/libnvcomp/lib64/libnvcomp.so.5:… pytest …
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpuzarr.device import nvcomp, nvcomp_abi
from gpuzarr.device.nvcomp import Nvcomp
from gpuzarr.device.nvcomp_abi import CODECS, NvcompStatus
from gpuzarr.errors import DeviceError, UnsupportedError

ALIGNMENTS = {
    "lz4": (1, 1, 1),
    "zstd": (1, 1, 8),
    "deflate": (4, 1, 1),
    "gzip": (1, 1, 1),
    "snappy": (1, 1, 1),
    "gdeflate": (4, 1, 1),
    "bitcomp": (8, 8, 4),
    "ans": (16, 16, 1),
    "cascaded": (4, 8, 1),
}
EARLIER_ALIGNMENTS = {
    (5, 2): ALIGNMENTS | {"bitcomp": (4, 8, 4), "ans": (8, 1, 4)},
    (5, 3): ALIGNMENTS | {"bitcomp": (4, 8, 4), "ans": (8, 1, 1)},
}


def nothing(**some: int) -> dict[str, int]:
    """Arguments of a decompress call, all of them 0 but some."""
    names = "source size capacity found count temp temp_bytes target status stream"
    return dict.fromkeys(names.split(), 0) | some


# --- what it says ---------------------------------------------------------------------------------


def test_the_version_is_the_file_s(library: Nvcomp) -> None:
    assert (5, 2) <= library.version < (7,)
    assert Path(library.path).suffix in (".so", f".{library.version[0]}")
    assert library.cuda[0] in (12, 13)


@pytest.mark.parametrize("codec", CODECS)
def test_alignments_are_asked_of_the_library(library: Nvcomp, codec: str) -> None:
    expected = EARLIER_ALIGNMENTS.get(library.version[:2], ALIGNMENTS)
    assert library.alignments(codec) == expected[codec]


@pytest.mark.parametrize(
    ("count", "each"), [(1, 1), (10_000, 1000), (1000, 16384), (3, 1 << 20), (1000, 1 << 20)]
)
def test_zstd_takes_three_times_what_it_decodes_and_more(
    library: Nvcomp, count: int, each: int
) -> None:
    """6,936 bytes are added for each stream, or each 128 KiB of longer ones."""
    expected = 3 * count * each + 6936 * max(count, count * each // 131072)
    assert library.temp_bytes("zstd", count, each, count * each) == expected


@pytest.mark.parametrize("codec", ["lz4", "deflate", "gzip", "snappy", "gdeflate", "cascaded"])
def test_most_decoders_take_no_memory(library: Nvcomp, codec: str) -> None:
    assert library.temp_bytes(codec, 1000, 1 << 20, 1000 << 20) == 0


@pytest.mark.parametrize("codec", CODECS)
def test_the_largest_stream_is_where_the_library_stops(library: Nvcomp, codec: str) -> None:
    largest = library.largest(codec)
    assert library.temp_bytes(codec, 1, largest, largest) >= 0
    with pytest.raises(DeviceError, match=rf"{largest + 1:,} bytes: .*size.* \(status 18\)\.$"):
        library.temp_bytes(codec, 1, largest + 1, largest + 1)


def test_it_knows_the_words_of_each_status(library: Nvcomp) -> None:
    unknown = library.words(9)
    new = {NvcompStatus.TOO_MANY_PARTS, NvcompStatus.TOO_FEW_PARTS, NvcompStatus.OUTPUT_MISALIGNED}
    for status in NvcompStatus:
        is_new = status in new and library.version < (5, 3)
        assert (library.words(status) == unknown) == is_new, status
    assert "corrupt" in library.words(NvcompStatus.CANNOT_DECOMPRESS)


# --- what it refuses ------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", CODECS)
def test_a_call_without_arrays_fails_in_words(library: Nvcomp, codec: str) -> None:
    words = rf"^nvCOMP cannot decompress 1 {codec} streams: an invalid value .* \(status 10\)\.$"
    with pytest.raises(DeviceError, match=words):
        library.decompress(codec, **nothing(count=1))


@pytest.mark.parametrize("codec", CODECS)
def test_no_streams_are_no_call(library: Nvcomp, codec: str) -> None:
    library.decompress(codec, **nothing())


@pytest.mark.parametrize("codec", CODECS)
def test_options_of_another_size_never_reach_it(library: Nvcomp, codec: str) -> None:
    class Short(ctypes.Structure):
        _fields_ = (("backend", ctypes.c_int32),)

    calls = library._calls[codec]
    found = nvcomp_abi.Requirements()
    with pytest.raises(ctypes.ArgumentError):
        calls.alignments(Short(2), ctypes.byref(found))
    with pytest.raises(ctypes.ArgumentError):
        calls.temp_bytes(1, 1, Short(2), ctypes.byref(ctypes.c_size_t()), 1, None)
    with pytest.raises(ctypes.ArgumentError):
        calls.decompress(0, 0, 0, 0, 1, 0, 0, 0, Short(2), 0, 0)


@pytest.mark.parametrize("codec", ["zstd", "gdeflate", "bitcomp", "ans", "cascaded"])
def test_a_backend_that_a_codec_lacks_is_refused(library: Nvcomp, codec: str) -> None:
    """So the options are read where the library expects them."""
    library._calls[codec].options.backend = 1
    with pytest.raises(DeviceError, match="invalid value"):
        library.alignments(codec)


def test_a_codec_that_it_lacks_is_named() -> None:
    with pytest.raises(UnsupportedError, match="no codec 'bz2', only"):
        Nvcomp.largest("bz2")


# --- where it is found ----------------------------------------------------------------------------


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder, which is all of Python's path; the system has no nvCOMP."""
    monkeypatch.delenv("GPUZARR_NVCOMP", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(nvcomp, "_SONAMES", ("libnvcomp-of-nowhere.so.6", "libnvcomp.so.nowhere"))
    return tmp_path


def test_where_there_is_none_the_error_says_what_to_install(nowhere: Path) -> None:
    words = r"^There is no nvCOMP to decompress with; install gpuzarr\[cuda13\].*GPUZARR_NVCOMP"
    with pytest.raises(DeviceError, match=words):
        Nvcomp()


def test_a_file_that_does_not_load_is_told(nowhere: Path) -> None:
    file = nowhere / "nvidia" / "libnvcomp" / "lib64" / nvcomp._SONAMES[0]
    file.parent.mkdir(parents=True)
    file.write_text("no library")
    with pytest.raises(DeviceError, match=rf"There is no nvCOMP .*\({file}: .*\); install"):
        Nvcomp()


def test_the_package_is_found_without_importing_it(
    library: Nvcomp, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path(library.path).is_file():
        pytest.skip("the system's nvCOMP is found by its name, not by its file")
    monkeypatch.setattr(nvcomp, "_SONAMES", ("libnvcomp.so.6", "libnvcomp.so.5"))
    file = nowhere / "nvidia" / "libnvcomp" / "lib64" / f"libnvcomp.so.{library.version[0]}"
    file.parent.mkdir(parents=True)
    file.symlink_to(Path(library.path).resolve())
    before = set(sys.modules)
    assert Nvcomp().path == str(file)
    assert not any(name.startswith("nvidia") for name in set(sys.modules) - before)


def test_the_environment_comes_first(
    library: Nvcomp, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUZARR_NVCOMP", library.path)
    assert Nvcomp().path == library.path
    monkeypatch.setenv("GPUZARR_NVCOMP", str(nowhere / "libnvcomp.so"))
    with pytest.raises(DeviceError, match=rf"no nvCOMP .*{nowhere}.*No such file"):
        Nvcomp()


@pytest.mark.parametrize("version", [(4, 2, 0), (5, 1, 0), (7, 0, 0)])
def test_a_version_that_is_not_supported_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int]
) -> None:
    monkeypatch.setattr(nvcomp, "_loaded", lambda path: (object(), "libnvcomp.so"))
    monkeypatch.setattr(nvcomp, "_versions", lambda library, path: (version, (13, 0)))
    found = ".".join(map(str, version))
    words = rf"expected 5.2 or later and before 7, found {found} in libnvcomp.so; install gpuzarr"
    with pytest.raises(DeviceError, match=words):
        Nvcomp()


@pytest.mark.skipif(sys.platform != "linux", reason="needs a library that is not nvCOMP")
def test_another_library_is_no_nvcomp() -> None:
    with pytest.raises(DeviceError, match=r"libc.so.6 is no nvCOMP.*lacks nvcompGetProperties"):
        Nvcomp("libc.so.6")


# --- its headers ----------------------------------------------------------------------------------


def test_structures_have_the_sizes_that_the_library_documents() -> None:
    assert ctypes.sizeof(nvcomp_abi.Properties) == 8
    assert ctypes.sizeof(nvcomp_abi.Requirements) == 24
    assert {ctypes.sizeof(codec.options) for codec in CODECS.values()} == {64}


SIGNATURES = r"""
#include <cstddef>
#include <type_traits>

template <class Options> using Alignments =
    nvcompStatus_t (*)(Options, nvcompAlignmentRequirements_t*);
template <class Options> using Decompress = nvcompStatus_t (*)(
    const void* const*, const size_t*, const size_t*, size_t*, size_t, void*, size_t,
    void* const*, Options, nvcompStatus_t*, cudaStream_t);
#if NVCOMP_VER_MAJOR >= 6
#define TEMP(x) nvcompBatched##x##DecompressGetTempSize
template <class Options> using Temp =
    nvcompStatus_t (*)(size_t, size_t, Options, size_t*, size_t, cudaStream_t);
#else
#define TEMP(x) nvcompBatched##x##DecompressGetTempSizeAsync
template <class Options> using Temp = nvcompStatus_t (*)(size_t, size_t, Options, size_t*, size_t);
#endif
#define OPTIONS(x) nvcompBatched##x##DecompressOpts_t
#define SAME(f, type) static_assert(std::is_same<decltype(&f), type>::value, #f)
#define CODEC(x) \
    SAME(nvcompBatched##x##DecompressGetRequiredAlignments, Alignments<OPTIONS(x)>); \
    SAME(nvcompBatched##x##DecompressAsync, Decompress<OPTIONS(x)>); \
    SAME(TEMP(x), Temp<OPTIONS(x)>); \
    static_assert(sizeof(OPTIONS(x)) == 64, #x)
#define AT(place, type, field) static_assert(offsetof(type, field) == place, #field)
static_assert(sizeof(nvcompStatus_t) == 4 && sizeof(nvcompProperties_t) == 8, "");
static_assert(sizeof(nvcompAlignmentRequirements_t) == 24, "");
static_assert(NVCOMP_DECOMPRESS_BACKEND_CUDA == 2, "");
"""

FIELDS = {
    "lz4": {
        "backend": "backend",
        "sorts": "sort_before_hw_decompress",
        "element": "data_type",
        "bit_shuffle": "bitshuffle_mode",
        "unused": "reserved",
    },
    "zstd": {"backend": "backend", "unused": "reserved"},
    "deflate": {"backend": "backend", "sorts": "sort_before_hw_decompress", "unused": "reserved"},
    "gzip": {
        "backend": "backend",
        "method": "algorithm",
        "sorts": "sort_before_hw_decompress",
        "unused": "reserved",
    },
    "snappy": {"backend": "backend", "sorts": "sort_before_hw_decompress", "unused": "reserved"},
    "gdeflate": {"backend": "backend", "unused": "reserved"},
    "bitcomp": {"backend": "backend", "unused": "reserved"},
    "ans": {
        "backend": "backend",
        "element": "data_type",
        "most_parts": "max_sub_chunk_count",
        "states": "states_per_lane",
        "trusts": "skip_validate",
        "unused": "reserved",
    },
    "cascaded": {
        "backend": "backend",
        "element": "common_opts.data_type",
        "mode": "common_opts.mode",
        "codecs": "common_opts.terminal_codec_flags",
        "encodings": "common_opts.coarse_grained_encoding_flags",
        "unused": "reserved",
    },
}
"""Our names of fields, and the library's."""


def test_calls_and_fields_are_those_of_the_headers(library: Nvcomp, tmp_path: Path) -> None:
    headers = Path(library.path).resolve().parents[1] / "include"
    compiler = shutil.which("g++")
    if not (headers / "nvcomp.h").is_file() or compiler is None:
        pytest.skip("there are no headers beside the library, or there is no g++")
    lines = [f'#include "nvcomp/{name}.h"' for name in CODECS] + [SIGNATURES]
    for name, codec in CODECS.items():
        lines.append(f"CODEC({codec.symbol});")
        names = FIELDS[name]
        own_names = [field[0] for field in codec.options._fields_]
        assert list(names) == [name for name in own_names if name != "gap"]
        if library.version < (6,) and name in ("ans", "cascaded"):
            names = {"backend": "backend"}
        for own, theirs in names.items():
            place = getattr(codec.options, own).offset
            lines.append(f"AT({place}, OPTIONS({codec.symbol}), {theirs});")
    if library.version >= (6,):
        lines.append(f'static_assert(NVCOMP_TYPE_BITS == {nvcomp_abi.ANY_ELEMENT}, "");')
    (tmp_path / "cuda_runtime.h").write_text("typedef struct CUstream_st* cudaStream_t;\n")
    source = tmp_path / "headers.cpp"
    source.write_text("\n".join(lines))
    command = [compiler, "-std=c++17", "-fsyntax-only", f"-I{tmp_path}", f"-I{headers}", source]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
