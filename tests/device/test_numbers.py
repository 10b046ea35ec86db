"""Ops on numbers on every device: bit for bit what numcodecs, zarr-python and NumPy compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cast_value_rs import cast_array
from device.memory import made, put, slots, written
from device.numbers import FLOATS, INTEGERS, KINDS, numbers, same, settled
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import AsType, Delta, FixedScaleOffset, PackBits
from zarr.codecs import scale_offset as zarr_scale_offset

from gpuzarr import device as devices
from gpuzarr.device import Device, cpu_numbers
from gpuzarr.device.protocol import Casting
from gpuzarr.device.reference.numbers import RANGES, ROUNDINGS
from gpuzarr.errors import StreamError, UnsupportedError

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, about overflow

COUNTS = [0, 1, 2, 7, 16, 255, 4095, 4096, 4097, 9000]
NUMBERS = st.sampled_from([10, 3, 1, 7, 100, -3, 0.1, 2.5, 1e-3, 1000.5, -7.25, 1e300, 0.0, 0])


@st.composite
def streams(draw: st.DrawFn, kinds: list[str] = KINDS) -> tuple[list[np.ndarray], list[int]]:
    """Numbers of one dtype in streams of other sizes, and gaps between them."""
    dtype = draw(st.sampled_from(kinds))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    counts = draw(st.lists(st.sampled_from(COUNTS) | st.integers(0, 70), min_size=1, max_size=5))
    gaps = draw(st.lists(st.sampled_from([0, 1, 3, 8, 16]), min_size=1, max_size=3))
    return [numbers(rng, dtype, n) for n in counts], gaps


def run(
    device: Device,
    op: str,
    values: list[np.ndarray],
    sizes: list[int],
    *args: Any,
    gaps: Any = (5,),
) -> list[bytes]:
    """What an op makes of streams that lie anywhere; nothing beside its slots is written to."""
    into = slots(device, sizes, gaps=gaps[::-1])
    getattr(device, op)(made(device, [v.tobytes() for v in values], gaps=gaps), into, *args)
    return written(device, into)


def elementwise(
    device: Device, op: str, values: list[np.ndarray], target: str, *args: Any, gaps: Any = (5,)
) -> list[bytes]:
    """The same for ops from one dtype to another."""
    dtypes = values[0].dtype, np.dtype(target)
    sizes = [len(v) * dtypes[1].itemsize for v in values]
    return run(device, op, values, sizes, *dtypes, *args, gaps=gaps)


def computed(device: Device, op: str, values: list[np.ndarray], target: str, *args: Any) -> bool:
    """Whether the device says that it computes this; the CPU says so of everything."""
    reason = device.computes(op, values[0].dtype, np.dtype(target), *args)
    assert reason is None or (reason and not device.is_host)
    return reason is None


# astype, delta, fixedscaleoffset, scale_offset ----------------------------------------------------


@pytest.mark.parametrize("target", [*KINDS, "b1"])
@pytest.mark.parametrize("source", [*KINDS, "b1"])
def test_numbers_are_cast_as_astype_does(device: Device, source: str, target: str) -> None:
    rng = np.random.default_rng(1)
    values = [numbers(rng, source, n) for n in (0, 1, 300, 4097)]
    assert computed(device, "cast", values, target)
    found = elementwise(device, "cast", values, target)
    for one, given_ in zip(found, values, strict=True):
        wanted = AsType(source, target).decode(given_)
        assert same(one, wanted, settled(given_, target))


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_differences_are_those_of_delta(device: Device, source: str, target: str) -> None:
    rng = np.random.default_rng(2)
    values = [numbers(rng, source, n) for n in (0, 1, 2, 300, 4097, 8192 // int(source[1]) + 1)]
    for one in values:
        one[:1] = 1
    if not computed(device, "difference", values, target):
        assert source in FLOATS
        assert target in INTEGERS
        return
    for gaps in ([0], [1, 8, 3]):
        found = elementwise(device, "difference", values, target, gaps=gaps)
        for one, given_ in zip(found, values, strict=True):
            wanted = Delta(source, target).encode(given_) if len(given_) else np.empty(0, target)
            differences = np.concatenate([given_[:1], np.diff(given_)])
            assert same(one, wanted, settled(differences, target))


@given(streams(), st.sampled_from(KINDS), NUMBERS, NUMBERS)
def test_numbers_are_scaled_and_shifted_as_fixedscaleoffset_does(
    device: Device, drawn: Any, target: str, scale: Any, offset: Any
) -> None:
    values, gaps = drawn
    codec = FixedScaleOffset(offset, scale, target, values[0].dtype)
    if computed(device, "scale_offset", values, target, scale, offset):
        try:
            wanted = [codec.decode(v) for v in values]
        except OverflowError:
            assert device.is_host
        else:
            found = elementwise(device, "scale_offset", values, target, scale, offset, gaps=gaps)
            for one, expected, v in zip(found, wanted, values, strict=True):
                assert same(one, expected, settled(v / scale + offset, target))
    codec = FixedScaleOffset(offset, scale, values[0].dtype, target)
    if computed(device, "offset_scale", values, target, scale, offset):
        args = (scale, offset, True)
        try:
            wanted = [codec.encode(v) for v in values]
        except OverflowError:  # an integer that the dtype does not hold
            assert device.is_host
            with pytest.raises(StreamError, match=r"expected numbers of .*out of bounds"):
                elementwise(device, "offset_scale", values, target, *args, gaps=gaps)
            return
        found = elementwise(device, "offset_scale", values, target, *args, gaps=gaps)
        for one, expected, v in zip(found, wanted, values, strict=True):
            assert same(one, expected, settled(np.around((v - offset) * scale), target))


@given(streams(FLOATS), NUMBERS, NUMBERS)
def test_floats_are_scaled_and_shifted_as_scale_offset_does(
    device: Device, drawn: Any, scale: Any, offset: Any
) -> None:
    values, gaps = drawn
    dtype = values[0].dtype
    numbers_of = [dtype.type(n) for n in (offset, scale)]
    pair = float(numbers_of[1]), float(numbers_of[0])
    assert computed(device, "scale_offset", values, dtype.str, *pair)
    found = elementwise(device, "scale_offset", values, dtype.str, *pair, gaps=gaps)
    for one, v in zip(found, values, strict=True):
        assert same(one, zarr_scale_offset._decode(v, *numbers_of, scale_repr=scale))
    found = elementwise(device, "offset_scale", values, dtype.str, *pair, False, gaps=gaps)
    for one, v in zip(found, values, strict=True):
        assert same(one, zarr_scale_offset._encode(v, *numbers_of))


@pytest.mark.parametrize("source", KINDS)
def test_fixedscaleoffset_of_what_people_store(device: Device, source: str) -> None:
    """The examples of numcodecs' documentation, and packed temperatures."""
    temperatures = np.linspace(-40, 45, 5000) if source in FLOATS else np.arange(0, 100)
    for scale, offset, target in (
        (10, 273, "i2"),
        (0.01, 0.0, "f4"),
        (100, -3, "u2"),
        (2, 0, "u1"),
    ):
        values = [temperatures.astype(source), temperatures[:1].astype(source)]
        if not computed(device, "offset_scale", values, target, scale, offset):
            assert offset < 0 or scale > np.iinfo(source).max or offset > np.iinfo(source).max
            continue
        try:
            wanted = FixedScaleOffset(offset, scale, source, target).encode(values[0])
        except OverflowError:
            assert device.is_host
            continue
        [found, _] = elementwise(device, "offset_scale", values, target, scale, offset, True)
        between = np.around((values[0] - offset) * scale)
        assert same(found, wanted, settled(between, target))


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("op", ["scale_offset_exact", "offset_scale_exact"])
def test_integers_are_scaled_exactly_or_the_first_bad_stream_is_named(
    device: Device, op: str, dtype: str
) -> None:
    rng, limits, native = np.random.default_rng(3), np.iinfo(dtype), np.dtype(dtype)
    verdicts = set()
    for scale, offset in ((1, 0), (1, 7), (3, 5), (7, -100), (-1, 1), (-3, 2), (limits.max, 0)):
        if limits.min == 0 and (scale < 0 or offset < 0):
            continue
        assert device.computes(op, native, native, scale, offset) is None
        for count in (1, 40, 5000):
            if op == "scale_offset_exact":
                good = rng.integers(0, 3, count).astype(dtype) * native.type(scale)
            else:
                good = (rng.integers(0, 3, count) + offset).astype(dtype)
            odd = numbers(rng, dtype, count)
            ends = np.array([limits.max, limits.min], dtype)
            lists = [good], [good[:0], good], [good, odd, good, odd], [odd, good], [good, ends]
            for values in (*lists, [ends[:1]], [ends[1:]]):
                wanted = [_exact(op, v, scale, offset) for v in values]
                bad = [n for n, (reason, _) in enumerate(wanted) if reason]
                verdicts |= {reason for reason, _ in wanted}
                sizes = [v.nbytes for v in values]
                if bad:
                    with pytest.raises(StreamError, match=wanted[bad[0]][0]) as caught:
                        run(device, op, values, sizes, native, scale, offset)
                    assert caught.value.slot == bad[0]
                else:
                    found = run(device, op, values, sizes, native, scale, offset)
                    assert found == [v.tobytes() for _, v in wanted]
    assert verdicts >= {
        "",
        "expected numbers of u?int.*, found one outside the range of dtype u?int.*",
    }


