"""The kernels as functions on byte strings, through the emulator: for the contract suite.

Each stream gets memory of its own that ends where the stream does, starts `shift` bytes behind
an aligned address, and holds poison where it is a target; so a kernel that strays is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import gcd, prod
from typing import Any

import numpy as np

from gpuzarr.device import kernel_boxes
from gpuzarr.device.emulated_array import asarray, empty
from gpuzarr.device.emulator import RawModule
from gpuzarr.device.kernels import source
from gpuzarr.device.reference.numbers import KINDS, RANGES, ROUNDINGS

POISON = 0xA5
TILE, THREADS = 16384, 256
MASK = (1 << 64) - 1


@dataclass
class Copy:
    """``target[i, j, …] = source[i, j, …]`` for elements of `itemsize` bytes."""

    source: int
    target: int
    shape: Sequence[int]
    source_strides: Sequence[int]
    target_strides: Sequence[int]
    itemsize: int


class Memory:
    """Device memory of exactly these bytes behind `shift` others."""

    def __init__(self, data: Any = None, nbytes: int = 0, shift: int = 0) -> None:
        self.shift = shift
        if data is None:
            self.nbytes = nbytes
            self._array = empty(shift + nbytes)
            self._array._view[...] = POISON  # as undefined to the checker as before
            return
        raw = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
        raw = np.ascontiguousarray(raw).reshape(-1).view(np.uint8)
        self.nbytes = len(raw)
        self._array = asarray(np.concatenate([np.full(shift, POISON, np.uint8), raw]))

    @property
    def ptr(self) -> int:
        return int(self._array.data.ptr) + self.shift

    def array(self, dtype: Any = np.uint8) -> np.ndarray:
        return self._array.get()[self.shift :].copy().view(dtype)

    def bytes(self) -> bytes:
        return self.array().tobytes()


def tiles(counts: Sequence[int]) -> np.ndarray:
    """First tile of each stream, and the number of all."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)


