"""The scene: every variable's name, dims, dtype, fill value and meaning, and the checks of a foreign dataset."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from sarcd.errors import SceneError

VERSION = 1
"""Version of this schema, kept in the store's root attributes as `sarcd_schema`."""

COMPLETE = "sarcd_complete"
"""Attribute of a stored derived array: one flag per pair (a single one for arrays without `pair`)."""

PRIVATE = "sarcd_"
"""Beginning of the names of arrays that sarcd keeps in a store for itself: never listed, and made anew when absent."""

NO_LABEL = 255
"""Value of `label`, `change` and `pseudo_label` where nothing is known."""

NO_DATE = -1
"""Value of `first_change` and `last_change` where nothing is known; 0 is no change: none shows on the first date."""

TIME_UNITS = "microseconds since 1970-01-01"
CHUNK = 1024
"""Side of a stored chunk along y and x; chunks are 1 along time and pair."""


@dataclass(frozen=True)
class Variable:
    """What the schema says of one variable."""

    name: str
    dims: tuple[str, ...]
    dtype: str
    long_name: str
    units: str = "1"
    derived: bool = True
    flags: tuple[str, ...] = ()

    @property
    def fill(self) -> Any:
        """Value of what was never written or is invalid."""
        if self.dtype == "complex64":
            return complex(np.nan, np.nan)
        if self.dtype == "float32":
            return float("nan")
        if self.dtype == "int16":
            return NO_DATE
        return 0 if self.name == "mask" else NO_LABEL

    def attrs(self) -> dict[str, Any]:
        """Attributes every stored or computed instance of the variable carries."""
        attrs: dict[str, Any] = {"long_name": self.long_name, "units": self.units}
        if self.flags:
            attrs["flag_values"] = [int(flag.split()[0]) for flag in self.flags]
            attrs["flag_meanings"] = " ".join(flag.split()[1] for flag in self.flags)
        return attrs


_SERIES, _PAIRED, _PLANE = ("time", "y", "x"), ("pair", "y", "x"), ("y", "x")
_WHEN = "date that shows the {} change, counted from 0 in order of time; 0 = none"
_CHANGE_FLAGS = ("0 no_change", "1 change_of_interest", "255 unknown")

VARIABLES: dict[str, Variable] = {
    variable.name: variable
    for variable in (
        Variable("slc", _SERIES, "complex64", "coregistered single-look complex image, linear", derived=False),
        Variable("amplitude", _SERIES, "float32", "amplitude of a detected image, linear", derived=False),
        Variable("label", _PAIRED, "uint8", "change of interest, by a person", derived=False, flags=_CHANGE_FLAGS),
        Variable(
            "true_coherence", _PAIRED, "float32", "expected coherence of a simulated scene, 0 to 1", derived=False
        ),
        Variable("coherence", _PAIRED, "float32", "magnitude of the complex coherence, 0 to 1"),
        Variable("coherence_phase", _PAIRED, "float32", "phase of the complex coherence", units="radian"),
        Variable("change_probability", _PAIRED, "float32", "probability of a change of interest, 0 to 1"),
        Variable("change_score", _PAIRED, "float32", "evidence of change from a label-free method"),
        Variable("change", _PAIRED, "uint8", "change of interest", flags=_CHANGE_FLAGS),
        Variable("pseudo_label", _PAIRED, "uint8", "change of interest, by a model", flags=_CHANGE_FLAGS),
        Variable("uncertainty", _PAIRED, "float32", "spread of the probability among variants"),
        Variable(
            "undecidable",
            _PAIRED,
            "uint8",
            "ground that cannot be judged: layover, shadow, or coherence that cannot tell",
            flags=("0 decidable", "1 undecidable", "255 unknown"),
        ),
        Variable("omnibus_score", _PLANE, "float32", "evidence of any change on any date, -log10 of the p-value"),
        Variable("change_count", _PLANE, "uint8", "number of changes, 254 = that or more, 255 = unknown"),
        Variable("first_change", _PLANE, "int16", _WHEN.format("first")),
        Variable("last_change", _PLANE, "int16", _WHEN.format("last")),
        Variable("persistence", _PLANE, "float32", "share of the dates since the first change that still differ"),
        Variable("mask", _PLANE, "uint8", "why a pixel cannot be judged: bit flags, 0 = usable"),
    )
}

