"""Local files: one open per object, read straight into the arena of the wave."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import MISSING, Batch, Scratch, aligned
from gpuzarr.config import config
from gpuzarr.errors import StoreError, words_of
from gpuzarr.shards import Extents, coalesce

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_FIRST_ARENA = 64 << 10


class Posix:
    """The files below a directory."""

    name = "posix"
    requests_ahead = 0

    def __init__(self, root: str) -> None:
        self.root = root

    def start(self, extents: Extents, *, index: bool = False) -> PosixFetch:
        """Reading happens in `result`, in the thread that decodes."""
        return PosixFetch(self.root, extents)


@dataclass
class PosixFetch:
    """Extents of local files."""

    root: str
    extents: Extents

    def cancel(self) -> None:
        """Nothing is under way."""

    def result(self, scratch: Scratch) -> Batch:
        """Read all extents into one arena."""
        arena = _Arena(scratch)
        return self._ranges(arena) if self.extents.are_ranges else self._whole(arena)

    def _whole(self, arena: _Arena) -> Batch:
        offsets, sizes = [], []
        for key in self.extents.keys:
            try:
                fd = os.open(f"{self.root}/{key}", _FLAGS)
            except (FileNotFoundError, NotADirectoryError):
                offsets.append(0)
                sizes.append(MISSING)
                continue
            except OSError as error:
                raise _failed(key, error) from error
            try:
                size = os.fstat(fd).st_size
                offsets.append(arena.take(size))
                sizes.append(_read(fd, arena, offsets[-1], size, 0))
            except IsADirectoryError:
                sizes.append(MISSING)
            except OSError as error:
                raise _failed(key, error) from error
            finally:
                os.close(fd)
        return Batch(arena.array, np.array(offsets, np.int64), np.array(sizes, np.int64))

    def _ranges(self, arena: _Arena) -> Batch:
        extents, gap = self.extents, int(config.get("coalesce_gap_bytes"))
        offsets = np.zeros(len(extents), np.int64)
        sizes = np.full(len(extents), MISSING, np.int64)
        wanted = np.flatnonzero(extents.nbytes != MISSING)
        order = wanted[np.argsort(extents.resource[wanted], kind="stable")]
        for rows in np.split(order, np.flatnonzero(np.diff(extents.resource[order])) + 1):
            if not len(rows):
                continue
            key = extents.keys[int(extents.resource[rows[0]])]
            try:
                fd = os.open(f"{self.root}/{key}", _FLAGS)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise _failed(key, error) from error
            try:
                end = os.fstat(fd).st_size
                if len(rows) == 1:  # a shard's index, as a rule, for which arrays are slow
                    row = int(rows[0])
                    first, wanted_bytes = int(extents.offset[row]), int(extents.nbytes[row])
                    first = max(first + end, 0) if first < 0 else min(first, end)
                    size = min(wanted_bytes, end - first)
                    offsets[row] = arena.take(size)
                    sizes[row] = _read(fd, arena, int(offsets[row]), size, first)
                    continue
                start = extents.offset[rows]
                start = np.where(start < 0, np.maximum(start + end, 0), np.minimum(start, end))
                length = np.minimum(extents.nbytes[rows], end - start)
                for first, last, picked in coalesce(start, length, gap):
                    base = arena.take(last - first)
                    got = _read(fd, arena, base, last - first, first)
                    offsets[rows[picked]] = base + start[picked] - first
                    sizes[rows[picked]] = np.clip(first + got - start[picked], 0, length[picked])
            except IsADirectoryError:
                continue
            except OSError as error:
                raise _failed(key, error) from error
            finally:
                os.close(fd)
        return Batch(arena.array, offsets, sizes)


class _Arena:
    """Memory that grows as the sizes of files become known."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch, self._used = scratch, 0
        self.array: NDArray[np.uint8] = scratch.take("encoded", _FIRST_ARENA)
        self.view = memoryview(self.array)

    def take(self, nbytes: int) -> int:
        """Offset of `nbytes` fresh bytes."""
        offset, end = self._used, self._used + aligned(nbytes)
        if end > len(self.array):
            old = self.array[:offset]
            self.array = self._scratch.take("encoded", max(end + end // 4, 2 * offset))
            self.array[:offset] = old
            self.view = memoryview(self.array)
        self._used = end
        return offset


def _read(fd: int, arena: _Arena, begin: int, nbytes: int, position: int) -> int:
    done = 0
    while done < nbytes:
        target = arena.view[begin + done : begin + nbytes]
        if hasattr(os, "preadv"):
            got = os.preadv(fd, [target], position + done)
        else:
            os.lseek(fd, position + done, os.SEEK_SET)
            data = os.read(fd, len(target))
            got = len(data)
            target[:got] = data
        if got == 0:
            break
        done += got
    return done


def _failed(key: str, error: OSError) -> StoreError:
    return StoreError(f"The file of key {key!r} cannot be read: {words_of(error)}.")
