"""What an array is, as the rest of gpuzarr needs it: shape, grid, dtype, fill value, codecs.

A `Spec` has the grid of the *innermost* chunks, the sharding levels above it, and for each chunk
shape a `ChunkFormat` from which a codec chain is prepared. It is made from a metadata document
(`metadata`) or from what zarr-python hands to a codec pipeline (`items`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from zarr.abc.codec import ArrayArrayCodec, ArrayBytesCodec
from zarr.codecs import ShardingCodec
from zarr.codecs.sharding import _ShardIndex
from zarr.core.array_spec import ArrayConfig, ArraySpec
from zarr.core.buffer import default_buffer_prototype
from zarr.dtype import UInt64

from gpuzarr.axis import Axis
from gpuzarr.errors import MetadataError, words_of

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
    encoded, `index_nbytes` its encoded size in bytes; `codec` is zarr's object, which has what
    the JSON lacks.
    """

    shape: tuple[int, ...]
    chunks_per_shard: tuple[int, ...]
    index: ChunkFormat
    index_nbytes: int
    at_start: bool
    codec: ShardingCodec

    @cached_property
    def write_order(self) -> list[int]:
        """Positions of the chunks in the index, in the order in which their bytes are written."""
        per_shard = self.chunks_per_shard
        coords = self.codec._subchunk_order_iter(per_shard, self.codec.subchunk_write_order)
        strides = [math.prod(per_shard[axis + 1 :]) for axis in range(len(per_shard))]
        return [sum(i * s for i, s in zip(c, strides, strict=True)) for c in coords]


@dataclass(frozen=True, eq=False)
class Spec:
    """An array as its metadata describes it; sizes in elements unless named bytes.

    `zdtype` is zarr's data type; `key_of` makes the store keys of stored objects from their grid
    coordinates.
    """

    path: str
    store: str
    zarr_format: int
    shape: tuple[int, ...]
    zdtype: Any
    fill_value: Any
    grid: tuple[Axis, ...]
    outer: tuple[Axis, ...]
    levels: tuple[ShardLevel, ...]
    codecs: tuple[CodecConfig, ...]
    order: Literal["C", "F"]
    key_of: Callable[[list[list[int]]], list[str]]
    _formats: dict[tuple[tuple[int, ...], bool], ChunkFormat] = field(default_factory=dict)

    @cached_property
    def dtype(self) -> np.dtype:
        """NumPy's, as zarr-python reports it."""
        dtype: np.dtype = self.zdtype.to_native_dtype()
        return dtype

    @property
    def name(self) -> str:
        """The path, or at the root of a store the store, for messages."""
        return self.path or self.store

    @cached_property
    def fill(self) -> Any:
        """What missing chunks hold: the fill value, or the dtype's default where it is null."""
        if self.fill_value is None:
            return self.zdtype.default_scalar()
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

    def format(self, shape: tuple[int, ...], write_empty: bool = False) -> ChunkFormat:
        """How innermost chunks of this shape are encoded.

        `write_empty` is for a sharding codec among the codecs, which has to know it.
        """
        found = self._formats.get((shape, write_empty))
        if found is None:
            config = replace(_CONFIG, order=self.order, write_empty_chunks=write_empty)
            prototype = default_buffer_prototype()
            spec = ArraySpec(shape, self.zdtype, self.fill_value, config, prototype)
            try:
                specs = resolve(self.codecs, spec) if self.zarr_format == 3 else (spec,)
            except Exception as error:
                raise MetadataError(
                    f"The codecs of array {self.name!r} cannot be used: {words_of(error)}."
                ) from error
            found = ChunkFormat(self.dtype, shape, self.order, self.codecs, specs)
            self._formats[shape, write_empty] = found
        return found

    def keys(self, coords: Ints) -> list[str]:
        """Store keys of stored objects, from their grid coordinates ``[n, ndim]``."""
        return self.key_of(coords.tolist())


