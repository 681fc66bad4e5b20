"""Georeference of rasters and scenes: convert that of a raster to coordinates of a scene, and back."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine

from sarcd.attributes import Json
from sarcd.errors import InputError, SceneError
from sarcd.geography.geodesy import SMALLEST_PIXEL_M, check_rows, full_turn, kind_of, metres_per_unit, same_crs
from sarcd.geography.grid_mapping import axis_attrs, crs_of, grid_mapping_of, is_counted, pixel_places, unit_of

_TOLERANCE = 0.01
"""Maximum difference between the grids of coregistered images in pixels, to allow for rounding."""


@dataclass(frozen=True, eq=False)
class Georeference:
    """CRS and transform, or ground control points, or neither.

    Parameters
    ----------
    crs : rasterio.crs.CRS or None
        CRS of the transform, or of the control points.
    transform : Affine or None
        Maps (column, row), counted from the outer corner of the first pixel, to (x, y).
    gcps : tuple of rasterio.control.GroundControlPoint
        Control points; empty if there is a transform.
    """

    crs: Any = None
    transform: Affine | None = None
    gcps: tuple[Any, ...] = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Georeference):
            return NotImplemented
        points, others = ([vars(point) for point in each.gcps] for each in (self, other))
        return bool(self.crs == other.crs) and self.transform == other.transform and points == others

    __hash__ = None  # type: ignore[assignment]  # control points have no hash

    @property
    def kind(self) -> str:
        """One of ``transform``, ``gcps``, ``none``."""
        if self.transform is not None:
            return "transform"
        return "gcps" if self.gcps else "none"

    @property
    def is_rectilinear(self) -> bool:
        """Whether x depends on the column alone and y on the row alone."""
        return self.transform is not None and self.transform.b == 0 and self.transform.d == 0

    def check(self) -> None:
        """Raise unless numbers are finite, the CRS is a map CRS, and pixels have an area.

        Raises
        ------
        SceneError
            If one of these does not hold. The surface of control points is checked when it is used.
        """
        numbers = [number for point in self.gcps for number in (point.row, point.col, point.x, point.y)]
        numbers += [] if self.transform is None else list(self.transform)[:6]
        hint = "assign a finite transform or control points, or remove them: 'gdal_edit.py -unsetgt -unsetgcp'"
        if not np.isfinite(np.array(numbers, float)).all():
            raise SceneError("the transform or a control point is not finite", hint=hint)
        kind = "none" if self.crs is None else kind_of(self.crs)
        if self.transform is None:
            return
        matrix = np.array(self.transform[:6]).reshape(2, 3)[:, :2]
        longest, shortest = np.linalg.svd(matrix, compute_uv=False)
        if shortest <= 1e-9 * longest:
            raise SceneError("the transform is singular, so pixels have no area", hint=hint)
        if kind == "projected" and longest * metres_per_unit(self.crs) < SMALLEST_PIXEL_M:
            size = longest * metres_per_unit(self.crs)
            hint = "assign the CRS that the transform is in"
            raise SceneError(
                f"pixels are {size:.2g} m wide, so the transform is in degrees but the CRS is not", hint=hint
            )

    def profile(self) -> Json:
        """Return the keyword arguments of `rasterio.open` that set this georeference."""
        given = {"crs": self.crs, "transform": self.transform, "gcps": list(self.gcps)}
        return {key: value for key, value in given.items() if value}

    def difference(self, other: Georeference, shape: tuple[int, int]) -> str | None:
        """Describe how the georeference of another raster of the same size differs; None if it does not.

        Examples
        --------
        >>> Georeference().difference(Georeference(transform=Affine.scale(2)), (4, 4))
        'georeference (transform, not none)'
        """
        if self.kind != other.kind:
            return f"georeference ({other.kind}, not {self.kind})"
        if not same_crs(self.crs, other.crs):
            return f"CRS ({_name(other.crs)}, not {_name(self.crs)})"
        if self.kind == "none":
            return None
        if self.transform is not None and other.transform is not None:
            shift = _largest_shift(self.transform, self._beside(other.transform), shape)
            return f"grid (shifted by up to {shift:.3g} pixels)" if shift > _TOLERANCE else None
        return None if _same_points(self.gcps, other.gcps, full_turn(self.crs)) else "ground control points"

    def _beside(self, transform: Affine) -> Affine:
        """Shift the longitudes of a transform to the range used here, since 180.1 and -179.9 degrees are equal."""
        turn = full_turn(self.crs)
        if turn is None or self.transform is None or not math.isfinite(transform.c - self.transform.c):
            return transform
        turns = round((self.transform.c - transform.c) / turn)
        return Affine(transform.a, transform.b, transform.c + turns * turn, transform.d, transform.e, transform.f)

    def cropped(self, first: tuple[float, float], step: tuple[float, float]) -> Georeference:
        """Return the georeference of every `step`-th pixel, starting at pixel `first`, both as (y, x)."""
        (y, x), (step_y, step_x) = first, step
        # Centres of pixels stay fixed; corners are half a pixel before them, in old and in new pixels.
        y, x = y + 0.5 - 0.5 * step_y, x + 0.5 - 0.5 * step_x
        transform = self.transform
        if transform is not None:
            transform = _chain(transform, Affine(step_x, 0.0, x, 0.0, step_y, y))
        points = tuple(
            _point((point.row - y) / step_y, (point.col - x) / step_x, point.x, point.y, point.z, point.id, point.info)
            for point in self.gcps
        )
        return Georeference(self.crs, transform, points)


def _chain(outer: Affine, inner: Affine) -> Affine:
    # affine 3 requires @, and affine 2 supports only *
    product = _matrix(outer) @ _matrix(inner)
    return Affine(*product.ravel()[:6].tolist())


def _matrix(transform: Affine) -> np.ndarray:
    return np.array((*tuple(transform)[:6], 0.0, 0.0, 1.0)).reshape(3, 3)


def _name(crs: Any) -> str:
    if crs is None:
        return "none"
    code = crs.to_authority()
    return ":".join(code) if code else str(crs.to_wkt())[:40]


def _largest_shift(first: Affine, second: Affine, shape: tuple[int, int]) -> float:
    """Return the maximum distance between the corners of two rasters in pixels."""
    height, width = shape
    if first.determinant == 0:  # such a transform maps the raster to a line
        return 0.0 if first == second else math.inf
    corners = np.array([(0, 0, 1), (width, 0, 1), (0, height, 1), (width, height, 1)], float).T
    moved = np.linalg.inv(_matrix(first)) @ _matrix(second) @ corners
    return float(np.abs(moved - corners).max())


def _same_points(first: Sequence[Any], second: Sequence[Any], turn: float | None) -> bool:
    if len(first) != len(second):
        return False
    a, b = (np.array([[p.row, p.col, p.x, p.y, p.z or 0.0] for p in points]) for points in (first, second))
    if turn is not None:
        b[:, 2] += turn * np.round((a[:, 2] - b[:, 2]) / turn)
    span = np.ptp(a, axis=0)
    pixels = max(span[0], span[1], 1.0)
    ground = _TOLERANCE * max(span[2], span[3]) / pixels
    return bool((np.abs(a - b) <= [_TOLERANCE, _TOLERANCE, ground, ground, 1.0]).all())


def of_dataset(dataset: Any) -> Georeference:
    """Return the georeference of an open rasterio dataset.

    An identity transform means that there is none: such a raster is in radar geometry, even if it has a CRS.

    Raises
    ------
    InputError
        If the georeference is invalid.
    """
    transform, (points, crs_of_points) = dataset.transform, dataset.gcps
    if transform != Affine.identity():
        found = Georeference(dataset.crs, transform)
    elif points:
        found = Georeference(crs_of_points, None, tuple(points))
    else:
        found = Georeference()
        _warn_of_unused_georeference(dataset)
    try:
        found.check()
        check_rows(found.crs, found.transform, dataset.shape)
    except SceneError as error:
        raise InputError(error.error, source=dataset.name, hint=error.hint) from error
    return found


def _warn_of_unused_georeference(dataset: Any) -> None:
    """Warn of a georeference of a file that is not supported."""
    found, option = "", ""
    if dataset.crs is not None:
        found = f"has a CRS ({_name(dataset.crs)}) but no transform"
    elif dataset.rpcs is not None:
        found, option = "is georeferenced by rational polynomials (RPC), which are not supported", "-rpc"
    elif dataset.tags(ns="GEOLOCATION"):
        found, option = "is georeferenced by geolocation arrays, which are not supported", "-geoloc"
    if found:
        hint = f" Use gdalwarp {option} to convert it to a map." if option else ""
        warnings.warn(f"{dataset.name} {found}, so it is read without a georeference.{hint}", stacklevel=3)


@dataclass(frozen=True)
class Coordinates:
    """Georeference as coordinates of a scene.

    Parameters
    ----------
    y, x : ndarray
        Pixel centres (float64) if the grid is rectilinear, otherwise pixel numbers (int64) from 0.
    spatial_ref, y_attrs, x_attrs : dict
        Attributes of the CF grid mapping, as rioxarray writes them, and of the coordinates.
    """

    y: np.ndarray
    x: np.ndarray
    spatial_ref: Json = field(default_factory=dict)
    y_attrs: Json = field(default_factory=dict)
    x_attrs: Json = field(default_factory=dict)


def to_coordinates(georeference: Georeference, shape: tuple[int, int]) -> Coordinates:
    """Return the coordinates of a scene of `shape` (y, x)."""
    import rioxarray  # noqa: F401  registers .rio

    carrier = xr.DataArray(np.zeros((1, 1), "uint8"), dims=("y", "x"))
    crs, transform = georeference.crs, georeference.transform
    if crs is not None:
        carrier = carrier.rio.write_crs(crs)
    if transform is not None:
        carrier = carrier.rio.write_transform(transform)
    if georeference.gcps:
        carrier = carrier.rio.write_gcps(georeference.gcps, crs)
    spatial_ref = dict(carrier.coords["spatial_ref"].attrs) if "spatial_ref" in carrier.coords else {}
    height, width = shape
    if transform is None or not georeference.is_rectilinear:
        counted = {"units": "1"}
        return Coordinates(
            np.arange(height),
            np.arange(width),
            spatial_ref,
            {"long_name": "row of the image", **counted},
            {"long_name": "column of the image", **counted},
        )
    y = transform.f + (np.arange(height) + 0.5) * transform.e
    x = transform.c + (np.arange(width) + 0.5) * transform.a
    attrs = axis_attrs(crs)
    return Coordinates(y, x, spatial_ref, attrs["Y"], attrs["X"])


def of_scene(scene: xr.Dataset) -> Georeference:
    """Return the georeference of a scene, or of a part of one.

    Parameters
    ----------
    scene : xr.Dataset
        Scene with coordinates `y` and `x`, and a CF grid mapping: `spatial_ref`, or the variable that the images name
        in `grid_mapping`, with attributes as written by rioxarray or defined by CF. Selections and strides by ``isel``
        are recognised from the coordinates.

    Raises
    ------
    SceneError
        If the attributes cannot be read, the coordinates are unevenly spaced or in another unit than the CRS, or
        the pixel size is unknown.
    """
    name, attrs = grid_mapping_of(scene)
    try:
        crs = crs_of(scene, attrs)
        transform = _read_transform(attrs)
        gcps = tuple(_read_point(point) for point in json.loads(attrs["gcps"])["features"]) if "gcps" in attrs else ()
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise SceneError(f"'{name}' cannot be read ({text})", hint="write it with rioxarray") from error
    y, x = (pixel_places(scene, dim) for dim in ("y", "x"))
    stored = Georeference(crs, transform, gcps if transform is None else ())
    if not stored.is_rectilinear and _are_numbers(scene, stored, y, x):
        first, step = (float(y[0]), float(x[0])), (_step(y), _step(x))
        if stored.kind == "none":
            return Georeference()  # a CRS alone locates nothing
        return stored if (first, step) == ((0, 0), (1, 1)) else stored.cropped(first, step)
    _check_units(scene, crs)
    return _from_centres(stored, y, x, _single(scene))


def _are_numbers(scene: xr.Dataset, stored: Georeference, y: np.ndarray, x: np.ndarray) -> bool:
    """Return whether coordinates are pixel numbers and not map coordinates, which may be integers too."""
    if y.dtype.kind in "iu" and x.dtype.kind in "iu":
        if stored.kind != "none" or stored.crs is None:
            return True
    elif stored.kind != "none" or stored.crs is not None or not (is_counted(y) and is_counted(x)):
        return False
    return not any(unit_of(scene, dim) or "standard_name" in scene[dim].attrs for dim in ("y", "x") if dim in scene)


def _single(scene: xr.Dataset) -> tuple[float | None, float | None]:
    """Return attribute `spacing_m` of a scene without a CRS, for coordinates of a single value."""
    spacing = np.atleast_1d(scene.attrs.get("spacing_m", ()))
    return (float(spacing[0]), float(spacing[1])) if len(spacing) == 2 else (None, None)


def _check_units(scene: xr.Dataset, crs: Any) -> None:
    """Raise if the units attribute of a coordinate differs from the unit of the CRS."""
    if crs is None:
        return
    kind = kind_of(crs)
    for dim in ("y", "x"):
        unit = unit_of(scene, dim)
        if unit is None:
            continue
        what, size = unit
        if what == "angle" if kind != "geographic" else what == "length":
            wrong = True
        else:
            own = metres_per_unit(crs) if what == "length" else 360 / (full_turn(crs) or 360)
            wrong = not math.isclose(size, own, rel_tol=1e-4)
        if wrong:
            text = f"'{dim}' is in {scene[dim].attrs['units']}, which is not the unit of the CRS"
            raise SceneError(text, hint="convert the coordinate, or assign the CRS that it is in")


def _from_centres(
    stored: Georeference, y: np.ndarray, x: np.ndarray, single: tuple[float | None, float | None]
) -> Georeference:
    """Return the stored transform if it matches the coordinates, otherwise one derived from them."""
    if stored.transform is None and stored.gcps:
        return stored
    old = stored.transform
    if old is None and len(y) < 2 and len(x) < 2 and stored.crs is None:
        return stored
    spacing = (old.e, old.a) if old else single if stored.crs is None else (None, None)
    step_y, step_x = (
        _step(values, known, dim, is_map=stored.crs is not None)
        for values, known, dim in zip((y, x), spacing, ("y", "x"), strict=True)
    )
    new = Affine(step_x, 0.0, float(x[0]) - step_x / 2, 0.0, step_y, float(y[0]) - step_y / 2)
    slack = max(_TOLERANCE, *(_rounding(values) / abs(step) for values, step in ((y, step_y), (x, step_x))))
    if old is not None and _largest_shift(old, new, (len(y), len(x))) < slack:
        return stored
    return Georeference(stored.crs, new)


def _step(values: np.ndarray, single: float | None = None, dim: str = "", *, is_map: bool = False) -> float:
    """Return the spacing of a coordinate; `single` is that of a coordinate with a single value."""
    if len(values) < 2:
        if single is None and is_map:
            hint = "write the transform before the selection, with scene.rio.write_transform()"
            raise SceneError(f"'{dim}' has a single value, so the pixel size is unknown", hint=hint)
        return 1.0 if single is None else single
    step = float(values[-1] - values[0]) / (len(values) - 1)
    even = float(values[0]) + step * np.arange(len(values))
    if step == 0 or not np.isfinite(values).all():
        what = f"'{dim}'" if dim else "'y' or 'x'"
        wrong = "constant" if step == 0 else "not finite"
        raise SceneError(f"{what} is {wrong}", hint="write the coordinates of a regular grid, and its transform")
    off = np.abs(values - even).max()
    allowed = min(max(_TOLERANCE * abs(step), 2 * _rounding(values)), abs(step) / 4)
    if not off <= allowed:
        raise SceneError("'y' or 'x' is not evenly spaced", hint="resample the scene to a regular grid")
    return step


def _rounding(values: np.ndarray) -> float:
    """Return the rounding error of a coordinate due to its dtype; float32 has seven digits."""
    if values.dtype.kind != "f":
        return 0.0
    return float(np.finfo(values.dtype).eps * np.abs(values).max())


def _read_transform(attrs: Json) -> Affine | None:
    text = attrs.get("GeoTransform")
    if text is None:
        return None
    return Affine.from_gdal(*(float(part) for part in text.split()))


def _read_point(feature: Json) -> Any:
    x, y, *z = feature["geometry"]["coordinates"]
    about = feature["properties"]
    return _point(about["row"], about["col"], x, y, z[0] if z else None, about.get("id"), about.get("info"))


def _point(*row_col_x_y_z_id_info: Any) -> Any:
    from rasterio.control import GroundControlPoint

    return GroundControlPoint(*row_col_x_y_z_id_info)
