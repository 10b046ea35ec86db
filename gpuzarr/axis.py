"""The chunk grid along one axis: which chunk holds an index, and where chunks begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Axis:
    """The chunks along one axis: all of one size, or with edges of their own.

    `size` is the chunk length of a regular axis, `edges` the boundaries of an irregular one
    (``n + 1`` ascending integers from 0); `length` is the array's.
    """

    length: int
    size: int = 0
    edges: Ints | None = None

    @property
    def count(self) -> int:
        """Number of chunks that hold elements of the array."""
        if self.edges is not None:
            return int(np.searchsorted(self.edges, self.length)) if self.length else 0
        return -(-self.length // self.size)

    def chunk_of(self, index: Any) -> Any:
        """Number of the chunk that holds each index."""
        if self.edges is not None:
            return np.searchsorted(self.edges, index, side="right") - 1
        return index // self.size

    def start(self, chunk: Any) -> Any:
        """First index of each chunk."""
        return self.edges[chunk] if self.edges is not None else chunk * self.size

    def extent(self, chunk: Ints) -> Ints:
        """Encoded length of each chunk, which may reach beyond the array."""
        if self.edges is not None:
            return self.edges[chunk + 1] - self.edges[chunk]
        return np.full(len(chunk), self.size, np.int64)
