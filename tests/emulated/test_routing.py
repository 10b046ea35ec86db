"""The device or the CPU, as estimated: what is told is done, and the result is the same."""

from __future__ import annotations

from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from emulated.test_native_codecs import array_of, container, put, sealed
from harness import assert_on_device, smooth
from zarr.codecs import Crc32cCodec, GzipCodec, ZstdCodec
from zarr.codecs import numcodecs as v3

import gpuzarr
from gpuzarr.costs import OTHER, Constants, DeviceCost, HostCost
from gpuzarr.pipeline import reading

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")

FAST, SLOW = DeviceCost(1e-9, 1e12, 1e12), DeviceCost(1.0, 1e3, 1e3)
HOST = {OTHER: HostCost(1e-6, 1e9)}
DEVICE_WINS = Constants({OTHER: FAST}, HOST, 1e12, 1e-9)
CPU_WINS = Constants({OTHER: SLOW}, HOST, 1e9, 1e-6, "2026-01-31")
FILTERS_WIN = Constants({OTHER: FAST, "zlib": SLOW, "zstd": SLOW}, HOST, 1e12, 1e-9)

VALUES = smooth((60, 50), "f4")
ARRAYS: dict[str, dict[str, Any]] = {
    "raw": {"compressors": None},
    "zstd": {"compressors": ZstdCodec()},
    "two": {"compressors": [ZstdCodec(), Crc32cCodec()]},
    "shards": {"compressors": GzipCodec(), "shards": (30, 50)},
    "blosc": {"compressors": numcodecs.Blosc(), "zarr_format": 2},
    "zlib, shuffle": {
        "compressors": numcodecs.Zlib(), "filters": [numcodecs.Shuffle(4)], "zarr_format": 2,
    },
    "bz2, shuffle": {"compressors": [v3.Shuffle(elementsize=4), v3.BZ2()]},
    "bz2": {"compressors": v3.BZ2()},
}  # fmt: skip


@pytest.fixture(autouse=True)
def weighs() -> Any:
    """As users have it."""
    with gpuzarr.config.set({"route": "auto"}):
        yield


