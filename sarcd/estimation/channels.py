"""Input of the networks: normalised amplitude before and after, and coherence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from sarcd import config, schema
from sarcd.attributes import PARAMETERS, parameters_of
from sarcd.config import CoherenceOptions
from sarcd.engine.lazy import is_lazy, made_by_attrs, stack
from sarcd.errors import OptionError
from sarcd.estimation import amplitudes
from sarcd.estimation.amplitudes import AmplitudeStatistics
from sarcd.estimation.coherence_layers import coherence_with, magnitude, pairs_of
from sarcd.estimation.looks import Looks, Ramp
from sarcd.store.openable import take
from sarcd.store.pairs import Pair
from sarcd.store.scene import completeness

AMPLITUDES = ("before", "after")
WITH_COHERENCE = ("before", "after", "coherence")

FILL = {"before": 0.5, "after": 0.5, "coherence": 0.0}
"""Values that fill holes before a convolution, in training and in prediction."""


def features(
    scene: xr.Dataset,
    *,
    channels: Sequence[str] | None = None,
    statistics: Any = "scene",
    coherence: CoherenceOptions | None = None,
    pairs: str | Sequence[Pair] | None = None,
) -> xr.DataArray:
    """Compute the input of the networks, one image per channel.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc`, or with `amplitude` if no coherence is requested.
    channels : sequence of str, optional
        ``("before", "after", "coherence")``, the default for complex images, or ``("before", "after")``.
    statistics : "scene", AmplitudeStatistics or (median, mad)
        As in `normalize`.
    coherence : CoherenceOptions, optional
        Options of the coherence. A stored `coherence` is used if it was made with the same options; by default any
        stored coherence is used.
    pairs : str or sequence of (before, after), optional
        As in `coherence`.

    Returns
    -------
    (pair, feature, y, x) float32
        Each channel in [0, 1], lazy if the images are; NaN where invalid.

    Raises
    ------
    OptionError
        If the channels are neither of the two sets.
    SceneError
        If coherence is requested and there is no `slc`.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, Eq. 1 and 5.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> features(sites.simulate("A", size=64)).sizes["feature"]
    3
    """
    scene = take(scene)
    names = tuple(channels) if channels else (WITH_COHERENCE if "slc" in scene else AMPLITUDES)
    if names not in (WITH_COHERENCE, AMPLITUDES):
        raise OptionError(f"unknown channels {names}", option="channels", hint=f"use {WITH_COHERENCE} or {AMPLITUDES}")
    chosen = pairs_of(scene, pairs)
    normalized = normalize(scene, statistics=statistics)
    layers = [[normalized[before].data, normalized[after].data] for before, after in chosen]
    parameters = {"channels": list(names), **describe(scene, statistics)}
    if "coherence" in names:
        magnitude = stored_coherence(scene, chosen, coherence)
        if magnitude is None:
            times = schema.dates_of(scene, "time")
            dates = [(times[before], times[after]) for before, after in chosen]
            magnitude = coherence_with(scene, coherence or CoherenceOptions(), pairs=dates)
        parameters["coherence"] = parameters_of(magnitude)
        for index, layer in enumerate(layers):
            layer.append(magnitude[index].data)
    return _label(scene, stack([stack(layer) for layer in layers]), names, chosen, parameters)


def _label(
    scene: xr.Dataset, data: Any, names: tuple[str, ...], chosen: list[tuple[int, int]], parameters: dict[str, Any]
) -> xr.DataArray:
    times = schema.dates_of(scene, "time")
    coords: dict[str, Any] = {key: scene[key] for key in ("y", "x", "spatial_ref") if key in scene.coords}
    coords |= {
        "feature": list(names),
        "before": ("pair", times[[before for before, _ in chosen]]),
        "after": ("pair", times[[after for _, after in chosen]]),
    }
    attrs = {"long_name": "input of the network", "units": "1", **made_by_attrs("features", parameters)}
    return xr.DataArray(data, dims=("pair", "feature", "y", "x"), coords=coords, name="features", attrs=attrs)


def stored_coherence(
    scene: xr.Dataset, chosen: Sequence[tuple[int, int]], options: CoherenceOptions | None
) -> xr.DataArray | None:
    """Return the stored coherence of the chosen pairs if it is complete and was made with `options`, else None."""
    if "coherence" not in scene or "pair" not in scene["coherence"].dims:
        return None
    stored = scene["coherence"]
    if PARAMETERS not in stored.attrs or (options is not None and parameters_of(stored) != config.to_dict(options)):
        return None
    listed = pairs_of(scene)
    complete = completeness(stored) or [True] * len(listed)
    if any(pair not in listed or not complete[listed.index(pair)] for pair in chosen):
        return None
    return stored[[listed.index(pair) for pair in chosen]]


def block_layers(
    images: tuple[np.ndarray, np.ndarray],
    statistics: tuple[tuple[float, float], tuple[float, float]],
    *,
    stored: np.ndarray | None = None,
    coherence: CoherenceOptions | None = None,
    looks: Looks | None = None,
    ramp: Ramp | None = None,
    first_row: int = 0,
) -> list[np.ndarray]:
    """Return the channels of `features` for a part of a pair, computed by the same functions as its graph.

    Parameters
    ----------
    images : (before, after), each (Y, X)
        Part of the two images, with the halo that coherence needs.
    statistics : ((median, mad), (median, mad))
        Statistics of the two dates.
    stored : (Y, X) float32, optional
        Stored coherence.
    coherence : CoherenceOptions, optional
        Options to estimate it with if it is not stored; without either there is no coherence channel.
    looks, ramp : optional
        Scene-wide measurements that the estimate needs.
    first_row : int
        Row of the scene at which the part begins.

    Returns
    -------
    list of (Y, X) float32
        One per channel, NaN where invalid.
    """
    layers = [normalize_block(image, *known) for image, known in zip(images, statistics, strict=True)]
    if stored is not None:
        layers.append(stored)
    elif coherence is not None:
        layers.append(magnitude(*images, coherence, looks, ramp, first_row))
    return layers


def fill_holes(values: np.ndarray, channels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Fill invalid pixels with the constant of each channel, and return where all channels were valid.

    Parameters
    ----------
    values : (..., C, Y, X) float32
        Channels along axis -3.
    channels : sequence of C str
        Names of the channels.

    Returns
    -------
    filled : (..., C, Y, X) float32
    valid : (..., Y, X) bool

    Examples
    --------
    >>> filled, valid = fill_holes(np.full((2, 1, 1), np.nan, "float32"), ("before", "after"))
    >>> filled.ravel().tolist(), valid.tolist()
    ([0.5, 0.5], [[False]])
    """
    holes = np.isnan(values)
    constants = np.array([FILL[name] for name in channels], np.float32)[:, None, None]
    return np.where(holes, constants, values), ~holes.any(axis=-3)


def normalize(
    scene: xr.Dataset, *, statistics: Literal["scene"] | AmplitudeStatistics | tuple[float, float] = "scene"
) -> xr.DataArray:
    """Normalise the amplitude of every date to (0, 1) by median and MAD, with 0.5 at the median.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude` (time, y, x), linear; invalid pixels NaN.
    statistics : "scene", AmplitudeStatistics or (median, mad)
        ``scene``: the statistics stored with the scene, or else computed from it together with the result, pooled, or
        per date if the medians of the dates differ by more than 1 dB. ``model.statistics``: those of a model. A tuple:
        median and MAD in linear units.

    Returns
    -------
    (time, y, x) float32
        In [0, 1], dimensionless, lazy if the images are; NaN where invalid.

    Raises
    ------
    StatisticsError
        If the MAD is 0 (at once for given statistics, otherwise when computed).
    OptionError
        If `statistics` is none of the above.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, Eq. 2-4.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> scene = sites.simulate("A", size=64)
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
    """Return what a result records about the statistics that normalised it."""
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
        option="statistics",
        hint="use 'scene', a model's statistics, or (median, mad)",
    )


