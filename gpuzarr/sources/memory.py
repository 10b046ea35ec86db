"""Objects that are in memory already, as a source of their ranges, and memory as a sink."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpuzarr.batch import MISSING, Batch, Scratch
from gpuzarr.shards import Extents


class Memory:
    """Whole objects, the `n`-th of them under ``keys[n]``."""

    name = "memory"
    requests_ahead = 0

    def __init__(self, keys: list[str], objects: Batch) -> None:
        self._numbers = {key: n for n, key in enumerate(keys)}
        self._objects = objects

    def start(self, extents: Extents, *, index: bool = False) -> Held:
        """Nothing is under way: the streams lie in the arena of the objects."""
        objects = self._objects
        numbers = np.array([self._numbers[key] for key in extents.keys], np.int64)
        number = numbers[extents.resource]
        size, first = objects.sizes[number], objects.offsets[number]
        if not extents.are_ranges:
            return Held(Batch(objects.arena, first, size))
        start = np.clip(extents.offset + np.where(extents.offset < 0, size, 0), 0, size)
        absent = (extents.nbytes == MISSING) | (size == MISSING)
        length = np.where(absent, MISSING, np.minimum(extents.nbytes, size - start))
        return Held(Batch(objects.arena, first + start, length))


@dataclass
class Held:
    """Streams that wait for nothing."""

    batch: Batch

    def cancel(self) -> None:
        """Nothing is under way."""

    def result(self, scratch: Scratch) -> Batch:
        """Where they are."""
        return self.batch


class MemorySink:
    """Keeps what is stored; a deleted object as None."""

    name = "memory"
    requests_ahead = 0

    def __init__(self) -> None:
        self.objects: dict[str, bytes | None] = {}

    def put(self, keys: list[str], batch: Batch, written: list[str]) -> Kept:
        """Keep a copy."""
        view = memoryview(batch.arena)
        for key, (start, stop) in zip(keys, batch.spans(), strict=True):
            self.objects[key] = bytes(view[start:stop]) if stop >= start else None
        written += keys
        return Kept()


class Kept:
    """What is in memory already."""

    def result(self) -> None:
        """Nothing to wait for."""

    def cancel(self) -> None:
        """Nothing is under way."""
