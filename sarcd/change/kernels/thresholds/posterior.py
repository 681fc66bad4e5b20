"""How likely a pixel changed, by the mixture that the thresholds of Kittler and Illingworth were drawn between."""

from __future__ import annotations

import numpy as np

from sarcd.change.kernels.thresholds.split import Split


def probability_of_change(values: np.ndarray, split: Split) -> np.ndarray:
    """Return the share that the changed classes have of the mixture's density at each value.

    Parameters
    ----------
    values : ndarray of float32
        Difference image; NaN where invalid.
    split : Split
        By `sarcd.change.kernels.thresholds.kittler.kittler`, whose facts tell the classes.

    Returns
    -------
    ndarray of float32
        In [0, 1]; NaN where invalid. 0 if one class was enough. Beyond the mean of an outermost class it stays as it is
        there: further out only tails are compared.

    Examples
    --------
    >>> facts = {"shares": [0.9, 0.1], "means": [0.0, 4.0], "deviations": [1.0, 1.0], "shapes": [2.0, 2.0]}
    >>> split = Split("kittler", above=2.5, facts=facts)
    >>> probability_of_change(np.array([0.0, 2.5493, 4.0, 9.0, np.nan]), split).astype(float).round(2).tolist()
    [0.0, 0.5, 1.0, 1.0, nan]
    """
    means = split.facts["means"]
    if not split.found:
        return np.where(np.isnan(values), np.float32(np.nan), np.float32(0))
    unchanged = 0 if split.below is None else len(means) - 1 if split.above is None else 1
    inner = np.clip(np.asarray(values, np.float64), min(means), max(means))
    classes = zip(*(split.facts[name] for name in ("shares", "means", "deviations", "shapes")), strict=True)
    densities = [_log_density(inner, *each) for each in classes]
    highest = np.max(densities, axis=0)  # so that the likeliest class never vanishes
    parts = [np.exp(density - highest) for density in densities]
    return np.asarray(1 - parts[unchanged] / np.sum(parts, axis=0), np.float32)


def _log_density(values: np.ndarray, share: float, mean: float, deviation: float, shape: float) -> np.ndarray:
    """Return the logarithm of a class's part of the density; see `kittler` for the symbols."""
    from scipy.special import gammaln

    b = np.exp((gammaln(3 / shape) - gammaln(1 / shape)) / 2) / deviation
    log_a = np.log(b * shape / 2) - gammaln(1 / shape)
    return np.asarray(np.log(share) + log_a - (b * np.abs(values - mean)) ** shape)
