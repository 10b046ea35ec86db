"""What can go wrong, and what each error also is.

Every error is a :class:`GpuzarrError` and, at the same time, the type that zarr-python or Python
itself raises in that case, so that code written for them keeps working::

    GpuzarrError
    ├── SelectionError        IndexError     an index that the array does not have or understand
    ├── OutputError           ValueError     an `out=` of the wrong shape, dtype or memory
    ├── ValueFitError         ValueError     a value that does not fit what it is written to
    ├── ReadOnlyError         ValueError     writing to what was opened for reading
    ├── MetadataError         ValueError     a metadata document that cannot be read
    │   └── UnknownCodecError zarr's UnknownCodecError
    ├── NodeNotFoundError     zarr's ArrayNotFoundError, GroupNotFoundError; KeyError
    ├── DeviceError           RuntimeError   a device that is unknown or not there
    │   ├── DeviceMemoryError MemoryError    a device without enough free memory
    │   └── KernelFaultError  of `device.emulator`: a kernel that broke a rule
    ├── UnsupportedError      NotImplementedError
    ├── PickleDisabledError   zarr's PickleCodecDisabledError
    ├── StoreError            OSError        a store that fails to deliver, or to take
    └── ChunkError            ValueError     one chunk; names array, chunk, stage, device
        ├── CorruptChunkError     bytes that break the rules of their format
        ├── ChecksumError         a checksum that does not match
        ├── ChunkSizeError        a decoded size other than the chunk's
        ├── ShardIndexError       an index entry that points outside its shard
        └── EncodingError         a chunk that its codec refuses to encode
"""

from __future__ import annotations

import re
from typing import Any

from zarr import errors as zarr_errors
from zarr.errors import ArrayNotFoundError, GroupNotFoundError, PickleCodecDisabledError

try:
    from numcodecs.errors import UnsafeDecodeError as _UnsafeDecodeError
except ImportError:  # before numcodecs 0.17.1
    _UnsafeDecodeError = RuntimeError


class GpuzarrError(Exception):
    """The root of every error that gpuzarr raises on purpose."""


class SelectionError(GpuzarrError, IndexError):
    """An index that is out of bounds, or of a kind that the array does not take."""


class OutputError(GpuzarrError, ValueError):
    """A read target whose shape, dtype or memory does not fit the selection."""


class ValueFitError(GpuzarrError, ValueError):
    """A value whose shape or dtype does not fit the selection it is written to."""


class ReadOnlyError(GpuzarrError, ValueError):
    """Writing to an array that was opened for reading, or whose store takes no writes."""


class MetadataError(GpuzarrError, ValueError):
    """A metadata document that is not a Zarr array or group."""


class UnknownCodecError(MetadataError, zarr_errors.UnknownCodecError):
    """A codec that neither zarr-python nor numcodecs has under this name."""


class NodeNotFoundError(GpuzarrError, ArrayNotFoundError, GroupNotFoundError, KeyError):
    """No array or group where one was asked for."""


class DeviceError(GpuzarrError, RuntimeError):
    """A device that is not known, or not available on this machine."""


class DeviceMemoryError(DeviceError, MemoryError):
    """A device that has not as much free memory as the smallest part of a read needs."""


class UnsupportedError(GpuzarrError, NotImplementedError):
    """Something that the Zarr world has and gpuzarr does not do."""


class PickleDisabledError(GpuzarrError, PickleCodecDisabledError, _UnsafeDecodeError):  # type: ignore[misc]
    """Pickled data, which is not decoded unless the caller allows it."""


class StoreError(GpuzarrError, OSError):
    """A store that failed to deliver bytes (absent bytes are no error), or to take them."""


class StreamError(GpuzarrError, ValueError):
    """A device's or codec's verdict on one stream of a batch, before it has a name.

    Parameters
    ----------
    slot
        Position of the stream in its batch.
    reason
        What was expected and what was found, as a clause.
    kind
        The `ChunkError` class that it becomes once array and chunk are known.
    """

    def __init__(self, slot: int, reason: str, kind: type[ChunkError] | None = None) -> None:
        super().__init__(reason)
        self.slot = slot
        self.reason = reason
        self.kind = kind or CorruptChunkError

    @classmethod
    def refused(cls, slot: int, wanted: str, error: Exception) -> StreamError:
        """What a library says of a stream; its words tell a checksum from other damage."""
        words = words_of(error)
        is_checksum = any(sign in words.lower() for sign in _CHECKSUM_SIGNS)
        kind = ChecksumError if is_checksum else CorruptChunkError
        return cls(slot, f"expected {wanted}, found: {words}", kind)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.slot, self.reason, self.kind)


class SizeError(ValueError):
    """A decoder's verdict on a valid stream of another size than its chunk, in words."""


_CHECKSUM_SIGNS = ("checksum", "crc check", "incorrect data check")
"""Of zstd and numcodecs, of gzip, and of zlib."""


class ChunkError(GpuzarrError, ValueError):
    """One chunk could not be decoded, or encoded.

    Attributes
    ----------
    array, chunk, stage, device
        Path of the array, store key of the chunk, name of the codec's stage and of the device.
    reason
        What was expected and what was found.
    verb
        "read" or "written".
    """

    def __init__(
        self, reason: str, *, array: str, chunk: str, stage: str, device: str, verb: str = "read"
    ) -> None:
        super().__init__(
            f"Chunk {chunk!r} of array {array!r} cannot be {verb}: {reason} "
            f"(stage {stage!r}, device {device!r})."
        )
        self.verb = verb
        self.reason = reason
        self.array = array
        self.chunk = chunk
        self.stage = stage
        self.device = device

    def __reduce__(self) -> tuple[Any, ...]:
        named = {name: getattr(self, name) for name in _NAMES}
        return _rebuild, (type(self), self.reason, named)


class CorruptChunkError(ChunkError):
    """The bytes of a chunk break the rules of their format."""


class ChecksumError(ChunkError):
    """A stored checksum differs from the one computed over the bytes read."""


class ChunkSizeError(ChunkError):
    """A chunk decoded to a number of bytes other than its shape and dtype ask for."""


class ShardIndexError(ChunkError):
    """A shard's index is damaged, or one of its entries points outside the shard."""


class EncodingError(ChunkError):
    """A chunk that its codec refuses to encode; nothing of it is stored."""


def words_of(error: BaseException) -> str:
    """What a foreign error says, for use within a sentence."""
    text = " ".join(str(getattr(error, "strerror", None) or error).split()).rstrip(".: ")
    text = re.sub(r"\. ([A-Z])", lambda start: f"; {start[1].lower()}", text)
    return text or type(error).__name__


def named(error: BaseException) -> str:
    """The type of a foreign error and what it says, for use within a sentence."""
    name, words = type(error).__name__, words_of(error)
    return name if words == name else f"{name}: {words}"


_NAMES = ("array", "chunk", "stage", "device", "verb")


def _rebuild(cls: type[ChunkError], reason: str, named: dict[str, str]) -> ChunkError:
    return cls(reason, **named)
