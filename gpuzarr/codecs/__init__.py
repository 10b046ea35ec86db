"""Codecs: which ones are ours, and where they are.

The key is the exact class that zarr-python or numcodecs resolved a configuration to, so that an
override or a subclass of the user's own stays in charge. What is not listed here runs through its
own object on the CPU (`foreign`). A codec of ours is one class in one of these modules and one
line in this table.
"""

from __future__ import annotations

from importlib import import_module

from gpuzarr.codecs.base import Codec, Stage
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
}


def own_codec(config: CodecConfig) -> Codec | None:
    """Our codec for this configuration, or None where it is run through its own object."""
    place = CODECS.get(config.class_name)
    if place is None:
        return None
    module, name = place.split(":")
    codec: Codec = getattr(import_module(f"gpuzarr.codecs.{module}"), name)(config)
    return codec


__all__ = ["CODECS", "Codec", "Stage", "own_codec"]