def _exact(op: str, values: np.ndarray, scale: int, offset: int) -> tuple[str, np.ndarray]:
    """What zarr-python makes of it; where it lets 8 bytes wrap, what integers of Python say."""
    out = "expected numbers of u?int.*, found one outside the range of dtype u?int.*"
    if not len(values):
        return "", values
    if values.dtype == np.int64:
        results = [_of_python(op, int(v), scale, offset) for v in values]
        if None in results:
            return (
                "expected multiples of the scale, found a number with a non-zero remainder",
                values,
            )
        limits = np.iinfo(np.int64)
        if not all(limits.min <= r <= limits.max for r in results):  # type: ignore[operator]
            return out, values
        return "", np.array(results, "i8")
    term, factor = (values.dtype.type(n) for n in (offset, scale))
    try:
        if op == "offset_scale_exact":
            return "", zarr_scale_offset._encode(values, term, factor)
        return "", zarr_scale_offset._decode(values, term, factor, scale_repr=scale)
    except ValueError as error:
        is_rest = "remainder" in str(error)
        return "expected multiples of the scale, found a number" if is_rest else out, values


def _of_python(op: str, value: int, scale: int, offset: int) -> int | None:
    if op == "offset_scale_exact":
        return (value - offset) * scale
    return None if value % scale else value // scale + offset


