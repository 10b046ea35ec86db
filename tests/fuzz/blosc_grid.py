"""Chunks of Blosc in all sorts, decoded by every device, equal to what c-blosc makes of them.

``python -m fuzz.blosc_grid`` in the folder ``tests`` tries the whole grid: codecs, shuffles,
typesizes, levels, blocksizes, sizes around every boundary, and kinds of data.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import batched, product
from pathlib import Path
from typing import NamedTuple

import numcodecs.blosc
import numpy as np
from harness import v2_array

import gpuzarr
from gpuzarr import device as devices
from gpuzarr.batch import Batch

CODECS = ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
SHUFFLES = (0, 1, 2)
TYPESIZES = (1, 2, 3, 4, 8, 16)
LEVELS = (1, 5, 9)
BLOCKSIZES = (0, 256, 2080)
KINDS = ("smooth", "random", "zeros", "text")
AUTOMATIC = 32 << 10
"""Bytes of a first-level cache, by which c-blosc chooses the size of blocks."""

BATCH = 400
"""Chunks that are decoded together."""

THROUGH_ARRAYS = 97
"""Every so many-th chunk is also read as that of an array."""


class Case(NamedTuple):
    """How a chunk is made."""

    codec: str
    shuffle: int
    typesize: int
    level: int
    blocksize: int
    size: int
    kind: str


def sizes_around(typesize: int, blocksize: int) -> list[int]:
    """Of chunks: around one element, eight, a header, the smallest that is compressed, blocks."""
    sizes = {1, 15, 16, 17, 127, 128, 129, 1000 + typesize}
    sizes |= {n * typesize + k for n in (1, 8, 64) for k in (-1, 0, 1)}
    if blocksize:
        sizes |= {n * blocksize + k for n in (1, 2) for k in (-1, 0, 1)}
        sizes |= {2 * blocksize + typesize, 3 * blocksize + 8 * typesize + 3}
    return sorted(sizes - {0})


def grid() -> Iterator[Case]:
    """All cases, in the same order each time."""
    for codec, shuffle, typesize, level in product(CODECS, SHUFFLES, TYPESIZES, LEVELS):
        for blocksize in BLOCKSIZES:
            for size, kind in product(sizes_around(typesize, blocksize), KINDS):
                yield Case(codec, shuffle, typesize, level, blocksize, size, kind)
        for size in (AUTOMATIC - 1, AUTOMATIC, AUTOMATIC + typesize, 2 * AUTOMATIC + 1):
            yield Case(codec, shuffle, typesize, level, 0, size, "smooth")
    for codec, shuffle, typesize in product(CODECS, SHUFFLES, TYPESIZES):
        for size in sizes_around(typesize, 256):
            yield Case(codec, shuffle, typesize, 0, 256, size, "text")


@cache
def _data(kind: str) -> bytes:
    count, rng = 3 * AUTOMATIC, np.random.default_rng(1)
    if kind == "smooth":
        return np.cumsum(rng.normal(size=count // 4)).astype("<f4").tobytes()
    if kind == "random":
        return rng.bytes(count)
    if kind == "zeros":
        return bytes(count)
    return b"".join(b"lat=%d lon=%d;" % (i % 90, i * i % 359) for i in range(count))[:count]


def chunk_of(case: Case) -> tuple[bytes, bytes]:
    """The chunk, and the bytes in it, as c-blosc decodes them, too."""
    data = _data(case.kind)[: case.size]
    chunk = bytes(
        numcodecs.blosc.compress(
            data, case.codec.encode(), case.level, case.shuffle, case.blocksize, case.typesize
        )
    )
    assert bytes(numcodecs.blosc.decompress(chunk)) == data
    return chunk, data


def wrong(cases: list[Case], device: str) -> list[Case]:
    """The cases that this device does not decode to what they hold: together, as one batch."""
    chunks, data = zip(*map(chunk_of, cases), strict=True)
    worker = devices.get(device)
    sizes = np.array([len(d) for d in data], np.int64)
    encoded = Batch.joined([np.frombuffer(chunk, np.uint8) for chunk in chunks])
    room = worker.room_for(sizes)
    decoded = worker.download(worker.decompress("blosc", worker.upload(encoded), room))
    spans = decoded.spans()
    return [
        case
        for case, (start, stop), expected in zip(cases, spans, data, strict=True)
        if decoded.arena[start:stop].tobytes() != expected
    ]


def wrong_as_array(case: Case, device: str, folder: Path) -> bool:
    """Whether an array of this one chunk is read as something else."""
    chunk, data = chunk_of(case)
    compressor = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
    v2_array(folder, chunk, [len(data)], "|u1", compressor=compressor)
    found = gpuzarr.open_array(folder, device=device)[...]
    return bytes((found if isinstance(found, np.ndarray) else found.get()).tobytes()) != data


def check(cases: list[Case], device: str) -> tuple[Counter[str], list[str]]:
    """Counts of what was compared, and what was wrong, in words."""
    counts, failures = Counter[str](), list[str]()
    for group in batched(cases, BATCH):
        counts[f"chunks on {device}"] += len(group)
        failures += [f"{device}: {case}" for case in wrong(list(group), device)]
    with tempfile.TemporaryDirectory(prefix="gpuzarr-grid-") as folder:
        for number, case in enumerate(cases[::THROUGH_ARRAYS]):
            counts[f"arrays on {device}"] += 1
            if wrong_as_array(case, device, Path(folder, str(number))):
                failures.append(f"{device}, an array: {case}")
    return counts, failures


def _check(part: tuple[list[Case], str]) -> tuple[Counter[str], list[str]]:
    return check(*part)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.blosc_grid", description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--every", type=int, default=1, help="only every so many-th case")
    options = parser.parse_args()
    cases, started = list(grid())[:: options.every], time.monotonic()
    random.Random(1).shuffle(cases)
    parts = [
        (list(part), device)
        for device in ("cpu", "emulated")
        for part in batched(cases, 20 * BATCH)
    ]
    counts, failures = Counter[str](), list[str]()
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for found, bad in pool.imap_unordered(_check, parts):
            counts += found
            failures += bad
    words = ", ".join(f"{n} {name}" for name, n in sorted(counts.items()))
    sys.stdout.write("\n".join([*failures, ""]))
    sys.stdout.write(
        f"{len(cases)} cases: {words}; {len(failures)} are wrong; "
        f"{time.monotonic() - started:.0f} s.\n"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
