"""Opening and creating: from a path, a URL, a zarr store, or an array or group of zarr's.

The document of a local array is read directly, which is several times faster than asking
zarr-python to open it; everything else (groups, consolidated metadata, URLs, foreign stores,
creation) goes through zarr-python.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import zarr
from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata
from zarr.errors import ArrayNotFoundError, ContainsArrayError, GroupNotFoundError
from zarr.storage import LocalStore

from gpuzarr import device as devices
from gpuzarr.array import Array
from gpuzarr.errors import GpuzarrError, MetadataError, NodeNotFoundError
from gpuzarr.group import Group, wrap
from gpuzarr.spec import Metadata

__all__ = ["create_array", "open", "open_array", "open_group"]


def open(
    store: Any,
    *,
    path: str | None = None,
    mode: str = "r",
    device: str = "auto",
    meta_array: Any = None,
    zarr_format: int | None = None,
    storage_options: dict[str, Any] | None = None,
) -> Array | Group:
    """Open an array or a group.

    Parameters
    ----------
    store
        A path, a URL, any zarr Store or what zarr makes one of, or a zarr Array or Group.
    path
        Path of the node in the store.
    mode
        "r" to read, "r+" to write to what exists, and zarr's "a", "w", "w-".
    device
        "auto" (the option ``gpuzarr.config``), "cpu", "cuda", "cuda:1" or "emulated".
    meta_array
        Chooses the device by example instead: an array of the kind that reading shall give.
    zarr_format
        2 or 3, where a store holds both.
    storage_options
        For URLs: arguments of the file system.

    Raises
    ------
    NodeNotFoundError
        If there is neither an array nor a group.
    MetadataError
        If there is one whose metadata cannot be read.
    DeviceError
        If the device is not available.

    Examples
    --------
    >>> import zarr, gpuzarr
    >>> z = zarr.create_array("field.zarr", shape=(4, 4), chunks=(2, 2), dtype="f4", fill_value=7)
    >>> gpuzarr.open("field.zarr")[1, 2]
    np.float32(7.0)
    """
    device = _device(device, meta_array)
    if isinstance(store, zarr.Array | zarr.Group):
        node = store[path] if path and isinstance(store, zarr.Group) else store
        return wrap(node, device, mode)
    local = _local_array(store, path, mode, zarr_format)
    if local is not None:
        metadata, root = local
        read_only = mode == "r"
        return Array(metadata, LocalStore(root, read_only=read_only), "", device, mode=mode)
    arguments = {"path": path, "mode": mode, "zarr_format": zarr_format}
    return wrap(_by_zarr(zarr.open, store, arguments, storage_options), device, mode)


def open_array(store: Any, **arguments: Any) -> Array:
    """`open`, for an array only; the same arguments.

    Raises
    ------
    NodeNotFoundError
        If there is a group or nothing.
    """
    node = open(store, **arguments)
    if not isinstance(node, Array):
        raise NodeNotFoundError(f"There is a group, not an array, at {_where(store, arguments)}.")
    return node


def open_group(store: Any, **arguments: Any) -> Group:
    """`open`, for a group only; the same arguments.

    Raises
    ------
    NodeNotFoundError
        If there is an array or nothing.
    """
    node = open(store, **arguments)
    if not isinstance(node, Group):
        raise NodeNotFoundError(f"There is an array, not a group, at {_where(store, arguments)}.")
    return node


def create_array(
    store: Any, *, device: str = "auto", meta_array: Any = None, **arguments: Any
) -> Array:
    """Create an array; further arguments are those of `zarr.create_array`.

    Examples
    --------
    >>> import gpuzarr
    >>> a = gpuzarr.create_array({}, shape=(3,), chunks=(2,), dtype="i2")
    >>> a[:] = [1, 2, 3]
    >>> a[::-1]
    array([3, 2, 1], dtype=int16)
    """
    device = _device(device, meta_array)
    created = wrap(zarr.create_array(store, **arguments), device, "r+")
    assert isinstance(created, Array)
    return created


def _device(device: str, meta_array: Any) -> str:
    name = device if meta_array is None else devices.like(meta_array)
    return devices.get(name).name


def _local_array(
    store: Any, path: str | None, mode: str, zarr_format: int | None
) -> tuple[Metadata, str] | None:
    """Metadata and directory of an array on the local file system, if that is what it is."""
    if type(store) is LocalStore:
        store = store.root
    if mode not in ("r", "r+", "a") or not isinstance(store, str | os.PathLike):
        return None
    root = os.fspath(store)
    if not isinstance(root, str) or "://" in root or "::" in root or not Path(root).is_dir():
        return None
    if path:
        root = str(Path(root, *path.strip("/").split("/")))
    document = None
    if zarr_format != 2:
        document = _document(f"{root}/zarr.json")
        if document is not None:
            if not isinstance(document, dict) or document.get("node_type") != "array":
                return None
            return _parsed(ArrayV3Metadata, document, root), root
    if zarr_format != 3:
        document = _document(f"{root}/.zarray")
        if isinstance(document, dict) and not Path(root, ".zgroup").exists():
            document["attributes"] = _document(f"{root}/.zattrs") or {}
            return _parsed(ArrayV2Metadata, document, root), root
    return None


def _document(path: str) -> Any:
    try:
        with Path(path).open("rb") as file:
            return json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise MetadataError(f"The metadata in {path!r} is not valid JSON: {error}.") from error


def _parsed(kind: Any, document: dict[str, Any], root: str) -> Any:
    try:
        return kind.from_dict(document, path=root)
    except Exception as error:
        raise _unreadable(root, error) from error


def _by_zarr(opener: Any, store: Any, arguments: dict[str, Any], options: Any) -> Any:
    try:
        return opener(store, storage_options=options, **arguments)
    except GpuzarrError:
        raise
    except (ArrayNotFoundError, GroupNotFoundError, FileNotFoundError) as error:
        raise NodeNotFoundError(
            f"There is no Zarr array or group at {_where(store, arguments)}."
        ) from error
    except (ContainsArrayError, PermissionError, TypeError):
        raise
    except (ValueError, KeyError, NotImplementedError) as error:
        raise _unreadable(_where(store, arguments), error) from error


def _unreadable(where: str, error: Exception) -> MetadataError:
    words = str(error).strip().rstrip(".") or type(error).__name__
    return MetadataError(f"The metadata of {where} cannot be used: {words}.")


def _where(store: Any, arguments: dict[str, Any]) -> str:
    path = arguments.get("path")
    inside = f", path {path!r}" if path else ""
    return f"{str(store)!r}{inside}" if isinstance(store, str | os.PathLike) else f"{store}{inside}"
