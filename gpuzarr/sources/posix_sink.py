"""Local files: each is written beside its place and then renamed, so that the old one stays whole
until the new one is."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gpuzarr.batch import MISSING, Batch
from gpuzarr.errors import StoreError, words_of

_FLAGS = (
    os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)
_MODE = 0o666  # less what the umask takes away, as for any file that Python opens


@dataclass
class Stored:
    """Objects that are stored already, up to the first that failed."""

    failure: Exception | None = None

    def result(self) -> None:
        """Nothing, or what failed."""
        if self.failure is not None:
            raise self.failure

    def cancel(self) -> None:
        """Nothing is under way."""


class PosixSink:
    """The files below a directory."""

    name = "posix"
    requests_ahead = 0

    def __init__(self, root: str) -> None:
        self.root = root

    def put(self, keys: list[str], batch: Batch, written: list[str]) -> Stored:
        """Write at once, in this thread, straight from the arena."""
        arena, sizes = memoryview(batch.arena), batch.sizes.tolist()
        for key, start, size in zip(keys, batch.offsets.tolist(), sizes, strict=True):
            path = f"{self.root}/{key}"
            try:
                if size == MISSING:
                    _delete(path)
                else:
                    _write(path, arena[start : start + size])
            except OSError as error:
                return Stored(_failed(key, "deleted" if size == MISSING else "written", error))
            written.append(key)
        return Stored()


def _write(path: str, data: memoryview) -> None:
    # zarr's LocalStore names its partial files so, and who looks for left-overs knows the name
    partial = f"{path}.{os.urandom(16).hex()}.partial"
    try:
        fd = _opened(partial)
        try:
            while len(data):
                data = data[os.write(fd, data) :]
        finally:
            os.close(fd)
        Path(partial).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(partial).unlink()
        raise


def _opened(path: str) -> int:
    try:
        return os.open(path, _FLAGS, _MODE)
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, _FLAGS, _MODE)


def _delete(path: str) -> None:
    """As zarr's LocalStore: a directory goes with all that it holds."""
    try:
        Path(path).unlink()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError:
        # to unlink a directory is EISDIR or EPERM, as the system likes
        if not Path(path).is_dir():
            raise
        shutil.rmtree(path)


def _failed(key: str, deed: str, error: OSError) -> StoreError:
    failure = StoreError(f"The file of key {key!r} cannot be {deed}: {words_of(error)}.")
    failure.__cause__ = error
    return failure
