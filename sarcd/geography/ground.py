"""Axes of a scene, and the size of its pixels on the ground."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.errors import SceneError

if TYPE_CHECKING:
    from sarcd.geography.georeference import Georeference

RANGE_SPACING = "range_spacing"
"""Root attribute: whether the spacing along x is in ``slant`` range or ``ground`` range."""

INCIDENCE = "incidence_deg"
"""Root attribute: incidence angle at mid-swath on level ground, in degrees."""

_PARTS = 64  # segments per longer side of the outline of a scene

HOW_TO_SAY_INCIDENCE = "set it with 'sarcd ingest -o SCENE --append --incidence DEG' or scene.attrs['incidence_deg']"


@dataclass(frozen=True)
class Axis:
    """Axis of a scene.

    Parameters
    ----------
    first, last : float
        Outer edges of the first and the last pixel, in the unit of the axis.
    label : str
        Name and unit of the axis.
    metres : float or None
        Length of one unit of the axis on the ground, or in slant range if the incidence angle is unknown; None if it is
        unknown.
    is_slant : bool
        Whether `metres` is in slant range.
    """

    first: float
    last: float
    label: str
    metres: float | None = None
    is_slant: bool = False

    @property
    def length_m(self) -> float | None:
        """Length of the whole axis in metres, None if unknown."""
        return None if self.metres is None else abs(self.last - self.first) * self.metres

    def centres(self, count: int) -> np.ndarray:
        """Return the centres of `count` equal parts of the axis."""
        return self.first + (np.arange(count) + 0.5) * (self.last - self.first) / count


@dataclass(frozen=True)
class Ground:
    """Axes of a scene.

    Parameters
    ----------
    y, x : Axis
        Axes along rows and columns.
    north_up : bool
        Whether y increases upwards; otherwise the first row is on top.
    """

    y: Axis
    x: Axis
    north_up: bool = False

    @property
    def aspect(self) -> float:
        """Ratio of the length of a unit of y to that of x."""
        return self.y.metres / self.x.metres if self.y.metres and self.x.metres else 1.0

    @property
    def ratio(self) -> float:
        """Ratio of the width of the scene to its height."""
        return abs(self.x.last - self.x.first) / (abs(self.y.last - self.y.first) * self.aspect)


@dataclass(frozen=True)
class PixelArea:
    """Area of the pixels of a scene.

    Parameters
    ----------
    m2 : float
        Mean area over the scene, in square metres.
    is_same : bool
        Whether all pixels have this area; otherwise polygons must be measured.
    is_slant : bool
        Whether it is the area in slant range, because the incidence angle is unknown. On level ground the area is
        larger by the inverse sine of this angle.
    """

    m2: float
    is_same: bool = True
    is_slant: bool = False


def ground_of(scene: xr.Dataset) -> Ground:
    """Return the axes of a scene: easting and northing, degrees, or azimuth and range (m or pixels)."""
    from sarcd.geography.georeference import of_scene

    georeference = of_scene(scene)
    if georeference.is_rectilinear and georeference.transform is not None:
        return _mapped(scene, georeference)
    return _counted(scene, georeference)


def pixel_area(scene: xr.Dataset, georeference: Georeference) -> PixelArea | None:
    """Return the area of the pixels of a scene on the ground, or None if it is unknown.

    In map geometry it is the area on the ellipsoid, or in the plane of the CRS if that is within 0.3 % of it over the
    whole scene, as in a UTM zone. In radar geometry it is measured between control points, or is azimuth spacing times
    range spacing, where slant range is divided by the sine of the incidence angle.

    Parameters
    ----------
    scene : xr.Dataset
    georeference : Georeference
        Georeference of the scene.

    Raises
    ------
    SceneError
        If the georeference or the incidence angle is invalid.

    Examples
    --------
    >>> from sarcd.geography.georeference import Georeference
    >>> scene = xr.Dataset(coords={"y": range(4), "x": range(4)})
    >>> scene = scene.assign_attrs(spacing_m=[4.0, 2.0], incidence_deg=30.0)
    >>> round(pixel_area(scene, Georeference()).m2, 6)
    16.0
    """
    from sarcd.geography.geodesy import has_unit, kind_of, metres_per_unit

    transform, crs = georeference.transform, georeference.crs
    if georeference.kind == "gcps":
        measured = None if crs is None else _measured(scene, georeference)
        return measured or _of_spacing(scene, _spacing_m(scene))
    if transform is None:
        return _of_spacing(scene, _spacing_m(scene))
    if crs is None:
        own = _own_metres(scene)
        if own is not None:
            return _of_spacing(scene, (abs(transform.determinant) * own**2, 1.0))
        spacing = np.atleast_1d(scene.attrs.get("spacing_m", ()))  # the unit of the coordinates is unknown
        return _of_spacing(scene, tuple(spacing.tolist()) if len(spacing) == 2 else None)
    georeference.check()
    if kind_of(crs) == "local" and not has_unit(crs):
        return None
    if kind_of(crs) == "local" or (kind_of(crs) == "projected" and _is_true(scene, georeference)):
        return PixelArea(abs(transform.determinant) * metres_per_unit(crs) ** 2)
    return _measured(scene, georeference)


def ground_factor(scene: xr.Dataset) -> tuple[float, bool]:
    """Return the factor from lengths along x in radar geometry to the ground, and whether the result is in slant range.

    Raises
    ------
    SceneError
        If the incidence angle or the kind of range in the attributes is invalid.
    """
    kind = range_spacing_of(scene)
    given = scene.attrs.get(INCIDENCE)
    if kind == "ground":
        return 1.0, False
    if given is None:
        return 1.0, True
    angle = float(given) if np.ndim(given) == 0 and isinstance(given, (int, float, np.number)) else math.nan
    if not 0 < angle < 90:
        hint = "set one angle in degrees, at mid-swath, above 0 and below 90"
        raise SceneError(f"'{INCIDENCE}' is {given!r}", source=schema.source_of(scene), hint=hint)
    return 1 / math.sin(math.radians(angle)), False


def range_spacing_of(scene: xr.Dataset) -> str:
    """Return whether the spacing along x is in ``slant`` or ``ground`` range.

    Without the attribute, complex images are in slant range, and amplitude images (detected, for example GRD) in ground
    range.

    Examples
    --------
    >>> range_spacing_of(xr.Dataset({"slc": ((), 1j)})), range_spacing_of(xr.Dataset({"amplitude": ((), 1.0)}))
    ('slant', 'ground')
    """
    given = scene.attrs.get(RANGE_SPACING)
    if given is not None:
        if given not in ("slant", "ground"):
            hint = "set slant or ground"
            raise SceneError(f"'{RANGE_SPACING}' is {given!r}", source=schema.source_of(scene), hint=hint)
        return str(given)
    name = str(scene["x"].attrs.get("long_name", "")).lower() if "x" in scene.coords else ""
    for kind in ("slant", "ground"):
        if kind in name:
            return kind
    return "ground" if "amplitude" in scene and "slc" not in scene else "slant"


def _of_spacing(scene: xr.Dataset, sides: tuple[float, float] | None) -> PixelArea | None:
    if sides is None:
        return None
    factor, is_slant = ground_factor(scene)
    return PixelArea(sides[0] * sides[1] * factor, is_slant=is_slant)


def _measured(scene: xr.Dataset, georeference: Georeference) -> PixelArea | None:
    """Return the mean area of a pixel from that of the scene; None if its control points define no surface."""
    import shapely

    from sarcd.geography.geodesy import areas_m2
    from sarcd.geography.polygons import to_ground

    height, width = scene.sizes["y"], scene.sizes["x"]
    whole = np.array([shapely.segmentize(shapely.box(0, 0, width, height), max(height, width) / _PARTS)], object)
    try:
        areas = areas_m2(to_ground(whole, georeference, (height, width)), georeference.crs)
    except SceneError:
        if georeference.kind == "gcps":
            return None
        raise
    return None if areas is None else PixelArea(float(areas[0]) / (height * width), is_same=False)


def _is_true(scene: xr.Dataset, georeference: Georeference) -> bool:
    """Return whether areas in a projected CRS equal those on the ground over the whole scene."""
    from sarcd.geography.geodesy import areas_are_true, spread

    t: Any = georeference.transform
    column, row = np.meshgrid(spread(scene.sizes["x"]), spread(scene.sizes["y"]))
    x, y = (a * column.ravel() + b * row.ravel() + c for a, b, c in (t[:3], t[3:6]))
    return areas_are_true(georeference.crs, x, y, np.array([[t.a, t.b], [t.d, t.e]]))


def _sides_m(scene: xr.Dataset, georeference: Georeference) -> tuple[float, float] | None:
    """Return the lengths (y, x) in metres on the ground of the sides of the central pixel."""
    from sarcd.geography.control_points import surface
    from sarcd.geography.geodesy import TRUE_WITHIN, kind_of, lengths_m, metres_per_unit

    crs, t = georeference.crs, georeference.transform
    if crs is None:
        return None
    middle = np.array([scene.sizes["x"] / 2, scene.sizes["y"] / 2])
    corners = middle + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    if t is not None:
        corners = corners @ np.array([[t.a, t.d], [t.b, t.e]]) + [t.c, t.f]
    else:
        bounds = (0.0, 0.0, float(scene.sizes["x"]), float(scene.sizes["y"]))
        corners = surface(georeference.gcps, crs, bounds)(corners)
    sides = (corners[1:] - corners[0]).T
    in_plane = None if kind_of(crs) == "geographic" else np.hypot(*sides) * metres_per_unit(crs)
    if in_plane is not None and kind_of(crs) == "local":
        return float(in_plane[1]), float(in_plane[0])
    x, y = lengths_m(crs, (float(corners[0, 0]), float(corners[0, 1])), sides)
    if in_plane is not None and np.abs(np.array([x, y]) / in_plane - 1).max() <= TRUE_WITHIN / 2:
        x, y = in_plane.tolist()
    return y, x


def _sides_or_none(scene: xr.Dataset, georeference: Georeference) -> tuple[float, float] | None:
    """Return the sides of the central pixel, None if unknown, since a picture needs no scale."""
    try:
        sides = _sides_m(scene, georeference)
    except SceneError:
        return None
    known = sides is not None and all(math.isfinite(side) and side > 0 for side in sides)
    return sides if known else None


def _mapped(scene: xr.Dataset, georeference: Georeference) -> Ground:
    from sarcd.geography.geodesy import angle_unit, has_unit, kind_of, metres_per_unit

    t, crs = georeference.transform, georeference.crs
    x = t.c, t.c + t.a * scene.sizes["x"]  # type: ignore[union-attr]
    y = t.f, t.f + t.e * scene.sizes["y"]  # type: ignore[union-attr]
    if crs is None or not has_unit(crs):
        metres = _own_metres(scene)
        factor, is_slant = ground_factor(scene) if metres else (1.0, False)
        return Ground(
            _axis(*y, _name(scene, "y"), metres),
            _axis(*x, _name(scene, "x"), metres, factor=factor, is_slant=is_slant),
        )
    sides = _sides_or_none(scene, georeference)
    if kind_of(crs) == "geographic":
        lengths = (None, None) if sides is None else (sides[0] / abs(t.e), sides[1] / abs(t.a))  # type: ignore[union-attr]
        unit = angle_unit(crs)
        return Ground(
            Axis(*y, f"latitude ({unit})", lengths[0]), Axis(*x, f"longitude ({unit})", lengths[1]), north_up=True
        )
    metres = metres_per_unit(crs)
    factors = [1.0, 1.0]
    if sides is not None:
        factors = [side / (abs(step) * metres) for side, step in zip(sides, (t.e, t.a), strict=True)]  # type: ignore[union-attr]
    return Ground(
        _axis(*y, "northing", metres, factor=factors[0]), _axis(*x, "easting", metres, factor=factors[1]), north_up=True
    )


def _counted(scene: xr.Dataset, georeference: Georeference) -> Ground:
    """Return the axes of a scene whose coordinates are pixel numbers: radar geometry, or a rotated map."""
    is_map = georeference.kind == "transform"
    spacing = _spacing_m(scene)
    sides = _sides_or_none(scene, georeference)
    factor, is_slant = (1.0, False) if is_map or spacing is None else ground_factor(scene)
    axes: dict[str, Axis] = {}
    for index, dim in enumerate(("y", "x")):
        metres = None if spacing is None else spacing[index]
        first, step = _numbers(scene, dim)
        edges = first - 0.5 * step + 0.5, first - 0.5 * step + 0.5 + step * scene.sizes[dim]
        name = _name(scene, dim, is_map=is_map)
        if metres is None:
            axes[dim] = Axis(*edges, f"{name} (pixels)", None if sides is None else sides[index] / abs(step))
            continue
        if sides is not None:
            of_axis = {"factor": sides[index] / metres}
        else:
            of_axis = {"factor": factor, "is_slant": is_slant} if dim == "x" else {}
        axes[dim] = _axis(edges[0] * metres / step, edges[1] * metres / step, name, 1.0, **of_axis)  # type: ignore[arg-type]
    return Ground(axes["y"], axes["x"])


def _axis(
    first: float, last: float, name: str, metres: float | None, *, factor: float = 1.0, is_slant: bool = False
) -> Axis:
    """Return an axis in metres, or in kilometres if it is long; `factor` converts lengths to the ground."""
    if metres is None:
        return Axis(first, last, name)
    unit, scale = ("km", metres / 1000) if abs(last - first) * metres > 10_000 else ("m", metres)
    length = (1000.0 if unit == "km" else 1.0) * factor
    return Axis(first * scale, last * scale, f"{name} ({unit})", length, is_slant)


def _name(scene: xr.Dataset, dim: str, *, is_map: bool = False) -> str:
    """Return the name of an axis of a scene without a CRS."""
    long_name = str(scene[dim].attrs.get("long_name", "")) if dim in scene.coords else ""
    if long_name and not long_name.endswith(" of the image"):
        return long_name
    is_radar = not is_map and ("slc" in scene or "gcps" in _grid_mapping(scene))
    if not is_radar:
        return {"y": "row", "x": "column"}[dim]
    return "azimuth" if dim == "y" else f"{range_spacing_of(scene)} range" if _spacing_m(scene) else "range"


def _grid_mapping(scene: xr.Dataset) -> Mapping[Any, Any]:
    from sarcd.geography.grid_mapping import grid_mapping_of

    return grid_mapping_of(scene)[1]


def _own_metres(scene: xr.Dataset) -> float | None:
    """Return the unit in metres of the coordinates of a scene without a CRS, None if unknown."""
    from sarcd.geography.grid_mapping import unit_of

    units = {unit_of(scene, dim) for dim in ("y", "x") if dim in scene.coords}
    unit = units.pop() if len(units) == 1 else None
    return unit[1] if unit is not None and unit[0] == "length" else None


def _numbers(scene: xr.Dataset, dim: str) -> tuple[float, float]:
    """Return the first pixel number along an axis, and the step between pixel numbers."""
    values = scene[dim].values if dim in scene.coords else np.arange(scene.sizes[dim])
    step = float(values[1] - values[0]) if len(values) > 1 else 1.0
    return float(values[0]), step or 1.0


def _spacing_m(scene: xr.Dataset) -> tuple[float, float] | None:
    """Return the pixel spacing (y, x) in metres, including the stride of a selection."""
    spacing = scene.attrs.get("spacing_m")
    if spacing is None or len(np.atleast_1d(spacing)) != 2:
        return None
    y, x = (abs(float(metres) * _numbers(scene, dim)[1]) for metres, dim in zip(spacing, ("y", "x"), strict=True))
    return y, x