@given(streams(FLOATS), st.sampled_from(FLOATS))
def test_running_sums_of_any_floats_are_those_of_delta(
    device: Device, drawn: Any, target: str
) -> None:
    values, gaps = drawn
    if not computed(device, "prefix_sum", values, target) or values[0].itemsize > int(target[1]):
        return
    values = [v[:1000] for v in values]
    found = elementwise(device, "prefix_sum", values, target, gaps=gaps)
    for one, v in zip(found, values, strict=True):
        assert same(one, Delta(target, v.dtype).decode(v))


# cast_value ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("source", KINDS)
def test_numbers_are_cast_by_rules_as_zarr_does(device: Device, source: str, rounding: str) -> None:
    rng = np.random.default_rng(4)
    for target in KINDS:
        for out_of_range in RANGES:
            if out_of_range == "wrap" and target in FLOATS:
                continue
            rules = Casting(rounding, out_of_range)
            assert device.computes("cast", np.dtype(source), np.dtype(target), 1, 0, rules) is None
            values = [
                np.array([1, 2, 3], source),
                *(numbers(rng, source, n) for n in (1, 40, 0, 7)),
            ]
            if source in FLOATS:
                values.append(values[2][np.isfinite(values[2])])
            _check_cast(device, values, target, rules)
            for one in (values[1:2], values[-1:], values[:1]):
                _check_cast(device, one, target, rules)


