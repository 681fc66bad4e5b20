"""Convert maps of change to polygons, write them to files, and transform them to WGS 84 for GeoJSON."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from sarcd.errors import SceneError, StoreError
from sarcd.geography.geodesy import (
    areas_m2,
    check_latitudes,
    full_turn,
    has_jumps,
    horizontal,
    kind_of,
    longest_edge,
)
from sarcd.geography.georeference import Georeference

WGS84 = "EPSG:4326"
_TURN, _HALF_TURN = 360.0, 180.0
_NEAR, _PARTS = 100, 64  # polygons nearer to a pole than 100 times their size get edges of 1/64 of it

DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON"}
_STRIP = 1024  # rows that are processed together

__all__ = ["DRIVERS", "Patches", "areas_m2", "find_patches", "to_ground", "write_polygons"]


@dataclass(frozen=True)
class Patches:
    """Patches of 4-connected changed pixels, each a polygon with holes.

    Parameters
    ----------
    outlines : (N,) ndarray of shapely polygons
        Corners as (column, row), counted from the outer corner of the first pixel.
    pixels : (N,) int64 ndarray
        Number of pixels of each patch.
    mean, highest : (N,) float64 ndarray
        Mean and maximum of the evidence over each patch; NaN without evidence.
    """

    outlines: np.ndarray
    pixels: np.ndarray
    mean: np.ndarray
    highest: np.ndarray


def find_patches(change: np.ndarray, evidence: xr.DataArray | None = None, *, min_pixels: int = 1) -> Patches:
    """Find the patches of a map.

    Parameters
    ----------
    change : (y, x) uint8
        Map of change, changed where it is 1. It is labelled as a whole, so that no patch is split, which takes about
        6 bytes per pixel.
    evidence : (y, x) DataArray, optional
        Probability or score, read in strips of rows.
    min_pixels : int
        Minimum size of a patch.

    Returns
    -------
    Patches
        Patches in the order of their first pixels, row by row.

    Examples
    --------
    >>> found = find_patches(np.array([[1, 1, 0], [0, 0, 1]], np.uint8))
    >>> found.pixels.tolist(), found.outlines[0].bounds
    ([2, 1], (0.0, 0.0, 2.0, 1.0))
    """
    import rasterio.features
    import shapely
    from scipy import ndimage

    numbers = np.empty(change.shape, np.int32)
    count = ndimage.label(change == 1, output=numbers)  # 4-connectivity
    strips = [slice(top, top + _STRIP) for top in range(0, len(change), _STRIP)]
    pixels = sum((np.bincount(numbers[rows].ravel(), minlength=count + 1) for rows in strips), np.zeros(count + 1, int))
    kept = pixels >= min_pixels
    kept[0] = False
    new_number = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    for rows in strips:
        numbers[rows] = new_number[numbers[rows]]

    total, valid, highest = np.zeros(kept.sum()), np.zeros(kept.sum()), np.full(kept.sum(), -np.inf)
    for rows in strips if evidence is not None and kept.any() else ():
        values = evidence[rows].values  # type: ignore[index]
        seen = (numbers[rows] > 0) & np.isfinite(values)
        index, found = numbers[rows][seen] - 1, values[seen].astype(np.float64)
        total += np.bincount(index, weights=found, minlength=len(total))
        valid += np.bincount(index, minlength=len(total))
        np.maximum.at(highest, index, found)

    outlines = np.empty(len(total), object)
    for geometry, number in rasterio.features.shapes(numbers, mask=numbers > 0, connectivity=4):
        outlines[int(number) - 1] = shapely.geometry.shape(geometry)
    with np.errstate(invalid="ignore"):
        mean = np.where(valid > 0, total / valid, np.nan)
    return Patches(outlines, pixels[kept], mean, np.where(valid > 0, highest, np.nan))


def to_ground(outlines: np.ndarray, georeference: Georeference, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Transform outlines from (column, row) to the coordinates of a scene; unchanged if it has no georeference.

    Longitudes continue past the 180th meridian, as those of the scene do. Outlines that exceed a pole by at most half a
    pixel are clipped there.

    Parameters
    ----------
    outlines : ndarray of shapely geometries
    georeference : Georeference
    shape : (y, x), optional
        Size of the scene, which control points must cover; by default the extent of the outlines.

    Raises
    ------
    SceneError
        If control points define no surface, or the transform is invalid.
    """
    import shapely

    transform = georeference.transform
    if not len(outlines) or georeference.kind == "none":
        return outlines
    if transform is not None:
        georeference.check()
        matrix, offset = [[transform.a, transform.b], [transform.d, transform.e]], [transform.c, transform.f]
        placed = _moved(outlines, lambda corners: corners @ np.transpose(matrix) + offset)
        turn = full_turn(georeference.crs)
        if turn is not None:  # so that no edge is mistaken for one across the 180th meridian
            placed = shapely.segmentize(placed, turn / 4)
        return _up_to_the_pole(placed, georeference.crs, (abs(transform.d) + abs(transform.e)) / 2)
    from sarcd.geography.control_points import is_polar, surface

    if is_polar(georeference.gcps, georeference.crs):  # straight edges in the image are strongly curved in degrees
        outlines = shapely.segmentize(outlines, 1.0)
    bounds = shapely.total_bounds(outlines) if shape is None else (0.0, 0.0, float(shape[1]), float(shape[0]))
    return _moved(outlines, surface(georeference.gcps, georeference.crs, tuple(bounds)))


