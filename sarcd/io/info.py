"""What a stored scene holds, what made it, and what of it is unfinished or damaged."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.core.sync import sync

from sarcd import schema
from sarcd.errors import SceneError
from sarcd.io.store import SceneStore, expected_keys, open_scene

Json = dict[str, Any]

_STATISTICS = "amplitude_statistics"
_SENSOR = ("wavelength_m", "spacing_m", "looks")


def scene_info(path: str | Path) -> Json:
    """Return what `sarcd info` tells, as plain values.

    Parameters
    ----------
    path : str or Path
        A scene.

    Returns
    -------
    dict
        `scene`, `schema`, `images`, `size` [y, x], `dates`, `pairs`, `georeference`, `sensor`, `statistics`,
        `bytes`, and `variables`: for each array its dtype, chunks, what made it, and its `state`:

        ``complete``
            listed, with every chunk of every pair;
        ``partial``
            listed, and some pairs have not been computed or labelled;
        ``damaged``
            listed as finished, and chunks are missing;
        ``unfinished``
            begun and not listed: a plain open does not show it.

    Raises
    ------
    SceneError
        If there is no scene.
    """
    scene = open_scene(path, chunks=None)
    store = SceneStore(path)
    listed = store.published()
    if not listed:
        raise SceneError("has no list of what is finished", where=str(path), mend="ingest the images with sarcd")
    variables = [_variable(store, name, listed) for name in store.members() if name not in schema.COORDINATES]
    return {
        "scene": str(path),
        "schema": scene.attrs.get("sarcd_schema"),
        "images": str(schema.images_of(scene).name),
        "size": list(store.shape),
        "dates": _texts(store.dates("time")),
        "pairs": [list(pair) for pair in zip(_texts(store.dates("before")), _texts(store.dates("after")), strict=True)],
        "georeference": _georeference(scene),
        "sensor": {name: scene.attrs[name] for name in _SENSOR if name in scene.attrs},
        "statistics": _statistics(scene, store),
        "bytes": sum(variable["bytes"] for variable in variables),
        "variables": variables,
    }


def _texts(dates: Iterable[np.datetime64]) -> list[str]:
    dates = np.asarray(dates).astype("datetime64[s]")
    return [str(date.astype("datetime64[D]")) if date == date.astype("datetime64[D]") else str(date) for date in dates]


def _georeference(scene: xr.Dataset) -> Json:
    from sarcd.io.georef import of_scene

    found = of_scene(scene)
    told: Json = {"kind": found.kind}
    if found.crs is not None:
        code = found.crs.to_authority()
        told["crs"] = ":".join(code) if code else found.crs.to_wkt()
    if found.transform is not None:
        told["transform"] = list(found.transform)[:6]
    if found.gcps:
        told["points"] = len(found.gcps)
    return told


def _statistics(scene: xr.Dataset, store: SceneStore) -> Json | None:
    kept = scene.attrs.get(_STATISTICS)
    if not isinstance(kept, dict):
        return None
    dates = {np.datetime64(date, "us") for date in kept.get("dates", [])}
    return {**kept, "covers_all_dates": dates >= set(store.dates("time"))}


def _variable(store: SceneStore, name: str, listed: dict[str, Json]) -> Json:
    array = store.array(name)
    is_listed = name in listed
    # What a plain open sees is what was published; an unlisted array is only what it says of itself.
    shape = tuple(listed[name]["shape"]) if is_listed else array.shape
    attrs = listed[name].get("attributes", {}) if is_listed else dict(array.attrs)
    dims = [str(dim) for dim in array.metadata.to_dict().get("dimension_names") or ()]  # type: ignore[union-attr]
    flags = _flags(attrs, shape, dims)
    present = store.keys(name)
    wanted = _keys_within(array, shape)
    owed = expected_keys(array, [i for i, flag in enumerate(flags) if flag]) & wanted if flags else wanted
    told = {
        "name": name,
        "dims": dims,
        "dtype": str(array.dtype),
        "shape": list(shape),
        "chunks": list(array.chunks),
        "shards": None if array.shards is None else list(array.shards),
        "units": attrs.get("units"),
        "state": _state(is_listed, flags, bool(owed - present)),
        "chunks_present": len(present & wanted),
        "chunks_expected": len(wanted),
        "chunks_missing": len(owed - present) if is_listed else 0,
        "bytes": _bytes(store, name),
        "made_by": attrs.get("sarcd_operation"),
        "parameters": attrs.get("sarcd_parameters"),
        "version": attrs.get("sarcd_version"),
        "stale": attrs.get("sarcd_stale"),
        "sources": attrs.get("sources"),
    }
    if "pair" in dims:
        told["pairs_complete"] = [bool(flag) for flag in flags] or [is_listed] * shape[0]
    return told


def _flags(attrs: Json, shape: tuple[int, ...], dims: list[str]) -> list[bool]:
    flags = [bool(flag) for flag in np.atleast_1d(attrs.get(schema.COMPLETE, []))]
    return flags[: shape[0]] if "pair" in dims else []


def _state(is_listed: bool, flags: list[bool], lacks: bool) -> str:
    if not is_listed:
        return "unfinished"
    if lacks:
        return "damaged"
    return "complete" if all(flags) else "partial"


def _keys_within(array: zarr.Array[Any], shape: tuple[int, ...]) -> set[str]:
    """Return the keys of an array whole, as far as the published length of its first axis goes."""
    return expected_keys(array, range(shape[0])) if len(shape) == 3 else expected_keys(array)


def _bytes(store: SceneStore, name: str) -> int:
    return sync(store._group.store.getsize_prefix(store._key(f"{name}/")))
