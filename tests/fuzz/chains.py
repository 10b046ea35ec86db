"""The chains that are fuzzed: every codec of the registry, and how arrays combine them.

A `Target` is an array of a few chunks in memory, what its chunks hold, and what each codec of the
chain makes of them, so that damage can be done between any two codecs: what stands behind is
encoded, and checksums computed, over the damaged bytes.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numcodecs
import numpy as np
import zarr
from device.streams import as_snappy
from numcodecs.compat import ensure_bytes
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import (
    BloscCodec,
    BytesCodec,
    CastValue,
    Crc32cCodec,
    GzipCodec,
    ScaleOffset,
    TransposeCodec,
    ZstdCodec,
)
from zarr.codecs import numcodecs as wrapped
from zarr.core.array_spec import ArrayConfig, ArraySpec
from zarr.core.buffer import cpu
from zarr.storage import MemoryStore

SLOTS = 16
"""Chunks of a target's array."""

PATH = "group/field"


@dataclass(frozen=True)
class Recipe:
    """How to make an array; `codecs` as zarr-python takes them, filters, serializer, compressors.

    A v2 array where all are numcodecs', else v3.
    """

    name: str
    dtype: str
    codecs: tuple[Any, ...]
    count: int = 300
    order: str = "C"
    version: int = 3


def _data(dtype: str, count: int) -> list[np.ndarray]:
    """From what hardly compresses to what nearly vanishes; fit for any filter."""
    rng = np.random.default_rng(1)
    walk = np.cumsum(rng.normal(0, 2, count))
    kinds = [
        walk,
        np.round(walk),
        np.arange(count) % 100,
        np.zeros(count),
        rng.integers(0, 9, count) ** 2,
        rng.integers(0, 120, count),
    ]
    return [np.abs(k % 120).astype(dtype) for k in kinds]


class Target:
    """An array under fuzz."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.name = recipe, recipe.name
        self.store = MemoryStore()
        shape = (6, recipe.count // 6)
        self.values = [v.reshape(1, *shape) for v in _data(recipe.dtype, recipe.count)]
        arguments: dict[str, Any] = {"order": recipe.order} if recipe.version == 2 else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.zarr = zarr.create_array(
                self.store, name=PATH, shape=(SLOTS, *shape), chunks=(1, *shape),
                dtype=recipe.dtype, zarr_format=recipe.version, fill_value=0,  # type: ignore[arg-type]
                **_parts(recipe), **arguments,
            )  # fmt: skip
        self.shape = (1, *shape)
        self.nbytes = self.values[0].nbytes

    def key(self, slot: int) -> str:
        """Of the object that holds this chunk."""
        return f"{PATH}/c/{slot}/0/0" if self.recipe.version == 3 else f"{PATH}/{slot}.0.0"

    def put(self, slot: int, encoded: bytes) -> None:
        """Store a chunk."""
        self.store._store_dict[self.key(slot)] = cpu.Buffer.from_bytes(encoded)

    @property
    def names(self) -> list[str]:
        """Of the codecs whose output is bytes, as numcodecs calls them, in encoding order."""
        return [name_of(codec) for codec in self.byte_codecs]

    @property
    def byte_codecs(self) -> list[Any]:
        """The codecs whose output is bytes: all of a v2 array's."""
        if self.recipe.version == 2:
            return list(self.codecs) or [None]
        first = next(n for n, c in enumerate(self.codecs) if isinstance(c, BytesCodec))
        return list(self.codecs[first:])

    @cached_property
    def codecs(self) -> tuple[Any, ...]:
        """In encoding order."""
        if self.recipe.version == 2:
            metadata = self.zarr.metadata
            return (*(metadata.filters or ()), *filter(None, [metadata.compressor]))
        return tuple(self.zarr.metadata.codecs)

    @cached_property
    def spec(self) -> ArraySpec:
        """Of one chunk, for zarr-python's codecs."""
        config = ArrayConfig.from_dict({"order": self.recipe.order})
        dtype, fill = self.zarr.metadata.dtype, self.zarr.metadata.fill_value
        return ArraySpec(self.shape, dtype, fill, config, cpu.buffer_prototype)

    @cached_property
    def specs(self) -> list[ArraySpec]:
        """What each codec of a v3 array encodes."""
        specs, spec = [], self.spec
        for codec in self.codecs:
            specs.append(spec)
            spec = codec.resolve_metadata(spec)
        return specs

    @cached_property
    def pristine(self) -> list[list[bytes]]:
        """For each of the values what each of `byte_codecs` made of it."""
        return [self._steps(value) for value in self.values]

    def _steps(self, value: np.ndarray) -> list[bytes]:
        steps: list[bytes] = []
        chunk: Any
        if self.recipe.version == 2:
            chunk = np.asarray(value, order=self.recipe.order)  # type: ignore[call-overload]
            for codec in self.codecs:
                chunk = codec.encode(chunk)
                steps.append(ensure_bytes(chunk))
            if "snappy" in self.name:
                steps[-1] = as_snappy(steps[-1]) if not steps[-1][2] & 2 else steps[-1]
            return steps or [value.tobytes(order=self.recipe.order)]  # type: ignore[arg-type]
        chunk = cpu.NDBuffer.from_ndarray_like(value)
        for codec, spec in zip(self.codecs, self.specs, strict=True):
            chunk = codec._encode_sync(chunk, spec)
            if isinstance(chunk, cpu.Buffer):
                steps.append(chunk.to_bytes())
        return steps

    def encoded_from(self, level: int, data: bytes) -> bytes:
        """What the codecs behind number `level` of `byte_codecs` make of these bytes."""
        for codec in self.byte_codecs[level + 1 :]:
            if self.recipe.version == 2:
                data = ensure_bytes(codec.encode(data))
            else:
                spec = self.specs[self.codecs.index(codec)]
                data = codec._encode_sync(cpu.Buffer.from_bytes(data), spec).to_bytes()
        return data


