"""Chunks that expand to gigabytes, or say so, take no memory beyond their size and a constant.

Read in a process of its own, whose address space is limited to little more than what it has, and
whose peak of resident memory is compared.
"""

from __future__ import annotations

import bz2
import json
import lzma
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import pytest
from harness import smooth, v2_array, v3_array

from gpuzarr.errors import ChunkSizeError, CorruptChunkError

HUGE = 4 << 30
"""Bytes that a chunk expands to."""

PART = 16 << 20
SPACE, RESIDENT = 256 << 20, 48 << 20
"""Address space and resident memory that reading them may add to what a process has."""

LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}


def _zstd(is_sized: bool = True) -> bytes:
    """A frame of blocks of one repeated byte."""
    header = b"\xe0" + struct.pack("<Q", HUGE) if is_sized else b"\x00\x58"
    count, size = HUGE >> 17, 1 << 17
    blocks = [struct.pack("<I", size << 3 | 1 << 1 | (n == count - 1)) for n in range(count)]
    return b"\x28\xb5\x2f\xfd" + header + b"".join(blocks)


def _deflated(head: bytes, tail: bytes) -> bytes:
    """The checksum at its end is wrong, which nobody is to reach."""
    stream = zlib.compressobj(9, wbits=-15)
    part = stream.compress(bytes(PART)) + stream.flush(zlib.Z_FULL_FLUSH)
    return head + part * (HUGE // PART) + b"\x03\x00" + tail


def _bz2() -> bytes:
    return bz2.compress(bytes(PART)) * (HUGE // PART)


def _lzma() -> bytes:
    return lzma.compress(bytes(PART), preset=0) * (HUGE // PART)


def _lz4() -> bytes:
    return struct.pack("<I", 2**31 - 1) + b"\x1f\x00\x01\x00" + b"\xff" * (8 << 20) + b"\0"


def _blosc(cname: str = "zstd") -> bytes:
    """A true one, of 2 GiB: as much as the format has."""
    blocks, size = 1023, 2 << 20
    block = bytes(numcodecs.Blosc(cname, 1, 0, size, typesize=1).encode(bytes(size)))
    stream = block[20:]
    starts = [16 + 4 * blocks] * blocks  # all of them the same one
    cbytes = 16 + 4 * blocks + len(stream)
    header = block[:4] + struct.pack("<iii", blocks * size, size, cbytes)
    return header + struct.pack(f"<{blocks}i", *starts) + stream


STREAMS: dict[str, Callable[[], bytes]] = {
    "zstd": _zstd,
    "zstd of no size": lambda: _zstd(False),
    "zstd of many frames": lambda: bytes(numcodecs.Zstd().encode(bytes(PART))) * (HUGE // PART),
    "gzip": lambda: _deflated(b"\x1f\x8b\x08" + bytes(7), bytes(8)),
    "zlib": lambda: _deflated(b"\x78\x9c", bytes(4)),
    "lz4": _lz4,
    "blosc": _blosc,
    "bz2": _bz2,
    "lzma": _lzma,
}
SMALL = smooth(256, "<i4")


def _config(name: str) -> dict[str, Any]:
    return dict(numcodecs.get_codec({"id": name.split()[0]}).get_config())


def _v2_alone(folder: Path, name: str) -> None:
    v2_array(folder, STREAMS[name](), [256], "<i4", compressor=_config(name))


def _v2_outer(folder: Path, name: str) -> None:
    """Over another compressor: only the data tell how much it holds."""
    filters, compressor = [_config("gzip")], _config(name)
    v2_array(folder, STREAMS[name](), [256], "<i4", compressor=compressor, filters=filters)


def _v2_inner(folder: Path, name: str) -> None:
    """Under another compressor: what it holds is no larger than it may be, and expands."""
    inner, outer = STREAMS[name](), numcodecs.Zstd()
    inner = inner[: 32 << 10]  # more is no codec's output for a chunk of this size
    encoded = bytes(outer.encode(inner))
    v2_array(folder, encoded, [256], "<i4", compressor=outer.get_config(), filters=[_config(name)])


def _v3_between(folder: Path, name: str) -> None:
    """[zstd, crc32c, gzip]: neither gzip's size nor that behind the checksum is known."""
    codecs = [LITTLE, {"name": "zstd", "configuration": {"level": 0, "checksum": False}},
              {"name": "crc32c"}, {"name": "gzip", "configuration": {"level": 5}}]  # fmt: skip
    v3_array(folder, STREAMS[name](), [256], "int32", codecs)


def _strings(folder: Path, name: str) -> None:
    """Before a codec whose size only the data tell."""
    filters = [numcodecs.VLenUTF8().get_config()]
    v2_array(folder, STREAMS[name](), [4], "|O", compressor=_config(name), filters=filters,
             fill_value="")  # fmt: skip


def _whole_shard(folder: Path, name: str) -> None:
    """Behind a sharding codec."""
    sharding = {"name": "sharding_indexed", "configuration": {
        "chunk_shape": [64], "codecs": [LITTLE], "index_codecs": [LITTLE, {"name": "crc32c"}],
    }}  # fmt: skip
    codecs = [sharding, {"name": "gzip", "configuration": {"level": 5}}]
    v3_array(folder, STREAMS[name](), [256], "int32", codecs)


BOMBS: dict[str, Callable[[Path], None]] = {
    **{f"{name}, alone": (lambda f, n=name: _v2_alone(f, n)) for name in STREAMS},
    **{f"{name}, over gzip": (lambda f, n=name: _v2_outer(f, n)) for name in STREAMS},
    **{f"{name}, under zstd": (lambda f, n=name: _v2_inner(f, n)) for name in STREAMS},
    **{f"{name}, before strings": (lambda f, n=name: _strings(f, n)) for name in STREAMS},
    "gzip, over a checksum over zstd": lambda folder: _v3_between(folder, "gzip"),
    "gzip, behind a whole shard": lambda folder: _whole_shard(folder, "gzip"),
    "strings that say how many they are": lambda folder: v2_array(
        folder, struct.pack("<I", 2**32 - 1) + bytes(64), [4], "|O", fill_value="",
        filters=[numcodecs.VLenUTF8().get_config()],
    ) and None,
}  # fmt: skip

READER = """
import gc, json, resource, sys
import gpuzarr
from gpuzarr.errors import ChunkError

def pages(number):
    return int(open("/proc/self/statm").read().split()[number]) * resource.getpagesize()

folders, space, device = sys.argv[1].split(":"), int(sys.argv[2]), sys.argv[3]
gpuzarr.config.set({"most_unsized_bytes": 1 << 20, "threads": 1})
for folder in folders[:1]:  # what is imported and kept with the first read
    gpuzarr.open(folder, device=device)[...]
found = {}
for folder in folders[1:]:
    gc.collect()
    open("/proc/self/clear_refs", "w").write("5")
    resource.setrlimit(resource.RLIMIT_AS, (pages(0) + space, resource.RLIM_INFINITY))
    before = pages(1)
    try:
        gpuzarr.open(folder, device=device)[...]
        kind, words = "", ""
    except Exception as error:
        kind, words = type(error).__name__, str(error)
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    found[folder] = (kind, words, 1024 * int(peak.split()[1]) - before)
print(json.dumps(found))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel how much memory was used")
def test_a_bomb_takes_little_memory_wherever_it_stands_in_a_chain(
    tmp_path: Path, each_device: str
) -> None:
    first = v2_array(tmp_path / "first", SMALL.tobytes(), [256], "<i4", compressor=None)
    folders = {name: tmp_path / str(number) for number, name in enumerate(BOMBS)}
    for name, make in BOMBS.items():
        make(folders[name])
    paths = ":".join(map(str, [first, *folders.values()]))
    done = subprocess.run(
        [sys.executable, "-c", READER, paths, str(SPACE), each_device],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    kinds = (ChunkSizeError.__name__, CorruptChunkError.__name__)
    wrong = {
        name: found[str(folder)]
        for name, folder in folders.items()
        if found[str(folder)][0] not in kinds
        or any(word in found[str(folder)][1] for word in ("memory", "alloc"))
        or found[str(folder)][2] > RESIDENT
    }
    assert wrong == {}
