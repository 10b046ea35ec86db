"""What this process did with chunks: here, or through zarr-python's own machinery."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from gpuzarr.codecs.chain import Chain

_lock = threading.Lock()
_done: Counter[str] = Counter()
_elsewhere: Counter[str] = Counter()
_foreign: Counter[str] = Counter()


def counts() -> dict[str, Any]:
    """Chunks since the process began.

    Returns
    -------
    dict
        ``read`` and ``written``: chunks that went through gpuzarr's own pipeline; ``elsewhere``:
        chunks by the reason why zarr-python's pipeline or sharding codec had them; ``foreign``:
        of the chunks read and written, those of which a codec object of zarr-python or
        numcodecs did a step, by the name of the codec.
    """
    with _lock:
        return {
            "read": _done["read"],
            "written": _done["written"],
            "elsewhere": dict(_elsewhere),
            "foreign": dict(_foreign),
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


def count_elsewhere(reason: str, chunks: int) -> None:
    """Chunks that zarr-python's own pipeline has to treat."""
    with _lock:
        _elsewhere[reason] += chunks
