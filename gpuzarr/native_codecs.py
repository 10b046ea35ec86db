"""Zarr codecs whose streams are nvCOMP's own: gdeflate, bitcomp, ans and cascaded.

zarr-python and numcodecs find these classes by entry points, under the names ``gpuzarr.gdeflate``,
``gpuzarr.bitcomp``, ``gpuzarr.ans`` and ``gpuzarr.cascaded``, so arrays open wherever gpuzarr is
installed. A class holds a configuration and checks it. Only a GPU decodes and encodes these streams
(`codecs.native`), so whoever else calls the classes is told what to do.

What is stored: docs/codecs-native.md.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

import numcodecs
import numpy as np
from numcodecs.abc import Codec
from zarr.abc.codec import BytesBytesCodec
from zarr.registry import register_codec

from gpuzarr.errors import MetadataError, UnsupportedError

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec

DATA_TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
"""Elements of bitcomp and cascaded; floats and all else count as unsigned integers."""

_GRAIN, _LEAST = 16, 256
"""Blocks are multiples of it, so that all but the last hold whole elements and lie aligned; smaller
ones would cost more for their tables than they hold."""


def data_type_of(dtype: np.dtype) -> str:
    """The element type that suits numbers of this dtype best; bytes where none does."""
    width = dtype.itemsize // (2 if dtype.kind == "c" else 1)
    if dtype.kind not in "iufcmM" or width not in (1, 2, 4, 8):
        return "uint8"
    return f"{'int' if dtype.kind in 'imM' else 'uint'}{8 * width}"


def why_no_cpu(name: str) -> str:
    """What to do where no device can, in a sentence."""
    return (
        f"The codec {name!r} has no decoder and no encoder on the CPU, as its streams are "
        f"nvCOMP's own: use the array on a GPU, through gpuzarr.open(..., device='cuda') or within "
        f"gpuzarr.enable(device='cuda'), and trusted."
    )


@dataclass(frozen=True)
class NativeCodec(BytesBytesCodec):
    """What these codecs of zarr's share: a configuration.

    Parameters
    ----------
    blocksize
        Decoded bytes of one stream, a multiple of 16 from 256 on.

    Raises
    ------
    MetadataError
        If a value is not allowed.
    UnsupportedError
        If zarr-python is to decode or encode by itself.
    """

    name: ClassVar[str]
    largest: ClassVar[int] = 1 << 24
    algorithms: ClassVar[int] = 1
    is_fixed_size = False

    blocksize: int = 1 << 16

    def __post_init__(self) -> None:
        size, allowed = self.blocksize, f"a multiple of {_GRAIN} from {_LEAST} to {self.largest}"
        if not _is_integer(size) or not _LEAST <= size <= self.largest or size % _GRAIN:
            raise self._wrong("blocksize", allowed, size)
        algorithm = getattr(self, "algorithm", 0)
        if not _is_integer(algorithm) or not 0 <= algorithm < self.algorithms:
            raise self._wrong("algorithm", f"0 to {self.algorithms - 1}", algorithm)
        data_type = getattr(self, "data_type", None)
        if data_type is not None and data_type not in DATA_TYPES:
            raise self._wrong("data_type", f"one of {', '.join(DATA_TYPES)}", data_type)

    def _wrong(self, key: str, allowed: str, found: Any) -> MetadataError:
        return MetadataError(
            f"The codec {self.name!r} cannot be configured: expected {key!r} to be {allowed}, "
            f"found {found!r}."
        )

    @property
    def configuration(self) -> dict[str, Any]:
        """As it stands in metadata."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {key: value for key, value in given.items() if value is not None}

    @classmethod
    def configured(cls, configuration: dict[str, Any]) -> Self:
        """The codec of a configuration in metadata."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(configuration.keys() - known)
        if unknown:
            raise MetadataError(
                f"The codec {cls.name!r} cannot be configured: expected no keys but "
                f"{sorted(known)}, found {unknown}."
            )
        return cls(**configuration)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The codec that a metadata document names."""
        return cls.configured(dict(data.get("configuration") or {}))

    def to_dict(self) -> dict[str, Any]:
        """For a metadata document."""
        return {"name": self.name, "configuration": self.configuration}

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> Self:
        """The same for elements of the array, where it has elements and none were named."""
        if getattr(self, "data_type", "") is not None:
            return self
        return replace(self, data_type=data_type_of(array_spec.dtype.to_native_dtype()))  # type: ignore[call-arg]

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> NoReturn:
        """Depends on the data."""
        raise NotImplementedError

    async def _decode_single(self, chunk_data: Any, chunk_spec: ArraySpec) -> NoReturn:
        raise UnsupportedError(why_no_cpu(self.name))

    async def _encode_single(self, chunk_data: Any, chunk_spec: ArraySpec) -> NoReturn:
        raise UnsupportedError(why_no_cpu(self.name))


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True)
class GdeflateCodec(NativeCodec):
    """Deflate in an order that the lanes of a warp read side by side.

    ``{"name": "gpuzarr.gdeflate", "configuration": {"blocksize": 65536, "algorithm": 1}}``; a
    higher algorithm compresses more and takes longer.

    Format of the streams: https://github.com/microsoft/DirectStorage/tree/main/GDeflate
    """

    name: ClassVar[str] = "gpuzarr.gdeflate"
    largest: ClassVar[int] = 1 << 16
    algorithms: ClassVar[int] = 6

    algorithm: int = 1


