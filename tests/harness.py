"""What several tests need: comparing bit by bit, and arrays made of given bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs.compat import ensure_bytes

import gpuzarr
from gpuzarr import device as devices
from gpuzarr.batch import Batch
from gpuzarr.codecs.preparing import chain_of
from gpuzarr.device import emulated_array
from gpuzarr.metadata import read_spec

_NUMBERS = "biufc"
TINY_WAVES = {"wave_bytes": 1, "device_wave_bytes": 1, "threads": 2, "coalesce_gap_bytes": 1}


def assert_same(found: Any, expected: Any) -> None:
    """Same dtype and byte order, same shape, same bits: NaN payloads and -0.0 included."""
    assert isinstance(found, np.ndarray) == isinstance(expected, np.ndarray)
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if expected.dtype.hasobject:
        np.testing.assert_array_equal(found, expected)
    elif found.tobytes() != expected.tobytes():
        np.testing.assert_array_equal(found, expected)
        raise AssertionError(f"equal in value, not in bits: {found!r} is not {expected!r}")


def assert_read(found: Any, expected: Any) -> None:
    """What an array that was opened without a device gave: bits of NumPy's, where they belong.

    Where arrays are opened on a device, numbers are there and have native byte order,
    scalars too. All else is on the host.
    """
    is_number = np.asarray(expected).dtype.kind in _NUMBERS
    if is_number and opens_on_device():
        assert_on_device(found, expected)
    else:
        assert_same(found, expected)


def assert_on_device(found: Any, expected: Any) -> None:
    """On the device, in native byte order, and the same bits."""
    assert devices.on_device(found) is found
    expected = np.asarray(expected)
    assert_same(found.get(), expected.astype(expected.dtype.newbyteorder("=")))


def opens_on_device() -> bool:
    """Whether arrays are opened on a device that is not the host's."""
    return gpuzarr.config.get("device") not in ("auto", "cpu")


def empty(shape: Any, dtype: Any = np.uint8) -> Any:
    """An array in the memory of the device that arrays are opened on."""
    if gpuzarr.config.get("device") == "emulated":
        return emulated_array.empty(shape, dtype)
    import cupy

    return cupy.empty(shape, dtype)


def asarray(values: np.ndarray) -> Any:
    """A copy of an array there."""
    if gpuzarr.config.get("device") == "emulated":
        return emulated_array.asarray(values)
    import cupy

    return cupy.asarray(values)


def bytes_of(found: Any) -> bytes:
    """Of a result, wherever it is."""
    return bytes((found if devices.on_device(found) is None else found.get()).tobytes())


def uploaded(value: Any) -> Any:
    """A value on the device that arrays are opened on, where it may be there."""
    is_array = isinstance(value, np.ndarray) and value.dtype.kind in _NUMBERS
    if not opens_on_device() or not is_array:
        return value
    return asarray(value.astype(value.dtype.newbyteorder("=")))


def v2_array(
    folder: Path,
    encoded: bytes,
    shape: Sequence[int],
    dtype: Any,
    *,
    compressor: dict[str, Any] | None = None,
    filters: list[dict[str, Any]] | None = None,
    order: str = "C",
    fill_value: Any = None,
) -> Path:
    """A v2 array whose single chunk is `encoded`."""
    dtype = np.dtype(dtype)
    document = {
        "zarr_format": 2,
        "shape": list(shape),
        "chunks": [max(n, 1) for n in shape],
        "dtype": dtype.descr if dtype.names else dtype.str,
        "compressor": compressor,
        "filters": filters,
        "order": order,
        "fill_value": fill_value,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".zarray").write_text(json.dumps(document))
    (folder / (".".join("0" for _ in shape) or "0")).write_bytes(encoded)
    return folder


def v3_array(
    folder: Path,
    encoded: bytes,
    shape: Sequence[int],
    data_type: Any,
    codecs: list[dict[str, Any]],
    *,
    fill_value: Any = 0,
) -> Path:
    """A v3 array whose single chunk, or shard, is `encoded`."""
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shape)}},
        "chunk_key_encoding": {"name": "v2", "configuration": {"separator": "."}},
        "fill_value": fill_value,
        "codecs": codecs,
        "attributes": {},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "zarr.json").write_text(json.dumps(document))
    (folder / (".".join("0" for _ in shape) or "0")).write_bytes(encoded)
    return folder


