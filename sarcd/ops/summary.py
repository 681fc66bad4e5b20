"""Changes of a scene of many dates, in few layers."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.config import Window
from sarcd.errors import OptionError, SceneError
from sarcd.io.pairs import consecutive
from sarcd.ops._lazy import is_lazy, made_by_attrs, pointwise, window_map
from sarcd.ops._pair_scores import WindowLooks
from sarcd.ops._significance import aligned, check_rate, check_share, parameters_of, window_looks


def summarise_changes(
    scene: xr.Dataset,
    changes: xr.DataArray | str | None = None,
    *,
    threshold: float = 0.5,
    persistence: bool = True,
    window: int | Window = 5,
    false_alarms: float = 0.01,
    looks: float | None = None,
    min_valid: float = 0.5,
) -> xr.Dataset:
    """Tell for each pixel how often it changed, when first and last, and whether it came back.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude` (time, y, x), linear, and the results if they are called by name.
    changes : DataArray or str, optional
        Decisions (1, 0, 255) or probabilities (float, NaN where invalid) over consecutive dates, (pair, y, x): of any
        test, or of a network. By default the scene's `change_probability`, or else its `change`.
    threshold : float
        From which probability on there is a change; decisions do not use it.
    persistence : bool
        Whether that layer is wanted: it alone needs the images.
    window : int or Window
        Odd size in pixels over which dates are compared for the persistence.
    false_alarms : float
        Rate of that comparison.
    looks, min_valid
        As in `ratio_test`, for that comparison.

    Returns
    -------
    xr.Dataset
        Layers (y, x), lazy if the changes are: `change_count` uint8 (255 unknown), `first_change` and `last_change`
        int16, the date that shows the change, counted from 0 in order of time (0 none, since the first date shows none;
        -1 unknown), and `persistence` float32, the share of the dates since the first change that still differ from
        what was before it: 1 stays, 0 came back at once, NaN without a change and where it shows only on the last date.
        Dates are counted since every raster format keeps whole numbers; the attribute `dates` lists them.

    Raises
    ------
    SceneError
        If there is nothing to summarise.
    OptionError
        If the pairs are not the consecutive dates of the scene, or an option cannot be used.

    See Also
    --------
    sarcd.kernels.summary.persistence : when a date counts as come back.

    Examples
    --------
    >>> from sarcd import ops, sites
    >>> scene = sites.site("A", size=64, dates=4)
    >>> found = summarise_changes(scene, ops.ratio_test(scene).change)
    >>> sorted(found.data_vars)
    ['change_count', 'first_change', 'last_change', 'persistence']
    >>> int(found.last_change.max()) <= 3
    True
    """
    decided, times = _in_order(scene, _changes(scene, changes), threshold)
    layers = _counted(decided)
    parameters: dict[str, Any] = {"of": str(decided.name), "threshold": float(threshold)}
    if persistence:
        images, size = schema.images_of(scene), Window.of(window)
        rate, share = check_rate(false_alarms), check_share(min_valid)
        inputs = [images[date] for date in np.argsort(times)]
        inputs += aligned(images, decided, "changes", decided.sizes["pair"])
        layers["persistence"] = window_map(
            partial(_persistence, dates=len(times), window=size, false_alarms=rate, min_valid=share),
            inputs,
            halo=size.halo,
            dtype="float32",
            measured={"looks": window_looks(scene, size, looks, rate)},
        )
        parameters |= parameters_of(size, rate, share, looks)
    return _named(decided, layers, times, made_by_attrs("summarise_changes", parameters))


def _changes(scene: xr.Dataset, changes: xr.DataArray | str | None) -> xr.DataArray:
    if isinstance(changes, xr.DataArray):
        return changes
    if changes is not None:
        return schema.require(scene, changes)
    for name in ("change_probability", "change"):
        if name in scene:
            return scene[name]
    raise SceneError(
        "no 'change_probability' and no 'change' to summarise",
        where=schema.source_of(scene),
        mend="run 'sarcd predict' or 'sarcd detect' on the scene first",
    )


def _in_order(scene: xr.Dataset, changes: xr.DataArray, threshold: float) -> tuple[xr.DataArray, np.ndarray]:
    """Return decisions over consecutive dates in order of time, and the scene's dates."""
    times = schema.dates_of(scene, "time")
    wanted = consecutive(times)
    held = changes.to_dataset(name="changes")
    if set(changes.dims) != {"pair", "y", "x"} or not {"before", "after"} <= set(changes.coords):
        raise OptionError(f"changes have dims {changes.dims}", where="changes", mend="use (pair, y, x) with both dates")
    there = list(zip(schema.dates_of(held, "before"), schema.dates_of(held, "after"), strict=True))
    absent = [pair for pair in wanted if pair not in there]
    if absent:
        raise OptionError(
            f"no change from {absent[0][0]} to {absent[0][1]}",
            where="changes",
            mend="compute it for consecutive dates: pairs='consecutive'",
        )
    ordered = changes.transpose("pair", "y", "x").isel(pair=[there.index(pair) for pair in wanted])
    if ordered.dtype.kind == "f":
        return pointwise(partial(_above, threshold=threshold), ordered, dtype=np.uint8), times
    return ordered, times


def _above(probability: np.ndarray, threshold: float) -> np.ndarray:
    return np.where(np.isnan(probability), schema.NO_LABEL, probability >= threshold).astype(np.uint8)


def _counted(decided: xr.DataArray) -> dict[str, Any]:
    names = ("change_count", "first_change", "last_change")
    if not is_lazy(decided):
        return dict(zip(names, _count_block(decided.values), strict=True))
    import dask.array as da

    whole = decided.data.rechunk({0: -1})
    three = da.map_blocks(
        _count_block, whole, dtype=np.int16, chunks=((3,), *whole.chunks[1:]), meta=np.empty((0, 0, 0), np.int16)
    )
    return {name: three[i] for i, name in enumerate(names)}


def _count_block(changed: np.ndarray) -> np.ndarray:
    from sarcd.kernels.summary import count_changes

    return np.stack([layer.astype(np.int16) for layer in count_changes(changed)])


def _persistence(
    *layers: np.ndarray, dates: int, window: Window, false_alarms: float, min_valid: float, looks: WindowLooks
) -> np.ndarray:
    from sarcd.kernels.summary import persistence

    return persistence(
        layers[:dates],
        layers[dates:],
        window=(window.y, window.x),
        looks=(looks.power, looks.coherence),
        false_alarms=false_alarms,
        min_valid=min_valid,
    )


def _named(decided: xr.DataArray, layers: dict[str, Any], times: np.ndarray, attrs: dict[str, Any]) -> xr.Dataset:
    coords = {key: decided[key] for key in ("y", "x", "spatial_ref") if key in decided.coords}
    grid_mapping = {"grid_mapping": "spatial_ref"} if "spatial_ref" in coords else {}
    dates = {"dates": [str(date) for date in np.sort(times)]}
    arrays = {}
    for name, layer in layers.items():
        wanted = schema.variable(name)
        array = xr.DataArray(layer, dims=wanted.dims, coords=coords).astype(wanted.dtype)
        arrays[name] = array.assign_attrs({**wanted.attrs(), **grid_mapping, **attrs, **dates})
    return xr.Dataset(arrays)
