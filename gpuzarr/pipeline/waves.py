"""What waves of reading and of writing share."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Batch, Scratch
from gpuzarr.codecs.chain import Chain, StageError
from gpuzarr.device import Device
from gpuzarr.device.counting import NOTHING, Counts, counting
from gpuzarr.errors import DeviceError, DeviceMemoryError, EncodingError, StreamError
from gpuzarr.place import Boxes, Layout, Placement, contiguous_offsets
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
def at_work(device: Device, begun: Any) -> Iterator[tuple[Scratch, Counts]]:
    """Memory of the host's for a wave, and what the device does for it."""
    if device.is_host:
        with Scratch.lent() as scratch:
            yield scratch, NOTHING
        return
    with (
        Scratch.lent(device.name, device.host_memory, 4 * device.wave_bytes()) as scratch,
        counting() as counts,
        device.working(begun),
    ):
        yield scratch, counts


def slots_in(
    array: Any, field: Any, layout: Layout, placement: Placement, device: Device
) -> Batch | None:
    """Slots in a result, or a value, itself: where each chunk lies in one piece as it is decoded.

    None where it does not.
    """
    if not isinstance(placement, Boxes) or field is not None or not layout.is_c_order:
        return None
    if layout.on_host_only or layout.dtype != array.dtype:
        return None
    arena = device.arena_of(array)
    if arena is None:
        return None
    offsets = contiguous_offsets(placement, layout.shape, array.shape, layout.dtype.itemsize)
    if offsets is None:
        return None
    sizes = np.full(len(offsets), layout.size, np.int64)
    return Batch(arena, offsets, sizes, layout.dtype)


@contextmanager
def naming(plan: ReadPlan, rows: Ints, chain: Chain, device: Device, verb: str) -> Iterator[None]:
    """Give errors of single streams, whose slots count these rows, their array and chunk."""
    where = device.name
    try:
        yield
    except DeviceMemoryError:  # of the wave, which is tried again in parts
        raise
    except DeviceError as error:
        # No single chunk is known to be at fault, but one of these is.
        keys = plan.spec.keys(plan.parts.coords(rows[[0, -1]]) // plan.spec.chunks_per_outer)
        raise DeviceError(
            f"The device {device.name!r} failed while chunks {keys[0]!r} to {keys[1]!r} of array "
            f"{plan.spec.name!r} were {verb}: {error}"
        ) from error
    except StageError as error:
        stage, verdict, cause, where = error.stage, error.error, error.error, error.device
    except StreamError as error:
        stage, verdict, cause, where = "sharding_indexed", error, error, "cpu"
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
        verdict.reason, array=spec.name, chunk=key, stage=stage, device=where, verb=verb
    ) from cause