def name_of(codec: Any) -> str:
    """A codec's name, as numcodecs has it."""
    if codec is None:
        return "bytes"
    if hasattr(codec, "codec_id"):
        return str(codec.codec_id)
    return str(codec.to_dict()["name"]).removeprefix("numcodecs.")


def _parts(recipe: Recipe) -> dict[str, Any]:
    if recipe.version == 2:
        filters, compressor = list(recipe.codecs), None
        if filters and not is_filter(filters[-1]):
            compressor = filters.pop()
        return {"filters": filters or None, "compressors": compressor}
    codecs = list(recipe.codecs)
    at = next((n for n, c in enumerate(codecs) if isinstance(c, BytesCodec)), None)
    if at is None:
        at = next((n for n, c in enumerate(codecs) if isinstance(c, BytesBytesCodec)), len(codecs))
        codecs.insert(at, BytesCodec())
    return {"filters": codecs[:at], "serializer": codecs[at], "compressors": codecs[at + 1 :]}


def is_filter(codec: Any) -> bool:
    """Whether a codec of numcodecs' is no compressor."""
    return codec.codec_id in _FILTERS


_FILTERS = ("shuffle", "delta", "fixedscaleoffset", "astype", "quantize", "bitround", "packbits")


# --- the chains -----------------------------------------------------------------------------------


def _compressors() -> list[Recipe]:
    n = numcodecs
    found = [
        Recipe("v3 bytes", "<i4", ()),
        Recipe("v3 zstd", "<i4", (ZstdCodec(),)),
        Recipe("v3 zstd checksum", "<f4", (ZstdCodec(checksum=True),)),
        Recipe("v3 gzip", "<f4", (GzipCodec(),)),
        Recipe("v3 zlib", "<i2", (wrapped.Zlib(),)),
        Recipe("v3 lz4", "<i2", (wrapped.LZ4(),)),
        Recipe("v3 numcodecs zstd, gzip", "<i2", (wrapped.GZip(), wrapped.Zstd())),
        Recipe("v2 raw", "<i4", (), version=2),
        Recipe("v2 zstd", "<f8", (n.Zstd(level=3),), version=2),
        Recipe("v2 gzip", "<f8", (n.GZip(),), version=2),
        Recipe("v2 zlib", "<i4", (n.Zlib(),), version=2),
        Recipe("v2 lz4", "<i4", (n.LZ4(),), version=2),
        Recipe("v3 bz2", "<i4", (wrapped.BZ2(),)),
        Recipe("v2 lzma", "<i4", (n.LZMA(),), version=2),
    ]
    rules = [("|u1", 0), ("<i2", 256), ("<f4", 512), ("<f8", 1024)]
    for number, cname in enumerate(("blosclz", "lz4", "lz4hc", "zlib", "zstd", "snappy")):
        for shuffle in range(3):
            dtype, blocksize = rules[(number + shuffle) % len(rules)]
            inner = "lz4" if cname == "snappy" else cname  # made of it, see `oracle`
            count = 2112 // np.dtype(dtype).itemsize
            name = f"blosc {cname} {('none', 'bytes', 'bits')[shuffle]}"
            if (number + shuffle) % 2 or cname == "snappy":
                codec: Any = n.Blosc(inner, 9, shuffle, blocksize)
                found.append(Recipe(f"v2 {name}", dtype, (codec,), count, version=2))
            else:
                kind = ("noshuffle", "shuffle", "bitshuffle")[shuffle]
                codec = BloscCodec(cname=inner, clevel=9, shuffle=kind, blocksize=blocksize)
                found.append(Recipe(f"v3 {name}", dtype, (codec,), count))
    return found


