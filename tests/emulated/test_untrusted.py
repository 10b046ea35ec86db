"""``trust="untrusted"``: no bytes break the device, and each verdict is the CPU's.

The trusted side, on which damage that no check sees does break it, is
`test_errors_on_the_device`.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from emulated.test_errors_on_the_device import DAMAGE
from emulated.test_native_codecs import container, filled, key_of, put, sealed
from harness import assert_on_device
from numcodecs.abc import Codec
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec

import gpuzarr
from gpuzarr import device as devices
from gpuzarr.device.kernel_device import KernelDevice
from gpuzarr.errors import ChunkError, CorruptChunkError, UnsupportedError

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")

VALUES = np.repeat(np.arange(4000, dtype="i4") % 37, 2).reshape(4, 2000)
KEYS = ("0.0", "1.0", "2.0", "3.0")

CODECS: dict[str, Codec] = {
    "zstd": numcodecs.Zstd(),
    "gzip": numcodecs.GZip(),
    "zlib": numcodecs.Zlib(),
    "lz4": numcodecs.LZ4(),
    **{
        f"blosc, {inner}, {shuffle}": numcodecs.Blosc(inner, shuffle=shuffle, blocksize=2048)
        for inner in ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
        for shuffle in (0, 1, 2)
    },
}
SAFE = {"lz4", "blosclz", "lz4hc"}


@pytest.fixture(autouse=True)
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's decoders are not called for any stream, but for the one that is defined."""
    decode = KernelDevice.decompress_streams

    def checked(self: KernelDevice, codec: str, *args: Any) -> Any:
        assert codec == "ans", f"the library was asked to decode {codec}"
        return decode(self, codec, *args)

    monkeypatch.setattr(KernelDevice, "decompress_streams", checked)


def stored(root: Path, codec: Codec) -> zarr.Array[Any]:
    return zarr.create_array(
        root, data=VALUES, chunks=(1, 2000), zarr_format=2, compressors=codec, filters=None
    )


def outcome(array: zarr.Array[Any], device: str) -> Any:
    """The values, or the chunk that an error names."""
    try:
        found = gpuzarr.open_array(array, device=device, trust="untrusted")[...]
    except ChunkError as error:
        return error
    return found if isinstance(found, np.ndarray) else found.get()


def assert_as_on_the_cpu(array: zarr.Array[Any]) -> bool:
    """The same values, or an error about the same chunk; whether it was one."""
    expected, found = outcome(array, "cpu"), outcome(array, gpuzarr.config.get("device"))
    if isinstance(expected, np.ndarray) and not isinstance(found, np.ndarray):
        # liblz4 takes a match at distance 0, whose bytes nothing defines
        assert "lz4" in str(found)
        assert "a match before the first byte" in str(found)
        return True
    assert type(found) is type(expected), f"{found} is not {expected}"
    if isinstance(expected, np.ndarray):
        np.testing.assert_array_equal(found, expected)
        return False
    assert (found.chunk, found.array) == (expected.chunk, expected.array)
    return True


@pytest.mark.parametrize("name", CODECS)
def test_each_codec_decodes_and_says_where(tmp_path: Path, name: str) -> None:
    array = stored(tmp_path, CODECS[name])
    ours = gpuzarr.open_array(array, trust="untrusted")
    told = ours.explain().stages
    assert_on_device(ours[...], VALUES)
    codec, _, inner = name.partition(", ")
    is_safe = (inner.partition(",")[0] or codec) in SAFE
    where = ours.device if is_safe else "cpu"
    assert ours.last_read.stages == {(codec, where): 4}
    if codec != "blosc":  # of which only the chunks tell
        assert [stage.device for stage in told] == [where]
        assert is_safe or "undefined on damaged bytes, and the array is untrusted" in told[0].reason


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_that_breaks_a_trusting_device_is_an_error(tmp_path: Path, name: str) -> None:
    codec, damaged = DAMAGE[name]
    array = stored(tmp_path, codec)
    file = tmp_path / "2.0"
    file.write_bytes(damaged(file.read_bytes()))
    with pytest.raises(CorruptChunkError) as error:
        gpuzarr.open_array(array, trust="untrusted")[...]
    assert error.value.chunk == "2.0"
    assert_as_on_the_cpu(array)