@pytest.fixture
def constants(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Constants | None:
    """Of every device."""
    monkeypatch.setattr(reading, "constants_of", lambda device: request.param)
    return request.param


def stored(name: str, fill: Any = 1) -> zarr.Array[Any]:
    array = zarr.create_array(
        {}, shape=VALUES.shape, dtype="f4", chunks=(10, 10), fill_value=fill, **ARRAYS[name]
    )
    array[:45] = VALUES[:45]
    return array


@pytest.mark.parametrize("constants", [DEVICE_WINS, CPU_WINS, FILTERS_WIN, None], indirect=True)
@pytest.mark.parametrize("name", ARRAYS)
def test_what_is_told_is_done(constants: Constants | None, name: str) -> None:
    array = stored(name)
    ours, expected = gpuzarr.open(array), array[...]
    for wave in (1 << 20, 900):
        with gpuzarr.config.set({"device_wave_bytes": wave, "wave_bytes": wave, "threads": 2}):
            told = ours.explain()
            assert_on_device(ours[...], expected)
        done = ours.last_read
        assert done.stages == {(s.stage, s.device): done.chunks for s in told.stages}
        assert (done.waves, done.threads) == (told.waves, told.threads)
    assert_on_device(ours[7:41:3, [3, 4, 30]], expected[7:41:3, [3, 4, 30]])
    assert_on_device(ours.vindex[[3, 50], [0, 49]], expected[[3, 50], [0, 49]])
    where = [stage.device for stage in told.stages]
    forced = sum("bz2" in stage.stage for stage in told.stages)
    if constants is CPU_WINS:
        assert set(where) <= {"cpu"}
    elif constants is FILTERS_WIN and name == "zlib, shuffle":
        assert where == ["cpu", ours.device]
    elif constants is not FILTERS_WIN:
        assert where == ["cpu"] * forced + [ours.device] * (len(where) - forced)


@pytest.mark.parametrize("constants", [CPU_WINS], indirect=True)
def test_what_the_cpu_cannot_decode_stays_on_the_device(constants: Constants) -> None:
    array = array_of("ans", VALUES.shape, VALUES.shape, "f4", 3, behind=[Crc32cCodec()])
    put(array, "c/0/0", sealed(container("ans", VALUES.tobytes())))
    ours = gpuzarr.open(array)
    for option in ("auto", "cpu"):
        with gpuzarr.config.set({"route": option}):
            where = [stage.device for stage in ours.explain().stages]
            assert where == ["cpu", ours.device]
            assert_on_device(ours[...], VALUES)
            assert {device for _, device in ours.last_read.stages} == set(where)


@pytest.mark.parametrize("constants", [CPU_WINS], indirect=True)
def test_the_estimate_is_told(constants: Constants) -> None:
    ours = gpuzarr.open(stored("zstd"))
    told = ours.explain()
    (stage,) = told.stages
    assert stage.by_choice
    assert stage.reason.startswith("30 chunks of 400 bytes: the CPU is estimated at 0.055 ms, ")
    assert stage.reason.endswith(f"{ours.device} at 13,000 ms")
    assert told.estimate is not None
    assert told.estimate.cpu == told.estimate.fastest < told.estimate.device
    assert "the constants are measured on 2026-01-31" in str(told)
    assert told.way in ("", "through host memory, where the first codecs run")


@pytest.mark.parametrize("constants", [DEVICE_WINS], indirect=True)
def test_constants_that_nobody_measured_are_told_as_such(constants: Constants) -> None:
    told = str(gpuzarr.open(stored("zstd")).explain())
    assert "the constants are not measured" in told
    assert "estimated" not in str(gpuzarr.open(stored("bz2")).explain())
    assert "estimated" not in str(gpuzarr.open(stored("raw")).explain())


@pytest.mark.parametrize("constants", [CPU_WINS, DEVICE_WINS], indirect=True)
def test_an_option_decides_before_the_estimate(constants: Constants) -> None:
    ours = gpuzarr.open(stored("two"))
    for option, device in (("device", ours.device), ("cpu", "cpu")):
        with gpuzarr.config.set({"route": option}):
            assert {stage.device for stage in ours.explain().stages} == {device}
            assert_on_device(ours[:45], VALUES[:45])
            assert {device for _, device in ours.last_read.stages} == {device}
    with gpuzarr.config.set({"route": "fastest"}), pytest.raises(ValueError, match="'fastest'"):
        ours[...]


@pytest.mark.parametrize("constants", [CPU_WINS], indirect=True)
def test_a_choice_is_no_fallback_that_is_logged(
    constants: Constants, caplog: pytest.LogCaptureFixture
) -> None:
    gpuzarr.open(stored("zstd"))[...]
    assert not caplog.records
    gpuzarr.open(stored("bz2, shuffle"))[...]
    (record,) = caplog.records
    assert "bz2 on cpu" in record.getMessage()
    assert "estimated" not in record.getMessage()


@pytest.mark.parametrize("constants", [CPU_WINS], indirect=True)
def test_decoded_chunks_go_up_in_one_copy(constants: Constants) -> None:
    """One, besides the table of addresses of each launch."""
    ours = gpuzarr.open(stored("zstd"))
    ours[:40]
    done = ours.last_read
    assert done.waves == 1
    assert done.uploads == 1 + done.launches
    assert done.bytes_uploaded >= done.bytes_decoded == 20 * 400


@pytest.mark.parametrize("constants", [CPU_WINS], indirect=True)
def test_errors_name_the_cpu(constants: Constants) -> None:
    array = stored("zstd")
    sync = array.store._store_dict
    key = next(key for key in sync if key.endswith("c/2/2"))
    sync[key] = sync[key][:-3]
    with pytest.raises(gpuzarr.errors.CorruptChunkError, match=r"2/2.*cpu"):
        gpuzarr.open(array)[...]


@pytest.mark.parametrize("constants", [CPU_WINS], indirect=True)
def test_zarr_python_and_common_reads_are_weighed_too(constants: Constants) -> None:
    a, b = gpuzarr.open(stored("zstd")), gpuzarr.open(stored("raw"))
    found = gpuzarr.read_many([(a, slice(9)), (b, slice(30))])
    assert_on_device(found[0], VALUES[:9])
    assert_on_device(found[1], VALUES[:30])
    assert a.last_read.stages == {("zstd", "cpu"): 5}
    with gpuzarr.enable(gpuzarr.config.get("device")):
        array = zarr.open_array(stored("two").store, mode="r")
        assert_on_device(array[:45], VALUES[:45])
    assert np.array_equal(gpuzarr.open(stored("zstd"), device="cpu")[:45], VALUES[:45])
