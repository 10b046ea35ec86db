"""zarr-python's own pipeline works as before while results have memory of gpuzarr's."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from zarr.codecs import BytesCodec, ShardingCodec

import gpuzarr


@pytest.mark.parametrize("name", ["BatchedCodecPipeline", "FusedCodecPipeline"])
def test_another_pipeline_reads_and_writes_shards_in_shards(name: str) -> None:
    inner = ShardingCodec(chunk_shape=(1, 1), codecs=[BytesCodec()])
    outer = ShardingCodec(chunk_shape=(2, 2), codecs=[inner])
    data = np.arange(16, dtype="i4").reshape(4, 4)
    path = f"zarr.core.codec_pipeline.{name}"
    with gpuzarr.enable(), zarr.config.set({"codec_pipeline.path": path}):
        z = zarr.create_array(
            {}, shape=(4, 4), chunks=(2, 4), dtype="i4", serializer=outer, compressors=None
        )
        z[...] = data
        z.oindex[[3, 1, 2], [0, 2]] = 0
        data[np.ix_([3, 1, 2], [0, 2])] = 0
        np.testing.assert_array_equal(z[...], data)
        np.testing.assert_array_equal(z.oindex[[0, 3], [1, 2]], data[np.ix_([0, 3], [1, 2])])
