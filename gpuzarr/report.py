"""What a read or a write really did, counted while it was done."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol

from gpuzarr.device.counting import Counts
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
    bytes_uploaded, bytes_downloaded, uploads, downloads
        What moved between the host and another device, tables of addresses and verdicts
        included, and in how many copies.
    launches, waits
        How often kernels and batch decoders were started there, and how often the host waited for
        it.
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
    bytes_uploaded: int = 0
    bytes_downloaded: int = 0
    uploads: int = 0
    downloads: int = 0
    launches: int = 0
    waits: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    stages: dict[tuple[str, str], int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add_index(self, tally: Tally) -> None:
        """Count the reading of shard indexes."""
        with self._lock:
            self.bytes_read += tally.bytes_read
            _add_seconds(self.seconds, tally)

    def add(self, wave: Tally, route: Route, counts: Counts) -> None:
        """Count a wave, and what its device did for it."""
        with self._lock:
            self.bytes_read += wave.bytes_read
            self.bytes_decoded += wave.bytes_decoded
            self.chunks += wave.chunks
            self.missing += wave.missing
            self.waves += 1
            _add_seconds(self.seconds, wave)
            _add_moved(self, counts)
            _add_stages(self, wave, route, counts.on_host)

    def __str__(self) -> str:
        lines = [
            f"read {self.chunks} chunks ({self.missing} missing) on {self.device} "
            f"from {self.source}, {self.threads} threads, {self.waves} waves",
            f"  bytes: {self.bytes_read:,} read, {self.bytes_decoded:,} decoded",
        ]
        lines += _moved_and_done(self)
        spent = ", ".join(f"{name} {1e3 * s:.1f} ms" for name, s in self.seconds.items())
        return "\n".join([*lines, f"  time: {spent}"] if spent else lines)


@dataclass
class WriteReport:
    """Counts of one write.

    Attributes
    ----------
    device, sink
        Where the chunks were put together, to be encoded there as far as `stages` tells, and where
        their bytes went.
    bytes_read, bytes_encoded, bytes_written
        Encoded bytes fetched of chunks that are partly covered, bytes of the chunks that were
        encoded, and encoded bytes stored.
    bytes_uploaded, bytes_downloaded, uploads, downloads
        What moved between the host and a device, tables of addresses and verdicts included, and
        in how many copies. A value moves where it is not where it is encoded.
    launches, waits
        How often kernels and batch coders were started there, and how often the host waited for
        it.
    chunks, empty
        Innermost chunks encoded, and those left out since they hold nothing but the fill value.
    waves, threads
        How the work was cut, and how many threads took part.
    seconds
        Per stage, summed over threads.
    stages
        Chunks that each stage encoded, by ``(stage, device)``, in the order of encoding.
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
    bytes_uploaded: int = 0
    bytes_downloaded: int = 0
    uploads: int = 0
    downloads: int = 0
    launches: int = 0
    waits: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    stages: dict[tuple[str, str], int] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add_index(self, tally: Tally) -> None:
        """Count the reading of shard indexes."""
        with self._lock:
            _add_seconds(self.seconds, tally)

    def add(self, wave: Tally, route: Route, counts: Counts) -> None:
        """Count a wave, and what its device did for it."""
        with self._lock:
            self.bytes_read += wave.bytes_read
            self.bytes_encoded += wave.bytes_encoded
            self.bytes_written += wave.bytes_written
            self.chunks += wave.chunks
            self.empty += wave.missing
            self.waves += 1
            _add_seconds(self.seconds, wave)
            _add_moved(self, counts)
            _add_stages(self, wave, route, wave.on_host)

    def add_value(self, counts: Counts) -> None:
        """Count how the value was brought to where it is encoded."""
        with self._lock:
            _add_moved(self, counts)

    def __str__(self) -> str:
        lines = [
            f"wrote {self.chunks} chunks ({self.empty} empty) in {len(self.written)} objects on "
            f"{self.device} to {self.sink}, {self.threads} threads, {self.waves} waves",
            f"  bytes: {self.bytes_encoded:,} encoded, {self.bytes_written:,} written, "
            f"{self.bytes_read:,} read of chunks partly covered",
        ]
        lines += _moved_and_done(self)
        spent = ", ".join(f"{name} {1e3 * s:.1f} ms" for name, s in self.seconds.items())
        return "\n".join([*lines, f"  time: {spent}"] if spent else lines)


def _add_moved(report: Report | WriteReport, counts: Counts) -> None:
    report.bytes_uploaded += counts.bytes_uploaded
    report.bytes_downloaded += counts.bytes_downloaded
    report.uploads += counts.uploads
    report.downloads += counts.downloads
    report.launches += sum(counts.launches.values())
    report.waits += counts.waits


def _add_stages(
    report: Report | WriteReport, wave: Tally, route: Route, on_host: Counter[str]
) -> None:
    """Count the chunks of a wave, of which the device left some of a stage to the host."""
    for stage in route.stages if wave.chunks else ():
        odd = on_host[stage.stage] if stage.device != "cpu" else 0
        for device, chunks in ((stage.device, wave.chunks - odd), ("cpu", odd)):
            if chunks:
                done = (stage.stage, device)
                report.stages[done] = report.stages.get(done, 0) + chunks


def _moved_and_done(report: Report | WriteReport) -> list[str]:
    """Lines of what moved, and of which device did what."""
    lines = []
    if report.uploads or report.downloads:
        lines.append(
            f"  moved: {report.bytes_uploaded:,} bytes up in {report.uploads} copies, "
            f"{report.bytes_downloaded:,} down in {report.downloads}, {report.launches} launches, "
            f"{report.waits} waits"
        )
    for (stage, device), count in report.stages.items():
        lines.append(f"  {stage}: {count} chunks on {device}")
    return lines


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
    on_host: Counter[str] = field(default_factory=Counter)
    """Streams of each codec that a device left to the host to encode."""


def timed[**P, R](
    tally: Tally, name: str, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs
) -> R:
    """Call, and add the seconds that it took."""
    started = perf_counter()
    result = call(*args, **kwargs)
    tally.seconds[name] = tally.seconds.get(name, 0.0) + perf_counter() - started
    return result
