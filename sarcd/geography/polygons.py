"""Maps of changes as polygons, and files of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from sarcd.errors import StoreError
from sarcd.geography.geodesy import areas_m2, check_latitudes, full_turn, has_jumps, kind_of
from sarcd.geography.georeference import Georeference
from sarcd.geography.grid_mapping import WGS84, to_world

DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON"}
_STRIP = 1024  # rows that are looked at together

__all__ = ["DRIVERS", "Patches", "areas_m2", "find_patches", "to_ground", "write_polygons"]


@dataclass(frozen=True)
class Patches:
    """Changes that hang together by their sides, each a polygon with holes.

    Parameters
    ----------
    outlines : (N,) ndarray of shapely polygons
        Corners as (column, row), counted from the outer corner of the first pixel.
    pixels : (N,) int64 ndarray
        Number of pixels of each.
    mean, highest : (N,) float64 ndarray
        Mean and maximum of the evidence over each; NaN where there is none.
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
        Changed where it is 1. It is looked at whole, so that no patch is cut: with a number for each pixel that makes
        some 6 bytes a pixel.
    evidence : (y, x) DataArray, optional
        Probability or score, read a strip of rows at a time.
    min_pixels : int
        Size from which a patch counts.

    Returns
    -------
    Patches
        In the order of their first pixels, row by row.

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
    count = ndimage.label(change == 1, output=numbers)  # sides touch, corners do not
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
    """Move outlines from (column, row) to the coordinates of a scene; as they are where it has none.

    Longitudes go on past the 180th meridian, as the scene's own do. What reaches past a pole by no more than half a
    pixel ends there.

    Parameters
    ----------
    outlines : ndarray of shapely geometries
    georeference : Georeference
    shape : (y, x), optional
        Size of the scene, over which control points have to hold a surface; by default that of the outlines.

    Raises
    ------
    SceneError
        If control points hold no surface, or the transform places pixels where there is no ground.
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
        if turn is not None:  # no edge so long that it could be one across the 180th meridian
            placed = shapely.segmentize(placed, turn / 4)
        return _up_to_the_pole(placed, georeference.crs, (abs(transform.d) + abs(transform.e)) / 2)
    from sarcd.geography.control_points import is_polar, surface

    if is_polar(georeference.gcps, georeference.crs):  # straight in the image is far from straight in degrees
        outlines = shapely.segmentize(outlines, 1.0)
    bounds = shapely.total_bounds(outlines) if shape is None else (0.0, 0.0, float(shape[1]), float(shape[0]))
    return _moved(outlines, surface(georeference.gcps, georeference.crs, tuple(bounds)))


def _moved(outlines: np.ndarray, move: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    import shapely

    moved: np.ndarray = shapely.transform(outlines, move)
    return moved


def _up_to_the_pole(placed: np.ndarray, crs: Any, half_a_pixel: float) -> np.ndarray:
    """Cut off what lies past a pole: half a pixel, where pixel centres lie on it."""
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
    """Write polygons with their attributes as a GeoPackage or GeoJSON file, by the suffix.

    GeoJSON knows degrees of WGS 84 only (RFC 7946), so what has a CRS is brought there, and cut at the 180th meridian.
    The coordinates of a local CRS are written as they are: `description` should say so.

    Parameters
    ----------
    path : Path
        File to write; there must be none yet.
    outlines : ndarray of shapely polygons
        In `crs`.
    fields : mapping of ndarray
        One value a polygon.
    crs : rasterio.crs.CRS or None
        None for coordinates that are tied to no place.
    layer, description : str
        Name of the layer, and what is said of it.

    Raises
    ------
    SceneError
        If the CRS cannot be brought to WGS 84 and is no local one.
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
            # A disk that fills up while the file is closed passes unnoticed.
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
