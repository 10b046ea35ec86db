"""Random Zarr arrays, written and read back by zarr-python, and random selections of them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import numcodecs
import numpy as np
import zarr
from hypothesis.extra import numpy as npst
from zarr.abc.store import Store
from zarr.codecs import (
    BloscCodec,
    BytesCodec,
    CastValue,
    Crc32cCodec,
    GzipCodec,
    ScaleOffset,
    ShardingCodec,
    TransposeCodec,
    ZstdCodec,
)
from zarr.codecs import numcodecs as v3
from zarr.core.sync import sync
from zarr.dtype import VariableLengthBytes
from zarr.storage import MemoryStore

STRING, BYTES = np.dtypes.StringDType(), np.dtype(object)


@dataclass
class Sample:
    """An array that zarr-python wrote, and all of it as zarr-python reads it."""

    store: Store
    array: zarr.Array
    full: np.ndarray

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How Hypothesis shows it."""
        document, keys = self.array.metadata.to_dict(), chunk_keys(self.store)
        printer.text(f"Sample({document}, keys={keys}, full={self.full!r})")

    def picked(self, key: Any) -> np.ndarray:
        """What NumPy picks, as an array even where it would give a scalar."""
        items = key if isinstance(key, tuple) else (key,)
        return self.full[key if any(i is ... for i in items) else (*items, ...)]


def chunk_keys(store: Store) -> list[str]:
    """Keys of all chunks, or shards."""

    async def listed() -> list[str]:
        return [key async for key in store.list()]

    return sorted(key for key in sync(listed()) if not key.endswith(DOCUMENTS))


DOCUMENTS = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


