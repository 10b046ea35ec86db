"""What nvCOMP's compressors say of themselves; none of it takes a GPU.

The library is as in test_nvcomp.py.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from gpuzarr.device import nvcomp_abi
from gpuzarr.device.nvcomp import Nvcomp
from gpuzarr.device.nvcomp_abi import CODECS, ELEMENTS
from gpuzarr.device.nvcomp_compress import Compressors
from gpuzarr.errors import DeviceError, UnsupportedError

_1M, _16M = 1 << 20, 1 << 24

ALIGNMENTS = {
    "lz4": (1, 1, 2),
    "zstd": (4, 1, 1),
    "deflate": (1, 8, 8),
    "gzip": (1, 8, 8),
    "snappy": (1, 1, 1),
    "gdeflate": (1, 4, 8),
    "bitcomp": (1, 8, 1),
    "ans": (16, 16, 1),
    "cascaded": (4, 4, 1),
}
EARLIER_ALIGNMENTS = {"ans": (4, 8, 4)}

ROOMS = {
    "lz4": 1_052_696,
    "zstd": 1_048_634,
    "deflate": 2_371_616,
    "gzip": 2_372_888,
    "snappy": 1_223_370,
    "gdeflate": 2_097_440,
    "bitcomp": 1_049_632,
    "ans": 1_444_400,
    "cascaded": 1_048_584,
}
EARLIER_ROOMS = {"ans": 1_367_240}

ACCEPTED = dict.fromkeys(CODECS, _16M) | {
    "zstd": (1 << 31) - 1,
    "deflate": 1 << 31,
    "gdeflate": 1 << 31,
    "gzip": ((1 << 31) - 1) << 15,
}
"""Bytes of a chunk at which the library itself stops; the headers disagree where it is more."""

SAFE = dict.fromkeys(CODECS, _16M) | {
    "deflate": 1 << 16,
    "gdeflate": 1 << 16,
    "gzip": (1 << 31) - (1 << 15),
}


@pytest.fixture
def compressors(library: Nvcomp) -> Compressors:
    return Compressors(library)


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest, library: Nvcomp) -> str:
    """Each codec that this version compresses."""
    if request.param == "gzip" and library.version < (5, 3):
        pytest.skip("nvCOMP has no compressor for Gzip before 5.3")
    return str(request.param)


def test_gzip_has_a_compressor_since_5_3(library: Nvcomp, compressors: Compressors) -> None:
    assert (compressors.largest("gzip") == 0) == (library.version < (5, 3))


def test_alignments_are_asked_of_the_library(
    library: Nvcomp, compressors: Compressors, codec: str
) -> None:
    expected = ALIGNMENTS if library.version >= (6,) else ALIGNMENTS | EARLIER_ALIGNMENTS
    assert compressors.alignments(codec, {}) == expected[codec]


@pytest.mark.parametrize(("element", "size"), [("u1", 1), ("i2", 2), ("u4", 4), ("i8", 8)])
@pytest.mark.parametrize("codec", ["bitcomp", "cascaded"])
def test_elements_have_to_be_aligned(
    compressors: Compressors, codec: str, element: str, size: int
) -> None:
    """So the type is read where the library expects it."""
    assert compressors.alignments(codec, {"element": ELEMENTS[element]}).input == size


def test_the_room_that_a_target_needs_is_the_library_s(
    library: Nvcomp, compressors: Compressors, codec: str
) -> None:
    expected = ROOMS if library.version >= (6,) else ROOMS | EARLIER_ROOMS
    assert compressors.room(codec, _1M, {}) == expected[codec]


def test_the_largest_chunk_is_what_library_and_headers_allow(
    compressors: Compressors, codec: str
) -> None:
    largest, accepted = compressors.largest(codec), ACCEPTED[codec]
    assert largest == SAFE[codec] <= accepted
    assert compressors.room(codec, accepted, {}) >= accepted
    with pytest.raises(DeviceError, match=rf"{accepted + 1:,} bytes: .*size.* \(status 18\)\.$"):
        compressors.room(codec, accepted + 1, {})


@pytest.mark.parametrize("codec", ["deflate", "gdeflate", "gzip"])
def test_memory_grows_with_the_algorithm(
    library: Nvcomp, compressors: Compressors, codec: str
) -> None:
    if not compressors.largest(codec):
        pytest.skip("nvCOMP has no compressor for Gzip before 5.3")
    needed = [
        compressors.temp_bytes(codec, 100, 65536, 100 * 65536, {"algorithm": algorithm})
        for algorithm in range(6)
    ]
    assert needed == sorted(needed)
    assert needed[0] < 65536
    assert 16 < needed[4] / 6_553_600 <= needed[5] / 6_553_600 < 19
    default = compressors.temp_bytes(codec, 100, 65536, 100 * 65536, {})
    assert default == needed[1]
    with pytest.raises(DeviceError, match="status 11"):
        compressors.temp_bytes(codec, 1, 1, 1, {"algorithm": 6})


def test_lz4_needs_32_kib_a_chunk(compressors: Compressors) -> None:
    assert compressors.temp_bytes("lz4", 1000, _1M, 1000 * _1M, {}) == 1000 * 32768


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="there is a GPU")
def test_zstd_asks_the_gpu_for_its_memory(compressors: Compressors) -> None:
    with pytest.raises(DeviceError, match=r"\(status 1000\)"):
        compressors.temp_bytes("zstd", 1000, 65536, 65_536_000, {})


def test_a_call_without_arrays_fails_in_words(compressors: Compressors, codec: str) -> None:
    words = rf"^nvCOMP cannot compress 1 {codec} chunks: an invalid value .* \(status 10\)\.$"
    names = "source size largest temp temp_bytes target found status stream"
    with pytest.raises(DeviceError, match=words):
        compressors.compress(codec, {}, count=1, **dict.fromkeys(names.split(), 0))
    compressors.compress(codec, {}, count=0, **dict.fromkeys(names.split(), 0))


def test_options_of_another_size_never_reach_it(compressors: Compressors, codec: str) -> None:
    class Short(ctypes.Structure):
        _fields_ = (("algorithm", ctypes.c_int32),)

    calls = compressors._calls[codec]
    with pytest.raises(ctypes.ArgumentError):
        calls.alignments(Short(1), ctypes.byref(nvcomp_abi.Requirements()))
    with pytest.raises(ctypes.ArgumentError):
        calls.room(1, Short(1), ctypes.byref(ctypes.c_size_t()))
    with pytest.raises(ctypes.ArgumentError):
        calls.temp_bytes(1, 1, Short(1), ctypes.byref(ctypes.c_size_t()), 1, None)
    with pytest.raises(ctypes.ArgumentError):
        calls.compress(0, 0, 1, 1, 0, 0, 0, 0, Short(1), 0, 0)


def test_a_codec_that_it_lacks_is_named(compressors: Compressors) -> None:
    with pytest.raises(UnsupportedError, match="no codec 'bz2', only"):
        compressors.largest("bz2")


# --- its headers ----------------------------------------------------------------------------------

SIGNATURES = r"""
#include <cstddef>
#include <type_traits>

