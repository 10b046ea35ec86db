"""gpuzarr: Zarr arrays, decoded in batches on the device that computes with them.

Examples
--------
>>> import zarr, gpuzarr
>>> z = zarr.create_array({}, shape=(4, 4), chunks=(2, 2), dtype="f4", fill_value=1)
>>> gpuzarr.open(z)[:2, 1:3].sum()
np.float32(4.0)
"""

from gpuzarr import errors, hdf5_szip, native_codecs, zarr_packbits
from gpuzarr.array import Array
from gpuzarr.config import config
from gpuzarr.enabling import enable
from gpuzarr.group import Group
from gpuzarr.many import read_many
from gpuzarr.opening import create_array, open, open_array, open_group

hdf5_szip.register()
native_codecs.register()
zarr_packbits.register()

__version__ = "0.1.0.dev0"

__all__ = [
    "Array",
    "Group",
    "__version__",
    "config",
    "create_array",
    "enable",
    "errors",
    "open",
    "open_array",
    "open_group",
    "read_many",
]