def any_shape(dtype: np.dtype) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes of arrays; zarr-python writes no bytes of variable length into a 0-d one."""
    return SHAPES.filter(bool) if dtype == BYTES else SHAPES


def sample(data: np.ndarray, written: tuple[slice, ...] | None = None, **arguments: Any) -> Sample:
    """Write `data`, or the box `written` of it, as zarr-python does."""
    store = MemoryStore()
    array = zarr.create_array(store, shape=data.shape, **arguments)
    written = (...,) if written is None else written
    array[written] = data[written]
    array = zarr.open_array(store, mode="r")  # v3 metadata do not tell the byte order
    full = np.asarray(array[...])  # a scalar for a 0-d array, in native byte order
    return Sample(store, array, full if full.ndim else full.astype(array.dtype))


def chunk_count(array: zarr.Array) -> int:
    """Number of innermost chunks; zarr-python counts those of the first level of sharding."""
    codecs, chunk = getattr(array.metadata, "codecs", ()), None
    while codecs and isinstance(codecs[0], ShardingCodec):
        codecs, chunk = codecs[0].codecs, codecs[0].chunk_shape
    if chunk is None:
        return math.prod(len(sizes) for sizes in array.read_chunk_sizes)
    return math.prod(-(-n // c) for n, c in zip(array.shape, chunk, strict=True))


# dtypes and values ------------------------------------------------------------------------------

NUMBERS = [
    "|b1", "|i1", "<i2", ">i2", "<i4", ">i4", "<i8", ">i8", "|u1", "<u2", ">u2", "<u4", ">u4",
    "<u8", ">u8", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "<c8", ">c8", "<c16", ">c16",
]  # fmt: skip
TIMES = ["<M8[s]", ">M8[ns]", "<M8[10us]", "<M8[D]", "<m8[ms]", ">m8[h]", "<m8[ns]"]
TEXTS = ["|S1", "|S5", "<U1", "<U3", ">U4"]
VOIDS = [
    "|V5",
    [("a", "<i4"), ("b", ">f8"), ("c", "|S3")],
    [("x", "<u2"), ("y", [("p", ">i2"), ("q", "|b1")]), ("t", "<M8[s]")],
]
DATES_INSIDE = np.dtype(VOIDS[2])  # which numcodecs' compiled codecs do not encode
FIXED = st.sampled_from([*NUMBERS, *TIMES, *TEXTS, *VOIDS]).map(np.dtype)
ANY = FIXED | st.sampled_from([STRING, BYTES])
LITTLE = st.sampled_from(["|b1", "|u1", "<i2", "<i4", "<i8", "<u4", "<f2", "<f4", "<f8"]).map(
    np.dtype
)

_WORDS = ["", "a", "zarr", "é", "日本", "😀", "a longer one than the others"]
_EVERY_BIT = 0.7  # as against few, tame values, which every codec can take


def values(dtype: np.dtype, shape: tuple[int, ...], seed: int, *, tame: bool = False) -> Any:
    """An array of random values; with odd ones, unless `tame`: then small positive integers."""
    rng, count = np.random.default_rng(seed), math.prod(shape)
    if dtype == STRING:
        return np.array(rng.choice(_WORDS, count).tolist(), STRING).reshape(shape)
    if dtype == BYTES:
        found = np.empty(count, object)
        found[:] = [w.encode() for w in rng.choice(_WORDS, count)]
        return found.reshape(shape)
    if dtype.kind == "U":
        texts = ["".join(rng.choice(list("aé日😀"), rng.integers(0, 5))) for _ in range(count)]
        return np.array(texts, dtype).reshape(shape)
    if dtype.kind == "b" or tame:
        return rng.integers(0, 2 if dtype.kind == "b" else 50, count).astype(dtype).reshape(shape)
    raw = rng.integers(0, 256, (count, dtype.itemsize), np.uint8)
    if dtype.kind != "S":
        raw[rng.random(count) > _EVERY_BIT] = rng.choice([0, 255])
    found = raw.reshape(-1).view(_without_bools(dtype)).astype(dtype)
    if dtype.kind in "fc" and count:
        found[rng.random(count) < 0.2] = rng.choice([np.nan, -0.0, np.inf])
    if dtype.kind in "mM" and count:
        found[rng.random(count) < 0.2] = "NaT"
    return found.reshape(shape)


def _without_bools(dtype: np.dtype) -> np.dtype:
    """Any byte may be seen as this dtype; a bool would only take 0 and 1."""
    if dtype.names is None:
        return np.dtype("|u1") if dtype.kind == "b" else dtype
    return np.dtype([(name, _without_bools(dtype[name])) for name in dtype.names])


def fills(dtype: np.dtype, zarr_format: int) -> st.SearchStrategy[Any]:
    """Fill values that zarr-python takes for a dtype."""
    choices: list[Any]
    if dtype == STRING:
        choices = ["", "fill"]
    elif dtype == BYTES:
        choices = [b"", b"\x00fill"]
    elif dtype.kind == "V":
        choices = [np.zeros((), dtype)[()], np.frombuffer(b"\1" * dtype.itemsize, dtype)[0]]
    else:
        choices = {
            "b": [False, True],
            "i": [0, -1, 7],
            "u": [0, 255, 7],
            "f": [0.0, -0.0, math.nan, math.inf, 1.5],
            "c": [0j, complex(math.nan, -0.0), complex(1, -math.inf)],
            "m": [0, "NaT", 7],
            "M": [0, "NaT", 7],
            "S": [b"", b"x"],
            "U": ["", "é"],
        }[dtype.kind]
        if dtype.kind in "mM":
            choices = [np.array(c, "i8" if c != "NaT" else None).astype(dtype)[()] for c in choices]
    return st.sampled_from([*choices, None] if zarr_format == 2 else choices)


# Shapes and grids -------------------------------------------------------------------------------

SHAPES = (
    npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
    | npst.array_shapes(min_dims=1, max_dims=2, min_side=6, max_side=40)
    | npst.array_shapes(min_dims=1, max_dims=3, min_side=2, max_side=9)
)
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def chunk_shapes(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Chunks from single elements to larger than the array."""
    return tuple(draw(st.integers(1, n + 2)) for n in shape)


