"""A map of one field of the demo, drawn cell by cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from numpy.typing import NDArray

_LAND = "#d9d6cf"
_INK = "#22313f"


def draw_map(
    values: NDArray[np.float32],
    corner_longitude: NDArray[np.floating[Any]],
    corner_latitude: NDArray[np.floating[Any]],
    *,
    title: str,
    subtitle: str,
    label: str,
    output: Path,
) -> None:
    """Draw `values` on the whole earth (Equal Earth projection) and save it as a PNG.

    Parameters
    ----------
    values
        ``(y, x)``; NaN cells are left blank.
    corner_longitude, corner_latitude
        ``(y, x, 4)``, degrees.
    title, subtitle, label
        Texts above the map and below its colour bar.
    output
        Path of the PNG; its folder must exist.
    """
    valid = np.isfinite(values)
    cells, shown = _cells(corner_longitude[valid], corner_latitude[valid], values[valid])

    figure = Figure(figsize=(11, 6.4), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.02, 0.13, 0.96, 0.77), aspect="equal")
    axes.set_axis_off()
    rim = _project(_rim())
    axes.add_patch(Polygon(rim, facecolor=_LAND, edgecolor="none"))
    mesh = PolyCollection(
        list(_project(cells)), array=shown, cmap="RdYlBu_r", edgecolors="face", linewidths=0.2
    )
    axes.add_collection(mesh)
    axes.add_collection(LineCollection(_graticule(), colors=_INK, alpha=0.18, linewidths=0.6))
    axes.add_patch(Polygon(rim, facecolor="none", edgecolor=_INK, linewidth=0.8))
    axes.autoscale_view()

    bar_axes = figure.add_axes((0.28, 0.085, 0.44, 0.022))
    bar = figure.colorbar(mesh, cax=bar_axes, orientation="horizontal")
    bar.set_label(label, color=_INK, fontsize=10)
    bar.outline.set_visible(False)
    bar_axes.tick_params(labelsize=9, labelcolor=_INK, color=_INK)

    figure.text(0.5, 0.95, title, ha="center", fontsize=17, color=_INK, weight="bold")
    figure.text(0.5, 0.912, subtitle, ha="center", fontsize=10, color=_INK, alpha=0.75)
    figure.savefig(output)


def _project(degrees: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Longitudes and latitudes ``(…, 2)`` on the plane of the Equal Earth projection.

    Šavrič, Patterson, Jenny (2018), https://doi.org/10.1080/13658816.2018.1504949.
    """
    longitude, latitude = np.moveaxis(np.radians(degrees.astype(np.float64)), -1, 0)
    a1, a2, a3, a4 = 1.340264, -0.081106, 0.000893, 0.003796
    theta = np.arcsin(np.sqrt(3) / 2 * np.sin(latitude))
    slope = 9 * a4 * theta**8 + 7 * a3 * theta**6 + 3 * a2 * theta**2 + a1
    x = 2 * np.sqrt(3) / 3 * longitude * np.cos(theta) / slope
    y = a4 * theta**9 + a3 * theta**7 + a2 * theta**3 + a1 * theta
    return np.stack([x, y], axis=-1)


def _rim() -> NDArray[np.float64]:
    """The edge of the map, in degrees."""
    up = np.linspace(-90, 90, 181)
    side = np.full_like(up, 180)
    return np.concatenate([np.stack([side, up], -1), np.stack([-side, up[::-1]], -1)])


def _graticule() -> list[NDArray[np.float64]]:
    """Parallels and meridians every 30 degrees, on the plane."""
    along, across = np.linspace(-180, 180, 361), np.linspace(-90, 90, 181)
    parallels = [np.stack([along, np.full_like(along, y)], -1) for y in range(-60, 90, 30)]
    meridians = [np.stack([np.full_like(across, x), across], -1) for x in range(-150, 180, 30)]
    return [_project(line) for line in parallels + meridians]


def _cells(
    longitude: NDArray[np.floating[Any]],
    latitude: NDArray[np.floating[Any]],
    values: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Polygons ``(n, 4, 2)`` in degrees and their values, each whole on one side of the map.

    A cell across the meridian of 180° is there twice, once at each rim.
    """
    first = longitude[:, :1].astype(np.float64)
    first_wrapped = (first + 180) % 360 - 180
    east = first_wrapped + (longitude - first + 180) % 360 - 180
    polygons = np.stack([east, latitude], axis=-1)
    over = east.max(axis=1) > 180
    under = east.min(axis=1) < -180
    shift = np.array([360.0, 0.0])
    polygons = np.concatenate([polygons, polygons[over] - shift, polygons[under] + shift])
    polygons[..., 0] = polygons[..., 0].clip(-180, 180)
    return polygons, np.concatenate([values, values[over], values[under]])