def unwrap_shards(
    codecs: Sequence[Any], shape: tuple[int, ...] | None
) -> tuple[tuple[ShardLevel, ...], tuple[Any, ...], tuple[int, ...] | None]:
    """Sharding levels from the outside in, the innermost codecs, the innermost chunk shape.

    `shape` is that of all stored objects, or None where they have several. A sharding codec
    stays in the chain, to treat whole shards, in that case, and where other codecs stand beside
    it.
    """
    levels: list[ShardLevel] = []
    inner: tuple[Any, ...] = tuple(codecs)
    while shape is not None and len(inner) == 1 and is_zarrs_sharding(inner[0]):
        codec = inner[0]
        levels.append(shard_level(codec, shape))
        inner, shape = tuple(codec.codecs), tuple(codec.chunk_shape)
    return tuple(levels), inner, shape if levels else None


def shard_level(codec: ShardingCodec, shape: tuple[int, ...]) -> ShardLevel:
    """The level of sharding of this codec over shards of this shape."""
    per_shard = tuple(o // i for o, i in zip(shape, codec.chunk_shape, strict=True))
    index = _index_format(codec, per_shard)
    nbytes = _encoded_nbytes(codec.index_codecs, index.specs[0])
    return ShardLevel(shape, per_shard, index, nbytes, codec.index_location == "start", codec)


_LOOK_UP = _ShardIndex.get_chunk_slice


def is_zarrs_sharding(codec: Any) -> bool:
    """Whether it is neither a subclass nor patched: who changed how it works stays in charge."""
    return type(codec) is ShardingCodec and _ShardIndex.get_chunk_slice is _LOOK_UP


def _index_format(codec: ShardingCodec, per_shard: tuple[int, ...]) -> ChunkFormat:
    shape = (*per_shard, 2)
    spec = ArraySpec(
        shape,
        UInt64(endianness="little"),
        np.uint64(2**64 - 1),
        _CONFIG,
        default_buffer_prototype(),
    )
    codecs, given = [], spec
    for index_codec in codec.index_codecs:  # as zarr-python does when it reads an index
        codecs.append(index_codec.evolve_from_array_spec(given))
        given = codecs[-1].resolve_metadata(given)
    configs = v3_configs(codecs)
    return ChunkFormat(np.dtype("<u8"), shape, "C", configs, resolve(configs, spec))


def _encoded_nbytes(codecs: Any, spec: ArraySpec) -> int:
    nbytes = math.prod(spec.shape) * 8
    for codec in codecs:
        nbytes = codec.compute_encoded_size(nbytes, spec)
        spec = codec.resolve_metadata(spec)
    return int(nbytes)


_CONFIG = ArrayConfig(order="C", write_empty_chunks=False)


def resolve(codecs: tuple[CodecConfig, ...], spec: ArraySpec) -> tuple[ArraySpec, ...]:
    """What each codec encodes, in the order of encoding."""
    specs = []
    for codec in codecs:
        specs.append(spec)
        spec = codec.instance.resolve_metadata(spec)
    return tuple(specs)


def v2_configs(filters: Sequence[Any] | None, compressor: Any) -> tuple[CodecConfig, ...]:
    """Of numcodecs' objects."""
    configs = []
    for codec in (*(filters or ()), compressor):
        if codec is not None:
            configuration = dict(codec.get_config())
            configs.append(CodecConfig(configuration.pop("id"), configuration, "buffer", codec))
    return tuple(configs)


def v3_configs(codecs: Sequence[Any]) -> tuple[CodecConfig, ...]:
    """Of zarr's objects."""
    return tuple(_v3_config(codec) for codec in codecs)


def _v3_config(codec: Any) -> CodecConfig:
    document = codec.to_dict()
    kind: Literal["array", "serializer", "bytes"] = "bytes"
    if isinstance(codec, ArrayArrayCodec):
        kind = "array"
    elif isinstance(codec, ArrayBytesCodec):
        kind = "serializer"
    return CodecConfig(document["name"], dict(document.get("configuration") or {}), kind, codec)
