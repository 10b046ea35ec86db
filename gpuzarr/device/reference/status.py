"""What a kernel says about a stream; the same table stands in kernels/gpuzarr.cuh."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """Verdict on one stream."""

    OK = 0
    INPUT_ENDS = 1
    OUTPUT_FULL = 2
    BAD_OFFSET = 3
    OUTPUT_SHORT = 4
    BAD_END = 5
    BAD_HEADER = 6
    BAD_VERSION = 7
    BAD_SIZE = 8
    BAD_BLOCK = 9
    OUT_OF_RANGE = 10
    NOT_EXACT = 11
