"""docs/codecs.md says of each codec what the registry has, and what the codecs say of devices."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from numcodecs.registry import codec_registry
from zarr.abc.codec import ArrayArrayCodec, ArrayBytesCodec
from zarr.registry import get_codec_class

import gpuzarr
from gpuzarr import device as devices
from gpuzarr.codecs import CODECS
from gpuzarr.codecs.base import Codec
from gpuzarr.codecs.chain import Chain
from gpuzarr.codecs.foreign import Foreign
from gpuzarr.codecs.preparing import chain_of
from gpuzarr.device import emulator_build
from gpuzarr.metadata import read_spec
from gpuzarr.spec import ChunkFormat, v2_configs

pytestmark = [
    pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning"),
    pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning"),
]

PAGE = (Path(gpuzarr.__file__).parent.parent / "docs" / "codecs.md").read_text(encoding="utf-8")
LAYOUT, ANNOUNCED, NATIVE = "Layout", "On the CPU, announced", "Only on a GPU"

# What each needs to be configured, and elements that it takes where floats are not it
CONFIGURATION: dict[str, dict[str, Any]] = {
    "shuffle": {"elementsize": 4},
    "delta": {"dtype": "<f4"},
    "fixedscaleoffset": {"offset": 0, "scale": 10, "dtype": "<f4", "astype": "<i2"},
    "scale_offset": {"offset": 1, "scale": 2},
    "cast_value": {"data_type": "int32"},
    "astype": {"encode_dtype": "<f8", "decode_dtype": "<f4"},
    "quantize": {"digits": 2, "dtype": "<f4"},
    "bitround": {"keepbits": 5},
    "categorize": {"labels": ["a"], "dtype": "<U2"},
    "vlen-array": {"dtype": "<f4"},
    "hdf5_szip": {
        "mask": 141, "bits_per_pixel": 32, "pixels_per_block": 8, "pixels_per_scanline": 8,
    },
}  # fmt: skip
DTYPE: dict[str, Any] = {
    "packbits": "bool", "categorize": "<U2", "vlen-utf8": str,
    "vlen-bytes": "variable_length_bytes", "vlen-array": object, "json2": object,
    "msgpack2": object, "pickle": object,
}  # fmt: skip
NEEDS = {
    "zfpy": "zfpy", "pcodec": "pcodec", "msgpack2": "msgpack", "cast_value": "cast_value_rs",
    "hdf5_szip": "imagecodecs",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One codec of the page; `cells` are by the names of their columns."""

    section: str
    codec: str
    cells: dict[str, str]

    @property
    def names(self) -> list[tuple[int, str]]:
        """Zarr format and name, for each of them."""
        found = []
        for part in self.cells["names"].split(";"):
            version = int(part.strip()[1])
            found += [(version, name) for name in re.findall(r"`([^`]+)`", part)]
        return found


def rows() -> list[Row]:
    found, section, columns = [], "", []
    for line in PAGE.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        if section == "Trust" or not line.startswith("| "):
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == "codec":
            columns = cells
        else:
            found.append(Row(section, cells[0], dict(zip(columns, cells, strict=True))))
    return found


ROWS = rows()
CODED = [row for row in ROWS if row.section != LAYOUT]
NAMES = [pytest.param(row, *name, id="v{} {}".format(*name)) for row in CODED for name in row.names]


@cache
def chain(version: int, name: str) -> tuple[str, Chain]:
    """The class that stands for a name, and the chain of an array that has only this codec."""
    stem = name.removeprefix("numcodecs.")
    if stem in NEEDS:
        pytest.importorskip(NEEDS[stem])
    configuration, dtype = CONFIGURATION.get(stem, {}), DTYPE.get(stem, "f4")
    if version == 2:
        configs = v2_configs([numcodecs.get_codec({"id": name, **configuration})], None)
        elements = np.dtype(object if dtype in (str, "variable_length_bytes") else dtype)
        return configs[0].class_name, chain_of(ChunkFormat(elements, (8,), "C", configs, ()))
    document = {"name": name, "configuration": configuration}
    kind = get_codec_class(name)
    given: dict[str, Any] = {"filters": None, "compressors": None}
    place = "compressors"
    if issubclass(kind, ArrayArrayCodec):
        place = "filters"
    elif issubclass(kind, ArrayBytesCodec):
        place = "serializer"
    array = zarr.create_array({}, shape=(8,), chunks=(8,), dtype=dtype, **given | {place: document})
    spec = read_spec(array.metadata)
    (found,) = [config for config in spec.codecs if config.name == name]
    return found.class_name, chain_of(spec.format((8,)))


def codec_of(version: int, name: str) -> tuple[str, Codec]:
    class_name, found = chain(version, name)
    (stage,) = found.stages
    return class_name, stage.codec


