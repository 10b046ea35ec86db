"""Codecs that we do not have: run through numcodecs' or zarr's own object, chunk by chunk.

The result joins the batch, so everything before and behind such a stage is still batched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numcodecs.compat import ensure_ndarray_like
from zarr.core.buffer import cpu
from zarr.core.config import config as zarr_config
from zarr.core.sync import sync

from gpuzarr.batch import Batch
from gpuzarr.device import Device
from gpuzarr.errors import ChunkSizeError, PickleDisabledError, StreamError
from gpuzarr.place import Layout
from gpuzarr.spec import CodecConfig

_Decode = Callable[[Any], Any]


class Foreign:
    """One step that a codec object of zarr-python or numcodecs does.

    `spec` is the zarr spec of what the codec encodes (v3); `before` the layout of what it is
    given, for codecs of arrays, and `given` the dtype in which it wants that; `after` the layout
    of what it gives, where that is an array.
    """

    is_view = False

    def __init__(
        self,
        config: CodecConfig,
        spec: Any,
        before: Layout | None = None,
        given: np.dtype | None = None,
        after: Layout | None = None,
    ) -> None:
        self.name = config.name
        self._config, self._before, self._given, self._after = config, before, given, after
        self._decode = _decoder(config, spec)

    def supports(self, device: Device) -> str | None:
        """The reason why it runs on the CPU, for any other device."""
        if device.name == "cpu":
            return None
        return f"{self.name}: cpu, no device decoder"

    def describe(self) -> str:
        """By whose object."""
        module = type(self._config.instance).__module__.partition(".")[0]
        return f"chunk by chunk, by the codec object of {module}"

    def encoded_nbytes(self, nbytes: int | None) -> int | None:
        """Not known."""
        return None

    def decode(self, batch: Batch, into: Batch | None, device: Device) -> Batch:
        """Decode each chunk by itself and join the results."""
        self._refuse_pickle()
        results = []
        for slot, (start, stop) in enumerate(batch.spans()):
            try:
                chunk = self._shaped(batch.arena[start:stop])
                results.append(self._flat(self._decode(chunk)))
            except StreamError as error:
                raise StreamError(slot, error.reason, error.kind) from error
            except Exception as error:
                raise StreamError.refused(slot, f"a valid {self.name} stream", error) from error
            if into is not None and len(results[-1]) != into.sizes[slot]:
                reason = f"expected {int(into.sizes[slot])} bytes, found {len(results[-1])}"
                raise StreamError(slot, reason, ChunkSizeError)
        return _join(results, into)

    def _shaped(self, encoded: Any) -> Any:
        before = self._before
        if before is None:
            return encoded
        if len(encoded) != before.size:
            unit = "elements" if before.on_host_only else "bytes"
            reason = f"expected {before.size} {unit} to decode, found {len(encoded)}"
            raise StreamError(0, reason, ChunkSizeError)
        if before.on_host_only:
            return encoded.reshape(before.shape).transpose(before.axes)
        array = encoded.view(before.dtype).reshape(before.shape).transpose(before.axes)
        return array.astype(self._given, copy=False)

    def _flat(self, decoded: Any) -> np.ndarray:
        array = np.asarray(ensure_ndarray_like(decoded))
        after = self._after
        if after is not None:
            if self._config.kind == "buffer":
                if after.dtype == object and array.dtype != object:
                    reason = "cannot read an array of objects without an object codec"
                    raise StreamError(0, reason)
                if after.on_host_only or array.dtype == object:
                    array = np.array(array).astype(after.dtype)
            else:
                array = np.ascontiguousarray(array.astype(after.dtype, copy=False))
            if after.on_host_only:
                return array.reshape(-1, order="A")
        flat = array.reshape(-1, order="A")
        return flat if flat.dtype == object else np.ascontiguousarray(flat).view(np.uint8)

    def _refuse_pickle(self) -> None:
        if getattr(self._config.instance, "codec_id", None) != "pickle":
            return
        if zarr_config.get("array.allow_unsafe_pickle_decode") is not True:
            raise PickleDisabledError(
                "Decoding pickled data can run any code, so it is refused. If you trust this "
                "data, allow it with zarr.config.set({'array.allow_unsafe_pickle_decode': True}) "
                "and with numcodecs.pickles.ALLOW_UNSAFE_PICKLE_DECODE = True."
            )


def _decoder(config: CodecConfig, spec: Any) -> _Decode:
    """The codec object's decoding as a function of arrays."""
    codec = config.instance
    if config.kind == "buffer":
        return codec.decode  # type: ignore[no-any-return]
    wrap: Any = cpu.NDBuffer.from_ndarray_like if config.kind == "array" else _to_buffer
    if hasattr(codec, "_decode_sync") and getattr(codec, "_sync_capable", True):
        return lambda chunk: _unwrap(codec._decode_sync(wrap(chunk), spec))
    return lambda chunk: _unwrap(sync(codec._decode_single(wrap(chunk), spec)))


def _to_buffer(chunk: Any) -> Any:
    return cpu.Buffer.from_array_like(chunk)


def _unwrap(buffer: Any) -> Any:
    return buffer.as_numpy_array()


def _join(results: list[np.ndarray], into: Batch | None) -> Batch:
    sizes = np.array([len(r) for r in results], np.int64)
    if into is None:
        offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        return Batch(np.concatenate(results), offsets, sizes)
    for result, (start, stop) in zip(results, into.spans(), strict=True):
        into.arena[start:stop] = result
    return into
