"""The half of an `Array` that writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from gpuzarr import device as devices
from gpuzarr import pipeline, selection
from gpuzarr.described import Described
from gpuzarr.errors import ReadOnlyError
from gpuzarr.metadata import read_spec
from gpuzarr.plan import covers_nothing, parts_of, plan_write
from gpuzarr.report import WriteReport
from gpuzarr.selection import Selection
from gpuzarr.sources import Source
from gpuzarr.sources.store_sink import sink_of
from gpuzarr.targets import field_dtype
from gpuzarr.values import appended, fitting, nbytes_on_device

if TYPE_CHECKING:
    from zarr.abc.store import Store


class Writable(Described):
    """What is done to the stored array, and what was done."""

    _store: Store
    _zarr: zarr.Array[Any] | None
    _source: Source
    _mode: str
    _write_empty: bool
    _last_write: WriteReport | None = None

    @property
    def zarr(self) -> zarr.Array[Any]:
        """The same array as zarr-python sees it."""
        if self._zarr is None:
            mode = "r" if self._mode == "r" else "r+"
            exactly: Any = {"mode": mode, "zarr_format": self.zarr_format}
            self._zarr = zarr.open_array(self._store, path=self.path, **exactly)
        return self._zarr

    def __setitem__(self, key: Any, value: Any) -> None:
        self._write(selection.basic(key, self.shape, self.dtype), value)

    @property
    def last_write(self) -> WriteReport | None:
        """What the latest write of this object really did, or None before the first."""
        return self._last_write

    def _write(self, wanted: Selection, value: Any, downloaded: int = 0) -> None:
        self._check_writable()
        array = fitting(value, wanted.shape, field_dtype(self.dtype, wanted.field))
        parts = parts_of(self._spec.grid, wanted.what)
        if not parts.count:
            return
        covers = parts.covers if wanted.field is None else covers_nothing
        sink = sink_of(self._store)
        # No other device encodes: what is on one comes down in one copy.
        encoder, moved = devices.host(), downloaded or nbytes_on_device(value)
        self._last_write = WriteReport(encoder.name, sink.name, bytes_downloaded=moved)
        planned = pipeline.Write(
            plan_write(self._spec, parts), covers, wanted.raw(array), self._source, sink,
            self._write_empty, self._last_write, wanted.field,
        )  # fmt: skip
        pipeline.write([planned], encoder)

    def append(self, data: Any, axis: int = 0) -> tuple[int, ...]:
        """Append along an axis; the new shape.

        Raises
        ------
        ValueFitError
            If the data's other axes or dtype do not fit; nothing is changed then.
        """
        given = tuple(data.shape) if hasattr(data, "shape") else np.shape(data)
        array = fitting(data, given, self.dtype)
        shape, behind = appended(self.shape, given, axis)
        self.resize(shape)
        self._write(selection.basic(behind, self.shape, self.dtype), array, nbytes_on_device(data))
        return self.shape

    def resize(self, shape: Any) -> None:
        """Change the shape; chunks outside the new one are deleted."""
        self._check_writable()
        self.zarr.resize(shape)
        self._metadata = self.zarr.metadata
        self._spec = read_spec(self._metadata, self.path, str(self._store))

    def _check_writable(self) -> None:
        if self._mode == "r" or self._store.read_only:
            raise ReadOnlyError(
                f"The array {self._spec.name!r} was opened for reading only; open it with "
                f"mode='r+' and from a store that takes writes."
            )
