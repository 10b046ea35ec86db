"""nvCOMP's own codecs: chunks in blocks, all blocks of all chunks as one batch of the library's.

No other decoder reads these streams, and those for gdeflate, bitcomp and cascaded are undefined on
bytes that break the format. So a checksum over all that is stored comes first, then the header and
its sizes (`native_container`), and the library sees only what both allow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpuzarr.batch import Batch
from gpuzarr.codecs.checksum import Crc32c
from gpuzarr.codecs.entropy import UNDEFINED
from gpuzarr.codecs.native_container import Blocks, check_has_heads, heads_of, read_heads
from gpuzarr.device import Device
from gpuzarr.errors import StreamError, UnsupportedError
from gpuzarr.native_codecs import DATA_TYPES, data_type_of, why_no_cpu
from gpuzarr.spec import CodecConfig

_SEAL = Crc32c(CodecConfig("crc32c", {}, "bytes", None))
_PADDING = np.zeros(16, np.uint8)


class Native:
    """A codec of `gpuzarr.native_codecs`; `method` names the device's decoder of its streams.

    Format: docs/codecs-native.md.
    """

    method: str
    has_elements = False
    is_view = False

    def __init__(self, config: CodecConfig) -> None:
        self.name, self._options = config.name, config.configuration
        self._blocksize = int(config.configuration["blocksize"])

    def supports(self, device: Device) -> str | None:
        """None where the device's library decodes it."""
        if self.method in device.decompressors:
            return None
        if self.method in device.distrusted:
            return UNDEFINED
        return f"the device {device.name!r} has no decoder for it, only a GPU has"

    def supports_encoding(self, device: Device) -> str | None:
        """None where the device's library encodes it."""
        if self.method in device.compressors:
            return None
        return f"the device {device.name!r} has no encoder for it, only a GPU has"

    def describe(self) -> str:
        """By the device's library, after the checksum."""
        return "batched, verified"

    def encoded_nbytes(self, nbytes: int | None) -> int | None:
        """Depends on the data."""
        return None

    def decode(self, batch: Batch, into: Batch | None, device: Device) -> Batch:
        """Verify, compare sizes, decode all blocks."""
        if into is None or device.is_host:
            raise UnsupportedError(why_no_cpu(self.name))
        content = _SEAL.decode(batch, None, device)
        blocks = Blocks.of(into.sizes, self._blocksize)
        check_has_heads(content, blocks)
        heads = device.download(content.within(content.offsets, blocks.heads))
        begin, sizes, data_type = read_heads(
            heads, blocks, into.sizes, content.sizes, self.method, self._blocksize
        )
        self._check_data_types(data_type, into.sizes)
        streams = content.within(content.offsets[blocks.chunk] + begin, sizes)
        targets = blocks.within(into, self._blocksize)
        for value in np.unique(data_type).tolist():  # the library takes one width at a time
            of_type = np.flatnonzero(data_type[blocks.chunk] == value)
            try:
                device.decompress(self.method, streams.take(of_type), targets.take(of_type))
            except StreamError as error:
                raise _of_chunk(error, blocks, of_type) from error
        return into

    def encode(self, batch: Batch, device: Device) -> Batch:
        """Encode all blocks, and put what belongs around them."""
        if self.supports_encoding(device) is not None:
            raise UnsupportedError(why_no_cpu(self.name))
        blocks = Blocks.of(batch.sizes, self._blocksize)
        data_type, options = self._data_type(batch), dict(self._options)
        if data_type:
            options["data_type"] = DATA_TYPES[data_type - 1]
        self._check_data_types(np.full(len(batch), data_type), batch.sizes)
        try:
            encoded = device.compress(self.method, blocks.within(batch, self._blocksize), options)
        except StreamError as error:
            raise _of_chunk(error, blocks, np.arange(len(blocks.chunk))) from error
        begin, ends = blocks.places(encoded.sizes)
        heads = heads_of(
            blocks, encoded.sizes, batch.sizes, self.method, self._blocksize, data_type
        )
        result = device.room_for(ends)
        device.copy(device.upload(heads), result.within(result.offsets, heads.sizes))
        places = result.within(result.offsets[blocks.chunk] + begin, encoded.sizes)
        device.copy(encoded, places)
        rest = -encoded.sizes % len(_PADDING)
        padding = device.upload(Batch.uniform(_PADDING, 1, len(_PADDING)))
        device.copy(
            padding.within(np.zeros(len(rest), np.int64), rest),
            result.within(places.offsets + places.sizes, rest),
        )
        return _SEAL.encode(result, device)

    def _data_type(self, batch: Batch) -> int:
        """Of the elements that are encoded: 1 more than the position in `DATA_TYPES`."""
        if not self.has_elements:
            return 0
        named = self._options.get("data_type") or data_type_of(batch.dtype)
        return 1 + DATA_TYPES.index(named)

    def _check_data_types(self, found: NDArray[np.int64], nbytes: NDArray[np.int64]) -> None:
        """Types that this codec has, and whole elements of them."""
        lowest, highest = (1, len(DATA_TYPES)) if self.has_elements else (0, 0)
        bad = np.flatnonzero((found < lowest) | (found > highest))
        if len(bad):
            slot = int(bad[0])
            reason = f"expected a data type from {lowest} to {highest}, found {int(found[slot])}"
            raise StreamError(slot, reason)
        width = np.where(found > 0, 1 << (np.maximum(found, 1) - 1) // 2, 1)
        bad = np.flatnonzero(nbytes % width)
        if len(bad):
            slot = int(bad[0])
            name = DATA_TYPES[int(found[slot]) - 1]
            reason = f"expected whole elements of {name}, found {int(nbytes[slot])} bytes"
            raise StreamError(slot, reason)


def _of_chunk(error: StreamError, blocks: Blocks, rows: NDArray[np.int64]) -> StreamError:
    """The verdict on a block as one on its chunk."""
    row = int(rows[error.slot])
    reason = f"{error.reason}, in block {int(blocks.number[row])}"
    return StreamError(int(blocks.chunk[row]), reason, error.kind)


class Gdeflate(Native):
    """``{"name": "gpuzarr.gdeflate", "configuration": {"blocksize": 65536, "algorithm": 1}}``

    Format of the streams: https://github.com/microsoft/DirectStorage/tree/main/GDeflate
    """

    method = "gdeflate"


class Bitcomp(Native):
    """``{"name": "gpuzarr.bitcomp", "configuration": {"data_type": "uint32", …}}``"""

    method, has_elements = "bitcomp", True


class Ans(Native):
    """``{"name": "gpuzarr.ans", "configuration": {"blocksize": 65536}}``"""

    method = "ans"


class Cascaded(Native):
    """``{"name": "gpuzarr.cascaded", "configuration": {"data_type": "int32", …}}``"""

    method, has_elements = "cascaded", True
