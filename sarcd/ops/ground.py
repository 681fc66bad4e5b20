"""Where a scene's pixels lie, as a picture's axes and a scale need it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from sarcd.io.georef import Georeference

_METRES_PER_DEGREE = 111_320.0
"""Of latitude, and of longitude at the equator."""


@dataclass(frozen=True)
class Axis:
    """One axis of a scene.

    Parameters
    ----------
    first, last : float
        Outer edges of the first and of the last pixel, in the axis' unit.
    label : str
        Name and unit.
    metres : float or None
        Length of one unit of the axis on the ground (along the slant in slant range); None where it is not known.
    """

    first: float
    last: float
    label: str
    metres: float | None = None

    @property
    def length_m(self) -> float | None:
        """Length of the whole axis in metres, if it is known."""
        return None if self.metres is None else abs(self.last - self.first) * self.metres

    def centres(self, count: int) -> np.ndarray:
        """Return the centres of `count` equal parts of the axis."""
        return self.first + (np.arange(count) + 0.5) * (self.last - self.first) / count


@dataclass(frozen=True)
class Ground:
    """The two axes of a scene.

    Parameters
    ----------
    y, x : Axis
        Along the rows' and the columns' numbers.
    north_up : bool
        Whether larger y belongs above smaller y; else the first row is on top.
    """

    y: Axis
    x: Axis
    north_up: bool = False

    @property
    def aspect(self) -> float:
        """Length of a unit of y over that of a unit of x."""
        return self.y.metres / self.x.metres if self.y.metres and self.x.metres else 1.0

    @property
    def ratio(self) -> float:
        """Width of the scene over its height."""
        return abs(self.x.last - self.x.first) / (abs(self.y.last - self.y.first) * self.aspect)


def ground_of(scene: xr.Dataset) -> Ground:
    """Return the axes of a scene: easting and northing, degrees, or azimuth and range in metres or pixels."""
    from sarcd.io.georef import of_scene

    georeference = of_scene(scene)
    if georeference.is_rectilinear and georeference.transform is not None:
        return _mapped(scene, georeference)
    return _counted(scene, is_map=georeference.kind == "transform")


def pixel_area_m2(scene: xr.Dataset, georeference: Georeference) -> float | None:
    """Return the area of a pixel where all have the same and it is known, in square metres."""
    transform, crs = georeference.transform, georeference.crs
    if georeference.kind == "gcps" or (crs is not None and crs.is_geographic):
        return None
    if transform is not None:
        metres = _metres_per_unit(scene, crs)
        return None if metres is None else abs(transform.determinant) * metres**2
    spacing = _spacing_m(scene)
    return None if spacing is None else spacing[0] * spacing[1]


def _mapped(scene: xr.Dataset, georeference: Georeference) -> Ground:
    transform, crs = georeference.transform, georeference.crs
    x = transform.c, transform.c + transform.a * scene.sizes["x"]  # type: ignore[union-attr]
    y = transform.f, transform.f + transform.e * scene.sizes["y"]  # type: ignore[union-attr]
    if crs is not None and crs.is_geographic:
        shrink = max(math.cos(math.radians(sum(y) / 2)), 1e-3)
        return Ground(
            Axis(*y, "latitude (degrees)", _METRES_PER_DEGREE),
            Axis(*x, "longitude (degrees)", _METRES_PER_DEGREE * shrink),
            north_up=True,
        )
    metres = _metres_per_unit(scene, crs)
    names = ("northing", "easting") if crs is not None else (_name(scene, "y"), _name(scene, "x"))
    return Ground(_axis(*y, names[0], metres), _axis(*x, names[1], metres), north_up=crs is not None)


def _counted(scene: xr.Dataset, *, is_map: bool) -> Ground:
    """Axes of a scene whose coordinates are pixel numbers: radar geometry, or a map that lies askew."""
    spacing = _spacing_m(scene)
    axes: dict[str, Axis] = {}
    for dim, metres in zip(("y", "x"), spacing or (None, None), strict=True):
        first, step = _numbers(scene, dim)
        edges = first - 0.5 * step + 0.5, first - 0.5 * step + 0.5 + step * scene.sizes[dim]
        name = _name(scene, dim, is_map=is_map)
        if metres is None:
            axes[dim] = Axis(*edges, f"{name} (pixels)")
        else:
            axes[dim] = _axis(edges[0] * metres / step, edges[1] * metres / step, name, 1.0)
    return Ground(axes["y"], axes["x"])


def _axis(first: float, last: float, name: str, metres: float | None) -> Axis:
    """Return an axis in metres, or in kilometres if it is long."""
    if metres is None:
        return Axis(first, last, name)
    unit, scale = ("km", metres / 1000) if abs(last - first) * metres > 10_000 else ("m", metres)
    return Axis(first * scale, last * scale, f"{name} ({unit})", 1000.0 if unit == "km" else 1.0)


def _name(scene: xr.Dataset, dim: str, *, is_map: bool = False) -> str:
    """Return what an axis is called where no CRS says so."""
    told = str(scene[dim].attrs.get("long_name", "")) if dim in scene.coords else ""
    if told and not told.endswith(" of the image"):
        return told
    is_radar = not is_map and ("slc" in scene or "gcps" in _grid_mapping(scene))
    return {"y": "azimuth" if is_radar else "row", "x": "range" if is_radar else "column"}[dim]


def _grid_mapping(scene: xr.Dataset) -> Mapping[Any, Any]:
    return scene["spatial_ref"].attrs if "spatial_ref" in scene.coords else {}


def _metres_per_unit(scene: xr.Dataset, crs: Any) -> float | None:
    if crs is not None:
        return float(crs.linear_units_factor[1])
    units = {str(scene[dim].attrs.get("units", "")) for dim in ("y", "x") if dim in scene.coords}
    return 1.0 if units and units <= {"m", "metre", "meter", "metres", "meters"} else None


def _numbers(scene: xr.Dataset, dim: str) -> tuple[float, float]:
    """Return the first pixel number along an axis and the step from one to the next."""
    values = scene[dim].values if dim in scene.coords else np.arange(scene.sizes[dim])
    step = float(values[1] - values[0]) if len(values) > 1 else 1.0
    return float(values[0]), step or 1.0


def _spacing_m(scene: xr.Dataset) -> tuple[float, float] | None:
    """Return the pixel spacing (y, x) in metres of the scene as it is, thinned or not."""
    told = scene.attrs.get("spacing_m")
    if told is None or len(np.atleast_1d(told)) != 2:
        return None
    y, x = (abs(float(metres) * _numbers(scene, dim)[1]) for metres, dim in zip(told, ("y", "x"), strict=True))
    return y, x
