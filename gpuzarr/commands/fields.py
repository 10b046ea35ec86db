"""The ocean field that the demo stores and draws.

It comes from the package iris-sample-data (Open Government Licence): sea surface temperature
of an ocean model on a curvilinear grid, monthly means of January to March 2015, 1.4 MB in all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import iris_sample_data
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Field:
    """A quantity on a grid of quadrilateral cells.

    Attributes
    ----------
    values
        ``(months, y, x)``, float32; land cells hold `missing`.
    months
        What each of the first axis is called.
    units, missing
        Unit of `values`, and the value of a cell that has none.
    corner_longitude, corner_latitude
        ``(y, x, 4)``, degrees: the corners of each cell.
    """

    values: NDArray[np.float32]
    months: tuple[str, ...]
    units: str
    missing: float
    corner_longitude: NDArray[np.float32]
    corner_latitude: NDArray[np.float32]


def sea_surface_temperature() -> Field:
    """Read the three monthly files."""
    folder = Path(iris_sample_data.path) / "NEMO"
    months = {"January 2015": "20150101", "February 2015": "20150201", "March 2015": "20150301"}
    values = []
    for start in months.values():
        (path,) = folder.glob(f"nemo_1m_{start}-*_grid-T.nc")
        with h5py.File(path) as file:
            values.append(file["tos"][0])
            missing = float(file["tos"].attrs["_FillValue"][0])
            longitude, latitude = file["bounds_lon"][:], file["bounds_lat"][:]
    return Field(np.stack(values), tuple(months), "°C", missing, longitude, latitude)
