"""Codecs that we do not have: run through numcodecs' or zarr's own object, chunk by chunk.

The result joins the batch, so everything before and behind such a stage is still batched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numcodecs.compat import ensure_ndarray_like
from numpy.typing import NDArray
from zarr.codecs import ShardingCodec
from zarr.core.buffer import cpu
from zarr.core.config import config as zarr_config
from zarr.core.sync import sync

from gpuzarr.batch import BYTES, Batch
from gpuzarr.codecs import bounds
from gpuzarr.device import Device
from gpuzarr.errors import (
    ChunkSizeError,
    PickleDisabledError,
    SizeError,
    StreamError,
)
from gpuzarr.place import Layout
from gpuzarr.spec import CodecConfig

_Call = Callable[[Any], Any]


class Foreign:
    """One step that a codec object of zarr-python or numcodecs does.

    `spec` is the zarr spec of what the codec encodes (v3). The others speak of decoding, and
    encoding is the way back: `before` is the layout of what the codec is given, for codecs of
    arrays, and `given` the dtype in which it wants that; `after` the layout of what it gives,
    where that is an array.
    """

    is_view = False
    takes_objects = True
    """Whether it encodes elements that have no bytes."""

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
        self._decode, self._encode = _decoder(config, spec), _encoder(config, spec)
        self._decode_bounded = bounds.bounded(config)

    @property
    def is_sharding(self) -> bool:
        """Whether it is zarr-python's sharding codec."""
        return isinstance(self._config.instance, ShardingCodec)

    def supports(self, device: Device) -> str | None:
        """The reason why it runs on the CPU, for any other device."""
        return None if device.is_host else "no device decoder"

    def supports_encoding(self, device: Device) -> str | None:
        """The reason why it runs on the CPU, for any other device."""
        return None if device.is_host else "no device encoder"

    def describe(self) -> str:
        """By whose object."""
        module = type(self._config.instance).__module__.partition(".")[0]
        return f"chunk by chunk, by the codec object of {module}"

    def encoded_nbytes(self, nbytes: int | None) -> int | None:
        """Not known."""
        return None

    def most_encoded(self, nbytes: int) -> int | None:
        """Known of compressors."""
        return bounds.most_encoded(self.name, nbytes)

    def decode(self, batch: Batch, into: Batch | None, device: Device) -> Batch:
        """Decode each chunk by itself and join the results."""
        return self._decode_each(batch, into, None)

    def decode_within(self, batch: Batch, most: int, device: Device) -> Batch:
        """The same, none of them of more than `most` bytes."""
        return self._decode_each(batch, None, most)

    def _decode_each(self, batch: Batch, into: Batch | None, most: int | None) -> Batch:
        self._refuse_pickle()
        results = []
        for slot, (start, stop) in enumerate(batch.spans()):
            limit = most if into is None else int(into.sizes[slot])
            try:
                results.append(self._flat(self._decoded(batch.arena[start:stop], limit)))
            except SizeError as error:
                reason = str(error) if into is None else f"expected {limit} bytes, found more"
                raise StreamError(slot, reason, ChunkSizeError) from error
            except StreamError as error:
                raise StreamError(slot, error.reason, error.kind) from error
            except Exception as error:
                if type(error).__name__ == "UnsafeDecodeError":
                    raise PickleDisabledError(str(error)) from error
                raise StreamError.refused(slot, f"a valid {self.name} stream", error) from error
            if into is not None and len(results[-1]) != into.sizes[slot]:
                reason = f"expected {int(into.sizes[slot])} bytes, found {len(results[-1])}"
                raise StreamError(slot, reason, ChunkSizeError)
        return _join(results, into)

    def _decoded(self, encoded: Any, most: int | None) -> Any:
        if self._decode_bounded is not None and most is not None:
            return self._decode_bounded(memoryview(encoded), most)
        if self._after is not None and encoded.dtype != object:
            bounds.check_count(self.name, encoded, self._after.count)
        return self._decode(self._shaped(encoded))

    def encode(self, batch: Batch, device: Device) -> Batch:
        """Encode each chunk by itself and join the results; None is a chunk that is missing."""
        results: list[NDArray[Any] | None] = []
        dtype = BYTES
        for slot, (start, stop) in enumerate(batch.spans()):
            try:
                result = self._encode(self._elements(batch.arena[start:stop], batch.dtype))
                if result is None:
                    results.append(None)
                    continue
                flat = self._laid_out(result)
            except StreamError as error:
                raise StreamError(slot, error.reason, error.kind) from error
            except Exception as error:
                raise StreamError.refused(slot, f"what {self.name} encodes", error) from error
            if self._config.kind == "buffer" or flat.dtype.hasobject:
                dtype = flat.dtype  # in v3 it ends where bytes are, which codecs of bytes rely on
            results.append(flat if dtype.hasobject else flat.view(np.uint8))
        return Batch.joined(results, dtype)

    def _elements(self, decoded: Any, dtype: np.dtype) -> Any:
        """A chunk as what the codec encodes."""
        after = self._after
        if after is not None:
            elements = decoded if after.on_host_only else decoded.view(after.dtype)
            return elements.reshape(after.shape).transpose(after.axes)
        return decoded if decoded.dtype.hasobject else decoded.view(dtype)

    def _laid_out(self, encoded: Any) -> NDArray[Any]:
        """What the codec made of a chunk, flat, as it lies in memory."""
        array, before = np.asarray(ensure_ndarray_like(encoded)), self._before
        if before is not None:
            return _in_layout(array, before, self._given)
        return np.ascontiguousarray(array.reshape(-1, order="A"))

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


