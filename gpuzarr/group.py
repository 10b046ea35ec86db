"""Groups: the hierarchy, with arrays of ours in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import zarr

from gpuzarr.array import Array
from gpuzarr.errors import NodeNotFoundError


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

    def __init__(self, zarr_group: zarr.Group, device: str, *, mode: str = "r") -> None:
        self.zarr = zarr_group
        self._device, self._mode = device, mode

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
        try:
            return wrap(self.zarr[name], self._device, self._mode)
        except KeyError as error:
            inside = f"{self.path}/{name}".strip("/")
            raise NodeNotFoundError(
                f"There is no array or group {inside!r} in {self.store}."
            ) from error

    def __contains__(self, name: str) -> bool:
        return name in self.zarr

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def keys(self) -> list[str]:
        """Names of the members, sorted."""
        return sorted(self.zarr.keys())

    def members(self) -> list[tuple[str, Array | Group]]:
        """Names and members, sorted by name."""
        found = sorted(self.zarr.members(), key=lambda pair: pair[0])
        return [(name, wrap(node, self._device, self._mode)) for name, node in found]

    def arrays(self) -> list[tuple[str, Array]]:
        """Names and arrays among the members."""
        return [(name, node) for name, node in self.members() if isinstance(node, Array)]

    def groups(self) -> list[tuple[str, Group]]:
        """Names and groups among the members."""
        return [(name, node) for name, node in self.members() if isinstance(node, Group)]

    def __repr__(self) -> str:
        return f"<gpuzarr.Group /{self.path} on {self._device}>"


def wrap(node: Any, device: str, mode: str) -> Array | Group:
    """A node of zarr-python's as one of ours."""
    if isinstance(node, zarr.Group):
        return Group(node, device, mode=mode)
    return Array(node.metadata, node.store, node.path, device, mode=mode, zarr_array=node)
