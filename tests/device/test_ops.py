"""The contract of every device op: what its kernels give is what its oracle in NumPy gives.

The oracles are held to the libraries whose bytes they stand for; the kernels are held to the
oracles in each mode of the emulator. Targets hold poison, streams start at odd addresses and end
where their memory does, and blocks share few, uneven tiles. Damaged streams: test_mutated.py.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import astuple
from typing import Any

import google_crc32c
import numcodecs.blosc
import numcodecs.lz4
import numpy as np
import pytest
import zstandard
from cast_value_rs import cast_array
from device.launching import POISON, Copy, Kernels, Memory
from numcodecs import Delta, FixedScaleOffset, PackBits, Shuffle
from numcodecs.fletcher32 import Fletcher32
from zarr.codecs import scale_offset as zarr_scale_offset

from gpuzarr.device import emulator_build, reference
from gpuzarr.device.reference import Status
from gpuzarr.device.reference.numbers import KINDS, RANGES, ROUNDINGS
from gpuzarr.device.reference.streams import STORED
from gpuzarr.device.zstd_frames import plain_frames

pytestmark = [
    pytest.mark.skipif(not emulator_build.is_available(), reason="needs g++"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # NumPy's, about overflow
]

SHIFTS = [(0, 0), (1, 0), (0, 3), (4, 8)]
INTEGERS, FLOATS = KINDS[:8], KINDS[8:11]


@pytest.fixture(scope="module", params=["fast", "check", "ubsan"])
def ops(request: pytest.FixtureRequest) -> Kernels:
    return Kernels(request.param, seed=0 if request.param == "fast" else 7)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


def same(found: np.ndarray, wanted: np.ndarray) -> bool:
    return found.dtype == wanted.dtype and found.tobytes() == wanted.tobytes()


# --- bytes within a stream ------------------------------------------------------------------------


@pytest.mark.parametrize("typesize", [1, 2, 4, 7, 8])
def test_the_oracle_of_shuffle_is_that_of_numcodecs(typesize: int, rng: Any) -> None:
    data = rng.bytes(40 * typesize)
    codec = Shuffle(typesize)
    assert reference.shuffle(data, typesize) == bytes(codec.encode(data))
    assert reference.unshuffle(data, typesize) == bytes(codec.decode(data))


def test_planes_lie_so() -> None:
    assert reference.shuffle(bytes([1, 2, 3, 4, 5, 6, 7]), 2) == bytes([1, 3, 5, 2, 4, 6, 7])
    # one element of two bytes a bit: the first bits of all eight elements stand in byte 0
    assert reference.bit_shuffle(bytes([1, 0] + [0, 0x80] * 7), 2)[0] == 0b1
    assert reference.bit_shuffle(bytes([1, 0] + [0, 0x80] * 7), 2)[15] == 0b11111110


@pytest.mark.parametrize("shuffle", [1, 2])
@pytest.mark.parametrize("typesize", [1, 2, 3, 4, 8, 16])
def test_the_oracles_undo_what_blosc_shuffles(shuffle: int, typesize: int) -> None:
    for count in (129, 1000, 4099):
        data = (np.arange(count * typesize, dtype="u4") // 7 % 251).astype("u1").tobytes()
        chunk = bytes(numcodecs.blosc.compress(data, b"lz4", 9, shuffle, 512, typesize=typesize))
        assert _blosc(chunk, len(data)) == data


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("typesize", [1, 2, 3, 4, 7, 8, 16, 17, 255])
def test_shuffle_and_unshuffle(ops: Kernels, typesize: int, shift: Any, rng: Any) -> None:
    ts = typesize
    sizes = [0, 1, ts - 1, ts, ts + 1, 5 * ts, 16 * ts + 3, 1000 * ts // 4 * 4]
    sizes += [16384 // ts * ts + ts, 16384 * 2 + 5]
    data = [rng.bytes(n) for n in sizes]
    assert ops.unshuffle(data, ts, shift) == [reference.unshuffle(d, ts) for d in data]
    assert ops.shuffle(data, ts, shift) == [reference.shuffle(d, ts) for d in data]


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("typesize", [1, 2, 3, 4, 8, 16, 31])
def test_bit_shuffle_and_bit_unshuffle(ops: Kernels, typesize: int, shift: Any, rng: Any) -> None:
    ts = typesize
    sizes = [0, 1, ts - 1, ts, ts + 1, 8 * ts, 16 * ts + ts - 1, 128 * ts, 264 * ts, 999 * ts + 1]
    sizes += [(16384 + 128) * ts if ts == 2 else 0, 3072 * ts // (1 + ts // 8)]
    data = [rng.bytes(n) for n in sizes]
    assert ops.bit_unshuffle(data, ts, shift) == [reference.bit_unshuffle(d, ts) for d in data]
    assert ops.bit_shuffle(data, ts, shift) == [reference.bit_shuffle(d, ts) for d in data]


@pytest.mark.parametrize("shift", SHIFTS)
def test_copy(ops: Kernels, shift: Any, rng: Any) -> None:
    data = [rng.bytes(n) for n in (0, 1, 15, 16, 17, 16383, 16384, 16385, 50000)]
    assert ops.copy(data, shift) == [reference.copy(d) for d in data]


def test_copy_leaves_tiles_behind_the_end_of_their_stream_alone(ops: Kernels, rng: Any) -> None:
    """As where the host made tiles of more bytes than the device found."""
    data = [rng.bytes(n) for n in (0, 1, 16384, 20000, 0, 33000)]
    assert ops.copy(data, tile=5000) == data


def test_ten_thousand_small_streams(ops: Kernels, rng: Any) -> None:
    data = [rng.bytes(n % 3) for n in range(10000 if ops.mode == "fast" else 500)]
    assert ops.copy(data) == data


def test_a_launch_of_no_stream_or_of_more_blocks_than_tiles(ops: Kernels) -> None:
    assert ops.copy([]) == []
    ops.blocks, before = 9, ops.blocks
    try:
        assert ops.copy([b"abc"]) == [b"abc"]
    finally:
        ops.blocks = before


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("width", [2, 4, 8, 16])
def test_byte_swap(ops: Kernels, width: int, shift: Any, rng: Any) -> None:
    data = [rng.bytes(n * width) for n in (0, 1, 2, 5, 16384 // width, 20000 // width)]
    assert ops.byte_swap(data, width, shift) == [reference.byte_swap(d, width) for d in data]
    values = np.arange(7, dtype=f"u{width}") if width < 16 else np.arange(14, dtype="u8")
    if width < 16:
        assert reference.byte_swap(values.tobytes(), width) == values.byteswap().tobytes()


@pytest.mark.parametrize("order", [[1, 0, 2], [3, 2, 1, 0, 12, 11, 10, 9, 8, 7, 6, 5, 4], [0]])
def test_the_fields_of_structs_are_swapped(ops: Kernels, order: list[int], rng: Any) -> None:
    n = len(order)
    data = [rng.bytes(x * n) for x in (0, 1, 2, 16384 // n, 16384 // n * 2 + 1)]
    assert ops.permute(data, order) == [reference.permute(d, order) for d in data]


@pytest.mark.parametrize("shift", [0, 3, 8])
@pytest.mark.parametrize("value", [b"\0", b"ab", b"abcd", b"12345678", b"xyz", bytes(range(40))])
def test_fill(ops: Kernels, value: bytes, shift: int) -> None:
    n = len(value)
    sizes = [0, n, 16 * n, 17 * n, 700 * n, 16384 // n * 2 * n + n]
    assert ops.fill(sizes, value, shift) == [reference.fill(size, value) for size in sizes]


@pytest.mark.parametrize(
    ("dtype", "value", "kind"),
    [
        ("f4", 1.5, "bits"),
        ("f4", 0.0, "bits"),
        ("u1", 7, "bits"),
        ("S3", b"abc", "bits"),
        ("f2", np.nan, "nan"),
        ("f4", np.nan, "nan"),
        ("f8", np.nan, "nan"),
        ("c8", complex(np.nan, 1), "nan"),
        ("c16", complex(1, np.nan), "nan"),
        ("f8", 0.0, "number"),
        ("f2", 2.0, "number"),
        ("c8", 0.0, "number"),
        ("c16", 1j, "number"),
    ],
)
def test_equals_fill(ops: Kernels, dtype: str, value: Any, kind: str) -> None:
    wanted, data = np.array(value, dtype), [b"\x01" * 5000 * np.dtype(dtype).itemsize]
    for n in (0, 1, 3, 16, 17, 5000):
        whole = np.full(n, wanted, dtype)
        data.append(whole.tobytes())
        for at in {0, n // 2, n - 1} if n else ():
            other = whole.copy()
            other[at] = b"xbc" if dtype == "S3" else 3
            data.append(other.tobytes())
            if wanted.dtype.kind in "fc":
                other[at] = -wanted
                data.append(other.tobytes())
    expected = [reference.equals_fill(d, wanted, kind) for d in data]
    assert ops.equals_fill(data, wanted, kind) == expected
    assert ops.equals_fill(data, wanted, kind, shift=4) == expected


# --- placement ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "transposed", "steps"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8", "c16", "V3", "V12", "V40"])
def test_boxes_are_placed_and_gathered(ops: Kernels, dtype: str, kind: str, rng: Any) -> None:
    for ndim in (1, 2, 3, 4, 8):
        most = {1: 400, 2: 40, 3: 12, 4: 6, 8: 3}[ndim]
        shape = tuple(rng.integers(1, most + 1, ndim).tolist())
        order = rng.permutation(ndim) if kind == "transposed" else np.arange(ndim)
        steps = rng.integers(1, 3, ndim).tolist() if kind == "steps" else [1] * ndim
        ahead = rng.integers(0, 3, ndim).tolist()
        part = tuple(slice(a, a + n * s, s) for a, n, s in zip(ahead, shape, steps, strict=True))
        full = tuple(p.stop + a for p, a in zip(part, ahead, strict=True))
        chunk = _random(tuple(shape[i] for i in order), dtype, rng)
        source = chunk.transpose(np.argsort(order))
        _copies(ops, [(source, full, part)])


def test_ragged_chunks_are_placed(ops: Kernels, rng: Any) -> None:
    full, size = (25, 70), (10, 32)
    parts = [
        (slice(i, min(i + size[0], full[0])), slice(j, min(j + size[1], full[1])))
        for i in range(0, full[0], size[0])
        for j in range(0, full[1], size[1])
    ]
    chunk = _random(size, "f4", rng)
    sources = [chunk[: p.stop - p.start, : q.stop - q.start] for p, q in parts]
    _copies(ops, [(s, full, p) for s, p in zip(sources, parts, strict=True)], shared=True)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8", "c16", "V12"])
def test_a_transposed_chunk_is_placed_tile_by_tile(ops: Kernels, dtype: str, rng: Any) -> None:
    chunk = _random((60, 3, 45), dtype, rng)
    used = _copies(ops, [(chunk.transpose(2, 1, 0), (45, 3, 60), (slice(None),) * 3)])
    assert used.startswith("transposed" if dtype != "V12" else "boxes")


@pytest.mark.parametrize("dtype", ["u1", "u2", "V3"])
def test_long_rows_at_odd_addresses_are_placed(ops: Kernels, dtype: str, rng: Any) -> None:
    chunk, boxes = _random((5, 7, 211), dtype, rng), []
    for ahead in range(3):
        part = (slice(6 * ahead, 6 * ahead + 5), slice(1, 8), slice(ahead, ahead + 211))
        boxes.append((chunk, (20, 9, 215), part))
    assert _copies(ops, boxes).startswith("rows")


def test_a_box_is_filled_from_one_element(ops: Kernels) -> None:
    value = np.broadcast_to(np.array(1.5, "f4"), (9, 20))
    _copies(ops, [(value, (12, 25), (slice(1, 10), slice(2, 22)))])


@pytest.mark.parametrize("unit", [1, 2, 4, 8, 16])
def test_lists_and_points_are_placed(ops: Kernels, unit: int, rng: Any) -> None:
    dtype = {1: "u1", 2: "u2", 4: "f4", 8: "f8", 16: "c16"}[unit]
    chunk = _random((20, 30, 7), dtype, rng)
    result = np.full(50 * 40 * 8 * unit, POISON, "u1").view(dtype).reshape(50, 40, 8)
    source, target, rows = Memory(chunk), Memory(result), []
    counts = (9, 25, 6)
    for row in range(3):
        picked = [rng.integers(0, n, m) for n, m in zip(chunk.shape, counts, strict=True)]
        part = [rng.permutation(n)[:m] for n, m in zip((16, 40, 8), counts, strict=True)]
        part[0] += 16 * row
        reference.place(result, np.ix_(*part), chunk, np.ix_(*picked))
        strides = zip(picked, chunk.strides, part, result.strides, strict=True)
        rows.append((source.ptr, target.ptr, [(a * s, b * t) for a, s, b, t in strides]))
    nothing = [(np.zeros(0, int),) * 2, (np.arange(3),) * 2, (np.arange(2),) * 2]
    ops.lists([*rows, (source.ptr, target.ptr, nothing)], unit)
    assert target.bytes() == result.tobytes()
    points, to = rng.integers(0, chunk.size, 500), rng.permutation(result.size)[:500]
    ops.points(source, target, (points * unit, to * unit), unit)
    reference.place(result.reshape(-1), to, chunk.reshape(-1), points)
    assert target.bytes() == result.tobytes()
    ops.points(source, target, (points[:0], to[:0]), unit)


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("layout", ["rows", "columns"])
def test_blocks_are_unshuffled_swapped_and_placed_at_once(
    ops: Kernels, dtype: str, layout: str, shift: int, rng: Any
) -> None:
    stored, full = np.dtype(dtype), (40, 3, 75)
    native = stored.newbyteorder("=")
    result = np.full(9000 * stored.itemsize, POISON, "u1").view(native)
    wanted = result.reshape(full if layout == "rows" else full[::-1])
    wanted = wanted if layout == "rows" else wanted.transpose()
    target, base = Memory(result), result.__array_interface__["data"][0]
    blocks, chunks = [], []
    for number, corner in enumerate([(0, 0, 0), (0, 0, 32), (0, 0, 64), (20, 1, 40)]):
        shape = (20, 2, 32) if number < 3 else (15, 1, 33)
        begin = (0, 0, 0) if number < 3 else (2, 0, 5)
        stop = [min(n, f - c) for n, f, c in zip(shape, full, corner, strict=True)]
        source = tuple(slice(b, s) for b, s in zip(begin, stop, strict=True))
        part = tuple(slice(c, c + s - b) for c, b, s in zip(corner, begin, stop, strict=True))
        chunk = _random(shape, dtype, rng).copy()
        raw, size = chunk.tobytes(), (512 if number else 160) * stored.itemsize
        pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
        pieces = [reference.shuffle(piece, stored.itemsize) for piece in pieces]
        reference.unshuffle_place(wanted, part, pieces, chunk, source)
        assert chunk.tobytes() == raw
        view = wanted[part]
        offset = view.__array_interface__["data"][0] - base
        axes = zip(shape, begin, stop, wanted.strides, strict=True)
        chunks.append((target.ptr + offset, list(axes)))
        blocks += [(p, number, i * size // stored.itemsize) for i, p in enumerate(pieces)]
    swap = stored != native
    ops.unshuffle_place(blocks, chunks, stored.itemsize, swap, shift)
    assert target.bytes() == result.tobytes()


def _random(shape: tuple[int, ...], dtype: str, rng: Any) -> np.ndarray:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(rng.bytes(size), dtype).reshape(shape)


def _copies(ops: Kernels, boxes: list[Any], shared: bool = False) -> str:
    """Place sources into a result, gather them back, and compare both; the kernel of the first."""
    full, dtype = boxes[0][1], boxes[0][0].dtype
    size = int(np.prod(full)) * dtype.itemsize
    wanted = np.full(size, POISON, "u1").view(dtype).reshape(full)
    target, sources, places, gathers = Memory(wanted), [], [], []
    for source, _, part in boxes:
        reference.place(wanted, part, source, ...)
        kept = Memory(np.ascontiguousarray(source) if shared else _whole(source))
        strides = np.ascontiguousarray(source).strides if shared else source.strides
        sources.append(kept)
        view = wanted[part]
        offset = view.__array_interface__["data"][0] - wanted.__array_interface__["data"][0]
        ends = (kept.ptr, target.ptr + offset)
        places.append(Copy(*ends, view.shape, strides, view.strides, dtype.itemsize))
        back = Memory(nbytes=source.nbytes)
        compact = np.empty(source.shape, "u1").strides
        compact = tuple(s * dtype.itemsize for s in compact)
        gathers.append(
            (
                Copy(ends[1], back.ptr, view.shape, view.strides, compact, dtype.itemsize),
                back,
                source,
            )
        )
    used = ops.strided(places)
    assert target.bytes() == wanted.tobytes()
    ops.strided([copy for copy, _, _ in gathers])
    for _, back, source in gathers:
        chunk = np.empty(source.shape, dtype)
        reference.gather(chunk, ..., source, ...)
        assert back.bytes() == chunk.tobytes()
    return used


def _whole(source: np.ndarray) -> np.ndarray:
    """The memory behind a transposed, or a repeated, array."""
    if 0 in source.strides and source.size:
        return np.ascontiguousarray(source[(slice(0, 1),) * source.ndim])
    order = np.argsort([-s for s in source.strides], kind="stable")
    return np.ascontiguousarray(source.transpose(order))


# --- checksums ------------------------------------------------------------------------------------


def _fletcher32(data: bytes) -> int:
    return int.from_bytes(bytes(Fletcher32().encode(data))[-4:], "little")


def _xxh64(data: bytes) -> int:
    """Which ends a frame."""
    frame = zstandard.ZstdCompressor(write_checksum=True).compress(data)
    return int.from_bytes(frame[-4:], "little")


CHECKSUMS = {
    "crc32": zlib.crc32,
    "crc32c": google_crc32c.value,
    "adler32": zlib.adler32,
    "fletcher32": _fletcher32,
    "xxh64": _xxh64,
}


def _checksum_data(rng: Any) -> list[bytes]:
    sizes = (1, 2, 3, 15, 16, 17, 31, 127, 128, 129, 1000, 16383, 16384, 16385, 32768, 32769)
    data = [rng.bytes(n) for n in sizes]
    return [*data, rng.bytes(100001), bytes(50000), b"\xff" * 50001, b"\xff\xff"]


@pytest.mark.parametrize("algorithm", CHECKSUMS)
def test_the_oracles_of_checksums_are_the_libraries(algorithm: str, rng: Any) -> None:
    data = _checksum_data(rng)
    oracle = getattr(reference, algorithm)
    assert [oracle(d) for d in data] == [CHECKSUMS[algorithm](d) for d in data]


@pytest.mark.parametrize("shift", [0, 3])
@pytest.mark.parametrize("algorithm", CHECKSUMS)
def test_checksums(ops: Kernels, algorithm: str, shift: int, rng: Any) -> None:
    data = [b"", *_checksum_data(rng), b""]
    oracle = getattr(reference, algorithm)
    assert ops.checksum(algorithm, data, shift) == [oracle(d) for d in data]


@pytest.mark.parametrize("algorithm", CHECKSUMS)
def test_the_checksum_of_one_large_stream(algorithm: str, rng: Any) -> None:
    data = rng.bytes(32768 * 40 + 77)
    assert Kernels("fast").checksum(algorithm, [data]) == [CHECKSUMS[algorithm](data)]


# --- decoders -------------------------------------------------------------------------------------

TEXT = b"".join(b"lat=%d lon=%d temp=%d;" % (i % 90, i % 360, i * i % 41) for i in range(2000))
WALK = np.cumsum(np.random.default_rng(1).normal(size=3000)).astype("f4").tobytes()
PLAIN = [
    b"a", b"abc" * 9, bytes(1000), TEXT[:9000], WALK[::-1][:3000], WALK, b"ab" * 4000,
    bytes(range(256)) * 20, b"abcde" * 3000, TEXT[:13], TEXT[:64],
]  # fmt: skip


def _lz4(data: bytes) -> bytes:
    return bytes(numcodecs.lz4.compress(data))[4:]


def _liblz4(block: bytes, size: int) -> bytes | None:
    try:
        return bytes(numcodecs.lz4.decompress(struct.pack("<I", size) + block))
    except (RuntimeError, ValueError):
        return None


@pytest.mark.parametrize("shift", [(0, 0), (1, 3)])
def test_lz4_decode(ops: Kernels, shift: Any) -> None:
    blocks = [_lz4(d) for d in PLAIN]
    sizes = [len(d) for d in PLAIN]
    assert ops.decode("lz4_decode", blocks, sizes, shift) == [(0, d) for d in PLAIN]
    assert [reference.lz4_decode(b, n) for b, n in zip(blocks, sizes, strict=True)] == [
        (0, d) for d in PLAIN
    ]


def test_lz4_decode_of_nothing(ops: Kernels) -> None:
    blocks = [b"\0", b"\x0f", b"", b"\0\0"]
    found = ops.decode("lz4_decode", blocks, [0] * 4)
    assert [f[0] for f in found] == [reference.lz4_decode(b, 0)[0] for b in blocks]
    assert [f[0] == 0 for f in found] == [True, False, False, False]


def test_lz4_blocks_end_as_liblz4_wants_them(ops: Kernels) -> None:
    """Literals only in the last 5 bytes; no match starts in the last 12."""
    cases = [
        (b"\x4fabcd" + b"\1\0" + b"\0" + b"\x50abcde", 28),
        (b"\x4fabcd" + b"\1\0" + b"\0" + b"\x40abcd", 27),
        (b"\x40abcd" + b"\1\0" + b"\x80abcdefgh", 16),
        (b"\x40abcd" + b"\1\0" + b"\x70abcdefg", 15),
        (b"\x4fabcd" + b"\1\0" + b"\xff" * 40, 40),
        (b"\xf0" + b"\xff" * 40, 40),
    ]
    blocks, sizes = [c[0] for c in cases], [c[1] for c in cases]
    found = ops.decode("lz4_decode", blocks, sizes)
    assert [f[0] for f in found] == [0, 5, 0, 5, 1, 1]
    for (status, output), block, size in zip(found, blocks, sizes, strict=True):
        assert reference.lz4_decode(block, size)[0] == status
        assert (output if status == 0 else None) == _liblz4(block, size)


def _blosc(chunk: bytes, size: int) -> bytes | None:
    """Decode a chunk by the oracles; None if one of them refuses it."""
    status, streams = reference.blosc_table(chunk, size)
    if status:
        return None
    counts, result = reference.blosc_counts(chunk, size)[1], bytearray(size)
    typesize, shuffle, blocksize = counts.filter & 255, counts.filter >> 8 & 255, counts.blocksize
    for s in streams:
        data = chunk[s.offset : s.offset + s.size]
        if s.route != STORED:
            decode = reference.blosclz_decode if s.route == 2 else reference.lz4_decode
            failed, data = decode(data, s.target_size)
            if failed:
                return None
        result[s.target : s.target + s.target_size] = data
    if not shuffle:
        return bytes(result)
    unfilter = reference.unshuffle if shuffle == 1 else reference.bit_unshuffle
    blocks = range(0, size, blocksize)
    return b"".join(unfilter(bytes(result[b : b + blocksize]), typesize) for b in blocks)


def _chunks() -> list[tuple[bytes, int]]:
    return [
        (bytes(numcodecs.blosc.compress(d, name, 9, 0, blocksize, typesize=typesize)), len(d))
        for d in [*PLAIN, b"x" * 200, WALK * 6]
        for name in (b"blosclz", b"lz4")
        for typesize, blocksize in ((1, 0), (4, 0), (4, 512), (8, 2048), (3, 999))
    ]


def _table(chunks: list[bytes], sizes: list[int]) -> list[Any]:
    tables = [reference.blosc_table(c, n) for c, n in zip(chunks, sizes, strict=True)]
    return [(status, [astuple(s) for s in streams]) for status, streams in tables]


def _streams(chunks: list[bytes], sizes: list[int], route: int) -> tuple[list[bytes], list[int]]:
    found = [
        (c[s.offset : s.offset + s.size], s.target_size)
        for c, n in zip(chunks, sizes, strict=True)
        for s in reference.blosc_table(c, n)[1]
        if s.route == route
    ]
    return [f[0] for f in found], [f[1] for f in found]


def _counts(chunks: list[bytes], sizes: list[int]) -> list[Any]:
    found = [reference.blosc_counts(c, n) for c, n in zip(chunks, sizes, strict=True)]
    return [(status, *astuple(counts)) for status, counts in found]


def test_the_counts_of_blosc(ops: Kernels) -> None:
    """Headers with one byte changed; among them are those of nothing, and of a stored chunk."""
    chunks, sizes = [], []
    for data in (WALK[:2048], b"", bytes(range(200))):
        chunk = bytes(numcodecs.blosc.compress(data, b"lz4", 9, 1, 512, typesize=4))
        for at in range(16):
            values = range(256) if at == 2 else range(0, 256, 5)
            chunks += [chunk[:at] + bytes([value]) + chunk[at + 1 :] for value in values]
        sizes += [len(data)] * (len(chunks) - len(sizes))
    found = ops.blosc_counts(chunks, sizes)
    assert found == _counts(chunks, sizes)
    assert {(f[3] >> 8 & 255, f[3] >> 16) for f in found} >= {
        (0, 0), (0, 1), *((shuffle, 2 + codec) for shuffle in range(3) for codec in range(5)),
    }  # fmt: skip


def test_blosc_select_leaves_streams_of_one_route(ops: Kernels) -> None:
    chunks = [c for c, n in _chunks() if 64 < n < 5000]
    sizes = [n for _, n in _chunks() if 64 < n < 5000]
    tables = [reference.blosc_table(c, n)[1] for c, n in zip(chunks, sizes, strict=True)]
    streams = [s for table in tables for s in table]
    rows = [(s.offset, s.size, s.target_size, s.route) for s in streams]
    for wanted, nothing in ((1, (2**47 + 5, 0)), (3, (2**47 + 5, 1)), (9, (7, 8))):
        selected = ops.blosc_select(rows, wanted, nothing)
        assert selected == reference.blosc_select(streams, wanted, nothing)
    assert ops.blosc_select([], 1, (0, 0)) == []


def test_the_stream_table_of_blosc_and_blosclz_decode(ops: Kernels) -> None:
    chunks, sizes = [c for c, _ in _chunks()], [n for _, n in _chunks()]
    assert ops.blosc_table(chunks, sizes) == _table(chunks, sizes)
    streams, parts = _streams(chunks, sizes, 2)
    assert len(streams) > 50
    found = ops.decode("blosclz_decode", streams, parts, (1, 3))
    wanted = [reference.blosclz_decode(s, n) for s, n in zip(streams, parts, strict=True)]
    assert found == wanted
    assert not any(status for status, _ in found)


def test_streams_of_blosclz_that_end_too_early(ops: Kernels) -> None:
    chunks, sizes = [c for c, _ in _chunks()], [n for _, n in _chunks()]
    whole = [p for p in zip(*_streams(chunks, sizes, 2), strict=True) if len(p[0]) < 400]
    cases = [(b"\2abc\x20\2", 6), (b"\2abc\x20", 6), (b"", 3), (b"\x1f", 3)]
    cases += [(s[:cut], n) for s, n in whole[:4] for cut in range(0, len(s), 3)]
    found = ops.decode("blosclz_decode", [c[0] for c in cases], [c[1] for c in cases])
    for (stream, size), (status, output) in zip(cases, found, strict=True):
        expected = reference.blosclz_decode(stream, size)
        assert status == expected[0]
        assert status or output == expected[1]


def test_a_block_of_blosc_may_not_reach_out_of_its_chunk(ops: Kernels) -> None:
    chunk = bytes(numcodecs.blosc.compress(TEXT[:3000], b"lz4", 9, 0, 1024, typesize=1))
    n, first = len(chunk), int.from_bytes(chunk[16:20], "little")
    starts = (0, 15, n - 5, n - 4, n - 3, n, -1, 1 << 30)
    chunks = [chunk[:16] + struct.pack("<i", start) + chunk[20:] for start in starts]
    chunks += [
        chunk[:first] + struct.pack("<i", csize) + chunk[first + 4 :]
        for csize in (-1, 0, n, 1 << 30)
    ]
    for at in range(16):
        chunks += [chunk[:at] + bytes([value]) + chunk[at + 1 :] for value in (0, 1, 127, 255)]
    chunks += [chunk[:cut] for cut in range(30)]
    sizes = [3000] * len(chunks)
    assert ops.blosc_table(chunks, sizes) == _table(chunks, sizes)


@pytest.mark.parametrize("shuffle", range(3))
@pytest.mark.parametrize("cname", [b"blosclz", b"lz4"])
def test_chunks_of_blosc(ops: Kernels, cname: bytes, shuffle: int) -> None:
    """All of it on the device; also those that say both shuffles, of which c-blosc picks one."""
    chunks = []
    for data in PLAIN:
        for typesize, blocksize in ((1, 0), (4, 512), (3, 999)):
            rules = (cname, 9, shuffle, blocksize, typesize)
            chunk = bytes(numcodecs.blosc.compress(data, *rules))
            chunks += [chunk, chunk[:2] + bytes([chunk[2] | 5]) + chunk[3:]]
    plain = [bytes(numcodecs.blosc.decompress(chunk)) for chunk in chunks]
    for chunk, data, (status, failed, output) in zip(
        chunks, plain, ops.blosc_decode(chunks, list(map(len, plain))), strict=True
    ):
        assert (status, any(failed)) == (0, False)
        assert output == data == _blosc(chunk, len(data))


# --- numbers --------------------------------------------------------------------------------------


def _values(dtype: Any, rng: Any, n: int = 100) -> np.ndarray:
    wanted = np.dtype(dtype)
    raw = rng.integers(0, 256, wanted.itemsize * n, dtype="u1")
    if wanted.kind == "b":
        return (raw & 1).view("?")
    if wanted.kind in "iu":
        limits = np.iinfo(wanted)
        edges = np.array([limits.min, limits.max, 0, 1, limits.max - 1], wanted)
        return np.concatenate([edges, raw.view(wanted), rng.integers(0, 100, n).astype(wanted)])
    edges = np.array(
        [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-46, 65504, 65519, 65520, 65536, 70000, 1e-8, 6e-8,
         2049, 2**24 + 1, 3.4028235e38, 1e39, 127.5, -0.5, -0.6, 1e20, -1e20, 0.5, 1.5, 2.5]
    )  # fmt: skip
    some = rng.normal(size=n) * 10.0 ** rng.integers(-3, 5, n)
    return np.concatenate([edges.astype(wanted), some.astype(wanted), raw.view(wanted)])


@pytest.mark.parametrize("target", ["i1", "u2", "u4", "i8"])
@pytest.mark.parametrize("source", INTEGERS)
def test_prefix_sum_of_integers(ops: Kernels, source: str, target: str, rng: Any) -> None:
    values = [
        rng.integers(0, 256, n * int(source[1]), dtype="u1").view(source)
        for n in (0, 1, 31, 33, 1023, 4095, 4096, 4097, 9000)
    ]
    for found, given in zip(ops.prefix_sum(values, target), values, strict=True):
        assert same(found, np.cumsum(given.astype(target), dtype=target))
        if 0 < len(given) < 50:
            assert same(found, reference.prefix_sum(given, target))
            if not (source == "u8" and target[0] == "i"):  # NumPy adds these as doubles
                assert same(found, Delta(target, source).decode(given))


@pytest.mark.parametrize(("source", "target"), [(s, t) for s in FLOATS for t in FLOATS if s <= t])
def test_prefix_sum_of_floats(ops: Kernels, source: str, target: str, rng: Any) -> None:
    values = [(rng.normal(size=n) * 3).astype(source) for n in (0, 1, 31, 33, 500)]
    for found, given in zip(ops.prefix_sum(values, target), values, strict=True):
        assert same(found, reference.prefix_sum(given, target))
        if len(given):
            assert same(found, Delta(target, source).decode(given))


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_cast_as_astype_does(ops: Kernels, source: str, target: str, rng: Any) -> None:
    values = _values(source, rng)
    if values.dtype.kind == "f" and target[0] in "iu":  # others depend on the processor
        limits = np.iinfo(target)
        values = values[np.isfinite(values)]
        wide = values.astype("f8")
        values = values[(wide > limits.min - 0.999) & (wide < float(limits.max) * 0.999)]
    [found] = ops.cast([values], target)
    wanted = reference.cast(values, target)
    number = ~np.isnan(wanted) if target[0] == "f" else np.ones(len(values), bool)
    assert same(found[number], wanted[number])
    assert np.isnan(found[~number].astype("f8")).all()


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("source", KINDS[:11])
def test_cast_value(ops: Kernels, source: str, rounding: str, rng: Any) -> None:
    for target in KINDS[:11]:
        for out_of_range in RANGES:
            if target == source or (out_of_range == "wrap" and target[0] == "f"):
                continue
            values = _values(source, rng, 12)
            rng.shuffle(values)
            finite = values[np.isfinite(values)]
            lots = [finite, values[:3]] if out_of_range else [values[i : i + 1] for i in range(9)]
            found = ops.cast_value(lots, target, rounding, out_of_range)
            for given, status, result in zip(lots, *found, strict=True):
                oracle = reference.cast_value(given, target, rounding, out_of_range)
                try:
                    wanted = cast_array(
                        given,
                        target_dtype=np.dtype(target),
                        rounding_mode=rounding,
                        out_of_range_mode=out_of_range,
                    )
                except ValueError:
                    assert status == oracle[0] == Status.OUT_OF_RANGE
                    continue
                assert status == oracle[0] == Status.OK
                number = ~np.isnan(given.astype("f8"))
                assert same(result[number], wanted[number])
                assert same(oracle[1][number], wanted[number])


def test_cast_value_maps_scalars_first(ops: Kernels) -> None:
    values, entries = np.array([np.nan, 1, -0.0, 3]), {np.nan: -5, 0.0: 7}
    wanted = [-5, 1, 7, 3]
    status, [found] = ops.cast_value([values], "i4", "nearest-even", None, entries)
    assert (status, found.tolist()) == ([0], wanted)
    oracle = reference.cast_value(values, "i4", "nearest-even", None, entries)
    assert (oracle[0], oracle[1].tolist()) == (0, wanted)


@pytest.mark.parametrize("target", ["f2", "f4", "f8", "i2"])
@pytest.mark.parametrize("source", KINDS[:11])
def test_scale_offset(ops: Kernels, source: str, target: str, rng: Any) -> None:
    for scale, offset in ((10, 1000.5), (0.1, -3), (1e-3, 0)):
        values = _values(source, rng)
        if target == "i2":
            result = values / scale + offset
            values = values[np.isfinite(result) & (abs(result) < 32000)]
        wanted = reference.scale_offset(values, scale, offset, target)
        library = FixedScaleOffset(offset, scale, target, source).decode(values)
        [found] = ops.scale_offset([values], scale, offset, target)
        number = ~np.isnan(wanted.astype("f8"))
        assert same(wanted[number], library[number])
        assert same(found[number], wanted[number])
        assert np.isnan(found[~number].astype("f8")).all()


@pytest.mark.parametrize("dtype", INTEGERS)
def test_scale_offset_of_integers_is_exact_or_an_error(ops: Kernels, dtype: str, rng: Any) -> None:
    limits = np.iinfo(dtype)
    for scale, offset in ((1, 0), (3, 5), (7, -100), (-1, 1), (-3, 2)):
        if limits.min == 0 and (scale < 0 or offset < 0):
            continue
        small = rng.integers(0, 12, 50) * scale
        edge = limits.max - limits.max % abs(scale)
        lists: list[Any] = [small, _values(dtype, rng), [63, 21, 0], [limits.min], [edge]]
        values = [np.array(v).astype(dtype) for v in lists]
        statuses, results = ops.scale_offset_exact(values, scale, offset)
        for given, status, result in zip(values, statuses, results, strict=True):
            oracle = reference.scale_offset_exact(given, scale, offset)
            assert status == oracle[0]
            assert status or same(result, oracle[1])
            if dtype == "i8":  # where zarr-python lets overflow wrap
                continue
            factor, term = (np.dtype(dtype).type(n) for n in (scale, offset))
            try:
                wanted = zarr_scale_offset._decode(given, term, factor, scale_repr=scale)
            except ValueError:
                assert status
            else:
                assert status == 0
                assert same(result, wanted)


@pytest.mark.parametrize("shift", [0, 3])
def test_bit_unpack(ops: Kernels, shift: int, rng: Any) -> None:
    bits = [
        rng.integers(0, 2, n).astype(bool)
        for n in (0, 1, 7, 8, 9, 16, 17, 1000, 16384, 16385, 40000)
    ]
    counts, wanted = [len(b) for b in bits], [(0, b.tobytes()) for b in bits]
    encoded = [bytes(PackBits().encode(b)) for b in bits]
    plain = [np.packbits(b, bitorder="little").tobytes() for b in bits]
    assert ops.bit_unpack(encoded, counts, 1, True, shift) == wanted
    assert ops.bit_unpack(plain, counts, 0, False, shift) == wanted
    behind = [p + bytes([-n % 8]) for p, n in zip(plain, counts, strict=True)]
    assert ops.bit_unpack(behind, counts, 2, False, shift) == wanted
    for e, p, b in zip(encoded, plain, bits, strict=True):
        assert reference.bit_unpack(e, 8, len(b), True) == b.tobytes()
        assert reference.bit_unpack(p, 0, len(b), False) == b.tobytes()


def test_packed_bits_of_another_size_are_refused(ops: Kernels) -> None:
    found = ops.bit_unpack([b"", b"\1", b"\1\1", b"\0\1\1"], [0, 0, 8, 8], 1, True)
    assert [status for status, _ in found] == [Status.BAD_SIZE] * 4


def _frames() -> list[tuple[bytes, int]]:
    """Frames of many kinds and what comes near to them, with the size that is expected."""
    data = [b"a", b"ab" * 3000, bytes(70000), np.random.default_rng(2).bytes(300000)]
    frames = []
    for d in data:
        for checksum in (False, True):
            for sized in (False, True):
                made = zstandard.ZstdCompressor(write_checksum=checksum, write_content_size=sized)
                frames.append((made.compress(d), len(d)))
    skippable = b"\x50\x2a\x4d\x18\x02\x00\x00\x00hi"
    plain, size = frames[6]
    frames += [(plain + plain, 2 * size), (plain, size + 1), (b"", 0), (plain[:8], size)]
    return [*frames, (skippable + plain, size), (plain + skippable, size), (plain + b"x", size)]


def _is_plain(stream: bytes, size: int) -> int:
    """What the library says of a stream: 2 with a checksum."""
    try:
        told = zstandard.get_frame_parameters(stream)
        decoder = zstandard.ZstdDecompressor().decompressobj()
        decoded = decoder.decompress(stream)
    except zstandard.ZstdError:
        return 0
    ends = decoder.eof and not decoder.unused_data
    return (1 + told.has_checksum) * (ends and told.content_size == len(decoded) == size)


@pytest.mark.parametrize("shift", [0, 3])
def test_zstd_frames(ops: Kernels, shift: int) -> None:
    streams, sizes = [f for f, _ in _frames()], [n for _, n in _frames()]
    expected = [reference.zstd_frame(*f) for f in _frames()]
    assert expected == [_is_plain(*f) for f in _frames()]
    assert ops.zstd_frames(streams, sizes, shift) == expected
    assert [expected.count(n) for n in (1, 2)] == [4, 4]
    assert ops.zstd_frames([], []) == []


def test_cut_and_changed_zstd_frames(ops: Kernels) -> None:
    """As the host checks them."""
    rng, streams, sizes = np.random.default_rng(8), [], []
    of_one_byte = b"\x28\xb5\x2f\xfd\xa0" + (1 << 18).to_bytes(4, "little")
    for nbytes in (1 << 17, (1 << 17) + 1):  # the first of two blocks, of two bytes in all
        blocks = [nbytes << 3 | 2, ((1 << 18) - nbytes) << 3 | 3]
        streams.append(of_one_byte + b"".join(b.to_bytes(3, "little") + b"x" for b in blocks))
        sizes.append(1 << 18)
    for frame, size in _frames():
        for _ in range(40):
            changed = bytearray(
                frame[: rng.integers(len(frame) + 1)] if rng.random() < 0.5 else frame
            )
            for _ in range(rng.integers(3)):
                if changed:
                    changed[rng.integers(min(len(changed), 24))] = rng.integers(256)
            streams.append(bytes(changed))
            sizes.append(size)
    found = ops.zstd_frames(streams, sizes)
    assert found == [reference.zstd_frame(*f) for f in zip(streams, sizes, strict=True)]
    arena = np.frombuffer(b"".join(streams) + b"\0", np.uint8)
    lengths = np.array([len(s) for s in streams], np.int64)
    ends = arena, np.cumsum(lengths) - lengths, lengths, np.array(sizes, np.int64)
    on_host = plain_frames(*ends)
    checksum = [len(s) > 4 and s[4] >> 2 & 1 for s in streams]
    assert found == [p * (1 + c) for p, c in zip(on_host.tolist(), checksum, strict=True)]
    assert found.count(1) > 20
    assert 20 < found.count(2) < len(found) // 2
