"""SZIP as HDF5 stores it, for numcodecs: what NASA's EOS archives hold and kerchunk refers to.

numcodecs finds the class by an entry point, where it has none of that id itself. libaec does the
work, which imagecodecs brings.
"""

from __future__ import annotations

import importlib.util
from typing import Any, ClassVar

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_bytes, ensure_contiguous_ndarray
from numcodecs.registry import codec_registry, register_codec
from numpy.typing import NDArray

from gpuzarr.errors import MetadataError, UnsupportedError

SIZE_NBYTES = 4
_MOST_PER_BLOCK, _MOST_BLOCKS = 32, 128
_IN_PLANES = (32, 64)
"""Bits of pixels that are coded as bytes, all first ones before all second ones."""

_MOST_RATIO = 1 << 14
"""Twice what a byte may stand for: 64 blocks of zeros, of 32 pixels of 4 bytes."""


class Hdf5Szip(Codec):  # type: ignore[misc]
    """The decoded size as little-endian u32, then one stream of SZIP (CCSDS 121.0).

    ``{"id": "hdf5_szip", "mask": 141, "bits_per_pixel": 16, "pixels_per_block": 32,
    "pixels_per_scanline": 256}``: the parameters of the HDF5 filter. A declared size of 0 means
    that the bytes behind it are stored as they are.

    Parameters
    ----------
    mask
        Options; 16 says big-endian pixels and 32 that neighbours are predicted from each other,
        all others are without effect.
    bits_per_pixel
        1 to 24, 32 or 64. Pixels of 32 and 64 bits are coded byte plane by byte plane.
    pixels_per_block
        Even, up to 32.
    pixels_per_scanline
        From `pixels_per_block` to 128 times that.

    Raises
    ------
    MetadataError
        If a parameter is not allowed.
    UnsupportedError
        If imagecodecs is not installed, and bytes are to be decoded or encoded.

    Notes
    -----
    Formats: https://github.com/HDFGroup/hdf5/blob/develop/src/H5Zszip.c,
    https://github.com/zarr-developers/numcodecs/pull/422
    """

    codec_id: ClassVar[str] = "hdf5_szip"

    def __init__(
        self, mask: int, bits_per_pixel: int, pixels_per_block: int, pixels_per_scanline: int
    ) -> None:
        _check("bits_per_pixel", bits_per_pixel, (*range(1, 25), 32, 64), "1 to 24, 32 or 64")
        blocks = range(2, _MOST_PER_BLOCK + 1, 2)
        _check("pixels_per_block", pixels_per_block, blocks, f"even, 2 to {_MOST_PER_BLOCK}")
        longest = pixels_per_block * _MOST_BLOCKS
        lines = range(pixels_per_block, longest + 1)
        allowed = f"{pixels_per_block} to {longest}"
        _check("pixels_per_scanline", pixels_per_scanline, lines, allowed)
        _check("mask", mask, range(256), "0 to 255")
        self.mask = mask
        self.bits_per_pixel = bits_per_pixel
        self.pixels_per_block = pixels_per_block
        self.pixels_per_scanline = pixels_per_scanline

    def decode(self, buf: Any, out: Any = None) -> NDArray[np.uint8]:
        """Decode one chunk to bytes.

        Raises
        ------
        ValueError
            If there is no size, or the stream does not decode to it.
        """
        data = np.frombuffer(ensure_bytes(buf), np.uint8)
        declared, stream = declared_size(data), data[SIZE_NBYTES:]
        is_stored = not data[:SIZE_NBYTES].any()
        result = stream if is_stored else self._decoded(stream, declared)
        if out is None:
            return result
        target: NDArray[np.uint8] = ensure_contiguous_ndarray(out).view(np.uint8)
        if len(target) != declared:
            raise ValueError(f"expected {len(target)} bytes, found {declared} declared")
        target[:] = result
        return target

    def _decoded(self, stream: NDArray[np.uint8], nbytes: int) -> NDArray[np.uint8]:
        """What `nbytes` bytes were encoded to.

        libaec's own handling of scanlines with padding, and of byte planes, does not tell a stream
        that ends too early. So it is asked for the padded planes, and the rest is done here.
        """
        bits = self.bits_per_pixel
        planes = bits // 8 if bits in _IN_PLANES else 1
        bits = 8 if planes > 1 else bits
        width = 1 if bits <= 8 else 2 if bits <= 16 else 4
        if nbytes % (planes * width) or nbytes > len(stream) * _MOST_RATIO:
            raise ValueError(
                f"expected a size that {len(stream)} bytes of {self.bits_per_pixel} bits a pixel "
                f"can decode to, found {nbytes} declared"
            )
        line = self.pixels_per_scanline * width
        padded = -(-self.pixels_per_scanline // self.pixels_per_block) * self.pixels_per_block
        padded_line = padded * width
        whole, rest = divmod(nbytes, line)
        memory = np.empty(-(-nbytes // line) * padded_line if padded_line > line else nbytes, "u1")
        options = {**self._options(), "bits_per_pixel": bits, "pixels_per_scanline": padded}
        found = len(libaec().szip_decode(stream.tobytes(), **options, out=memory))
        needed = whole * padded_line + rest if rest else max(whole - 1, 0) * padded_line + line
        if found < needed:
            raise ValueError(f"expected a stream of {nbytes} decoded bytes, found one that ends")
        pixels = memory
        if padded_line > line:
            pixels = memory.reshape(-1, padded_line)[:, :line].reshape(-1)[:nbytes]
        return np.ascontiguousarray(pixels.reshape(planes, -1).T).reshape(-1)

    def encode(self, buf: Any) -> bytes:
        """Encode one chunk, as HDF5 would store it."""
        data = ensure_contiguous_ndarray(buf).view(np.uint8).tobytes()
        encoded: bytes = libaec().szip_encode(data, **self._options(), header=True)
        return encoded

    def _options(self) -> dict[str, int]:
        return {
            "options_mask": self.mask,
            "pixels_per_block": self.pixels_per_block,
            "bits_per_pixel": self.bits_per_pixel,
            "pixels_per_scanline": self.pixels_per_scanline,
        }


def declared_size(data: NDArray[np.uint8]) -> int:
    """Bytes that a chunk says it decodes to.

    Raises
    ------
    ValueError
        If it is too short to say so.
    """
    if len(data) < SIZE_NBYTES:
        raise ValueError(f"expected a decoded size of {SIZE_NBYTES} bytes, found {len(data)} bytes")
    return int(data[:SIZE_NBYTES].view("<u4")[0]) or len(data) - SIZE_NBYTES


def _check(key: str, found: Any, allowed: Any, words: str) -> None:
    if not isinstance(found, int) or isinstance(found, bool) or found not in allowed:
        raise MetadataError(
            f"The codec 'hdf5_szip' cannot be configured: expected {key!r} to be {words}, "
            f"found {found!r}."
        )


def why_not() -> str | None:
    """Why nothing can be decoded here; None where it can."""
    if importlib.util.find_spec("imagecodecs") is not None:
        return None
    return "it needs imagecodecs, which brings libaec: install gpuzarr[szip]"


def libaec() -> Any:
    """imagecodecs.

    Raises
    ------
    UnsupportedError
        If it is not installed.
    """
    reason = why_not()
    if reason is not None:
        raise UnsupportedError(f"The codec 'hdf5_szip' cannot be used: {reason}.")
    import imagecodecs

    return imagecodecs


def register() -> None:
    """Make it known to numcodecs, unless that has one of this id."""
    if Hdf5Szip.codec_id not in codec_registry:
        register_codec(Hdf5Szip)
