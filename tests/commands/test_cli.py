"""The commands on real stores."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import zarr
from typer.testing import CliRunner, Result

import gpuzarr
from gpuzarr.commands.cli import app
from gpuzarr.commands.explain import parse_selection
from gpuzarr.commands.info import codec_label


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def fails(*arguments: str | Path) -> str:
    """The one sentence that a command ends with."""
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert result.stderr.startswith("gpuzarr: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A group of a v3 sharded array with names, and a nested v2 array."""
    path = tmp_path / "store.zarr"
    root = zarr.create_group(path, attributes={"title": "a [bold] test"})
    sharded = root.create_array(
        "sharded",
        shape=(8, 12),
        dtype="float32",
        chunks=(2, 3),
        shards=(4, 6),
        compressors={"name": "zstd", "configuration": {"level": 3, "checksum": False}},
        fill_value=math.nan,
        dimension_names=["t", "x"],
    )
    sharded[...] = np.arange(96, dtype="float32").reshape(8, 12)
    root.create_array("nested/empty", shape=(5,), chunks=(2,), dtype="datetime64[s]")
    return path


def test_info_draws_the_hierarchy(store: Path) -> None:
    result = invoke("info", store)
    assert result.exit_code == 0, result.output
    lines = [line.strip(" │├└─") for line in result.stdout.splitlines()]
    assert "sharded  (t: 8, x: 12) float32" in lines
    assert "nested group" in lines
    assert "chunks  2 × 3" in lines
    assert "shards  4 × 6" in lines
    assert "fill    NaN" in lines
    assert any(line.startswith("size") and "384 bytes decoded" in line for line in lines)


def test_info_as_json_can_be_parsed(store: Path) -> None:
    result = invoke("info", "--json", store)
    root = json.loads(result.stdout)
    assert root["kind"] == "group"
    assert root["attributes"] == {"title": "a [bold] test"}
    assert list(root["members"]) == ["nested", "sharded"]
    sharded = root["members"]["sharded"]
    assert sharded["shape"] == [8, 12]
    assert sharded["chunks"] == [2, 3]
    assert sharded["shards"] == [4, 6]
    assert sharded["dimension_names"] == ["t", "x"]
    assert sharded["fill_value"] == "NaN"
    assert sharded["nbytes"] == 384
    assert sharded["ratio"] == round(384 / sharded["nbytes_stored"], 3)
    assert "zstd" in json.dumps(sharded["codecs"])
    assert root["members"]["nested"]["members"]["empty"]["shape"] == [5]


def test_info_tells_a_v2_array(tmp_path: Path) -> None:
    blosc = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
    zarr.create_array(
        tmp_path / "a", data=np.arange(6, dtype=">i2"), zarr_format=2, compressors=blosc
    )
    root = json.loads(invoke("info", "--json", tmp_path / "a").stdout)
    assert root["zarr_format"] == 2
    assert root["dtype"] == ">i2"
    assert "blosc(cname=lz4" in invoke("info", tmp_path / "a").stdout


def test_info_of_nothing_is_one_sentence(tmp_path: Path) -> None:
    assert "absent" in fails("info", tmp_path / "absent")


def test_a_codec_is_told_in_one_line() -> None:
    zstd = {"name": "zstd", "configuration": {"level": 0, "checksum": False}}
    assert codec_label(zstd) == "zstd(level=0, checksum=False)"
    assert codec_label({"name": "crc32c", "configuration": {}}) == "crc32c"


@pytest.mark.parametrize("text", ["0:10, :, 5", "...", "-5:, ..., -1", "[::-2, 3]", "7", "1:2,"])
def test_a_selection_is_read_as_python_reads_it(text: str) -> None:
    inner = text if text.startswith("[") else f"[{text}]"
    expected = eval(f"np.s_{inner}")
    expected = expected if isinstance(expected, tuple) else (expected,)
    assert parse_selection(text) == expected


def test_no_selection_is_the_whole_array() -> None:
    assert parse_selection("") == parse_selection("[]") == (Ellipsis,)


@pytest.mark.parametrize("text", ["a", "1:b", "1:2:3:4", "1,,2", "..., ...", "__import__('os')"])
def test_what_is_no_selection_is_refused_with_the_reason(store: Path, text: str) -> None:
    result = invoke("explain", store / "sharded", text)
    assert result.exit_code == 2
    assert "SELECTION" in result.output


def test_explain_tells_the_route(store: Path) -> None:
    result = invoke("explain", store / "sharded", "-5:, 0")
    assert result.exit_code == 0, result.output
    array = gpuzarr.open_array(store / "sharded")
    assert result.stdout == f"{array.explain(np.s_[-5:, 0])}\n"


def test_explain_of_a_bad_selection_is_one_sentence(store: Path) -> None:
    fails("explain", store / "sharded", "0, 0, 0")


def test_explain_of_a_group_is_one_sentence(store: Path) -> None:
    fails("explain", store, "0")


def test_an_unknown_device_is_one_sentence(store: Path) -> None:
    assert "abacus" in fails("explain", store / "sharded", "0", "--device", "abacus")


def test_the_version_is_told() -> None:
    assert invoke("--version").stdout == f"gpuzarr {gpuzarr.__version__}\n"


def test_the_demo_writes_compares_times_and_draws(tmp_path: Path) -> None:
    picture, stores = tmp_path / "map.png", tmp_path / "stores"
    result = invoke("demo", "--megabytes", 3, "--repeats", 1, "--output", picture, "--dir", stores)
    assert result.exit_code == 0, result.output
    assert "tiled 2 times" in result.stdout.replace("\n", " ")
    assert "the same in every bit" in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in stores.iterdir()) == [
        "v2-blosc-lz4.zarr",
        "v3-sharded.zarr",
        "v3-zstd.zarr",
    ]


def test_the_demo_wants_a_folder_for_its_map(tmp_path: Path) -> None:
    assert "absent" in fails("demo", "--output", tmp_path / "absent" / "map.png")


def test_the_demo_refuses_values_that_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that is wrong in one bit is no faster, it is wrong."""
    from gpuzarr.commands import demo

    def open_readers(path: str, device: str) -> dict[str, demo.Reader]:
        values = zarr.open_array(path, mode="r")[...]
        values.view("u4")[0, 0, 0, 0] ^= 1
        return {"gpuzarr": lambda: values}

    monkeypatch.setattr(demo, "open_readers", open_readers)
    message = fails("demo", "--megabytes", 1, "--output", tmp_path / "map.png")
    assert "gpuzarr read 1 of" in message


def test_info_tells_which_member_cannot_be_read_and_shows_the_others(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path)
    group.create_array("good", shape=(4,), dtype="f4")
    bad = tmp_path / "bad"
    bad.mkdir()
    document = json.loads((tmp_path / "good" / "zarr.json").read_text())
    (bad / "zarr.json").write_text(json.dumps(document | {"data_type": "float31"}))
    result = CliRunner().invoke(app, ["info", str(tmp_path), "--json"])
    assert result.exit_code == 0
    members = json.loads(result.stdout)["members"]
    assert members["good"]["shape"] == [4]
    assert members["bad"]["kind"] == "unreadable"
    assert "'bad'" in members["bad"]["reason"]
    assert "float31" in members["bad"]["reason"]
