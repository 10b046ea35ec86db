"""Groups: the hierarchy, with arrays of ours in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import zarr
from zarr.core.sync import sync

from gpuzarr import device as devices
from gpuzarr.array import Array
from gpuzarr.errors import MetadataError, NodeNotFoundError, words_of


class Group:
    """A Zarr group; its arrays are read on the group's device.

    Examples
    --------
    >>> import zarr, gpuzarr
    >>> g = zarr.group()
    >>> z = g.create_array("t", shape=3, dtype="f4")
    >>> gpuzarr.open(g)["t"]
    <gpuzarr.Array /t (3,) float32 chunks=(3,) bytes+zstd v3 on cpu>
    """

    def __init__(
        self, zarr_group: zarr.Group, device: str, *, mode: str = "r", trust: str | None = None
    ) -> None:
        self.zarr = zarr_group
        self._device, self._mode, self._trust = device, mode, devices.trust(trust)

    @property
    def path(self) -> str:
        """Path in the store."""
        return self.zarr.path

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def store(self) -> Any:
        """The zarr store."""
        return self.zarr.store

    @property
    def attrs(self) -> Any:
        """User attributes."""
        return self.zarr.attrs

    def __getitem__(self, name: str) -> Array | Group:
        inside = f"{self.path}/{name}".strip("/")
        try:
            node = self.zarr[name]
        except KeyError as error:
            raise NodeNotFoundError(
                f"There is no array or group {inside!r} in {self.store}."
            ) from error
        except (ValueError, TypeError, NotImplementedError) as error:
            raise MetadataError(
                f"The metadata of {inside!r} in {self.store} cannot be used: {words_of(error)}."
            ) from error
        return self._wrapped(node)

    def _wrapped(self, node: Any) -> Array | Group:
        return wrap(node, self._device, self._mode, self._trust)

    def __contains__(self, name: str) -> bool:
        return name in self.zarr

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def keys(self) -> list[str]:
        """Names of the members, sorted; those too whose metadata cannot be used."""
        try:
            return sorted(self.zarr.keys())
        except (ValueError, TypeError, NotImplementedError):
            return sorted(sync(_member_names(self.store, self.path)))

    def members(self) -> list[tuple[str, Array | Group]]:
        """Names and members, sorted by name; one whose metadata cannot be used raises."""
        try:
            found = sorted(self.zarr.members(), key=lambda pair: pair[0])
        except (ValueError, TypeError, NotImplementedError):
            return [(name, self[name]) for name in self.keys()]
        return [(name, self._wrapped(node)) for name, node in found]

    def arrays(self) -> list[tuple[str, Array]]:
        """Names and arrays among the members."""
        return [(name, node) for name, node in self.members() if isinstance(node, Array)]

    def groups(self) -> list[tuple[str, Group]]:
        """Names and groups among the members."""
        return [(name, node) for name, node in self.members() if isinstance(node, Group)]

    def __repr__(self) -> str:
        return f"<gpuzarr.Group /{self.path} on {self._device}>"


async def _member_names(store: Any, path: str) -> list[str]:
    """Names below a path that have a metadata document, whatever it says."""
    names = []
    async for entry in store.list_dir(path):
        name = entry.strip("/")
        inside = f"{path}/{name}".strip("/")
        for document in ("zarr.json", ".zarray", ".zgroup"):
            if await store.exists(f"{inside}/{document}"):
                names.append(name)
                break
    return names


def wrap(node: Any, device: str, mode: str, trust: str | None) -> Array | Group:
    """A node of zarr-python's as one of ours."""
    if isinstance(node, zarr.Group):
        return Group(node, device, mode=mode, trust=trust)
    metadata, store, path = node.metadata, node.store, node.path
    return Array(metadata, store, path, device, mode=mode, zarr_array=node, trust=trust)
