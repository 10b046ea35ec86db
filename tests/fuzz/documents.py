"""Metadata documents with other values, types and keys; zarr-python is the oracle.

Both refuse a document, or both read the same numbers of a few elements. Some values are huge, and
nothing may be allocated for them.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, TransposeCodec, ZstdCodec
from zarr.codecs import numcodecs as wrapped

from fuzz.chunks import FoundError
from fuzz.devices import fault_of, opened
from fuzz.mutations import MUTATIONS
from fuzz.oracle import quiet
from gpuzarr.errors import DeviceError, GpuzarrError

SLOTS = 8
"""Documents of a round."""

VALUES = np.arange(60).reshape(6, 10)


def _v2(**arguments: Any) -> Callable[[str], Any]:
    arguments = {"dtype": "<i4", "zarr_format": 2} | arguments
    return lambda folder: zarr.create_array(folder, shape=(6, 10), chunks=(3, 5), **arguments)


def _v3(**arguments: Any) -> Callable[[str], Any]:
    arguments = {"dtype": "<i4", "chunks": (3, 5)} | arguments
    return lambda folder: zarr.create_array(folder, shape=(6, 10), **arguments)


DOCUMENTS: dict[str, Callable[[str], Any]] = {
    ".zarray of blosc": _v2(compressors=numcodecs.Blosc("lz4")),
    ".zarray of filters": _v2(
        filters=[numcodecs.Delta("<i4", "<i2"), numcodecs.Shuffle(2)], compressors=numcodecs.Zlib()
    ),
    ".zarray of floats, F order": _v2(
        dtype=">f8", order="F", compressors=numcodecs.Zstd(), fill_value=np.nan
    ),
    ".zarray of a checksum": _v2(filters=[numcodecs.PackBits()], dtype="|b1", compressors=None),
    "zarr.json of zstd": _v3(compressors=[ZstdCodec(), Crc32cCodec()]),
    "zarr.json of a transpose": _v3(
        filters=TransposeCodec(order=(1, 0)), compressors=BloscCodec(cname="zstd")
    ),
    "zarr.json of shards": _v3(shards=(6, 10), compressors=GzipCodec()),
    "zarr.json of numcodecs": _v3(
        filters=[wrapped.Delta(dtype="<i4")],
        compressors=[wrapped.Shuffle(elementsize=4), wrapped.Zlib()],
    ),
    "zarr.json of floats": _v3(dtype="<f4", compressors=None, fill_value=np.nan),
}


class _Target:
    def __init__(self, name: str) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="gpuzarr-fuzz-")
        with quiet():
            array = DOCUMENTS[name](self.folder.name)
            array[...] = VALUES.astype(array.dtype)
        self.path = Path(self.folder.name, name.split()[0])
        self.text = self.path.read_text()
        Path(self.folder.name, ".zattrs").unlink(missing_ok=True)
        self.document = json.loads(self.text)


@cache
def _target(name: str) -> _Target:
    return _Target(name)


def round_of_documents(name: str, seed: int, number: int, device: str) -> Counter[str]:
    """A few damaged documents, each opened and read by zarr-python and by gpuzarr."""
    target, rng, outcomes = _target(name), random.Random(f"{seed} {name} {number}"), Counter[str]()
    for slot in range(SLOTS):
        text = _damaged(target, rng)
        target.path.write_bytes(text)
        outcomes["cases"] += 1
        try:
            outcomes[_compared(target, device)] += 1
        except AssertionError as error:
            where = f"{name}, {device}, seed {seed}, round {number}, slot {slot}"
            raise FoundError(f"{where}: {error}; document {text!r}") from error
    return outcomes


def _compared(target: _Target, device: str) -> str:
    wanted = _result(lambda: _read_by_zarr(target.folder.name, device))
    if isinstance(wanted, _HugeError):
        return "skipped"
    found = _result(lambda: _few(opened(target.folder.name, device)))
    if isinstance(found, Exception):
        if isinstance(found, DeviceError):
            raise AssertionError(f"the device broke: {fault_of(found)}")
        assert isinstance(found, GpuzarrError), f"{found!r} is no error of gpuzarr's"
        if not isinstance(wanted, Exception) and _is_of_no_chunk(target, wanted, device):
            return "refused, where zarr-python decodes nothing"
        assert isinstance(wanted, Exception), f"zarr-python reads it: {found!r}"
        return f"refused, {type(found).__name__}"
    assert not isinstance(wanted, Exception), f"zarr-python refuses it: {wanted!r}, found {found!r}"
    assert found.shape == wanted.shape, f"expected {wanted!r}, found {found!r}"
    assert found.dtype.newbyteorder("=") == wanted.dtype.newbyteorder("="), f"{found.dtype}"
    same = found.astype(wanted.dtype, copy=False).tobytes() == wanted.tobytes()
    assert same or np.array_equal(found, wanted), f"expected {wanted!r}, found {found!r}"
    return "read"


def _is_of_no_chunk(target: _Target, wanted: np.ndarray, device: str) -> bool:
    """Whether the document alone gives this: chunks were not found, or not asked for."""
    with tempfile.TemporaryDirectory(prefix="gpuzarr-fuzz-") as folder, quiet():
        shutil.copy(target.path, folder)
        return _read_by_zarr(folder, device).tobytes() == wanted.tobytes()


def _result(call: Callable[[], np.ndarray]) -> np.ndarray | Exception:
    try:
        with quiet():
            return call()
    except Exception as error:
        return error


_MOST = 2**63 - 1
"""Positions in an array, and bytes of a chunk, that there can be for gpuzarr."""


_MOST_EMULATED = 1 << 28
"""The emulated device marks each byte of a chunk as it gives room for it."""


class _HugeError(Exception):
    """Chunks that are too large for the emulated device."""


def _read_by_zarr(folder: str, device: str) -> np.ndarray:
    array = zarr.open_array(folder, mode="r")
    nbytes = array.dtype.itemsize * math.prod(_chunk(array))
    if max(array.shape, default=0) > _MOST or nbytes > _MOST:
        raise OverflowError("sizes that gpuzarr refuses")
    if device != "cpu" and nbytes > _MOST_EMULATED:
        raise _HugeError
    return _few(array)


def _chunk(array: Any) -> tuple[int, ...]:
    return tuple(array.shards or array.chunks)


def _few(array: Any) -> np.ndarray:
    """Elements of the first corner."""
    found = array[tuple(slice(0, 4) for _ in array.shape)]
    return np.asarray(found.get() if hasattr(found, "get") else found)


# --- damage ---------------------------------------------------------------------------------------

VALUES_OF_JSON: tuple[Any, ...] = (
    None, True, False, "", "x", [], {}, 0, 1, -1, 2, 3, 5, 1.5, -0.0, 1e308, 2**31, 2**32, 2**40,
    2**53, 2**62, 2**63 - 1, 2**63, 2**64, "NaN", "Infinity", "0x7fc00000", [1], [1, 2], [0, 0],
    {"name": "bytes"}, {"id": "zlib"}, "<f8", ">i2", "|S3", "float64", "uint8", "int4", "bool", "C",
    "F", "big", "/", ".", "a\u0000b", "é" * 3,
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 4, 6, 7, 10, 31, 32, 2**31 - 1, 2**31, 2**40, 2**62, 2**63, 2**64)
_NOT_TOO_MANY = 200


def _damaged(target: _Target, rng: random.Random) -> bytes:
    if rng.random() < 0.1:
        text = target.text.encode()
        return rng.choice(MUTATIONS)(text, text[::-1], rng)
    document = deepcopy(target.document)
    while document == target.document:
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            _change(document, rng)
    return json.dumps(document).encode()


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Every container of a document with each of its keys or positions."""
    keys: Any = ()
    if isinstance(node, dict | list):
        keys = list(node) if isinstance(node, dict) else range(len(node))
    found = [(node, key) for key in keys]
    for key in keys:
        found += _places(node[key])
    return found


def _change(document: Any, rng: random.Random) -> None:
    places = _places(document)
    if not places or len(places) > _NOT_TOO_MANY:
        return
    node, key = rng.choice(places)
    other_node, other_key = rng.choice(places)
    match rng.randrange(8):
        case 0:
            del node[key]
        case 1:
            node[key] = deepcopy(other_node[other_key])
        case 2 if isinstance(node, list):
            node.insert(key, deepcopy(other_node[other_key]))
        case 2:
            node[rng.choice(("x", "must_understand", "name", "level", key + "x"))] = node[key]
        case 3 if isinstance(node[key], list):
            rng.shuffle(node[key])
        case 3 | 4 | 5 if isinstance(node[key], int):
            node[key] = rng.choice((*NUMBERS, node[key] + rng.choice((-1, 1))))
        case _:
            node[key] = deepcopy(rng.choice(VALUES_OF_JSON))