@st.composite
def boxes(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[slice, ...] | None:
    """The part that is written: as a rule everything."""
    if draw(st.booleans()):
        return None
    starts = [draw(st.integers(0, n)) for n in shape]
    return (
        *(slice(a, draw(st.integers(a, n))) for a, n in zip(starts, shape, strict=True)),
        ...,
    )


@st.composite
def edges(draw: st.DrawFn, length: int, unit: int = 1) -> list[int]:
    """Lengths of chunks along one axis, all multiples of `unit`."""
    count = -(-length // unit) or 1
    cuts = draw(st.sets(st.integers(1, count), max_size=min(count, 5))) | {count}
    bounds = [0, *sorted(cuts)]
    return [(b - a) * unit for a, b in itertools.pairwise(bounds)]


# v2 ---------------------------------------------------------------------------------------------

V2_COMPRESSORS = [
    None,
    numcodecs.Zstd(level=1),
    numcodecs.Zstd(level=3, checksum=True),
    numcodecs.GZip(level=1),
    numcodecs.Zlib(level=1),
    numcodecs.LZ4(),
    numcodecs.Blosc(cname="lz4", shuffle=1),
    numcodecs.Blosc(cname="lz4", shuffle=1, blocksize=256),
    numcodecs.Blosc(cname="lz4hc", clevel=9, shuffle=0),
    numcodecs.Blosc(cname="zstd", shuffle=2),
    numcodecs.Blosc(cname="zlib", shuffle=-1),
    numcodecs.Blosc(cname="blosclz", shuffle=1),
    numcodecs.BZ2(level=1),
    numcodecs.LZMA(preset=1),
]
CHECKSUMS = [
    numcodecs.CRC32(),
    numcodecs.CRC32(location="end"),
    numcodecs.Adler32(),
    numcodecs.Adler32(location="end"),
    numcodecs.CRC32C(),
    numcodecs.CRC32C(location="start"),
    numcodecs.Fletcher32(),
    numcodecs.JenkinsLookup3(),
]


def v2_filters(dtype: np.dtype) -> list[list[Any]]:
    """Filter lists that take this dtype; all but the first few need tame values."""
    kind, size = dtype.kind, dtype.itemsize
    found: list[list[Any]] = [[], [numcodecs.Shuffle(size)], *([c] for c in CHECKSUMS)]
    found.append([numcodecs.Shuffle(size), numcodecs.CRC32C(), numcodecs.Adler32()])
    if kind == "b":
        found.append([numcodecs.PackBits()])
    if kind in "iuf":
        found.append([numcodecs.Delta(dtype)])
        found.append([numcodecs.Delta(dtype), numcodecs.Shuffle(size)])
        found.append([numcodecs.Delta(dtype, astype="<f8" if kind == "f" else "<i8")])
        found.append([numcodecs.AsType("<f8" if kind == "f" else "<i8", dtype)])
    if kind == "f":
        found.append([numcodecs.FixedScaleOffset(1, 10, dtype, "<i2")])
        found.append([numcodecs.Quantize(2, dtype)])
        if dtype.byteorder != ">":
            found.append([numcodecs.BitRound(5)])
    if kind == "U":
        found.append([numcodecs.Categorize(["a", "é", "日"], dtype)])
    return found


@st.composite
def v2_arrays(draw: st.DrawFn, dtypes: st.SearchStrategy[np.dtype] = ANY) -> Sample:
    """v2: any order, byte order, fill value, filters and compressor."""
    dtype = draw(dtypes.filter(lambda d: d != DATES_INSIDE))
    shape = draw(any_shape(dtype))
    filters: Any = "auto"
    if dtype not in (STRING, BYTES):
        filters = draw(st.sampled_from(v2_filters(dtype)))
    tame = filters != "auto" and any(
        type(f).__module__.split(".")[1] not in _BYTES for f in filters
    )
    fill = 0 if tame and dtype.kind not in "bU" else draw(fills(dtype, 2))
    return sample(
        values(dtype, shape, draw(SEEDS), tame=tame),
        draw(boxes(shape)),
        zarr_format=2,
        dtype=VariableLengthBytes() if dtype == BYTES else dtype,
        chunks=draw(chunk_shapes(shape)),
        order=draw(st.sampled_from("CF")),
        fill_value=fill,
        filters=filters,
        compressors=draw(st.sampled_from(V2_COMPRESSORS)),
        chunk_key_encoding={"name": "v2", "separator": draw(st.sampled_from("./"))},
        config={"write_empty_chunks": draw(st.booleans())},
    )


_BYTES = {"shuffle", "checksum32", "fletcher32", "packbits"}  # modules whose codecs take anything

# v3 ---------------------------------------------------------------------------------------------


def v3_compressors(size: int) -> list[Any]:
    """Codecs of bytes."""
    return [
        ZstdCodec(level=1),
        ZstdCodec(level=1, checksum=True),
        GzipCodec(level=1),
        BloscCodec(cname="lz4", shuffle="shuffle", typesize=size),
        BloscCodec(cname="zstd", shuffle="bitshuffle", typesize=size),
        BloscCodec(cname="blosclz", shuffle="noshuffle", typesize=size, blocksize=256),
        Crc32cCodec(),
        v3.Zstd(level=2),
        v3.GZip(level=1),
        v3.Zlib(level=1),
        v3.LZ4(),
        v3.Blosc(cname="lz4hc", shuffle=1),
        v3.BZ2(level=1),
        v3.LZMA(preset=1),
        v3.CRC32(),
        v3.CRC32(location="end"),
        v3.CRC32C(),
        v3.CRC32C(location="start"),
        v3.Adler32(),
        v3.Fletcher32(),
        v3.JenkinsLookup3(),
    ]


def v3_filters(dtype: np.dtype) -> list[Any]:
    """Codecs of arrays, all for tame values."""
    kind, name = dtype.kind, dtype.str
    if kind == "b":
        return [v3.PackBits()]
    if kind not in "iuf":
        return []
    found: list[Any] = [
        v3.Delta(dtype=name),
        v3.AsType(encode_dtype="<f8", decode_dtype=name),
        ScaleOffset(offset=0, scale=1),
    ]
    if kind == "f":
        found += [
            v3.FixedScaleOffset(offset=1, scale=10, dtype=name, astype="<i2"),
            v3.Quantize(digits=2, dtype=name),
            ScaleOffset(offset=3, scale=0.5),
        ]
    if kind == "f" and dtype.byteorder != ">":
        found += [
            v3.BitRound(keepbits=5),
            CastValue(data_type="uint8", rounding="towards-zero", out_of_range="clamp"),
            CastValue(data_type="int16"),
        ]
    return found


PCODEC = [np.dtype(d) for d in ("<i2", "<i4", "<i8", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8")]


@dataclass
class Chain:
    """The codecs of one chunk."""

    filters: list[Any]
    serializer: Any
    compressors: list[Any]
    tame: bool

    @property
    def all(self) -> list[Any]:
        """In the order of encoding."""
        return [*self.filters, self.serializer, *self.compressors]


@st.composite
def chains(draw: st.DrawFn, dtype: np.dtype, ndim: int) -> Chain:
    """A v3 chain for chunks of a dtype."""
    compressors = draw(st.lists(st.sampled_from(v3_compressors(dtype.itemsize)), max_size=3))
    if dtype == STRING:
        return Chain([], zarr.codecs.VLenUTF8Codec(), compressors, True)
    if dtype == BYTES:
        return Chain([], zarr.codecs.VLenBytesCodec(), compressors, True)
    if dtype in PCODEC and ndim and draw(st.integers(0, 5)) == 0:
        return Chain([], v3.PCodec(level=1), compressors, False)
    orders = draw(st.lists(st.permutations(range(ndim)), max_size=2))
    filters: list[Any] = [TransposeCodec(order=tuple(order)) for order in orders]
    others = v3_filters(dtype)
    tame = bool(others) and draw(st.integers(0, 2)) == 0
    if tame:
        filter_ = draw(st.sampled_from(others))
        # numcodecs' filters give one axis, which no transposition of several can follow
        last = type(filter_).__module__ == v3.Delta.__module__
        filters.insert(len(filters) if last else draw(st.integers(0, len(filters))), filter_)
    if not tame and draw(st.booleans()):
        compressors.insert(0, v3.Shuffle(elementsize=dtype.itemsize))
    endian = draw(st.sampled_from(["little", "big", None]))
    if endian is None and (tame or dtype.itemsize > 1):
        endian = "little"
    return Chain(filters, BytesCodec(endian=endian), compressors, tame)


@st.composite
def sharded(
    draw: st.DrawFn, codecs: list[Any], chunk: tuple[int, ...]
) -> tuple[ShardingCodec, tuple[int, ...]]:
    """A sharding codec over chunks of this shape, and a shard shape for it."""
    ndim, shards = len(chunk), tuple(n * draw(st.integers(1, 3)) for n in chunk)
    index: list[Any] = [BytesCodec(endian=draw(st.sampled_from(["little", "big"])))]
    if draw(st.integers(0, 3)) == 0:
        index.insert(0, TransposeCodec(order=tuple(draw(st.permutations(range(ndim + 1))))))
    index += [Crc32cCodec()] * draw(st.sampled_from([1, 0, 2]))
    codec = ShardingCodec(
        chunk_shape=chunk,
        codecs=codecs,
        index_codecs=index,
        index_location=draw(st.sampled_from(["end", "start"])),
        subchunk_write_order=draw(st.sampled_from(["morton", "lexicographic", "colexicographic"])),
    )
    return codec, shards


KEY_ENCODINGS: list[Any] = [
    {"name": name, "separator": separator} for name in ("default", "v2") for separator in "/."
]


@st.composite
def v3_arrays(
    draw: st.DrawFn,
    dtypes: st.SearchStrategy[np.dtype] = ANY,
    levels: int = 0,
    rectilinear: bool = False,
    beside: bool = False,
) -> Sample:
    """v3: any chain of codecs, in shards of `levels` levels, on a regular or rectilinear grid.

    `beside` sets other codecs before and behind the sharding codec.
    """
    dtype = draw(dtypes)
    shape = draw(any_shape(dtype))
    chain = draw(chains(dtype, len(shape)))
    chunk: Any = draw(chunk_shapes(shape))
    filters, serializer, compressors = chain.filters, chain.serializer, chain.compressors
    for _ in range(levels):
        codecs = [*filters, serializer, *compressors]
        serializer, chunk = draw(sharded(codecs, chunk))
        filters, compressors = [], []
    if beside:
        filters = [TransposeCodec(order=tuple(range(len(shape))))]
        compressors = draw(st.sampled_from([[Crc32cCodec()], [ZstdCodec()], []]))
    if rectilinear:
        unit = serializer.chunk_shape if levels else (1,) * len(shape)
        chunk = [draw(edges(n, u)) for n, u in zip(shape, unit, strict=True)]
        shape = tuple(sum(lengths) for lengths in chunk)
    with zarr.config.set({"array.rectilinear_chunks": rectilinear}):
        return sample(
            values(dtype, shape, draw(SEEDS), tame=chain.tame),
            draw(boxes(shape)),
            zarr_format=3,
            dtype=VariableLengthBytes() if dtype == BYTES else dtype,
            chunks=chunk,
            fill_value=0 if chain.tame and dtype.kind in "iuf" else draw(fills(dtype, 3)),
            filters=filters or None,
            serializer=serializer,
            chunk_key_encoding=draw(st.sampled_from(KEY_ENCODINGS)),
            compressors=compressors or None,
            config={"write_empty_chunks": draw(st.booleans())},
        )


# Selections -------------------------------------------------------------------------------------


def basic_keys(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """Integers, slices with any step, Ellipsis and newaxis."""
    return npst.basic_indices(shape, allow_newaxis=True, max_dims=32)


@st.composite
def index_lists(draw: st.DrawFn, length: int) -> np.ndarray | list[int]:
    """Indexes of one axis in any order, negative and repeated ones too, or a mask."""
    if draw(st.booleans()):
        return np.array(draw(st.lists(st.booleans(), min_size=length, max_size=length)), bool)
    elements = st.integers(-length, length - 1) if length else st.nothing()
    found = draw(st.lists(elements, max_size=6 if length else 0))
    return found if draw(st.booleans()) else np.array(found, draw(st.sampled_from(["i8", "i4"])))


@st.composite
def orthogonal_keys(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[tuple[Any, ...], Any]:
    """A key for oindex, and the array of NumPy's that does the same to a NumPy array."""
    key, per_axis, dropped = [], [], []
    for axis, length in enumerate(shape):
        choices = [st.slices(length), index_lists(length)]
        if length:
            choices.append(st.integers(-length, length - 1))
        item = draw(st.one_of(choices))
        key.append(item)
        if isinstance(item, int):
            dropped.append(axis)
            per_axis.append(np.array([item]))
        elif isinstance(item, slice):
            per_axis.append(np.arange(length)[item])
        else:
            item = np.asarray(item)
            per_axis.append(np.flatnonzero(item) if item.dtype == bool else item.astype("i8"))

    def oracle(full: np.ndarray) -> np.ndarray:
        picked = full[np.ix_(*per_axis)] if per_axis else full
        return picked.squeeze(tuple(dropped))

    return tuple(key), oracle


@st.composite
def pointwise_keys(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Index arrays for every axis, of shapes that broadcast; NumPy takes the same."""
    shapes = draw(
        npst.mutually_broadcastable_shapes(
            num_shapes=len(shape), min_side=0, max_side=4, max_dims=3
        )
    ).input_shapes
    return tuple(
        np.asarray(draw(npst.arrays(np.int64, s, elements=st.integers(-n, n - 1))))
        for s, n in zip(shapes, shape, strict=True)
    )


@st.composite
def mixed_keys(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Integers, slices and index arrays of one or two dimensions that broadcast."""
    count, key = draw(st.integers(1, 4)), []
    for length in shape:
        item = draw(st.sampled_from(["slice", "integer", (count,), (1,), (2, 1), (2, count)]))
        if item == "slice":
            key.append(draw(st.slices(length)))
        elif item == "integer":
            key.append(draw(st.integers(-length, length - 1)))
        else:
            elements = st.integers(-length, length - 1)
            key.append(draw(npst.arrays(np.int64, item, elements=elements)))
    return tuple(key)


@st.composite
def block_keys(
    draw: st.DrawFn, sizes: tuple[tuple[int, ...], ...]
) -> tuple[tuple[int | slice, ...], tuple[slice, ...]]:
    """A key for blocks, and the same in elements; `sizes` are those of the blocks per axis."""
    key, elements = [], []
    for lengths in sizes:
        bounds, count = [0, *itertools.accumulate(lengths)], len(lengths)
        choices = [st.slices(count).filter(lambda s: s.step in (None, 1))]
        if count:
            choices.append(st.integers(-count, count - 1))
        item = draw(st.one_of(choices))
        key.append(item)
        if isinstance(item, int):
            first = item % count
            elements.append(slice(bounds[first], bounds[first + 1]))
        else:
            first, last, _ = item.indices(count)
            elements.append(slice(bounds[first], bounds[max(first, last)]))
    return tuple(key), tuple(elements)