def _moved(outlines: np.ndarray, move: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    import shapely

    moved: np.ndarray = shapely.transform(outlines, move)
    return moved


def _up_to_the_pole(placed: np.ndarray, crs: Any, half_a_pixel: float) -> np.ndarray:
    """Clip outlines at the poles, which pixels centred on a pole exceed by half a pixel."""
    import shapely

    turn = full_turn(crs)
    if turn is None:
        return placed
    pole = turn / 4
    _, south, _, north = shapely.total_bounds(placed)
    if max(north, -south) <= pole:
        return placed
    check_latitudes(max(north, -south), crs, half_a_pixel)
    return _moved(placed, lambda corners: np.clip(corners, [-np.inf, -pole], [np.inf, pole]))


def write_polygons(
    path: Path, outlines: np.ndarray, fields: Mapping[str, np.ndarray], *, crs: Any, layer: str, description: str
) -> None:
    """Write polygons with attributes to a GeoPackage or GeoJSON file, depending on the suffix.

    GeoJSON supports only WGS 84 in degrees (RFC 7946), so polygons with a CRS are transformed to it, and split at the
    180th meridian. Coordinates of a local CRS are not transformed, and `description` should say so.

    Parameters
    ----------
    path : Path
        File to write; it must not exist yet.
    outlines : ndarray of shapely polygons
        Polygons in `crs`.
    fields : mapping of ndarray
        One value per polygon.
    crs : rasterio.crs.CRS or None
        CRS; None for coordinates without a location on Earth.
    layer, description : str
        Name and description of the layer.

    Raises
    ------
    SceneError
        If the CRS cannot be transformed to WGS 84 and is not local.
    StoreError
        If the file cannot be written.
    """
    import pyogrio
    import pyogrio.errors
    import pyogrio.raw
    import shapely

    driver = DRIVERS[path.suffix.lower()]
    options = {"DESCRIPTION": description}
    if driver == "GeoJSON" and crs is not None and kind_of(crs) == "local":
        crs = None
    if driver == "GeoJSON" and crs is not None:
        outlines, crs = to_world(outlines, crs), WGS84
        options["RFC7946"] = "YES"
    elif crs is not None and has_jumps(outlines, crs):
        outlines = to_world(outlines, crs, crs)
    kinds = set(np.unique(shapely.get_type_id(outlines))) if len(outlines) else set()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided", category=UserWarning)
        try:
            pyogrio.raw.write(
                str(path),
                geometry=shapely.to_wkb(outlines),
                field_data=list(fields.values()),
                fields=list(fields),
                geometry_type="MultiPolygon" if int(shapely.GeometryType.MULTIPOLYGON) in kinds else "Polygon",
                crs=None if crs is None else _crs_text(crs),
                driver=driver,
                layer=layer,
                layer_options=options,
            )
            # No error is raised if the disk fills up while the file is closed.
            written = pyogrio.read_info(path, force_feature_count=True)["features"]
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise StoreError(f"polygons cannot be written ({reason})", source=str(path)) from error
    if written != len(outlines):
        raise StoreError(f"only {written} of {len(outlines)} polygons were written", source=str(path))


def _crs_text(crs: Any) -> str:
    if isinstance(crs, str):
        return crs
    authority: Sequence[str] | None = crs.to_authority()
    return ":".join(authority) if authority else str(crs.to_wkt())


def to_world(outlines: np.ndarray, crs: Any, target: Any = WGS84) -> np.ndarray:
    """Transform polygons to longitude and latitude, and split them at the 180th meridian (RFC 7946, section 3.1.9).

    Parameters
    ----------
    outlines : (N,) ndarray of shapely polygons
        Polygons in a geographic or projected CRS; longitudes may exceed 180 degrees.
    crs : CRS
    target : CRS
        Geographic CRS in degrees.

    Returns
    -------
    (N,) ndarray of shapely polygons and multipolygons

    Raises
    ------
    SceneError
        If the CRS cannot be transformed to WGS 84.

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
        hint = "write a GeoPackage, which supports any CRS"
        raise SceneError(
            "the CRS of the scene cannot be transformed to WGS 84, which GeoJSON requires", hint=hint
        ) from error
    if not len(outlines):
        return outlines
    bent = outlines
    if not source.is_geographic or source.is_derived:  # edges that are straight in degrees remain so
        bent = _finer_near_poles(shapely.segmentize(outlines, longest_edge(crs)), source)
    placed: np.ndarray = shapely.transform(bent, lambda points: np.stack(move(points[:, 0], points[:, 1]), axis=1))
    if not np.isfinite(shapely.total_bounds(placed)).all():
        hint = "check whether the transform or control points are in the unit of the CRS, degrees or metres"
        raise SceneError("polygons are outside the valid area of the CRS of the scene", hint=hint)
    left, _, right, _ = shapely.bounds(placed).T
    for number in np.flatnonzero((left < -_HALF_TURN) | (right > _HALF_TURN) | (right - left > _HALF_TURN)):
        placed[number] = _cut(placed[number])
    return placed


def beside(shapes: np.ndarray, middle: float, turn: float = _TURN) -> np.ndarray:
    """Return shapes with longitudes within 180 degrees of `middle`.

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
    torn = (new_right - new_left > turn / 2) & (new_right - new_left > right - left)  # on the far side of the Earth
    return np.where(torn, shapes, moved)


def _finer_near_poles(outlines: np.ndarray, source: Any) -> np.ndarray:
    """Subdivide the edges of outlines near a pole, where they are strongly curved in degrees."""
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
    """Split a polygon in degrees into its parts between -180 and 180."""
    import shapely

    shell, holds_pole = _unrolled(outline.exterior)
    first, last = (int(np.floor((edge + _HALF_TURN) / _TURN)) for edge in (shell.bounds[0], shell.bounds[2]))
    if holds_pole:  # it covers all longitudes, so one turn is enough
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
    """Return the polygon of a ring with continuous longitudes, and whether it contains a pole.

    A polygon that does is closed over the pole, and spans three turns.
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
