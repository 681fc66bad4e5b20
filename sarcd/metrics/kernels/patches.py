"""Counts per patch, and confidence intervals from resampling the patches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sarcd.metrics.kernels.curves import score_histogram
from sarcd.metrics.kernels.reliability import Bins

CountArray = np.ndarray[Any, np.dtype[np.int64]]
FloatArray = np.ndarray[Any, np.dtype[np.float64]]

_BATCH = 64  # resamples


def patch_counts(
    changed: np.ndarray, predicted: np.ndarray, evaluated: np.ndarray, *, origin: tuple[int, int], patch: int
) -> tuple[CountArray, CountArray]:
    """Count hits, false alarms, misses and correct rejections in each patch.

    Parameters
    ----------
    changed, predicted, evaluated : (Y, X) bool
        Truth, map, and pixels where both are known.
    origin : (int, int)
        Row and column of the first pixel in the scene; patches start at (0, 0).
    patch : int
        Side of a patch in pixels.

    Returns
    -------
    place : (N, 2) int64
        Row and column of the patches that have any evaluated pixel.
    counts : (N, 4) int64
        tp, fp, fn, tn of each.
    """
    found = [
        (place, _confusion(changed[window], predicted[window], evaluated[window]))
        for place, window in windows(changed.shape, origin, patch)
        if evaluated[window].any()
    ]
    return (
        np.array([place for place, _ in found], np.int64).reshape(-1, 2),
        np.array([counts for _, counts in found], np.int64).reshape(-1, 4),
    )


def patch_histograms(
    score: np.ndarray, changed: np.ndarray, evaluated: np.ndarray, bins: Bins, *, origin: tuple[int, int], patch: int
) -> np.ndarray:
    """Return the histograms of the scores in each patch, for the same patches as `patch_counts`.

    Returns
    -------
    (N, 2, bins.count) uint32
    """
    found = [
        score_histogram(score[window][evaluated[window]], changed[window][evaluated[window]], bins).astype(np.uint32)
        for _, window in windows(changed.shape, origin, patch)
        if evaluated[window].any()
    ]
    return np.array(found, np.uint32).reshape(-1, 2, bins.count)


def windows(
    shape: tuple[int, ...], origin: tuple[int, int], patch: int
) -> list[tuple[tuple[int, int], tuple[slice, slice]]]:
    """Return index and window of each patch, or part of one, in a block of a scene.

    Examples
    --------
    >>> [(place, window[1]) for place, window in windows((2, 5), (0, 3), 4)]
    [((0, 0), slice(0, 1, None)), ((0, 1), slice(1, 5, None))]
    """
    axes = [
        [
            (number, slice(max(number * patch - first, 0), min((number + 1) * patch - first, size)))
            for number in range(first // patch, -(-(first + size) // patch))
        ]
        for size, first in zip(shape, origin, strict=True)
    ]
    return [((row, column), (y, x)) for row, y in axes[0] for column, x in axes[1]]


def _confusion(changed: np.ndarray, predicted: np.ndarray, evaluated: np.ndarray) -> list[int]:
    positive, called = changed & evaluated, predicted & evaluated
    tp = int(np.count_nonzero(positive & called))
    fp, fn = int(np.count_nonzero(called)) - tp, int(np.count_nonzero(positive)) - tp
    return [tp, fp, fn, int(np.count_nonzero(evaluated)) - tp - fp - fn]


def merge_patches(place: np.ndarray, values: Sequence[np.ndarray]) -> tuple[CountArray, list[np.ndarray]]:
    """Add the values of the parts of each patch, and sort by position.

    Parameters
    ----------
    place : (N, 2) int64
        Row and column of a patch; several may be equal.
    values : sequence of (N, ...) arrays
        Values to add.

    Returns
    -------
    place : (M, 2) int64
        Each patch once.
    values : list of (M, ...) arrays
        With their dtypes unchanged.
    """
    unique, group = np.unique(place, axis=0, return_inverse=True)
    group = group.reshape(-1)
    if len(unique) == len(place):  # a permutation
        order = np.argsort(group)
        return place[order], [value[order] for value in values]
    summed = []
    for value in values:
        total = np.zeros((len(unique), *value.shape[1:]), value.dtype)
        np.add.at(total, group, value)
        summed.append(total)
    return unique, summed


def bootstrap_intervals(
    units: np.ndarray,
    scores: Callable[[FloatArray], dict[str, FloatArray]],
    *,
    resamples: int,
    seed: int,
    level: float,
) -> dict[str, tuple[float, float]]:
    """Compute percentile intervals [1]_ of scores of sums, from resampling the units with replacement.

    Parameters
    ----------
    units : (N, K) of int
        Contribution of each unit, such as a patch, to the sums.
    scores : callable
        Maps sums (R, K) to each score (R,); NaN where it is undefined.
    resamples : int
        Number of resamples: ``rng.integers(0, N, N)`` each, from one generator with this seed.
    seed : int
        Seed of `numpy.random.default_rng`.
    level : float
        Confidence level: fraction of the resamples within the interval, with the others split equally.

    Returns
    -------
    dict
        Lower and upper end of each score, NaN with fewer than two units or where no resample has the score.

    References
    ----------
    .. [1] B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7(1), 1979,
       doi:10.1214/aos/1176344552; R. J. Tibshirani, B. Efron, "An Introduction to the Bootstrap", 1993, section 13.3.

    Examples
    --------
    >>> units = np.array([[3, 4], [1, 4], [2, 4], [2, 4]])
    >>> bootstrap_intervals(units, lambda sums: {"share": sums[:, 0] / sums[:, 1]}, resamples=500, seed=0, level=0.5)
    {'share': (0.4375, 0.5625)}
    """
    count = len(units)
    if count < 2:
        return dict.fromkeys(scores(np.zeros((1, units.shape[1]))), (np.nan, np.nan))
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[FloatArray]] = {}
    for first in range(0, resamples, _BATCH):
        together = min(_BATCH, resamples - first)
        times = np.stack([np.bincount(rng.integers(0, count, count), minlength=count) for _ in range(together)])
        for name, values in scores(_weighted_sums(times, units)).items():
            drawn.setdefault(name, []).append(values)
    ends = [(1 - level) / 2, (1 + level) / 2]
    return {name: _percentiles(np.concatenate(values), ends) for name, values in drawn.items()}


def _weighted_sums(times: np.ndarray, units: np.ndarray) -> FloatArray:
    """Return times @ units in float64, exact below 2^53, without a float64 copy of all units."""
    total = np.zeros((len(times), units.shape[1]))
    for first in range(0, len(units), 4096):
        part = slice(first, first + 4096)
        total += times[:, part].astype(np.float64) @ units[part].astype(np.float64)
    return total


def _percentiles(values: FloatArray, ends: Sequence[float]) -> tuple[float, float]:
    values = values[~np.isnan(values)]
    if not len(values):
        return np.nan, np.nan
    low, high = np.quantile(values, ends)
    return float(low), float(high)
