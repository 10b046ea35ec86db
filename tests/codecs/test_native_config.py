"""nvCOMP's own codecs as zarr-python and numcodecs find them: names, configurations, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from harness import v2_array, v3_array
from zarr.registry import get_codec_class

import gpuzarr
from gpuzarr import native_codecs
from gpuzarr.errors import MetadataError, UnsupportedError

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")

CODECS = {
    "gdeflate": {"blocksize": 65536, "algorithm": 1},
    "bitcomp": {"blocksize": 65536, "algorithm": 0},
    "ans": {"blocksize": 65536},
    "cascaded": {"blocksize": 65536},
}
GIVEN: dict[str, dict[str, Any]] = {
    "gdeflate": {"blocksize": 4096, "algorithm": 5},
    "bitcomp": {"blocksize": 1 << 24, "algorithm": 1, "data_type": "int16"},
    "ans": {"blocksize": 256},
    "cascaded": {"blocksize": 272, "data_type": "uint64"},
}


@pytest.mark.parametrize("name", CODECS)
def test_both_registries_know_the_name(name: str) -> None:
    found = get_codec_class(f"gpuzarr.{name}")
    assert found.from_dict({"name": f"gpuzarr.{name}"}).to_dict() == {
        "name": f"gpuzarr.{name}", "configuration": CODECS[name],
    }  # fmt: skip
    config = {"id": f"gpuzarr.{name}"}
    assert numcodecs.get_codec(config).get_config() == config | CODECS[name]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", GIVEN)
def test_a_configuration_survives_the_metadata_document(
    tmp_path: Path, name: str, version: int
) -> None:
    config: Any = {"name": f"gpuzarr.{name}", "configuration": GIVEN[name]}
    if version == 2:
        config = {"id": f"gpuzarr.{name}", **GIVEN[name]}
        codec: Any = numcodecs.get_codec(config)
    else:
        codec = get_codec_class(config["name"]).from_dict(config)
    zarr.create_array(
        tmp_path, shape=(8,), chunks=(4,), dtype="f8", compressors=codec, zarr_format=version
    )
    again = zarr.open_array(tmp_path, mode="r").metadata
    if version == 2:
        assert again.compressor.get_config() == config
        assert again.compressor == codec
        assert eval(repr(codec), vars(native_codecs)) == codec
    else:
        assert again.codecs[-1].to_dict() == config
        assert again.codecs[-1] == codec


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("i1", "int8"), ("?", "uint8"), (">u2", "uint16"), ("<f2", "uint16"), ("<f4", "uint32"),
        ("<i4", "int32"), ("<c16", "uint64"), ("M8[s]", "int64"), ("S5", "uint8"),
        ([("a", "<i4")], "uint8"),
    ],
)  # fmt: skip
def test_elements_are_counted_as_integers_of_their_width(dtype: Any, expected: str) -> None:
    assert native_codecs.data_type_of(np.dtype(dtype)) == expected


@pytest.mark.parametrize(
    ("name", "key", "value", "words"),
    [
        ("gdeflate", "blocksize", 65552, "a multiple of 16 from 256 to 65536"),
        ("ans", "blocksize", (1 << 24) + 16, "a multiple of 16 from 256 to 16777216"),
        ("ans", "blocksize", 0, "a multiple of 16"),
        ("ans", "blocksize", 240, "a multiple of 16"),
        ("ans", "blocksize", 264, "a multiple of 16"),
        ("ans", "blocksize", True, "a multiple of 16"),
        ("ans", "blocksize", "64K", "a multiple of 16"),
        ("gdeflate", "algorithm", 6, "0 to 5"),
        ("bitcomp", "algorithm", -1, "0 to 1"),
        ("bitcomp", "data_type", "float32", "one of int8, uint8, int16"),
        ("cascaded", "data_type", 4, "one of int8"),
        ("ans", "data_type", "uint8", "no keys but"),
        ("gdeflate", "level", 3, "no keys but"),
    ],
)
def test_a_value_that_is_not_allowed_is_named(
    tmp_path: Path, name: str, key: str, value: Any, words: str
) -> None:
    codec = get_codec_class(f"gpuzarr.{name}")
    document = {"name": f"gpuzarr.{name}", "configuration": {key: value}}
    message = rf"The codec 'gpuzarr.{name}' cannot be configured: expected .*{words}"
    with pytest.raises(MetadataError, match=message):
        codec.from_dict(document)
    with pytest.raises(MetadataError, match=message):
        numcodecs.get_codec({"id": f"gpuzarr.{name}", key: value})
    stored = v3_array(tmp_path, b"", (4,), "uint8", [{"name": "bytes"}, document])
    with pytest.raises(MetadataError, match=message):
        gpuzarr.open(stored)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", CODECS)
def test_without_a_gpu_it_says_what_to_do(tmp_path: Path, name: str, version: int) -> None:
    words = rf"'gpuzarr.{name}' has no decoder and no encoder on the CPU.* device='cuda'"
    if version == 2:
        path = v2_array(tmp_path, b"x", (4,), "u1", compressor={"id": f"gpuzarr.{name}"})
    else:
        path = v3_array(
            tmp_path, b"x", (4,), "uint8", [{"name": "bytes"}, {"name": f"gpuzarr.{name}"}]
        )
    for array in (zarr.open_array(path), gpuzarr.open(path, device="cpu", mode="r+")):
        with pytest.raises(UnsupportedError, match=words):
            array[...]
        with pytest.raises(UnsupportedError, match=words):
            array[...] = 1
    with gpuzarr.enable(), pytest.raises(UnsupportedError, match=words):
        zarr.open_array(path)[...]