def test_the_tables_have_every_codec_of_the_registry_and_no_other() -> None:
    named = {codec_of(*name)[0] for row in CODED for name in row.names if is_installed(name[1])}
    missing = {place for place in CODECS if not any(n in place for n in ("CastValue", "Hdf5Szip"))}
    assert missing <= named
    for row in CODED:
        for name in row.names:
            is_ours = not is_installed(name[1]) or codec_of(*name)[0] in CODECS
            assert is_ours == (row.section != ANNOUNCED or name[1] == "hdf5_szip"), name


def is_installed(name: str) -> bool:
    try:
        __import__(NEEDS.get(name.removeprefix("numcodecs."), "zarr"))
    except ImportError:
        return False
    return True


def test_the_tables_have_every_codec_of_numcodecs_and_of_zarr_python() -> None:
    told = {name for row in ROWS for name in row.names}
    v2 = {id_ for id_, kind in codec_registry.items() if kind.__module__.startswith("numcodecs.")}
    assert {(2, id_) for id_ in v2} <= told
    ours = Path(zarr.__file__).parent / "codecs" / "__init__.py"
    v3 = re.findall(r'^register_codec\("([^"]+)"', ours.read_text(), re.MULTILINE)
    assert len(v3) > 15
    assert {(3, name) for name in v3} <= told


@pytest.mark.parametrize(("row", "version", "name"), NAMES)
@pytest.mark.parametrize("way", ["decodes", "encodes"])
def test_a_column_says_no_where_the_codec_does(row: Row, version: int, name: str, way: str) -> None:
    _, codec = codec_of(version, name)
    for device, column in (("cpu", "on the CPU"), ("emulated", "on a device")):
        if device == "emulated" and not emulator_build.is_available():
            continue
        asks = codec.supports if way == "decodes" else codec.supports_encoding
        reason = asks(devices.get(device))
        told = row.cells[f"{way} {column}"]
        assert told
        assert (told == "no") == (reason is not None), reason


@pytest.mark.parametrize(("row", "version", "name"), NAMES)
def test_who_decodes_on_the_cpu_is_an_object_of_theirs_where_it_says_so(
    row: Row, version: int, name: str
) -> None:
    _, codec = codec_of(version, name)
    is_announced = row.section == ANNOUNCED
    assert isinstance(codec, Foreign) == is_announced
    if row.section == NATIVE:
        assert name.startswith("gpuzarr.")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.codec)
def test_every_row_links_its_format_and_tells_limits_and_bad_input(row: Row) -> None:
    assert re.match(r"\[[^]]+\]\(https://[^)]+\)", row.codec)
    assert {"limits", "bad input"} <= row.cells.keys()
    if row.section not in (LAYOUT, ANNOUNCED):
        assert row.cells["limits"]
        assert row.cells["bad input"]


@pytest.mark.skipif(not emulator_build.is_available(), reason="there is no g++")
def test_the_table_of_trust_is_what_a_device_distrusts() -> None:
    """What stands by itself in the first column, and goes elsewhere in the last one."""
    device, found = devices.get("emulated", "untrusted"), set()
    lines = PAGE.partition("| | trusted | untrusted |")[2].partition("\n\n")[0].splitlines()[2:]
    assert len(lines) > 5
    for line in lines:
        names, _, untrusted = (cell.strip() for cell in line.strip("|").split("|"))
        words = set(re.findall(r"\w+", names.lower())) & devices.get("emulated").decompressors
        words -= {"blosc"}
        if names.endswith(" inside Blosc") and "and inside" not in names:
            words &= {"snappy"}  # the others have a row of their own
        if untrusted.startswith(("the CPU", "refused")):
            found |= words
        else:
            assert words <= device.decompressors
    assert found == device.distrusted


def test_layout_is_no_stage() -> None:
    names = {name for row in ROWS if row.section == LAYOUT for _, name in row.names}
    assert names == {"bytes", "endian", "transpose", "sharding_indexed"}
    array = zarr.create_array(
        {}, shape=(8, 8), chunks=(4, 4), shards=(8, 8), dtype="f4", compressors=None,
        filters={"name": "transpose", "configuration": {"order": [1, 0]}},
        serializer={"name": "bytes", "configuration": {"endian": "big"}},
    )  # fmt: skip
    assert gpuzarr.open(array, device="cpu").explain().stages == ()


def test_limits_of_encoders_are_those_of_the_device() -> None:
    if not emulator_build.is_available():
        pytest.skip("there is no g++")
    device = devices.get("emulated")
    said = {row.names[0][1]: row.cells["limits"] for row in CODED}
    for name in ("zstd", "numcodecs.lz4"):
        assert "chunks up to 16 MiB" in said[name]
        assert device.largest_stream(name.removeprefix("numcodecs.")) == 16 << 20
    for name, words in (("gdeflate", "64 KiB"), ("bitcomp", "16 MiB"), ("ans", "16 MiB")):
        kind = get_codec_class(f"gpuzarr.{name}")
        assert f"blocks up to {words}" in said[f"gpuzarr.{name}"]
        expected = 64 << 10 if words == "64 KiB" else 16 << 20
        assert device.largest_chunk(name) == kind.largest == expected
