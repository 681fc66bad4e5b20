"""Several difference images of the same pairs as one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.change.histogram import histogram_of, is_signed
from sarcd.engine.lazy import is_lazy, made_by_attrs, stack, window_map
from sarcd.errors import OptionError, StatisticsError
from sarcd.estimation.sample import sample_now

if TYPE_CHECKING:
    from sarcd.change.kernels.thresholds.histogram import Histogram

Fusion = Literal["standardised", "rank"]


def fuse(differences: Sequence[xr.DataArray], *, method: Fusion = "standardised") -> xr.DataArray:
    """Combine difference images that measure change in different units, by how unusual their values are in the scene.

    Parameters
    ----------
    differences : sequence of (pair, y, x) float32 DataArray
        Of the same pairs and ground, each larger where more changed, such as `log_ratio`, `mean_ratio` and
        `coherence_loss`; NaN where invalid. They are read now, once, a chunk at a time.
    method : {"standardised", "rank"}
        ``standardised``: the sum of all, each less its median and over its spread (from the median absolute deviation),
        divided by what the standard deviation of such a sum is on ordinary ground, their correlations included
        (Stouffer's sum). It keeps how far changed ground lies from the rest. ``rank``: the mean of ``-ln p``, p the
        share of the scene that is at least as extreme (Fisher's sum). It knows the order of values alone, and is the
        same for any increasing function of them.

    Returns
    -------
    (pair, y, x) float32
        Standard deviations of ordinary ground, or nats; NaN where any is. Lazy if any is.

    Raises
    ------
    OptionError
        If the images differ in shape, are signed, or the method is unknown.
    StatisticsError
        If no pixel is valid, or more than half of the valid ones of an image have one value.

    Examples
    --------
    >>> from sarcd import change, estimation
    >>> from sarcd.simulation import sites
    >>> scene = sites.site("A", size=64)
    >>> fuse([change.log_ratio(scene), 1 - estimation.coherence(scene)]).dims
    ('pair', 'y', 'x')
    """
    _check(differences, method)
    first = differences[0]
    layers, told = [], []
    for i in range(first.sizes["pair"]):
        images = [difference[i] for difference in differences]
        kernel, facts = (_standardised if method == "standardised" else _rank)(images)
        layers.append(window_map(kernel, _same_chunks(images), halo=(0, 0), dtype="float32"))
        told.append(facts)
    names = [str(one.attrs.get("sarcd_operation", one.name)) for one in differences]
    attrs = schema.variable("change_score").attrs() | {
        key: first.attrs[key] for key in ("grid_mapping",) if key in first.attrs
    }
    parameters = {"method": method, "differences": names, "scales": told}
    return xr.DataArray(
        stack(layers),
        dims=first.dims,
        coords=first.coords,
        name="fused",
        attrs=attrs | made_by_attrs("fuse", parameters),
    )


def _check(differences: Sequence[xr.DataArray], method: str) -> None:
    if method not in ("standardised", "rank"):
        raise OptionError(f"unknown fusion {method!r}", where="method", mend="use standardised or rank")
    if not differences:
        raise OptionError("no difference images", where="differences")
    for one in differences:
        if one.dims != ("pair", "y", "x") or one.shape != differences[0].shape:
            raise OptionError(
                f"'{one.name}' is {dict(one.sizes)}, '{differences[0].name}' is {dict(differences[0].sizes)}",
                where="differences",
                mend="make them of one scene and the same pairs",
            )


def _same_chunks(images: Sequence[xr.DataArray]) -> list[xr.DataArray]:
    """Return the images in the chunks of the first lazy one."""
    chunks = next((image.chunks for image in images if is_lazy(image)), None)
    return (
        list(images)
        if chunks is None
        else [image.chunk(dict(zip(("y", "x"), chunks, strict=True))) for image in images]
    )


def _standardised(images: Sequence[xr.DataArray]) -> tuple[Any, dict[str, Any]]:
    from sarcd.change.kernels import fusion

    medians, spreads = zip(*(_scale(_magnitudes(image), image) for image in images), strict=True)
    samples = [_values(image) for image in images]
    deviation = fusion.sum_deviation(samples, medians, spreads)
    facts = {"medians": list(medians), "spreads": list(spreads), "deviation": deviation}
    return partial(fusion.standardised_sum, medians=medians, spreads=spreads, deviation=deviation), facts


def _magnitudes(image: xr.DataArray) -> Histogram:
    values = histogram_of(image)
    if is_signed(image) and values.low[0] < 0:
        raise OptionError(f"'{image.name}' is signed", where="differences", mend="use its magnitude: signed=False")
    return values


def _scale(values: Histogram, image: xr.DataArray) -> tuple[float, float]:
    median, spread = values.median_and_spread()
    if not spread > 1e-12 * max(abs(median), 1e-12):
        raise StatisticsError(
            f"more than half of the pixels have the value {median:g}",
            where=str(image.name),
            mend="leave this difference image out, or fuse by rank",
        )
    return median, spread


def _values(image: xr.DataArray) -> np.ndarray:
    return np.concatenate([block.ravel() for block in sample_now(image)])


def _rank(images: Sequence[xr.DataArray]) -> tuple[Any, dict[str, Any]]:
    from sarcd.change.kernels import fusion

    histograms = [_magnitudes(image) for image in images]
    facts = {"medians": [float(ranks.quantiles([0.5])[0]) for ranks in histograms]}
    return partial(fusion.rank_sum, histograms=histograms), facts
