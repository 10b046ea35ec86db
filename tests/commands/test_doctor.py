"""``gpuzarr doctor``: what it finds, what it advises, and its exit code."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from gpuzarr.commands import doctor
from gpuzarr.commands.cli import app
from gpuzarr.device import emulator_build
from gpuzarr.device.cpu import CPU

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")

emulated = pytest.mark.skipif(not emulator_build.is_available(), reason="there is no g++")


def diagnosed(*arguments: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, ["doctor", "--json", *arguments])
    return result.exit_code, {found["name"]: found for found in json.loads(result.stdout)}


def test_the_cpu_is_well() -> None:
    code, found = diagnosed("--device", "cpu")
    assert code == 0
    assert {f["state"] for f in found.values()} == {"good"}
    assert found["codec zlib, shuffle"]["found"] == "zlib on cpu, shuffle on cpu."
    assert len([name for name in found if name.startswith("codec")]) == len(doctor.CHAINS)


@emulated
def test_a_device_tells_where_each_codec_runs() -> None:
    code, found = diagnosed("--device", "emulated")
    assert code == 0
    assert found["codec blosc lz4, bitshuffle"]["found"] == "blosc on emulated."
    assert found["codec bz2"]["found"] == "bz2 on cpu."
    assert "GB/s" in found["copy to the device"]["found"]
    assert "host memory" in found["files"]["found"]


@pytest.mark.parametrize("device", ["cuda:99", "nonsense"])
def test_a_device_that_is_not_there_is_bad_and_says_what_to_do(device: str) -> None:
    code, found = diagnosed("--device", device)
    assert code == 1
    assert found["device"]["state"] == "bad"
    assert found["device"]["advice"]


def test_a_codec_that_decodes_wrongly_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    decode = CPU.decompress

    def wrong(self: CPU, codec: str, batch: Any, into: Any) -> Any:
        decoded = decode(self, codec, batch, into)
        decoded.arena[decoded.offsets[0]] ^= 1
        return decoded

    monkeypatch.setattr(CPU, "decompress", wrong)
    code, found = diagnosed("--device", "cpu")
    assert code == 1
    assert found["codec zstd"]["state"] == "bad"
    assert found["codec raw"]["state"] == "good"
    assert "of 30000 elements are not what was written" in found["codec zstd"]["found"]


def test_sentences_keep_their_brackets() -> None:
    result = CliRunner().invoke(app, ["doctor", "--device", "cuda:99"], env={"COLUMNS": "300"})
    assert result.exit_code == 1
    assert "cuda:99" in result.stdout
