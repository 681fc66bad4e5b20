"""How likely the decision at a pixel is wrong, by what the values of the whole scene tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.change.thresholding import histogram_of
from sarcd.config import Window
from sarcd.engine.lazy import pointwise, stack
from sarcd.errors import StatisticsError

if TYPE_CHECKING:
    from sarcd.change.kernels.significance.history import TwoGroups
    from sarcd.change.kernels.thresholds.histogram import Split
    from sarcd.change.thresholding import Rule

OF_DECISION = "probability that the decision is wrong, 0 to 1"
"""What `uncertainty` of tests and difference images is called."""

OF_EITHER = f"{OF_DECISION} where coherence decided, elsewhere spread of the probability among views of the scene"
"""What it is called where a test and a network share a scene."""


def fit_groups(scores: xr.DataArray, window: Window) -> tuple[TwoGroups, ...]:
    """Tell the p-values of changed ground from those of unchanged ground, for each pair.

    Parameters
    ----------
    scores : (pair, y, x) float32 DataArray
        -log10 of the p-values; read now, once, a chunk at a time.
    window : Window
        Of the test: overlapping windows do not tell more than windows side by side.

    Returns
    -------
    tuple of TwoGroups
        One a pair. Of a pair without any score, as one without a past, it is that of unchanged ground alone.
    """
    from sarcd.change.kernels.significance.history import TwoGroups, fit_two_groups

    found = []
    for number in range(scores.sizes["pair"]):
        try:
            values = histogram_of(scores[number : number + 1])
        except StatisticsError:
            found.append(TwoGroups(0.0, 1.0))
            continue
        groups = fit_two_groups(values, correlated=window.pixels)
        # The last bits depend on the machine; a result is to be the same wherever it was made.
        found.append(TwoGroups(round(groups.share, 9), round(groups.exponent, 9)))
    return tuple(found)


def by_groups(scores: xr.DataArray, groups: Sequence[TwoGroups]) -> xr.DataArray:
    """Return how likely each pixel changed, (pair, y, x) float32, by the scores of a test."""
    return _each(scores, [one.probability for one in groups])


def by_rules(difference: xr.DataArray, rules: Sequence[Rule]) -> xr.DataArray:
    """Return how likely each pixel changed, (pair, y, x) float32, by rules of Kittler and Illingworth."""
    from sarcd.change.kernels.thresholds.kittler import probability_of_change

    return _each(difference, [partial(probability_of_change, split=cast("Split", rule)) for rule in rules])


def uncertainty_of(found: xr.Dataset) -> xr.DataArray:
    """Return how little each pixel is to be trusted, NaN where nothing was decided.

    Parameters
    ----------
    found : xr.Dataset
        `change`, with `probability` of change where a test or a rule decided, with `spread` where a network did, or
        with both, NaN where the other did.

    Returns
    -------
    (pair, y, x) float32
        Its `long_name` says what it is.
    """
    if "probability" not in found:
        spread = found["spread"]
        return spread.where(found["change"] != schema.NO_LABEL).assign_attrs(spread.attrs)
    uncertainty = wrong(found["change"], found["probability"]).assign_attrs(long_name=OF_DECISION)
    if "spread" in found:
        spread = found["spread"].where(found["change"] != schema.NO_LABEL)
        uncertainty = uncertainty.fillna(spread).assign_attrs(uncertainty.attrs, long_name=OF_EITHER)
    return uncertainty


def wrong(change: xr.DataArray, probability: xr.DataArray) -> xr.DataArray:
    """Return how likely each decision is wrong: that what is flagged did not change, or that the rest did.

    Parameters
    ----------
    change : (pair, y, x) uint8 DataArray
        The map as it is, cleaned up or not.
    probability : (pair, y, x) float32 DataArray
        Of change.

    Returns
    -------
    (pair, y, x) float32
        In [0, 1]; NaN where nothing was decided. Above a half where the map goes against the probability: a low rate of
        false alarms leaves likely changes out.
    """
    uncertainty: xr.DataArray = (1 - probability).where(change == 1, probability)
    uncertainty = uncertainty.where(change != schema.NO_LABEL).astype("float32").rename("uncertainty")
    return uncertainty.assign_attrs(change.attrs)


def _each(values: xr.DataArray, kernels: Sequence[Callable[[np.ndarray], np.ndarray]]) -> xr.DataArray:
    layers = [pointwise(kernel, values[number], dtype=np.float32).data for number, kernel in enumerate(kernels)]
    return values.copy(data=stack(layers))
