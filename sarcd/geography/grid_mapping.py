"""Read the CRS and units of a dataset from the usual attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from sarcd.attributes import Json
from sarcd.geography.geodesy import angle_unit

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
    """Return name and attributes of the grid mapping of a scene: `spatial_ref`, or the one that a variable names.

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
    for name in dict.fromkeys(named):  # the long form in CF is "crs: x y"
        if name in scene.variables and scene[name].attrs:
            return name, dict(scene[name].attrs)
    return _DEFAULT, {}


def crs_of(scene: xr.Dataset, attrs: Mapping[str, Any]) -> Any:
    """Return the CRS of a scene, or None if it has none.

    Parameters
    ----------
    scene : xr.Dataset
        Scene, which may have a `crs` attribute as written by older programs.
    attrs : mapping
        Attributes of the grid mapping: WKT, a PROJ string, an EPSG code, or CF parameters.

    Raises
    ------
    Exception
        From rasterio or pyproj, if the CRS is invalid.
    """
    for key in _TEXTS:
        if attrs.get(key):
            return _crs().from_user_input(str(attrs[key]))
    for key in _CODES:
        if attrs.get(key):
            return _crs().from_epsg(int(str(attrs[key]).rsplit(":", maxsplit=1)[-1]))
    if "grid_mapping_name" in attrs:
        import pyproj

        return _crs().from_wkt(pyproj.CRS.from_cf(dict(attrs)).to_wkt())
    for holder in (scene, *scene.data_vars.values()):
        if isinstance(holder.attrs.get("crs"), str):
            return _crs().from_user_input(holder.attrs["crs"].removeprefix("+init="))
    return None


def _crs() -> Any:
    from rasterio.crs import CRS

    return CRS


def unit_of(scene: xr.Dataset, dim: str) -> tuple[str, float] | None:
    """Return whether a coordinate is a length or an angle, and its unit in metres or degrees; None if unknown.

    Examples
    --------
    >>> unit_of(xr.Dataset(coords={"x": ("x", [0.0], {"units": "km"})}), "x")
    ('length', 1000.0)
    """
    units = str(scene[dim].attrs.get("units", "")).strip().lower() if dim in scene.coords else ""
    for what, sizes in (("length", _LENGTHS), ("angle", _ANGLES)):
        for size, words in sizes.items():
            if units in words or (what == "angle" and units.startswith(("degrees_", "degree_"))):
                return what, size
    return None


def axis_attrs(crs: Any) -> dict[str, Json]:
    """Return the CF attributes of the axes of a CRS, in the unit of the CRS.

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
        # CF supports longitudes and latitudes in degrees only.
        if str(axis.get("units", "")).startswith("degrees_") and angle_unit(known) != "degrees":
            found[axis["axis"]]["units"] = angle_unit(known)
    return found


def pixel_places(scene: xr.Dataset, dim: str) -> np.ndarray:
    """Return a numeric coordinate, or pixel numbers if it is missing or not numeric, such as azimuth times."""
    if dim in scene.coords and scene[dim].dtype.kind in "iuf":
        return np.asarray(scene[dim].values)
    return np.arange(scene.sizes[dim])


def is_counted(values: np.ndarray) -> bool:
    """Return whether a coordinate holds pixel numbers from 0, as integers or floats."""
    return np.array_equal(values, np.arange(len(values)))
