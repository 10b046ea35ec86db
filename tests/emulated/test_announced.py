"""Codecs that only the CPU has: announced before, counted after, and as zarr-python reads them.

The CPU decodes them and what stands before them in the order of decoding, and the bytes go up once;
numbers only, as all else stays on the host (`test_results`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from harness import assert_on_device, smooth, v2_array
from numcodecs.abc import Codec
from numcodecs.compat import ensure_bytes
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.codecs import numcodecs as v3
from zarr.core.buffer import Buffer

import gpuzarr
from gpuzarr.device.kernel_device import KernelDevice

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")


class Inverted(Codec):
    """A codec that others registered, for v2."""

    codec_id = "inverted_by_others"

    def encode(self, buf: Any) -> Any:
        return ~np.ascontiguousarray(buf).reshape(-1).view("u1")

    def decode(self, buf: Any, out: Any = None) -> Any:
        return ~np.frombuffer(buf, "u1")


class InvertedV3(BytesBytesCodec):
    """The same for v3."""

    is_fixed_size = True

    def to_dict(self) -> dict[str, Any]:
        return {"name": "inverted_by_others"}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> InvertedV3:
        return cls()

    def compute_encoded_size(self, nbytes: int, spec: Any) -> int:
        return nbytes

    async def _decode_single(self, chunk: Buffer, spec: Any) -> Buffer:
        return spec.prototype.buffer.from_array_like(~chunk.as_numpy_array())

    _encode_single = _decode_single


@pytest.fixture(autouse=True)
def registered_by_others() -> Iterator[None]:
    zarr.registry.register_codec("inverted_by_others", InvertedV3)
    numcodecs.register_codec(Inverted)
    yield
    numcodecs.registry.codec_registry.pop("inverted_by_others")


def hdf5_szip() -> Codec:
    pytest.importorskip("imagecodecs")
    from gpuzarr.hdf5_szip import Hdf5Szip

    return Hdf5Szip(mask=141, bits_per_pixel=32, pixels_per_block=8, pixels_per_scanline=64)


def installed(package: str, make: Callable[[], Any]) -> Callable[[], Any]:
    def made() -> Any:
        pytest.importorskip(package)
        return make()

    return made


Case = tuple[int, Callable[[], dict[str, Any]], str]
CASES: dict[str, Case] = {
    "bz2, v2": (2, lambda: {"compressors": numcodecs.BZ2()}, "bz2"),
    "bz2, v3": (3, lambda: {"compressors": v3.BZ2()}, "numcodecs.bz2"),
    "lzma, v2": (2, lambda: {"compressors": numcodecs.LZMA()}, "lzma"),
    "lzma, v3": (3, lambda: {"compressors": v3.LZMA()}, "numcodecs.lzma"),
    "zfpy, v2": (
        2, installed("zfpy", lambda: {"compressors": numcodecs.get_codec({"id": "zfpy"})}), "zfpy",
    ),
    "zfpy, v3": (
        3, installed("zfpy", lambda: {"serializer": v3.ZFPY(), "compressors": None}),
        "numcodecs.zfpy",
    ),
    "pcodec, v2": (
        2, installed("pcodec", lambda: {"compressors": numcodecs.get_codec({"id": "pcodec"})}),
        "pcodec",
    ),
    "pcodec, v3": (
        3, installed("pcodec", lambda: {"serializer": v3.PCodec(), "compressors": Crc32cCodec()}),
        "numcodecs.pcodec",
    ),
    "jenkins_lookup3, v2": (
        2, lambda: {"compressors": numcodecs.JenkinsLookup3()}, "jenkins_lookup3",
    ),
    "jenkins_lookup3, v3": (
        3, lambda: {"compressors": [ZstdCodec(), v3.JenkinsLookup3()]},
        "numcodecs.jenkins_lookup3",
    ),
    "base64": (2, lambda: {"compressors": numcodecs.Base64()}, "base64"),
    "json2": (2, lambda: {"compressors": numcodecs.JSON()}, "json2"),
    "msgpack2": (
        2, installed("msgpack", lambda: {"compressors": numcodecs.get_codec({"id": "msgpack2"})}),
        "msgpack2",
    ),
    "hdf5_szip": (2, lambda: {"compressors": hdf5_szip()}, "hdf5_szip"),
    "registered by others, v2": (2, lambda: {"compressors": Inverted()}, "inverted_by_others"),
    "registered by others, v3": (3, lambda: {"compressors": InvertedV3()}, "inverted_by_others"),
}  # fmt: skip


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Streams of each batch that was brought to the device."""
    found: list[int] = []
    upload = KernelDevice.upload

    def noted(device: KernelDevice, batch: Any) -> Any:
        found.append(len(batch))
        return upload(device, batch)

    monkeypatch.setattr(KernelDevice, "upload", noted)
    return found


