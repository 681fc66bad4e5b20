"""Encoding of dates in a store: microseconds in stores of sarcd, any CF units in others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.errors import SceneError

if TYPE_CHECKING:
    from sarcd.store.scene import SceneStore

_REWRITTEN = schema.PRIVATE + "rewritten_"  # temporary array while the chunk is written


def decode_dates(values: Any, attrs: Mapping[str, Any], source: str) -> np.ndarray:
    """Decode stored numbers to datetime64[us] by their CF attributes `units` and `calendar`.

    Raises
    ------
    SceneError
        If the units are missing, or datetime64 does not support the calendar.
    """
    numbers = np.asarray(values)
    if attrs.get("units") == schema.TIME_UNITS and numbers.dtype == np.int64:
        return numbers.astype("datetime64[us]")
    encoded = xr.Variable(("n",), numbers, {key: attrs[key] for key in ("units", "calendar") if key in attrs})
    cause = None
    try:
        dates = xr.conventions.decode_cf_variable("time", encoded).values
    except (ValueError, TypeError, OverflowError) as error:
        dates, cause = numbers, error
    if dates.dtype.kind != "M":  # cftime objects, of a calendar that datetime64 does not support
        found = f"{attrs.get('units', 'no units')}, calendar {attrs.get('calendar', 'standard')}"
        hint = "write the store with datetime64 dates, for example with xarray"
        raise SceneError(f"dates cannot be read ({found})", source=source, hint=hint) from cause
    return np.asarray(dates.astype("datetime64[us]"))


def encode_dates(dates: np.ndarray, dtype: np.dtype[Any], attrs: Mapping[str, Any]) -> np.ndarray | None:
    """Encode dates as numbers of a store; return None if its units or dtype cannot represent them exactly.

    Examples
    --------
    >>> units = {"units": "days since 2023-03-19"}
    >>> encode_dates(np.array(["2023-03-31"], "datetime64[us]"), np.dtype("int64"), units)
    array([12])
    >>> encode_dates(np.array(["2023-03-31T05:30"], "datetime64[us]"), np.dtype("int64"), units) is None
    True
    """
    dates = np.asarray(dates).astype("datetime64[us]")
    if attrs.get("units") == schema.TIME_UNITS and dtype == np.int64:
        return dates.astype("int64")
    epoch, one = decode_dates(np.array([0, 1]), attrs, "units")
    step = (one - epoch).astype("int64")
    if step < 1:  # finer than microseconds
        return None
    elapsed = (dates - epoch).astype("int64")
    numbers = (elapsed // step if dtype.kind in "iu" else elapsed / step).astype(dtype)
    return numbers if np.array_equal(decode_dates(numbers, attrs, "units"), dates) else None


def append_dates(store: SceneStore, name: str, dates: np.ndarray) -> None:
    """Append dates to a coordinate; readers see them once it is published.

    The units of the store are kept if they represent the new dates exactly. Otherwise the coordinate is rewritten in
    microseconds under another chunk key, so that readers keep seeing the old numbers until the new metadata are
    published.

    Parameters
    ----------
    store : SceneStore
    name : {"time", "before", "after"}
        Coordinate that is published, or that the store does not have yet.
    dates : ndarray of datetime64
        Dates to append.
    """
    if name not in store:
        long_name = {} if name == "time" else {"long_name": f"date of the image {name} the change"}
        attrs = {"units": schema.TIME_UNITS, "calendar": "proleptic_gregorian", **long_name}
        dims = ("time",) if name == "time" else ("pair",)
        store.create_coordinate(name, np.asarray(dates).astype("datetime64[us]").astype("int64"), dims, attrs)
        return
    old, array = store.dates(name), store.array(name)
    numbers = encode_dates(dates, array.dtype, dict(array.attrs))
    if numbers is None:
        _rewrite(store, name, np.concatenate([old, np.asarray(dates).astype("datetime64[us]")]))
        return
    array.resize((len(old) + len(numbers),))
    if len(numbers):
        array[len(old) :] = numbers


def _rewrite(store: SceneStore, name: str, dates: np.ndarray) -> None:
    """Write dates in microseconds beside the existing chunks, and array metadata that point to them."""
    metadata, beside = store.read_json(f"{name}/zarr.json"), _REWRITTEN + name
    kept = {key: value for key, value in metadata.get("attributes", {}).items() if key not in ("units", "calendar")}
    attrs = {**kept, "units": schema.TIME_UNITS, "calendar": "proleptic_gregorian"}
    store.create_coordinate(beside, dates.astype("int64"), tuple(metadata["dimension_names"]), attrs, chunk=1024)
    fresh = store.read_json(f"{beside}/zarr.json")
    # Not "c/0", which holds the old numbers.
    fresh["chunk_key_encoding"] = {"name": "v2", "configuration": {"separator": "."}}
    store.copy_key(f"{beside}/c/0", f"{name}/0")
    store.write_json(f"{name}/zarr.json", fresh)
    store.delete(beside)
