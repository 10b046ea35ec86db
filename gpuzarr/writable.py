"""The half of an `Array` that writes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from gpuzarr import device as devices
from gpuzarr import pipeline, selection
from gpuzarr.described import Described
from gpuzarr.device import Device
from gpuzarr.device.counting import Counts, counting
from gpuzarr.errors import DeviceMemoryError, ReadOnlyError
from gpuzarr.metadata import read_spec
from gpuzarr.plan import ReadPlan, covers_nothing, parts_of, plan_write
from gpuzarr.report import WriteReport
from gpuzarr.selection import Selection
from gpuzarr.sources import Source
from gpuzarr.sources.store_sink import sink_of
from gpuzarr.targets import field_dtype
from gpuzarr.values import appended, converted, fitting

if TYPE_CHECKING:
    from zarr.abc.store import Store

_logger = logging.getLogger("gpuzarr")


class Writable(Described):
    """What is done to the stored array, and what was done."""

    _store: Store
    _zarr: zarr.Array[Any] | None
    _source: Source
    _device: Device
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

    def _write(self, wanted: Selection, value: Any, moved: Counts | None = None) -> None:
        """Write a value; `moved` is what was counted while `converted` made it."""
        self._check_writable()
        dtype = field_dtype(self.dtype, wanted.field)
        parts = parts_of(self._spec.grid, wanted.what)
        plan = plan_write(self._spec, parts)
        with counting() as counts:
            array = converted(value, dtype)
            encoder, array = self._on_encoder(plan, array, wanted.shape, dtype)
        if not parts.count:
            return
        covers = parts.covers if wanted.field is None else covers_nothing
        sink = sink_of(self._store)
        self._last_write = WriteReport(encoder.name, sink.name)
        for done in (counts, moved):
            if done is not None:
                self._last_write.add_value(done)
        planned = pipeline.Write(
            plan, covers, wanted.raw(array), self._source, sink, self._write_empty,
            self._last_write, wanted.field,
        )  # fmt: skip
        pipeline.write([planned], encoder)

    def _on_encoder(
        self, plan: ReadPlan, value: Any, shape: tuple[int, ...], dtype: np.dtype
    ) -> tuple[Device, Any]:
        """The device that encodes a value, and the value there."""
        encoder = devices.host()
        if not self._device.is_host and plan.count:
            encoder = pipeline.encoder_of([plan], self._device, value)
        try:
            return encoder, fitting(value, shape, dtype, encoder)
        except DeviceMemoryError as error:
            _logger.warning("A value for %r is encoded on the CPU: %s", self._spec.name, error)
        encoder.free_memory()
        encoder = devices.host()
        return encoder, fitting(value, shape, dtype, encoder)

    def append(self, data: Any, axis: int = 0) -> tuple[int, ...]:
        """Append along an axis; the new shape.

        Raises
        ------
        ValueFitError
            If the data's other axes or dtype do not fit; nothing is changed then.
        """
        given = tuple(data.shape) if hasattr(data, "shape") else np.shape(data)
        with counting() as moved:
            array = converted(data, self.dtype)
        shape, behind = appended(self.shape, given, axis)
        self.resize(shape)
        self._write(selection.basic(behind, self.shape, self.dtype), array, moved)
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