def test_a_map_of_numbers_comes_before_the_rules(device: Device) -> None:
    entries = [(float("nan"), -5), (0.0, 7), (0.1, 9), (float("inf"), 11), (3.0, 13), (3.0, 14)]
    for source in FLOATS:
        values = [np.array([np.nan, 0.0, -0.0, 0.1, np.inf, 3, 4], source), np.array([5], source)]
        for target in ("i2", "u8", "f4", "f8"):
            known = [(key, abs(to) if target == "u8" else to) for key, to in entries]
            _check_cast(device, values, target, Casting("nearest-even", None, tuple(known)))
    values = [np.array([0, 255, 7], "u1")]
    _check_cast(device, values, "f4", Casting(scalar_map=((255, float("nan")), (0, -0.0))))
    _check_cast(device, values, "i1", Casting(scalar_map=((255, -1),)))


def _check_cast(device: Device, values: list[np.ndarray], target: str, rules: Casting) -> None:
    """Results, or the first bad stream, are those of the package that zarr-python casts with."""
    wanted: list[Any] = []
    for v in values:
        try:
            wanted.append(
                cast_array(
                    v,
                    target_dtype=np.dtype(target),
                    rounding_mode=rules.rounding,  # type: ignore[arg-type]
                    out_of_range_mode=rules.out_of_range,  # type: ignore[arg-type]
                    scalar_map_entries=list(rules.scalar_map) or None,
                )
            )
        except ValueError:
            wanted.append(None)
    bad = [n for n, expected in enumerate(wanted) if expected is None]
    if bad:
        with pytest.raises(
            StreamError, match=r"expected numbers of .*, found one outside"
        ) as caught:
            elementwise(device, "cast", values, target, rules)
        assert caught.value.slot == bad[0]
    else:
        found = elementwise(device, "cast", values, target, rules)
        for one, expected in zip(found, wanted, strict=True):
            assert same(one, expected), (values[0].dtype, target, rules)


def test_without_the_package_the_cpu_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_numbers, "cast_into", None)
    cpu, dtypes = devices.get("cpu"), (np.dtype("f4"), np.dtype("i2"))
    assert "cast-value-rs" in str(cpu.computes("cast", *dtypes, casting=Casting()))
    assert cpu.computes("cast", *dtypes) is None
    with pytest.raises(UnsupportedError, match="needs the package cast-value-rs"):
        elementwise(cpu, "cast", [np.zeros(3, "f4")], "i2", Casting())
    assert elementwise(cpu, "cast", [np.zeros(3, "f4")], "i2") == [bytes(6)]


# Bits ---------------------------------------------------------------------------------------------

BITS = [0, 1, 7, 8, 9, 63, 1000, 16_383, 16_384, 16_385, 40_001]


@pytest.mark.parametrize("msb", [True, False])
@pytest.mark.parametrize("padding", ["none", "first", "last"])
def test_bits_are_packed_and_unpacked(device: Device, padding: str, msb: bool) -> None:
    rng = np.random.default_rng(5)
    values = [rng.integers(0, 2, n, np.uint8) * rng.integers(1, 256, n, np.uint8) for n in BITS]
    bits = [(v != 0).astype(np.uint8) for v in values]
    packed = []
    for v in bits:
        body = np.packbits(v, bitorder="big" if msb else "little").tobytes()
        unused = bytes([-len(v) % 8])
        front, behind = (unused if padding == p else b"" for p in ("first", "last"))
        packed.append(front + body + behind)
    if padding == "first" and msb:
        assert packed == [bytes(PackBits().encode(v)) for v in bits]
    for gaps in ([0], [3, 1, 16]):
        sizes = [len(p) for p in packed]
        assert run(device, "bit_pack", values, sizes, padding, msb, gaps=gaps) == packed
        raw = [np.frombuffer(p, np.uint8) for p in packed]
        found = run(device, "bit_unpack", raw, BITS, padding, msb, gaps=gaps)
        assert found == [v.tobytes() for v in bits]


