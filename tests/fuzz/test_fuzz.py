"""The same cases in each run: so many of each kind, on each device (docs/fuzzing.md).

``GPUZARR_FUZZ_CASES=100000 GPUZARR_FUZZ_SEED=2`` tries others, and more of them; ``python -m fuzz``
does so on all processors, and outlives a crash.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from fuzz.campaign import ROUNDS, rounds, run_round
from fuzz.chains import Target, recipes
from fuzz.devices import DEVICES
from fuzz.oracle import reference
from gpuzarr.codecs import CODECS
from gpuzarr.device import emulator_build

CASES = int(os.environ.get("GPUZARR_FUZZ_CASES", "21000"))
SEED = int(os.environ.get("GPUZARR_FUZZ_SEED", "1"))
PARTS = 12
LOSSY = ("scale", "quantize", "bitround", "cast_value", "v2 astype", "floats")
"""In the names of chains that do not keep all bits."""

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("part", range(PARTS))
def test_damage_is_refused_or_decoded_as_the_reference_decodes_it(
    part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUZARR_EMULATOR", "check")
    devices = DEVICES if emulator_build.is_available() else ("cpu",)
    outcomes = Counter[str]()
    for name, number, device in list(rounds(CASES, devices))[part::PARTS]:
        outcomes += run_round(name, SEED, number, device)
    assert outcomes["cases"] >= CASES / PARTS / 2
    decoded = outcomes["decoded"] + outcomes["read"]
    assert outcomes["cases"] / 20 < decoded < outcomes["cases"] * 19 / 20


def test_there_are_enough_cases() -> None:
    work = list(rounds(CASES, DEVICES))
    assert sum(ROUNDS[name][1] for name, *_ in work) >= 20_000
    assert {(name, device) for name, _, device in work} == {
        (name, device) for name in ROUNDS for device in DEVICES
    }


def test_every_codec_of_the_registry_is_fuzzed() -> None:
    """Those with a name of numcodecs' under that name, and under zarr-python's."""
    fuzzed = {
        f"{type(codec).__module__}.{type(codec).__qualname__}"
        for recipe in recipes().values()
        for codec in Target(recipe).codecs
    }
    elsewhere = {name for name in CODECS if name.startswith("gpuzarr.")}
    assert set(CODECS) - elsewhere - fuzzed == set()


@pytest.mark.parametrize("name", recipes())
def test_the_oracle_decodes_what_is_not_damaged(name: str) -> None:
    target = Target(recipes()[name])
    for value, steps in zip(target.values, target.pristine, strict=True):
        decoded = reference(target, steps[-1])
        assert decoded is not None
        assert len(decoded) == target.nbytes
        if not any(word in name for word in LOSSY):
            assert decoded == value.tobytes()