@dataclass(frozen=True)
class BitcompCodec(NativeCodec):
    """Integers in as few bits as a run of them needs; lossless.

    ``{"name": "gpuzarr.bitcomp", "configuration": {"data_type": "uint32", "blocksize": 65536,
    "algorithm": 0}}``; algorithm 1 is for data that is mostly zeros.
    """

    name: ClassVar[str] = "gpuzarr.bitcomp"
    algorithms: ClassVar[int] = 2

    data_type: str | None = None
    algorithm: int = 0


@dataclass(frozen=True)
class AnsCodec(NativeCodec):
    """Entropy coding of bytes (asymmetric numeral systems).

    ``{"name": "gpuzarr.ans", "configuration": {"blocksize": 65536}}``
    """

    name: ClassVar[str] = "gpuzarr.ans"


@dataclass(frozen=True)
class CascadedCodec(NativeCodec):
    """Run lengths, differences and bit packing of integers, one after the other.

    ``{"name": "gpuzarr.cascaded", "configuration": {"data_type": "int32", "blocksize": 65536}}``
    """

    name: ClassVar[str] = "gpuzarr.cascaded"

    data_type: str | None = None


class NativeNumcodec(Codec):  # type: ignore[misc]
    """The same for numcodecs, and so for Zarr v2: an ``id`` and the configuration beside it."""

    codec_id: ClassVar[str]
    kind: ClassVar[type[NativeCodec]]

    def __init_subclass__(cls, kind: type[NativeCodec]) -> None:
        cls.kind, cls.codec_id = kind, kind.name

    def __init__(self, **configuration: Any) -> None:
        self.configuration = self.kind.configured(configuration).configuration

    def get_config(self) -> dict[str, Any]:
        """As it stands in metadata."""
        return {"id": self.codec_id, **self.configuration}

    def encode(self, buf: Any) -> NoReturn:
        """Tell what to do."""
        raise UnsupportedError(why_no_cpu(self.codec_id))

    def decode(self, buf: Any, out: Any = None) -> NoReturn:
        """Tell what to do."""
        raise UnsupportedError(why_no_cpu(self.codec_id))

    def __repr__(self) -> str:
        given = ", ".join(f"{key}={value!r}" for key, value in self.configuration.items())
        return f"{type(self).__name__}({given})"


class Gdeflate(NativeNumcodec, kind=GdeflateCodec):
    """``{"id": "gpuzarr.gdeflate", "blocksize": 65536, "algorithm": 1}``"""


class Bitcomp(NativeNumcodec, kind=BitcompCodec):
    """``{"id": "gpuzarr.bitcomp", "blocksize": 65536, "algorithm": 0}``

    Without a `data_type` it is that of the elements that are encoded.
    """


class Ans(NativeNumcodec, kind=AnsCodec):
    """``{"id": "gpuzarr.ans", "blocksize": 65536}``"""


class Cascaded(NativeNumcodec, kind=CascadedCodec):
    """``{"id": "gpuzarr.cascaded", "blocksize": 65536}``

    Without a `data_type` it is that of the elements that are encoded.
    """


def register() -> None:
    """Make them known to zarr-python and numcodecs, in a process where no entry point does."""
    for numcodec in (Gdeflate, Bitcomp, Ans, Cascaded):
        register_codec(numcodec.codec_id, numcodec.kind)
        numcodecs.register_codec(numcodec)
