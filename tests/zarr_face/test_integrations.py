"""xarray, dask and anndata under `enable`: the same files and data as under zarr's default."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from harness import assert_same

import gpuzarr
from gpuzarr import pipeline
from gpuzarr.device import emulator_build

pytestmark = [
    pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning"),
    pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning"),
    pytest.mark.filterwarnings("ignore:Consolidated metadata:UserWarning"),
]


DEVICES = ["cpu", *(["emulated"] if emulator_build.is_available() else [])]


@contextmanager
def through_gpuzarr(*kinds: str, device: str = "cpu") -> Iterator[None]:
    """Under `enable`, and every chunk of these kinds (``read``, ``written``) through gpuzarr."""
    before = pipeline.counts()
    with gpuzarr.enable(device):
        yield
    after = pipeline.counts()
    assert after["elsewhere"] == before["elsewhere"]
    for kind in kinds:
        assert after[kind] > before[kind]


def files(folder: Path) -> dict[str, bytes]:
    """All that is in a folder."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def both(tmp_path: Path, write: Callable[[Path], Any]) -> tuple[Path, Path]:
    """Written through gpuzarr and under zarr's default: the same files, byte by byte."""
    write(tmp_path / "theirs")
    theirs = files(tmp_path / "theirs")
    for device in DEVICES:
        with through_gpuzarr("written", device=device):
            write(tmp_path / device)
        ours = files(tmp_path / device)
        assert ours.keys() == theirs.keys()
        assert [key for key in ours if ours[key] != theirs[key]] == []
    return tmp_path / "cpu", tmp_path / "theirs"


# xarray -------------------------------------------------------------------------------------------

xr: Any = pytest.importorskip("xarray")


def dataset(days: int, first: int = 0) -> Any:
    """Numbers, packed numbers, strings and times."""
    times = np.datetime64("2000-01-01", "ns") + np.arange(first, first + days) * np.timedelta64(
        1, "D"
    )
    rng = np.random.default_rng(first)
    return xr.Dataset(
        {
            "t": (("time", "x"), rng.normal(size=(days, 6)).astype("f4")),
            "gappy": (("time", "x"), np.where(rng.random((days, 6)) < 0.3, np.nan, 1.5)),
            "label": ("x", np.array(list("abcdef"))),
        },
        {"time": times, "x": np.arange(6) * 0.5},
    )


@pytest.mark.parametrize("version", [2, 3])
def test_xarray_writes_appends_and_replaces_regions(tmp_path: Path, version: int) -> None:
    encoding: Any = {
        "t": {"chunks": (4, 3), "dtype": "i2", "scale_factor": 0.01, "_FillValue": -1},
        "gappy": {"chunks": (3, 6)},
    }

    def write(path: Path) -> None:
        dataset(10).to_zarr(path, zarr_format=version, encoding=encoding)
        dataset(5, 10).to_zarr(path, append_dim="time")
        patch = dataset(8, 100).drop_vars(["time", "x", "label"])
        patch.to_zarr(path, region={"time": slice(4, 12)})

    ours, _ = both(tmp_path, write)
    for chunks in (None, {}):
        expected = xr.open_zarr(ours, chunks=chunks).load()
        assert expected.sizes["time"] == 15
        with through_gpuzarr("read"):
            found = xr.open_zarr(ours, chunks=chunks)
            part = found.isel(time=slice(3, 14, 2), x=[4, 0]).load()
            point = float(found["t"].isel(time=7, x=2))
            found = found.load()
        xr.testing.assert_identical(found, expected)
        xr.testing.assert_identical(part, expected.isel(time=slice(3, 14, 2), x=[4, 0]))
        np.testing.assert_equal(point, float(expected["t"][7, 2]))


# dask ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [None, (8, 6)])
def test_dask_reads_and_writes_in_threads(tmp_path: Path, shards: Any) -> None:
    da = pytest.importorskip("dask.array")
    values = np.random.default_rng(0).normal(size=(30, 12))
    source = zarr.create_array(tmp_path / "a", data=values, chunks=(4, 3), shards=shards)
    for enabled in (through_gpuzarr("read", "written"), nullcontext()):
        with enabled:
            lazy = da.from_zarr(str(tmp_path / "a"))
            assert_same(lazy.compute(scheduler="threads", num_workers=4), values)
            assert_same((lazy[3:, ::2] * 2).compute(scheduler="threads"), values[3:, ::2] * 2)
            target = zarr.create_array({}, shape=(30, 12), chunks=(4, 3), shards=shards, dtype="f8")
            whole = lazy.rechunk((8, 6)) + 1
            da.store(whole, target, scheduler="threads", lock=False)
            out = tmp_path / f"out {type(enabled).__name__}"
            whole.to_zarr(str(out))
        assert_same(zarr.open_array(target.store)[...], values + 1)
        assert_same(zarr.open_array(out)[...], values + 1)
    assert_same(source[...], values)


# anndata ------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["dense", "csr", "csc"])
@pytest.mark.parametrize("version", [2, 3])
def test_anndata_round_trips(tmp_path: Path, kind: str, version: int) -> None:
    ad: Any = pytest.importorskip("anndata")
    pd: Any = pytest.importorskip("pandas")
    sparse: Any = pytest.importorskip("scipy.sparse")
    counts = np.random.default_rng(0).poisson(0.4, (50, 20)).astype("f4")
    cells = pd.DataFrame(
        {
            "name": [f"zellé {n}" for n in range(50)],
            "type": pd.Categorical([["T", "B"][n % 2] for n in range(50)]),
            "depth": counts.sum(axis=1),
        },
        index=[f"c{n}" for n in range(50)],
    )
    x = counts if kind == "dense" else getattr(sparse, f"{kind}_matrix")(counts)
    data = ad.AnnData(x, obs=cells, layers={"raw": counts}, obsm={"pca": counts[:, :3]})

    def write(path: Path) -> None:
        with ad.settings.override(zarr_write_format=version):
            data.write_zarr(path)

    _, theirs = both(tmp_path, write)
    expected = ad.read_zarr(theirs)
    with through_gpuzarr("read"):
        found = ad.read_zarr(theirs)
    pd.testing.assert_frame_equal(found.obs, expected.obs)
    assert list(found.obs["name"]) == list(cells["name"])
    for read in (found, expected):
        dense = read.X if kind == "dense" else read.X.toarray()
        assert type(read.X) is type(expected.X)
        assert_same(np.asarray(dense), counts)
        assert_same(np.asarray(read.layers["raw"]), counts)
        assert_same(np.asarray(read.obsm["pca"]), counts[:, :3])
