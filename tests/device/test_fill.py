"""Fill values: what zarr-python sees as nothing but the fill value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from zarr.core.buffer.cpu import NDBuffer

from gpuzarr import device as devices
from gpuzarr.batch import Batch
from gpuzarr.device import Device, cpu_fill
from gpuzarr.place import Layout

CPU = devices.get("cpu")
STRUCT = np.dtype([("a", "<i4"), ("b", ">f8"), ("c", "S2")])

FLOATS = [0.0, -0.0, 1.0, np.nan, -np.nan, np.inf, -np.inf, 5e-324, 0.1]
COMPLEX = [0j, complex(-0.0, 0.0), complex(0.0, -0.0), 1j, complex(np.nan, 1), complex(1, np.nan)]
DATES = ["NaT", "1970-01-01", "2020-01-02"]
ITEMS: dict[str, list[Any]] = {
    **{dtype: [0, 1, 2] for dtype in ("?", "u1", "<i2", ">i4", "<u8", ">i8")},
    **dict.fromkeys(("<f2", ">f4", "<f4", "<f8", ">f8", "g"), FLOATS),
    **dict.fromkeys(("<c8", ">c16"), COMPLEX),
    "<M8[s]": DATES,
    ">M8[D]": DATES,
    "<m8[ms]": ["NaT", 0, 5],
    "S3": [b"", b"a", b"a\0", b"abc"],
    "<U2": ["", "a", "é"],
    ">U2": ["", "a", "é"],
    "V3": [b"\0\0\0", b"abc", b"ab\0"],
    "O": ["", "a", b"", 0, 0.0, -0.0, None, True],
    "T": ["", "a", "é"],
    "struct": [(0, 0.0, b""), (0, -0.0, b""), (1, np.nan, b"x"), (0, 0.0, b"y")],
}


def dtype_of(name: str) -> np.dtype:
    if name == "struct":
        return STRUCT
    return np.dtype(np.dtypes.StringDType() if name == "T" else name)


def scalar(name: str, item: Any) -> Any:
    """A fill value as zarr-python has it: a scalar of the dtype."""
    if name in "OT":
        return item
    with np.errstate(over="ignore"):
        return np.array([item], dtype_of(name))[0]


def batch_of(chunks: list[np.ndarray], layout: Layout, gap: int) -> Batch:
    """Chunks with `gap` elements between them."""
    pieces = []
    for chunk in chunks:
        between = np.zeros(gap, layout.dtype)
        pieces += [chunk.reshape(-1), between]
    if not layout.on_host_only:
        pieces = [piece.view(np.uint8) for piece in pieces]
    step = len(pieces[0]) + len(pieces[1])
    offsets = np.arange(len(chunks), dtype=np.int64) * step
    return Batch(np.concatenate(pieces), offsets, np.full(len(chunks), layout.size))


def skip_without(device: Device, name: str) -> None:
    """Devices have arrays of numbers only."""
    if not device.is_host and (dtype_of(name).kind not in "biufc" or name == "g"):
        pytest.skip(f"{device.name} has no arrays of dtype {name}")


def on(device: Device, batch: Batch) -> Batch:
    """The batch in the device's memory, and there alone."""
    return batch if device.is_host else replace(device.upload(batch), host=None)


def assert_like_zarr(
    name: str, chunks: list[np.ndarray], fill: Any, device: Device = CPU
) -> list[bool]:
    """One behind the other, with gaps between, and one alone."""
    expected = [NDBuffer.from_numpy_array(c).all_equal(fill) for c in chunks]
    layout = Layout.plain(dtype_of(name), chunks[0].shape)
    for gap in (0, 3):
        found = device.equals_fill(on(device, batch_of(chunks, layout, gap)), layout, fill)
        assert found.dtype == bool
        assert found.tolist() == expected
    alone = device.equals_fill(on(device, batch_of(chunks[:1], layout, 0)), layout, fill)
    assert alone.tolist() == expected[:1]
    return expected


@pytest.mark.parametrize("name", ITEMS)
def test_every_item_is_compared_with_every_fill_value_as_zarr_python_does(
    device: Device, name: str
) -> None:
    """Throughout, and with a single other item first, in the middle, last."""
    skip_without(device, name)
    verdicts = set()
    for item in ITEMS[name]:
        fill = scalar(name, item)
        chunks = []
        for number, other in enumerate(ITEMS[name]):
            chunk = np.empty((5, 8), dtype_of(name))
            chunk[...] = fill
            chunks.append(chunk.copy())
            for at in (0, 17, 39):
                chunk.reshape(-1)[at] = scalar(name, other)
                chunks.append(chunk.copy())
                chunk.reshape(-1)[at] = fill
            chunk[...] = scalar(name, ITEMS[name][number - 1])
            chunks.append(chunk)
        verdicts.update(assert_like_zarr(name, chunks, fill, device))
    assert verdicts == {True, False}