def stored(case: Case) -> zarr.Array[Any]:
    version, arguments, _ = case
    data = np.round(smooth((19, 20), "f4"))
    given = {"dtype": "f4", "chunks": (4, 8), "fill_value": 3, "zarr_format": version}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array = zarr.create_array({}, shape=data.shape, **given | arguments())
    array[:13] = data[:13]
    return array


@pytest.mark.parametrize("name", CASES)
def test_it_is_announced_and_its_bytes_go_up_once(name: str, uploads: list[int]) -> None:
    array = stored(CASES[name])
    ours, stage = gpuzarr.open(array), CASES[name][2]
    (told,) = [s for s in ours.explain().stages if s.stage == stage]
    assert told.device == "cpu"
    assert told.reason == "no device decoder"
    assert f"{stage}: cpu, no device decoder" in str(ours.explain())
    assert told in ours.explain().fallbacks
    assert_on_device(ours[...], array[...])
    done = ours.last_read
    assert done.stages[stage, "cpu"] == done.chunks
    assert uploads == [done.chunks]
    assert done.bytes_uploaded >= done.bytes_decoded


# of floats, these are what zarr-python writes and then does not open
OPENED_AGAIN = [name for name in CASES if name not in ("json2", "msgpack2")]


@pytest.mark.parametrize("name", OPENED_AGAIN)
def test_behind_zarr_python_it_is_the_same(name: str, uploads: list[int]) -> None:
    array = stored(CASES[name])
    expected = array[...]
    with gpuzarr.enable(device="emulated"):
        found = zarr.open_array(array.store, mode="r")[...]
    assert_on_device(found, expected)
    assert len(uploads) == 1


OBJECTS = {
    "vlen-utf8": (numcodecs.VLenUTF8(), ["a", "", "日本"]),
    "vlen-bytes": (numcodecs.VLenBytes(), [b"a", b"", b"xyz"]),
    "categorize": (numcodecs.Categorize(["a", "bc"], "<U2"), ["a", "bc", ""]),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_what_is_no_number_stays_on_the_host_and_says_so(
    tmp_path: Path, name: str, uploads: list[int]
) -> None:
    codec, values = OBJECTS[name]
    given = np.empty(3, "<U2" if name == "categorize" else object)
    given[:] = values
    encoded, config = ensure_bytes(codec.encode(given)), [codec.get_config()]
    ours = gpuzarr.open(v2_array(tmp_path, encoded, (3,), given.dtype, filters=config))
    told = ours.explain()
    assert "on the host, since a device has no arrays of dtype" in str(told)
    assert [(s.stage, s.device) for s in told.stages] == [(name, "cpu")]
    found, expected = ours[...], codec.decode(encoded)
    assert isinstance(found, np.ndarray)
    for one, other in zip(found.tolist(), expected.tolist(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert uploads == []


@pytest.mark.parametrize(
    "codec", [numcodecs.VLenArray("<i2"), numcodecs.JSON(), numcodecs.get_codec({"id": "msgpack2"})]
)
def test_objects_that_zarr_python_does_not_open_are_an_error(tmp_path: Path, codec: Codec) -> None:
    """It has no data type for them; their codecs are left for elements of other kinds."""
    path = v2_array(tmp_path, b"", (3,), object, filters=[codec.get_config()])
    for opened in (zarr.open_array, gpuzarr.open):
        with pytest.raises(ValueError, match="No Zarr data type found"):
            opened(path, mode="r")
