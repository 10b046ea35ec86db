"""Waves with their requests started ahead, and the names that errors get."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gpuzarr.codecs.chain import Chain, StageError
from gpuzarr.device import Device
from gpuzarr.errors import EncodingError, StreamError
from gpuzarr.plan import ReadPlan

Ints = NDArray[np.int64]


class Started(Protocol):
    """A wave whose requests have been sent."""

    @property
    def requests(self) -> int:
        """How many."""

    @property
    def requests_ahead(self) -> int:
        """How many its source wants under way before the first is waited for."""


def started_ahead[W: Started](waves: Iterable[W]) -> Iterator[W]:
    """The waves in order, as many of them made ahead as their source wants requests."""
    pending: deque[W] = deque()
    requests = 0
    for wave in waves:
        pending.append(wave)
        requests += wave.requests
        while pending and requests - pending[0].requests >= wave.requests_ahead:
            requests -= pending[0].requests
            yield pending.popleft()
    yield from pending


@contextmanager
def naming(plan: ReadPlan, rows: Ints, chain: Chain, device: Device, verb: str) -> Iterator[None]:
    """Give errors of single streams, whose slots count these rows, their array and chunk."""
    try:
        yield
    except StageError as error:
        stage, verdict, cause = error.stage, error.error, error.error
    except StreamError as error:
        stage, verdict, cause = "sharding_indexed", error, error
    except MemoryError as error:
        size = len(rows) * chain.layout.size
        reason = f"expected memory for {size} decoded bytes, found too little"
        stage, verdict, cause = "allocate", StreamError(0, reason), error  # type: ignore[assignment]
    else:
        return
    spec, outer = plan.spec, np.array(plan.spec.chunks_per_outer, np.int64)
    coords = plan.parts.coords(rows[verdict.slot : verdict.slot + 1])
    (key,) = spec.keys(coords // outer)
    if spec.levels:
        key = f"{key} (inner chunk {tuple((coords[0] % outer).tolist())})"
    kind = EncodingError if verb == "written" else verdict.kind
    raise kind(
        verdict.reason, array=spec.name, chunk=key, stage=stage, device=device.name, verb=verb
    ) from cause
