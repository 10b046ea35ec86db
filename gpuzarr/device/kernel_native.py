"""nvCOMP's own formats on a device: streams of known decoded size, each by the library alone.

What is stored around them, and checked before a decoder sees them, is `codecs.native`'s matter.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuzarr.batch import Batch
from gpuzarr.device.kernel_decoders import Ints, all_by_library
from gpuzarr.device.nvcomp_abi import ELEMENTS

if TYPE_CHECKING:
    from gpuzarr.device.kernel_device import KernelDevice

DEFINED = frozenset({"ans"})
"""Those whose verdict on any bytes is defined."""

NAMES = ("gdeflate", "bitcomp", "ans", "cascaded")


def _compressed(codec: str, device: KernelDevice, batch: Batch, options: dict[str, Any]) -> Batch:
    """By the library, with what it names otherwise."""
    fields = {}
    if options.get("algorithm") is not None:
        fields["algorithm"] = options["algorithm"]
    if options.get("data_type") is not None:
        fields["element"] = ELEMENTS[np.dtype(options["data_type"]).str[1:]]
    return device.compressed(codec, batch, **fields)


def _decompressed(codec: str, device: KernelDevice, batch: Batch, into: Batch) -> Ints:
    return all_by_library(device, codec, batch, into)


DECODERS: dict[str, Callable[[Any, Batch, Batch], Ints]] = {
    name: partial(_decompressed, name) for name in NAMES
}
ENCODERS: dict[str, Callable[[Any, Batch, dict[str, Any]], Batch]] = {
    name: partial(_compressed, name) for name in NAMES
}
