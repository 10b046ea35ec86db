"""How others read the same stores to the device; what is not here is said in words.

A peer is given a store and gives what reads all of it. Those that read to the host end with one
upload, as a program without gpuzarr does it.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr

import gpuzarr
from benchmarks.gpu.cells import AbsentError, Bench, Cell, check, spread
from benchmarks.gpu.machine import Gpu
from benchmarks.peers import through

Reader = Callable[[], Any]


def cells(name: str) -> list[Cell]:
    """The peers on one store, but for those of `late`."""
    return [Cell(f"peer/{peer}/{name}", partial(_measured, peer, name)) for peer in PEERS]


def late(names: tuple[str, ...]) -> list[Cell]:
    """czarr, whose import puts codecs of its own in zarr-python's registry for good."""
    return [Cell(f"peer/czarr/{name}", partial(_measured, "czarr", name)) for name in names]


def _measured(peer: str, name: str, bench: Bench) -> dict[str, Any]:
    opened = {**PEERS, "czarr": _czarr}[peer]
    needs = NEEDS.get(peer)
    if needs and importlib.util.find_spec(needs) is None:
        raise AbsentError(f"the package {needs} is not installed")
    if peer in ON_GPU and not isinstance(bench.machine, Gpu):
        raise AbsentError("it reads to an NVIDIA GPU only")
    store = bench.stores.get(name)
    try:
        with bench.machine.peak() as peak:
            read = opened(bench, store.path)
            result = read()
    except Exception as error:
        raise AbsentError(f"it cannot read this: {type(error).__name__}: {error}"[:400]) from error
    check(store.holds(bench.machine.host(result)), "the result differs from the source")
    del result
    times = spread(bench.times(read))
    return {
        **times,
        "bytes": store.nbytes,
        "ratio": store.nbytes / store.encoded,
        "GB_s": store.nbytes / times["median_s"] / 1e9,
        "peak_bytes": peak["bytes"],
        "gds": peer in ("kvikio GDSStore", "czarr") and bench.machine.gds[0],
    }


def _on_host(pipeline: str) -> Callable[[Bench, Path], Reader]:
    """zarr-python on the CPU with a codec pipeline, then one upload."""

    def opened(bench: Bench, path: Path) -> Reader:
        array = through(pipeline)(path)
        return lambda: bench.machine.upload(np.asarray(array[...]))

    return opened


def _tensorstore(bench: Bench, path: Path) -> Reader:
    import tensorstore

    driver = "zarr3" if (path / "zarr.json").exists() else "zarr"
    where = {"driver": "file", "path": str(path)}
    array = tensorstore.open({"driver": driver, "kvstore": where}).result()
    return lambda: bench.machine.upload(np.asarray(array.read().result()))


def _enable_gpu(bench: Bench, path: Path) -> Reader:
    """As zarr-python documents it; the configuration counts while it reads."""
    with zarr.config.enable_gpu():
        array = zarr.open_array(path, mode="r")

    def read() -> Any:
        with zarr.config.enable_gpu():
            return array[...]

    return read


def _gds_store(bench: Bench, path: Path) -> Reader:
    import kvikio.zarr

    with zarr.config.enable_gpu():
        array = zarr.open_array(kvikio.zarr.GDSStore(path), mode="r")

    def read() -> Any:
        with zarr.config.enable_gpu():
            return array[...]

    return read


def _czarr(bench: Bench, path: Path) -> Reader:
    import czarr

    if not (path / "zarr.json").exists():
        raise ValueError("it reads Zarr v3 only: " + json.dumps(path.name))
    array = czarr.open_cuda_array(str(path))
    return lambda: array[:]


def _on_cpu(bench: Bench, path: Path) -> Reader:
    """gpuzarr's own route over the CPU: what a device has to beat."""
    array = gpuzarr.open_array(path, device="cpu")
    return lambda: bench.machine.upload(array[...])


PEERS: dict[str, Callable[[Bench, Path], Reader]] = {
    "zarr enable_gpu": _enable_gpu,
    "gpuzarr cpu + upload": _on_cpu,
    "zarr cpu + upload": _on_host("zarr.core.codec_pipeline.FusedCodecPipeline"),
    "zarrs + upload": _on_host("zarrs.ZarrsCodecPipeline"),
    "tensorstore + upload": _tensorstore,
    "kvikio GDSStore": _gds_store,
}

NEEDS = {
    "zarrs + upload": "zarrs",
    "tensorstore + upload": "tensorstore",
    "kvikio GDSStore": "kvikio",
    "zarr enable_gpu": "cupy",
    "czarr": "czarr",
}

ON_GPU = ("zarr enable_gpu", "kvikio GDSStore", "czarr")
