"""What a read or a write really did, counted while it was done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol

from gpuzarr.route import Route


class Indexes(Protocol):
    """A report that the reading of shard indexes is added to."""

    def add_index(self, tally: Tally) -> None:
        """Count the reading of shard indexes."""


@dataclass
class Report:
    """Counts of one read.

    Attributes
    ----------
    device, source
        Where the result is and where the bytes came from.
    bytes_read, bytes_decoded
        Encoded bytes fetched (indexes of shards included), bytes of decoded chunks.
    chunks, missing
        Innermost chunks decoded, and those that the store does not hold.
    waves, threads
        How the work was cut, and how many threads took part.
    seconds
        Per stage, summed over threads; ``fetch`` and ``place`` beside the codecs.
    stages
        Chunks that went through each stage, by ``(stage, device)``.
    """

    device: str
    source: str
    threads: int = 1
    bytes_read: int = 0
    bytes_decoded: int = 0
    chunks: int = 0
    missing: int = 0
    waves: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    stages: dict[tuple[str, str], int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add_index(self, tally: Tally) -> None:
        """Count the reading of shard indexes."""
        with self._lock:
            self.bytes_read += tally.bytes_read
            _add_seconds(self.seconds, tally)

    def add(self, wave: Tally, route: Route) -> None:
        """Count a wave."""
        with self._lock:
            self.bytes_read += wave.bytes_read
            self.bytes_decoded += wave.bytes_decoded
            self.chunks += wave.chunks
            self.missing += wave.missing
            self.waves += 1
            _add_seconds(self.seconds, wave)
            for stage in route.stages if wave.chunks else ():
                done = (stage.stage, stage.device)
                self.stages[done] = self.stages.get(done, 0) + wave.chunks

    def __str__(self) -> str:
        lines = [
            f"read {self.chunks} chunks ({self.missing} missing) on {self.device} "
            f"from {self.source}, {self.threads} threads, {self.waves} waves",
            f"  bytes: {self.bytes_read:,} read, {self.bytes_decoded:,} decoded",
        ]
        for (stage, device), count in self.stages.items():
            lines.append(f"  {stage}: {count} chunks on {device}")
        spent = ", ".join(f"{name} {1e3 * s:.1f} ms" for name, s in self.seconds.items())
        return "\n".join([*lines, f"  time: {spent}"] if spent else lines)


@dataclass
class WriteReport:
    """Counts of one write.

    Attributes
    ----------
    device, sink
        Where the chunks were encoded and where their bytes went.
    bytes_read, bytes_encoded, bytes_written
        Encoded bytes fetched of chunks that are partly covered, bytes of the chunks that were
        encoded, and encoded bytes stored.
    chunks, empty
        Innermost chunks encoded, and those left out since they hold nothing but the fill value.
    waves, threads
        How the work was cut, and how many threads took part.
    seconds
        Per stage, summed over threads.
    written
        Keys of the stored objects that are as they should be, those deleted included.
    """

    device: str
    sink: str
    threads: int = 1
    bytes_read: int = 0
    bytes_encoded: int = 0
    bytes_written: int = 0
    chunks: int = 0
    empty: int = 0
    waves: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add_index(self, tally: Tally) -> None:
        """Count the reading of shard indexes."""
        with self._lock:
            _add_seconds(self.seconds, tally)

    def add(self, wave: Tally) -> None:
        """Count a wave."""
        with self._lock:
            self.bytes_read += wave.bytes_read
            self.bytes_encoded += wave.bytes_encoded
            self.bytes_written += wave.bytes_written
            self.chunks += wave.chunks
            self.empty += wave.missing
            self.waves += 1
            _add_seconds(self.seconds, wave)

    def __str__(self) -> str:
        lines = [
            f"wrote {self.chunks} chunks ({self.empty} empty) in {len(self.written)} objects on "
            f"{self.device} to {self.sink}, {self.threads} threads, {self.waves} waves",
            f"  bytes: {self.bytes_encoded:,} encoded, {self.bytes_written:,} written, "
            f"{self.bytes_read:,} read of chunks partly covered",
        ]
        spent = ", ".join(f"{name} {1e3 * s:.1f} ms" for name, s in self.seconds.items())
        return "\n".join([*lines, f"  time: {spent}"] if spent else lines)


def _add_seconds(seconds: dict[str, float], tally: Tally) -> None:
    for stage, spent in tally.seconds.items():
        seconds[stage] = seconds.get(stage, 0.0) + spent


@dataclass
class Tally:
    """Counts of one wave, by one thread."""

    bytes_read: int = 0
    bytes_encoded: int = 0
    bytes_written: int = 0
    bytes_decoded: int = 0
    chunks: int = 0
    missing: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


def timed[**P, R](
    tally: Tally, name: str, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs
) -> R:
    """Call, and add the seconds that it took."""
    started = perf_counter()
    result = call(*args, **kwargs)
    tally.seconds[name] = tally.seconds.get(name, 0.0) + perf_counter() - started
    return result
