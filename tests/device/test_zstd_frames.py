"""The scan of zstd headers against what the library makes of the same bytes."""

from __future__ import annotations

import numcodecs
import numpy as np
import pytest
import zstandard

from gpuzarr.device.zstd_frames import plain_frames

RANDOM = np.random.default_rng(1)
SIZES = [1, 2, 100, 255, 256, 257, 300, 65_535, 65_536, 65_791, 65_792, 200_000, 400_000]
CONTENTS = {
    "zeros": lambda n: bytes(n),
    "noise": RANDOM.bytes,
    "digits": lambda n: RANDOM.integers(0, 4, n).astype("u1").tobytes(),
}


def scan(frames: list[bytes], expected: list[int]) -> list[bool]:
    """`plain_frames` of frames that lie one behind the other."""
    sizes = np.array([len(f) for f in frames])
    arena = np.frombuffer(b"".join(frames), np.uint8)
    return plain_frames(arena, np.cumsum(sizes) - sizes, sizes, np.array(expected)).tolist()


def frames(checksum: bool = False) -> list[tuple[bytes, int]]:
    codec = numcodecs.Zstd(3, checksum)
    return [(bytes(codec.encode(make(n))), n) for n in SIZES for make in CONTENTS.values()]


@pytest.mark.parametrize("checksum", [False, True])
def test_a_frame_of_the_expected_size_is_plain(checksum: bool) -> None:
    encoded, sizes = zip(*frames(checksum), strict=True)
    assert all(scan(list(encoded), list(sizes)))


def test_a_frame_of_another_size_is_not_plain() -> None:
    encoded, sizes = zip(*frames(), strict=True)
    assert not any(scan(list(encoded), [n + 1 for n in sizes]))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda f: f + b"x",
        lambda f: f[:-1],
        lambda f: f + f,
        lambda f: b"\x50\x2a\x4d\x18\x00\x00\x00\x00" + f,
        lambda f: b"\x29" + f[1:],
        lambda f: f[:8],
        lambda f: b"",
    ],
    ids=["longer", "shorter", "twice", "skippable", "magic", "header", "empty"],
)
def test_bytes_that_are_not_exactly_one_frame_are_not_plain(spoil: object) -> None:
    encoded, sizes = zip(*frames(), strict=True)
    assert not any(scan([spoil(f) for f in encoded], list(sizes)))  # type: ignore[operator]


def test_a_frame_that_is_cut_anywhere_is_not_plain() -> None:
    for size in (255, 256, 70_000, 400_000):
        frame = bytes(numcodecs.Zstd(3).encode(CONTENTS["digits"](size)))
        cuts = [*range(min(len(frame), 40)), len(frame) - 1]
        assert not any(scan([frame[:cut] for cut in cuts], [size] * len(cuts)))


def test_a_frame_without_a_content_size_or_with_a_dictionary_is_not_plain() -> None:
    data = CONTENTS["digits"](5000)
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(data)
    trained = zstandard.ZstdCompressionDict(CONTENTS["digits"](2000))
    samples = zstandard.train_dictionary(500, [CONTENTS["digits"](400) for _ in range(200)])
    with_dictionary = zstandard.ZstdCompressor(dict_data=samples).compress(data)
    plain = zstandard.ZstdCompressor(dict_data=trained, write_dict_id=False).compress(data)
    assert zstandard.get_frame_parameters(with_dictionary).dict_id != 0
    assert scan([unsized, with_dictionary], [5000, 5000]) == [False, False]
    assert scan([plain], [5000]) == [True]


def test_what_the_scan_calls_plain_the_library_decodes_to_the_expected_size() -> None:
    """Headers with any one bit flipped: never more than one frame, never another size."""
    frame = bytes(numcodecs.Zstd(3).encode(CONTENTS["digits"](3000)))
    flipped = [
        frame[:byte] + bytes([frame[byte] ^ 1 << bit]) + frame[byte + 1 :]
        for byte in range(12)
        for bit in range(8)
    ]
    for mutated, is_plain in zip(flipped, scan(flipped, [3000] * len(flipped)), strict=True):
        if is_plain:
            assert zstandard.frame_content_size(mutated) == 3000
            assert zstandard.get_frame_parameters(mutated).dict_id == 0


def of_blocks(declared: int, *blocks: tuple[int, int]) -> bytes:
    """A frame of blocks of these kinds (0 raw, 1 of one byte) and sizes."""
    frame = b"\x28\xb5\x2f\xfd\xa0" + declared.to_bytes(4, "little")
    for number, (kind, size) in enumerate(blocks, start=1):
        header = size << 3 | kind << 1 | (number == len(blocks))
        frame += header.to_bytes(3, "little") + bytes(1 if kind else size)
    return frame


def test_blocks_that_are_too_large_are_not_plain() -> None:
    """What they say would be written is compared before any decoder sees it."""
    large, most = 1 << 18, 1 << 17
    fine = [of_blocks(large, (0, most), (1, most)), of_blocks(300, (0, 100), (1, 200))]
    assert scan(fine, [large, 300]) == [True, True]
    assert [len(zstandard.decompress(f)) for f in fine] == [large, 300]
    bad = [
        of_blocks(large, (1, large)),
        of_blocks(large, (0, most + 1), (1, most - 1)),
        of_blocks(300, (0, 100), (1, 201)),
        of_blocks(300, (1, 300), (0, 1)),
    ]
    assert not any(scan(bad, [large, large, 300, 300]))
    for frame in bad[2:]:
        with pytest.raises(zstandard.ZstdError):
            zstandard.ZstdDecompressor().decompress(frame)
