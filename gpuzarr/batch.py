"""A batch: N byte strings in one arena of one device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

MISSING = -1
"""Size of a chunk that the store does not hold."""

BYTES = np.dtype(np.uint8)
"""What the elements of a stream are where nothing else is said."""

_ALIGNMENT = 64


@dataclass(slots=True)
class Batch:
    """One arena, and where each of N streams lies in it.

    Attributes
    ----------
    arena
        One-dimensional array on a device: ``uint8``, or on the host ``object`` and variable
        strings, whose elements then count as the unit of offsets and sizes.
    offsets, sizes
        ``int64`` arrays of N; a size of `MISSING` means that there is no such stream.
    dtype
        Of the elements that the bytes are, for compressors that care; decoding does not.
    host
        Of a batch that was uploaded: the arena that it came from, at the same offsets, so that
        headers can be read without asking the device.
    """

    arena: Any
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    dtype: np.dtype = BYTES
    host: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.offsets)

    @classmethod
    def uniform(cls, arena: Any, count: int, size: int, dtype: np.dtype = BYTES) -> Batch:
        """`count` streams of `size` elements each, one behind the other."""
        sizes = np.full(count, size, np.int64)
        return cls(arena, np.arange(count, dtype=np.int64) * size, sizes, dtype)

    @classmethod
    def joined(cls, streams: Sequence[NDArray[Any] | None], dtype: np.dtype = BYTES) -> Batch:
        """Streams of host memory, copied one behind the other; None is one that is missing."""
        found = [stream for stream in streams if stream is not None]
        sizes = np.array([MISSING if s is None else len(s) for s in streams], np.int64)
        arena = np.concatenate(found) if found else np.empty(0, BYTES)
        return cls(arena, packed(np.maximum(sizes, 0)), sizes, dtype)

    @property
    def is_uniform(self) -> bool:
        """Whether the streams lie one behind the other, all of one size."""
        if len(self) == 0:
            return True
        size = int(self.sizes[0])
        return bool((self.sizes == size).all()) and bool(
            (self.offsets == self.offsets[0] + np.arange(len(self)) * size).all()
        )

    def take(self, slots: NDArray[Any]) -> Batch:
        """The streams at these positions, in the same arena."""
        return Batch(self.arena, self.offsets[slots], self.sizes[slots], self.dtype, self.host)

    def within(self, offsets: NDArray[np.int64], sizes: NDArray[np.int64]) -> Batch:
        """Other streams of the same arena: parts of these, as a rule."""
        return Batch(self.arena, offsets, sizes, self.dtype, self.host)

    def spans(self) -> list[tuple[int, int]]:
        """``(start, stop)`` of each stream in the arena, as Python integers."""
        return list(zip(self.offsets.tolist(), (self.offsets + self.sizes).tolist(), strict=True))


def _pageable(nbytes: int) -> NDArray[np.uint8]:
    return np.empty(nbytes, np.uint8)


class Scratch:
    """Host memory between the stages of one wave, lent to a thread while it works on it.

    Memory that is touched for the first time costs several times what rewriting it costs, and
    memory that a device copies from is slow to come by; so what is given back is kept and lent
    again, up to `kept` bytes an arena. `allocate` makes new arenas.
    """

    KEPT = 8 << 20
    _idle: ClassVar[dict[str, list[Scratch]]] = {}

    def __init__(
        self, allocate: Callable[[int], NDArray[np.uint8]] = _pageable, kept: int = KEPT
    ) -> None:
        self._arenas: dict[str, NDArray[np.uint8]] = {}
        self._allocate, self._kept = allocate, kept

    @classmethod
    @contextmanager
    def lent(
        cls,
        device: str = "cpu",
        allocate: Callable[[int], NDArray[np.uint8]] = _pageable,
        kept: int = KEPT,
    ) -> Iterator[Scratch]:
        """Scratch memory, for work on this device, that nobody else uses meanwhile."""
        idle = cls._idle.setdefault(device, [])
        try:
            scratch = idle.pop()
        except IndexError:
            scratch = cls(allocate, kept)
        try:
            yield scratch
        finally:
            arenas = scratch._arenas
            scratch._arenas = {p: a for p, a in arenas.items() if len(a) <= scratch._kept}
            idle.append(scratch)

    def take(self, purpose: str, nbytes: int) -> NDArray[np.uint8]:
        """At least `nbytes` bytes, whose content is undefined."""
        arena = self._arenas.get(purpose)
        if arena is None or len(arena) < nbytes:
            self._arenas.pop(purpose, None)
            arena = self._arenas[purpose] = self._allocate(nbytes)
        return arena


def packed(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Offsets of streams of these sizes, one behind the other."""
    offsets: NDArray[np.int64] = np.cumsum(sizes, dtype=np.int64) - sizes
    return offsets


def aligned(nbytes: int) -> int:
    """`nbytes` rounded up so that the next stream starts aligned for any dtype."""
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT
