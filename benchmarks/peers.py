"""Who takes part: the contestants of ``gpuzarr bench``, and for whole reads three more.

Where gpuzarr rewrites a result by ``out=``, zarrs and tensorstore are asked to do so too. A codec
pipeline that does nothing shows zarr-python's own cost of a selection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import zarr
from zarr.abc.codec import CodecPipeline, GetResult
from zarr.core.buffer import default_buffer_prototype
from zarr.registry import register_pipeline

from gpuzarr.commands.contestants import Contestant, contestants
from gpuzarr.errors import UnsupportedError

OURS = ("gpuzarr", "gpuzarr out=", "gpuzarr in zarr")
PEERS = ("zarr default", "zarr fused", "zarrs", "tensorstore")
NULL = "zarr null"


class NullPipeline(CodecPipeline):
    """Does nothing: what is left is zarr-python's own cost of a selection."""

    @classmethod
    def from_codecs(cls, codecs: Iterable[Any]) -> NullPipeline:
        return cls()

    def evolve_from_array_spec(self, array_spec: Any) -> NullPipeline:
        return self

    async def read(self, batch_info: Any, out: Any, drop_axes: Any = ()) -> tuple[GetResult, ...]:
        return tuple(GetResult(status="present") for _ in batch_info)

    async def write(self, batch_info: Any, value: Any, drop_axes: Any = ()) -> None:
        return None

    supports_partial_decode = supports_partial_encode = False
    validate = compute_encoded_size = decode = encode = __iter__ = None  # type: ignore[assignment]


register_pipeline(NullPipeline)


class _RewritingZarr:
    """An array of zarr-python's that reads a selection into the same memory again."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self._kept: dict[Any, Any] = {}

    def __getitem__(self, key: Any) -> Any:
        if key not in self._kept:
            self._kept[key] = self._array[key]
            return self._kept[key]
        out = default_buffer_prototype().nd_buffer.from_ndarray_like(self._kept[key])
        return self._array.get_basic_selection(key, out=out)


class _RewritingTensorstore:
    """As `_RewritingZarr`, of a TensorStore's."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self._kept: dict[Any, Any] = {}

    def __getitem__(self, key: Any) -> Any:
        import tensorstore

        if key not in self._kept:
            self._kept[key] = self._array[key].read().result()
            return self._kept[key]
        tensorstore.array(self._kept[key]).write(self._array[key]).result()
        return self._kept[key]


def through(pipeline: str) -> Callable[[Path], Any]:
    """zarr-python with this codec pipeline: what opens an array to be read and written."""

    def opened(path: Path) -> Any:
        with zarr.config.set({"codec_pipeline.path": pipeline}):
            return zarr.open_array(path, mode="r+")

    return opened


def everyone() -> dict[str, Contestant]:
    """All that are installed, those for whole reads among them."""
    found = contestants()
    if zarrs := found.get("zarrs"):
        found["zarrs out="] = replace(
            zarrs, name="zarrs out=", open=lambda *args: _RewritingZarr(zarrs.open(*args))
        )
    if store := found.get("tensorstore"):
        found["tensorstore out="] = Contestant(
            "tensorstore out=", lambda *args: _RewritingTensorstore(store.open(*args))
        )
    name = f"{NullPipeline.__module__}.{NullPipeline.__qualname__}"
    active = partial(zarr.config.set, {"codec_pipeline.path": name})
    found[NULL] = replace(found["zarr default"], name=NULL, active=active)
    return found


@dataclass(frozen=True)
class Party:
    """Those that opened one array, and why the others did not."""

    arrays: Mapping[str, Any]
    contestants: Mapping[str, Contestant]
    absent: Mapping[str, str]


def opened(names: Iterable[str], path: str, mode: str = "r") -> Party:
    """Have all of these open the array at `path`."""
    found, arrays, absent = everyone(), {}, {}
    for name in names:
        if name not in found:
            absent[name] = "It is not installed."
            continue
        try:
            arrays[name] = found[name].opened(path, mode)
        except UnsupportedError as error:
            absent[name] = str(error)
    return Party(arrays, {name: found[name] for name in arrays}, absent)