@given(st.data())
def test_chunks_are_compared_as_zarr_python_does(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([*ITEMS]))
    items = st.sampled_from(ITEMS[name])
    fill = scalar(name, data.draw(items))
    size = data.draw(st.integers(0, 40))
    chunks = []
    for _ in range(data.draw(st.integers(1, 4))):
        chunk = np.empty(size, dtype_of(name))
        chunk[...] = fill
        for at in data.draw(st.lists(st.integers(0, size - 1), max_size=3)) if size else []:
            chunk[at] = scalar(name, data.draw(items))
        chunks.append(chunk)
    assert_like_zarr(name, chunks, fill)


def test_a_difference_is_found_in_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_fill, "_BLOCK", 10)
    chunks = [np.zeros(64, "<f4") for _ in range(65)]
    for at in range(64):
        chunks[at][at] = -0.0
    assert assert_like_zarr("<f4", chunks, np.float32(0)).index(True) == 64


def test_no_chunk_equals_none(device: Device) -> None:
    assert assert_like_zarr("O", [np.full(3, None, object)] * 2, None) == [False, False]
    assert assert_like_zarr("<i4", [np.zeros(3, "<i4")] * 2, None, device) == [False, False]


@pytest.mark.parametrize("name", ["u1", "<f2", ">f4", "<f8", "<c8", ">c16"])
def test_a_difference_is_found_anywhere_in_a_large_chunk(device: Device, name: str) -> None:
    """At the ends of tiles and of chunks, of which some have no elements."""
    size = 16384 // dtype_of(name).itemsize
    counts = [0, 1, 2, 7, 8, 9, size - 1, size, size + 1, 2 * size + 3]
    for count in counts:
        layout = Layout.plain(dtype_of(name), (count,))
        chunks = [np.full(count, 2, layout.dtype)]
        for at in {0, count // 2, size - 1, size, count - 1} & {*range(count)}:
            chunks.append(chunks[0].copy())
            chunks[-1][at] = 1
        for fill in (2, 1):
            expected = [bool((chunk == fill).all()) for chunk in chunks]
            found = device.equals_fill(
                on(device, batch_of(chunks, layout, 1)), layout, scalar(name, fill)
            )
            assert found.tolist() == expected


def test_chunks_that_differ_at_once_are_not_read_further(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    compare = cpu_fill._comparison

    def watched(dtype: np.dtype, value: Any) -> Any:
        same = compare(dtype, value)
        return lambda data: seen.append(data.size) or same(data)

    monkeypatch.setattr(cpu_fill, "_comparison", watched)
    layout = Layout.plain(np.dtype("<i4"), (1000,))
    batch = batch_of([np.ones(1000, "<i4")] * 50 + [np.zeros(1000, "<i4")], layout, 0)
    assert CPU.equals_fill(batch, layout, np.int32(0)).sum() == 1
    assert sum(seen) == 51 * 16 + 1000


@pytest.mark.parametrize("name", ITEMS)
def test_whole_chunks_are_set_to_the_fill_value(device: Device, name: str) -> None:
    skip_without(device, name)
    for item in ITEMS[name]:
        fill = scalar(name, item)
        for order in ("C", "F"):
            layout = Layout.plain(dtype_of(name), (2, 3), order)
            chunks = [np.empty((2, 3), layout.dtype) for _ in range(3)]
            for chunk in chunks:
                chunk[...] = scalar(name, ITEMS[name][0])
            batch = batch_of(chunks, layout, 1)
            before, batch = batch.arena.copy(), on(device, batch)
            device.fill_chunks(batch.take(np.array([2, 0])), layout, fill)
            whole = batch.within(np.zeros(1, np.int64), np.array([len(batch.arena)]))
            after = device.download(whole).arena
            expected = np.empty(6, layout.dtype)
            expected[...] = fill
            flat = [after[a:b] for a, b in batch.spans()]
            if not layout.on_host_only:
                expected = expected.view(np.uint8)
            for slot in (0, 2):
                np.testing.assert_array_equal(flat[slot], expected)
            middle = slice(int(batch.offsets[0]) + layout.size, int(batch.offsets[2]))
            np.testing.assert_array_equal(after[middle], before[middle])


def test_neighbouring_and_large_chunks_are_set_to_the_fill_value(device: Device) -> None:
    uniform = Batch.uniform(device.empty(24), 3, 8)
    device.fill_chunks(uniform, Layout.plain(np.dtype(">i2"), (4,)), 258)
    streams = device.download(Batch.uniform(uniform.arena, 1, 24))
    assert streams.arena.tobytes() == b"\1\2" * 12
    for dtype, count in (("u1", 16_385), ("<f8", 5000), (">c16", 1025)):
        layout = Layout.plain(np.dtype(dtype), (count,))
        batch = Batch(device.empty(2 * layout.size + 3), *np.array(
            [[1, layout.size + 3], [layout.size] * 2]
        ))  # fmt: skip
        device.fill_chunks(batch, layout, 7)
        host = device.download(batch)
        for start, stop in host.spans():
            assert host.arena[start:stop].tobytes() == np.full(count, 7, dtype).tobytes()
