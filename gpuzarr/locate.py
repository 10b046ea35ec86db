"""Locating: where the bytes of every inner chunk of a sharded read lie.

The question: given inner chunks, which range of which object holds each? The way: one
level of sharding after the other, the indexes of all shards needed are fetched and verified
together. The result: one `Extents` in the order of the chunks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from gpuzarr import device as devices
from gpuzarr.batch import MISSING, Batch, Scratch
from gpuzarr.codecs.chain import StageError
from gpuzarr.codecs.preparing import chain_of
from gpuzarr.config import config
from gpuzarr.errors import ShardIndexError, StreamError
from gpuzarr.plan import distinct
from gpuzarr.report import Indexes, Tally, timed
from gpuzarr.runtime import Stop
from gpuzarr.shards import Extents, index_extents, index_table, refine
from gpuzarr.sources import Source
from gpuzarr.spec import ShardLevel, Spec

Ints = NDArray[np.int64]


def locate(
    spec: Spec, chunks: Ints, source: Source, report: Indexes, stop: Stop
) -> tuple[Extents, NDArray[np.bool_]]:
    """Where inner chunks ``[n, ndim]`` lie, and for each whether its stored object exists.

    One level of sharding after the other: the indexes of all shards that are needed are fetched
    and verified together, and give the extents of what is inside them.
    """
    per_node = [np.array(spec.chunks_per_outer)]
    for level in spec.levels:
        per_node.append(per_node[-1] // level.chunks_per_shard)
    shards, shard_of = distinct(chunks // per_node[0])
    extents = Extents.whole(spec.keys(shards))
    for level, size in zip(spec.levels, per_node[1:], strict=True):
        nodes = chunks // size
        if (size != 1).any():
            nodes, node_of = distinct(nodes)
            first = np.zeros(len(nodes), np.int64)
            first[node_of[::-1]] = np.arange(len(chunks))[::-1]
            parent = shard_of[first]
        else:
            parent, node_of = shard_of, np.arange(len(chunks))
        inner = nodes % np.array(level.chunks_per_shard, np.int64)
        table, present = _indexes(spec, level, extents, source, report, stop)
        if level is spec.levels[0]:
            exists = present[shard_of]
        with _naming(spec, extents):
            extents = refine(extents, level, table, present, parent, inner)
        shard_of = node_of
    return extents, exists


def _indexes(
    spec: Spec,
    level: ShardLevel,
    shards: Extents,
    source: Source,
    report: Indexes,
    stop: Stop,
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Decoded indexes of the shards that exist, ``[n, …, 2]``, and which ones do."""
    with _naming(spec, shards):
        wanted = index_extents(shards, level)
    chain, tally = chain_of(level.index), Tally()
    step = max(1, 4 * int(config.get("concurrency")))
    ranges = [np.arange(a, min(a + step, len(shards))) for a in range(0, len(shards), step)]
    fetches = [source.start(wanted.take(rows), index=True) for rows in ranges]
    tables, present = [], np.zeros(len(shards), bool)
    try:
        for fetch in fetches:
            stop.watch(fetch)
        for rows, fetch in zip(ranges, fetches, strict=True):
            with Scratch.lent() as scratch:
                batch = timed(tally, "fetch", fetch.result, scratch)
                present[rows] = batch.sizes != MISSING
                batch, rows = batch.take(present[rows]), rows[present[rows]]
                tally.bytes_read += int(batch.sizes.sum())
                with _naming(spec, shards.take(rows)):
                    check_extents(batch, wanted.nbytes[rows])
                    # small, and what follows from them is planned on the host
                    index = chain.decode(batch, None, devices.host(), scratch, tally.seconds)
                    tables.append(index_table(index, chain.layout))
    finally:
        for fetch in fetches:
            fetch.cancel()
            stop.forget(fetch)
    report.add_index(tally)
    return np.concatenate(tables), present


@contextmanager
def _naming(spec: Spec, shards: Extents) -> Iterator[None]:
    """Give errors of single shards their names."""
    stage = "shard index"
    try:
        try:
            yield
        except StageError as error:
            stage = f"shard index, {error.stage}"
            raise error.error from error
    except StreamError as error:
        key = shards.keys[int(shards.resource[error.slot])]
        raise error.kind(
            error.reason, array=spec.name, chunk=key, stage=stage, device="cpu"
        ) from error


def check_streams(spec: Spec, extents: Extents, streams: Batch) -> None:
    """`check_extents`; the error names the stored object.

    Raises
    ------
    ShardIndexError
        For the first stream that is shorter than its extent.
    """
    with _naming(spec, extents):
        check_extents(streams, extents.nbytes)


def check_extents(batch: Batch, expected: Ints) -> None:
    """A stream shorter than its extent means an index that points outside its shard."""
    short = np.flatnonzero((expected >= 0) & (batch.sizes != expected))
    if len(short):
        slot = int(short[0])
        raise StreamError(
            slot,
            f"expected {int(expected[slot])} bytes inside the shard, found "
            f"{int(batch.sizes[slot])} before its end",
            ShardIndexError,
        )
