"""How large things are: on a GPU, and where the same code only has to run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Sizes in bytes, but for sides.

    Attributes
    ----------
    stream, streams, unique
        Size of a stream that kernels are given, the number of them, and how many differ: what
        comes behind repeats them at other addresses.
    small
        Size of a stream for decoders of one warp a stream.
    library
        By name the stream sizes that the library decodes, `library_total` in all.
    side
        Of the square that is encoded once; stores repeat it along the first axis.
    chunks
        By name: side of a chunk of float32, repetitions of the square.
    image
        Of the sharded image: side of a chunk, of a shard, of a tile that is read.
    crops, crop
        Number and side of the random crops.
    copied
        Of the copies that are the ceilings.
    """

    stream: int
    streams: int
    unique: int
    small: int
    library: dict[str, int]
    library_total: int
    side: int
    chunks: dict[str, tuple[int, int]]
    image: tuple[int, int, int]
    crops: int
    crop: int
    copied: int
    named: tuple[str, ...]


FULL = Scale(
    stream=1 << 20,
    streams=512,
    unique=8,
    small=64 << 10,
    library={"64K": 64 << 10, "1M": 1 << 20, "4M": 4 << 20, "64M": 64 << 20},
    library_total=256 << 20,
    side=4096,
    chunks={"64K": (128, 4), "1M": (512, 8), "4M": (1024, 16), "64M": (4096, 16)},
    image=(256, 2048, 1024),
    crops=1000,
    crop=128,
    copied=1 << 30,
    named=(
        "zstd/1M/r3",
        "blosc-lz4-shuffle/1M/r3",
        "raw/4M/r1.5",
        "zlib-shuffle/1M/r3",
        "sharded-zstd/64K/r3",
        "blosc-zstd-bitshuffle/4M/r1.5",
    ),
)

TINY = Scale(
    stream=4096,
    streams=4,
    unique=2,
    small=1024,
    library={"1K": 1 << 10, "4K": 4 << 10},
    library_total=8 << 10,
    side=64,
    chunks={"1K": (16, 2), "4K": (32, 2)},
    image=(16, 32, 32),
    crops=10,
    crop=8,
    copied=1 << 16,
    named=("zstd/1K/r3", "blosc-lz4-shuffle/1K/r3", "sharded-zstd/1K/r3"),
)


def scale(name: str) -> Scale:
    """``full`` or ``tiny``."""
    return {"full": FULL, "tiny": TINY}[name]
