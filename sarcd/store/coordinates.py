"""Dates as a store keeps them: in microseconds where sarcd made it, in any CF units where others did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.errors import SceneError

if TYPE_CHECKING:
    from sarcd.store.scene import SceneStore

_REWRITTEN = schema.PRIVATE + "rewritten_"  # array beside the store's own, while its chunk is made


def decode_dates(values: Any, attrs: Mapping[str, Any], source: str) -> np.ndarray:
    """Return stored numbers as datetime64[us], by the CF attributes `units` and `calendar` beside them.

    Raises
    ------
    SceneError
        If there are no such units, or the calendar has days that the world has not.
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
    if dates.dtype.kind != "M":  # objects, of a calendar that datetime64 does not know
        told = f"{attrs.get('units', 'no units')}, calendar {attrs.get('calendar', 'standard')}"
        hint = "write the store with datetime64 dates, for example by xarray"
        raise SceneError(f"holds no dates that can be read ({told})", source=source, hint=hint) from cause
    return np.asarray(dates.astype("datetime64[us]"))


def encode_dates(dates: np.ndarray, dtype: np.dtype[Any], attrs: Mapping[str, Any]) -> np.ndarray | None:
    """Return dates as the numbers that a store keeps, or None if its units or dtype cannot hold them exactly.

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
    """Lengthen a coordinate of dates, unseen until it is published.

    The store's own units are kept where they hold the new dates exactly. Else the coordinate is rewritten in
    microseconds, under another key than the numbers that readers still see: the metadata that are published next say
    which of the two is meant.

    Parameters
    ----------
    store : SceneStore
    name : {"time", "before", "after"}
        Published coordinate, or one that the store does not have yet.
    dates : ndarray of datetime64
        To be added at the end.
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
    """Write dates in microseconds beside the chunks that are there, and the array's metadata so that they are found."""
    metadata, beside = store.read_json(f"{name}/zarr.json"), _REWRITTEN + name
    kept = {key: value for key, value in metadata.get("attributes", {}).items() if key not in ("units", "calendar")}
    attrs = {**kept, "units": schema.TIME_UNITS, "calendar": "proleptic_gregorian"}
    store.create_coordinate(beside, dates.astype("int64"), tuple(metadata["dimension_names"]), attrs, chunk=1024)
    fresh = store.read_json(f"{beside}/zarr.json")
    # Not "c/0", under which the old numbers lie.
    fresh["chunk_key_encoding"] = {"name": "v2", "configuration": {"separator": "."}}
    store.copy_key(f"{beside}/c/0", f"{name}/0")
    store.write_json(f"{name}/zarr.json", fresh)
    store.delete(beside)
