"""Compression by nvCOMP: what the GPU encodes, the libraries of the host decode."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numcodecs
import numpy as np
import pytest
from harness import smooth

from gpuzarr import device as devices
from gpuzarr.batch import Batch
from gpuzarr.device import Device, nvcomp_compress
from gpuzarr.device.counting import counting
from gpuzarr.device.nvcomp import Nvcomp
from gpuzarr.errors import DeviceError, UnsupportedError

OPTIONS: dict[str, dict[str, Any]] = {
    "zstd": {"level": 0, "checksum": True},
    "lz4": {"acceleration": 1},
    "gzip": {"level": 6},
    "zlib": {"level": 1},
    "blosc": {"cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0, "typesize": 4},
}
DECODERS = {
    "zstd": numcodecs.Zstd(),
    "lz4": numcodecs.LZ4(),
    "gzip": numcodecs.GZip(),
    "zlib": numcodecs.Zlib(),
    "blosc": numcodecs.Blosc(),
}
PRIVATE = ("gdeflate", "bitcomp", "ans", "cascaded")


@pytest.fixture
def device(cupy: ModuleType) -> Iterator[Device]:
    found = devices.get("cuda")
    with found.working(found.begin()):
        yield found


def streams(*sizes: int) -> list[bytes]:
    rng = np.random.default_rng(3)
    content = smooth(max(sizes), "<f4").tobytes()
    return [content[:n] if k % 3 else rng.bytes(n) for k, n in enumerate(sizes)]


def decoded(device: Device, codec: str, batch: Batch) -> list[bytes]:
    host = device.download(batch)
    return [bytes(DECODERS[codec].decode(host.arena[a:b].tobytes())) for a, b in host.spans()]


@pytest.mark.parametrize("codec", OPTIONS)
def test_what_is_encoded_is_decoded_by_numcodecs(device: Device, codec: str) -> None:
    data = streams(1, 15, 17, 1000, 4096, 65536, 65537, 200_003)
    batch = device.upload(Batch.joined([np.frombuffer(d, "u1") for d in data]))
    assert decoded(device, codec, device.compress(codec, batch, OPTIONS[codec])) == data


@pytest.mark.parametrize("codec", PRIVATE)
def test_formats_of_nvcomp_s_own_come_back(device: Any, codec: str) -> None:
    sizes = (8, 1000, 4096, 65536) if codec == "gdeflate" else (8, 1000, 65536, 200_000)
    data = streams(*sizes)
    batch = device.upload(Batch.joined([np.frombuffer(d, "u1") for d in data]))
    into = device.room_for(batch.sizes)
    status, found = device.decompressed(codec, device.compressed(codec, batch), into)
    assert not status.any()
    assert found.tolist() == list(sizes)
    host = device.download(into)
    assert [host.arena[a:b].tobytes() for a, b in host.spans()] == data


def test_a_call_takes_as_many_streams_as_there_is_memory_for(
    device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deflate's algorithm 4 takes 17 to 33 times the bytes."""
    data = streams(*[4096] * 64)
    batch = device.upload(Batch.joined([np.frombuffer(d, "u1") for d in data]))
    with counting() as all_at_once:
        device.compress("gzip", batch, {"level": 6})
    monkeypatch.setattr(type(device), "wave_bytes", lambda self: 1 << 18)
    with counting() as little:
        encoded = device.compress("gzip", batch, {"level": 6})
    assert all_at_once.launches["compress deflate"] == 1
    assert 2 <= little.launches["compress deflate"] <= 16
    assert decoded(device, "gzip", encoded) == data


def test_streams_that_nvcomp_does_not_take_are_refused(device: Any) -> None:
    batch = device.upload(Batch.uniform(np.zeros((1 << 24) + 1, "u1"), 1, (1 << 24) + 1))
    assert device.largest_stream("zstd") == 1 << 24
    with pytest.raises(UnsupportedError, match=r"zstd streams of up to 16,777,216 bytes"):
        device.compress("zstd", batch, OPTIONS["zstd"])


# --- the stand-in ---------------------------------------------------------------------------------


@pytest.fixture
def lz4(cupy: ModuleType, machine: Any) -> dict[str, Any]:
    """Arguments of a call that compresses one chunk of 1,000 bytes, and what they point to."""
    compressors = nvcomp_compress.Compressors(Nvcomp())
    room = compressors.room("lz4", 1000, {})
    source, target = cupy.asarray(np.zeros(1000, "u1")), cupy.empty(room, np.uint8)
    tables = {"source": source.data.ptr, "size": 1000, "target": target.data.ptr}
    arrays = {name: cupy.asarray(np.array([value], "i8")) for name, value in tables.items()}
    arrays |= {"found": cupy.empty(1, np.int64), "status": cupy.empty(1, np.int32)}
    arrays["temp"] = cupy.empty(65536, np.uint8)
    numbers = {"largest": 1000, "count": 1, "temp_bytes": 65536, "stream": 0}
    return {"call": compressors, "arrays": arrays, "numbers": numbers, "kept": [source, target]}


def call(given: dict[str, Any], **other: int) -> None:
    """Compress on the current stream."""
    addresses = {name: array.data.ptr for name, array in given["arrays"].items()}
    given["call"].compress("lz4", {}, **{**addresses, **given["numbers"], **other})


def test_a_chunk_is_compressed_in_the_order_of_its_stream(lz4: dict[str, Any]) -> None:
    call(lz4)
    assert lz4["arrays"]["status"].get().tolist() == [0]
    size = int(lz4["arrays"]["found"].get()[0])
    block = lz4["kept"][1].get()[:size].tobytes()
    assert bytes(numcodecs.LZ4().decode(b"\xe8\x03\0\0" + block)) == bytes(1000)


@pytest.mark.parametrize(("name", "by"), [("size", 4), ("temp", 1)])
def test_tables_and_memory_are_aligned(lz4: dict[str, Any], name: str, by: int) -> None:
    with pytest.raises(DeviceError, match="status 17"):
        call(lz4, **{name: lz4["arrays"][name].data.ptr + by})


@pytest.mark.parametrize(
    ("other", "words"),
    [({"largest": 999}, "not 999"), ({"temp_bytes": 1000}, "temporary bytes")],
)
def test_what_the_library_is_told_has_to_be_true(
    cupy: ModuleType, lz4: dict[str, Any], other: dict[str, int], words: str
) -> None:
    call(lz4, **other)
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match=words):
        lz4["arrays"]["status"].get()


def test_a_target_that_is_too_small_is_a_fault(cupy: ModuleType, lz4: dict[str, Any]) -> None:
    call(lz4, largest=100_000)  # so it may write that much
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="nobody's"):
        lz4["arrays"]["status"].get()


@pytest.mark.parametrize("codec", ["zstd", "lz4", "gzip", "deflate", *PRIVATE])
def test_its_table_is_what_the_library_says(machine: Any, codec: str) -> None:
    """Where it is installed."""
    import nvcomp_library

    real = nvcomp_library.installed()
    if real is None:
        pytest.skip("libnvcomp is not installed")
    ours, theirs = (
        nvcomp_compress.Compressors(nvcomp_library.bound(nvcomp_library.Library(found)))
        for found in (None, real)
    )
    assert ours.alignments(codec, {}) == theirs.alignments(codec, {})
    for nbytes in (1000, 65536):
        assert nbytes < ours.room(codec, nbytes, {}) <= theirs.room(codec, nbytes, {})
