"""A sample of the grid of Blosc chunks, the same one in each run."""

from __future__ import annotations

import random

import pytest

from fuzz.blosc_grid import CODECS, SHUFFLES, TYPESIZES, check, grid
from gpuzarr.device import emulator_build

SAMPLE = 1500


def test_the_grid_is_as_large_as_it_is_said_to_be() -> None:
    cases = list(grid())
    assert len(set(cases)) == len(cases) >= 50_000
    assert {case[:3] for case in cases} == {
        (codec, shuffle, typesize)
        for codec in CODECS
        for shuffle in SHUFFLES
        for typesize in TYPESIZES
    }


@pytest.mark.parametrize(
    ("device", "mode", "count"),
    [("cpu", "fast", SAMPLE), ("emulated", "fast", SAMPLE), ("emulated", "check", 400)],
)
def test_chunks_of_all_sorts_decode_as_c_blosc_decodes_them(
    device: str, mode: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if device == "emulated" and not emulator_build.is_available():
        pytest.skip("there is no g++")
    monkeypatch.setenv("GPUZARR_EMULATOR", mode)
    counts, failures = check(random.Random(mode).sample(list(grid()), count), device)
    assert counts[f"chunks on {device}"] == count
    assert counts[f"arrays on {device}"] > count / 100
    assert not failures