IMAGES = ("slc", "amplitude")
"""Names a scene may keep its images under; exactly one of them is present."""

STORED_COORDINATES = "spatial_ref before after"
"""Root attribute `coordinates` of the stores that sarcd makes: which arrays are coordinates without being dims."""

COORDINATES = ("time", "before", "after", "y", "x", "spatial_ref")


def variable(name: str) -> Variable:
    """Return what the schema says of `name`, which may carry a suffix as in `change_mymodel`.

    Raises
    ------
    SceneError
        If the name belongs to no variable of the schema.
    """
    if name in VARIABLES:
        return VARIABLES[name]
    for known in sorted(VARIABLES, key=len, reverse=True):
        if re.fullmatch(rf"{known}_[A-Za-z0-9_-]+", name):
            return VARIABLES[known]
    raise SceneError(f"'{name}' is no variable of a scene", hint=f"known are {', '.join(VARIABLES)}")


def known(name: object) -> Variable | None:
    """Return what the schema says of a variable, None for somebody's own variable beside ours."""
    try:
        return variable(str(name))
    except SceneError:
        return None


def is_own(scene: xr.Dataset) -> bool:
    """Tell whether sarcd made a scene, so that its no-data is NaN and nothing else."""
    return "sarcd_schema" in scene.attrs


def flags_of(attrs: Mapping[Any, Any]) -> list[bool]:
    """Return the flags of completeness among the attributes of a variable, one a pair; empty where it has none."""
    return [bool(flag) for flag in np.atleast_1d(attrs.get(COMPLETE, []))]


def with_pair_dates(scene: xr.Dataset) -> xr.Dataset:
    """Make coordinates of `before` and `after` again, which are plain variables where root attributes were lost."""
    lost = [name for name in ("before", "after", "spatial_ref") if name in scene.data_vars]
    return scene.set_coords(lost) if lost else scene


def images_of(scene: xr.Dataset) -> xr.DataArray:
    """Return the scene's images: `slc` where there is phase, else `amplitude`."""
    for name in IMAGES:
        if name in scene:
            return scene[name]
    hint = "make the scene with 'sarcd ingest IMAGE... -o'"
    candidates = [str(name) for name, array in scene.data_vars.items() if array.dtype.kind == "c" and array.ndim > 1]
    if candidates:
        hint = f"name the complex images so: scene.rename({{'{candidates[0]}': 'slc'}})"
        if len(candidates) > 1:
            hint = f"put the complex images {', '.join(candidates[:4])} along one dim: xr.concat([...], 'time')"
    elif len(parts := _parts(scene)) == 2:
        hint = f"join both parts: scene['slc'] = scene['{parts[0]}'] + 1j * scene['{parts[1]}']"
    raise SceneError("no 'slc' and no 'amplitude'", source=source_of(scene), hint=hint)


def _parts(scene: xr.Dataset) -> list[str]:
    """Return the names of real and imaginary part, where a scene keeps its images so."""
    names = {str(name).lower(): str(name) for name in scene.data_vars}
    pairs = (("i", "q"), ("real", "imag"), ("re", "im"), ("slc_real", "slc_imag"), ("i_vv", "q_vv"), ("i_vh", "q_vh"))
    return next(([names[one], names[two]] for one, two in pairs if one in names and two in names), [])


def source_of(scene: xr.Dataset) -> str | None:
    """Return the path the dataset was opened from, if it knows it."""
    source = scene.encoding.get("source")
    return None if source is None else str(source)


