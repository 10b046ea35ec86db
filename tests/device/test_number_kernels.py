"""The kernels of ops on numbers that encode: what they give is what their oracles in NumPy give.

The oracles are held to numcodecs and zarr-python; all of the emulator's modes, as in test_ops.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from device.launching import Kernels
from device.numbers import FLOATS, INTEGERS, KINDS, numbers, same, settled
from device.test_ops import SHIFTS
from numcodecs import Delta, FixedScaleOffset, PackBits
from zarr.codecs import scale_offset as zarr_scale_offset

from gpuzarr.device import emulator_build, reference
from gpuzarr.device.reference import Status

pytestmark = [
    pytest.mark.skipif(not emulator_build.is_available(), reason="needs g++"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # NumPy's, about overflow
]

SCALES = [(10, 1000.5), (0.1, -3), (3, 100), (2.5, 7), (1e-3, 0), (1e300, 0.25)]


@pytest.fixture(scope="module", params=["fast", "check", "ubsan"])
def ops(request: pytest.FixtureRequest) -> Kernels:
    return Kernels(request.param, seed=0 if request.param == "fast" else 7)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(31)


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_differences_of_integers(ops: Kernels, width: int, shift: Any, rng: Any) -> None:
    counts = [0, 1, 2, 15, 16, 17, 33, 16384 // width - 1, 16384 // width, 40_000 // width]
    data = [rng.integers(0, 256, n * width, np.uint8) for n in counts]
    found = ops.differences([d.tobytes() for d in data], width, shift)
    for one, given in zip(found, data, strict=True):
        for dtype in (f"i{width}", f"u{width}"):
            values = given.view(dtype)
            assert one == (Delta(dtype).encode(values).tobytes() if len(values) else b"")
            if len(values) < 50:
                assert one == reference.difference(values, dtype).tobytes()


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_difference(ops: Kernels, source: str, target: str, rng: Any) -> None:
    if source in FLOATS and target in INTEGERS:
        return
    values = [numbers(rng, source, n) for n in (0, 1, 5, 300, 4097 if ops.mode == "fast" else 400)]
    for one in values:
        one[:1] = 1
    statuses, found = ops.difference(values, target, first_fits=True)
    assert not any(statuses)
    for one, given in zip(found, values, strict=True):
        assert same(one.tobytes(), reference.difference(given, target))
        if len(given):
            assert same(one.tobytes(), Delta(source, target).encode(given))


def test_the_first_number_must_fit_a_signed_target(ops: Kernels) -> None:
    """As NumPy assigns it, in Delta."""
    values = [np.array([v, 3], "i4") for v in (127, 128, -128, -129)]
    statuses, _ = ops.difference(values, "i1", first_fits=True)
    assert statuses == [0, Status.OUT_OF_RANGE, 0, Status.OUT_OF_RANGE]
    for status, given in zip(statuses, values, strict=True):
        if status:
            with pytest.raises(OverflowError):
                Delta("i4", "i1").encode(given)
        else:
            Delta("i4", "i1").encode(given)
    assert ops.difference(values, "i1")[0] == [0] * 4


@pytest.mark.parametrize("target", ["i1", "u2", "i4", "u4", "i8", "u8", *FLOATS])
@pytest.mark.parametrize("source", KINDS)
def test_offset_scale(ops: Kernels, source: str, target: str, rng: Any) -> None:
    for scale, offset in SCALES:
        values = numbers(rng, source, 400)
        for rounds in (True, False):
            try:
                wanted = reference.offset_scale(values, scale, offset, target, rounds)
            except OverflowError:  # an offset or a scale that the integer does not hold
                continue
            between = reference.offset_scale(values, scale, offset, None, rounds)
            if source in INTEGERS and isinstance(scale, int) and isinstance(offset, int):
                between = ((values - offset) * scale).astype("i8")
            where = settled(between, target)
            [found] = ops.offset_scale([values], scale, offset, target, rounds)
            assert same(found.tobytes(), wanted, where), (scale, offset, rounds)
            if rounds:
                library = FixedScaleOffset(offset, scale, source, target).encode(values)
                assert same(library.tobytes(), wanted, where)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_offset_scale_of_integers_is_exact_or_an_error(ops: Kernels, dtype: str, rng: Any) -> None:
    limits = np.iinfo(dtype)
    pairs = [
        (1, 0),
        (3, 5),
        (7, -100),
        (-1, 1),
        (-1, -1),
        (-3, 2),
        (limits.max, 1),
        (2, limits.max),
    ]
    pairs += [(1, limits.min), (-1, limits.min), (limits.min, limits.max)]
    for scale, offset in pairs:
        if scale == 0 or (limits.min == 0 and (scale < 0 or offset < 0)):
            continue
        one = [
            [v] for v in (0, 1, 2, 5, 21, limits.min, limits.min + 1, limits.max, limits.max - 1)
        ]
        values = [np.array(v).astype(dtype) for v in one]
        values += [rng.integers(5, 12, 50).astype(dtype), numbers(rng, dtype, 30)]
        statuses, results = ops.offset_scale_exact(values, scale, offset)
        for given, status, result in zip(values, statuses, results, strict=True):
            oracle = reference.offset_scale_exact(given, scale, offset)
            assert status == oracle[0]
            assert status or same(result.tobytes(), oracle[1])
            if dtype == "i8":  # where zarr-python lets overflow wrap
                continue
            factor, term = (np.dtype(dtype).type(n) for n in (scale, offset))
            try:
                wanted = zarr_scale_offset._encode(given, term, factor)
            except ValueError:
                assert status
            else:
                assert status == 0
                assert same(result.tobytes(), wanted)


def test_the_smallest_number_has_a_quotient_by_minus_one_with_an_offset(ops: Kernels) -> None:
    for dtype in ("i1", "i4", "i8"):
        low, high = (int(n) for n in (np.iinfo(dtype).min, np.iinfo(dtype).max))
        values = [np.array([v], dtype) for v in (low, low + 1, high, 0, -5)]
        for offset in (-1, 0, 1, low, high):
            statuses, results = ops.scale_offset_exact(values, -1, offset)
            for given, status, result in zip(values, statuses, results, strict=True):
                oracle = reference.scale_offset_exact(given, -1, offset)
                assert status == oracle[0]
                assert status or same(result.tobytes(), oracle[1])


@pytest.mark.parametrize("shift", [0, 1, 3, 4])
def test_bit_pack(ops: Kernels, shift: int, rng: Any) -> None:
    sizes = (0, 1, 7, 8, 9, 31, 32, 33, 1000, 16384, 16385, 40000)
    data = [rng.integers(0, 256, n, np.uint8) * rng.integers(0, 2, n, np.uint8) for n in sizes]
    raw = [d.tobytes() for d in data]
    assert ops.bit_pack(raw, 1, True, shift) == [bytes(PackBits().encode(d != 0)) for d in data]
    little = [np.packbits(d, bitorder="little").tobytes() for d in data]
    assert ops.bit_pack(raw, 0, False, shift) == little
    for number, padding in enumerate(("none", "first", "last")):
        for msb in (False, True):
            wanted = [reference.bit_pack(d, padding, msb) for d in raw]
            assert ops.bit_pack(raw, number, msb, shift) == wanted
            sizes_of = [len(d) for d in raw]
            bits = [(d != 0).tobytes() for d in data]
            unpacked = ops.bit_unpack(wanted, sizes_of, number, msb, shift)
            assert unpacked == [(0, b) for b in bits]


def test_xxh64_of_known_bytes(ops: Kernels) -> None:
    """The lower halves of what the format's own test names: 0xEF46DB3751D8E999 of nothing."""
    assert ops.checksum("xxh64", [b"", b"a"]) == [0x51D8E999, 0xD24EC4F1A98C6E5B & 0xFFFFFFFF]


@pytest.mark.parametrize("shift", [0, 1, 4, 8])
def test_xxh64_of_any_length(ops: Kernels, shift: int, rng: Any) -> None:
    sizes = [*range(70), *range(1000, 1060), 2047, 2048, 2049, 5000]
    data = [rng.bytes(n) for n in sizes[:: 1 if ops.mode == "fast" else 3]]
    assert ops.checksum("xxh64", data, shift) == [reference.xxh64(d) for d in data]
