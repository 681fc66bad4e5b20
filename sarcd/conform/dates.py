"""Dates and pairs: understood as CF writes them, each date once, and pairs among the dates that are there."""

from __future__ import annotations

import logging
import re
from typing import Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.errors import SceneError

_LOG = logging.getLogger(__name__)

_CALENDARS = {"standard", "gregorian", "proleptic_gregorian"}
# Without a time zone, unless it is UTC; what is finer than a microsecond is zeros.
_DATE = re.compile(r"(\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?)(?<=\d)0{0,3}(Z|\+00:00)?")
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)Z?)?")


def conform_times(scene: xr.Dataset) -> xr.Dataset:
    """Return a scene whose dates are datetime64, known, each different, and increasing.

    Raises
    ------
    SceneError
        If they are no dates, or two images have one date.
    """
    if "time" not in scene.dims and "time" not in scene.coords:
        if any("time" in schema.VARIABLES[name].dims for name in scene.data_vars if name in schema.VARIABLES):
            raise _missing(scene, "time")
        return scene  # scores of a map need no images
    if "time" not in scene.coords:
        raise _missing(scene, "time")
    scene = _decoded(scene, "time")
    times = schema.dates_of(scene, "time")
    if times.ndim == 0:
        return scene
    _refuse_unknown(scene, "time", times)
    schema.refuse_same_dates(scene, times)
    order = np.argsort(times)
    return scene if (np.diff(order) == 1).all() else scene.isel(time=order)


def conform_pairs(scene: xr.Dataset, *, within_dates: bool = True) -> xr.Dataset:
    """Return a scene whose pairs compare two of its dates, the earlier first, each pair once.

    Pairs of dates that the scene does not have are left out with their results, as after ``isel(time=[0, 2])``, and
    that is logged. Where none is left the scene has no list of pairs: consecutive dates are compared. Without
    `within_dates` they stay.

    Raises
    ------
    SceneError
        If the dates of pairs are missing, unknown, or do not name pairs.
    """
    there = [name for name in ("before", "after") if name in scene.coords]
    if "pair" not in scene.dims:
        odd = [name for name in there if scene[name].ndim]
        if odd:
            raise SceneError(
                f"'{odd[0]}' has dims {scene[odd[0]].dims}, should be ('pair',)",
                source=schema.source_of(scene),
                hint="drop both, and consecutive dates are compared: scene.drop_vars(['before', 'after'])",
            )
        return scene.drop_vars(there)
    for name in ("before", "after"):
        if name not in there:
            raise _missing(scene, name)
        if scene[name].dims != ("pair",):
            raise SceneError(
                f"'{name}' has dims {scene[name].dims}, should be ('pair',)",
                source=schema.source_of(scene),
                hint="join the images alone, without pairs: scene.drop_dims('pair').drop_vars(['before', 'after'], "
                "errors='ignore')",
            )
        scene = _decoded(scene, name)
        dates = schema.dates_of(scene, name)
        _refuse_unknown(scene, name, dates)
        scene = scene.assign_coords({name: ("pair", dates, _plain_attrs(scene[name]))})
    schema.refuse_odd_pairs(scene)
    return _with_matching_flags(_within_dates(scene) if within_dates else scene)


def _within_dates(scene: xr.Dataset) -> xr.Dataset:
    if "time" not in scene.coords or scene["time"].ndim == 0:
        return scene
    times = schema.dates_of(scene, "time")
    inside = np.isin(scene["before"].values, times) & np.isin(scene["after"].values, times)
    if inside.all():
        return scene
    source = f"{schema.source_of(scene)}: " if schema.source_of(scene) else ""
    lost = int((~inside).sum())
    if inside.any():
        _LOG.warning(
            "%s%d of %d pairs compare dates that are not in 'time'; they are left out with their results",
            source, lost, len(inside),
        )  # fmt: skip
        return _of_pairs(scene, np.flatnonzero(inside))
    names = sorted(str(name) for name, array in scene.data_vars.items() if "pair" in array.dims)
    _LOG.warning(
        "%snone of the scene's %d pairs lies among its dates: consecutive dates are compared%s",
        source, lost, f"; left out: {', '.join(names)}" if names else "",
    )  # fmt: skip
    return scene.drop_dims("pair").drop_vars(["before", "after"], errors="ignore")


def _of_pairs(scene: xr.Dataset, kept: np.ndarray) -> xr.Dataset:
    """Return some of the pairs, with the flags of completeness that belong to them."""
    found = scene.isel(pair=kept)
    for name, array in scene.data_vars.items():
        flags = schema.flags_of(array.attrs)
        if "pair" in array.dims and len(flags) == array.sizes["pair"]:
            found[name].attrs[schema.COMPLETE] = [int(flags[position]) for position in kept]
    return found


