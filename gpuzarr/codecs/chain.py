"""A codec chain, run over batches of chunks of one shape."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from gpuzarr import device as devices
from gpuzarr.batch import MISSING, Batch, Scratch
from gpuzarr.codecs.base import Codec, Stage
from gpuzarr.codecs.entropy import Compressor
from gpuzarr.codecs.foreign import Foreign
from gpuzarr.device import Device
from gpuzarr.errors import ChunkSizeError, StreamError
from gpuzarr.place import Layout


class StageError(Exception):
    """A `StreamError` with the names of the stage that raised it, and of its device."""

    def __init__(self, stage: str, error: StreamError, device: str = "cpu") -> None:
        super().__init__(stage, error)
        self.stage = stage
        self.error = error
        self.device = device


@dataclass(frozen=True)
class Chain:
    """Stages in the order in which they decode, and how the decoded chunk is an array.

    `dtype` is of the elements that the first encoder is given: those of the array in v2, single
    bytes in v3.
    """

    stages: tuple[Stage, ...]
    layout: Layout
    dtype: np.dtype

    @property
    def writes(self) -> bool:
        """Whether the last stage writes the decoded chunk, and so can write it into place."""
        return bool(self.stages) and not self.stages[-1].codec.is_view

    def reasons(self, device: Device) -> list[str | None]:
        """For each stage None where this device decodes it, or why the CPU does.

        Bytes go up once: what is decoded before a stage of the CPU is decoded there as well.
        """
        if device.is_host:
            return [stage.codec.supports(device) for stage in self.stages]
        reasons: list[str | None] = []
        behind = None
        for stage in reversed(self.stages):
            reason = stage.codec.supports(device)
            is_unsized = stage.size is None and not stage.codec.is_view
            if reason is None and is_unsized:
                reason = "its decoded size is known only from the data"
            if reason is None and behind is not None:
                reason = f"as is {behind} behind it"
            reasons.insert(0, reason)
            behind = behind or (reason and stage.name)
        return reasons

    def on_host(self, device: Device) -> int:
        """How many stages, the first ones, the CPU decodes for this device; 0 for itself."""
        return 0 if device.is_host else sum(r is not None for r in self.reasons(device))

    def writes_on(self, device: Device, on_host: int | None = None) -> bool:
        """Whether the last stage writes the decoded chunk in memory of this device.

        `on_host` is as for `decode`.
        """
        if on_host is None:
            on_host = self.on_host(device)
        return self.writes and (device.is_host or on_host < len(self.stages))

    def encode_reasons(self, device: Device) -> list[str | None]:
        """For each stage None where this device encodes it, or why the CPU does.

        Bytes come down once: what is encoded behind a stage of the CPU is encoded there as well,
        unless the CPU has no encoder.
        """
        reasons: list[str | None] = []
        before, host = None, devices.host()
        for stage in reversed(self.stages):
            reason = stage.codec.supports_encoding(device)
            if reason is None:
                reason = _too_large(stage, device)
            goes_too = before is not None and stage.codec.supports_encoding(host) is None
            if reason is None and goes_too and not device.is_host:
                reason = f"as is {before} before it"
            reasons.insert(0, reason)
            before = before or (reason and stage.name)
        return reasons

    @property
    def foreign(self) -> tuple[str, ...]:
        """Names of the stages that a codec object of zarr-python or numcodecs does."""
        return tuple(s.name for s in self.stages if isinstance(s.codec, Foreign))

    @property
    def shards_elsewhere(self) -> bool:
        """Whether whole shards are a stage that a sharding codec does which is not ours."""
        return any(isinstance(s.codec, Foreign) and s.codec.is_sharding for s in self.stages)

    def decode(
        self,
        batch: Batch,
        target: Batch | None,
        device: Device,
        scratch: Scratch,
        seconds: dict[str, float],
        on_host: int | None = None,
    ) -> Batch:
        """Decode a batch.

        Parameters
        ----------
        batch
            Encoded chunks on the host, none of them missing.
        target
            Where the last stage shall write, on the device, or None for memory of its own.
        scratch
            Memory of the host's between the stages.
        seconds
            Time spent, added per stage.
        on_host
            How many stages, the first ones, the CPU decodes; None: those that the device cannot.

        Raises
        ------
        StageError
            For the first chunk that breaks a rule.
        """
        written = 0
        if on_host is None or device.is_host:
            on_host = self.on_host(device)
        for number, stage in enumerate(self.stages):
            if number == on_host:
                batch = _uploaded(batch, device, seconds)
            started = perf_counter()
            last = number == len(self.stages) - 1
            into = target if last and self.writes else None
            worker = devices.host() if number < on_host else device
            if into is None and not stage.codec.is_view:
                into = _slots(stage, written, len(batch), scratch, worker)
                written += 1
            try:
                batch = stage.decode(batch, into, worker)
            except StreamError as error:
                raise StageError(stage.name, error, worker.name) from error
            seconds[stage.name] = seconds.get(stage.name, 0.0) + perf_counter() - started
        self._check_sizes(batch, "cpu" if on_host == len(self.stages) else device.name)
        return _uploaded(batch, device, seconds) if on_host == len(self.stages) else batch

    def encode(self, batch: Batch, device: Device, seconds: dict[str, float]) -> Batch:
        """Encode a batch; bytes come down in one copy before the first stage of the CPU.

        They go up again only for what the CPU cannot encode.

        Parameters
        ----------
        batch
            Chunks in the chain's `layout`, on the device. It is not changed, and where there are no
            stages, or none that writes, the result shares its memory.
        seconds
            Time spent, added per stage under ``"encode <name>"``.

        Returns
        -------
        Batch
            Encoded chunks, on the device where the last stage ran there, or none did, else on the
            host. `MISSING` are those that were, and those that a codec has nothing to store for.

        Raises
        ------
        StageError
            For the first chunk that a codec refuses.
        """
        batch = replace(batch, dtype=self.dtype)
        reasons = self.encode_reasons(device)
        for stage, reason in zip(reversed(self.stages), reversed(reasons), strict=True):
            worker = device if reason is None else devices.host()
            move = downloaded if worker.is_host else _uploaded
            batch = move(batch, device, seconds)
            started = perf_counter()
            try:
                if not getattr(stage.codec, "takes_objects", False):
                    _check_has_bytes(batch)
                batch = _encode_present(stage.codec, batch, worker)
            except StreamError as error:
                raise StageError(stage.name, error, worker.name) from error
            key = f"encode {stage.name}"
            seconds[key] = seconds.get(key, 0.0) + perf_counter() - started
        try:
            _check_has_bytes(batch)
        except StreamError as error:
            raise StageError(self.stages[0].name if self.stages else "bytes", error) from error
        return batch

    def _check_sizes(self, batch: Batch, device: str) -> None:
        wrong = (batch.sizes != self.layout.size).nonzero()[0]
        if len(wrong):
            unit = "elements" if self.layout.on_host_only else "bytes"
            slot = int(wrong[0])
            reason = f"expected {self.layout.size} {unit}, found {int(batch.sizes[slot])}"
            name = self.stages[-1].name if self.stages else "bytes"
            raise StageError(name, StreamError(slot, reason, ChunkSizeError), device)


def _too_large(stage: Stage, device: Device) -> str | None:
    """None where an encoder of this device takes the stage's streams, whatever is in them."""
    if device.is_host or not isinstance(stage.codec, Compressor):
        return None
    if stage.size is None:
        return "the size of what it encodes is known only from the data"
    most = device.largest_stream(stage.name)
    if stage.size <= most:
        return None
    return f"chunks have {stage.size:,} bytes, its encoder takes {most:,} at most"