def validate(scene: xr.Dataset) -> xr.Dataset:
    """Check a dataset against the schema and return it.

    Parameters
    ----------
    scene : xr.Dataset
        Anything: a scene of sarcd's own, or somebody else's Zarr store.

    Raises
    ------
    SceneError
        With the variable at fault, what it should be and how to get there.

    Examples
    --------
    >>> validate(xr.Dataset({"ndvi": ("y", [1.0])}))
    Traceback (most recent call last):
    ...
    sarcd.errors.SceneError: no 'slc' and no 'amplitude'. Make the scene with 'sarcd ingest IMAGE... -o'.
    """
    source = source_of(scene)
    check_version(scene)
    images_of(scene)
    if all(name in scene for name in IMAGES):
        raise SceneError("both 'slc' and 'amplitude' are present", source=source, hint="drop one of them")
    for name, array in scene.data_vars.items():
        if str(name).split("_")[0] in {known.split("_")[0] for known in VARIABLES}:
            _check_array(str(name), array, source)
    _check_coordinates(scene, source)
    return scene


def check_version(scene: xr.Dataset) -> None:
    """Raise SceneError if a scene is of another version of the schema."""
    version = scene.attrs.get("sarcd_schema", VERSION)
    if version != VERSION:
        raise SceneError(
            f"store is of schema version {version!r}, this sarcd reads version {VERSION}",
            source=source_of(scene),
            hint="use the sarcd that wrote it, or ingest the images again",
        )


def refuse_same_dates(scene: xr.Dataset, times: np.ndarray) -> None:
    """Raise SceneError if two images have one date: one would be compared with the other as if time had passed."""
    unique, first, counts = np.unique(times, return_index=True, return_counts=True)
    if len(unique) == len(times):
        return
    twice = unique[counts > 1][0]
    kept = ", ".join(map(str, sorted(first)))
    raise SceneError(
        f"{counts.max()} images have the date {short_date(twice)} in 'time'",
        source=source_of(scene),
        hint=f"keep one of each, as scene.isel(time=[{kept}]), or give them their times of day: "
        "scene.assign_coords(time=...)",
    )


def refuse_odd_pairs(scene: xr.Dataset) -> None:
    """Raise SceneError if a pair compares a date with itself or with an earlier one, or is listed twice."""
    before, after = dates_of(scene, "before"), dates_of(scene, "after")
    seen: set[tuple[Any, Any]] = set()
    for position, pair in enumerate(zip(before, after, strict=True)):
        named = f"pair {position}, {short_date(pair[0])} to {short_date(pair[1])},"
        if pair[0] >= pair[1]:
            wrong = "compares a date with itself" if pair[0] == pair[1] else "runs backwards in time"
            hint = f"correct 'before' and 'after', or leave it out: scene.drop_isel(pair={position})"
            raise SceneError(f"{named} {wrong}", source=source_of(scene), hint=hint)
        if pair in seen:
            hint = f"leave one out: scene.drop_isel(pair={position})"
            raise SceneError(f"{named} is listed twice", source=source_of(scene), hint=hint)
        seen.add(pair)


def day_of(date: np.datetime64) -> str:
    """Return the day of a date as text, as users name dates in options."""
    return str(date.astype("datetime64[D]"))


def short_date(date: np.datetime64) -> str:
    """Return a date as text: the day, with the time of day where there is one."""
    return day_of(date) if date.astype("datetime64[D]") == date else str(date.astype("datetime64[s]"))


