"""Rounds of damaged chunks: read, and compared with what the reference makes of them."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import zstandard

import gpuzarr
from fuzz.chains import PATH, SLOTS, Target, recipes
from fuzz.devices import fault_of, is_undefined, opened
from fuzz.mutations import damaged
from fuzz.oracle import quiet, reference
from gpuzarr import device as devices
from gpuzarr.device import emulated
from gpuzarr.errors import ChunkError, DeviceError

CHECKSUMS = {"crc32c", "crc32", "adler32", "fletcher32"}


class FoundError(AssertionError):
    """A case that breaks a promise, with what is needed to try it again."""


@dataclass(frozen=True)
class Case:
    """A damaged chunk.

    `data` is what was damaged, behind codec number `level`; `encoded` what stands behind made of
    it; `value` the number of the values it began with.
    """

    encoded: bytes
    value: int
    level: int
    data: bytes


@cache
def target_of(name: str) -> Target:
    """Made once a process."""
    return Target(recipes()[name])


@cache
def _opened(name: str, device: str) -> gpuzarr.Array:
    return opened(target_of(name).zarr, device)


def round_of_chunks(name: str, seed: int, number: int, device: str) -> Counter[str]:
    """As many damaged chunks as the array has."""
    target, rng = target_of(name), random.Random(f"{seed} {name} {number}")
    cases = [_case(target, rng) for _ in range(SLOTS)]
    for slot, case in enumerate(cases):
        target.put(slot, case.encoded)
    where = f"{device}, seed {seed}, round {number}"
    return _Round(target, _opened(name, device), device, where, cases).run()


def _case(target: Target, rng: random.Random) -> Case:
    value, other = rng.randrange(len(target.values)), rng.randrange(len(target.values))
    last = len(target.names) - 1
    level = last if rng.random() < 0.5 else rng.randrange(last + 1)
    data, more = target.pristine[value][level], target.pristine[other][level]
    everything = {steps[level] for steps in target.pristine}
    while True:
        found = damaged(data, more, target.names[level], rng)
        if found in everything:
            continue
        try:
            return Case(target.encoded_from(level, found), value, level, found)
        except (ValueError, IndexError):  # of another length than shuffle or fletcher32 takes
            continue


@dataclass
class _Round:
    """Chunks of an array that have been put where they belong."""

    target: Target
    array: gpuzarr.Array
    device: str
    where: str
    cases: list[Case]

    def run(self) -> Counter[str]:
        wanted = [reference(self.target, case.encoded) for case in self.cases]
        outcomes = Counter(cases=len(self.cases))
        for slot, chunk in enumerate(wanted):
            if self.device == "untrusted" and chunk is not None and self._may_refuse(slot, chunk):
                outcomes["refused, by the rules of a device"] += 1
                wanted[slot] = None
        self._check_decoded(wanted)
        outcomes["decoded"] = sum(chunk is not None for chunk in wanted)
        for slot, chunk in enumerate(wanted):
            if chunk is None:
                outcomes[self._refused(slot)] += 1
            else:
                outcomes["decoded under a checksum"] += self._is_original(slot, chunk)
        return outcomes

    def _fails(self, slot: int, what: str) -> FoundError:
        case, names = self.cases[slot], self.target.names
        return FoundError(
            f"{self.target.name}, {self.where}, slot {slot}, damaged behind {names[case.level]!r}: "
            f"{what}; chunk {case.encoded.hex()}"
        )

    def _read(self, slots: int | list[int]) -> bytes | Exception:
        try:
            with quiet():
                found = self.array[slots] if isinstance(slots, int) else self.array.oindex[slots]
        except (ChunkError, DeviceError) as error:
            return error
        return self._bytes(found)

    def _bytes(self, found: Any) -> bytes:
        if devices.on_device(found) is not None:
            found = found.get()
        dtype = self.target.recipe.dtype
        return np.ascontiguousarray(found).astype(dtype, copy=False).tobytes()

    def _check_decoded(self, wanted: list[bytes | None]) -> None:
        """What the reference decodes, all of it together; one by one to tell which one is wrong."""
        good = [slot for slot, chunk in enumerate(wanted) if chunk is not None]
        if not good or self._read(good) == b"".join(wanted[slot] or b"" for slot in good):
            return
        emulated.reset()
        for slot in good:
            found, chunk = self._read(slot), wanted[slot] or b""
            if found != chunk:
                what = str(found) if isinstance(found, Exception) else f"found {found.hex()}"
                raise self._fails(slot, f"the reference decodes it to {chunk.hex()}: {what}")
        raise self._fails(good[0], f"wrong together with {good[1:]} alone")

    def _refused(self, slot: int) -> str:
        """What happens where the reference refuses."""
        found, target = self._read(slot), self.target
        if isinstance(found, DeviceError):
            fault = fault_of(found)
            if not self._may_break(slot, fault):
                raise self._fails(slot, f"the device broke: {fault}") from found
            return "device fault"
        if not isinstance(found, ChunkError):
            assert isinstance(found, bytes)
            if found == reference(target, self.cases[slot].encoded, self.device):
                return "decoded, by the rules of a device"
            raise self._fails(slot, f"the reference refuses it, found {found.hex()}")
        if found.array != PATH or found.chunk != target.key(slot):
            raise self._fails(slot, f"the error names another chunk: {found}") from found
        return type(found).__name__

    def _may_refuse(self, slot: int, chunk: bytes) -> bool:
        """Whether a device refuses what the reference decodes, as it may."""
        if reference(self.target, self.cases[slot].encoded, self.device) is not None:
            return False
        found = self._read(slot)
        if isinstance(found, bytes) and found != chunk:
            raise self._fails(slot, f"expected {chunk.hex()}, found {found.hex()}")
        return isinstance(found, ChunkError)

    def _is_original(self, slot: int, chunk: bytes) -> bool:
        """Damage behind a checksum that still holds has changed nothing."""
        case, target = self.cases[slot], self.target
        if case.level < len(target.names) - 1 or target.names[-1] not in CHECKSUMS:
            return False
        same = chunk == self._bytes(target.values[case.value])
        if not same and not _equal_to_fletcher32(case.encoded, target.pristine[case.value][-1]):
            raise self._fails(slot, "the checksum holds, and the bytes are others")
        return True

    def _may_break(self, slot: int, fault: str) -> bool:
        """Whether only a decoder could find the damage, one whose library promises nothing.

        No checksum stood before it, and the header was good.
        """
        if not is_undefined(fault, self.device):
            return False
        case, names = self.cases[slot], self.target.names
        deciding = _BREAKABLE | CHECKSUMS
        first = next((n for n in range(case.level, -1, -1) if names[n] in deciding), None)
        if first is None or names[first] in CHECKSUMS:
            return False
        size = len(self.target.pristine[case.value][first - 1]) if first else self.target.nbytes
        return first < case.level or _has_good_header(names[first], case.data, size)


_BREAKABLE = {"zstd", "gzip", "zlib", "blosc"}


def _has_good_header(codec: str, data: bytes, size: int) -> bool:
    """What can be known without decoding: zstandard, and the two RFCs, say so."""
    if codec == "zstd":
        return bool(zstandard.frame_content_size(data) == size)
    if codec == "gzip":
        return data[:4] == b"\x1f\x8b\x08\0" and int.from_bytes(data[-4:], "little") == size
    if codec == "zlib":
        head = int.from_bytes(data[:2], "big")
        return head % 31 == 0 and data[0] & 15 == 8 and data[0] >> 4 <= 7 and not data[1] & 32
    declared, cbytes = data[4:8], data[12:16]
    return declared == size.to_bytes(4, "little") and cbytes == len(data).to_bytes(4, "little")


def _equal_to_fletcher32(one: bytes, other: bytes) -> bool:
    """Whether they differ in 0x0000 for 0xffff alone, which are one number to fletcher32."""
    if len(one) != len(other) or len(one) % 2:
        return False
    words = [np.frombuffer(data, "<u2") for data in (one, other)]
    return bool(np.array_equal(*(np.where(w == 0xFFFF, 0, w) for w in words)))