def up(size: int, tile: int) -> int:
    return -(-size // tile)


class Kernels:
    """The ops in one mode of the emulator."""

    def __init__(self, mode: str, blocks: int = 3, seed: int = 0) -> None:
        self.mode, self.blocks = mode, blocks
        self.module = cache(lambda op: RawModule(source(op), mode=mode, seed=seed))

    def launch(
        self, file: str, kernel: str, args: Sequence[Any], threads: int = THREADS, blocks: int = 0
    ) -> None:
        keep = [Memory(a) if isinstance(a, np.ndarray) else a for a in args]
        values = [np.uint64(a.ptr) if isinstance(a, Memory) else a for a in keep]
        function = self.module(file).get_function(kernel)
        function((blocks or self.blocks,), (threads,), tuple(values))

    def streams(
        self,
        file: str,
        kernel: str,
        data: Sequence[bytes],
        tile: int,
        extra: Sequence[Any] = (),
        threads: int = THREADS,
        shift: tuple[int, int] = (0, 0),
    ) -> list[bytes]:
        """A kernel of streams whose targets have the sizes of their sources."""
        sources = [Memory(d, shift=shift[0]) for d in data]
        targets = [Memory(nbytes=len(d), shift=shift[1]) for d in data]
        self.launch(
            file,
            kernel,
            [
                addresses(sources),
                addresses(targets),
                np.array([len(d) for d in data], np.uint64),
                tiles([up(len(d), tile) for d in data]),
                np.uint32(len(data)),
                *extra,
            ],
            threads,
        )
        return [t.bytes() for t in targets]

    def copy(
        self, data: Sequence[bytes], shift: tuple[int, int] = (0, 0), tile: int = TILE
    ) -> list[bytes]:
        """Smaller tiles are more of them than the kernel needs."""
        return self.streams("copy", "copy", data, tile, shift=shift)

    def _planes(self, op: str, data: Sequence[bytes], typesize: int, shift: Any) -> list[bytes]:
        kernel, tile, extra, threads = planes(op, typesize)
        return self.streams(op, kernel, data, tile, extra, threads, shift)

    def unshuffle(self, data: Sequence[bytes], typesize: int, shift: Any = (0, 0)) -> list[bytes]:
        return self._planes("unshuffle", data, typesize, shift)

    def shuffle(self, data: Sequence[bytes], typesize: int, shift: Any = (0, 0)) -> list[bytes]:
        return self._planes("shuffle", data, typesize, shift)

    def bit_unshuffle(self, data: Sequence[bytes], typesize: int, shift: Any = (0, 0)) -> Any:
        return self._planes("bit_unshuffle", data, typesize, shift)

    def bit_shuffle(self, data: Sequence[bytes], typesize: int, shift: Any = (0, 0)) -> Any:
        return self._planes("bit_shuffle", data, typesize, shift)

    def byte_swap(self, data: Sequence[bytes], width: int, shift: Any = (0, 0)) -> list[bytes]:
        return self.streams("byte_swap", f"byte_swap_{width}", data, TILE, shift=shift)

    def permute(self, data: Sequence[bytes], order: list[int], shift: Any = (0, 0)) -> Any:
        n = len(order)
        extra = [np.array(order, np.uint16), np.uint32(n)]
        tile = n * max(1, TILE // n)
        return self.streams("byte_swap", "byte_swap_struct", data, tile, extra, shift=shift)

    def fill(self, sizes: Sequence[int], value: bytes, shift: int = 0) -> list[bytes]:
        targets = [Memory(nbytes=n, shift=shift) for n in sizes]
        pattern = value * (16 // gcd(16, len(value)))
        args = [
            addresses(targets),
            np.array(sizes, np.uint64),
            tiles([up(n, TILE) for n in sizes]),
            np.uint32(len(sizes)),
            np.frombuffer(pattern, np.uint8),
            np.uint32(len(pattern)),
        ]
        self.launch("fill", "fill", args)
        return [t.bytes() for t in targets]

    def equals_fill(
        self, data: Sequence[bytes], value: np.ndarray, kind: str, shift: int = 0
    ) -> list[bool]:
        sources = [Memory(d, shift=shift) for d in data]
        pattern = value.tobytes() * (16 // gcd(16, value.itemsize))
        parts = 2 if value.dtype.kind == "c" else 1
        width = {2: 0, 4: 1, 8: 2}.get(value.itemsize // parts, 0)
        number = {"bits": 0, "nan": 1 + width, "number": 4 + width}[kind]
        equal = Memory(np.ones(len(data), np.uint32))
        args = [
            addresses(sources),
            np.array([len(d) for d in data], np.uint64),
            tiles([up(len(d), TILE) for d in data]),
            np.uint32(len(data)),
            np.frombuffer(pattern, np.uint8),
            np.uint32(len(pattern)),
            np.uint32(number),
            np.uint32(parts),
            equal,
        ]
        self.launch("equals_fill", "equals_fill", args)
        return [bool(e) for e in equal.array(np.uint32)]

    def strided(self, copies: Sequence[Copy]) -> str:
        """Boxes by whichever kernels fit, those with the same strides at once; the first one."""
        groups: dict[Any, list[Copy]] = {}
        for copy in copies:
            strides = tuple(copy.source_strides), tuple(copy.target_strides)
            groups.setdefault((strides, copy.itemsize), []).append(copy)
        used = []
        for (strides, itemsize), group in groups.items():
            ends = np.array([(c.source, c.target) for c in group]).T
            counts = np.array([c.shape for c in group], np.int64)
            for launch in kernel_boxes.strided(*ends, counts, *strides, itemsize):
                args = [tiles(launch.tiles) if a is None else a for a in launch.arguments]
                self.launch("place", launch.kernel, args)
                used.append(launch.kernel.removeprefix("place_"))
        return used[0]

    def unshuffle_place(
        self,
        blocks: Sequence[tuple[bytes, int, int]],
        chunks: Sequence[tuple[int, Sequence[tuple[int, int, int, int]]]],
        typesize: int,
        swap: bool,
        shift: int = 0,
    ) -> None:
        """Blocks with their chunk and first element; chunks with count, start, stop, stride."""
        sources = [Memory(data, shift=shift) for data, _, _ in blocks]
        sizes = [len(data) for data, _, _ in blocks]
        words = []
        for target, axes in chunks:
            row = [target]
            for count, start, stop, stride in axes:
                row += axis_words(count, 0, stride)
                row[-2] = start | stop << 32
            words.append(row)
        args = [
            addresses(sources),
            np.array(sizes, np.uint64),
            np.array([c for _, c, _ in blocks], np.uint32),
            np.array([f for _, _, f in blocks], np.uint32),
            tiles([up(n, TILE) for n in sizes]),
            np.uint32(len(blocks)),
            np.array(words, np.uint64),
            np.uint32(len(chunks[0][1])),
            np.uint32(swap),
        ]
        self.launch("unshuffle_place", f"unshuffle_place_{typesize}", args)

    def lists(
        self,
        rows: Sequence[tuple[int, int, Sequence[tuple[np.ndarray, np.ndarray]]]],
        unit: int,
    ) -> None:
        """Outer products: of each row addresses, and per axis the byte offsets of both."""
        words, counts, source, target, at = [], [], [], [], 0
        for begin, end, axes in rows:
            elements = prod(len(s) for s, _ in axes)
            row = [begin, end, elements]
            for s, t in axes:
                row += axis_words(max(1, len(s)), at, 0)
                at += len(s)
                source.append(s)
                target.append(t)
            words.append(row)
            counts.append(up(elements, 1024))
        offsets = [np.concatenate([np.zeros(0), *o]).astype(np.int64) for o in (source, target)]
        args = [np.array(words, np.uint64), tiles(counts), np.uint32(len(rows))]
        self.launch("place", f"place_lists_{unit}", [*args, np.uint32(len(rows[0][2])), *offsets])

    def points(
        self, source: Memory, target: Memory, offsets: Any, unit: int, units: int = 1
    ) -> None:
        args = [np.uint64(source.ptr), np.uint64(target.ptr)]
        args += [np.ascontiguousarray(o, np.int64) for o in offsets]
        count = np.uint64(len(offsets[0]))
        self.launch("place", f"place_points_{unit}", [*args, count, np.uint32(units)])

    def checksum(self, algorithm: str, data: Sequence[bytes], shift: int = 0) -> list[int]:
        sources = [Memory(d, shift=shift) for d in data]
        if algorithm == "xxh64":
            found, sizes = Memory(nbytes=4 * len(data)), np.array([len(d) for d in data], np.uint64)
            args = [addresses(sources), sizes, np.uint32(len(data)), found]
            self.launch("xxh64", "xxh64", args, threads=64)
            return found.array(np.uint32).tolist()
        crc = algorithm.startswith("crc")
        first = tiles([up(len(d), 32768 if crc else TILE) for d in data])
        sizes, count = np.array([len(d) for d in data], np.uint64), np.uint32(len(data))
        partial = Memory(nbytes=int(first[-1]) * (4 if crc else 16))
        checksums = Memory(nbytes=4 * len(data))
        args = [addresses(sources), sizes, first, count, partial]
        self.launch(algorithm, f"{algorithm}_tiles", args)
        args = [sizes, first, count, partial, checksums]
        self.launch(algorithm, f"{algorithm}_streams", args, threads=64)
        return checksums.array(np.uint32).tolist()

    def decode(
        self, op: str, data: Sequence[bytes], sizes: Sequence[int], shift: Any = (0, 0)
    ) -> list[tuple[int, bytes]]:
        """Status and content of each stream, by ``lz4_decode`` or ``blosclz_decode``."""
        sources = [Memory(d, shift=shift[0]) for d in data]
        targets = [Memory(nbytes=n, shift=shift[1]) for n in sizes]
        status = Memory(nbytes=4 * len(data))
        args = [
            addresses(sources),
            np.array([len(d) for d in data], np.uint64),
            addresses(targets),
            np.array(sizes, np.uint64),
            np.full(len(data), 3, np.uint32),
            np.uint32(3),
            np.uint32(len(data)),
            status,
        ]
        self.launch(op, op, args, threads=64)
        verdicts = status.array(np.uint32).tolist()
        return [(v, t.bytes()) for v, t in zip(verdicts, targets, strict=True)]

    def _blosc_counts(self, sources: Sequence[Memory], expected: Sequence[int]) -> list[Memory]:
        sizes = np.array([s.nbytes for s in sources], np.uint64)
        outputs = [Memory(nbytes=4 * len(sources)) for _ in range(5)]
        wanted, count = np.array(expected, np.uint64), np.uint32(len(sources))
        self.launch(
            "blosc_table", "blosc_counts", [addresses(sources), sizes, wanted, count, *outputs]
        )
        return outputs

    def blosc_counts(
        self, chunks: Sequence[bytes], expected: Sequence[int]
    ) -> list[tuple[int, ...]]:
        """Status of each chunk, blocks, streams, filter, and blocksize."""
        outputs = self._blosc_counts([Memory(c, shift=3) for c in chunks], expected)
        *columns, status = [m.array(np.uint32).tolist() for m in outputs]
        return list(zip(status, *columns, strict=True))

    def _blosc_table(
        self, sources: Sequence[Memory], expected: Sequence[int], targets: np.ndarray
    ) -> tuple[list[Memory], np.ndarray, list[Memory]]:
        """Counts of chunks, their first streams, and the columns of the table."""
        outputs = self._blosc_counts(sources, expected)
        blocks, streams, _, _, status = outputs
        first_block = tiles(blocks.array(np.uint32).tolist())
        first_stream = tiles(streams.array(np.uint32).tolist())
        table = [Memory(nbytes=size * int(first_stream[-1])) for size in (8, 8, 8, 8, 4)]
        args = [addresses(sources), np.array([s.nbytes for s in sources], np.uint64)]
        args += [np.array(expected, np.uint64), targets, first_block, first_stream]
        args += [np.uint32(len(sources)), *table, status]
        self.launch("blosc_table", "blosc_table", args)
        return outputs, first_stream, table

    def zstd_frames(self, data: Sequence[bytes], expected: Sequence[int], shift: int = 0) -> Any:
        """Which streams are plain: 1, or 2 with a checksum."""
        sources, plain = [Memory(d, shift=shift) for d in data], Memory(nbytes=4 * len(data))
        sizes = [np.array(n, np.uint64) for n in ([len(d) for d in data], expected)]
        args = [addresses(sources), *sizes, np.uint32(len(data)), plain]
        self.launch("zstd_frames", "zstd_frames", args)
        return plain.array(np.uint32).tolist()

    def blosc_table(
        self, chunks: Sequence[bytes], expected: Sequence[int]
    ) -> list[tuple[int, list[tuple[int, int, int, int, int]]]]:
        """Status of each chunk, and its streams, those of bad blocks left out."""
        sources = [Memory(c, shift=3) for c in chunks]
        targets = np.arange(len(chunks), dtype=np.uint64) << np.uint64(40)
        counts, first_stream, table = self._blosc_table(sources, expected, targets)
        columns = [m.array(np.int64) for m in table[:4]]
        routes, result = table[4].array(np.uint32).tolist(), []
        for c, verdict in enumerate(counts[4].array(np.uint32).tolist()):
            rows = []
            for s in range(first_stream[c], first_stream[c + 1]):
                if routes[s]:
                    where = [int(column[s]) for column in columns]
                    where[0] -= sources[c].ptr
                    where[2] -= int(targets[c])
                    rows.append((*where, routes[s]))
            result.append((verdict, rows))
        return result

    def blosc_decode(
        self, chunks: Sequence[bytes], expected: Sequence[int]
    ) -> list[tuple[int, list[int], bytes]]:
        """Status of each chunk and of its streams of blosclz and LZ4, and what it decodes to."""
        sources = [Memory(c, shift=i % 4) for i, c in enumerate(chunks)]
        targets = [Memory(nbytes=n, shift=i % 3) for i, n in enumerate(expected)]
        counts, first, table = self._blosc_table(sources, expected, addresses(targets))
        source, size, target, target_size, route = table
        streams, statuses = np.uint32(first[-1]), Memory(np.zeros(first[-1], np.uint32))
        for op, wanted in (("blosclz_decode", 2), ("lz4_decode", 3)):
            args = [*table, np.uint32(wanted), streams, statuses]
            self.launch(op, op, args, threads=64)
        nothing = [np.uint64(source.ptr), np.uint64(0)]
        selected = [Memory(nbytes=8 * int(streams)) for _ in range(3)]
        args = [source, size, target_size, route, np.uint32(1), streams, *nothing, *selected]
        self.launch("blosc_table", "blosc_select", args)
        *_, filters, blocksize, verdicts = (m.array(np.uint32).tolist() for m in counts)
        each = np.repeat(blocksize, np.diff(first.astype(np.int64)))  # all that the host knows
        first_tile = tiles([up(int(n), TILE) for n in each])
        args = [selected[0], target, selected[1], first_tile, streams]
        self.launch("copy", "copy", args)
        found = statuses.array(np.uint32).tolist()
        failed = [found[first[c] : first[c + 1]] for c in range(len(chunks))]
        good = [not v and not any(f) for v, f in zip(verdicts, failed, strict=True)]
        # other codecs have no kernel
        groups: dict[int, list[int]] = {}
        for c, word in enumerate(filters):
            if good[c] and word >> 8 & 255 and word >> 16 <= 3:
                groups.setdefault(word & 0xFFFF, []).append(c)
        results = list(targets)
        for word, members in groups.items():
            begin, end, sizes = [], [], []
            for c in members:
                results[c] = Memory(nbytes=expected[c], shift=c % 4)
                for at in range(0, expected[c], blocksize[c]):
                    begin.append(targets[c].ptr + at)
                    end.append(results[c].ptr + at)
                    sizes.append(min(blocksize[c], expected[c] - at))
            op = "unshuffle" if word >> 8 == 1 else "bit_unshuffle"
            kernel, tile, extra, threads = planes(op, word & 255)
            args = [np.array(n, np.uint64) for n in (begin, end, sizes)]
            args += [tiles([up(n, tile) for n in sizes]), np.uint32(len(sizes)), *extra]
            self.launch(op, kernel, args, threads)
        return [(v, f, r.bytes()) for v, f, r in zip(verdicts, failed, results, strict=True)]

    def blosc_select(
        self, streams: Sequence[tuple[int, int, int, int]], wanted: int, nothing: tuple[int, int]
    ) -> list[tuple[int, int, int]]:
        """Source, its size and capacity of each stream for a library's decoder of batches."""
        rows = np.array(streams, np.uint64).reshape(-1, 4)
        columns, outputs = rows.T.copy(), [Memory(nbytes=8 * len(rows)) for _ in range(3)]
        given = [*columns[:3], columns[3].astype(np.uint32)]
        select = [np.uint32(wanted), np.uint32(len(rows)), *map(np.uint64, nothing)]
        self.launch("blosc_table", "blosc_select", [*given, *select, *outputs])
        return list(zip(*(m.array(np.uint64).tolist() for m in outputs), strict=True))

    def numbers(
        self,
        kernel: tuple[str, str],
        values: Sequence[np.ndarray],
        dtype: Any,
        extra: Sequence[Any],
        with_status: bool = False,
    ) -> tuple[list[int], list[np.ndarray]]:
        """A kernel of streams of numbers; status of each, and the results."""
        sources = [Memory(v) for v in values]
        targets = [Memory(nbytes=len(v) * np.dtype(dtype).itemsize) for v in values]
        status = Memory(np.zeros(len(values), np.uint32))
        args = [
            addresses(sources),
            addresses(targets),
            np.array([len(v) for v in values], np.uint64),
            tiles([up(len(v), 4096) for v in values]),
            np.uint32(len(values)),
            *extra,
        ]
        self.launch(*kernel, [*args, status] if with_status else args)
        return status.array(np.uint32).tolist(), [t.array(dtype) for t in targets]

    def prefix_sum(self, values: Sequence[np.ndarray], dtype: Any) -> list[np.ndarray]:
        kind = np.uint32(KINDS.index(values[0].dtype.str[1:]))
        sources = [Memory(v) for v in values]
        size = np.array([len(v) for v in values], np.uint64)
        count = np.uint32(len(values))
        if values[0].dtype.kind == "f":
            targets = [Memory(nbytes=len(v) * np.dtype(dtype).itemsize) for v in values]
            to = np.uint32(KINDS.index(np.dtype(dtype).str[1:]))
            args = [addresses(sources), addresses(targets), size, count, kind, to]
            self.launch("prefix_sum", "prefix_sum_float", args, threads=64)
            return [t.array(dtype) for t in targets]
        first = tiles([up(len(v), 4096) for v in values])
        sums, carries = (Memory(nbytes=8 * int(first[-1])) for _ in range(2))
        args = [addresses(sources), size, first, count, kind, sums]
        self.launch("prefix_sum", "prefix_sum_tiles", args)
        args = [first, count, sums, carries]
        self.launch("prefix_sum", "prefix_sum_carries", args, threads=64)
        extra = [kind, np.uint32(np.dtype(dtype).itemsize), carries]
        return self.numbers(("prefix_sum", "prefix_sum"), values, dtype, extra)[1]

    def difference(
        self, values: Sequence[np.ndarray], dtype: Any, first_fits: bool = False
    ) -> tuple[list[int], list[np.ndarray]]:
        kinds = [np.uint32(KINDS.index(np.dtype(d).str[1:])) for d in (values[0].dtype, dtype)]
        extra = [*kinds, np.uint32(first_fits)]
        return self.numbers(("difference", "difference"), values, dtype, extra, True)

    def differences(
        self, data: Sequence[bytes], width: int, shift: tuple[int, int] = (0, 0)
    ) -> list[bytes]:
        """Of integers of this width."""
        return self.streams("difference", f"difference_{width}", data, TILE, shift=shift)

    def offset_scale(
        self, values: Sequence[np.ndarray], scale: Any, offset: Any, dtype: Any, rounds: bool
    ) -> list[np.ndarray]:
        kinds = [np.uint32(KINDS.index(np.dtype(d).str[1:])) for d in (values[0].dtype, dtype)]
        whole = 0
        if values[0].dtype.kind in "iu" and isinstance(offset, int):
            whole = 2 if isinstance(scale, int) else 1
        integers = [np.int64(scale if whole == 2 else 0), np.int64(offset if whole else 0)]
        extra = [*kinds, np.float64(scale), np.float64(offset), *integers]
        extra += [np.uint32(whole), np.uint32(rounds)]
        return self.numbers(("offset_scale", "offset_scale"), values, dtype, extra)[1]

    def offset_scale_exact(
        self, values: Sequence[np.ndarray], scale: int, offset: int
    ) -> tuple[list[int], list[np.ndarray]]:
        return self._exact(("offset_scale", "offset_scale_exact"), values, scale, offset)

    def scale_offset(
        self, values: Sequence[np.ndarray], scale: float, offset: float, dtype: Any
    ) -> list[np.ndarray]:
        kinds = [np.uint32(KINDS.index(np.dtype(d).str[1:])) for d in (values[0].dtype, dtype)]
        extra = [*kinds, np.float64(scale), np.float64(offset)]
        return self.numbers(("scale_offset", "scale_offset"), values, dtype, extra)[1]

    def scale_offset_exact(
        self, values: Sequence[np.ndarray], scale: int, offset: int
    ) -> tuple[list[int], list[np.ndarray]]:
        return self._exact(("scale_offset", "scale_offset_exact"), values, scale, offset)

    def _exact(
        self, kernel: tuple[str, str], values: Sequence[np.ndarray], scale: int, offset: int
    ) -> tuple[list[int], list[np.ndarray]]:
        dtype = values[0].dtype
        wide = np.uint64 if dtype == np.uint64 else np.int64
        both = [wide(n).astype(np.int64) for n in (scale, offset)]
        extra = [np.uint32(KINDS.index(dtype.str[1:])), *both]
        return self.numbers(kernel, values, dtype, extra, True)

    def cast_value(
        self,
        values: Sequence[np.ndarray],
        dtype: Any,
        rounding: str,
        out_of_range: str | None,
        scalar_map: Any = None,
    ) -> tuple[list[int], list[np.ndarray]]:
        source, target = values[0].dtype, np.dtype(dtype)
        kinds = [np.uint32(KINDS.index(d.str[1:])) for d in (source, target)]
        rules = [
            np.uint32(ROUNDINGS.index(rounding)),
            np.uint32([*RANGES, "as_x86"].index(out_of_range)),
        ]
        entries = [
            np.array(list(side), d).view(f"u{d.itemsize}").astype(np.uint64)
            for side, d in (
                ((scalar_map or {}).keys(), source),
                ((scalar_map or {}).values(), target),
            )
        ]
        extra = [*kinds, *rules, *entries, np.uint32(len(scalar_map or {}))]
        return self.numbers(("cast", "cast"), values, dtype, extra, True)

    def cast(self, values: Sequence[np.ndarray], dtype: Any) -> list[np.ndarray]:
        rounding = "nearest-even" if np.dtype(dtype).kind == "f" else "towards-zero"
        as_x86 = values[0].dtype.kind == "f" and np.dtype(dtype).kind in "iu"
        return self.cast_value(values, dtype, rounding, "as_x86" if as_x86 else "wrap")[1]

    def bit_unpack(
        self, data: Sequence[bytes], counts: Sequence[int], padding: int, msb: bool, shift: int = 0
    ) -> list[tuple[int, bytes]]:
        sources = [Memory(d, shift=shift) for d in data]
        targets = [Memory(nbytes=n, shift=shift) for n in counts]
        status = Memory(nbytes=4 * len(data))
        args = [
            addresses(sources),
            np.array([len(d) for d in data], np.uint64),
            addresses(targets),
            np.array(counts, np.uint64),
            tiles([max(1, up(n, TILE)) for n in counts]),
            np.uint32(len(data)),
            np.uint32(padding),
            np.uint32(msb),
            status,
        ]
        self.launch("bit_unpack", "bit_unpack", args)
        verdicts = status.array(np.uint32).tolist()
        return [(v, t.bytes()) for v, t in zip(verdicts, targets, strict=True)]

    def bit_pack(
        self, data: Sequence[bytes], padding: int, msb: bool, shift: int = 0
    ) -> list[bytes]:
        sources = [Memory(d, shift=shift) for d in data]
        targets = [Memory(nbytes=up(len(d), 8) + (padding > 0), shift=shift) for d in data]
        args = [addresses(sources), addresses(targets)]
        args += [np.array([len(d) for d in data], np.uint64)]
        args += [tiles([max(1, up(len(d), TILE)) for d in data]), np.uint32(len(data))]
        self.launch("bit_pack", "bit_pack", [*args, np.uint32(padding), np.uint32(msb)])
        return [t.bytes() for t in targets]


def axis_words(count: int, source: int, target: int) -> list[int]:
    """Of one axis, as place.cu reads it."""
    words = [*kernel_boxes.divisors(np.array([count])), [source], [target]]
    return [int(word) & MASK for [word] in words]


def planes(op: str, typesize: int) -> tuple[str, int, list[Any], int]:
    """Kernel of a typesize, bytes of its tiles, arguments behind the others, and threads."""
    special = typesize in (1, 2, 4, 8, 16)
    kernel, extra = (f"{op}_{typesize}", []) if special else (f"{op}_any", [np.uint32(typesize)])
    if op.startswith("bit"):
        return kernel, 16384 * typesize, extra, 128
    tile = TILE if special else typesize * max(16, (TILE // typesize) & ~15)
    return kernel, tile, extra, THREADS


def addresses(memories: Sequence[Memory]) -> np.ndarray:
    return np.array([m.ptr for m in memories], np.uint64)
