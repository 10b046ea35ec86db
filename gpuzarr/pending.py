"""A read that goes on while its caller does something else."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from gpuzarr.runtime import Stop


class Pending:
    """What ``Array.read(…, wait=False)`` gives.

    Examples
    --------
    >>> import zarr, gpuzarr
    >>> a = gpuzarr.open(zarr.ones(4, chunks=2, dtype="i2"))
    >>> under_way = a.read(wait=False)
    >>> under_way.result()
    array([1, 1, 1, 1], dtype=int16)
    """

    def __init__(self, array: Any, future: Future[None], stop: Stop) -> None:
        self._array, self._future, self._stop = array, future, stop

    def result(self, timeout: float | None = None) -> Any:
        """Wait, for so many seconds at most, and give the array.

        Raises
        ------
        ChunkError, StoreError, DeviceError
            What the read raised.
        TimeoutError
            If it is not done by then.
        concurrent.futures.CancelledError
            If it was cancelled.
        """
        self._future.result(timeout)
        return self._array

    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._future.done()

    def cancel(self) -> None:
        """End it; the content of its target is then undefined."""
        self._stop.set()
