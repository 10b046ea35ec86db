"""Who reads and writes: a function per peer that opens a store once and gives its array.

What it gives is indexed and assigned to as NumPy arrays are.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import zarr
from zarr.abc.codec import CodecPipeline, GetResult
from zarr.registry import register_pipeline

import gpuzarr

Open = Callable[[Path], Any]


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


def native(path: Path) -> Any:
    """gpuzarr's own face."""
    return gpuzarr.open_array(path, mode="r+")


def through(pipeline: str) -> Open:
    """zarr-python with a codec pipeline."""

    def opened(path: Path) -> Any:
        with zarr.config.set({"codec_pipeline.path": pipeline}):
            return zarr.open_array(path, mode="r+")

    return opened


class Enabled:
    """An array of zarr-python's that gpuzarr reads and writes, as in a program that enables it."""

    def __init__(self, path: Path) -> None:
        with gpuzarr.enable():
            self._array = zarr.open_array(path, mode="r+")

    def __getitem__(self, key: Any) -> Any:
        with gpuzarr.enable():
            return self._array[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        with gpuzarr.enable():
            self._array[key] = value


PEERS: dict[str, Open] = {
    "gpuzarr": native,
    "gpuzarr in zarr": Enabled,
    "zarr fused": through("zarr.core.codec_pipeline.FusedCodecPipeline"),
    "zarr default": through("zarr.core.codec_pipeline.BatchedCodecPipeline"),
}
if importlib.util.find_spec("zarrs"):
    PEERS["zarrs"] = through("zarrs.ZarrsCodecPipeline")

NULL = through(f"{NullPipeline.__module__}.{NullPipeline.__qualname__}")
