"""Robust normalisation of a scene's amplitudes."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.engine.lazy import is_lazy, made_by_attrs, stack
from sarcd.errors import OptionError
from sarcd.estimation.amplitudes import AmplitudeStatistics, amplitude_statistics
from sarcd.store.intake import take


def normalize(
    scene: xr.Dataset, *, statistics: Literal["scene"] | AmplitudeStatistics | tuple[float, float] = "scene"
) -> xr.DataArray:
    """Amplitude of every date brought to (0, 1) by median and MAD, 0.5 at the median.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude` (time, y, x), linear; invalid pixels NaN.
    statistics : "scene", AmplitudeStatistics or (median, mad)
        ``scene``: those kept with the scene, or its own, computed when the result is: pooled, or of each date by itself
        where their medians differ by more than 1 dB. A model's: ``model.statistics``.
        Given: two numbers, linear.

    Returns
    -------
    (time, y, x) float32
        In [0, 1], dimensionless, lazy if the images are; NaN where invalid.

    Raises
    ------
    StatisticsError
        If the MAD is 0 (at once for given statistics, else when computed).
    OptionError
        If `statistics` is none of the above.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, Eq. 2-4.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> scene = sites.site("A", size=64)
    >>> round(float(normalize(scene).median()), 2)
    0.5
    """
    scene = take(scene)
    images = schema.images_of(scene)
    median, mad = _columns(scene, statistics)
    dates = range(images.sizes["time"])
    layers = [_normalize_image(images[i], median[i], mad[i]) for i in dates]
    attrs: dict[str, Any] = {"long_name": "normalised amplitude", "units": "1"}
    if "grid_mapping" in images.attrs:
        attrs["grid_mapping"] = images.attrs["grid_mapping"]
    attrs |= made_by_attrs("normalize", describe(scene, statistics))
    return xr.DataArray(stack(layers), dims=images.dims, coords=images.coords, name="normalized", attrs=attrs)


def describe(scene: xr.Dataset, statistics: Any) -> dict[str, Any]:
    """Return what a result records of the statistics that normalised it."""
    known = AmplitudeStatistics.stored(scene) if isinstance(statistics, str) else _as_statistics(statistics)
    if known is None:
        return {"statistics": "of the images themselves"}
    return {"median": list(known.median), "mad": list(known.mad)}


def _as_statistics(statistics: Any) -> AmplitudeStatistics:
    if isinstance(statistics, AmplitudeStatistics):
        return statistics
    if isinstance(statistics, (tuple, list)) and len(statistics) == 2:
        return AmplitudeStatistics.given(*statistics)
    raise OptionError(
        f"unknown statistics {statistics!r}",
        where="statistics",
        mend="use 'scene', a model's statistics, or (median, mad)",
    )


def _columns(scene: xr.Dataset, statistics: Any) -> tuple[list[Any], list[Any]]:
    """Return median and MAD for each date: numbers, or lazy 0-d arrays where they are still to be computed."""
    times = schema.dates_of(scene, "time")
    if isinstance(statistics, str) and statistics != "scene":
        _as_statistics(statistics)
    known = AmplitudeStatistics.stored(scene) if isinstance(statistics, str) else _as_statistics(statistics)
    if known is not None:
        pairs = [known.at(time) for time in times]
        return [median for median, _ in pairs], [mad for _, mad in pairs]
    computed = amplitude_statistics(scene, per_date=None)
    dates = range(len(times))
    return [computed["median"].data[i] for i in dates], [computed["mad"].data[i] for i in dates]


def _normalize_image(image: xr.DataArray, median: Any, mad: Any) -> Any:
    if not is_lazy(image):
        return normalize_block(image.values, median, mad)
    import dask.array as da

    # 0-d arrays take part as blocks of one value, so that nothing is computed now
    median, mad = (da.asarray(value)[None, None] for value in (median, mad))
    return da.map_blocks(normalize_block, image.data, median, mad, dtype=np.float32, meta=np.empty((0, 0), np.float32))


def normalize_block(image: np.ndarray, median: Any, mad: Any) -> np.ndarray:
    """Return what `normalize` makes of a part (y, x) of an image; median and MAD are numbers or arrays of one."""
    from sarcd.estimation.kernels.normalize import modified_tanh

    return modified_tanh(image, float(np.asarray(median).item()), float(np.asarray(mad).item()))
