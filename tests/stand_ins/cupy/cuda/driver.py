"""The driver's errors."""

from cupy._machine import CUDADriverError

__all__ = ["CUDADriverError"]
