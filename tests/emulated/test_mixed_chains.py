"""Chains of which the CPU does a part: it does the first stages, and bytes go up once."""

from __future__ import annotations

from typing import Any

import numcodecs
import pytest
import zarr
from harness import assert_on_device, smooth
from zarr.codecs import Crc32cCodec, ScaleOffset, TransposeCodec, ZstdCodec
from zarr.codecs import numcodecs as v3

import gpuzarr
from gpuzarr.device.kernel_device import KernelDevice

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")

SHUFFLE = v3.Shuffle(elementsize=4)
NARROWED = v3.Delta(dtype="<f4", astype="<f8")
V3: dict[str, tuple[dict[str, Any], str, str]] = {
    "bz2": ({"compressors": v3.BZ2()}, "bz2", ""),
    "lzma": ({"compressors": v3.LZMA()}, "lzma", ""),
    "bz2 behind": ({"compressors": [SHUFFLE, v3.BZ2(), Crc32cCodec()]}, "crc32c bz2", "shuffle"),
    "bz2 before": ({"compressors": [v3.BZ2(), ZstdCodec()]}, "zstd bz2", ""),
    "an unknown size": ({"compressors": [ZstdCodec(), v3.LZ4()]}, "lz4", "zstd"),
    "jenkins": ({"compressors": [ZstdCodec(), v3.JenkinsLookup3()]}, "jenkins_lookup3", "zstd"),
    "pcodec": ({"serializer": v3.PCodec(), "compressors": Crc32cCodec()}, "crc32c pcodec", ""),
    "zfpy": ({"serializer": v3.ZFPY(), "compressors": None}, "zfpy", ""),
    "narrowed sums": ({"filters": NARROWED, "compressors": ZstdCodec()}, "zstd delta", ""),
    "astype before": (
        {
            "filters": [NARROWED, v3.AsType(encode_dtype="<f4", decode_dtype="<f8")],
            "compressors": v3.LZ4(),
        },
        "lz4 astype delta",
        "",
    ),
    "scale_offset behind": (
        {"filters": [ScaleOffset(scale=2), NARROWED], "compressors": None}, "delta", "scale_offset",
    ),
    "a transposition": (
        {"filters": [TransposeCodec(order=(1, 0)), NARROWED], "compressors": None}, "delta", ""
    ),
}  # fmt: skip
V2: dict[str, tuple[dict[str, Any], str, str]] = {
    "bz2": ({"filters": [numcodecs.Shuffle(4)], "compressors": numcodecs.BZ2()}, "bz2", "shuffle"),
    "lzma, F": ({"compressors": numcodecs.LZMA(), "order": "F", "dtype": ">f4"}, "lzma", ""),
    "shuffle, narrowed sums": (
        {
            "filters": [numcodecs.Shuffle(4), numcodecs.Delta("<f4", "<f8")],
            "compressors": numcodecs.Zstd(),
        },
        "zstd delta",
        "shuffle",
    ),
}  # fmt: skip
REASONS = ("no device", "only from the data", " behind it", "depend on how NumPy adds them up")
CASES = [
    pytest.param(version, *case, id=f"v{version}: {name}")
    for version, cases in ((3, V3), (2, V2))
    for name, case in cases.items()
]


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Batches that were brought to the device."""
    batches: list[Any] = []
    upload = KernelDevice.upload

    def noted(device: KernelDevice, batch: Any) -> Any:
        batches.append(batch)
        return upload(device, batch)

    monkeypatch.setattr(KernelDevice, "upload", noted)
    return batches


@pytest.mark.parametrize("shards", [None, (8, 16)])
@pytest.mark.parametrize(("version", "arguments", "on_host", "on_device"), CASES)
def test_the_cpu_does_the_first_stages_and_bytes_go_up_once(
    version: Any,
    arguments: dict[str, Any],
    on_host: str,
    on_device: str,
    shards: Any,
    uploads: list[Any],
) -> None:
    if version == 2 and shards:
        return
    data = smooth((19, 20), "f4")
    given = {"dtype": "f4", "chunks": (4, 8), "fill_value": 3, "shards": shards, **arguments}
    z = zarr.create_array({}, shape=data.shape, zarr_format=version, **given)
    z[:13] = data[:13]
    ours = gpuzarr.open(z)
    told = ours.explain()
    assert_on_device(ours[...], z[...])
    expected = [(name, "cpu") for name in on_host.split()]
    expected += [(name, ours.device) for name in on_device.split()]
    assert [(s.stage.removeprefix("numcodecs."), s.device) for s in told.stages] == expected
    assert [s.stage for s in told.fallbacks] == [s.stage for s in told.stages if s.device == "cpu"]
    for stage in told.fallbacks:
        assert any(w in stage.reason for w in REASONS)
    done = ours.last_read
    assert done is not None
    assert done.stages == {(s.stage, s.device): done.chunks for s in told.stages}
    assert list(done.stages) == [(s.stage, s.device) for s in told.stages]
    assert [len(batch) for batch in uploads] == [done.chunks] * done.waves
