"""Constants are measured once, kept in a file of the cache, ignored where they are unusable."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import gpuzarr
from gpuzarr import calibration
from gpuzarr import device as devices
from gpuzarr.codecs import CODECS
from gpuzarr.commands import calibrate
from gpuzarr.commands.cli import app
from gpuzarr.costs import OTHER
from gpuzarr.device import emulator_build

emulated = pytest.mark.skipif(not emulator_build.is_available(), reason="there is no g++")


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where files are kept meanwhile; kernels stay where they are."""
    monkeypatch.setattr(calibration, "cache_folder", lambda: tmp_path)
    calibration._read.cache_clear()
    return tmp_path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "CPU", calibrate.TINY)
    measure = calibrate.measure
    monkeypatch.setattr(calibrate, "measure", lambda device: measure(device, seconds=0.0))


@emulated
def test_what_is_measured_is_kept_and_told(quick: None, folder: Path) -> None:
    device = devices.get("emulated")
    assert calibration.constants_of(device) is None
    result = CliRunner().invoke(app, ["doctor", "--calibrate", "--device", "emulated", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    (file,) = folder.iterdir()
    assert told.pop("file") == str(file)
    constants = calibration.constants_of(device)
    assert constants is not None
    assert set(constants.on_device) == set(constants.on_host) == set(calibrate.SAMPLES)
    kept = json.loads(file.read_text())
    assert {name: kept[name] for name in told} == told
    assert kept["on_device"]["zstd"] == vars(constants.on_device["zstd"])
    assert constants.measured == told["measured"]
    found = CliRunner().invoke(app, ["doctor", "--device", "emulated", "--json"])
    findings = {f["name"]: f for f in json.loads(found.stdout)}
    assert constants.measured in findings["calibration"]["found"]
    assert str(file) in findings["calibration"]["found"]
    assert findings["codec zstd"]["found"] == "zstd on emulated."


def test_the_cpu_has_constants_of_its_own(quick: None, folder: Path) -> None:
    result = CliRunner().invoke(
        app, ["doctor", "--calibrate", "--device", "cpu"], env={"COLUMNS": "200"}
    )
    assert result.exit_code == 0, result.output
    (file,) = folder.iterdir()
    assert f"Kept in {file}" in result.stdout
    assert "zstd" in result.stdout
    constants = calibration.measured(devices.get("cpu"))
    assert constants is not None
    assert not constants.on_device
    assert calibration.constants_of(devices.get("cpu")) is None


@emulated
def test_doctor_says_that_nothing_is_measured() -> None:
    result = CliRunner().invoke(app, ["doctor", "--device", "emulated", "--json"])
    finding = {f["name"]: f for f in json.loads(result.stdout)}["calibration"]
    assert finding["state"] == "absent"
    assert "--calibrate" in finding["advice"]


def test_a_folder_that_cannot_be_written_is_one_sentence(
    quick: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(calibration, "cache_folder", lambda: tmp_path / "file")
    result = CliRunner().invoke(app, ["doctor", "--calibrate", "--device", "cpu"])
    assert result.exit_code == 1
    assert "GPUZARR_CACHE names another folder" in result.stderr


class Gpu:
    """All that the constants ask of a device."""

    name, is_host = "cuda:0", False

    def identity(self) -> str:
        return "A GPU (80 GB) nvCOMP 6.0.0"


GPU: Any = Gpu()


def test_the_file_is_named_after_the_device_and_the_libraries(folder: Path) -> None:
    name = calibration.file_of(GPU).name
    assert calibration.file_of(GPU).parent == folder
    for word in ("a-gpu-80-gb-nvcomp-6.0.0", f"gpuzarr-{gpuzarr.__version__}"):
        assert word in name
    assert name.startswith("calibration-")
    assert name.endswith(".json")


def test_a_gpu_without_measurements_has_predictions() -> None:
    constants = calibration.constants_of(GPU)
    assert constants is calibration.PREDICTED
    assert constants.measured is None
    assert OTHER in constants.on_device
    assert set(constants.on_device) == set(constants.on_host)
    codecs = {place.partition(":")[2].lower() for place in CODECS.values()}
    kinds = {kind.partition(" ")[0] for kind in calibrate.SAMPLES}
    assert kinds - {OTHER} <= codecs


def changed(**fields: Any) -> Any:
    def change(document: dict[str, Any]) -> str:
        return json.dumps(document | fields)

    return change


BROKEN = {
    "no JSON": lambda document: json.dumps(document)[:100],
    "a list": lambda document: "[]",
    "another format": changed(format=0),
    "of another version": changed(name="calibration-cuda-gpuzarr-0.0.1.json"),
    "no upload": lambda document: json.dumps(
        {name: value for name, value in document.items() if name != "upload"}
    ),
    "a rate of 0": changed(upload=0),
    "no number": changed(on_host={OTHER: {"stream": "fast", "rate": 1}}),
    "nan": changed(latency=float("nan")),
    "another field": changed(on_device={OTHER: {"fixed": 1, "alone": 1, "full": 1, "more": 1}}),
    "nothing for others": changed(on_device={"zstd": {"fixed": 1, "alone": 1, "full": 1}}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_used_is_ignored_and_logged_once(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = calibration.keep(calibration.PREDICTED, GPU)
    assert calibration.constants_of(GPU) == calibration._read(file)
    assert calibration.constants_of(GPU) is not calibration.PREDICTED
    file.write_text(BROKEN[name](json.loads(file.read_text())))
    calibration._read.cache_clear()
    with caplog.at_level(logging.WARNING, "gpuzarr"):
        for _ in range(3):
            assert calibration.constants_of(GPU) is calibration.PREDICTED
    (record,) = caplog.records
    assert str(file) in record.getMessage()
    assert "is ignored" in record.getMessage()
