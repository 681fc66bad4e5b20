"""Precision-recall curve and average precision, from histograms that can be added over chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sarcd.metrics.kernels.reliability import Bins

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
CountArray = np.ndarray[Any, np.dtype[np.int64]]


def score_histogram(values: np.ndarray, changed: np.ndarray, bins: Bins) -> CountArray:
    """Count scores by bin, separately for pixels without and with change.

    Parameters
    ----------
    values : (N,) floating point
        Scores, without NaN.
    changed : (N,) bool
        The truth.
    bins : Bins
        Binning of the scores.

    Returns
    -------
    (2, bins.count) int64
        Unchanged, changed. Can be added over chunks.
    """
    index = bins.index(values) + bins.count * changed
    return np.bincount(index, minlength=2 * bins.count).astype(np.int64, copy=False).reshape(2, bins.count)


def pack(histogram: np.ndarray) -> CountArray:
    """Return the nonzero entries of a histogram, since a block fills few bins.

    Returns
    -------
    (M, 2) int64
        Index in the flattened histogram, ascending, and count.
    """
    flat = histogram.reshape(-1)
    place = np.flatnonzero(flat)
    return np.stack([place, flat[place]], axis=-1).astype(np.int64, copy=False)


def packed_histogram(values: np.ndarray, changed: np.ndarray, bins: Bins) -> CountArray:
    """Return `pack` of `score_histogram`, without making the whole histogram where there are few scores."""
    if len(values) > bins.count:
        return pack(score_histogram(values, changed, bins))
    place, counts = np.unique(bins.index(values) + bins.count * changed, return_counts=True)
    return np.stack([place, counts], axis=-1).astype(np.int64, copy=False)


def add_packed(parts: Sequence[np.ndarray]) -> CountArray:
    """Add packed histograms.

    Examples
    --------
    >>> add_packed([np.array([[3, 1], [7, 2]]), np.array([[7, 5]])]).tolist()
    [[3, 1], [7, 7]]
    """
    place, group = np.unique(np.concatenate([part[:, 0] for part in parts]), return_inverse=True)
    total = np.zeros(len(place), np.int64)
    np.add.at(total, group.reshape(-1), np.concatenate([part[:, 1] for part in parts]))
    return np.stack([place, total], axis=-1)


def unpack(packed: np.ndarray, bins: Bins) -> tuple[CountArray, CountArray]:
    """Return a packed histogram without its empty bins.

    Returns
    -------
    number : (K,) int64
        Bins that hold a score, ascending.
    histogram : (2, K) int64
        Their counts.
    """
    number, group = np.unique(packed[:, 0] % bins.count, return_inverse=True)
    histogram = np.zeros((2, len(number)), np.int64)
    histogram[packed[:, 0] // bins.count, group.reshape(-1)] = packed[:, 1]
    return number, histogram


def _predicted(histogram: np.ndarray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return for each bin, from the highest: its pixels with and without change, and those of all bins above it."""
    downward = np.asarray(histogram, np.float64)[..., ::-1]
    negative, positive = downward[..., 0, :], downward[..., 1, :]
    return (
        positive,
        negative,
        np.cumsum(positive, axis=-1) - positive,
        np.cumsum(negative, axis=-1) - negative,
    )


def _ratio(total: FloatArray, histogram: np.ndarray) -> FloatArray:
    changed = np.asarray(histogram, np.float64)[..., 1, :].sum(axis=-1)
    return np.where(changed > 0, total / np.where(changed > 0, changed, 1), np.nan)


def average_precision(histogram: np.ndarray) -> FloatArray:
    """Compute average precision: the sum of (R_n - R_n-1) P_n over the thresholds, from the highest [1]_.

    Pixels of one bin are detected together, like pixels of equal score in scikit-learn's `average_precision_score`.

    Parameters
    ----------
    histogram : (..., 2, B) of int
        From `score_histogram`.

    Returns
    -------
    (...) float64
        0 to 1; NaN where no pixel is changed.

    References
    ----------
    .. [1] W. Su, Y. Yuan, M. Zhu, "A relationship between the average precision and the area under the ROC curve",
       ICTIR 2015, doi:10.1145/2808194.2809481, Eq. 1.

    Examples
    --------
    >>> float(average_precision(np.array([[1, 1, 0], [0, 1, 2]])))  # 2/3 at precision 1, 1/3 at 3/4
    0.9166666666666666
    """
    positive, negative, found, false = _predicted(histogram)
    detections = positive + negative + found + false
    precision = (positive + found) / np.where(detections > 0, detections, 1)
    return _ratio((positive * precision).sum(axis=-1), histogram)


