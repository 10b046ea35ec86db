"""Runs the waves of a read or a write on threads.

The caller's thread works too, so a read by one thread has no hand-over at all, and a pool that
others keep busy can never block it. The first error, or Ctrl-C, stops the rest at their next
wave. The pool is remade in a forked child.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Protocol

from gpuzarr.config import config

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_callers: ThreadPoolExecutor | None = None
_MOST_CALLERS = 1024


def _reset_after_fork() -> None:
    global _pool, _callers, _lock
    _pool, _callers, _lock = None, None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


def thread_limit() -> int:
    """Most threads that one read may use: `config.threads`, or the processors we may run on."""
    limit = config.get("threads")
    if limit is None:
        return processors()
    if not isinstance(limit, int) or limit < 1:
        raise ValueError(f"The option 'threads' must be a positive integer or None, not {limit!r}.")
    return limit


def processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _helpers() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            workers = max(thread_limit(), os.cpu_count() or 1)
            _pool = ThreadPoolExecutor(workers, thread_name_prefix="gpuzarr")
        return _pool


def in_background[**P, R](work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
    """Begin work on a thread of our own; what it gives, or raises, waits in the future."""
    call = partial(contextvars.copy_context().run, work, *args, **kwargs)
    return _callers_pool().submit(call)


async def in_thread[**P, R](work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """`asyncio.to_thread`, on threads of our own.

    Many stores run their requests on the threads of the event loop; work that waits for these
    requests must not take those threads from them.
    """
    return await asyncio.wrap_future(in_background(work, *args, **kwargs))


def _callers_pool() -> ThreadPoolExecutor:
    global _callers
    with _lock:
        if _callers is None:
            _callers = ThreadPoolExecutor(_MOST_CALLERS, thread_name_prefix="gpuzarr-call")
        return _callers


class Cancellable(Protocol):
    """Something under way, that may be waited for."""

    def cancel(self) -> None:
        """Give it up, and wake who waits for it."""


class Stop:
    """Asks the threads of a read to end at their next wave, and wakes those that wait for I/O."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._watched: dict[int, Cancellable] = {}

    def set(self) -> None:
        """End the read."""
        self._event.set()
        for work in list(self._watched.values()):
            work.cancel()

    def watch(self, work: Cancellable) -> None:
        """Cancel this when the read is to end, at once if it is already."""
        self._watched[id(work)] = work
        if self.is_set():
            work.cancel()

    def forget(self, work: Cancellable) -> None:
        """It has ended."""
        self._watched.pop(id(work), None)

    def is_set(self) -> bool:
        """Whether the read shall end."""
        return self._event.is_set()


def run[T](work: Callable[[T], None], items: Iterable[T], threads: int, stop: Stop) -> None:
    """Call `work` on every item, on this many threads of which the caller's is one.

    Raises
    ------
    BaseException
        What `work` raised first in the caller's thread, else in another, once all have ended.
    CancelledError
        If `stop` was set from outside.
    """
    source, taking, end = iter(items), threading.Lock(), object()

    def drain() -> None:
        try:
            while not stop.is_set():
                with taking:
                    item = next(source, end)
                if item is end:
                    return
                work(item)  # type: ignore[arg-type]
        except BaseException:
            stop.set()
            raise

    helpers = [_helpers().submit(contextvars.copy_context().run, drain) for _ in range(threads - 1)]
    failures: list[BaseException | None] = []
    try:
        drain()
    except CancelledError as error:
        failures.append(error)
    finally:
        for helper in helpers:
            helper.cancel()
        try:
            wait(helpers)
        except BaseException:
            stop.set()
            wait(helpers)
            raise
    failures += [h.exception() for h in helpers if not h.cancelled()]
    # A thread that was woken from its I/O says only that it was cancelled: it is not the cause.
    for failure in sorted(filter(None, failures), key=lambda f: isinstance(f, CancelledError)):
        raise failure
    if stop.is_set():
        raise CancelledError("The read or write was cancelled.")