def _in_layout(array: NDArray[Any], layout: Layout, declared: Any) -> NDArray[Any]:
    """An array of the declared dtype as the flat memory of this layout.

    Some codecs of numcodecs give one axis, or other numbers of the same bits (bitround).
    """
    shape = tuple(layout.shape[axis] for axis in layout.axes)
    has_shape = array.shape == shape or (layout.is_c_order and array.size == layout.count)
    has_width = layout.on_host_only or array.dtype.itemsize == declared.itemsize
    if not (has_shape and has_width):
        reason = (
            f"expected to encode to {declared} of shape {shape}, "
            f"found {array.dtype} of shape {array.shape}"
        )
        raise StreamError(0, reason)
    native = declared.newbyteorder("=")
    if array.dtype.newbyteorder("=") != native and not layout.on_host_only:
        array = array.astype(array.dtype.newbyteorder("=")).view(native)
    memory = array.reshape(shape).transpose(np.argsort(layout.axes))
    return np.ascontiguousarray(memory, layout.dtype).reshape(-1)


def _decoder(config: CodecConfig, spec: Any) -> _Call:
    """The codec object's decoding as a function of arrays."""
    if config.kind == "buffer":
        return config.instance.decode  # type: ignore[no-any-return]
    call = _caller(config.instance, "decode")
    wrap: Any = _to_array_buffer if config.kind == "array" else _to_buffer
    return lambda chunk: _unwrap(call(wrap(chunk), spec))


def _encoder(config: CodecConfig, spec: Any) -> _Call:
    """The codec object's encoding as a function of arrays; None means that nothing is stored."""
    if config.kind == "buffer":
        return config.instance.encode  # type: ignore[no-any-return]
    call = _caller(config.instance, "encode")
    wrap: Any = _to_buffer if config.kind == "bytes" else _to_array_buffer
    return lambda chunk: _unwrap(call(wrap(chunk), spec))


def _caller(codec: Any, verb: str) -> Callable[[Any, Any], Any]:
    """The codec's method for one chunk, awaited where it has only that form."""
    if hasattr(codec, f"_{verb}_sync") and getattr(codec, "_sync_capable", True):
        return getattr(codec, f"_{verb}_sync")  # type: ignore[no-any-return]
    return lambda chunk, spec: sync(getattr(codec, f"_{verb}_single")(chunk, spec))


def _to_array_buffer(chunk: Any) -> Any:
    return cpu.NDBuffer.from_ndarray_like(chunk)


def _to_buffer(chunk: Any) -> Any:
    return cpu.Buffer.from_array_like(chunk)


def _unwrap(buffer: Any) -> Any:
    return None if buffer is None else buffer.as_numpy_array()


def _join(results: list[np.ndarray], into: Batch | None) -> Batch:
    if into is None:
        return Batch.joined(results)
    for result, (start, stop) in zip(results, into.spans(), strict=True):
        into.arena[start:stop] = result
    return into
