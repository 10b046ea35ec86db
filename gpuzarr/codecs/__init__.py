"""Codecs: which ones are ours, and where they are.

The key is the exact class that zarr-python or numcodecs resolved a configuration to, so that an
override or a subclass of the user's own stays in charge. What is not listed here runs through its
own object on the CPU (`foreign`). A codec of ours is one class in one of these modules and one
line in this table.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from gpuzarr.codecs.base import Codec, Stage
from gpuzarr.codecs.number_filter import ArrayFilter, Between
from gpuzarr.errors import MetadataError, words_of
from gpuzarr.place import Layout
from gpuzarr.spec import CodecConfig

CODECS = {
    "zarr.codecs.zstd.ZstdCodec": "entropy:Zstd",
    "zarr.codecs.gzip.GzipCodec": "entropy:Gzip",
    "zarr.codecs.blosc.BloscCodec": "entropy:Blosc",
    "zarr.codecs.crc32c_.Crc32cCodec": "checksum:Crc32c",
    "zarr.codecs.numcodecs._codecs.Zstd": "entropy:Zstd",
    "zarr.codecs.numcodecs._codecs.GZip": "entropy:Gzip",
    "zarr.codecs.numcodecs._codecs.Zlib": "entropy:Zlib",
    "zarr.codecs.numcodecs._codecs.LZ4": "entropy:Lz4",
    "zarr.codecs.numcodecs._codecs.Blosc": "entropy:Blosc",
    "zarr.codecs.numcodecs._codecs.Shuffle": "filters:Shuffle",
    "zarr.codecs.numcodecs._codecs.CRC32": "checksum:Crc32",
    "zarr.codecs.numcodecs._codecs.Adler32": "checksum:Adler32",
    "zarr.codecs.numcodecs._codecs.CRC32C": "checksum:Crc32c",
    "zarr.codecs.numcodecs._codecs.Fletcher32": "checksum:Fletcher32",
    "zarr.codecs.numcodecs._codecs.Delta": "filters:Delta",
    "zarr.codecs.numcodecs._codecs.FixedScaleOffset": "numbers:FixedScaleOffset",
    "zarr.codecs.numcodecs._codecs.AsType": "numbers:AsType",
    "zarr.codecs.numcodecs._codecs.Quantize": "numbers:Quantize",
    "zarr.codecs.numcodecs._codecs.BitRound": "numbers:BitRound",
    "zarr.codecs.numcodecs._codecs.PackBits": "packing:PackBits",
    "zarr.codecs.scale_offset.ScaleOffset": "numbers:ScaleOffset",
    "zarr.codecs.cast_value.CastValue": "numbers:CastValue",
    "gpuzarr.zarr_packbits.PackBits": "packing:BitFields",
    "numcodecs.zstd.Zstd": "entropy:Zstd",
    "numcodecs.gzip.GZip": "entropy:Gzip",
    "numcodecs.zlib.Zlib": "entropy:Zlib",
    "numcodecs.lz4.LZ4": "entropy:Lz4",
    "numcodecs.blosc.Blosc": "entropy:Blosc",
    "numcodecs.shuffle.Shuffle": "filters:Shuffle",
    "numcodecs.delta.Delta": "filters:Delta",
    "numcodecs.checksum32.CRC32": "checksum:Crc32",
    "numcodecs.checksum32.Adler32": "checksum:Adler32",
    "numcodecs.checksum32.CRC32C": "checksum:Crc32c",
    "numcodecs.fletcher32.Fletcher32": "checksum:Fletcher32",
    "numcodecs.fixedscaleoffset.FixedScaleOffset": "numbers:FixedScaleOffset",
    "numcodecs.astype.AsType": "numbers:AsType",
    "numcodecs.quantize.Quantize": "numbers:Quantize",
    "numcodecs.bitround.BitRound": "numbers:BitRound",
    "numcodecs.packbits.PackBits": "packing:PackBits",
    "gpuzarr.native_codecs.GdeflateCodec": "native:Gdeflate",
    "gpuzarr.native_codecs.BitcompCodec": "native:Bitcomp",
    "gpuzarr.native_codecs.AnsCodec": "native:Ans",
    "gpuzarr.native_codecs.CascadedCodec": "native:Cascaded",
    "gpuzarr.native_codecs.Gdeflate": "native:Gdeflate",
    "gpuzarr.native_codecs.Bitcomp": "native:Bitcomp",
    "gpuzarr.native_codecs.Ans": "native:Ans",
    "gpuzarr.native_codecs.Cascaded": "native:Cascaded",
    "gpuzarr.hdf5_szip.Hdf5Szip": "szip:Hdf5Szip",
}


def own_codec(config: CodecConfig, between: Between | None = None) -> Codec | None:
    """Our codec for this configuration, or None where it is run through its own object.

    `between` is for codecs from array to array of v3.

    Raises
    ------
    MetadataError
        If the configuration is none that the codec has.
    """
    codec_class = _class(config)
    if codec_class is None:
        return None
    codec: Codec | None
    try:
        if issubclass(codec_class, ArrayFilter):
            codec = codec_class.resolved(config, between)
        else:
            codec = codec_class(config)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise MetadataError(
            f"The configuration {config.configuration} of the codec {config.name!r} cannot be "
            f"used: {words_of(error)}."
        ) from error
    return codec


def own_serializer(config: CodecConfig, spec: Any, layout: Layout) -> Codec | None:
    """The same for a codec from arrays of this layout to bytes; `spec` is zarr's of them."""
    codec_class = _class(config)
    codec: Codec | None = codec_class and codec_class(config, spec, layout)
    return codec


def _class(config: CodecConfig) -> Any:
    place = CODECS.get(config.class_name)
    if place is None:
        return None
    module, name = place.split(":")
    return getattr(import_module(f"gpuzarr.codecs.{module}"), name)


__all__ = ["CODECS", "Codec", "Stage", "own_codec", "own_serializer"]
