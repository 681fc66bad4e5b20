"""Probability that the decision at a pixel is wrong, from the values of the whole scene."""

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
"""`long_name` of `uncertainty` for tests and difference images."""

OF_EITHER = f"{OF_DECISION} where coherence decided, elsewhere spread of the probability among views of the scene"
"""`long_name` where a test and a network share a scene."""


def fit_groups(scores: xr.DataArray, window: Window) -> tuple[TwoGroups, ...]:
    """Separate the p-values of changed ground from those of unchanged ground, for each pair.

    Parameters
    ----------
    scores : (pair, y, x) float32 DataArray
        -log10 of the p-values; read immediately, once, one chunk at a time.
    window : Window
        Window of the test: overlapping windows carry no more information than adjacent ones.

    Returns
    -------
    tuple of TwoGroups
        One per pair. For a pair without any score, such as one without history, that of unchanged ground alone.
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
        # The last bits depend on the machine, but a result must be the same wherever it was made.
        found.append(TwoGroups(round(groups.share, 9), round(groups.exponent, 9)))
    return tuple(found)


def by_groups(scores: xr.DataArray, groups: Sequence[TwoGroups]) -> xr.DataArray:
    """Return the probability of change of each pixel, (pair, y, x) float32, from the scores of a test."""
    return _each(scores, [one.probability for one in groups])


def by_rules(difference: xr.DataArray, rules: Sequence[Rule]) -> xr.DataArray:
    """Return the probability of change of each pixel, (pair, y, x) float32, from Kittler-Illingworth rules."""
    from sarcd.change.kernels.thresholds.kittler import probability_of_change

    return _each(difference, [partial(probability_of_change, split=cast("Split", rule)) for rule in rules])


def uncertainty_of(found: xr.Dataset) -> xr.DataArray:
    """Return the uncertainty of each pixel, NaN where there is no decision.

    Parameters
    ----------
    found : xr.Dataset
        `change`, with `probability` of change where a test or a rule decided, with `spread` where a network did, or
        with both, each NaN where the other applies.

    Returns
    -------
    (pair, y, x) float32
        Its `long_name` gives its meaning.
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
    """Return the probability that each decision is wrong: no change where flagged, change elsewhere.

    Parameters
    ----------
    change : (pair, y, x) uint8 DataArray
        The final map, post-processed or not.
    probability : (pair, y, x) float32 DataArray
        Probability of change.

    Returns
    -------
    (pair, y, x) float32
        In [0, 1]; NaN where there is no decision. Above a half where the map contradicts the probability: a low
        false-alarm rate leaves likely changes out.
    """
    uncertainty: xr.DataArray = (1 - probability).where(change == 1, probability)
    uncertainty = uncertainty.where(change != schema.NO_LABEL).astype("float32").rename("uncertainty")
    return uncertainty.assign_attrs(change.attrs)


def _each(values: xr.DataArray, kernels: Sequence[Callable[[np.ndarray], np.ndarray]]) -> xr.DataArray:
    layers = [pointwise(kernel, values[number], dtype=np.float32).data for number, kernel in enumerate(kernels)]
    return values.copy(data=stack(layers))
