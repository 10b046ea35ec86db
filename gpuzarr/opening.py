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
from zarr import errors as zarr_errors
from zarr.abc.store import Store
from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata
from zarr.storage import LocalStore, StorePath, ZipStore

from gpuzarr import device as devices
from gpuzarr.array import Array
from gpuzarr.errors import (
    MetadataError,
    NodeNotFoundError,
    ReadOnlyError,
    StoreError,
    UnknownCodecError,
    named,
    words_of,
)
from gpuzarr.group import Group, wrap
from gpuzarr.metadata import Metadata

__all__ = ["create_array", "open", "open_array", "open_group"]

_MODES = ("r", "r+", "a", "w", "w-")
_STORES = (str, os.PathLike, dict, Store, StorePath)


def open(
    store: Any,
    *,
    path: str | None = None,
    mode: str = "r",
    device: str = "auto",
    meta_array: Any = None,
    zarr_format: int | None = None,
    storage_options: dict[str, Any] | None = None,
    trust: str | None = None,
) -> Array | Group:
    """Open an array or a group.

    Parameters
    ----------
    store
        A path (of a directory, or to read of a zip file), a URL, any zarr Store or what zarr
        makes one of, or a zarr Array or Group.
    path
        Path of the node in the store.
    mode
        "r" to read, "r+" to write to what exists; "a", "w" and "w-" as well, and make a group
        where nothing is ("a"), in place of what is ("w"), or if nothing is ("w-").
    device
        "auto" (the option ``gpuzarr.config``), "cpu", "cuda", "cuda:1" or "emulated".
    meta_array
        Chooses the device by example instead: an array of the kind that reading shall give.
    zarr_format
        2 or 3, where a store holds both.
    storage_options
        For URLs: arguments of the file system.
    trust
        "untrusted" where chunks may be damaged on purpose: no device then decodes what could
        break it (docs/codecs.md). "trusted", or None: the option of that name ``gpuzarr.config``.

    Raises
    ------
    NodeNotFoundError
        If there is neither an array nor a group.
    MetadataError
        If there is one whose metadata cannot be used.
    StoreError
        If the store fails to deliver them.
    ReadOnlyError
        If the mode asks to write to a store that takes no writes.
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
    _check_mode(store, mode)
    if isinstance(store, zarr.Array | zarr.Group):
        return _member(wrap(store, device, mode, trust), path)
    local = _local_array(store, path, mode, zarr_format)
    if local is not None:
        return Array(*local, device, mode=mode, trust=trust)
    store = _zip_store(store, mode)
    arguments = {"path": path, "mode": _mode_of_store(store, mode), "zarr_format": zarr_format}
    opener = zarr.open_group if mode in ("w", "w-") else zarr.open
    return wrap(_by_zarr(opener, store, arguments, storage_options), device, mode, trust)


def open_array(store: Any, *, mode: str = "r", **arguments: Any) -> Array:
    """`open`, for an array that exists; the same arguments.

    Raises
    ------
    NodeNotFoundError
        If there is a group or nothing.
    ValueError
        If the mode is "w" or "w-", which would make an array: `create_array` does.
    """
    if mode in ("w", "w-"):
        raise ValueError(f"An array is made by create_array, not opened with the mode {mode!r}.")
    node = open(store, mode="r+" if mode == "a" else mode, **arguments)
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
    store: Any,
    *,
    device: str = "auto",
    meta_array: Any = None,
    trust: str | None = None,
    **arguments: Any,
) -> Array:
    """Create an array; `trust` as in `open`, further arguments are those of `zarr.create_array`.

    Examples
    --------
    >>> import gpuzarr
    >>> a = gpuzarr.create_array({}, shape=(3,), chunks=(2,), dtype="i2")
    >>> a[:] = [1, 2, 3]
    >>> a[::-1]
    array([3, 2, 1], dtype=int16)
    """
    device = _device(device, meta_array)
    data = arguments.get("data")
    writes = data is not None and arguments.pop("write_data", True)
    if data is not None:
        arguments["write_data"] = False
    created = wrap(zarr.create_array(store, **arguments), device, "r+", trust)
    assert isinstance(created, Array)
    if writes:
        created[...] = data
    return created


def _device(device: str, meta_array: Any) -> str:
    name = device if meta_array is None else devices.like(meta_array)
    return devices.get(name).name


def _check_mode(store: Any, mode: str) -> None:
    if mode not in _MODES:
        raise ValueError(f"The mode is one of 'r', 'r+', 'a', 'w' and 'w-', not {mode!r}.")
    if mode != "r" and getattr(store, "read_only", False):
        raise ReadOnlyError(f"{store} is read-only, it cannot be opened with the mode {mode!r}.")


def _member(node: Array | Group, path: str | None) -> Array | Group:
    if not path:
        return node
    if isinstance(node, Array):
        raise NodeNotFoundError(f"There is nothing at the path {path!r} of {node.zarr}, an array.")
    return node[path]


def _local_array(
    store: Any, path: str | None, mode: str, zarr_format: int | None
) -> tuple[Metadata, LocalStore, str] | None:
    """Metadata, store and path of an array on the local file system, if that is what it is."""
    place = store.root if type(store) is LocalStore else store
    if mode not in ("r", "r+", "a") or not isinstance(place, str | os.PathLike):
        return None
    root = os.fspath(place)
    if not isinstance(root, str) or "://" in root or "::" in root or not Path(root).is_dir():
        return None
    parts = [part for part in (path or "").split("/") if part]
    if not {".", ".."}.isdisjoint(parts):
        return None
    metadata = _local_metadata("/".join([root, *parts]), zarr_format)
    if metadata is None:
        return None
    read_only = mode == "r"
    if type(store) is not LocalStore or store.read_only != read_only:
        store = LocalStore(root, read_only=read_only)
    return metadata, store, "/".join(parts)


def _local_metadata(folder: str, zarr_format: int | None) -> Metadata | None:
    if zarr_format != 2:
        document = _document(f"{folder}/zarr.json")
        if document is not None:
            if not isinstance(document, dict) or document.get("node_type") != "array":
                return None
            return _parsed(ArrayV3Metadata, document, folder)
    if zarr_format != 3:
        document = _document(f"{folder}/.zarray")
        if isinstance(document, dict) and not Path(folder, ".zgroup").exists():
            document["attributes"] = _document(f"{folder}/.zattrs") or {}
            return _parsed(ArrayV2Metadata, document, folder)
    return None


def _document(path: str) -> Any:
    try:
        with Path(path).open("rb") as file:
            return json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"The file {path!r} cannot be read: {words_of(error)}.") from error
    except ValueError as error:
        raise MetadataError(
            f"The metadata in {path!r} is not valid JSON: {words_of(error)}."
        ) from error


def _parsed(kind: Any, document: dict[str, Any], folder: str) -> Metadata:
    try:
        metadata: Metadata = kind.from_dict(document, path=folder)
        if getattr(metadata, "storage_transformers", ()):
            raise ValueError("it asks for storage transformers, which are not supported")
    except Exception as error:
        raise _unusable(repr(folder), error) from error
    return metadata


def _zip_store(store: Any, mode: str) -> Any:
    """The store of a path to a zip file, which zarr-python takes for a directory."""
    if mode == "r" and isinstance(store, str | os.PathLike) and str(store).endswith(".zip"):
        file = Path(store)
        return ZipStore(file, mode="r") if file.is_file() else store
    return store


def _mode_of_store(store: Any, mode: str) -> str:
    """zarr-python reads from a read-only copy of a store, which not every store can make."""
    if mode == "r" and isinstance(store, Store) and not store.read_only:
        try:
            store.with_read_only(True)
        except (NotImplementedError, TypeError):
            return "r+"
    return mode


def _by_zarr(opener: Any, store: Any, arguments: dict[str, Any], options: Any) -> Any:
    where = _where(store, arguments)
    try:
        return opener(store, storage_options=options, **arguments)
    except FileNotFoundError as error:
        raise NodeNotFoundError(f"There is no Zarr array or group at {where}.") from error
    except (FileExistsError, ImportError, zarr_errors.ContainsArrayError):
        raise
    except (ValueError, KeyError, TypeError, NotImplementedError) as error:
        if isinstance(error, TypeError) and (options or not isinstance(store, _STORES)):
            raise  # of the call, not of the metadata
        raise _unusable(where, error) from error
    except Exception as error:
        raise StoreError(f"The metadata of {where} cannot be read: {named(error)}.") from error


def _unusable(where: str, error: Exception) -> MetadataError:
    words = f"it has no entry {error}" if isinstance(error, KeyError) else words_of(error)
    is_codec = isinstance(error, zarr_errors.UnknownCodecError)
    kind = UnknownCodecError if is_codec else MetadataError
    return kind(f"The metadata of {where} cannot be used: {words}.")


def _where(store: Any, arguments: dict[str, Any]) -> str:
    path = arguments.get("path")
    inside = f", path {path!r}" if path else ""
    return f"{str(store)!r}{inside}" if isinstance(store, str | os.PathLike) else f"{store}{inside}"