def _uploaded(batch: Batch, device: Device, seconds: dict[str, float]) -> Batch:
    """The batch in the device's memory, where it may be; streams may be missing."""
    if device.is_host or not isinstance(batch.arena, np.ndarray):
        return batch
    started = perf_counter()
    present = np.flatnonzero(batch.sizes != MISSING)
    if len(present) < len(batch):
        batch = spread(device.upload(batch.take(present)), present, len(batch))
    else:
        batch = device.upload(batch)
    seconds["upload"] = seconds.get("upload", 0.0) + perf_counter() - started
    return batch


def downloaded(batch: Batch, device: Device, seconds: dict[str, float]) -> Batch:
    """The batch in the host's memory, by one copy if it is not there; streams may be missing."""
    if isinstance(batch.arena, np.ndarray):
        return batch
    started = perf_counter()
    present = np.flatnonzero(batch.sizes != MISSING)
    batch = spread(device.download(batch.take(present)), present, len(batch))
    seconds["download"] = seconds.get("download", 0.0) + perf_counter() - started
    return batch


def _slots(
    stage: Stage, written: int, count: int, scratch: Scratch, device: Device
) -> Batch | None:
    """Memory that the stage before, whose result may be a view, did not write to."""
    if stage.size is None or (stage.layout is not None and stage.layout.on_host_only):
        return None
    if not device.is_host:
        return device.room_for(np.full(count, stage.size))
    arena = scratch.take(f"stage {written % 2}", count * stage.size)
    return Batch.uniform(arena, count, stage.size)


def _check_has_bytes(batch: Batch) -> None:
    if batch.arena.dtype.hasobject:
        raise StreamError(0, "cannot write an array of objects without an object codec")


def _encode_present(codec: Codec, batch: Batch, device: Device) -> Batch:
    """What the codec makes of the streams that are not missing."""
    present = (batch.sizes != MISSING).nonzero()[0]
    if len(present) == len(batch) and len(batch):
        return codec.encode(batch, device)
    if not len(present):
        return spread(Batch.joined([]), present, len(batch))
    try:
        found = codec.encode(batch.take(present), device)
    except StreamError as error:
        error.slot = int(present[error.slot])
        raise
    return spread(found, present, len(batch))


def spread(batch: Batch, slots: NDArray[np.int64], count: int) -> Batch:
    """The streams at these of `count` slots, with none elsewhere."""
    offsets, sizes = np.zeros(count, np.int64), np.full(count, MISSING, np.int64)
    offsets[slots], sizes[slots] = batch.offsets, batch.sizes
    return replace(batch, offsets=offsets, sizes=sizes)
