"""Which chunks went through gpuzarr, and which through zarr-python's own machinery?

A pytest plugin for zarr-python's tests, loaded by `run.py`. It counts the chunks that gpuzarr's
pipeline class is handed, and, of those, the ones that enter zarr's pipelines or its sharding codec.
A test in which more entered than gpuzarr itself counted as elsewhere is a violation. What a test
does with zarr's classes directly is no call to gpuzarr; a ContextVar, which follows the work into
tasks and into threads that copy the context, tells the two apart.
"""

import functools
import importlib
import inspect
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import pytest
import zarr.registry
from zarr.codecs.sharding import ShardingCodec
from zarr.core import chunk_utils, codec_pipeline

CLASS = os.environ["ZARR_CODEC_PIPELINE__PATH"]
OUT = Path(os.environ["GPUZARR_UPSTREAM_OUT"])
FACE = ["read", "write"]
WAYS = ("decode", "encode")
BATCHES = [*FACE, *WAYS, "read_sync", "write_sync", "read_batch", "write_batch"]
BATCHES += [f"{way}{part}_batch" for way in WAYS for part in ("", "_partial")]
SINGLES = [f"_{way}{part}_{how}" for way in WAYS for part in ("", "_partial")
           for how in ("single", "sync")]  # fmt: skip

# In chunks, that is the items of the batches that a pipeline is handed.
handed: Counter[str] = Counter()  # to gpuzarr's class, by method
entered: Counter[str] = Counter()  # … and then zarr's machinery, by test
entered_native: Counter[str] = Counter()  # … out of gpuzarr's main path
strays: Counter[str] = Counter()  # zarr's pipelines though gpuzarr's is configured, by test
violations: dict[str, tuple[int, int]] = {}  # by test: entered, announced as elsewhere
_lock = Lock()


class _Where(NamedTuple):
    """What the running code works for."""

    call: Counter[str] | None = None  # to gpuzarr: how many chunks zarr decoded and encoded
    is_native: bool = False
    in_zarr: bool = False


_where = ContextVar("where", default=_Where())  # noqa: B039, a NamedTuple does not change


def _test() -> str:
    return os.environ.get("PYTEST_CURRENT_TEST", "outside tests").rsplit(" (", 1)[0]


def _is_configured() -> bool:
    return bool(zarr.config.get("codec_pipeline.path") == CLASS)


@contextmanager
def _called(name: str, chunks: int, is_native: bool = False) -> Iterator[None]:
    """Around gpuzarr's class, and around its main path, which belongs to the class's call."""
    outer = _where.get().call if is_native else None
    call: Counter[str] = Counter() if outer is None else outer
    token = _where.set(_Where(call, is_native))
    try:
        yield
    finally:
        _where.reset(token)
        with _lock:
            handed[name] += 0 if is_native else chunks
            if outer is None and call:  # a chunk decoded, changed and encoded has entered once
                entered[_test()] += max(call.values())


@contextmanager
def _entered(name: str, chunks: int) -> Iterator[None]:
    """Around what is zarr's own; only its outermost frame counts."""
    here = _where.get()
    token = _where.set(here._replace(in_zarr=True))
    with _lock:
        if here.call is not None and not here.in_zarr:
            here.call["encode" if "write" in name or "encode" in name else "decode"] += chunks
            if here.is_native:
                entered_native[_test()] += chunks
        elif name in BATCHES and not here.in_zarr and _is_configured():
            strays[_test()] += chunks
    try:
        yield
    finally:
        _where.reset(token)


def _wrap(owner: Any, names: list[str], around: Callable[..., Any], is_batch: bool = True) -> None:
    """Replace functions of a class or module; the second argument of some holds the items."""
    for name in names:
        if original := getattr(owner, name, None):
            setattr(owner, name, _wrapped(original, functools.partial(around, name), is_batch))


def _wrapped(original: Any, around: Callable[[int], Any], is_batch: bool) -> Any:
    def begin(args: list[Any]) -> Any:
        if is_batch and len(args) > 1:
            args[1] = list(args[1])  # it may be an iterator
        return around(len(args[1]) if is_batch and len(args) > 1 else 1)

    def plain(*args: Any, **kwargs: Any) -> Any:
        with begin(given := list(args)):
            return original(*given, **kwargs)

    async def awaited(*args: Any, **kwargs: Any) -> Any:
        with begin(given := list(args)):
            return await original(*given, **kwargs)

    return functools.wraps(original)(awaited if inspect.iscoroutinefunction(original) else plain)


def _counts() -> dict[str, Any]:
    return importlib.import_module("gpuzarr.pipeline").counts()  # type: ignore[no-any-return]


def pytest_configure() -> None:
    """Wrap zarr's before gpuzarr is imported, which may import zarr's by name."""
    for pipeline in (codec_pipeline.BatchedCodecPipeline, codec_pipeline.FusedCodecPipeline):
        _wrap(pipeline, BATCHES, _entered)
    _wrap(codec_pipeline, ["_async_read_fallback", "_async_write_fallback"], _entered)
    for transform in (chunk_utils.ChunkTransform, codec_pipeline.AsyncChunkTransform):
        _wrap(transform, ["decode_chunk", "encode_chunk"], _entered, is_batch=False)
    _wrap(ShardingCodec, SINGLES, _entered, is_batch=False)
    # by its entry point, which processes that zarr's tests spawn rely on
    _wrap(zarr.registry.get_pipeline_class(), FACE, _called)
    native = functools.partial(_called, is_native=True)
    _wrap(importlib.import_module("gpuzarr.pipeline"), FACE, native, is_batch=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Hold what entered during one test against what gpuzarr announced meanwhile."""
    before, announced = entered.total(), -sum(_counts()["elsewhere"].values())
    try:
        return (yield)
    finally:
        announced += sum(_counts()["elsewhere"].values())
        if entered.total() - before > announced:
            violations[item.nodeid] = (entered.total() - before, announced)


def pytest_sessionfinish() -> None:
    """Leave a file for each process that ran tests."""
    sums = {"handed": handed, "entered": entered, "entered_native": entered_native,
            "strays": strays, "violations": violations, "counts": _counts()}  # fmt: skip
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    (OUT / f"counts-{worker}.json").write_text(json.dumps(sums))
