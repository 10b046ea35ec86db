"""Several arrays in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpuzarr import device as devices
from gpuzarr import pipeline
from gpuzarr.array import Array
from gpuzarr.selection import basic


def read_many(pairs: Sequence[tuple[Array, Any]]) -> list[Any]:
    """Read selections of several arrays as one batch, for instance all variables of one sample.

    Parameters
    ----------
    pairs
        ``(array, selection)``, the selections as in ``array[selection]``.

    Returns
    -------
    list
        One array per pair, on the device of its array.

    Examples
    --------
    >>> import zarr, gpuzarr
    >>> a = gpuzarr.open(zarr.ones(4, chunks=2, dtype="i2"))
    >>> gpuzarr.read_many([(a, slice(2)), (a, slice(3, 4))])
    [array([1, 1], dtype=int16), array([1], dtype=int16)]
    """
    planned = [array._planned(basic(key, array.shape, array.dtype)) for array, key in pairs]
    for (array, _), (_, read) in zip(pairs, planned, strict=True):
        array._last_read = read.report
    together: dict[tuple[str, str], list[pipeline.Read]] = {}
    for (array, _), (_, read) in zip(pairs, planned, strict=True):
        together.setdefault((array.device, array.trust), []).append(read)
    for (name, trust), reads in sorted(together.items(), key=lambda item: item[0]):
        pipeline.read(reads, devices.get(name, trust))
    return [result for result, _ in planned]
