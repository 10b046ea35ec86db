"""Checks the installed wheel: it reads what zarr-python wrote, and carries its kernels.

Run from an empty folder, with the path of the checkout's kernels folder, which may be absent.
"""

import sys
from pathlib import Path

import numpy as np
import zarr

import gpuzarr

package = Path(gpuzarr.__file__).parent
assert package.is_relative_to(sys.prefix), f"gpuzarr comes from {package}, not from the wheel"

sources = Path(sys.argv[1])
expected = {path.relative_to(sources) for path in sources.rglob("*") if path.is_file()}
missing = [str(path) for path in expected if not (package / "_kernels" / path).is_file()]
assert not missing, f"the wheel lacks the kernels {missing}"
assert (package / "py.typed").is_file(), "the wheel lacks py.typed"

values = np.random.default_rng(0).normal(size=(100, 90)).astype("float32")
zarr.create_array("array.zarr", data=values, chunks=(10, 30), shards=(50, 90))
array = gpuzarr.open_array("array.zarr")
assert np.array_equal(array[...], values)
assert np.array_equal(array[5:-5:3, 17], values[5:-5:3, 17])
print(f"{package} read {array}")