@pytest.mark.parametrize(
    ("packed", "elements", "padding"),
    [
        (b"\1\xff", 8, "first"),
        (b"\0\xff\xff", 8, "first"),
        (b"", 0, "first"),
        (b"\xff\7", 8, "last"),
        (b"\xff\xff", 8, "none"),
        (b"", 8, "none"),
        (b"\x08\xff\xff", 8, "first"),
    ],
)
def test_packed_bits_of_another_number_are_refused(
    device: Device, packed: bytes, elements: int, padding: str
) -> None:
    good = {"first": b"\0\xaa", "last": b"\xaa\0", "none": b"\xaa"}[padding]
    batch = put(device, [good, good, packed, packed])
    with pytest.raises(StreamError, match=r"expected as many packed bits .*, found") as caught:
        device.bit_unpack(batch, slots(device, [8, 8, elements, elements]), padding, True)
    assert caught.value.slot == 2


# Rules --------------------------------------------------------------------------------------------


def test_what_kernels_do_not_compute_is_said_before() -> None:
    """And a program that asks nobody gets NumPy's errors from the CPU."""
    try:
        device = devices.get("emulated")
    except devices.DeviceError:
        pytest.skip("there is no g++")
    refused = [
        ("cast", "c8", "f4", "not complex64"),
        ("cast", "f4", "M8[s]", "not datetime64"),
        ("cast", ">f4", "f4", "not >f4"),
        ("difference", "b1", "b1", "bool is not arithmetic"),
        ("difference", "f8", "i4", "NumPy refuses some differences of float64 as int32"),
        ("prefix_sum", "u8", "i8", "depend on how NumPy adds them up"),
        ("prefix_sum", "f8", "f4", "depend on how NumPy adds them up"),
        ("prefix_sum", "i4", "f8", "depend on how NumPy adds them up"),
    ]
    for op, source, target, words in refused:
        assert words in str(device.computes(op, np.dtype(source), np.dtype(target)))
    u1, f4 = np.dtype("u1"), np.dtype("f4")
    scaled = [
        ("offset_scale", u1, 300, 0, "offset_scale of uint8 by 300"),
        ("offset_scale", u1, 1.5, -1, "offset_scale of uint8 by -1"),
        ("offset_scale", f4, float("nan"), 0, "by NaN"),
        ("scale_offset", f4, "10", 0, "found str"),
        ("scale_offset", u1, 10**30, 0, "takes for an object"),
        ("offset_scale", u1, 1, 256, "which NumPy refuses"),
        ("scale_offset_exact", f4, 1, 1, "is for integers alone"),
        ("offset_scale_exact", u1, 0, 1, "by a scale of 0"),
    ]
    for op, dtype, scale, offset, words in scaled:
        assert words in str(device.computes(op, dtype, dtype, scale, offset))
    for op, dtype, scale, offset in (
        ("offset_scale", u1, 300, 0.5),
        ("offset_scale", u1, 1e9, 255),
        ("offset_scale", f4, 10**9, -(10**9)),
        ("scale_offset", u1, -300, 1000),
    ):
        assert device.computes(op, dtype, dtype, scale, offset) is None
    assert "bool" in str(device.computes("cast", np.dtype("?"), u1, casting=Casting()))


def test_ops_on_numbers_take_batches_without_streams(device: Device) -> None:
    i4, f4 = np.dtype("i4"), np.dtype("f4")
    for batch in (put(device, []), made(device, [b"", b""])):
        into = slots(device, [0] * len(batch))
        device.difference(batch, into, i4, i4)
        device.difference(batch, into, i4, np.dtype("i1"))
        device.scale_offset(batch, into, f4, i4, 2, 1)
        device.offset_scale(batch, into, f4, i4, 2, 1, True)
        device.scale_offset_exact(batch, into, i4, 2, 1)
        device.offset_scale_exact(batch, into, i4, 2, 1)
        device.cast(batch, into, f4, i4)
        device.cast(batch, into, f4, i4, Casting())
        device.bit_pack(batch, into, "none", True)
        device.bit_unpack(batch, into, "none", True)
        assert device.checksum("xxh64", batch).tolist() == [0x51D8E999] * len(batch)
        assert device.checksum("fletcher32", batch).tolist() == [0] * len(batch)