@pytest.mark.parametrize("name", CODECS)
def test_damage_anywhere_gives_what_the_cpu_gives(tmp_path: Path, name: str) -> None:
    """Bits are flipped, fields set to their limits, bytes cut, added and repeated."""
    array, rng = stored(tmp_path, CODECS[name]), np.random.default_rng(len(name))
    whole = {key: (tmp_path / key).read_bytes() for key in KEYS}
    errors = 0
    for _ in range(40):
        key = KEYS[rng.integers(4)]
        (tmp_path / key).write_bytes(mutated(whole[key], rng))
        errors += assert_as_on_the_cpu(array)
        (tmp_path / key).write_bytes(whole[key])
    assert errors > 10
    ours = gpuzarr.open_array(array, trust="untrusted")
    assert_on_device(ours[...], VALUES)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    kind, at = rng.integers(5), int(rng.integers(len(data)))
    if kind == 0:
        return data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]
    if kind == 1:
        limit = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80")
        return data[:at] + limit[rng.integers(4)] + data[at + 4 :]
    if kind == 2:
        return data[:at]
    if kind == 3:
        return data + rng.bytes(int(rng.integers(1, 20)))
    return data[:at] + data[at // 2 : at] + data[at:]


@pytest.mark.parametrize("cut", [0, 3])
def test_odd_chunks_among_others_keep_their_names(tmp_path: Path, cut: int) -> None:
    """Chunks of one array may hold several codecs; each error names its own chunk."""
    array = stored(tmp_path, numcodecs.Blosc("lz4"))
    for number, inner in enumerate(("zstd", "lz4", "zlib", "lz4")):
        encoded = numcodecs.Blosc(inner).encode(VALUES[number])
        (tmp_path / KEYS[number]).write_bytes(encoded)
    ours = gpuzarr.open_array(array, trust="untrusted")
    assert_on_device(ours[...], VALUES)
    assert ours.last_read.stages == {("blosc", ours.device): 2, ("blosc", "cpu"): 2}
    file = tmp_path / KEYS[3]
    data = bytearray(file.read_bytes())
    data[20:24] = b"\xff\xff\xff\x7f"
    file.write_bytes(data)
    with pytest.raises(CorruptChunkError) as error:
        ours[...]
    assert error.value.chunk == KEYS[3]


def test_blocks_smaller_than_any_that_are_written_are_left_to_the_cpu(tmp_path: Path) -> None:
    """A table of their streams would be larger than the chunk."""
    array = stored(tmp_path, numcodecs.Blosc("lz4", shuffle=0))
    block = 8
    raw = VALUES[0].tobytes()
    count = len(raw) // block
    starts = 16 + 4 * count + np.arange(count) * (4 + block)
    header = (
        bytes([2, 1, 0x30, 1])
        + np.array([len(raw), block, 16 + 4 * count + count * (4 + block)], "<u4").tobytes()
    )
    streams = b"".join(
        block.to_bytes(4, "little") + raw[k : k + block] for k in range(0, len(raw), block)
    )
    chunk = header + starts.astype("<u4").tobytes() + streams
    assert numcodecs.Blosc().decode(chunk) == raw
    (tmp_path / KEYS[0]).write_bytes(chunk)
    ours = gpuzarr.open_array(array, trust="untrusted")
    assert_on_device(ours[...], VALUES)
    assert ours.last_read.stages == {("blosc", ours.device): 3, ("blosc", "cpu"): 1}


# What only a GPU decodes ----------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["gdeflate", "bitcomp", "cascaded"])
def test_what_no_safe_decoder_has_is_refused_in_words(codec: str) -> None:
    ours = gpuzarr.open_array(filled(codec, VALUES, (1, 2000), 3), trust="untrusted")
    (stage,) = ours.explain().fallbacks
    assert "undefined on damaged bytes, and the array is untrusted" in stage.reason
    with pytest.raises(UnsupportedError, match="trusted"):
        ours[...]


def test_ans_is_defined_on_any_bytes() -> None:
    array, rng = filled("ans", VALUES, (1, 2000), 3), np.random.default_rng(4)
    ours = gpuzarr.open_array(array, trust="untrusted")
    assert_on_device(ours[...], VALUES)
    chunk = container("ans", VALUES[1].tobytes())
    named = []
    for _ in range(100):
        data = bytearray(mutated(chunk[:-4], rng))
        put(array, key_of(3, 1, 0), sealed(bytes(data)))
        try:
            ours[...]
        except ChunkError as error:
            named.append(error.chunk)
    assert len(named) > 50
    assert set(named) == {"c/1/0"}
    put(array, key_of(3, 1, 0), chunk)
    assert_on_device(ours[...], VALUES)


# Who is untrusted -----------------------------------------------------------------------------

SHARDED = {"shards": (4, 2000), "compressors": [ZstdCodec(), Crc32cCodec()]}


@pytest.mark.parametrize(
    ("arguments", "on_host"),
    [
        ({"compressors": ZstdCodec()}, ["zstd"]),
        ({"compressors": GzipCodec()}, ["gzip"]),
        ({"compressors": BloscCodec(cname="lz4")}, []),
        (SHARDED, ["crc32c", "zstd"]),
    ],
)
def test_a_group_an_option_and_a_new_array_say_it_too(
    tmp_path: Path, arguments: dict[str, Any], on_host: list[str]
) -> None:
    group = zarr.open_group(tmp_path)
    group.create_array("a", data=VALUES, chunks=(1, 2000), **arguments)
    ours = gpuzarr.open_group(tmp_path, trust="untrusted")
    arrays = [ours["a"], dict(ours.members())["a"], pickle.loads(pickle.dumps(ours["a"]))]
    with gpuzarr.config.set({"trust": "untrusted"}):
        arrays.append(gpuzarr.open_array(tmp_path / "a"))
        arrays.append(gpuzarr.create_array({}, data=VALUES, chunks=(1, 2000), **arguments))
        assert gpuzarr.open_array(tmp_path / "a", trust="trusted").trust == "trusted"
    for array in arrays:
        assert array.trust == "untrusted"
        assert array.device == devices.get(gpuzarr.config.get("device")).name
        assert [stage.stage for stage in array.explain().fallbacks] == on_host
        assert_on_device(array[...], VALUES)
    both = gpuzarr.read_many([(arrays[0], ...), (arrays[1], slice(2))])
    assert_on_device(both[1], VALUES[:2])


@pytest.mark.parametrize("by_option", [False, True])
def test_zarr_python_reads_untrusted_arrays(tmp_path: Path, by_option: bool) -> None:
    stored(tmp_path, numcodecs.Zstd())
    device = gpuzarr.config.get("device")
    option = {"trust": "untrusted"} if by_option else {}
    trust = None if by_option else "untrusted"
    with gpuzarr.config.set(option), gpuzarr.enable(device, trust=trust):
        assert_on_device(zarr.open_array(tmp_path)[...], VALUES)
    assert gpuzarr.config.get("trust") == "trusted"


def test_another_word_is_refused(tmp_path: Path) -> None:
    stored(tmp_path, numcodecs.Zstd())
    with pytest.raises(ValueError, match="'trusted' or 'untrusted', not 'maybe'"):
        gpuzarr.open(tmp_path, trust="maybe")


def test_nothing_changes_on_the_cpu(tmp_path: Path) -> None:
    stored(tmp_path, numcodecs.Zstd())
    ours = gpuzarr.open_array(tmp_path, device="cpu", trust="untrusted")
    np.testing.assert_array_equal(ours[...], VALUES)
    assert devices.get("cpu", "untrusted") is devices.get("cpu")