def average_precision_bounds(histogram: np.ndarray, tied: np.ndarray | None = None) -> tuple[FloatArray, FloatArray]:
    """Bound the average precision of the scores behind a histogram, over every order of the scores within a bin.

    With k changed pixels in a bin, g others, and c of n detections above it true, the minimum is, with all others
    first, ``sum_i (c + i) / (n + g + i) = k - (n + g - c) (psi(n + g + k + 1) - psi(n + g + 1))``, and the maximum,
    with all others last, ``k (c + k) / (n + k)``.

    Parameters
    ----------
    histogram : (..., 2, B) of int
        From `score_histogram`.
    tied : (B,) bool, optional
        Bins whose scores are all equal, and so have no order: `Bins.single`.

    Returns
    -------
    lowest, highest : (...) float64

    Examples
    --------
    >>> [round(float(bound), 4) for bound in average_precision_bounds(np.array([[1], [1]]))]
    [0.5, 1.0]
    """
    from scipy.special import digamma

    positive, negative, found, false = _predicted(histogram)
    before = found + false + negative
    lowest = positive - (false + negative) * (digamma(before + positive + 1) - digamma(before + 1))
    detections = positive + found + false
    highest = positive * (positive + found) / np.where(detections > 0, detections, 1)
    if tied is not None:
        detections = detections + negative
        together = positive * (positive + found) / np.where(detections > 0, detections, 1)
        lowest, highest = (np.where(tied[::-1], together, total) for total in (lowest, highest))
    return tuple(_ratio(total.sum(axis=-1), histogram) for total in (lowest, highest))  # type: ignore[return-value]


def smooth_average_precision(histogram: np.ndarray) -> FloatArray:
    """Compute average precision with the scores of each bin in random order, nearly independent of the bin width.

    The i-th of k changed pixels of a bin has on average ``i g / (k + 1)`` of its g others above it. With c of n
    detections above the bin true and ``b = 1 + g / (k + 1)``, the bin adds ``sum_i (c + i) / (n + b i)
    = k / b + (c - n / b) / b (psi(n / b + k + 1) - psi(n / b + 1))``; compare [1]_, section 4.

    Parameters
    ----------
    histogram : (..., 2, B) of int or float
        From `score_histogram`.

    Returns
    -------
    (...) float64
        NaN where no pixel is changed.

    References
    ----------
    .. [1] J. Davis, M. Goadrich, "The relationship between precision-recall and ROC curves", ICML 2006,
       doi:10.1145/1143844.1143874.

    Examples
    --------
    >>> float(smooth_average_precision(np.array([[2, 0], [1, 0]])))
    0.5
    """
    from scipy.special import digamma

    positive, negative, found, false = _predicted(histogram)
    step = 1 + negative / (positive + 1)
    above = (found + false) / step
    growth = digamma(above + positive + 1) - digamma(above + 1)
    return _ratio((positive / step + (found - above) / step * growth).sum(axis=-1), histogram)


def precision_at_recall(histogram: np.ndarray, edges: np.ndarray, levels: np.ndarray) -> tuple[FloatArray, FloatArray]:
    """Return the precision-recall curve at given recalls.

    Parameters
    ----------
    histogram : (2, B) int
        From `score_histogram`.
    edges : (B,) float
        Lower edge of each bin.
    levels : (L,) float
        Recalls, above 0 up to 1.

    Returns
    -------
    threshold, precision : (L,) float64
        The highest lower edge of a bin that reaches that recall, and its precision; NaN without any change.

    Examples
    --------
    >>> bins = Bins("probability", 0)
    >>> scores = np.array([0.9, 0.8, 0.3, 0.1], np.float32)
    >>> histogram = score_histogram(scores, np.array([True, False, True, False]), bins)
    >>> [values.tolist() for values in precision_at_recall(histogram, bins.edges(), np.array([0.5, 1.0]))]
    [[0.875, 0.25], [1.0, 0.6666666666666666]]
    """
    hits, detections = (np.cumsum(counts[::-1]) for counts in (histogram[1], histogram.sum(axis=0)))
    if hits.max(initial=0) == 0:
        return np.full(len(levels), np.nan), np.full(len(levels), np.nan)
    needed = np.maximum(np.ceil(np.asarray(levels) * hits[-1] * (1 - 1e-12)), 1)
    place = np.searchsorted(hits, needed)
    return edges[::-1][place].astype(np.float64), hits[place] / detections[place]