def _chains() -> list[Recipe]:
    n, big = numcodecs, BytesCodec(endian="big")
    delta = n.Delta("<i4", "<i2")
    return [
        Recipe("v3 crc32c", "<i4", (Crc32cCodec(),)),
        Recipe("v3 zstd+crc32c", "<i4", (ZstdCodec(), Crc32cCodec())),
        Recipe("v3 crc32c+zstd", "<i4", (Crc32cCodec(), ZstdCodec())),
        Recipe("v3 gzip+crc32c", "<f4", (GzipCodec(), Crc32cCodec())),
        Recipe("v3 blosc zstd+crc32c", "<f4", (BloscCodec(cname="zstd"), Crc32cCodec()), 528),
        Recipe("v3 crc32", "<i4", (wrapped.CRC32(),)),
        Recipe("v3 lz4+adler32", "<i4", (wrapped.LZ4(), wrapped.Adler32())),
        Recipe("v3 numcodecs crc32c", "<i4", (wrapped.CRC32C(),)),
        Recipe("v3 fletcher32", "<i4", (wrapped.Fletcher32(),)),
        Recipe("v3 zlib+fletcher32", "<i4", (wrapped.Zlib(), wrapped.Fletcher32())),
        Recipe("v3 shuffle+zlib", "<i4", (wrapped.Shuffle(elementsize=4), wrapped.Zlib())),
        Recipe("v3 shuffle alone", "<i4", (wrapped.Shuffle(elementsize=3),)),
        Recipe("v3 two compressors", "<i4", (ZstdCodec(), GzipCodec())),
        Recipe("v3 numcodecs blosc", "<i4", (wrapped.Blosc(cname="lz4", shuffle=2),), 528),
        Recipe("v3 crc32c between", "<i4", (ZstdCodec(), Crc32cCodec(), wrapped.LZ4())),
        Recipe("v3 big-endian", ">i4", (big, ZstdCodec())),
        Recipe("v3 transposed", "<i4", (TransposeCodec(order=(2, 0, 1)), GzipCodec())),
        Recipe("v3 all at once", "<i2", (TransposeCodec(order=(0, 2, 1)), big,
               wrapped.Shuffle(elementsize=2), BloscCodec(cname="lz4"), Crc32cCodec()), 1056),
        Recipe("v3 delta", "<i4", (wrapped.Delta(dtype="<i4"), ZstdCodec())),
        Recipe("v3 fixedscaleoffset", "<f8",
               (wrapped.FixedScaleOffset(offset=3, scale=10, dtype="<f8", astype="<i2"),
                GzipCodec())),
        Recipe("v3 scale_offset", "<f4", (ScaleOffset(offset=5, scale=2), ZstdCodec())),
        Recipe("v3 scale_offset exact", "<i4", (ScaleOffset(offset=5, scale=2), ZstdCodec())),
        Recipe("v3 cast_value", "<f8",
               (CastValue(data_type="int16", rounding="towards-zero", out_of_range="clamp"),
                ZstdCodec())),
        Recipe("v3 cast_value exact", "<i2", (CastValue(data_type="int32"), wrapped.LZ4())),
        Recipe("v3 astype", "<f4",
               (wrapped.AsType(encode_dtype="<f8", decode_dtype="<f4"), ZstdCodec())),
        Recipe("v3 quantize", "<f4", (wrapped.Quantize(digits=2, dtype="<f4"), ZstdCodec())),
        Recipe("v3 bitround", "<f4", (wrapped.BitRound(keepbits=7), wrapped.Zlib())),
        Recipe("v3 packbits", "|b1", (wrapped.PackBits(), ZstdCodec())),
        Recipe("v2 shuffle+zlib", "<f4", (n.Shuffle(4), n.Zlib()), version=2),
        Recipe("v2 delta+shuffle+zlib", "<i4", (delta, n.Shuffle(2), n.Zlib()), version=2),
        Recipe("v2 delta, big-endian", ">i4", (n.Delta(">i4"), n.Zstd()), version=2),
        Recipe("v2 delta of floats", "<f8", (n.Delta("<f8"), n.LZ4()), version=2),
        Recipe("v2 fixedscaleoffset", "<f4",
               (n.FixedScaleOffset(5, 8, "<f4", "|u1"), n.Blosc("lz4")), 2112, version=2),
        Recipe("v2 astype", "<f8", (n.AsType("<f4", "<f8"), n.GZip()), version=2),
        Recipe("v2 quantize", "<f8", (n.Quantize(3, "<f8", "<f4"), n.Zstd()), version=2),
        Recipe("v2 bitround", "<f8", (n.BitRound(12), n.LZ4()), version=2),
        Recipe("v2 packbits", "|b1", (n.PackBits(), n.Zlib()), 302 * 3, version=2),
        Recipe("v2 packbits alone", "|b1", (n.PackBits(),), version=2),
        Recipe("v2 checksums", "<i4", (n.Zstd(), n.CRC32C()), version=2),
        Recipe("v2 adler32", "<i4", (n.Adler32(),), version=2),
        Recipe("v2 crc32", "<i4", (n.CRC32(),), version=2),
        Recipe("v2 fletcher32", "<i4", (n.Fletcher32(),), version=2),
        Recipe("v2 F order", "<i4", (n.Blosc("zstd", 5, 2),), 528, "F", 2),
        Recipe("v2 big-endian", ">f8", (n.Shuffle(8), n.Zlib()), version=2),
        Recipe("v2 compressor as filter", "<i4", (n.Zlib(), n.Blosc("lz4")), 528, version=2),
    ]  # fmt: skip


@cache
def recipes() -> dict[str, Recipe]:
    """All chains by name."""
    found = [*_compressors(), *_chains()]
    return {recipe.name: recipe for recipe in found}
