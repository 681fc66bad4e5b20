"""Describe a stored scene: its contents, their origin, and what is unfinished or damaged."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.attributes import PARAMETERS, Json, decode, parameters_of
from sarcd.errors import SceneError
from sarcd.store.chunks import expected_keys, owes_every_chunk
from sarcd.store.scene import SceneStore, open_scene

_STATISTICS = "amplitude_statistics"
_SENSOR = ("wavelength_m", "spacing_m", "range_spacing", "incidence_deg", "looks")


def scene_info(path: str | Path) -> Json:
    """Return what `sarcd info` prints, as plain values.

    Parameters
    ----------
    path : str or Path
        Path or URL of a scene.

    Returns
    -------
    dict
        `scene`, `schema`, `images`, `size` [y, x], `dates`, `pairs`, `georeference`, `sensor`, `statistics`,
        `bytes`, and `variables`: for each array its dtype, chunks, origin, and its `state`:

        ``complete``
            published, with every chunk of every pair;
        ``partial``
            published, and some pairs are not computed or labelled yet;
        ``damaged``
            published as finished, but chunks are missing;
        ``unfinished``
            begun and not published: a plain open does not show it.

    Raises
    ------
    SceneError
        If the path holds no scene.
    """
    scene = open_scene(path, chunks=None, damaged=True)
    store = SceneStore(path)
    listed = store.published()
    names = sorted({*store.members(), *listed} - set(schema.COORDINATES))
    variables = [_variable(store, name, listed) for name in names]
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
    from sarcd.geography.georeference import of_scene

    try:
        found = of_scene(scene)
    except SceneError as error:  # the rest of the scene can still be described
        return {"kind": "unknown", "problem": error.error}
    described: Json = {"kind": found.kind}
    if found.crs is not None:
        code = found.crs.to_authority()
        described["crs"] = ":".join(code) if code else found.crs.to_wkt()
    if found.transform is not None:
        described["transform"] = list(found.transform)[:6]
    if found.gcps:
        described["points"] = len(found.gcps)
    return described


def _statistics(scene: xr.Dataset, store: SceneStore) -> Json | None:
    try:
        kept = decode(scene.attrs.get(_STATISTICS))
    except ValueError:
        return None
    if not isinstance(kept, dict):
        return None
    dates = {np.datetime64(date, "us") for date in kept.get("dates", [])}
    return {**kept, "covers_all_dates": dates >= set(store.dates("time"))}


def _variable(store: SceneStore, name: str, listed: dict[str, Json]) -> Json:
    is_listed = name in listed
    array = store.array(name) if name in store else None
    # Plain opens see the published metadata; an array that is not published has only its own.
    metadata = cast(Json, listed[name] if array is None or is_listed else array.metadata.to_dict())
    attrs, shape = metadata.get("attributes", {}), tuple(metadata["shape"])
    dims = [str(dim) for dim in metadata.get("dimension_names") or ()]
    flags = _flags(attrs, shape, dims)
    present = store.keys(name)
    wanted = (
        set() if array is None else expected_keys(array, range(shape[0]) if "pair" in dims or "time" in dims else None)
    )
    owed = wanted if array is None or not flags else expected_keys(array, [i for i, flag in enumerate(flags) if flag])
    is_lacking = array is None or (not owed <= present and owes_every_chunk(store, name))
    described: Json = {
        "name": name,
        "state": _state(is_listed, flags, is_lacking=is_lacking),
        "dims": dims,
        "shape": list(shape),
        "dtype": str(metadata["data_type"]),
        "chunks": None if array is None else list(array.chunks),
        "shards": None if array is None or array.shards is None else list(array.shards),
        "chunks_present": len(present & wanted),
        "chunks_expected": len(wanted),
        "bytes": store.stored_bytes(name),
        "units": attrs.get("units"),
        "made_by": attrs.get("sarcd_operation"),
        "parameters": parameters_of(attrs) if PARAMETERS in attrs else None,
        "version": attrs.get("sarcd_version"),
        "stale": attrs.get("sarcd_stale"),
        "sources": attrs.get("sources"),
    }
    if "pair" in dims:
        described["pairs_complete"] = flags or [is_listed] * shape[0]
    return described


def _flags(attrs: Any, shape: tuple[int, ...], dims: list[str]) -> list[bool]:
    return schema.flags_of(attrs)[: shape[0]] if "pair" in dims else []


def _state(is_listed: bool, flags: list[bool], *, is_lacking: bool) -> str:
    if not is_listed:
        return "unfinished"
    if is_lacking:
        return "damaged"
    return "complete" if all(flags) else "partial"
