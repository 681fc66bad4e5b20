"""Attributes in a form that every file format accepts: text, numbers, and flat lists of either.

Zarr stores any JSON value. netCDF and GeoTIFF store no mappings, nested lists, None or booleans, so structures are kept
as JSON text.
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
"""Attribute of a derived array: the parameters that it was computed with, as JSON text; see `parameters_of`."""

FITTED = "sarcd_fitted"
"""Attribute of a map: the values fitted to each pair, as JSON text; see `fitted_of`."""


def encode(value: Any) -> str:
    """Return a structure as JSON text, keeping the order of keys.

    Parameters
    ----------
    value : mapping, sequence, number, str, bool or None
        It may contain NumPy scalars and arrays, and dates.

    Examples
    --------
    >>> encode({"window": {"y": 5, "x": np.int64(7)}, "debias": False})
    '{"window":{"y":5,"x":7},"debias":false}'
    """
    return json.dumps(_json(value), separators=(",", ":"), ensure_ascii=False)


def decode(value: Any) -> Any:
    """Return the structure that `encode` wrote as text.

    Values that are not text, which earlier versions stored, are returned unchanged.

    Raises
    ------
    ValueError
        If the text is not valid JSON.

    Examples
    --------
    >>> decode('{"threshold":0.5}') == decode({"threshold": 0.5})
    True
    """
    return json.loads(value) if isinstance(value, (str, bytes)) else value


def parameters_of(array: xr.DataArray | Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the operation that computed a result.

    Parameters
    ----------
    array : xr.DataArray or mapping
        A result of any version of sarcd, or its attributes, in memory or read from Zarr or netCDF.

    Returns
    -------
    dict
        Keyed by the names of this version; empty if the attributes hold no parameters.

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
    """Return the values that `sarcd.detection` fitted to each pair of a map: its dates, and for example its `rule`.

    Parameters
    ----------
    array : xr.DataArray or mapping
        As in `parameters_of`.

    Returns
    -------
    list of dict
        Empty if the attributes hold none.

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
    """Return attributes in a form that every format accepts.

    Numbers and text are kept. Booleans become 0 and 1, NumPy values Python ones, dates ISO 8601 text. Mappings, and
    lists of anything but only numbers or only text, become JSON text. None values are dropped.

    Examples
    --------
    >>> plain({"done": [True, False], "looks": None, "spacing_m": np.array([4.0, 2.3]), "sarcd_parameters": {"a": 1}})
    {'done': [1, 0], 'spacing_m': [4.0, 2.3], 'sarcd_parameters': '{"a":1}'}
    """
    return {str(key): _plain(value) for key, value in attrs.items() if value is not None}


def portable(scene: xr.Dataset) -> xr.Dataset:
    """Return a dataset that `to_netcdf` and `to_zarr` can write, in Zarr format 2 or 3 and with any chunks.

    Attributes that earlier versions of sarcd stored are converted. The encoding of the store is dropped: codecs of Zarr
    v3 do not exist in v2, and its chunks need not match a dataset that was rechunked.

    Parameters
    ----------
    scene : xr.Dataset
        As returned by `xr.open_zarr`; it is not modified.

    Returns
    -------
    xr.Dataset
        Same data, lazy where they are lazy.

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
    except ValueError:  # another program wrote an attribute of this name
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
    """Return a value as Python types that JSON can represent."""
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
