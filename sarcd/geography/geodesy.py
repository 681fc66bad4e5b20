"""Lengths and areas on the ground in any CRS, which usually differ from those in its plane."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from sarcd.errors import SceneError

Move = Callable[[np.ndarray], np.ndarray]
"""Transforms (N, 2) points (x, y)."""

TRUE_WITHIN = 0.003
"""Relative tolerance within which areas in a projection count as areas on the ellipsoid; a UTM zone is within it."""

SMALLEST_PIXEL_M = 1e-3
"""Smallest plausible pixel; a transform with smaller pixels is in degrees."""

_EDGE_M = 5_000.0  # longer edges are subdivided before they are transformed
_EDGE_DEGREES = 0.05
_SAMPLES = 5  # points along each axis at which a projection is compared with the ellipsoid


def horizontal(crs: Any) -> Any:
    """Return the horizontal pyproj CRS: without heights, and without a bound shift to WGS 84.

    Parameters
    ----------
    crs : anything that `pyproj.CRS.from_user_input` takes

    Examples
    --------
    >>> horizontal("EPSG:32632+5773").to_epsg(), horizontal("EPSG:4979").to_epsg()
    (32632, 4326)
    """
    import pyproj

    found: Any = pyproj.CRS.from_user_input(crs)
    while found.is_compound or found.is_bound:
        found = found.sub_crs_list[0] if found.is_compound else found.source_crs
    return found.to_2d() if found.is_geographic and len(found.axis_info) > 2 else found


def kind_of(crs: Any) -> Literal["geographic", "projected", "local"]:
    """Return whether a CRS is geographic, projected, or a local grid without a location on Earth.

    Raises
    ------
    SceneError
        If the CRS is not a map CRS, for example geocentric or vertical.

    Examples
    --------
    >>> kind_of("EPSG:4326"), kind_of("EPSG:3857"), kind_of('LOCAL_CS["mine grid",UNIT["metre",1]]')
    ('geographic', 'projected', 'local')
    """
    found = horizontal(crs)
    if found.is_geographic:
        return "geographic"
    if found.is_projected:
        return "projected"
    if found.is_engineering or found.type_name in ("Engineering CRS", "Derived Engineering CRS"):
        return "local"
    kind = "geocentric" if found.is_geocentric else f"'{found.type_name}'"
    hint = "reproject the images, or their control points, to longitude and latitude or to UTM"
    raise SceneError(f"the CRS is {kind}, which is not a map CRS", hint=hint)


def metres_per_unit(crs: Any) -> float:
    """Return the unit of a projected or local CRS in metres.

    Examples
    --------
    >>> metres_per_unit('LOCAL_CS["mine grid",UNIT["foot",0.3048]]')
    0.3048
    """
    return float(horizontal(crs).axis_info[0].unit_conversion_factor)


def has_unit(crs: Any) -> bool:
    """Return whether the unit of a CRS is known; that of a local grid may not be.

    Examples
    --------
    >>> has_unit("EPSG:32632"), has_unit('LOCAL_CS["mine grid",UNIT["unknown",1]]')
    (True, False)
    """
    return str(horizontal(crs).axis_info[0].unit_name).lower() not in ("unknown", "")


def angle_unit(crs: Any) -> str:
    """Return the name of the unit of a geographic CRS.

    Examples
    --------
    >>> angle_unit("EPSG:4326"), angle_unit("EPSG:4807")
    ('degrees', 'grad')
    """
    name = str(horizontal(crs).axis_info[0].unit_name)
    return "degrees" if name == "degree" else name


def same_crs(one: Any, other: Any) -> bool:
    """Return whether two CRS are equal, regardless of names and axis order.

    Rasters have x before y in any CRS, and Esri software writes its own names.

    Examples
    --------
    >>> import rasterio.crs
    >>> known = rasterio.crs.CRS.from_epsg(3035)
    >>> same_crs(known, rasterio.crs.CRS.from_wkt(known.to_wkt(version="WKT1_ESRI"))), same_crs(known, None)
    (True, False)
    """
    import pyproj

    if one is None or other is None or one == other:
        return bool(one == other)
    code = one.to_authority()
    if code is not None and code == other.to_authority():
        return True
    known = pyproj.CRS.from_user_input(one)
    return bool(known.equals(pyproj.CRS.from_user_input(other), ignore_axis_order=True))


def check_latitudes(furthest: float, crs: Any, half_a_pixel: float) -> None:
    """Raise if rows are beyond a pole by more than half a pixel, which is allowed for pixel centres on the pole.

    Parameters
    ----------
    furthest : float
        Maximum absolute latitude of the outer edges of the rows, in the unit of the CRS.
    crs : CRS
    half_a_pixel : float
        Half the size of a pixel, in the unit of the CRS.

    Raises
    ------
    SceneError
        If a row is beyond the pole.
    """
    turn = full_turn(crs)
    if turn is not None and furthest > turn / 4 + half_a_pixel * (1 + 1e-6):
        hint = "check whether the transform is in metres but the CRS in degrees"
        raise SceneError(f"rows are beyond the pole, at a latitude of {furthest:.6g}", hint=hint)


def check_rows(crs: Any, transform: Any, shape: tuple[int, int]) -> None:
    """Raise, as `check_latitudes` does, if rows of a raster are beyond a pole; a CRS and a transform are needed."""
    if crs is not None and transform is not None:
        d, e, f = transform[3:6]
        corners = [f + d * column + e * row for column in (0, shape[1]) for row in (0, shape[0])]
        check_latitudes(max(map(abs, corners)), crs, (abs(d) + abs(e)) / 2)


def full_turn(crs: Any) -> float | None:
    """Return 360 degrees in the unit of a geographic CRS; None for other CRS.

    Examples
    --------
    >>> full_turn("EPSG:4326"), full_turn("EPSG:32632"), full_turn(None)
    (360.0, None, None)
    """
    if crs is None or kind_of(crs) != "geographic":
        return None
    turn = 2 * math.pi / float(horizontal(crs).axis_info[0].unit_conversion_factor)
    return round(turn, 9)


def longest_edge(crs: Any) -> float:
    """Return the maximum length of an edge, in units of the CRS, that stays straight enough when transformed."""
    turn = full_turn(crs)
    return _EDGE_M / metres_per_unit(crs) if turn is None else _EDGE_DEGREES * turn / 360


def ellipsoid_of(crs: Any) -> Any:
    """Return the two-dimensional geographic base CRS of a geographic or projected CRS."""
    found = horizontal(crs)
    base = found.source_crs if found.is_derived and found.is_geographic else found.geodetic_crs
    return base.to_2d()


def to_equal_area(crs: Any, place: tuple[float, float]) -> tuple[Move, Move]:
    """Return the transformations to an equal-area projection in metres centred on `place`, and back.

    It is the Lambert azimuthal equal-area projection on the ellipsoid of the CRS. It is continuous over the poles and
    the 180th meridian, and also preserves lengths at `place`.

    Parameters
    ----------
    crs : CRS
        Geographic or projected CRS.
    place : (x, y)
        Centre of the projection, in the CRS.
    """
    import pyproj

    source, base = horizontal(crs), ellipsoid_of(crs)
    unit = math.degrees(float(base.axis_info[0].unit_conversion_factor))
    x, y = pyproj.Transformer.from_crs(source, base, always_xy=True).transform(*place)
    if not (math.isfinite(x) and math.isfinite(y)) or abs(y * unit) > 90 + 1e-6:
        hint = "check whether the transform or control points are in the unit of the CRS, degrees or metres"
        raise SceneError(f"({place[0]:.9g}, {place[1]:.9g}) is not a valid location in the CRS of the scene", hint=hint)
    conversion = pyproj.crs.coordinate_operation.LambertAzimuthalEqualAreaConversion(
        latitude_natural_origin=max(min(y * unit, 90.0), -90.0), longitude_natural_origin=x * unit
    )
    plane = pyproj.crs.ProjectedCRS(conversion, geodetic_crs=base)
    moves = pyproj.Transformer.from_crs(source, plane, always_xy=True)

    def there(points: np.ndarray) -> np.ndarray:
        return np.stack(moves.transform(points[:, 0], points[:, 1]), axis=1)

    def back(points: np.ndarray) -> np.ndarray:
        return np.stack(moves.transform(points[:, 0], points[:, 1], direction="INVERSE"), axis=1)

    return there, back


def areas_m2(outlines: np.ndarray, crs: Any) -> np.ndarray | None:
    """Return the areas of polygons on the ellipsoid, or in the plane of a local CRS; None without a CRS.

    Parameters
    ----------
    outlines : (N,) ndarray of shapely polygons
        Polygons in the CRS, with straight edges there.
    crs : CRS or None

    Returns
    -------
    (N,) float64 ndarray or None
        Areas in square metres.

    Raises
    ------
    SceneError
        If polygons are outside the valid area of the CRS.

    Examples
    --------
    >>> import shapely
    >>> mercator = np.array([shapely.box(0, 8_399_000, 1000, 8_400_000)])  # at 60 degrees north
    >>> areas_m2(mercator, "EPSG:3857").round(-4).tolist()
    [250000.0]
    """
    import shapely

    if crs is None:
        return None
    if kind_of(crs) == "local":
        planar: np.ndarray = shapely.area(outlines) * metres_per_unit(crs) ** 2
        return planar
    if not len(outlines):
        return np.zeros(0)
    left, bottom, right, top = shapely.total_bounds(outlines)
    there, _ = to_equal_area(crs, ((left + right) / 2, (bottom + top) / 2))
    bent = outlines if has_jumps(outlines, crs) else shapely.segmentize(outlines, longest_edge(crs))
    areas: np.ndarray = shapely.area(shapely.transform(bent, there))
    if not np.isfinite(areas).all():
        hint = "check whether the transform or control points are in the unit of the CRS, degrees or metres"
        raise SceneError("polygons are outside the valid area of the CRS of the scene", hint=hint)
    return areas


def has_jumps(outlines: np.ndarray, crs: Any) -> bool:
    """Return whether polygons in degrees contain a pole or jump at the 180th meridian, by edges over 180 degrees."""
    import shapely

    turn = full_turn(crs)
    if not len(outlines) or turn is None:
        return False
    points, index = shapely.get_coordinates(outlines, return_index=True)
    steps = np.abs(np.diff(points[:, 0]))[np.diff(index) == 0]
    return bool(len(steps) and steps.max() > turn / 2)


def areas_are_true(crs: Any, x: np.ndarray, y: np.ndarray, corner: np.ndarray) -> bool:
    """Return whether areas in a projection equal those on the ground within `TRUE_WITHIN`, over a whole raster.

    Parameters
    ----------
    crs : CRS
        Projected CRS.
    x, y : ndarray
        Pixel corners distributed over the raster.
    corner : (2, 2) ndarray
        Columns are the sides of a pixel.
    """
    import shapely

    rings = np.stack([np.stack([x, y], axis=1) + corner @ side for side in ((0, 0), (1, 0), (1, 1), (0, 1))], axis=1)
    squares = shapely.polygons(rings)
    found = areas_m2(squares, crs)
    plane = shapely.area(squares) * metres_per_unit(crs) ** 2
    return bool((np.abs(found / plane - 1) <= TRUE_WITHIN).all())


def spread(count: int) -> np.ndarray:
    """Return pixel numbers distributed over an axis of `count` pixels, including both ends."""
    return np.unique(np.linspace(0, count - 1, _SAMPLES).round().astype(int))


def lengths_m(crs: Any, place: tuple[float, float], sides: np.ndarray) -> tuple[float, float]:
    """Return the lengths on the ground of the sides of a pixel in a geographic or projected CRS.

    Parameters
    ----------
    crs : CRS
    place : (x, y)
        Position of the pixel in the CRS.
    sides : (2, 2) ndarray
        Columns are the sides of the pixel in the CRS.

    Examples
    --------
    >>> [round(length) for length in lengths_m("EPSG:4326", (10.0, 60.0), np.eye(2) / 1000)]
    [56, 111]
    """
    there, _ = to_equal_area(crs, place)
    middle = np.array(place)
    ends = there(np.stack([middle, middle + sides[:, 0], middle + sides[:, 1]]))
    first, second = (float(math.hypot(*(end - ends[0]))) for end in ends[1:])
    return first, second


def nearest_turn(longitudes: np.ndarray, middle: float) -> np.ndarray:
    """Return longitudes within 180 degrees of `middle`; those that are within it are unchanged.

    Examples
    --------
    >>> nearest_turn(np.array([-179.0, 179.0, 180.0]), 179.5).tolist()
    [181.0, 179.0, 180.0]
    """
    with np.errstate(invalid="ignore"):
        turns = np.where(np.abs(longitudes - middle) > 180 + 1e-9, np.round((longitudes - middle) / 360), 0.0)
    return np.asarray(longitudes - 360 * np.where(np.isfinite(turns), turns, 0.0))
