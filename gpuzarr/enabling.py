"""`enable`: gpuzarr behind zarr-python, for a while or for good."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Self

import zarr

from gpuzarr import device as devices
from gpuzarr.config import config
from gpuzarr.zarr_buffers import HOST_RESULTS, ResultBuffer
from gpuzarr.zarr_pipeline import GpuzarrCodecPipeline


class Enabled:
    """What `enable` did; leaving it as a context manager undoes it."""

    def __init__(self, device: str, trust: str) -> None:
        self._undo = ExitStack()
        buffer = HOST_RESULTS if device == "cpu" else _path(ResultBuffer)
        options = {"codec_pipeline.path": _path(GpuzarrCodecPipeline), "ndbuffer": buffer}
        self._undo.enter_context(zarr.config.set(options))
        self._undo.enter_context(config.set({"pipeline_device": device, "trust": trust}))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._undo.close()


def enable(device: str = "cpu", trust: str | None = None) -> Enabled:
    """Have zarr-python read and write through gpuzarr.

    Arrays that are opened from now on (by zarr, xarray, dask, anndata, …) use it, in all threads;
    as a context manager it ends with the block, but arrays that were opened inside keep it, also
    when they are pickled.

    Parameters
    ----------
    device
        Where numeric results are. Any device but "cpu" is used only if it is named here, and
        while `enable` is in effect: an array that was opened inside and is read outside gives
        host memory, as do coordinates (one-dimensional arrays named after their dimension), CF
        times, dtypes that are not numbers, single elements, and `vindex`.
    trust
        As in `gpuzarr.open`; of all arrays that are opened meanwhile.

    Raises
    ------
    DeviceError
        If the device is not available.

    Examples
    --------
    >>> import gpuzarr, zarr
    >>> with gpuzarr.enable():
    ...     z = zarr.create_array({}, shape=(4,), chunks=(2,), dtype="i4")
    ...     z[:] = [1, 2, 3, 4]
    >>> z[1:3]
    array([2, 3], dtype=int32)
    """
    return Enabled(devices.get(device).name, devices.trust(trust))


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
