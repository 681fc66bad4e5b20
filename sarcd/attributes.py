"""Attributes that every format takes: text, numbers, flat lists of either; structures are kept as JSON text.

Zarr would hold any JSON value. netCDF and GeoTIFF hold neither mappings, nor nested lists, nor None, nor booleans, so a
result that has one cannot be written there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from sarcd.config.renamed import current_parameters

Json = dict[str, Any]
"""An object of JSON."""

PARAMETERS = "sarcd_parameters"
"""Attribute of a derived array: what made it, as JSON text; see `parameters_of`."""

FITTED = "sarcd_fitted"
"""Attribute of a map: what was fitted to each pair, as JSON text; see `fitted_of`."""


def encode(value: Any) -> str:
    """Return a structure as JSON text, its keys in the order that they have.

    Parameters
    ----------
    value : mapping, sequence, number, str, bool or None
        NumPy's scalars and arrays, and dates, may be among them.

    Examples
    --------
    >>> encode({"window": {"y": 5, "x": np.int64(7)}, "debias": False})
    '{"window":{"y":5,"x":7},"debias":false}'
    """
    return json.dumps(_json(value), separators=(",", ":"), ensure_ascii=False)


def decode(value: Any) -> Any:
    """Return the structure that `encode` made text of; what is no text, as earlier versions stored it, as it is.

    Raises
    ------
    ValueError
        If a text is no JSON.

    Examples
    --------
    >>> decode('{"threshold":0.5}') == decode({"threshold": 0.5})
    True
    """
    return json.loads(value) if isinstance(value, (str, bytes)) else value


def parameters_of(array: xr.DataArray | Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the operation that made a result.

    Parameters
    ----------
    array : xr.DataArray or mapping
        A result, or its attributes; of any version of sarcd, in memory or read back from Zarr or netCDF.

    Returns
    -------
    dict
        By the names of this version; empty where the attributes tell none.

    Examples
    --------
    >>> from sarcd import estimation
    >>> from sarcd.simulation import sites
    >>> parameters_of(estimation.coherence(sites.simulate("A", size=64), window=7))["window"]
    {'y': 7, 'x': 7}
    """
    found = _decoded(array, PARAMETERS)
    attrs = array.attrs if isinstance(array, xr.DataArray) else array
    return current_parameters(str(attrs.get("sarcd_operation")), found) if isinstance(found, Mapping) else {}


def fitted_of(array: xr.DataArray | Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what `sarcd.detection` fitted to each pair of a map: its dates, and a `rule` or others.

    Parameters
    ----------
    array : xr.DataArray or mapping
        As in `parameters_of`.

    Returns
    -------
    list of dict
        Empty where the attributes tell nothing.

    Examples
    --------
    >>> from sarcd.detection import detect
    >>> from sarcd.simulation import sites
    >>> found = detect(sites.simulate("A", size=64), method="log-ratio")
    >>> [sorted(fact) for fact in fitted_of(found.change)]
    [['after', 'before', 'rule']]
    """
    found = _decoded(array, FITTED)
    return list(found) if isinstance(found, list) else []


def plain(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as every format takes them.

    Numbers and text stay; booleans become 0 and 1; NumPy's values Python's; dates ISO 8601; mappings, and lists that
    hold anything but numbers alone or text alone, JSON text. What is None is left out.

    Examples
    --------
    >>> plain({"done": [True, False], "looks": None, "spacing_m": np.array([4.0, 2.3]), "sarcd_parameters": {"a": 1}})
    {'done': [1, 0], 'spacing_m': [4.0, 2.3], 'sarcd_parameters': '{"a":1}'}
    """
    return {str(key): _plain(value) for key, value in attrs.items() if value is not None}


def portable(scene: xr.Dataset) -> xr.Dataset:
    """Return a dataset ready to be written elsewhere, by `to_netcdf` or `to_zarr` in either format and any chunks.

    Attributes that an earlier sarcd stored become plain. The encoding with which the store kept the variables is
    dropped: codecs of Zarr v3 are none of v2, and its chunks need not be those of a dataset that was rechunked since.

    Parameters
    ----------
    scene : xr.Dataset
        As `xr.open_zarr` gives it; left as it is.

    Returns
    -------
    xr.Dataset
        With the same data, lazy where they are.

    Examples
    --------
    >>> old = xr.Dataset(attrs={"amplitude_statistics": {"median": [1.0]}})
    >>> portable(old).attrs, old.attrs
    ({'amplitude_statistics': '{"median":[1.0]}'}, {'amplitude_statistics': {'median': [1.0]}})
    """
    found = scene.drop_encoding()
    for variable in found.variables.values():
        variable.attrs = plain(variable.attrs)
    found.attrs = plain(found.attrs)
    return found


def _decoded(array: xr.DataArray | Mapping[str, Any], name: str) -> Any:
    attrs = array.attrs if isinstance(array, xr.DataArray) else array
    try:
        return decode(attrs.get(name))
    except ValueError:  # another program's attribute of that name
        return None


def _plain(value: Any) -> Any:
    value = _json(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list):
        if all(isinstance(item, (bool, int, float)) for item in value):
            return [int(item) if isinstance(item, bool) else item for item in value]
        if all(isinstance(item, str) for item in value):
            return value
    return encode(value) if isinstance(value, (dict, list)) else value


def _json(value: Any) -> Any:
    """Return a value of Python's own types as JSON has them."""
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.datetime64):
        return str(value)
    if isinstance(value, np.ndarray) and value.dtype.kind == "M":
        return _json(np.datetime_as_string(value).tolist())
    if isinstance(value, (np.ndarray, np.generic)):
        return _json(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_json(item) for item in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)
