"""Filters that make a number of each number: scaled, cast, rounded."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import numpy as np

from gpuzarr.batch import BYTES, Batch
from gpuzarr.codecs.number_filter import (
    Between,
    EncodedByObject,
    NumberFilter,
    Op,
    astype_and_dtype,
)
from gpuzarr.device import Device
from gpuzarr.device.protocol import Casting
from gpuzarr.spec import CodecConfig


class FixedScaleOffset(NumberFilter):
    """``round((x - offset) * scale)`` as another dtype; decoding gives ``x / scale + offset``.

    ``{"id": "fixedscaleoffset", "offset": 0, "scale": 10, "dtype": "<f8", "astype": "<i2"}``;
    `astype` is the dtype of what is encoded, and `dtype` where it is left out. Integers are
    divided as doubles, and nothing is checked: what `astype` lacks is wrapped.

    https://numcodecs.readthedocs.io/en/stable/filter/fixedscaleoffset.html
    """

    name = "fixedscaleoffset"
    is_elementwise = False  # numcodecs takes other orders of memory for C order

    def __init__(self, config: CodecConfig, between: Between | None) -> None:
        super().__init__(config, between)
        self._scale, self._offset = _scale_and_offset(config)

    @staticmethod
    def dtypes(config: CodecConfig, between: Between | None) -> tuple[np.dtype, np.dtype]:
        """`astype` and `dtype`."""
        return astype_and_dtype(config)

    @classmethod
    def resolved(cls, config: CodecConfig, between: Between | None) -> Self | None:
        """None for numbers that are not Python's too, by which NumPy computes otherwise."""
        if any(type(number) not in (int, float) for number in _scale_and_offset(config)):
            return None
        return super().resolved(config, between)

    def _decodes(self, device: Device, source: np.dtype, target: np.dtype) -> str | None:
        return device.computes("scale_offset", source, target, self._scale, self._offset)

    def _encodes(self, device: Device, source: np.dtype, target: np.dtype) -> str | None:
        return device.computes("offset_scale", source, target, self._scale, self._offset)

    def _decode(self, device: Device) -> Op:
        return partial(device.scale_offset, scale=self._scale, offset=self._offset)

    def _encode(self, device: Device) -> Op:
        return partial(device.offset_scale, scale=self._scale, offset=self._offset, rounds=True)


def _scale_and_offset(config: CodecConfig) -> tuple[Any, Any]:
    return config.configuration.get("scale"), config.configuration.get("offset")


class ScaleOffset(NumberFilter):
    """``(x - offset) * scale`` in the array's own dtype; decoding gives ``x / scale + offset``.

    ``{"name": "scale_offset", "configuration": {"offset": 5, "scale": 0.1}}``; of integers, what
    leaves the dtype is an error, and so is a division with a remainder.

    Specification: https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/scale_offset
    """

    name = "scale_offset"

    def __init__(self, config: CodecConfig, between: Between | None) -> None:
        super().__init__(config, between)
        assert between is not None
        given, zdtype = config.configuration, between.spec.dtype
        self._scale, self._offset = (
            zdtype.from_json_scalar(given.get(name, default), zarr_format=3).item()
            for name, default in (("scale", 1), ("offset", 0))
        )
        self._is_exact = self.decoded.kind in "iu"

    @staticmethod
    def dtypes(config: CodecConfig, between: Between | None) -> tuple[np.dtype, np.dtype]:
        """The array's own."""
        assert between is not None
        return between.given, between.after.dtype

    def _decodes(self, device: Device, source: np.dtype, target: np.dtype) -> str | None:
        op = "scale_offset_exact" if self._is_exact else "scale_offset"
        return device.computes(op, source, target, self._scale, self._offset)

    def _encodes(self, device: Device, source: np.dtype, target: np.dtype) -> str | None:
        op = "offset_scale_exact" if self._is_exact else "offset_scale"
        return device.computes(op, source, target, self._scale, self._offset)

    def _decode(self, device: Device) -> Op:
        if not self._is_exact:
            return partial(device.scale_offset, scale=self._scale, offset=self._offset)
        return self._exact(device.scale_offset_exact)

    def _encode(self, device: Device) -> Op:
        if not self._is_exact:
            return partial(
                device.offset_scale, scale=self._scale, offset=self._offset, rounds=False
            )
        return self._exact(device.offset_scale_exact)

    def _exact(self, op: Any) -> Op:
        """An op of integers, to which both ends are of one dtype."""

        def run(batch: Batch, into: Batch, source: np.dtype, target: np.dtype) -> None:
            op(batch, into, source, self._scale, self._offset)

        return run

    def _takes_any_order(self, device: Device) -> bool:
        return device.is_host and not (self._is_exact and self.encoded != self.decoded)


