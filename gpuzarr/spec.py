"""Zarr metadata, v2 and v3, as what the rest of gpuzarr needs of it.

zarr-python's metadata classes parse and validate; this is the only module that reads them. The
result is a `Spec`: shape, dtype, fill value, the grid of the *innermost* chunks, the sharding
levels above it, and for each chunk shape a `ChunkFormat` from which a codec chain is prepared.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from zarr.abc.codec import ArrayArrayCodec, ArrayBytesCodec
from zarr.codecs import ShardingCodec
from zarr.core.array_spec import ArrayConfig, ArraySpec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.chunk_key_encodings import DefaultChunkKeyEncoding, V2ChunkKeyEncoding
from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata
from zarr.core.metadata.v3 import RectilinearChunkGridMetadata
from zarr.dtype import UInt64

from gpuzarr.axis import Axis
from gpuzarr.errors import UnsupportedError

Metadata = ArrayV2Metadata | ArrayV3Metadata
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class CodecConfig:
    """One step of a chain as the metadata has it.

    Attributes
    ----------
    name, configuration
        From the JSON (v2: the codec's ``id`` and its other entries).
    kind
        What it encodes: ``array`` to array, array to bytes (``serializer``), ``bytes`` to bytes;
        a v2 codec takes and gives any ``buffer``.
    instance
        zarr's or numcodecs' codec object, with everything that is not in its JSON.
    """

    name: str
    configuration: dict[str, Any]
    kind: Literal["array", "serializer", "bytes", "buffer"]
    instance: Any

    @property
    def class_name(self) -> str:
        """Where its exact class is defined: an override or a subclass is another codec."""
        return f"{type(self.instance).__module__}.{type(self.instance).__qualname__}"


@dataclass(frozen=True, eq=False)
class ChunkFormat:
    """How chunks of one shape are encoded: what a codec chain is prepared from.

    `specs` holds for each v3 codec, in the order of encoding, the zarr spec of what it encodes.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    order: Literal["C", "F"]
    codecs: tuple[CodecConfig, ...]
    specs: tuple[ArraySpec, ...]


@dataclass(frozen=True, eq=False)
class ShardLevel:
    """One level of sharding: the index over the chunks of a shard.

    `chunks_per_shard` counts chunks of the next level below; `index` is how the index is
    encoded, `index_nbytes` its encoded size in bytes.
    """

    shape: tuple[int, ...]
    chunks_per_shard: tuple[int, ...]
    index: ChunkFormat
    index_nbytes: int
    at_start: bool


@dataclass(frozen=True, eq=False)
class Spec:
    """An array as its metadata describes it; sizes in elements unless named bytes."""

    metadata: Metadata
    path: str
    store: str
    shape: tuple[int, ...]
    dtype: np.dtype
    fill_value: Any
    grid: tuple[Axis, ...]
    outer: tuple[Axis, ...]
    levels: tuple[ShardLevel, ...]
    codecs: tuple[CodecConfig, ...]
    order: Literal["C", "F"]
    _formats: dict[tuple[int, ...], ChunkFormat] = field(default_factory=dict)

    @property
    def zarr_format(self) -> int:
        """2 or 3."""
        return self.metadata.zarr_format

    @property
    def name(self) -> str:
        """The path, or at the root of a store the store, for messages."""
        return self.path or self.store

    @cached_property
    def fill(self) -> Any:
        """What missing chunks hold: the fill value, or the dtype's default where it is null."""
        if self.fill_value is None:
            return _zdtype(self.metadata).default_scalar()
        return self.fill_value

    @cached_property
    def is_regular(self) -> bool:
        """Whether all innermost chunks have one shape."""
        return all(axis.edges is None for axis in self.grid)

    @cached_property
    def chunk_shape(self) -> tuple[int, ...]:
        """Of the innermost chunks, where they all have one."""
        return tuple(axis.size for axis in self.grid)

    @cached_property
    def chunks_per_outer(self) -> tuple[int, ...]:
        """Innermost chunks in one stored object, per axis."""
        return tuple(
            math.prod(level.chunks_per_shard[a] for level in self.levels)
            for a in range(len(self.shape))
        )

    def format(self, shape: tuple[int, ...]) -> ChunkFormat:
        """How innermost chunks of this shape are encoded."""
        found = self._formats.get(shape)
        if found is None:
            found = self._formats[shape] = _chunk_format(
                self.metadata, self.dtype, shape, self.order, self.codecs
            )
        return found

    def keys(self, coords: Ints) -> list[str]:
        """Store keys of stored objects, from their grid coordinates ``[n, ndim]``."""
        encode = _key_encoder(self.metadata)
        prefix = f"{self.path}/" if self.path else ""
        return [prefix + encode(c) for c in coords.tolist()]


def read_spec(metadata: Metadata, path: str = "", store: str = "/") -> Spec:
    """The `Spec` of parsed metadata, found at this path of a store of this name.

    Raises
    ------
    UnsupportedError
        For a chunk grid that is neither regular nor rectilinear.
    """
    zdtype = _zdtype(metadata)
    dtype = zdtype.to_native_dtype()
    outer = _outer_grid(metadata)
    if isinstance(metadata, ArrayV2Metadata):
        codecs = tuple(
            _v2_config(c) for c in (*(metadata.filters or ()), metadata.compressor) if c is not None
        )
        levels: tuple[ShardLevel, ...] = ()
        grid, order = outer, metadata.order
    else:
        levels, instances, inner = _unwrap_shards(metadata)
        codecs = tuple(_v3_config(c) for c in instances)
        grid, order = outer, "C"
        if inner is not None:
            grid = tuple(Axis(n, size) for n, size in zip(metadata.shape, inner, strict=True))
    return Spec(
        metadata, path.strip("/"), store, tuple(metadata.shape), dtype, metadata.fill_value, grid,
        outer, levels, codecs, order,
    )  # fmt: skip


def _zdtype(metadata: Metadata) -> Any:
    return metadata.dtype if isinstance(metadata, ArrayV2Metadata) else metadata.data_type


def _outer_grid(metadata: Metadata) -> tuple[Axis, ...]:
    if isinstance(metadata, ArrayV2Metadata):
        sizes: Any = metadata.chunks
    elif isinstance(metadata.chunk_grid, RectilinearChunkGridMetadata):
        sizes = metadata.chunk_grid.chunk_shapes
    elif hasattr(metadata.chunk_grid, "chunk_shape"):
        sizes = metadata.chunk_grid.chunk_shape
    else:
        raise UnsupportedError(f"Chunk grids of kind {metadata.chunk_grid!r} are not supported.")
    axes = []
    for length, size in zip(metadata.shape, sizes, strict=True):
        if isinstance(size, int):
            axes.append(Axis(length, size))
        else:
            axes.append(Axis(length, edges=np.concatenate([[0], np.cumsum(size)]).astype(np.int64)))
    return tuple(axes)


def _unwrap_shards(
    metadata: ArrayV3Metadata,
) -> tuple[tuple[ShardLevel, ...], tuple[Any, ...], tuple[int, ...] | None]:
    """Sharding levels from the outside in, the innermost codecs, the innermost chunk shape.

    A sharding codec stays in the chain, to decode whole shards, where other codecs stand beside
    it or shards have several shapes.
    """
    levels: list[ShardLevel] = []
    codecs: tuple[Any, ...] = tuple(metadata.codecs)
    shape = _outer_shape(metadata)
    while shape is not None and len(codecs) == 1 and type(codecs[0]) is ShardingCodec:
        codec = codecs[0]
        per_shard = tuple(o // i for o, i in zip(shape, codec.chunk_shape, strict=True))
        index = _index_format(codec, per_shard)
        nbytes = _encoded_nbytes(codec.index_codecs, index.specs[0])
        at_start = codec.index_location == "start"
        levels.append(ShardLevel(shape, per_shard, index, nbytes, at_start))
        codecs, shape = tuple(codec.codecs), tuple(codec.chunk_shape)
    return tuple(levels), codecs, shape if levels else None


def _outer_shape(metadata: ArrayV3Metadata) -> tuple[int, ...] | None:
    """The shape of all stored chunks, or None where they have several."""
    if not isinstance(metadata.chunk_grid, RectilinearChunkGridMetadata):
        return tuple(metadata.chunk_grid.chunk_shape)
    sizes = [{s} if isinstance(s, int) else set(s) for s in metadata.chunk_grid.chunk_shapes]
    return tuple(s.pop() for s in sizes) if all(len(s) == 1 for s in sizes) else None


def _index_format(codec: ShardingCodec, per_shard: tuple[int, ...]) -> ChunkFormat:
    shape = (*per_shard, 2)
    spec = ArraySpec(
        shape,
        UInt64(endianness="little"),
        np.uint64(2**64 - 1),
        _CONFIG,
        default_buffer_prototype(),
    )
    configs = tuple(_v3_config(c) for c in codec.index_codecs)
    return ChunkFormat(np.dtype("<u8"), shape, "C", configs, _resolve(configs, spec))


def _encoded_nbytes(codecs: Any, spec: ArraySpec) -> int:
    nbytes = math.prod(spec.shape) * 8
    for codec in codecs:
        nbytes = codec.compute_encoded_size(nbytes, spec)
        spec = codec.resolve_metadata(spec)
    return int(nbytes)


_CONFIG = ArrayConfig(order="C", write_empty_chunks=False)


def _chunk_format(
    metadata: Metadata,
    dtype: np.dtype,
    shape: tuple[int, ...],
    order: Literal["C", "F"],
    codecs: tuple[CodecConfig, ...],
) -> ChunkFormat:
    config = replace(_CONFIG, order=order)
    spec = ArraySpec(
        shape, _zdtype(metadata), metadata.fill_value, config, default_buffer_prototype()
    )
    specs = _resolve(codecs, spec) if isinstance(metadata, ArrayV3Metadata) else (spec,)
    return ChunkFormat(dtype, shape, order, codecs, specs)


def _resolve(codecs: tuple[CodecConfig, ...], spec: ArraySpec) -> tuple[ArraySpec, ...]:
    """What each codec encodes, in the order of encoding."""
    specs = []
    for codec in codecs:
        specs.append(spec)
        spec = codec.instance.resolve_metadata(spec)
    return tuple(specs)


def _v2_config(codec: Any) -> CodecConfig:
    configuration = dict(codec.get_config())
    return CodecConfig(configuration.pop("id"), configuration, "buffer", codec)


def _v3_config(codec: Any) -> CodecConfig:
    document = codec.to_dict()
    kind: Literal["array", "serializer", "bytes"] = "bytes"
    if isinstance(codec, ArrayArrayCodec):
        kind = "array"
    elif isinstance(codec, ArrayBytesCodec):
        kind = "serializer"
    return CodecConfig(document["name"], dict(document.get("configuration") or {}), kind, codec)


def _key_encoder(metadata: Metadata) -> Callable[[list[int]], str]:
    if isinstance(metadata, ArrayV2Metadata):
        separator = metadata.dimension_separator
        return lambda c: separator.join(map(str, c)) or "0"
    encoding = metadata.chunk_key_encoding
    if type(encoding) is DefaultChunkKeyEncoding:
        separator, head = encoding.separator, "c"
        return lambda c: separator.join([head, *map(str, c)])
    if type(encoding) is V2ChunkKeyEncoding:
        separator = encoding.separator
        return lambda c: separator.join(map(str, c)) or "0"
    return lambda c: metadata.encode_chunk_key(tuple(c))
