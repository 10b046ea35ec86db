"""A thousand random crops in one call, as training samples are read: `read_many` against
tensorstore's batches and futures; what others have is a loop.

The arrays have three dimensions, ``[4, 2048, 2048]`` in chunks of ``[4, side, side]``, and a crop
has 64 × 64 × 4 elements. Loops read the first of the crops, and their times are scaled up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.data import field
from benchmarks.peers import Party, opened
from benchmarks.records import Record
from benchmarks.settings import Settings, require_equal
from benchmarks.stores import SIZES, Size, Store, built
from gpuzarr.commands.timing import Call

_CODECS = ("raw", "zstd", "blosc-lz4-shuffle", "sharded zstd")
_DEPTH = 4
_LOOP_BYTES = 512 << 20
"""Decoded bytes that one loop decodes at most, about."""


@dataclass(frozen=True)
class Crops:
    """Boxes of one shape, at random places."""

    origins: np.ndarray
    shape: tuple[int, int, int]

    @classmethod
    def random(cls, shape: tuple[int, int, int], count: int, side: int) -> Crops:
        """Of the whole depth."""
        highest = np.array([0, shape[1] - side, shape[2] - side])
        rng = np.random.default_rng(11)
        return cls(rng.integers(0, highest, size=(count, 3), endpoint=True), (_DEPTH, side, side))

    def boxes(self) -> list[tuple[slice, ...]]:
        """As selections."""
        return [
            tuple(slice(int(o), int(o) + n) for o, n in zip(origin, self.shape, strict=True))
            for origin in self.origins
        ]


def geometry(size: Size) -> Size:
    """Chunks of this size in an array of ``[4, side, side]``."""
    side = size.side // 2
    extent = 2048 if size in SIZES else 8 * size.side
    n = max(1, extent // side)
    shard = tuple(min(s, n) for s in size.shard)
    return Size(size.name, side, (n, n), shard)  # type: ignore[arg-type]


def measure(settings: Settings, count: int = 1000) -> Iterator[Record]:
    """A row for each store."""
    for size in map(geometry, settings.sizes):
        side = size.side * size.grid[0]
        data = field((_DEPTH * side, side)).reshape(_DEPTH, side, side)
        for codec in (c for c in settings.codecs if c in _CODECS):
            settings.tell(f"build crops {codec} {size.name}")
            with built(settings.folder, codec, size, data) as store:
                yield of_store(settings, store, Crops.random(data.shape, count, min(64, side // 2)))


def of_store(settings: Settings, store: Store, crops: Crops) -> Record:
    """Check and time the crops of one store."""
    party = opened(settings.names, str(store.path))
    chunk = store.size.chunk_bytes * _DEPTH
    loops = int(np.clip(_LOOP_BYTES // (2 * chunk), 10, 100))
    few = replace(crops, origins=crops.origins[:loops])
    whole, looped = _calls(party, crops), _loops(party, few)
    expected = np.stack([store.data[key] for key in crops.boxes()])
    where = f"crops of {store.codec} {store.size.name}"
    for name, call in [*whole.items(), *looped.items()]:
        found = call.result()
        require_equal(name, where, np.stack(list(found)), expected[: len(found)])
    seconds = settings.time(where, whole | looped)
    scale = len(crops.origins) / len(few.origins)
    values = {n: spread.scaled(scale if n in looped else 1) for n, spread in seconds.items()}
    return Record(
        "crops", store.codec, store.size.name, str(store.data.dtype),
        chunks=int(np.prod(store.size.grid)), nbytes=expected.nbytes, ratio=store.ratio,
        values=values, absent=dict(party.absent),
        note=f"{len(crops.origins)} crops of {' × '.join(map(str, crops.shape))}; "
        f"loops read {len(few.origins)} of them, times scaled",
    )  # fmt: skip


def _calls(party: Party, crops: Crops) -> dict[str, Call]:
    """All crops in one call."""
    calls: dict[str, Callable[[], Any]] = {}
    if "gpuzarr" in party.arrays:
        array = party.arrays["gpuzarr"]
        calls["gpuzarr"] = lambda: array.read_many(crops.origins, shape=crops.shape)
        out = np.empty((len(crops.origins), *crops.shape), array.dtype)
        calls["gpuzarr out="] = lambda: array.read_many(crops.origins, shape=crops.shape, out=out)
    if "tensorstore" in party.arrays:
        calls["tensorstore"] = lambda: _batch(party.arrays["tensorstore"], crops)
        calls["tensorstore futures"] = lambda: _futures(party.arrays["tensorstore"], crops)
    return {name: Call(call) for name, call in calls.items()}


def _batch(array: Any, crops: Crops) -> list[np.ndarray]:
    import tensorstore

    with tensorstore.Batch() as batch:
        begun = [array[key].read(batch=batch) for key in crops.boxes()]
    return [future.result() for future in begun]


def _futures(array: Any, crops: Crops) -> list[np.ndarray]:
    begun = [array[key].read() for key in crops.boxes()]
    return [future.result() for future in begun]


def _loops(party: Party, crops: Crops) -> dict[str, Call]:
    """One crop after the other."""
    calls = {}
    for name, array in party.arrays.items():
        if not name.endswith("out="):
            contestant = party.contestants[name]
            finish = contestant.finish
            calls[f"{name} loop"] = Call(
                lambda array=array, finish=finish: [finish(array[key]) for key in crops.boxes()],
                contestant.active,
            )
    return calls
