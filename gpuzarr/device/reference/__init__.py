"""What each device op means, in NumPy: plain, untouched by tuning, one function per op.

The functions take and give bytes of single streams, or arrays; kernels do the same for batches.
The status of a stream is the same number everywhere.
"""

from gpuzarr.device.reference.bits import bit_pack, bit_shuffle, bit_unpack, bit_unshuffle
from gpuzarr.device.reference.checksums import adler32, crc32, crc32c, fletcher32, xxh64
from gpuzarr.device.reference.numbers import (
    cast,
    cast_value,
    difference,
    offset_scale,
    offset_scale_exact,
    prefix_sum,
    scale_offset,
    scale_offset_exact,
)
from gpuzarr.device.reference.placing import equals_fill, fill, gather, place, unshuffle_place
from gpuzarr.device.reference.rearranging import byte_swap, copy, permute, shuffle, unshuffle
from gpuzarr.device.reference.status import Status
from gpuzarr.device.reference.streams import (
    blosc_counts,
    blosc_select,
    blosc_table,
    blosclz_decode,
    lz4_decode,
    zstd_frame,
)

__all__ = [
    "Status",
    "adler32",
    "bit_pack",
    "bit_shuffle",
    "bit_unpack",
    "bit_unshuffle",
    "blosc_counts",
    "blosc_select",
    "blosc_table",
    "blosclz_decode",
    "byte_swap",
    "cast",
    "cast_value",
    "copy",
    "crc32",
    "crc32c",
    "difference",
    "equals_fill",
    "fill",
    "fletcher32",
    "gather",
    "lz4_decode",
    "offset_scale",
    "offset_scale_exact",
    "permute",
    "place",
    "prefix_sum",
    "scale_offset",
    "scale_offset_exact",
    "shuffle",
    "unshuffle",
    "unshuffle_place",
    "xxh64",
    "zstd_frame",
]
