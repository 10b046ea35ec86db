"""Who reads: a function per peer that opens a store once and gives a reader of the whole array."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import zarr

import gpuzarr

Reader = Callable[[], np.ndarray]


def native(path: Path) -> Reader:
    """gpuzarr's own face."""
    array = gpuzarr.open_array(path)
    return lambda: array[...]


def fused(path: Path) -> Reader:
    """zarr-python's fused pipeline."""
    with zarr.config.set({"codec_pipeline.path": "zarr.core.codec_pipeline.FusedCodecPipeline"}):
        array = zarr.open_array(path, mode="r")
    return lambda: array[...]  # type: ignore[return-value]


def default(path: Path) -> Reader:
    """zarr-python's default pipeline."""
    array = zarr.open_array(path, mode="r")
    return lambda: array[...]  # type: ignore[return-value]


PEERS = {"gpuzarr": native, "zarr fused": fused, "zarr default": default}
