"""Stores that other libraries bring."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

import gpuzarr


def test_an_icechunk_store_is_read(tmp_path: Path, values: np.ndarray) -> None:
    icechunk = pytest.importorskip("icechunk")
    storage = icechunk.local_filesystem_storage(str(tmp_path))
    session = icechunk.Repository.create(storage).writable_session("main")
    zarr.create_array(session.store, name="v", data=values, chunks=(8, 8), shards=(32, 16))
    session.commit("values")
    opened = gpuzarr.open(session.store, path="v")
    np.testing.assert_array_equal(opened[...], values)
    np.testing.assert_array_equal(opened[40:3:-2, 7], values[40:3:-2, 7])


def test_an_object_store_over_the_network_is_read(values: np.ndarray) -> None:
    moto = pytest.importorskip("moto.server")
    obstore = pytest.importorskip("obstore.store")
    server = moto.ThreadedMotoServer(port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        _create_bucket(endpoint)
        bucket = obstore.S3Store(
            "bucket",
            endpoint=endpoint,
            access_key_id="testing",
            secret_access_key="testing",
            region="us-east-1",
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )
        store = zarr.storage.ObjectStore(bucket)
        zarr.create_array(store, name="v", data=values, chunks=(8, 8), shards=(32, 16))
        opened = gpuzarr.open(store, path="v")
        np.testing.assert_array_equal(opened[...], values)
        np.testing.assert_array_equal(opened[5, ::-1], values[5, ::-1])
    finally:
        server.stop()


def _create_bucket(endpoint: str) -> None:
    import urllib.request

    request = urllib.request.Request(f"{endpoint}/bucket", method="PUT")
    urllib.request.urlopen(request).close()
