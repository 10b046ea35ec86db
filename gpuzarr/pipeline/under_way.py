"""Objects on their way into stores."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from gpuzarr import runtime
from gpuzarr.report import WriteReport
from gpuzarr.sources import Storing


class UnderWay:
    """Objects on their way into stores, no more than the store wants at once."""

    def __init__(self, stop: runtime.Stop) -> None:
        self._stop, self._lock = stop, threading.Lock()
        self._storing: deque[tuple[Storing, int]] = deque()
        self._objects = 0

    def add(self, storing: Storing, objects: int, ahead: int) -> None:
        """Have it waited for, now or later."""
        self._stop.watch(storing)
        with self._lock:
            self._storing.append((storing, objects))
            self._objects += objects
        self._wait(ahead)

    def finish(self) -> None:
        """Wait for all."""
        self._wait(0)

    def _wait(self, left: int) -> None:
        while True:
            with self._lock:
                if not self._storing or self._objects <= left:
                    return
                storing, objects = self._storing.popleft()
                self._objects -= objects
            storing.result()
            self._stop.forget(storing)

    def give_up(self) -> None:
        """Cancel what has not been sent, and wait for the rest."""
        for storing, _ in self._storing:
            storing.cancel()
        for storing, _ in self._storing:
            with suppress(BaseException):
                storing.result()


def tell_what_is_written(error: BaseException, reports: Sequence[WriteReport]) -> None:
    """Add to an error which objects are stored, in a note and as its attribute `written`."""
    written = [key for report in reports for key in report.written]
    error.written = written  # type: ignore[attr-defined]
    if not written:
        error.add_note("Nothing was written.")
        return
    names = ", ".join(map(repr, written[:10])) + (", …" if len(written) > 10 else "")
    error.add_note(f"{len(written)} stored objects were written before: {names}.")
