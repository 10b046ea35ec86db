"""The native face: an `Array` plans, reads and tells what it did."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from gpuzarr import device as devices
from gpuzarr import pipeline, runtime, selection
from gpuzarr.crops import CropParts, crops_of
from gpuzarr.explain import Explanation
from gpuzarr.indexer import Indexer, scalar
from gpuzarr.metadata import Metadata, host_only_dtype, read_spec
from gpuzarr.pending import Pending
from gpuzarr.plan import ReadPlan, WriteParts, parts_of, plan_read, plan_write
from gpuzarr.report import Report
from gpuzarr.selection import Selection
from gpuzarr.sources.store import source_of
from gpuzarr.sources.store_sink import sink_of
from gpuzarr.targets import checked_target, field_dtype
from gpuzarr.writable import Writable

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from zarr.abc.store import Store


class Array(Writable):
    """A Zarr array that is read on a device.

    Made by `gpuzarr.open`; the data stay in the store until they are indexed. Reading from many
    threads at once is safe.

    Examples
    --------
    >>> import numpy as np, zarr, gpuzarr
    >>> z = zarr.create_array(store={}, shape=(6, 4), chunks=(2, 2), dtype="i4")
    >>> z[:] = np.arange(24).reshape(6, 4)
    >>> a = gpuzarr.open(z)
    >>> a[1:3, ::-2]
    array([[ 7,  5],
           [11,  9]], dtype=int32)
    """

    def __init__(
        self,
        metadata: Metadata,
        store: Store,
        path: str,
        device: str,
        *,
        mode: str = "r",
        zarr_array: zarr.Array[Any] | None = None,
        write_empty: bool | None = None,
        trust: str | None = None,
    ) -> None:
        self._metadata = metadata
        self._spec = read_spec(metadata, path, str(store))
        self._store, self._mode, self._zarr = store, mode, zarr_array
        self._trust = devices.trust(trust)
        wanted = devices.get(device, self._trust)
        self._wanted = wanted.name
        self._why_host = None if wanted.is_host else host_only_dtype(self.dtype)
        self._device = devices.get("cpu") if self._why_host else wanted
        self._source = source_of(store)
        self._last_read: Report | None = None
        # zarr-python, too, keeps to the configuration under which an array was opened
        self._write_empty = _writes_empty(zarr_array) if write_empty is None else write_empty

    @property
    def store(self) -> Store:
        """The zarr store."""
        return self._store

    @property
    def device(self) -> str:
        """Name of the device that results are on."""
        return self._device.name

    @property
    def trust(self) -> str:
        """Whether the chunks are "trusted" or "untrusted" (docs/codecs.md)."""
        return self._trust

    @property
    def meta_array(self) -> Any:
        """An empty array of the kind that reading gives, as in zarr-python 2."""
        return self._device.new_result((), np.dtype(float))

    @property
    def attrs(self) -> Any:
        """User attributes; writable where the array is."""
        return self.zarr.attrs

    def nbytes_stored(self) -> int:
        """Encoded size in bytes, counted in the store."""
        return self.zarr.nbytes_stored()

    def __getitem__(self, key: Any) -> Any:
        return scalar(self._read(selection.basic(key, self.shape, self.dtype)))

    @property
    def oindex(self) -> Indexer:
        """Orthogonal indexing: each axis by a slice, an integer, an index list or a mask."""
        return self._indexer(lambda key: selection.orthogonal(key, self.shape))

    @property
    def vindex(self) -> Indexer:
        """Pointwise indexing: one mask of the array's shape, or an index array per axis."""
        return self._indexer(lambda key: selection.coordinates(key, self.shape))

    @property
    def blocks(self) -> Indexer:
        """Whole stored chunks, or shards, by their number in the grid."""
        outer = self._spec.outer

        def bound(axis: int, number: int) -> int:
            return min(int(outer[axis].start(number)), outer[axis].length)

        counts = tuple(axis.count for axis in outer)
        return self._indexer(
            lambda key: selection.basic(selection.block(key, counts, bound), self.shape)
        )

    def _indexer(self, normalise: Callable[[Any], Selection]) -> Indexer:
        return Indexer(normalise, self._read, self._write)

    def read(
        self, selection: Any = ..., *, out: Any = None, wait: bool = True, stream: Any = None
    ) -> Any:
        """Read a selection.

        Parameters
        ----------
        selection
            As in ``a[selection]``.
        out
            Where to: a NumPy array, or anything that shares host memory through DLPack (a torch
            tensor), of the selection's shape and the array's dtype; on a GPU a CuPy array, or
            what shares the GPU's memory so. Its content is undefined if an error is raised.
        wait
            False: go on at once, and have a `Pending` whose ``result()`` waits and raises.
        stream
            CuPy's stream that `out` was last used on, where that is not the current one.

        Returns
        -------
        array
            `out`, or a new array on the device. When it is there, its content is complete for
            every stream.

        Raises
        ------
        SelectionError, OutputError, ChunkError, StoreError
        """
        result, planned = self._planned(_basic(selection, self), out)
        begun, stop = self._device.begin(stream), runtime.Stop()
        if wait:
            self._run(planned, stop, begun)
            return result
        return Pending(result, runtime.in_background(self._run, planned, stop, begun), stop)

    async def read_async(self, selection: Any = ..., *, out: Any = None) -> Any:
        """`read`, awaited: the event loop stays free, and cancelling ends the read."""
        stop = runtime.Stop()
        try:
            return await asyncio.to_thread(self._read, _basic(selection, self), out, stop)
        except asyncio.CancelledError:
            stop.set()
            raise

    def read_many(
        self, selections: Any, *, shape: tuple[int, ...] | None = None, out: Any = None
    ) -> Any:
        """Read many boxes of one shape as one batch; chunks they share are decoded once.

        Parameters
        ----------
        selections
            A sequence of basic selections, or with `shape` an integer array ``[n, ndim]`` of
            origins.
        shape
            Shape of the boxes, in elements.
        out
            As for `read`, of shape ``(n, *box)``.

        Returns
        -------
        array
            ``[n, …]``, the boxes stacked.

        Raises
        ------
        SelectionError
            If boxes differ in shape, have steps, or leave the array.
        """
        crops = crops_of(selections, shape, self.shape)
        result, target = self._target(out, crops.shape, self.dtype)
        plan = plan_read(self._spec, CropParts(self._spec.grid, crops))
        self._run(self._bound(plan, target[crops.view], None))
        return result

    def explain(self, selection: Any = ..., *, writing: bool = False) -> Explanation:
        """How a selection would be read: chunks, stages, devices and why. Nothing is read.

        `writing` asks how it would be written, from a value on the array's device.
        """
        parts = parts_of(self._spec.grid, _basic(selection, self).what)
        if writing:
            return self._explain_write(parts)
        plan = plan_read(self._spec, parts)
        route = pipeline.route_of(plan, self._device)
        told = getattr(self._zarr and self._zarr.async_array.codec_pipeline, "explain", None)
        source, way = pipeline.way_of(self._source, route, self._device)
        return Explanation.of(plan, route, source, way, told and told(), self._why_host)

    def _explain_write(self, parts: WriteParts) -> Explanation:
        plan = plan_write(self._spec, parts)
        route = pipeline.encoding_route_of(plan, self._device)
        told = Explanation.of(plan, route, sink_of(self._store).name, why_host=self._why_host)
        return replace(told, device=self.device, writing=True)

    @property
    def last_read(self) -> Report | None:
        """What the latest read of this object really did, or None before the first."""
        return self._last_read

    def _read(self, wanted: Selection, out: Any = None, stop: runtime.Stop | None = None) -> Any:
        result, planned = self._planned(wanted, out)
        self._run(planned, stop)
        return result

    def _planned(self, wanted: Selection, out: Any = None) -> tuple[Any, pipeline.Read]:
        result, target = self._target(out, wanted.shape, field_dtype(self.dtype, wanted.field))
        plan = plan_read(self._spec, parts_of(self._spec.grid, wanted.what))
        return result, self._bound(plan, wanted.raw(target), wanted.field)

    def _bound(self, plan: ReadPlan, target: Any, field: Any) -> pipeline.Read:
        report = Report(self.device, self._source.name)
        return pipeline.Read(plan, target, field, self._source, report)

    def _run(
        self, planned: pipeline.Read, stop: runtime.Stop | None = None, begun: Any = None
    ) -> None:
        self._last_read = planned.report
        pipeline.read([planned], self._device, stop, begun)

    def _target(self, out: Any, shape: tuple[int, ...], dtype: np.dtype) -> tuple[Any, Any]:
        """What is returned, and the array that is filled."""
        if out is None:
            result = self._device.new_result(shape, dtype)
            return result, result
        return out, checked_target(out, shape, dtype, self._device)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("A Zarr array is decoded into new memory: copy=False cannot be met.")
        return np.asarray(self[...], dtype=dtype)

    def __dlpack__(self, **arguments: Any) -> Any:
        return self.read().__dlpack__(**arguments)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.meta_array.__dlpack_device__()  # type: ignore[no-any-return]

    def __reduce__(self) -> tuple[Any, ...]:
        opened = partial(
            Array, mode=self._mode, zarr_array=self._zarr, write_empty=self._write_empty,
            trust=self._trust,
        )  # fmt: skip
        return opened, (self._metadata, self._store, self.path, self._wanted)


def _writes_empty(array: zarr.Array[Any] | None) -> bool:
    if array is not None:
        return array.config.write_empty_chunks
    return bool(zarr.config.get("array.write_empty_chunks"))


def _basic(key: Any, array: Array) -> Selection:
    return selection.basic(key, array.shape, array.dtype)
