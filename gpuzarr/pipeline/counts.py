"""What this process did with chunks: here, or through zarr-python's own machinery."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import Any

from gpuzarr.codecs.chain import Chain
from gpuzarr.route import Route
from gpuzarr.spec import Spec

_lock = threading.Lock()
_done: Counter[str] = Counter()
_elsewhere: Counter[str] = Counter()
_foreign: Counter[str] = Counter()
_told: set[tuple[str, str]] = set()
_logger = logging.getLogger("gpuzarr")


def counts() -> dict[str, Any]:
    """Chunks since the process began.

    Returns
    -------
    dict
        ``read`` and ``written``: chunks that went through gpuzarr's own pipeline; ``elsewhere``:
        chunks by the reason why zarr-python's pipeline or sharding codec had them; ``foreign``:
        of the chunks read and written, those of which a codec object of zarr-python or
        numcodecs did a step, by the name of the codec; ``bytes_downloaded``: of values on a
        device that zarr-python was given to write, which are encoded on the host.
    """
    with _lock:
        return {
            "read": _done["read"],
            "written": _done["written"],
            "elsewhere": dict(_elsewhere),
            "foreign": dict(_foreign),
            "bytes_downloaded": _done["bytes_downloaded"],
        }


def count(what: str, chunks: int, chain: Chain) -> None:
    """Chunks that are ``read`` or ``written``; missing ones too."""
    with _lock:
        if chain.shards_elsewhere:
            _elsewhere["a sharding codec that was changed"] += chunks
            return
        _done[what] += chunks
        for name in chain.foreign:
            _foreign[name] += chunks


def count_downloaded(nbytes: int) -> None:
    """Bytes of values on a device that were brought to the host, to be encoded there."""
    with _lock:
        _done["bytes_downloaded"] += nbytes


def tell_fallbacks(spec: Spec, route: Route) -> None:
    """Log the stages that do not run on the device of the result, once for each array."""
    if route.device == "cpu" or (spec.store, spec.path) in _told:
        return
    fallbacks = [s for s in route.stages if s.device != route.device]
    if fallbacks:
        reasons = "; ".join(f"{s.stage} on {s.device}, {s.reason}" for s in fallbacks)
        _told.add((spec.store, spec.path))
        _logger.warning("Array %r, read to %s: %s.", spec.name, route.device, reasons)


def count_elsewhere(reason: str, chunks: int) -> None:
    """Chunks that zarr-python's own pipeline has to treat."""
    with _lock:
        _elsewhere[reason] += chunks
