"""The route of a read, or of a write, in words, before any I/O."""

from __future__ import annotations

from dataclasses import dataclass

from gpuzarr.costs import Estimate
from gpuzarr.plan import ReadPlan
from gpuzarr.route import Route, StageRoute, milliseconds


@dataclass(frozen=True)
class Explanation:
    """How a selection would be read, or written; ``str()`` is for reading.

    Attributes
    ----------
    array, source, device
        Path of the array, where bytes come from, where the result will be; of a write where bytes
        go, and where the value is.
    way
        By which way bytes come from there to a device.
    chunks, shards
        Innermost chunks that are decoded if they exist, or encoded if they are not empty, and
        stored shards that hold them (0 without sharding).
    bytes_decoded
        Size of all these chunks, in bytes.
    waves, threads
        How the work is cut and how many threads take part.
    stages
        One `StageRoute` per stage, in the order of decoding, or of encoding.
    in_zarr
        What does the work when zarr-python reads this array, if `gpuzarr.enable` was in effect
        when zarr-python opened it.
    why_host
        Why the result is on the host, where another device was asked for.
    writing
        Whether this is about a write.
    estimate
        What the ways are estimated to take between which a device has a choice, or None.
    """

    array: str
    source: str
    way: str
    device: str
    chunks: int
    shards: int
    bytes_decoded: int
    waves: int
    threads: int
    stages: tuple[StageRoute, ...]
    in_zarr: str | None = None
    why_host: str | None = None
    writing: bool = False
    estimate: Estimate | None = None

    @classmethod
    def of(
        cls,
        plan: ReadPlan,
        route: Route,
        source: str,
        way: str = "",
        in_zarr: str | None = None,
        why_host: str | None = None,
    ) -> Explanation:
        """Of a plan and its route."""
        spec = plan.spec
        return cls(
            spec.name,
            source,
            way,
            route.device,
            plan.count,
            len(plan.cuts) - 1 if spec.levels and plan.count else 0,
            plan.nbytes,
            len(plan.waves(route.chunks_per_wave)),
            route.threads,
            route.stages,
            in_zarr,
            why_host,
            estimate=route.estimate,
        )

    @property
    def fallbacks(self) -> tuple[StageRoute, ...]:
        """Stages that run elsewhere than on the device of the result."""
        return tuple(s for s in self.stages if s.device != self.device)

    def _estimated(self, estimate: Estimate) -> str:
        found = f"measured on {estimate.measured}" if estimate.measured else "not measured"
        return (
            f"estimated: {milliseconds(estimate.cpu)} on the CPU, "
            f"{milliseconds(estimate.device)} on {self.device} as far as it can; the constants "
            f"are {found}"
        )

    def __str__(self) -> str:
        shards = f" in {self.shards} shards" if self.shards else ""
        coded, begin, end = "decoded", self.source, self.device
        if self.writing:
            coded, begin, end = "to encode", self.device, self.source
        lines = [
            f"{self.array}: {self.chunks} chunks{shards}, {self.bytes_decoded:,} bytes {coded}",
            f"  from {begin} to {end}, {self.waves} waves on {self.threads} threads",
        ]
        if self.way:
            lines.append(f"  {self.way}")
        if self.why_host is not None:
            lines.append(f"  on the host, since {self.why_host}")
        if not self.stages:
            lines.append("  no codec: chunks are copied into place")
        lines += [f"  {s.stage}: {s.device}, {s.reason}" for s in self.stages]
        if self.estimate is not None:
            lines.append(f"  {self._estimated(self.estimate)}")
        if self.in_zarr is not None:
            lines.append(f"  in zarr-python: {self.in_zarr}")
        return "\n".join(lines)
