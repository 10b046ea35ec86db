"""The same array twice, with the same operations: ours by gpuzarr, theirs by zarr-python.

A NumPy array goes along with them. Neither of the two oracles ever sees how gpuzarr reads.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import zarr
from harness import assert_same, uploaded
from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import MemoryStore

import gpuzarr

COMPRESSORS = re.compile("blosc|gzip|lz4|zlib|zstd", re.IGNORECASE)


def contents(store: Store) -> dict[str, bytes]:
    """All that a store holds."""
    if type(store) is MemoryStore:
        return {key: value.to_bytes() for key, value in store._store_dict.items()}

    async def read() -> dict[str, bytes]:
        keys = [key async for key in store.list()]
        found = {key: await store.get(key, default_buffer_prototype()) for key in keys}
        return {key: value.to_bytes() for key, value in found.items() if value is not None}

    return sync(read())


def read_by_zarr(store: Store) -> np.ndarray:
    """The whole array as zarr-python reads it, newly opened, by its own pipeline."""
    array = zarr.open_array(store, mode="r+")  # of a zip file there is no read-only copy
    found = np.asarray(array[...])  # a scalar for a 0-d array, in native byte order
    return found if found.ndim else found.astype(array.dtype)


def _forwards(key: Any, value: Any, array: np.ndarray) -> tuple[Any, Any]:
    """The same assignment without negative steps, which zarr-python does not take."""
    items = key if isinstance(key, tuple) else (key,)
    if not any(isinstance(k, slice) and (k.step or 1) < 0 for k in items):
        return key, value
    value = np.broadcast_to(np.asarray(value, array.dtype), array[key].shape)
    found, flips = [], []
    for item, length in zip(items, array.shape, strict=False):
        if isinstance(item, slice):
            indexes = range(length)[item]
            is_backwards = indexes.step < 0
            flips.append(slice(None, None, -1 if is_backwards else 1))
            if is_backwards:
                indexes = indexes[::-1]
            item = slice(indexes.start, max(indexes.start, indexes.stop), indexes.step)
        found.append(item)
    return tuple(found), value[tuple(flips)]


class Twins:
    """Two arrays and their mirror.

    Parameters
    ----------
    shape
        Of the array.
    ours, theirs
        Stores; by default in memory.
    same_bytes
        Whether the stores are to hold the same bytes rather than the same keys.
    arguments
        Those of `create_array`.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        ours: Any = None,
        theirs: Any = None,
        same_bytes: bool = True,
        **arguments: Any,
    ) -> None:
        stores = [MemoryStore() if s is None else s for s in (ours, theirs)]
        self.same_bytes = same_bytes
        self._compressed_there = False
        self.ours = gpuzarr.create_array(stores[0], shape=shape, **arguments)
        self.theirs = zarr.create_array(stores[1], shape=shape, **arguments)
        # v3 metadata do not tell the byte order, so that only what is read has the one in the end
        self.mirror = np.array(read_by_zarr(stores[1]))

    def write(self, key: Any, value: Any) -> None:
        """``a[key] = value`` on all three, after which the stores are compared."""
        self.ours[key] = uploaded(value)
        theirs, forwards = _forwards(key, value, self.mirror)
        self.theirs[theirs] = forwards
        self.mirror[key] = value
        self.check_stores()

    def check(self) -> None:
        """zarr-python reads the mirror from ours; the stores hold the same."""
        assert_same(read_by_zarr(self.ours.store), self.mirror)
        self.check_stores()

    def check_stores(self) -> None:
        """The same keys, and bytes where the same libraries compress."""
        ours, theirs = contents(self.ours.store), contents(self.theirs.store)
        assert sorted(ours) == sorted(theirs)
        done = self.ours.last_write.stages if self.ours.last_write else {}
        compresses = COMPRESSORS.search(str(self.theirs.metadata)) is not None
        self._compressed_there |= compresses and any(device != "cpu" for _, device in done)
        if self.same_bytes and not self._compressed_there:
            assert [key for key in ours if ours[key] != theirs[key]] == []

    def resize(self, shape: tuple[int, ...]) -> None:
        """Resize all three, the mirror from what zarr-python then shows of its own."""
        self.ours.resize(shape)
        self.theirs.resize(shape)
        self.mirror = read_by_zarr(self.theirs.store)
        assert self.ours.shape == shape
        self.check()

    def reopen(self) -> None:
        """Forget what is known of the arrays beside what their metadata say."""
        self.ours = gpuzarr.open_array(self.ours.store, mode="r+")
        self.theirs = zarr.open_array(self.theirs.store, mode="r+")
