"""The main paths: plan → locate → fetch → decode → place, and gather → encode → store.

`read` and `write` each take any number of planned requests as one batch, and do them wave by wave
on threads.
"""

from gpuzarr.pipeline.counts import count_downloaded, count_elsewhere, counts
from gpuzarr.pipeline.reading import Read, read, route_of, way_of
from gpuzarr.pipeline.writing import Write, encoder_of, encoding_route_of, is_for_a_device, write

__all__ = [
    "Read",
    "Write",
    "count_downloaded",
    "count_elsewhere",
    "counts",
    "encoder_of",
    "encoding_route_of",
    "is_for_a_device",
    "read",
    "route_of",
    "way_of",
    "write",
]
