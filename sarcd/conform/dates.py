"""Convert dates and pairs: dates in CF encoding, each date once, and pairs among the dates of the scene."""

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
# No time zone other than UTC; digits beyond microseconds must be zero.
_DATE = re.compile(r"(\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?)(?<=\d)0{0,3}(Z|\+00:00)?")
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)Z?)?")


def conform_times(scene: xr.Dataset) -> xr.Dataset:
    """Return a scene whose dates are datetime64, valid, unique and increasing.

    Raises
    ------
    SceneError
        If they are not dates, or two images have the same date.
    """
    if "time" not in scene.dims and "time" not in scene.coords:
        if any("time" in schema.VARIABLES[name].dims for name in scene.data_vars if name in schema.VARIABLES):
            raise _missing(scene, "time")
        return scene  # scoring a map needs no images
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
    """Return a scene whose pairs compare two of its dates, the earlier one first, each pair once.

    Pairs whose dates are not in the scene, for example after ``isel(time=[0, 2])``, are dropped with their results, and
    this is logged. If no pair remains, the scene has no list of pairs and consecutive dates are compared. They are kept
    if `within_dates` is False.

    Raises
    ------
    SceneError
        If the dates of the pairs are missing, invalid, or do not describe pairs.
    """
    there = [name for name in ("before", "after") if name in scene.coords]
    if "pair" not in scene.dims:
        odd = [name for name in there if scene[name].ndim]
        if odd:
            raise SceneError(
                f"'{odd[0]}' has dims {scene[odd[0]].dims}, should be ('pair',)",
                source=schema.source_of(scene),
                hint="drop both to compare consecutive dates: scene.drop_vars(['before', 'after'])",
            )
        return scene.drop_vars(there)
    for name in ("before", "after"):
        if name not in there:
            raise _missing(scene, name)
        if scene[name].dims != ("pair",):
            raise SceneError(
                f"'{name}' has dims {scene[name].dims}, should be ('pair',)",
                source=schema.source_of(scene),
                hint="concatenate the images without their pairs: scene.drop_dims('pair')"
                ".drop_vars(['before', 'after'], errors='ignore')",
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
            "%s%d of %d pairs compare dates that are not in 'time' and are left out with their results",
            source, lost, len(inside),
        )  # fmt: skip
        return _of_pairs(scene, np.flatnonzero(inside))
    names = sorted(str(name) for name, array in scene.data_vars.items() if "pair" in array.dims)
    _LOG.warning(
        "%snone of the %d pairs has both dates in 'time', so consecutive dates are compared%s",
        source, lost, f"; left out: {', '.join(names)}" if names else "",
    )  # fmt: skip
    return scene.drop_dims("pair").drop_vars(["before", "after"], errors="ignore")


def _of_pairs(scene: xr.Dataset, kept: np.ndarray) -> xr.Dataset:
    """Return a subset of the pairs, with their completeness flags."""
    found = scene.isel(pair=kept)
    for name, array in scene.data_vars.items():
        flags = schema.flags_of(array.attrs)
        if "pair" in array.dims and len(flags) == array.sizes["pair"]:
            found[name].attrs[schema.COMPLETE] = [int(flags[position]) for position in kept]
    return found


def _with_matching_flags(scene: xr.Dataset) -> xr.Dataset:
    """Correct the completeness flags after a selection of pairs, which does not update attributes.

    If all pairs were complete, so are the remaining ones. Otherwise it is unknown which are, and none counts as
    complete.
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
    """Return a scene whose date coordinate is datetime64, decoded from CF numbers, cftime objects or text."""
    coordinate = scene[name]
    if coordinate.dtype.kind == "M":
        return scene
    try:
        dates = _dates_of(coordinate)
    except (ValueError, TypeError, OverflowError):  # a calendar without these days, or text that is not a date
        dates = None
    if dates is None:
        raise SceneError(
            f"coordinate '{name}' is {coordinate.dtype}, should be datetime64",
            source=schema.source_of(scene),
            hint=f"assign dates in UTC: scene.assign_coords({name}=numpy.array([...], 'datetime64[us]'))",
        )
    return scene.assign_coords({name: (coordinate.dims, dates, _plain_attrs(coordinate))})


def _dates_of(coordinate: xr.DataArray) -> np.ndarray | None:
    """Decode dates stored as CF numbers, text or objects; return None if the values are none of these."""
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
    """Return a date in UTC as text that NumPy parses, from the usual notations; None if it is not a date.

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
    """Return the attributes of a coordinate without those of its CF encoding."""
    return {key: value for key, value in coordinate.attrs.items() if key not in ("units", "calendar")}


def _refuse_unknown(scene: xr.Dataset, name: str, dates: np.ndarray) -> None:
    unknown = np.flatnonzero(np.isnat(dates))
    if unknown.size:
        dim = "time" if name == "time" else "pair"
        raise SceneError(
            f"'{name}' has no date (NaT) at position {unknown[0]}",
            source=schema.source_of(scene),
            hint=f"assign its date: scene.assign_coords({name}=...), or drop it: "
            f"scene.isel({dim}=scene['{name}'].notnull())",
        )


def _missing(scene: xr.Dataset, name: str) -> SceneError:
    if name == "time":
        hint = "assign the acquisition date of each image: scene.assign_coords(time=[...]) with datetime64 dates"
    else:
        hint = f"assign this date of each pair: scene.assign_coords({name}=('pair', [...])) with datetime64 dates"
    return SceneError(f"coordinate '{name}' is missing", source=schema.source_of(scene), hint=hint)
