"""Who reads an array side by side: gpuzarr in three ways, zarr-python's pipelines, zarrs and
tensorstore, each in its best form; the last two where they are installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr

import gpuzarr
from gpuzarr.errors import UnsupportedError

_PIPELINES = {
    "zarr default": "zarr.core.codec_pipeline.BatchedCodecPipeline",
    "zarr fused": "zarr.core.codec_pipeline.FusedCodecPipeline",
    "zarrs": "zarrs.ZarrsCodecPipeline",
}


def _itself(array: Any) -> Any:
    return array


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way of reading.

    Attributes
    ----------
    open
        Opens the array at a path in a mode, "r" or "r+"; what it gives is indexed, and has
        ``oindex`` and ``vindex``.
    finish
        Turns what indexing gave into an array.
    active
        A context in which it is opened and used.
    """

    name: str
    open: Callable[[str, str], Any]
    finish: Callable[[Any], Any] = _itself
    active: Callable[[], AbstractContextManager[Any]] = nullcontext

    def opened(self, path: str, mode: str = "r") -> Any:
        """The array at `path`.

        Raises
        ------
        UnsupportedError
            If it is none that this contestant reads.
        """
        with self.active():
            return self.open(path, mode)


def contestants(device: str = "auto") -> dict[str, Contestant]:
    """All that are installed, by name; `device` is gpuzarr's."""
    found = [
        Contestant("gpuzarr", partial(_native, device=device)),
        Contestant("gpuzarr out=", lambda path, mode: Rewriting(_native(path, mode, device))),
        Contestant("gpuzarr in zarr", _open_zarr, active=gpuzarr.enable),
    ]
    for name, pipeline in _PIPELINES.items():
        if importlib.util.find_spec(pipeline.partition(".")[0]):
            options = {"codec_pipeline.path": pipeline}
            active = partial(zarr.config.set, options)
            opened = _open_zarrs if name == "zarrs" else _open_zarr
            found.append(Contestant(name, opened, active=active))
    if importlib.util.find_spec("tensorstore"):
        found.append(Contestant("tensorstore", open_tensorstore, lambda view: view.read().result()))
    return {contestant.name: contestant for contestant in found}


class Rewriting:
    """gpuzarr's native face with ``out=``: a selection that was read before is read into the same
    memory again."""

    def __init__(self, array: gpuzarr.Array) -> None:
        self._array = array
        self._kept: dict[Any, Any] = {}

    def __getitem__(self, key: Any) -> Any:
        if key in self._kept:
            return self._array.read(key, out=self._kept[key])
        result = self._array[key]
        if not isinstance(result, np.generic):  # a scalar cannot be written to
            self._kept[key] = result
        return result


def limit_threads(threads: int | None) -> None:
    """Have every contestant use so many threads, None for what it takes by itself; to be called
    before any of them is used."""
    gpuzarr.config.set({"threads": threads})
    zarr.config.set({"threading.max_workers": threads, "codec_pipeline.max_workers": threads})
    _limits["threads"] = threads


_limits: dict[str, int | None] = {"threads": None}


def _native(path: str, mode: str, device: str) -> gpuzarr.Array:
    return gpuzarr.open_array(path, mode=mode, device=device)


def _open_zarr(path: str, mode: str) -> Any:
    return zarr.open_array(path, mode=mode)


def _open_zarrs(path: str, mode: str) -> Any:
    array = _open_zarr(path, mode)
    if getattr(array.async_array.codec_pipeline, "impl", None) is None:
        raise UnsupportedError("It would hand the array over to zarr-python's default pipeline.")
    return array


def open_tensorstore(path: str, mode: str = "r") -> Any:
    """The array as a `tensorstore.TensorStore`.

    It opens local arrays. Its files are not synced to the disk after each write, as nobody
    else's are.

    Raises
    ------
    UnsupportedError
        If it is no local array, or tensorstore refuses its metadata.
    """
    import tensorstore

    folder = Path(path)
    drivers = {"zarr.json": "zarr3", ".zarray": "zarr"}
    found = [driver for document, driver in drivers.items() if (folder / document).is_file()]
    if not found:
        raise UnsupportedError(f"It opens local arrays here, and {path!r} is none.")
    context: dict[str, Any] = {"file_io_sync": False}
    if _limits["threads"]:
        context["data_copy_concurrency"] = {"limit": _limits["threads"]}
    store = {"driver": "file", "path": f"{folder.absolute()}/"}
    spec = {"driver": found[0], "kvstore": store, "context": context}
    try:
        return tensorstore.open(spec, read=True, write=mode != "r").result()
    except ValueError as error:
        reason = str(error).partition(" [")[0].rpartition(": ")[2]
        raise UnsupportedError(f"It refuses the metadata: {reason}.") from error