def _with_matching_flags(scene: xr.Dataset) -> xr.Dataset:
    """Correct the flags of completeness of variables whose pairs were selected: the flags do not follow a selection.

    Where all were complete, those that are left are; else it is not known which, and none counts as complete.
    """
    changed = {}
    for name, array in scene.data_vars.items():
        if "pair" not in array.dims or schema.COMPLETE not in array.attrs:
            continue
        flags = schema.flags_of(array.attrs)
        if len(flags) != array.sizes["pair"]:
            corrected = [int(bool(flags) and all(flags))] * array.sizes["pair"]
            changed[name] = array.variable.copy(deep=False)
            changed[name].attrs = {**array.attrs, schema.COMPLETE: corrected}
    return scene.assign(changed) if changed else scene


def _decoded(scene: xr.Dataset, name: str) -> xr.Dataset:
    """Return a scene whose coordinate of dates is datetime64, from what CF or cftime makes of dates."""
    coordinate = scene[name]
    if coordinate.dtype.kind == "M":
        return scene
    try:
        dates = _dates_of(coordinate)
    except (ValueError, TypeError, OverflowError):  # a calendar without these days, or words that are no dates
        dates = None
    if dates is None:
        raise SceneError(
            f"coordinate '{name}' is {coordinate.dtype}, should be datetime64",
            source=schema.source_of(scene),
            hint=f"assign dates in UTC: scene.assign_coords({name}=...), as numpy.array([...], 'datetime64[us]')",
        )
    return scene.assign_coords({name: (coordinate.dims, dates, _plain_attrs(coordinate))})


def _dates_of(coordinate: xr.DataArray) -> np.ndarray | None:
    """Return dates that are stored as CF numbers, text or objects; None where they are nothing of the kind."""
    variable = coordinate.variable.to_base_variable().compute()
    if coordinate.dtype.kind in "iuf":
        if " since " not in str(coordinate.attrs.get("units", "")):
            return None
        decoded = xr.conventions.decode_cf_variable(str(coordinate.name), variable)
        if decoded.dtype.kind == "M":
            return np.asarray(decoded.values).astype("datetime64[us]")
        variable = decoded
    values = variable.values.ravel().tolist()
    if not {getattr(value, "calendar", "standard") for value in values} <= _CALENDARS:
        return None
    texts = [_iso(getattr(value, "isoformat", lambda value=value: value)()) for value in values]
    if None in texts:
        return None
    return np.array(texts, "datetime64[us]").reshape(variable.shape)


def _iso(value: Any) -> str | None:
    """Return a date in UTC as NumPy reads it, from any of the usual texts; None where it is none.

    Examples
    --------
    >>> _iso("2023-03-19T05:58:00Z"), _iso("20230319"), _iso(b"2023-03-19 05:58:00.000000000")
    ('2023-03-19T05:58:00', '2023-03-19', '2023-03-19 05:58:00.000000')
    >>> _iso("2023-03-19T00:00+02:00"), _iso(20230319)
    (None, None)
    """
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        return None
    compact = _COMPACT.fullmatch(text.strip())
    if compact is not None:
        year, month, day, *clock = compact.groups()
        return f"{year}-{month}-{day}" + (f"T{':'.join(clock)}" if clock[0] else "")
    found = _DATE.fullmatch(text.strip())
    return None if found is None else found[1]


def _plain_attrs(coordinate: xr.DataArray) -> dict[str, object]:
    """Return the attributes of a coordinate without those that describe how dates were stored as numbers."""
    return {key: value for key, value in coordinate.attrs.items() if key not in ("units", "calendar")}


def _refuse_unknown(scene: xr.Dataset, name: str, dates: np.ndarray) -> None:
    unknown = np.flatnonzero(np.isnat(dates))
    if unknown.size:
        dim = "time" if name == "time" else "pair"
        raise SceneError(
            f"'{name}' has no date (NaT) at position {unknown[0]}",
            source=schema.source_of(scene),
            hint=f"assign its date: scene.assign_coords({name}=...), or leave it out: "
            f"scene.isel({dim}=scene['{name}'].notnull())",
        )


def _missing(scene: xr.Dataset, name: str) -> SceneError:
    if name == "time":
        hint = "say when each image was acquired: scene.assign_coords(time=[...]) with datetime64 dates"
    else:
        hint = f"say which date it is of each pair: scene.assign_coords({name}=('pair', [...])) with datetime64 dates"
    return SceneError(f"coordinate '{name}' is missing", source=schema.source_of(scene), hint=hint)
