"""Convert values to the dtypes and no-data values of the schema, without changing their meaning."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.errors import SceneError

_DECIBELS = re.compile(r"\W*(10\s*\*?\s*log10|db|decibels?)\b")  # beginning of units: dB, [dB], dB re 1
_POWER = re.compile(r"backwards_scattering_coefficient|\b(intensity|power|(sigma|gamma|beta)[ _-]?(0|nought|naught))\b")
_ROOT = re.compile(r"amplitude|root|sqrt")
_INPUTS = (*schema.IMAGES, "mask", "coherence")


def conform_values(scene: xr.Dataset, *, images: bool = True) -> xr.Dataset:
    """Return a scene whose variables have the dtypes of the schema.

    Variables with a suffix are not converted here, but by the functions that read them.

    Parameters
    ----------
    scene : xr.Dataset
        Scene with the dims of the schema.
    images : bool
        Whether images are checked; results can be scored and exported without them.

    Raises
    ------
    SceneError
        If a conversion would change the meaning of values. Lazy variables are checked when they are computed.
    """
    for name in [str(name) for name in scene.data_vars]:
        wanted = schema.VARIABLES.get(name)
        if wanted is None or (name in schema.IMAGES and not images):
            continue
        if 0 in scene[name].shape:
            hint = f"drop it: scene.drop_vars('{name}')" if name not in schema.IMAGES else "select a larger subset"
            raise SceneError(f"'{name}' is empty: shape {scene[name].shape}", source=schema.source_of(scene), hint=hint)
        scene = _conform_array(scene, name, wanted)
    return scene


def _conform_array(scene: xr.Dataset, name: str, wanted: schema.Variable) -> xr.Dataset:
    variable = scene[name].variable
    units = str(variable.attrs.get("units", "")).strip().lower()
    if name in schema.IMAGES and _DECIBELS.match(units):
        raise SceneError(
            f"'{name}' is in {variable.attrs['units']}, should be linear amplitude",
            source=schema.source_of(scene),
            hint=f"convert it and drop the units: scene['{name}'] = (10 ** (scene['{name}'] / 20)).drop_attrs()",
        )
    names = " ".join(str(variable.attrs.get(key, "")) for key in ("standard_name", "long_name")).lower()
    if name == "amplitude" and not schema.is_own(scene) and _POWER.search(names) and not _ROOT.search(names):
        raise SceneError(
            f"'amplitude' holds power ({names.strip()}), should be amplitude",
            source=schema.source_of(scene),
            hint="take the square root and drop the attributes: "
            "scene['amplitude'] = (scene['amplitude'] ** 0.5).drop_attrs()",
        )
    convert = _conversion(scene, name, wanted, variable.dtype)
    if convert is None:
        return scene
    return scene.assign({name: variable.copy(deep=False, data=_by_block(variable, convert, wanted.dtype))})


def _by_block(variable: xr.Variable, convert: Callable[[np.ndarray], np.ndarray], dtype: str) -> Any:
    if (
        not variable._in_memory and variable.chunks is None
    ):  # opened without dask: chunk it, so that nothing is read yet
        variable = variable.chunk(variable.encoding.get("preferred_chunks", {}))
    data = variable.data
    if not hasattr(data, "map_blocks"):
        return convert(np.asarray(data))
    return data.map_blocks(convert, dtype=np.dtype(dtype), meta=np.empty((0,) * data.ndim, dtype))


def _conversion(
    scene: xr.Dataset, name: str, wanted: schema.Variable, dtype: np.dtype[Any]
) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return the function that converts values to those of the schema, None if they need no conversion.

    In images that sarcd wrote, no-data is NaN already; those of other programs may hold zeros, infinities or decibels.
    """
    if wanted.dtype == "complex64" and dtype.kind == "c":
        return None if dtype == wanted.dtype and schema.is_own(scene) else _complex_image
    if name == "amplitude" and dtype.kind in "fiu":
        return None if dtype == wanted.dtype and schema.is_own(scene) else _amplitude_image
    # Floats may be a probability under another name, or labels with NaN: the function that reads them checks them.
    if dtype == np.dtype(wanted.dtype) or (wanted.flags and dtype.kind == "f"):
        return None
    if wanted.dtype == "float32" and dtype.kind == "f":
        return partial(np.asarray, dtype="float32")
    if wanted.dtype == "uint8" and wanted.flags and dtype.kind in "biu":
        return partial(_flags, name=name, allowed=_allowed(wanted))
    if wanted.dtype == "uint8" and dtype.kind in "iu":
        return partial(_flags, name=name, allowed=range(256))
    if name not in _INPUTS:
        return None  # a result: the function that reads it checks it
    raise SceneError(
        f"'{name}' is {dtype}, should be {wanted.dtype}",
        source=schema.source_of(scene),
        hint=_hint(name, wanted, dtype),
    )