def read_v2(
    folder: Path, encoded: bytes, shape: Sequence[int] | int, dtype: Any, **metadata: Any
) -> Any:
    """What gpuzarr makes of these bytes as the only chunk of a v2 array."""
    shape = (shape,) if isinstance(shape, int) else shape
    return gpuzarr.open(v2_array(folder, encoded, shape, dtype, **metadata))[...]


def encoded(z: Any, chunks: Sequence[np.ndarray], device: str) -> list[bytes]:
    """What our codecs make of these chunks of an array of zarr-python's.

    Each codec encodes on the device that it has an encoder for, else on the CPU.
    """
    chain = chain_of(read_spec(z.metadata).format(z.chunks))
    batch = Batch.joined([chain.layout.stored(chunk) for chunk in chunks], chain.dtype)
    for stage in reversed(chain.stages):
        lacks = stage.codec.supports_encoding(devices.get(device))
        worker = devices.get("cpu" if lacks else device)
        with worker.working(worker.begin()):
            there = replace(worker.upload(batch), dtype=batch.dtype)
            batch = stage.codec.encode(there, worker)
            batch = replace(worker.download(batch), dtype=batch.dtype)
    return [bytes(batch.arena[start:stop]) for start, stop in batch.spans()]


def smooth(shape: Sequence[int] | int, dtype: Any, seed: int = 0) -> np.ndarray:
    """Values that compress: a slow wave with a little noise."""
    rng, count = np.random.default_rng(seed), math.prod(np.atleast_1d(shape))
    wave = 50 + 40 * np.sin(np.arange(count) / 20) + rng.normal(0, 0.5, count)
    return wave.astype(dtype).reshape(shape)


def assert_codec(
    folder: Path,
    codec: Any,
    literal: bytes,
    values: np.ndarray,
    *,
    v3: dict[str, Any] | None = None,
    arrays: Sequence[np.ndarray] | None = None,
    as_filter: bool = False,
    reader: str = "batched",
) -> None:
    """A codec of numcodecs' is read as its format says, and as numcodecs writes it.

    `literal` decodes to `values`, for numcodecs too, and in v3 under the configuration `v3`. Each
    of `arrays` comes back from what numcodecs makes of it. `reader` is a part of what `explain`
    says about how it is run.
    """
    config = codec.get_config()

    def read(name: str, encoded: Any, like: np.ndarray) -> np.ndarray:
        parts = {"filters": [config]} if as_filter else {"compressor": config}
        ours = gpuzarr.open_array(
            v2_array(folder / name, ensure_bytes(encoded), like.shape, like.dtype, **parts)
        )
        assert [reader in stage.reason for stage in ours.explain().stages] == [True]
        return ours[...]

    if values.dtype.hasobject:
        assert codec.decode(literal).tolist() == values.tolist()
    else:
        assert ensure_bytes(codec.decode(literal)) == values.tobytes()
    found = read("literal", literal, values)
    assert_read(found, values.astype(found.dtype))
    for number, array in enumerate(ARRAYS if arrays is None else arrays):
        found = read(str(number), codec.encode(array), array)
        assert_read(found, array.astype(found.dtype))
    if v3 is not None:
        little = {"name": "bytes", "configuration": {"endian": "little"}}
        codecs = [v3, little] if as_filter else [little, v3]
        path = v3_array(folder / "v3", literal, values.shape, values.dtype.name, codecs)
        assert_read(gpuzarr.open_array(path)[...], values)


ARRAYS = [
    smooth(1, "u1"),
    smooth((3, 5), "<i2"),
    smooth((40, 30), "<f4"),
    smooth((7, 9, 11), ">f8"),
    np.array([np.nan, -0.0, np.inf, 5e-324]),
    np.random.default_rng(0).integers(0, 2**63, 1000),
    np.zeros(5000, "<c8"),
]
