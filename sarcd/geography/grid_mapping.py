"""The CRS that a dataset names, and polygons as GeoJSON wants them: longitudes and latitudes of WGS 84."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import rasterio.crs
import xarray as xr

from sarcd.errors import SceneError
from sarcd.geography.geodesy import angle_unit, horizontal, longest_edge

Json = dict[str, Any]

_DEFAULT = "spatial_ref"
_TEXTS = ("crs_wkt", "spatial_ref", "proj4", "proj4_params")
_CODES = ("epsg_code", "epsg", "EPSG")

_LENGTHS = {
    1.0: ("m", "metre", "meter", "metres", "meters"),
    1000.0: ("km", "kilometre", "kilometer", "kilometres", "kilometers"),
    0.3048: ("ft", "foot", "feet"),
    1200 / 3937: ("us_survey_foot", "us survey foot", "us-ft", "us_survey_feet"),
}
_ANGLES = {1.0: ("deg", "degree", "degrees"), 57.29577951308232: ("rad", "radian", "radians"), 0.9: ("grad", "gon")}


def grid_mapping_of(scene: xr.Dataset) -> tuple[str, Json]:
    """Return the name and the attributes of the grid mapping of a scene: `spatial_ref`, or what a variable names.

    Examples
    --------
    >>> image = (("y", "x"), [[1.0]], {"grid_mapping": "crs"})
    >>> grid_mapping_of(xr.Dataset({"amplitude": image, "crs": ((), 0, {"epsg_code": "EPSG:32632"})}))
    ('crs', {'epsg_code': 'EPSG:32632'})
    """
    named = [_DEFAULT]
    for variable in scene.data_vars.values():
        text = variable.attrs.get("grid_mapping") or variable.encoding.get("grid_mapping") or ""
        named += [str(text).split(":", maxsplit=1)[0].strip()] if text else []
    for name in dict.fromkeys(named):  # CF's longer form is "crs: x y"
        if name in scene.variables and scene[name].attrs:
            return name, dict(scene[name].attrs)
    return _DEFAULT, {}


def crs_of(scene: xr.Dataset, attrs: Mapping[str, Any]) -> Any:
    """Return the CRS of a scene, or None where it names none.

    Parameters
    ----------
    scene : xr.Dataset
        May name it in an attribute `crs`, as older programs do.
    attrs : mapping
        Of the grid mapping: WKT, a PROJ string, an EPSG code, or the parameters that CF lists.

    Raises
    ------
    Exception
        Of rasterio or pyproj, where the CRS is none.
    """
    import pyproj

    for key in _TEXTS:
        if attrs.get(key):
            return rasterio.crs.CRS.from_user_input(str(attrs[key]))
    for key in _CODES:
        if attrs.get(key):
            return rasterio.crs.CRS.from_epsg(int(str(attrs[key]).rsplit(":", maxsplit=1)[-1]))
    if "grid_mapping_name" in attrs:
        return rasterio.crs.CRS.from_wkt(pyproj.CRS.from_cf(dict(attrs)).to_wkt())
    for holder in (scene, *scene.data_vars.values()):
        if isinstance(holder.attrs.get("crs"), str):
            return rasterio.crs.CRS.from_user_input(holder.attrs["crs"].removeprefix("+init="))
    return None


def unit_of(scene: xr.Dataset, dim: str) -> tuple[str, float] | None:
    """Return whether a coordinate is a length or an angle, and its unit in metres or degrees, as far as it says so.

    Examples
    --------
    >>> unit_of(xr.Dataset(coords={"x": ("x", [0.0], {"units": "km"})}), "x")
    ('length', 1000.0)
    """
    told = str(scene[dim].attrs.get("units", "")).strip().lower() if dim in scene.coords else ""
    for what, sizes in (("length", _LENGTHS), ("angle", _ANGLES)):
        for size, words in sizes.items():
            if told in words or (what == "angle" and told.startswith(("degrees_", "degree_"))):
                return what, size
    return None


def axis_attrs(crs: Any) -> dict[str, Json]:
    """Return what CF says of the axes of a CRS, by axis, in the unit that the CRS has.

    Examples
    --------
    >>> axis_attrs("EPSG:4326")["Y"]["units"], axis_attrs("EPSG:4807")["Y"]["units"]
    ('degrees_north', 'grad')
    """
    found: dict[str, Json] = {"Y": {}, "X": {}}
    if crs is None:
        return found
    import pyproj

    known = pyproj.CRS.from_user_input(crs)
    for axis in known.cs_to_cf():
        found[axis["axis"]] = {key: value for key, value in axis.items() if key != "axis"}
        # CF knows longitudes and latitudes in degrees alone.
        if str(axis.get("units", "")).startswith("degrees_") and angle_unit(known) != "degrees":
            found[axis["axis"]]["units"] = angle_unit(known)
    return found


def pixel_places(scene: xr.Dataset, dim: str) -> np.ndarray:
    """Return a coordinate, or the numbers of the pixels where it is none or no number, as times of azimuth are."""
    if dim in scene.coords and scene[dim].dtype.kind in "iuf":
        return np.asarray(scene[dim].values)
    return np.arange(scene.sizes[dim])


def is_counted(values: np.ndarray) -> bool:
    """Tell whether a coordinate holds the numbers of the pixels from 0 on, be it as floats."""
    return np.array_equal(values, np.arange(len(values)))


WGS84 = "EPSG:4326"

_TURN, _HALF_TURN = 360.0, 180.0
_NEAR, _PARTS = 100, 64  # outlines this many times their size from a pole have edges of this share of it


def to_world(outlines: np.ndarray, crs: Any, target: Any = WGS84) -> np.ndarray:
    """Bring polygons to longitude and latitude, and cut them at the 180th meridian (RFC 7946, section 3.1.9).

    Parameters
    ----------
    outlines : (N,) ndarray of shapely polygons
        In a geographic or projected CRS; longitudes may go on past 180 degrees.
    crs : CRS
    target : CRS
        A geographic one, in degrees.

    Returns
    -------
    (N,) ndarray of shapely polygons and multipolygons

    Raises
    ------
    SceneError
        If the CRS cannot be brought to WGS 84.

    Examples
    --------
    >>> import shapely
    >>> (cut,) = to_world(np.array([shapely.box(179.5, 10, 180.5, 11)]), "EPSG:4326")
    >>> [part.bounds for part in cut.geoms]
    [(179.5, 10.0, 180.0, 11.0), (-180.0, 10.0, -179.5, 11.0)]
    """
    import pyproj
    import pyproj.exceptions
    import shapely

    source = horizontal(crs)
    try:
        move = pyproj.Transformer.from_crs(source, horizontal(target), always_xy=True).transform
    except pyproj.exceptions.ProjError as error:
        hint = "write a GeoPackage, which keeps any CRS"
        raise SceneError("the scene's CRS cannot be brought to WGS 84, as GeoJSON wants it", hint=hint) from error
    if not len(outlines):
        return outlines
    bent = outlines
    if not source.is_geographic or source.is_derived:  # what is straight in degrees stays so
        bent = _finer_near_poles(shapely.segmentize(outlines, longest_edge(crs)), source)
    placed: np.ndarray = shapely.transform(bent, lambda points: np.stack(move(points[:, 0], points[:, 1]), axis=1))
    if not np.isfinite(shapely.total_bounds(placed)).all():
        hint = "check the CRS and the transform or control points: is it of degrees, or of metres?"
        raise SceneError("outlines lie where the scene's CRS has no ground", hint=hint)
    left, _, right, _ = shapely.bounds(placed).T
    for number in np.flatnonzero((left < -_HALF_TURN) | (right > _HALF_TURN) | (right - left > _HALF_TURN)):
        placed[number] = _cut(placed[number])
    return placed


def beside(shapes: np.ndarray, middle: float, turn: float = _TURN) -> np.ndarray:
    """Return shapes with longitudes counted within half a turn of `middle`.

    Examples
    --------
    >>> import shapely
    >>> [shape.bounds for shape in beside(np.array([shapely.box(-180, 0, -179.5, 1), shapely.box(-1, 0, 1, 1)]), 180.0)]
    [(180.0, 0.0, 180.5, 1.0), (-1.0, 0.0, 1.0, 1.0)]
    """
    import shapely

    def turned(points: np.ndarray) -> np.ndarray:
        longitudes = points[:, 0] + turn * np.round((middle - points[:, 0]) / turn)
        return np.stack([longitudes, points[:, 1]], axis=1)

    moved: np.ndarray = shapely.transform(shapes, turned)
    (left, _, right, _), (new_left, _, new_right, _) = shapely.bounds(shapes).T, shapely.bounds(moved).T
    torn = (new_right - new_left > turn / 2) & (new_right - new_left > right - left)  # on the far side of the earth
    return np.where(torn, shapes, moved)


def _finer_near_poles(outlines: np.ndarray, source: Any) -> np.ndarray:
    """Bend the edges of outlines near a pole, where straight ones are far from straight in degrees."""
    import pyproj
    import shapely

    to_source = pyproj.Transformer.from_crs(4326, source, always_xy=True).transform
    left, bottom, right, top = shapely.bounds(outlines).T
    size = np.maximum(right - left, top - bottom)
    for latitude in (-90.0, 90.0):
        x, y = to_source(0.0, latitude)
        if not (np.isfinite(x) and np.isfinite(y)):
            continue
        away = np.hypot(np.maximum(np.maximum(left - x, x - right), 0), np.maximum(np.maximum(bottom - y, y - top), 0))
        near = away < _NEAR * size
        if near.any():
            outlines = outlines.copy()
            outlines[near] = shapely.segmentize(outlines[near], size[near] / _PARTS)
    return outlines


def _cut(outline: Any) -> Any:
    """Return a polygon in degrees in the parts that it has between -180 and 180."""
    import shapely

    shell, holds_pole = _unrolled(outline.exterior)
    first, last = (int(np.floor((edge + _HALF_TURN) / _TURN)) for edge in (shell.bounds[0], shell.bounds[2]))
    if holds_pole:  # it goes all around, and one turn is enough
        first = last = 0
    for ring in outline.interiors:
        hole, _ = _unrolled(ring)
        middle = round((shell.centroid.x - hole.centroid.x) / _TURN)
        shell = shell.difference(shapely.union_all([_turned(hole, middle + turn) for turn in (-1, 0, 1)]))
    parts: list[Any] = []
    for turn in range(first, last + 1):
        window = shapely.box(turn * _TURN - _HALF_TURN, -90, turn * _TURN + _HALF_TURN, 90)
        cut = _turned(shapely.intersection(shell, window), -turn)
        parts += [part for part in shapely.get_parts(cut) if part.geom_type == "Polygon" and part.area > 0]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def _turned(shape: Any, turns: int) -> Any:
    import shapely

    return shapely.transform(shape, lambda points: points + np.array([turns * _TURN, 0.0]))


def _unrolled(ring: Any) -> tuple[Any, bool]:
    """Return the polygon within a ring, its longitudes going on past the 180th meridian, and whether it holds a pole.

    One that does is closed over the pole, and three turns long.
    """
    import shapely

    points = np.asarray(ring.coords)[:, :2]
    turns = -np.round(np.diff(points[:, 0]) / _TURN)
    longitudes = points[:, 0] + _TURN * np.concatenate([[0.0], np.cumsum(turns)])
    around = longitudes[-1] - longitudes[0]
    unrolled = np.stack([longitudes, points[:, 1]], axis=1)
    if abs(around) < _HALF_TURN:
        return shapely.make_valid(shapely.Polygon(unrolled)), False
    step = np.array([np.copysign(_TURN, around), 0.0])
    start = np.round(unrolled[:, 0].mean() / _TURN) * _TURN
    unrolled = np.concatenate([unrolled - [start, 0.0] + turn * step for turn in (-1, 0, 1)])
    pole = float(np.copysign(90.0, points[:, 1].mean()))
    over = [[unrolled[-1, 0], pole], [unrolled[0, 0], pole]]
    return shapely.make_valid(shapely.Polygon(np.concatenate([unrolled, over]))), True