template <class Options> using Alignments =
    nvcompStatus_t (*)(Options, nvcompAlignmentRequirements_t*);
template <class Options> using Room = nvcompStatus_t (*)(size_t, Options, size_t*);
template <class Options> using Compress = nvcompStatus_t (*)(
    const void* const*, const size_t*, size_t, size_t, void*, size_t, void* const*, size_t*,
    Options, nvcompStatus_t*, cudaStream_t);
#if NVCOMP_VER_MAJOR >= 6
#define TEMP(x) nvcompBatched##x##CompressGetTempSize
template <class Options> using Temp =
    nvcompStatus_t (*)(size_t, size_t, Options, size_t*, size_t, cudaStream_t);
#else
#define TEMP(x) nvcompBatched##x##CompressGetTempSizeAsync
template <class Options> using Temp = nvcompStatus_t (*)(size_t, size_t, Options, size_t*, size_t);
#endif
#define OPTIONS(x) nvcompBatched##x##CompressOpts_t
#define SAME(f, type) static_assert(std::is_same<decltype(&f), type>::value, #f)
#define CODEC(x) \
    SAME(nvcompBatched##x##CompressGetRequiredAlignments, Alignments<OPTIONS(x)>); \
    SAME(nvcompBatched##x##CompressGetMaxOutputChunkSize, Room<OPTIONS(x)>); \
    SAME(nvcompBatched##x##CompressAsync, Compress<OPTIONS(x)>); \
    SAME(TEMP(x), Temp<OPTIONS(x)>); \
    static_assert(sizeof(OPTIONS(x)) == 64, #x)
#define AT(place, type, field) static_assert(offsetof(type, field) == place, #field)
static_assert(NVCOMP_TYPE_CHAR == 0 && NVCOMP_TYPE_ULONGLONG == 7, "");
"""

FIELDS = {
    "lz4": {"element": "data_type", "bit_shuffle": "bitshuffle_mode", "unused": "reserved"},
    "zstd": {"unused": "reserved"},
    "snappy": {"unused": "reserved"},
    "deflate": {"algorithm": "algorithm", "unused": "reserved"},
    "gdeflate": {"algorithm": "algorithm", "unused": "reserved"},
    "gzip": {"algorithm": "algorithm", "unused": "reserved"},
    "bitcomp": {"algorithm": "algorithm", "element": "data_type"},
    "ans": {"kind": "type", "element": "data_type"},
    "cascaded": {
        "part_bytes": "internal_chunk_bytes",
        "element": "type",
        "run_lengths": "num_RLEs",
        "deltas": "num_deltas",
        "packs": "use_bp",
        "unused": "reserved",
    },
}
FIELDS_SINCE_6 = FIELDS | {
    "bitcomp": FIELDS["bitcomp"] | {"delta": "delta", "mode": "mode", "unused": "reserved"},
    "ans": FIELDS["ans"]
    | {
        "most_parts": "max_sub_chunk_count",
        "states": "states_per_lane",
        "sampling": "histogram_reduction_log2",
        "unused": "reserved",
    },
    "cascaded": {
        "element": "common_opts.data_type",
        "mode": "common_opts.mode",
        "codecs": "common_opts.terminal_codec_flags",
        "encodings": "common_opts.coarse_grained_encoding_flags",
        "fine_encodings": "fine_grained_encoding_flags",
        "level": "compression_level",
        "unused": "reserved",
    },
}
"""Our names of fields, and the library's."""


def test_calls_fields_and_defaults_are_those_of_the_headers(
    library: Nvcomp, compressors: Compressors, tmp_path: Path
) -> None:
    headers = Path(library.path).resolve().parents[1] / "include"
    compiler = shutil.which("g++")
    if not (headers / "nvcomp.h").is_file() or compiler is None:
        pytest.skip("there are no headers beside the library, or there is no g++")
    names = FIELDS_SINCE_6 if library.is_6 else FIELDS
    lines = [f'#include "nvcomp/{name}.h"' for name in CODECS]
    lines += ["#include <cstring>", SIGNATURES]
    defaults = []
    for name, calls in compressors._calls.items():
        symbol = CODECS[name].symbol
        lines.append(f"CODEC({symbol});")
        assert library.is_6 is False or list(names[name]) == [f[0] for f in calls.kind._fields_]
        for own, theirs in names[name].items():
            lines.append(f"AT({getattr(calls.kind, own).offset}, OPTIONS({symbol}), {theirs});")
        content = ", ".join(map(str, bytes(calls.options({}))))
        defaults.append(
            f"{{ const unsigned char own[64] = {{ {content} }};"
            f" if (memcmp(own, &nvcompBatched{symbol}CompressDefaultOpts, 64)) return 1; }}"
        )
    lines.append("int main() {" + " ".join(defaults) + " return 0; }")
    (tmp_path / "cuda_runtime.h").write_text("typedef struct CUstream_st* cudaStream_t;\n")
    source, program = tmp_path / "headers.cpp", tmp_path / "headers"
    source.write_text("\n".join(lines))
    command = [compiler, "-std=c++17", f"-I{tmp_path}", f"-I{headers}", source, "-o", program]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert subprocess.run([program]).returncode == 0
