"""Omnibus test of a stack of dates: whether its brightness changed at all, and when."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.change.pair_scores import WindowLooks, score
from sarcd.change.significance import FALSE_ALARMS, check_rate, check_share, parameters_of, window_looks
from sarcd.config import Window
from sarcd.engine.lazy import is_lazy, made_by_attrs, paired_array, stack, window_map
from sarcd.estimation.pairs import pairs_of
from sarcd.store.intake import take
from sarcd.store.pairs import consecutive


def omnibus_test(
    scene: xr.Dataset,
    *,
    window: int | Window = 5,
    false_alarms: float = 0.01,
    looks: float | WindowLooks | None = None,
    min_valid: float = 0.5,
) -> xr.Dataset:
    """Find where and when the brightness of the ground changed on any of many dates, by one test of them all.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude` (time, y, x), linear; two dates or more, in order of time.
    window : int or Window
        Odd size in pixels over which power is averaged.
    false_alarms : float
        Share of pixels unchanged on all dates that are flagged on any.
    looks : float, optional
        Independent looks of a mean over the window, as in `ratio_test`; measured before, a `WindowLooks`. Measured on
        the scene's own spectrum, each number of dates has its own.
    min_valid : float
        Least share of pixels valid on all dates in a window, which the scene's border cuts; below it nothing is known.

    Returns
    -------
    xr.Dataset
        `change` (pair, y, x) uint8 over consecutive dates, and `omnibus_score` (y, x) float32, -log10 of the p-value
        over all dates. Lazy if the images are; a block keeps all dates in memory, 12 bytes a pixel each.

    Raises
    ------
    SceneError
        If there are no images, or fewer than two.
    OptionError
        If an option cannot be used, or the images are detected ones and `looks` is not told.

    See Also
    --------
    sarcd.change.summarise_changes : number of changes, first and last date, persistence.
    sarcd.change.kernels.significance.omnibus : the tests.

    Notes
    -----
    The dates are taken to be independent. On coherent ground fewer than `false_alarms` are flagged and small changes
    are missed, as by the plain ratio test: there `ratio_test` of pairs sees more.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> found = omnibus_test(sites.site("A", size=64, dates=3))
    >>> found.change.dims, found.omnibus_score.dims
    (('pair', 'y', 'x'), ('y', 'x'))
    """
    scene = take(scene)
    images, size = schema.images_of(scene), Window.of(window)
    rate, share = check_rate(false_alarms), check_share(min_valid)
    pairs = pairs_of(scene, consecutive(schema.dates_of(scene, "time")))
    order = [pairs[0][0], *(after for _, after in pairs)]
    looks_ = window_looks(scene, size, looks, rate, len(order))
    dates = [images[date] for date in order]
    all_valid = _all_valid(dates)
    powers = [
        window_map(partial(_power, window=size, min_valid=share), [date, all_valid], halo=size.halo, dtype="float32")
        for date in dates
    ]
    counts = window_map(partial(_count, window=size), [all_valid], halo=size.halo, dtype="int32")
    layers = _search(powers, counts, {"pixels": size.pixels, "looks": looks_, "false_alarms": rate})
    told = None if isinstance(looks, WindowLooks) else looks
    attrs = made_by_attrs("omnibus_test", parameters_of(size, rate, share, told))
    if isinstance(looks_, WindowLooks):
        attrs["effective_looks"] = looks_.power
    change = paired_array(scene, "change", layers[1:].astype("uint8"), pairs, attrs)
    kept = {key: value for key, value in change.attrs.items() if key == "grid_mapping"}
    coords = {key: change[key] for key in ("y", "x", "spatial_ref") if key in change.coords}
    of_stack = xr.DataArray(
        layers[0],
        dims=("y", "x"),
        coords=coords,
        attrs={**schema.variable("omnibus_score").attrs(), **kept, **attrs},
    )
    return xr.Dataset({"change": change, "omnibus_score": of_stack}, attrs={FALSE_ALARMS: rate})


def _all_valid(dates: list[xr.DataArray]) -> xr.DataArray:
    """Pixels that are valid on all dates."""
    valid = dates[0].copy(data=np.isfinite(dates[0].data))
    for date in dates[1:]:
        valid = valid.copy(data=valid.data & np.isfinite(date.data))
    return valid


def _power(image: np.ndarray, valid: np.ndarray, window: Window, min_valid: float) -> np.ndarray:
    from sarcd.change.kernels.significance.windows import enough, mean_power

    size = window.y, window.x
    power = mean_power(image, valid, size)
    return np.where(enough(valid, size, min_valid) & (power > 0), power, np.nan).astype(np.float32)


def _count(valid: np.ndarray, window: Window) -> np.ndarray:
    from sarcd.change.kernels.significance.windows import count_valid

    return count_valid(valid, (window.y, window.x))


def _search(powers: list[Any], counts: Any, options: dict[str, Any]) -> Any:
    """Return (K, Y, X) float32: the score of the stack, then the change from each date to the next, 1, 0 or 255."""
    if not is_lazy(xr.DataArray(counts)):
        return _search_block(np.stack(powers), counts[None], **options)
    import dask.array as da

    whole = stack(powers).rechunk({0: len(powers)})
    return da.map_blocks(
        _search_block,
        whole,
        counts[None],
        dtype=np.float32,
        chunks=whole.chunks,
        meta=np.empty((0, 0, 0), "f4"),
        **options,
    )


def _search_block(
    powers: np.ndarray, counts: np.ndarray, pixels: int, looks: WindowLooks, false_alarms: float
) -> np.ndarray:
    from sarcd.change.kernels.significance.omnibus import change_times
    from sarcd.change.kernels.significance.windows import looks_of

    if looks.stack is None:
        p, changed = change_times(powers, looks_of(counts[0], looks.power, pixels), false_alarms)
    else:
        filled = (np.maximum(counts[0], 1) - 1) / (pixels - 1) if pixels > 1 else 1.0
        p, changed = change_times(powers, looks.stack, false_alarms, filled=filled)
    out = np.empty(powers.shape, np.float32)
    out[0] = score(p)
    out[1:] = np.where(np.isnan(p), schema.NO_LABEL, changed)
    return out
