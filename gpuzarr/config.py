"""Options, through donfig as zarr does: ``gpuzarr.config.set({...})`` or ``GPUZARR_*``.

=====================  ==========  ==========================================================
key                    default     meaning
=====================  ==========  ==========================================================
device                 "auto"      device of arrays opened with ``device="auto"``
threads                None        most threads one read uses; None: the processors we may use
wave_bytes             4 MiB       decoded bytes that one thread of the CPU takes at a time
route                  "auto"      which device decodes or encodes what several could: "auto": the
                                   one that is estimated to be faster; "device": that of the array;
                                   "cpu"
device_wave_bytes      256 MiB     decoded bytes that another device takes at a time
gds                    "auto"      "on", "off": files straight to a GPU; "auto": where it is active
concurrency            64          requests in flight against a store that is not a local one
result_pool_bytes      1 GiB       memory of results kept, free for the kernel to take; 0: none
coalesce_gap_bytes     64 KiB      ranges of one shard nearer than this are read in one request
most_unsized_bytes     2 GiB       decoded bytes of a chunk at most, where neither its shape nor its
                                   codecs tell how many there can be
pipeline_device        "cpu"       device of arrays that zarr opens; set by `gpuzarr.enable`
trust                  "trusted"   "untrusted": chunks of arrays that are opened may be damaged on
                                   purpose (docs/codecs.md)
=====================  ==========  ==========================================================

Examples
--------
>>> import gpuzarr
>>> with gpuzarr.config.set({"threads": 1}):
...     gpuzarr.config.get("threads")
1
"""

from __future__ import annotations

from donfig import Config

config = Config(
    "gpuzarr",
    defaults=[
        {
            "device": "auto",
            "threads": None,
            "route": "auto",
            "wave_bytes": 4 << 20,
            "device_wave_bytes": 256 << 20,
            "gds": "auto",
            "concurrency": 64,
            "result_pool_bytes": 1 << 30,
            "coalesce_gap_bytes": 64 << 10,
            "most_unsized_bytes": 2 << 30,
            "pipeline_device": "cpu",
            "trust": "trusted",
        }
    ],
)