def _columns(scene: xr.Dataset, statistics: Any) -> tuple[list[Any], list[Any]]:
    """Return median and MAD of each date: numbers, or lazy 0-d arrays if they are not computed yet."""
    times = schema.dates_of(scene, "time")
    if isinstance(statistics, str) and statistics != "scene":
        _as_statistics(statistics)
    known = AmplitudeStatistics.stored(scene) if isinstance(statistics, str) else _as_statistics(statistics)
    if known is not None:
        pairs = [known.at(time) for time in times]
        return [median for median, _ in pairs], [mad for _, mad in pairs]
    computed = amplitudes.statistics(scene, per_date=None)
    dates = range(len(times))
    return [computed["median"].data[i] for i in dates], [computed["mad"].data[i] for i in dates]


def _normalize_image(image: xr.DataArray, median: Any, mad: Any) -> Any:
    if not is_lazy(image):
        return normalize_block(image.values, median, mad)
    import dask.array as da

    # 0-d arrays become blocks of one value, so that nothing is computed now
    median, mad = (da.asarray(value)[None, None] for value in (median, mad))
    return da.map_blocks(normalize_block, image.data, median, mad, dtype=np.float32, meta=np.empty((0, 0), np.float32))


def normalize_block(image: np.ndarray, median: Any, mad: Any) -> np.ndarray:
    """Return `normalize` of a part (y, x) of an image; median and MAD are numbers or arrays with one element."""
    from sarcd.estimation.kernels.normalize import modified_tanh

    return modified_tanh(image, float(np.asarray(median).item()), float(np.asarray(mad).item()))
