"""Chains of the codecs that metadata name, prepared for chunks of one shape."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from gpuzarr.batch import BYTES
from gpuzarr.codecs import own_codec, own_serializer
from gpuzarr.codecs.base import Codec, Stage, most_encoded
from gpuzarr.codecs.chain import Chain
from gpuzarr.codecs.foreign import Foreign
from gpuzarr.codecs.number_filter import ArrayFilter, Between
from gpuzarr.errors import GpuzarrError, MetadataError, words_of
from gpuzarr.place import Layout
from gpuzarr.spec import ChunkFormat, CodecConfig, is_zarrs_sharding


@lru_cache(maxsize=256)
def chain_of(chunk: ChunkFormat) -> Chain:
    """The chain that decodes chunks of this format, prepared once.

    Raises
    ------
    MetadataError
        If codecs do not fit what they are given, or configurations do not fit codecs.
    """
    is_v2 = any(config.kind == "buffer" for config in chunk.codecs) or not chunk.codecs
    try:
        for config in chunk.codecs:  # zarr-python's wrappers of numcodecs make theirs only now
            getattr(config.instance, "_codec", None)
        return _prepare_v2(chunk) if is_v2 else _prepare_v3(chunk)
    except GpuzarrError:
        raise
    except Exception as error:
        names = "+".join(config.name for config in chunk.codecs)
        raise MetadataError(f"The codecs {names} cannot be used: {words_of(error)}.") from error


def _prepare_v2(chunk: ChunkFormat) -> Chain:
    layout = Layout.plain(chunk.dtype, chunk.shape, chunk.order)
    most = size = None if layout.on_host_only else layout.size
    stages: list[Stage] = []
    for number, config in enumerate(chunk.codecs):
        after = layout if number == 0 else None
        codec = own_codec(config) or Foreign(config, None, after=after)
        stages.insert(0, Stage(codec, size, after, most))
        most, size = most_encoded(codec, most), codec.encoded_nbytes(size)
    return Chain(tuple(stages), layout, layout.dtype)


def _prepare_v3(chunk: ChunkFormat) -> Chain:
    split = next(n for n, config in enumerate(chunk.codecs) if config.kind == "serializer")
    arrays, serializer, strings = (
        chunk.codecs[:split], chunk.codecs[split], chunk.codecs[split + 1 :],
    )  # fmt: skip
    for config in strings:
        if config.kind != "bytes":
            raise ValueError(f"{config.name}, a codec of arrays, stands behind {serializer.name}")
    spec = chunk.specs[split]
    dtype = spec.dtype.to_native_dtype()
    stages: list[Stage] = []

    if _is_bytes(serializer):
        layout = Layout.plain(_stored_dtype(dtype, serializer), spec.shape)
        size: int | None = layout.size
        most = size
    else:
        layout = Layout.plain(dtype, spec.shape)
        codec = _serializer(serializer, spec, layout)
        decoded = None if layout.on_host_only else layout.size
        stages.append(Stage(codec, decoded, layout, decoded))
        most, size = most_encoded(codec, decoded), codec.encoded_nbytes(decoded)
    for number, config in enumerate(strings, start=split + 1):
        own = own_codec(config) or Foreign(config, chunk.specs[number])
        stages.insert(0, Stage(own, size, most=most))
        most, size = most_encoded(own, most), own.encoded_nbytes(size)

    for number in reversed(range(split)):
        config, spec = arrays[number], chunk.specs[number]
        if config.class_name == "zarr.codecs.transpose.TransposeCodec":
            order = config.instance.order
            layout = layout.transposed(tuple(order.index(a) for a in range(len(order))))
            continue
        given = chunk.specs[number + 1].dtype.to_native_dtype()
        after = Layout.plain(spec.dtype.to_native_dtype(), spec.shape)
        filter_, layout = _filter(config, Between(spec, layout, given, after))
        stages.append(Stage(filter_, layout.size, layout))
    return Chain(tuple(stages), layout, BYTES)


def _filter(config: CodecConfig, between: Between) -> tuple[Codec, Layout]:
    """A codec from array to array, and how the memory that it decodes to is an array."""
    own = own_codec(config, between)
    if isinstance(own, ArrayFilter):
        return own, own.layout or between.after
    foreign = Foreign(config, between.spec, between.before, between.given, between.after)
    return foreign, between.after


def _serializer(config: CodecConfig, spec: Any, layout: Layout) -> Codec:
    if is_zarrs_sharding(config.instance):
        from gpuzarr.codecs.sharding import Sharding  # which is made of chains

        return Sharding(config, spec, layout)
    return own_serializer(config, spec, layout) or Foreign(config, spec, after=layout)


def _is_bytes(config: CodecConfig) -> bool:
    return config.class_name == "zarr.codecs.bytes.BytesCodec"


def _stored_dtype(dtype: np.dtype, config: CodecConfig) -> np.dtype:
    endian = config.instance.endian
    return dtype if endian is None else dtype.newbyteorder(endian)