def _check_array(name: str, array: xr.DataArray, source: str | None) -> None:
    wanted = known(name)
    if wanted is None or (name not in VARIABLES and COMPLETE not in array.attrs and array.dims != wanted.dims):
        return  # somebody's own variable beside ours
    if array.dims != wanted.dims:
        raise SceneError(
            f"'{name}' has dims {array.dims}, should be {wanted.dims}",
            source=source,
            hint=f"rename and transpose: scene['{name}'].transpose{wanted.dims}",
        )
    if array.dtype != np.dtype(wanted.dtype):
        raise SceneError(
            f"'{name}' is {array.dtype}, should be {wanted.dtype}",
            source=source,
            hint=f"convert it: {conversion(name, wanted, array.dtype)}",
        )
    if 0 in array.shape:
        hint = "take it out of the store, or write it anew" if name not in IMAGES else None
        raise SceneError(f"'{name}' is empty: shape {array.shape}", source=source, hint=hint)


def conversion(name: str, wanted: Variable, dtype: np.dtype[Any]) -> str:
    """Return how values become the schema's, for a message: NaN of flags, cast as it is, would become "no change"."""
    unknown = f".fillna({wanted.fill})" if wanted.flags and dtype.kind == "f" else ""
    return f"scene['{name}'] = scene['{name}']{unknown}.astype('{wanted.dtype}')"


def _check_coordinates(scene: xr.Dataset, source: str | None) -> None:
    for name in ("time", "before", "after"):
        needed = name == "time" or "pair" in scene.dims
        if name not in scene.coords:
            if needed:
                raise SceneError(f"coordinate '{name}' is missing", source=source, hint="assign datetime64 dates to it")
            continue
        if scene[name].dtype.kind != "M":
            raise SceneError(
                f"coordinate '{name}' is {scene[name].dtype}, should be datetime64",
                source=source,
                hint=f"assign dates: scene.assign_coords({name}=...)",
            )
    times = dates_of(scene, "time")
    for name in ("time", "before", "after"):
        if name in scene.coords and np.isnat(dates_of(scene, name)).any():
            raise SceneError(
                f"'{name}' holds no date (NaT)", source=source, hint=f"assign it: scene.assign_coords({name}=...)"
            )
    refuse_same_dates(scene, times)
    if "pair" in scene.dims:
        refuse_odd_pairs(scene)
        for name in ("before", "after"):
            lacking = np.setdiff1d(dates_of(scene, name), times)
            if lacking.size:
                raise SceneError(
                    f"'{name}' names {short_date(lacking[0])}, which is not in 'time'",
                    source=source,
                    hint="select pairs together with dates, or let 'sarcd.store.create.write_scene(xr.open_zarr(...), "
                    "...)' write a new scene without such pairs",
                )


def dates_of(scene: xr.Dataset, name: str) -> np.ndarray:
    """Return a coordinate of dates as datetime64[us].

    `before` and `after` are dask arrays after a plain `xr.open_zarr`: these few dates are read here and now, since
    which images an operation takes depends on them.
    """
    if name not in scene.coords:
        raise SceneError(
            f"coordinate '{name}' is missing", source=source_of(scene), hint="assign datetime64 dates to it"
        )
    coordinate = scene[name].variable
    values = coordinate.compute(scheduler="synchronous") if coordinate.chunks is not None else coordinate
    return np.asarray(values.values).astype("datetime64[us]")


def require(scene: xr.Dataset, name: str) -> xr.DataArray:
    """Return the variable `name`, or say which command makes it."""
    if name in scene:
        return scene[name]
    makers = {
        "slc": "detected images have no phase: ingest the complex images",
        "label": "add labels with 'sarcd ingest --label'",
        "coherence": "run 'sarcd coherence' on the scene first",
        "change_probability": "run 'sarcd predict' on the scene first",
        "change": "run 'sarcd predict' or 'sarcd detect' on the scene first",
        "omnibus_score": "run 'sarcd summarise --of omnibus' on the scene first",
    }
    makers |= dict.fromkeys(
        ("change_count", "first_change", "last_change", "persistence"), "run 'sarcd summarise' on the scene first"
    )
    raise SceneError(f"no '{name}' in the scene", source=source_of(scene), hint=makers.get(name))