def _hint(name: str, wanted: schema.Variable, dtype: np.dtype[Any]) -> str:
    if dtype.kind == "V" and len(dtype.names or ()) == 2:
        real, imaginary = (f"scene['{name}'].values['{part}']" for part in dtype.names or ())
        return f"combine both parts: scene['{name}'] = scene['{name}'].dims, ({real} + 1j * {imaginary})"
    if name == "coherence":
        drop = "drop it: scene.drop_vars('coherence')"
        if dtype.kind == "c":
            return f"take its magnitude: scene['coherence'] = abs(scene['coherence']), or {drop}"
        return f"scale it to 0 to 1, as in scene['coherence'] / 255, or {drop}"
    if name == "slc" and dtype.kind in "fiu":
        return (
            "rename real images to 'amplitude': scene.rename({'slc': 'amplitude'}), or combine both parts: i + 1j * q"
        )
    if name == "amplitude" and dtype.kind == "c":
        return "rename complex images to 'slc': scene.rename({'amplitude': 'slc'})"
    if name == "mask":
        return "use 0 for usable pixels and flags for all others: scene['mask'] = (~usable).astype('uint8')"
    return f"convert it: {schema.conversion(name, wanted, dtype)}"


def labels_as_flags(label: xr.DataArray) -> xr.DataArray:
    """Return labels (pair, y, x) as uint8, with NaN as unlabelled; lazy labels stay lazy.

    Raises
    ------
    SceneError
        If there are values other than 0, 1 and 255. Lazy labels are checked when they are computed.
    """
    return label if label.dtype == np.uint8 else whole_numbers(label, schema.VARIABLES["label"])


def as_map(name: str) -> str:
    """Return the code that converts floats to a map of 0, 1 and 255, for a hint."""
    return schema.conversion(name, schema.VARIABLES["label"], np.dtype("float32"))


def whole_numbers(array: xr.DataArray, wanted: schema.Variable) -> xr.DataArray:
    """Return an array in the integer dtype of a variable of the schema, with NaN as unknown.

    `where`, `reindex` and other functions of xarray turn integers into floats. A plain cast back would turn NaN into 0.

    Raises
    ------
    SceneError
        If there are other values, such as percentages or grey levels. Lazy arrays are checked when they are computed.
    """
    convert = partial(_flags, name=str(array.name), allowed=_allowed(wanted), wanted=wanted)
    return array.copy(data=_by_block(array.variable, convert, wanted.dtype))


def _allowed(wanted: schema.Variable) -> tuple[int, ...] | range:
    if wanted.flags:
        return tuple(int(flag.split()[0]) for flag in wanted.flags)
    limits = np.iinfo(wanted.dtype)
    return range(int(limits.min), int(limits.max) + 1)


def as_image(name: str, values: np.ndarray) -> np.ndarray:
    """Return a block of an image with no-data as NaN; blocks of other variables are returned unchanged.

    Raises
    ------
    SceneError
        If an amplitude is below 0.
    """
    if name == "slc":
        return _complex_image(values)
    return _amplitude_image(values) if name == "amplitude" else values


def _complex_image(values: np.ndarray) -> np.ndarray:
    """Return complex64, with NaN + NaNj where a pixel is exactly 0 or not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.asarray(values, "complex64")
        hidden = ~np.isfinite(values) | (values == 0)
    if not hidden.any():
        return values
    return np.where(hidden, np.complex64(complex(np.nan, np.nan)), values)


def _amplitude_image(values: np.ndarray) -> np.ndarray:
    """Return float32, with NaN where a pixel is not finite; refuse negative values."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.asarray(values, "float32")
        negative = int((values < 0).sum())
    if negative:
        raise SceneError(
            f"'amplitude' is below 0 in {negative} pixels",
            hint="convert decibels by 10 ** (scene.amplitude / 20), or "
            "set no-data to NaN: scene.amplitude.where(scene.amplitude >= 0)",
        )
    return np.where(np.isinf(values), np.float32(np.nan), values) if np.isinf(values).any() else values


def _flags(
    values: np.ndarray, *, name: str, allowed: tuple[int, ...] | range, wanted: schema.Variable | None = None
) -> np.ndarray:
    """Return flags or other integers of the schema; refuse values that it does not define."""
    values, fill, dtype = np.asarray(values), schema.NO_LABEL, "uint8"
    if wanted is not None:
        fill, dtype = wanted.fill, wanted.dtype
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), fill, values)
    if isinstance(allowed, range):
        foreign = (values < allowed.start) | (values >= allowed.stop) | (values != np.floor(values))
    else:
        foreign = ~np.isin(values, allowed)
    if foreign.any():
        listed = ", ".join(f"{value:g}" for value in np.unique(values[foreign])[:4])
        expected = f"integers from {allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else None
        raise SceneError(
            f"'{name}' holds {listed}, which the schema does not define",
            hint=f"use {expected or ', '.join(map(str, allowed))}",
        )
    return values.astype(dtype)
