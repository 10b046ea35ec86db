"""Zarr metadata documents, v2 and v3, to a `Spec`.

zarr-python's metadata classes parse and validate; this is the only module that reads them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from zarr.codecs._v2 import V2Codec
from zarr.core.array_spec import ArrayConfig, ArraySpec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.chunk_key_encodings import DefaultChunkKeyEncoding, V2ChunkKeyEncoding
from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata
from zarr.core.metadata.v3 import RectilinearChunkGridMetadata, RegularChunkGridMetadata

from gpuzarr.axis import Axis
from gpuzarr.errors import GpuzarrError, MetadataError, UnsupportedError, words_of
from gpuzarr.spec import ShardLevel, Spec, unwrap_shards, v2_configs, v3_configs

Metadata = ArrayV2Metadata | ArrayV3Metadata


def read_spec(metadata: Metadata, path: str = "", store: str = "/") -> Spec:
    """The `Spec` of parsed metadata, found at this path of a store of this name.

    Raises
    ------
    UnsupportedError
        For a chunk grid that is neither regular nor rectilinear.
    MetadataError
        For what zarr-python finds wrong only when it reads, and chunks larger than any memory.
    """
    try:
        spec = _spec(metadata, path, store)
        _check_sizes(spec)
    except GpuzarrError:
        raise
    except Exception as error:
        raise MetadataError(
            f"The metadata of {path.strip('/') or store!r} cannot be used: {words_of(error)}."
        ) from error
    return spec


def _spec(metadata: Metadata, path: str, store: str) -> Spec:
    grid = outer = _outer_grid(metadata)
    levels: tuple[ShardLevel, ...] = ()
    order: Literal["C", "F"] = "C"
    zdtype: Any
    if isinstance(metadata, ArrayV2Metadata):
        codecs = v2_configs(metadata.filters, metadata.compressor)
        zdtype, order = metadata.dtype, metadata.order
    else:
        levels, instances, inner = unwrap_shards(metadata.codecs, _outer_shape(metadata))
        codecs, zdtype = v3_configs(instances), metadata.data_type
        if inner is not None:
            grid = tuple(Axis(n, size) for n, size in zip(metadata.shape, inner, strict=True))
    path = path.strip("/")
    return Spec(
        path, store, metadata.zarr_format, tuple(metadata.shape), zdtype, metadata.fill_value,
        grid, outer, levels, codecs, order, _keys(metadata, path),
    )  # fmt: skip


def _check_sizes(spec: Spec) -> None:
    """Positions in an array and in a chunk have to be 64-bit integers."""
    if max(spec.shape, default=0) > _MOST:
        raise ValueError(f"its shape {spec.shape} has a length above {_MOST}")
    for axes in (spec.grid, spec.outer):
        sizes = [axis.size if axis.edges is None else int(axis.edges[-1]) for axis in axes]
        nbytes = math.prod(max(size, 1) for size in sizes) * max(spec.dtype.itemsize, 1)
        if nbytes > _MOST:
            raise ValueError(f"its chunks have {nbytes} bytes")


_MOST = 2**63 - 1


def stored_objects(metadata: Metadata) -> tuple[list[Any], ArraySpec]:
    """The codecs of stored objects, and zarr's spec of one (of no size, where sizes differ)."""
    order: Literal["C", "F"] = "C"
    codecs: list[Any]
    if isinstance(metadata, ArrayV2Metadata):
        codecs, order = [V2Codec(metadata.filters, metadata.compressor)], metadata.order
        shape = metadata.chunks
    else:
        codecs, grid = list(metadata.codecs), metadata.chunk_grid
        shape = (1,) * len(metadata.shape)
        if isinstance(grid, RegularChunkGridMetadata):
            shape = grid.chunk_shape
    config, prototype = ArrayConfig.from_dict({"order": order}), default_buffer_prototype()
    return codecs, ArraySpec(tuple(shape), metadata.dtype, metadata.fill_value, config, prototype)


def only_dimension(metadata: Metadata) -> str | None:
    """The name of the only axis, if it has one: a coordinate is an array of this name."""
    if isinstance(metadata, ArrayV2Metadata):
        names: Any = metadata.attributes.get("_ARRAY_DIMENSIONS")
    else:
        names = metadata.dimension_names
    return names[0] if isinstance(names, list | tuple) and len(names) == 1 else None


def host_only_dtype(dtype: np.dtype) -> str | None:
    """Why results of this dtype stay on the host, whatever the device is."""
    return None if dtype.kind in "biufc" else f"a device has no arrays of dtype {dtype}"


def host_only(metadata: Metadata) -> str | None:
    """Why results of this array stay on the host, for users of zarr-python."""
    reason = host_only_dtype(metadata.dtype.to_native_dtype())
    if reason is not None:
        return reason
    if " since " in str(metadata.attributes.get("units", "")):
        return "a CF time, which is decoded on the host"
    return None


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


def _outer_shape(metadata: ArrayV3Metadata) -> tuple[int, ...] | None:
    """The shape of all stored chunks, or None where they have several."""
    if not isinstance(metadata.chunk_grid, RectilinearChunkGridMetadata):
        return tuple(metadata.chunk_grid.chunk_shape)
    sizes = [{s} if isinstance(s, int) else set(s) for s in metadata.chunk_grid.chunk_shapes]
    return tuple(s.pop() for s in sizes) if all(len(s) == 1 for s in sizes) else None


def _keys(metadata: Metadata, path: str) -> Callable[[list[list[int]]], list[str]]:
    encode, prefix = _key_encoder(metadata), f"{path}/" if path else ""
    return lambda coords: [prefix + encode(c) for c in coords]


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