class Cast(NumberFilter):
    """Another dtype, as NumPy's ``astype`` makes it, both ways."""

    def _decodes(self, device: Device, source: np.dtype, target: np.dtype) -> str | None:
        return device.computes("cast", source, target)

    _encodes = _decodes

    def _decode(self, device: Device) -> Op:
        return partial(device.cast, casting=None)

    _encode = _decode


class AsType(Cast):
    """Another dtype, as NumPy's ``astype`` makes it.

    ``{"id": "astype", "encode_dtype": "<i2", "decode_dtype": "<i4"}``

    https://numcodecs.readthedocs.io/en/stable/filter/astype.html
    """

    name = "astype"
    kinds = "iufb"

    @staticmethod
    def dtypes(config: CodecConfig, between: Between | None) -> tuple[np.dtype, np.dtype]:
        """`encode_dtype` and `decode_dtype`."""
        given = config.configuration
        return np.dtype(given["encode_dtype"]), np.dtype(given["decode_dtype"])


class CastValue(NumberFilter):
    """Another dtype, by rules for what it lacks.

    ``{"name": "cast_value", "configuration": {"data_type": "uint8", "rounding": "nearest-even",
    "out_of_range": "clamp", "scalar_map": {"encode": [["NaN", 0]], "decode": [[0, "NaN"]]}}}``;
    without `out_of_range` what the dtype lacks is an error. On the CPU it needs the package
    cast-value-rs.

    Specification: https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/cast_value
    """

    name = "cast_value"

    def __init__(self, config: CodecConfig, between: Between | None) -> None:
        super().__init__(config, between)
        assert between is not None
        given, array, cast = config.configuration, between.spec.dtype, config.instance.dtype
        maps = given.get("scalar_map") or {}
        self._decoding, self._encoding = (
            Casting(
                given.get("rounding", "nearest-even"),
                given.get("out_of_range"),
                tuple((_scalar(key, source), _scalar(value, target)) for key, value in pairs),
            )
            for source, target, pairs in (
                (cast, array, maps.get("decode", ())),
                (array, cast, maps.get("encode", ())),
            )
        )

    @staticmethod
    def dtypes(config: CodecConfig, between: Between | None) -> tuple[np.dtype, np.dtype]:
        """Its own and the array's."""
        assert between is not None
        return between.given, between.after.dtype

    def _decodes(self, device: Device, source: np.dtype, target: np.dtype) -> str | None:
        return device.computes("cast", source, target, casting=self._decoding)

    def _encodes(self, device: Device, source: np.dtype, target: np.dtype) -> str | None:
        return device.computes("cast", source, target, casting=self._encoding)

    def _decode(self, device: Device) -> Op:
        return partial(device.cast, casting=self._decoding)

    def _encode(self, device: Device) -> Op:
        return partial(device.cast, casting=self._encoding)

    def _takes_any_order(self, device: Device) -> bool:
        return False


def _scalar(value: Any, zdtype: Any) -> Any:
    """A number of the metadata, as Python's."""
    return zdtype.from_json_scalar(value, zarr_format=3).item()


class Rounded(EncodedByObject, Cast):
    """Floats of which a part is dropped: nothing to decode, but for a cast if need be."""

    kinds = "f"

    def __init__(self, config: CodecConfig, between: Between | None) -> None:
        super().__init__(config, between)
        self.is_view = self.encoded == self.decoded
        self._keep_object(config, between, self.layout)

    def decode(self, batch: Batch, into: Batch | None, device: Device) -> Batch:
        """The same bytes, or cast."""
        return batch if self.is_view else super().decode(batch, into, device)


class Quantize(Rounded):
    """Floats of which so many decimal digits are kept.

    ``{"id": "quantize", "digits": 1, "dtype": "<f8", "astype": "<f4"}``; `astype` is the dtype of
    what is encoded, and `dtype` where it is left out. numcodecs encodes it, on the CPU.

    https://numcodecs.readthedocs.io/en/stable/filter/quantize.html
    """

    name = "quantize"

    @staticmethod
    def dtypes(config: CodecConfig, between: Between | None) -> tuple[np.dtype, np.dtype]:
        """`astype` and `dtype`."""
        return astype_and_dtype(config)


class BitRound(Rounded):
    """Floats of which so many bits of the mantissa are kept.

    ``{"id": "bitround", "keepbits": 5}``; numcodecs encodes it, on the CPU, in the order in which
    the elements lie. (Of chunks in F order it would make such in C order by itself.)

    https://numcodecs.readthedocs.io/en/stable/filter/bitround.html
    """

    name = "bitround"

    @staticmethod
    def dtypes(config: CodecConfig, between: Between | None) -> tuple[np.dtype, np.dtype]:
        """Those around it; v2 has none."""
        if between is None:
            return BYTES, BYTES
        return between.given, between.after.dtype

    @classmethod
    def resolved(cls, config: CodecConfig, between: Between | None) -> Self | None:
        """None for what are no floats, of which numcodecs would make some."""
        return cls(config, between) if between is None else super().resolved(config, between)
