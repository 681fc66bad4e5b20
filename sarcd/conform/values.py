"""Values: the schema's dtypes, and no-data as the schema writes it, without a change of meaning."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.errors import SceneError

_DECIBELS = ("db", "decibel", "decibels")
_INPUTS = (*schema.IMAGES, "mask", "coherence")


def conform_values(scene: xr.Dataset, *, images: bool = True) -> xr.Dataset:
    """Return a scene whose variables have the schema's dtypes; those that carry a suffix are left to who reads them.

    Parameters
    ----------
    scene : xr.Dataset
        With the schema's dims.
    images : bool
        Whether images are looked at: results are scored and exported without them.

    Raises
    ------
    SceneError
        If a conversion would change what values mean; of lazy variables when they are computed.
    """
    for name in [str(name) for name in scene.data_vars]:
        wanted = schema.VARIABLES.get(name)
        if wanted is None or (name in schema.IMAGES and not images):
            continue
        if 0 in scene[name].shape:
            raise SceneError(f"'{name}' is empty: shape {scene[name].shape}", where=schema.source_of(scene))
        scene = _conform_array(scene, name, wanted)
    return scene


def _conform_array(scene: xr.Dataset, name: str, wanted: schema.Variable) -> xr.Dataset:
    variable = scene[name].variable
    units = str(variable.attrs.get("units", "")).strip().lower()
    if name in schema.IMAGES and units in _DECIBELS:
        raise SceneError(
            f"'{name}' is in {variable.attrs['units']}, should be linear amplitude",
            where=schema.source_of(scene),
            mend=f"convert it, with the units: scene['{name}'] = 10 ** (scene['{name}'] / 20)",
        )
    convert = _conversion(scene, name, wanted, variable.dtype)
    if convert is None:
        return scene
    return scene.assign({name: variable.copy(deep=False, data=_by_block(variable, convert, wanted.dtype))})


def _by_block(variable: xr.Variable, convert: Callable[[np.ndarray], np.ndarray], dtype: str) -> Any:
    if not variable._in_memory and variable.chunks is None:  # opened without dask: nothing is read here
        variable = variable.chunk(variable.encoding.get("preferred_chunks", {}))
    data = variable.data
    if not hasattr(data, "map_blocks"):
        return convert(np.asarray(data))
    return data.map_blocks(convert, dtype=np.dtype(dtype), meta=np.empty((0,) * data.ndim, dtype))


def _conversion(
    scene: xr.Dataset, name: str, wanted: schema.Variable, dtype: np.dtype[Any]
) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return what brings values to the schema's, None if they are so already.

    Images that sarcd wrote have had their no-data found; those of others may hold zeros, infinities or decibels.
    """
    if wanted.dtype == "complex64" and dtype.kind == "c":
        return None if dtype == wanted.dtype and schema.is_own(scene) else _complex_image
    if name == "amplitude" and dtype.kind in "fiu":
        return None if dtype == wanted.dtype and schema.is_own(scene) else _amplitude_image
    # Floats may be a probability under another name, or labels with NaN: who reads them says what they should be.
    if dtype == np.dtype(wanted.dtype) or (wanted.flags and dtype.kind == "f"):
        return None
    if wanted.dtype == "float32" and dtype.kind == "f":
        return partial(np.asarray, dtype="float32")
    if wanted.dtype == "uint8" and wanted.flags and dtype.kind in "biu":
        return partial(_flags, name=name, allowed=tuple(int(flag.split()[0]) for flag in wanted.flags))
    if wanted.dtype == "uint8" and dtype.kind in "iu":
        return partial(_flags, name=name, allowed=tuple(range(256)))
    if name not in _INPUTS:
        return None  # a result: who reads it says what it should be
    raise SceneError(
        f"'{name}' is {dtype}, should be {wanted.dtype}", where=schema.source_of(scene), mend=_cure(name, wanted, dtype)
    )


def _cure(name: str, wanted: schema.Variable, dtype: np.dtype[Any]) -> str:
    if name == "slc" and dtype.kind in "fiu":
        return "real images are called 'amplitude': scene.rename({'slc': 'amplitude'}); or join both parts: i + 1j * q"
    if name == "amplitude" and dtype.kind == "c":
        return "complex images are called 'slc': scene.rename({'amplitude': 'slc'})"
    if name == "mask":
        return "0 has to mean usable and other values why not: scene['mask'] = (~usable).astype('uint8')"
    return f"convert it: scene['{name}'] = scene['{name}'].astype('{wanted.dtype}')"


def labels_as_flags(label: xr.DataArray) -> xr.DataArray:
    """Return labels (pair, y, x) as uint8, NaN as unlabelled; lazily if they are lazy.

    Raises
    ------
    SceneError
        If there are other values than 0, 1 and 255; of lazy labels when they are computed.
    """
    if label.dtype == np.uint8:
        return label
    convert = partial(_flags, name=str(label.name), allowed=(0, 1, schema.NO_LABEL))
    return label.copy(data=_by_block(label.variable, convert, "uint8"))


def as_image(name: str, values: np.ndarray) -> np.ndarray:
    """Return a part of an image that others wrote with its no-data as the schema has it; other variables as they are.

    Raises
    ------
    SceneError
        If amplitudes are below 0.
    """
    if name == "slc":
        return _complex_image(values)
    return _amplitude_image(values) if name == "amplitude" else values


def _complex_image(values: np.ndarray) -> np.ndarray:
    """Return complex64 with NaN + NaNj where a pixel is exactly 0 or not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.asarray(values, "complex64")
        hidden = ~np.isfinite(values) | (values == 0)
    if not hidden.any():
        return values
    return np.where(hidden, np.complex64(complex(np.nan, np.nan)), values)


def _amplitude_image(values: np.ndarray) -> np.ndarray:
    """Return float32 with NaN where a pixel is not finite; refuse what can be no amplitude."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.asarray(values, "float32")
        negative = int((values < 0).sum())
    if negative:
        raise SceneError(
            f"'amplitude' is below 0 in {negative} pixels",
            mend="decibels become linear by 10 ** (scene.amplitude / 20); "
            "mark no-data as NaN: scene.amplitude.where(scene.amplitude >= 0)",
        )
    return np.where(np.isinf(values), np.float32(np.nan), values) if np.isinf(values).any() else values


def _flags(values: np.ndarray, *, name: str, allowed: tuple[int, ...]) -> np.ndarray:
    """Return flags as uint8; refuse values that the schema does not know."""
    values = np.asarray(values)
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), schema.NO_LABEL, values)
    foreign = ~np.isin(values, allowed)
    if foreign.any():
        listed = ", ".join(f"{value:g}" for value in np.unique(values[foreign])[:4])
        raise SceneError(
            f"'{name}' holds {listed}, which the schema does not know",
            mend=f"use {', '.join(map(str, allowed)) if len(allowed) < 5 else '0 to 255'}",
        )
    return values.astype("uint8")
