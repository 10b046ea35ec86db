"""zarr-python's codec pipeline: all chunks of a selection as one batch, read and written."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from zarr.abc.codec import Codec, CodecPipeline, GetResult
from zarr.codecs import ShardingCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.core.chunk_utils import evolve_codecs
from zarr.core.codec_pipeline import BatchedCodecPipeline, codecs_from_list
from zarr.registry import register_pipeline

from gpuzarr import device as devices
from gpuzarr import pipeline
from gpuzarr.codecs.preparing import chain_of
from gpuzarr.config import config
from gpuzarr.device.counting import counting
from gpuzarr.errors import named
from gpuzarr.items import Item, ItemPlan, array_path, object_spec, plan_items
from gpuzarr.metadata import Metadata, host_only, only_dimension, stored_objects
from gpuzarr.plan import plan_read, plan_write
from gpuzarr.report import Report, WriteReport
from gpuzarr.spec import Spec
from gpuzarr.values import converted, fitting
from gpuzarr.zarr_buffers import HostResultBuffer, ResultBuffer
from gpuzarr.zarr_stores import Opened, opened

_logger = logging.getLogger("gpuzarr")


@dataclass(frozen=True)
class GpuzarrCodecPipeline(CodecPipeline):
    """Reads and writes the chunks of a selection in batches, on a device.

    It is chosen by `gpuzarr.enable`, or by zarr's option ``codec_pipeline.path`` with the value
    ``"gpuzarr.zarr_pipeline.GpuzarrCodecPipeline"``. It belongs to an array from the moment it is
    opened and travels with it when it is pickled; it remembers no shape.

    Attributes
    ----------
    codecs
        As zarr-python resolved and evolved them.
    device
        Where results are that `ResultBuffer` leaves to us.
    host_only
        Why results stay on the host whatever the device is, or None.
    dimension
        Name of the only dimension, to tell coordinates by.
    fallback
        Why zarr-python's own pipeline does the work, or None.
    trust
        Whether chunks are "trusted" or "untrusted" (docs/codecs.md).
    """

    codecs: tuple[Codec, ...]
    device: str = "cpu"
    host_only: str | None = None
    dimension: str | None = None
    fallback: str | None = None
    trust: str = "trusted"
    _objects: dict[Any, tuple[ArraySpec, Spec]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @classmethod
    def from_codecs(cls, codecs: Iterable[Codec]) -> Self:
        """Of codecs as they stand in metadata."""
        aa, ab, bb = codecs_from_list(list(codecs))
        return cls((*aa, ab, *bb), config.get("pipeline_device"), trust=devices.trust(None))

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> Self:
        """With all that the codecs take from dtype and chunk shape filled in."""
        evolved = replace(self, codecs=evolve_codecs(self.codecs, array_spec), _objects={})
        try:
            one = evolved._object(array_spec)
            chain_of(one.format(one.chunk_shape))
        except Exception as error:
            _logger.warning("zarr-python's own pipeline is used: %s.", named(error))
            return replace(evolved, fallback=named(error), _objects={})
        return evolved

    @classmethod
    def from_array_metadata_and_store(cls, array_metadata: Metadata, store: Any) -> Self:
        """Of an array that is being opened."""
        codecs, spec = stored_objects(array_metadata)
        pipeline = replace(
            cls.from_codecs(codecs),
            host_only=host_only(array_metadata),
            dimension=only_dimension(array_metadata),
        )
        return pipeline.evolve_from_array_spec(spec)

    def explain(self) -> str:
        """In a sentence: what does the work, and where results are."""
        if self.fallback:
            return f"zarr-python's own pipeline, since: {self.fallback}"
        where = f"cpu: {self.host_only}" if self.host_only else self.device
        return f"gpuzarr, results on {where}"

    @property
    def supports_partial_decode(self) -> bool:
        """Reading inner chunks of shards is not left to their codec."""
        return False

    @property
    def supports_partial_encode(self) -> bool:
        """Nor is writing them."""
        return False

    def __iter__(self) -> Iterator[Codec]:
        return iter(self.codecs)

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Ask every codec."""
        for codec in self.codecs:
            codec.validate(shape=shape, dtype=dtype, chunk_grid=chunk_grid)

    def compute_encoded_size(self, byte_length: int, array_spec: ArraySpec) -> int:
        """Ask every codec; NotImplementedError where the size depends on the data."""
        for codec in self.codecs:
            byte_length = codec.compute_encoded_size(byte_length, array_spec)
            array_spec = codec.resolve_metadata(array_spec)
        return byte_length

    async def read(
        self, batch_info: Iterable[Item], out: NDBuffer, drop_axes: tuple[int, ...] = ()
    ) -> tuple[GetResult, ...]:
        """Fetch, decode and place the chunks of a selection, as one batch."""
        items = list(batch_info)
        if not items:
            return ()
        if self.fallback:
            pipeline.count_elsewhere(self.fallback, len(items))
            return await self._zarr().read(items, out, drop_axes)
        store = await opened(items)
        return await store.run(self._read, store, out, drop_axes)

    async def write(
        self, batch_info: Iterable[Item], value: NDBuffer, drop_axes: tuple[int, ...] = ()
    ) -> None:
        """Gather, encode and store the chunks of a selection, as one batch.

        Raises
        ------
        ValueError
            If the value does not have the shape of the selection.
        ChunkError, StoreError, ReadOnlyError
            Each stored object is then as it was or as it should be.
        """
        items = list(batch_info)
        if not items:
            return
        if self.fallback:
            pipeline.count_elsewhere(self.fallback, len(items))
            await self._zarr().write(items, value, drop_axes)
            return
        stored = await opened(items, to_write=True)
        await stored.run(self._write, stored, value, drop_axes)
        await stored.finish()

    async def decode(
        self, chunk_bytes_and_specs: Iterable[tuple[Buffer | None, ArraySpec]]
    ) -> Iterable[NDBuffer | None]:
        """Decode chunks, or whole shards, each by itself."""
        chunks: list[NDBuffer | None] = []
        for data, spec in chunk_bytes_and_specs:
            out = None
            if data is not None:
                dtype = spec.dtype.to_native_dtype()
                out = spec.prototype.nd_buffer.empty(spec.shape, dtype, spec.order)
                await self.read([(_Bytes(data), spec, *_whole(spec))], out)
            chunks.append(out)
        return chunks

    async def encode(
        self, chunk_arrays_and_specs: Iterable[tuple[NDBuffer | None, ArraySpec]]
    ) -> Iterable[Buffer | None]:
        """Encode chunks, or whole shards, each by itself; None for a shard that holds nothing."""
        results: list[Buffer | None] = []
        has_shards = any(isinstance(codec, ShardingCodec) for codec in self.codecs)
        for array, spec in chunk_arrays_and_specs:
            holder = _Bytes(None)
            if array is not None:
                if not has_shards:  # to leave out empty chunks is not for codecs to decide
                    spec = replace(spec, config=replace(spec.config, write_empty_chunks=True))
                await self.write([(holder, spec, *_whole(spec))], array)
            results.append(holder.data)
        return results

    def _read(
        self, store: Opened, out: NDBuffer, drop_axes: tuple[int, ...]
    ) -> tuple[GetResult, ...]:
        items, absent = store.items, np.zeros(len(store.items), bool)
        device = devices.get(self._device_of(items, out), self.trust)
        if isinstance(out, ResultBuffer) and out.is_unfilled:
            result: Any = out.allocate_on(device)
        else:
            result = out.as_ndarray_like()
        is_here = isinstance(result, np.ndarray) or not device.is_host
        target = result if is_here else np.empty(out.shape, out.dtype)
        reads = []
        for numbers, planned in self._planned(items, drop_axes):

            def missing(coords: Any, numbers: Any = numbers) -> None:
                absent[numbers[coords[:, 0]] if coords.shape[1] else numbers] = True

            report = Report(device.name, store.source.name)
            plan = plan_read(planned.spec, planned.parts)
            reads.append(
                pipeline.Read(plan, planned.view(target), None, store.source, report, missing)
            )
        pipeline.read(reads, device, store.stop, None, lambda: devices.get(self.device, self.trust))
        if target is not result:
            out[...] = type(out).from_numpy_array(target)
        present, gone = GetResult(status="present"), GetResult(status="missing")
        return tuple(gone if is_absent else present for is_absent in absent.tolist())

    def _write(self, store: Opened, value: NDBuffer, drop_axes: tuple[int, ...]) -> None:
        items = store.items
        planned = [plan for _, plan in self._planned(items, drop_axes)]
        plans = [plan_write(plan.spec, plan.parts) for plan in planned]
        given: Any = value.as_ndarray_like()
        device = devices.host()
        if not self.host_only and pipeline.is_for_a_device(given, plans):
            device = pipeline.encoder_of(plans, devices.get(self.device, self.trust), given)
        shape = tuple(np.max([plan.shape for plan in planned], axis=0).tolist())
        with counting() as moved:
            dtype = planned[0].spec.dtype
            array = fitting(converted(given, dtype), planned[0].kept(shape), dtype, device)
        if device.is_host:
            pipeline.count_downloaded(moved.bytes_downloaded)
        source = planned[0].view(array)
        writes = [
            pipeline.Write(
                plan, one.parts.covers, source, store.source, store.sink,
                items[0][1].config.write_empty_chunks, WriteReport(device.name, store.sink.name),
            )
            for plan, one in zip(plans, planned, strict=True)
        ]  # fmt: skip
        pipeline.write(writes, device, store.stop)

    def _planned(
        self, items: Sequence[Item], drop_axes: tuple[int, ...]
    ) -> list[tuple[Any, ItemPlan]]:
        """A plan for each shape of stored objects, with the numbers of its items."""
        first = items[0][1]
        if all(item[1] is first for item in items):
            return [(np.arange(len(items)), plan_items(self._object(first), items, drop_axes))]
        groups: dict[tuple[int, ...], list[int]] = {}
        for number, item in enumerate(items):
            groups.setdefault(item[1].shape, []).append(number)
        return [
            (
                np.array(numbers),
                plan_items(
                    self._object(items[numbers[0]][1]), [items[n] for n in numbers], drop_axes
                ),
            )
            for numbers in groups.values()
        ]

    def _object(self, spec: ArraySpec) -> Spec:
        """Stored objects of this spec; remembered, as its chain is prepared once."""
        found = self._objects.get(spec.shape)
        if found is None or (found[0] is not spec and found[0] != spec):
            found = self._objects[spec.shape] = spec, object_spec(self.codecs, spec)
        return found[1]

    def _device_of(self, items: Sequence[Item], out: NDBuffer) -> str:
        """Where this result shall be."""
        if self.device == "cpu" or self.host_only or not out.shape:
            return "cpu"
        if isinstance(out, HostResultBuffer):
            return "cpu"
        is_ours_to_choose = isinstance(out, ResultBuffer) and out.is_unfilled
        if not is_ours_to_choose and isinstance(out.as_ndarray_like(), np.ndarray):
            return "cpu"
        if not isinstance(items[0][3], tuple):  # zarr-python makes NumPy arrays of these
            return "cpu"
        name = array_path(getattr(items[0][0], "path", "")).rpartition("/")[2]
        return "cpu" if self.dimension and name == self.dimension else self.device

    def _zarr(self) -> BatchedCodecPipeline:
        return BatchedCodecPipeline.from_codecs(self.codecs)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_objects": {}}


register_pipeline(GpuzarrCodecPipeline)


def _whole(spec: ArraySpec) -> tuple[tuple[slice, ...], tuple[slice, ...], bool]:
    everything = tuple(slice(0, n, 1) for n in spec.shape)
    return everything, everything, True


@dataclass
class _Bytes:
    """The bytes of one object, to be read or written."""

    data: Buffer | None

    async def get(self, prototype: Any, byte_range: Any = None) -> Buffer | None:
        """What is there."""
        return self.data

    async def set(self, value: Buffer) -> None:
        """Replace it."""
        self.data = value

    async def delete(self) -> None:
        """Leave nothing."""
        self.data = None
