"""Schema of a scene: name, dims, dtype, fill value and meaning of each variable, and the checks of a dataset."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from sarcd.errors import SceneError

VERSION = 1
"""Version of this schema, stored as root attribute `sarcd_schema`."""

COMPLETE = "sarcd_complete"
"""Attribute of a stored derived array: one completeness flag per pair (a single one for arrays without `pair`)."""

PRIVATE = "sarcd_"
"""Prefix of the arrays that sarcd keeps in a store for internal use: never listed, created again when absent."""

NO_LABEL = 255
"""Value of `label`, `change` and `pseudo_label` where the state of a pixel is unknown."""

NO_DATE = -1
"""Value of `first_change` and `last_change` where unknown; 0, the first date, means no change."""

TIME_UNITS = "microseconds since 1970-01-01"
CHUNK = 1024
"""Side of a stored chunk along y and x; chunks are 1 along time and pair."""


@dataclass(frozen=True)
class Variable:
    """Definition of one variable of the schema."""

    name: str
    dims: tuple[str, ...]
    dtype: str
    long_name: str
    units: str = "1"
    derived: bool = True
    flags: tuple[str, ...] = ()

    @property
    def fill(self) -> Any:
        """Value of pixels that were never written or are invalid."""
        if self.dtype == "complex64":
            return complex(np.nan, np.nan)
        if self.dtype == "float32":
            return float("nan")
        if self.dtype == "int16":
            return NO_DATE
        return 0 if self.name == "mask" else NO_LABEL

    def attrs(self) -> dict[str, Any]:
        """Return the attributes of every stored or computed array of this variable."""
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
"""Names of the variable that holds the images; a scene has exactly one of them."""

STORED_COORDINATES = "spatial_ref before after"
"""Root attribute `coordinates` of stores that sarcd makes: arrays that are coordinates but not dims."""

COORDINATES = ("time", "before", "after", "y", "x", "spatial_ref")


def variable(name: str) -> Variable:
    """Return the definition of a variable; the name may have a suffix, as in `change_mymodel`.

    Raises
    ------
    SceneError
        If the schema has no such variable.
    """
    if name in VARIABLES:
        return VARIABLES[name]
    for known in sorted(VARIABLES, key=len, reverse=True):
        if re.fullmatch(rf"{known}_[A-Za-z0-9_-]+", name):
            return VARIABLES[known]
    raise SceneError(f"'{name}' is not a variable of a scene", hint=f"use one of {', '.join(VARIABLES)}")


def known(name: object) -> Variable | None:
    """Return the definition of a variable, None if the schema does not define it (a variable of the user's own)."""
    try:
        return variable(str(name))
    except SceneError:
        return None


def is_own(scene: xr.Dataset) -> bool:
    """Return whether sarcd made the scene, so that NaN is its only no-data value."""
    return "sarcd_schema" in scene.attrs


def flags_of(attrs: Mapping[Any, Any]) -> list[bool]:
    """Return the completeness flags in the attributes of a variable, one per pair; an empty list if it has none."""
    return [bool(flag) for flag in np.atleast_1d(attrs.get(COMPLETE, []))]


def with_pair_dates(scene: xr.Dataset) -> xr.Dataset:
    """Turn `before` and `after` into coordinates again: they are plain variables if the root attributes were lost."""
    lost = [name for name in ("before", "after", "spatial_ref") if name in scene.data_vars]
    return scene.set_coords(lost) if lost else scene


def images_of(scene: xr.Dataset) -> xr.DataArray:
    """Return the images of the scene: `slc` if it is complex, otherwise `amplitude`."""
    for name in IMAGES:
        if name in scene:
            return scene[name]
    hint = "make the scene with 'sarcd ingest IMAGE... -o'"
    candidates = [str(name) for name, array in scene.data_vars.items() if array.dtype.kind == "c" and array.ndim > 1]
    if candidates:
        hint = f"rename the complex images: scene.rename({{'{candidates[0]}': 'slc'}})"
        if len(candidates) > 1:
            hint = f"concatenate the complex images {', '.join(candidates[:4])} along one dim: xr.concat([...], 'time')"
    elif len(parts := _parts(scene)) == 2:
        hint = f"combine both parts: scene['slc'] = scene['{parts[0]}'] + 1j * scene['{parts[1]}']"
    raise SceneError("no 'slc' and no 'amplitude'", source=source_of(scene), hint=hint)


def _parts(scene: xr.Dataset) -> list[str]:
    """Return the names of the real and imaginary parts; empty if the scene does not store them separately."""
    names = {str(name).lower(): str(name) for name in scene.data_vars}
    pairs = (("i", "q"), ("real", "imag"), ("re", "im"), ("slc_real", "slc_imag"), ("i_vv", "q_vv"), ("i_vh", "q_vh"))
    return next(([names[one], names[two]] for one, two in pairs if one in names and two in names), [])


def source_of(scene: xr.Dataset) -> str | None:
    """Return the path that the dataset was opened from, if known."""
    source = scene.encoding.get("source")
    return None if source is None else str(source)


def validate(scene: xr.Dataset) -> xr.Dataset:
    """Check a dataset against the schema and return it.

    Parameters
    ----------
    scene : xr.Dataset
        A scene that sarcd made, or any other dataset.

    Raises
    ------
    SceneError
        If a variable does not match the schema. The error names it, what was expected, and how to convert it.

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
    """Raise SceneError if a scene has another schema version."""
    version = scene.attrs.get("sarcd_schema", VERSION)
    if version != VERSION:
        raise SceneError(
            f"the store has schema version {version!r}, and this version of sarcd reads {VERSION}",
            source=source_of(scene),
            hint="use the version of sarcd that wrote it, or ingest the images again",
        )


def refuse_same_dates(scene: xr.Dataset, times: np.ndarray) -> None:
    """Raise SceneError if two images have the same date: comparing them would show no change over time."""
    unique, first, counts = np.unique(times, return_index=True, return_counts=True)
    if len(unique) == len(times):
        return
    twice = unique[counts > 1][0]
    kept = ", ".join(map(str, sorted(first)))
    raise SceneError(
        f"{counts.max()} images have the date {short_date(twice)} in 'time'",
        source=source_of(scene),
        hint=f"keep one per date, as in scene.isel(time=[{kept}]), or assign times of day: "
        "scene.assign_coords(time=...)",
    )


def refuse_odd_pairs(scene: xr.Dataset) -> None:
    """Raise SceneError if a pair compares a date with itself or with an earlier date, or is listed twice."""
    before, after = dates_of(scene, "before"), dates_of(scene, "after")
    seen: set[tuple[Any, Any]] = set()
    for position, pair in enumerate(zip(before, after, strict=True)):
        named = f"pair {position}, {short_date(pair[0])} to {short_date(pair[1])},"
        if pair[0] >= pair[1]:
            wrong = "compares a date with itself" if pair[0] == pair[1] else "runs backwards in time"
            hint = f"correct 'before' and 'after', or drop the pair: scene.drop_isel(pair={position})"
            raise SceneError(f"{named} {wrong}", source=source_of(scene), hint=hint)
        if pair in seen:
            hint = f"drop one of them: scene.drop_isel(pair={position})"
            raise SceneError(f"{named} is listed twice", source=source_of(scene), hint=hint)
        seen.add(pair)


def day_of(date: np.datetime64) -> str:
    """Return the day of a date as text, in the form that options take."""
    return str(date.astype("datetime64[D]"))


def short_date(date: np.datetime64) -> str:
    """Return a date as text: the day, and the time of day unless it is midnight."""
    return day_of(date) if date.astype("datetime64[D]") == date else str(date.astype("datetime64[s]"))


def _check_array(name: str, array: xr.DataArray, source: str | None) -> None:
    wanted = known(name)
    if wanted is None or (name not in VARIABLES and COMPLETE not in array.attrs and array.dims != wanted.dims):
        return  # a variable of the user's own
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
        hint = "delete it from the store, or write it again" if name not in IMAGES else None
        raise SceneError(f"'{name}' is empty: shape {array.shape}", source=source, hint=hint)


def conversion(name: str, wanted: Variable, dtype: np.dtype[Any]) -> str:
    """Return the code that converts values to the schema's dtype, for a hint.

    NaN is filled first where the variable holds flags: a plain cast would turn it into "no change".
    """
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
                hint=f"assign datetime64 dates: scene.assign_coords({name}=...)",
            )
    times = dates_of(scene, "time")
    for name in ("time", "before", "after"):
        if name in scene.coords and np.isnat(dates_of(scene, name)).any():
            raise SceneError(
                f"'{name}' has a missing date (NaT)", source=source, hint=f"assign it: scene.assign_coords({name}=...)"
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
                    hint="select pairs together with dates, or write a new scene without these pairs: "
                    "sarcd.store.create.write_scene(xr.open_zarr(...), ...)",
                )


def dates_of(scene: xr.Dataset, name: str) -> np.ndarray:
    """Return a coordinate of dates as datetime64[us].

    `before` and `after` are dask arrays after a plain `xr.open_zarr`. These few dates are computed here, because
    they decide which images an operation reads.
    """
    if name not in scene.coords:
        raise SceneError(
            f"coordinate '{name}' is missing", source=source_of(scene), hint="assign datetime64 dates to it"
        )
    coordinate = scene[name].variable
    values = coordinate.compute(scheduler="synchronous") if coordinate.chunks is not None else coordinate
    return np.asarray(values.values).astype("datetime64[us]")


def require(scene: xr.Dataset, name: str) -> xr.DataArray:
    """Return a variable of the scene.

    Raises
    ------
    SceneError
        If the scene does not have it. The hint names the command that makes it.
    """
    if name in scene:
        return scene[name]
    makers = {
        "slc": "amplitude images have no phase: ingest the complex images",
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
