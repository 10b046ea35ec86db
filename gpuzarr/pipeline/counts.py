"""What this process did with chunks: here, or through zarr-python's own machinery."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import Any

from gpuzarr.codecs.chain import Chain
from gpuzarr.device import Device
from gpuzarr.route import Route
from gpuzarr.spec import Spec

_lock = threading.Lock()
_done: Counter[str] = Counter()
_elsewhere: Counter[str] = Counter()
_foreign: Counter[str] = Counter()
_encoded: Counter[str] = Counter()
_told: set[tuple[str, str, str]] = set()
_logger = logging.getLogger("gpuzarr")


def counts() -> dict[str, Any]:
    """Chunks since the process began.

    Returns
    -------
    dict
        ``read`` and ``written``: chunks that went through gpuzarr's own pipeline; ``elsewhere``:
        chunks by the reason why zarr-python's pipeline or sharding codec had them; ``foreign``:
        of the chunks read and written, those of which a codec object of zarr-python or
        numcodecs did a step, by the name of the codec; ``encoded``: of the chunks written, by
        the device that put them together and encoded them as far as it could;
        ``bytes_downloaded``: of values on a device that zarr-python was given to write, which
        are encoded on the host.
    """
    with _lock:
        return {
            "read": _done["read"],
            "written": _done["written"],
            "elsewhere": dict(_elsewhere),
            "foreign": dict(_foreign),
            "encoded": dict(_encoded),
            "bytes_downloaded": _done["bytes_downloaded"],
        }


def count(what: str, chunks: int, chain: Chain, encoder: str | None = None) -> None:
    """Chunks that are ``read``, or ``written`` by this device; missing ones too."""
    with _lock:
        if chain.shards_elsewhere:
            _elsewhere["a sharding codec that was changed"] += chunks
            return
        _done[what] += chunks
        if encoder is not None:
            _encoded[encoder] += chunks
        for name in chain.foreign:
            _foreign[name] += chunks


def count_downloaded(nbytes: int) -> None:
    """Bytes of values on a device that were brought to the host, to be encoded there."""
    with _lock:
        _done["bytes_downloaded"] += nbytes


def tell_fallbacks(spec: Spec, route: Route, device: Device, verb: str) -> None:
    """Log the stages that cannot run on this device, once for each array and way."""
    if device.is_host or (spec.store, spec.path, verb) in _told:
        return
    fallbacks = [s for s in route.stages if s.device != device.name and not s.by_choice]
    if fallbacks:
        reasons = "; ".join(f"{s.stage} on {s.device}, {s.reason}" for s in fallbacks)
        _told.add((spec.store, spec.path, verb))
        _logger.warning("Array %r, %s %s: %s.", spec.name, verb, device.name, reasons)


def count_elsewhere(reason: str, chunks: int) -> None:
    """Chunks that zarr-python's own pipeline has to treat."""
    with _lock:
        _elsewhere[reason] += chunks
