"""Arrays that other tools wrote: gpuzarr reads them as zarr-python and numcodecs do.

The data are public ones, copied from other projects; the folder's README says which.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from harness import assert_read, assert_same, v2_array

import gpuzarr
from gpuzarr import device as devices
from gpuzarr.batch import Batch, Scratch
from gpuzarr.codecs.preparing import chain_of
from gpuzarr.spec import ChunkFormat, v2_configs

FOLDER = Path(os.environ["GPUZARR_FIXTURES"])

pytestmark = [
    pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning"),
    pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning"),
]

# Arrays and groups ------------------------------------------------------------------------------


def nodes(kind: str) -> list[str]:
    """Paths of all arrays, or groups, in the folder."""
    found = [p.parent for p in FOLDER.rglob(".zarray" if kind == "array" else ".zgroup")]
    documents = {p: json.loads(p.read_text()) for p in FOLDER.rglob("zarr.json")}
    found += [p.parent for p, document in documents.items() if document["node_type"] == kind]
    return sorted(p.relative_to(FOLDER).as_posix() for p in found)


ARRAYS, GROUPS = nodes("array"), nodes("group")

# zarr-python has no data type for objects in JSON.
NOT_OPENED_BY_ZARR = {"zarrita.js/fixtures/v2/data.zarr/1d.contiguous.json2.O"}
# Its consolidated metadata hold that array too.
GROUPS_NOT_OPENED_BY_ZARR = {"zarrita.js/fixtures/v2/data.zarr"}


def test_there_are_86_arrays_and_10_groups(fixtures: Path) -> None:
    assert (len(ARRAYS), len(GROUPS)) == (86, 10)
    assert set(ARRAYS) > NOT_OPENED_BY_ZARR
    assert set(GROUPS) > GROUPS_NOT_OPENED_BY_ZARR


@pytest.mark.parametrize("path", sorted(set(ARRAYS) - NOT_OPENED_BY_ZARR) or ["-"])
def test_an_array_is_what_zarr_python_reads(fixtures: Path, path: str) -> None:
    ours, theirs = gpuzarr.open(fixtures / path), zarr.open_array(fixtures / path, mode="r")
    assert_read(ours[...], theirs[...])
    assert ours.shape == theirs.shape
    assert ours.chunks == theirs.chunks
    assert ours.shards == theirs.shards
    assert ours.dtype == theirs.dtype
    assert ours.zarr_format == theirs.metadata.zarr_format
    assert dict(ours.attrs) == dict(theirs.attrs)
    if theirs.fill_value is None:
        assert ours.fill_value is None
    else:
        assert_same(np.asarray(ours.fill_value), np.asarray(theirs.fill_value))


@pytest.mark.parametrize("path", sorted(NOT_OPENED_BY_ZARR | GROUPS_NOT_OPENED_BY_ZARR))
def test_what_zarr_python_does_not_open_is_refused_for_its_reason(
    fixtures: Path, path: str
) -> None:
    with pytest.raises(ValueError, match="No Zarr data type"):
        zarr.open(fixtures / path, mode="r")
    with pytest.raises(gpuzarr.errors.MetadataError, match=f"{path}.*No Zarr data type"):
        gpuzarr.open(fixtures / path)


@pytest.mark.parametrize("path", sorted(set(GROUPS) - GROUPS_NOT_OPENED_BY_ZARR) or ["-"])
def test_a_group_has_the_members_that_zarr_python_finds(fixtures: Path, path: str) -> None:
    ours, theirs = gpuzarr.open(fixtures / path), zarr.open_group(fixtures / path, mode="r")
    assert isinstance(ours, gpuzarr.Group)
    assert dict(ours.attrs) == dict(theirs.attrs)
    assert list(ours) == sorted(theirs.keys())
    for name in ours:
        node = theirs[name]
        if isinstance(node, zarr.Group):
            assert isinstance(ours[name], gpuzarr.Group)
        else:
            assert_read(ours[name][...], node[...])


# numcodecs' own fixtures ------------------------------------------------------------------------

NUMCODECS = FOLDER / "numcodecs" / "fixture"
CODECS = sorted(p.parent.relative_to(NUMCODECS).as_posix() for p in NUMCODECS.rglob("config.json"))

NO_DTYPE = "zarr-python has no data type for arrays of this codec"
NO_CODEC = "numcodecs has no codec of this name"
EXCLUDED = {
    "categorize/O/codec.00": NO_DTYPE,  # objects that no object codec made
    "json2/codec.00": NO_DTYPE,
    "json2/codec.01": NO_DTYPE,
    "json2/codec.02": NO_CODEC,  # json, before json2
    "json2/codec.03": NO_CODEC,
    "msgpack2/codec.00": NO_DTYPE,
    **{f"vlen-array/codec.{n:02}": NO_DTYPE for n in range(8)},
}
ARRAY_CODECS = {
    "astype", "categorize", "delta", "fixedscaleoffset", "json2", "msgpack2", "packbits",
    "quantize", "vlen-array", "vlen-bytes", "vlen-utf8",
}  # fmt: skip
LOSSY = {"astype", "fixedscaleoffset", "quantize"}


def configuration(codec: str) -> dict[str, Any]:
    return json.loads((NUMCODECS / codec / "config.json").read_text())


def encoded_chunks(codec: str) -> list[Path]:
    return sorted((NUMCODECS / codec).glob("encoded.*.dat"))


def decoded_array(encoded: Path) -> np.ndarray:
    number = encoded.name.split(".")[1]
    return np.load(encoded.parents[1] / f"array.{number}.npy", allow_pickle=True)


def as_zarr_array(folder: Path, codec: str, encoded: Path, array: np.ndarray) -> Path:
    """A v2 array whose single chunk is this file, and which names this codec."""
    config = configuration(codec)
    is_filter = config["id"] in ARRAY_CODECS
    only_f = array.flags.f_contiguous and not array.flags.c_contiguous
    return v2_array(
        folder,
        encoded.read_bytes(),
        array.shape,
        config.get("decode_dtype", array.dtype),
        compressor=None if is_filter else config,
        filters=[config] if is_filter else None,
        order="F" if only_f else "C",
    )


def test_984_numcodecs_chunks_are_read_and_the_others_known(fixtures: Path) -> None:
    assert len(CODECS) == 109
    assert set(EXCLUDED) < set(CODECS)
    assert sum(len(encoded_chunks(codec)) for codec in set(CODECS) - set(EXCLUDED)) == 984
    assert sum(len(encoded_chunks(codec)) for codec in EXCLUDED) == 65


@pytest.mark.parametrize("codec", sorted(set(CODECS) - set(EXCLUDED)) or ["-"])
def test_a_chunk_that_numcodecs_wrote_is_decoded(
    fixtures: Path, tmp_path: Path, codec: str
) -> None:
    """A lossless codec gives the array that was encoded, a lossy one what numcodecs gives."""
    for encoded in encoded_chunks(codec):
        array, config = decoded_array(encoded), configuration(codec)
        folder = as_zarr_array(tmp_path / encoded.name, codec, encoded, array)
        found = gpuzarr.open(folder)[...]
        if config["id"] in LOSSY:
            decoded = numcodecs.get_codec(config).decode(encoded.read_bytes())
            array = decoded.reshape(array.shape, order="A" if array.flags.c_contiguous else "F")
        if config["id"] == "vlen-utf8":
            array = array.astype(np.dtypes.StringDType())
        assert_read(found, array)


def same(found: Any, expected: Any) -> bool:
    """Elements, of which some are arrays themselves, and some NaN."""
    if isinstance(expected, np.ndarray):
        return np.array_equal(found, expected)
    return bool(found == expected or (found != found and expected != expected))


@pytest.mark.parametrize("codec", sorted(c for c, why in EXCLUDED.items() if why == NO_DTYPE))
def test_objects_that_zarr_python_has_no_dtype_for_are_decoded_by_their_codec(
    fixtures: Path, codec: str, each_device: str
) -> None:
    """On the CPU, whatever the device is, which it says."""
    config = configuration(codec)
    for path in encoded_chunks(codec):
        array = decoded_array(path)
        order: Any = "C" if array.flags.c_contiguous else "F"
        configs = v2_configs([numcodecs.get_codec(config)], None)
        chain = chain_of(ChunkFormat(array.dtype, array.shape, order, configs, ()))
        expected = [None if each_device == "cpu" else "no device decoder"]
        assert chain.reasons(devices.get(each_device)) == expected
        batch = Batch.joined([np.frombuffer(path.read_bytes(), np.uint8)])
        decoded = chain.decode(batch, None, devices.host(), Scratch(), {})
        layout, elements = chain.layout, decoded.arena
        if not layout.on_host_only:
            elements = elements.view(layout.dtype)
        chunk = elements.reshape(layout.shape).transpose(layout.axes)
        assert chunk.shape == array.shape
        assert all(map(same, chunk.ravel().tolist(), array.ravel().tolist()))


def test_only_what_numcodecs_has_no_codec_for_is_not_decoded(fixtures: Path) -> None:
    """The codec that json2 took the place of."""
    without = [codec for codec, why in EXCLUDED.items() if why == NO_CODEC]
    assert without == ["json2/codec.02", "json2/codec.03"]
    for codec in without:
        with pytest.raises(ValueError, match="codec not available: ''json''"):
            numcodecs.get_codec(configuration(codec))


@pytest.mark.parametrize("codec", sorted(EXCLUDED))
def test_a_chunk_of_an_excluded_codec_is_refused_when_opened(
    fixtures: Path, tmp_path: Path, codec: str
) -> None:
    for encoded in encoded_chunks(codec):
        folder = as_zarr_array(tmp_path / encoded.name, codec, encoded, decoded_array(encoded))
        with pytest.raises(Exception, match=r"No Zarr data type|codec 'json' is not available"):
            zarr.open_array(folder, mode="r")
        with pytest.raises(
            gpuzarr.errors.MetadataError,
            match=r"No Zarr data type|codec 'json' is not available",
        ):
            gpuzarr.open(folder)
