"""Bias of the sample coherence, and its removal."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import njit

MIN_LOOKS = 1.25
"""Smallest number of looks: with one look every coherence is 1 and no bias can be removed."""

_STEP = 1.05  # ratio of looks between successive rows of the table
_BINS = 512  # number of bins of the table along coherence


def mean_coherence(truth: np.ndarray, looks: float, power: int = 1) -> np.ndarray:
    """Compute the mean of the sample coherence over many windows, or of a power of it.

    Parameters
    ----------
    truth : (N,) float
        True coherence, in [0, 1).
    looks : float
        Independent looks, 1 or more.
    power : int
        1 for the mean, 2 for the mean square.

    Returns
    -------
    (N,) float64
        E[g^k].

    Notes
    -----
    ``Gamma(L) Gamma(1 + k/2) / Gamma(L + k/2) (1 - c^2)^L 3F2(1 + k/2, L, L; L + k/2, 1; c^2)`` [1]_, summed as a mean
    over the negative binomial distribution of n with weights ``(L)_n / n! c^2n (1 - c^2)^L`` of
    ``Gamma(L + n) Gamma(1 + k/2 + n) / (Gamma(L + k/2 + n) n!)``. All terms are positive, so there is no cancellation.

    References
    ----------
    .. [1] Touzi et al. 1999, doi:10.1109/36.739146, the moments of the sample coherence.

    Examples
    --------
    >>> mean_coherence(np.array([0.0, 0.3, 0.6, 0.9]), 25).round(6).tolist()
    [0.178134, 0.33101, 0.607269, 0.900432]
    """
    from scipy.special import gammaln  # as slow to import as numba, and most runs remove no bias

    out = np.empty(len(truth))
    half = power / 2
    for i, square in enumerate(np.asarray(truth, float) ** 2):
        mean = looks * square / (1 - square)
        n = np.arange(int(mean + 12 * np.sqrt(mean / (1 - square))) + 60)
        log_weight = gammaln(looks + n) - gammaln(looks) - gammaln(n + 1) + looks * np.log1p(-square)
        log_weight += np.log(square) * n if square > 0 else np.where(n == 0, 0, -np.inf)
        term = gammaln(looks + n) + gammaln(1 + half + n) - gammaln(looks + half + n) - gammaln(n + 1)
        out[i] = np.exp(log_weight + term).sum()
    return out


def unbias(coherence: np.ndarray, looks: np.ndarray | float) -> np.ndarray:
    """Return the coherence whose expected estimate equals the sample coherence: `mean_coherence` inverted.

    Parameters
    ----------
    coherence : (Y, X) float32
        Sample coherence in [0, 1], or NaN.
    looks : float or (Y, X) float
        Independent looks of each; fewer than `MIN_LOOKS` are clipped.

    Returns
    -------
    (Y, X) float32
        In [0, 1], 0 where the sample coherence is at most that expected of incoherent ground; NaN where NaN.

    Examples
    --------
    >>> unbias(np.array([[0.178, 0.33101, 0.900432]], "float32"), 25.0).round(3).tolist()
    [[0.0, 0.30000001192092896, 0.8999999761581421]]
    """
    looks = np.ascontiguousarray(np.broadcast_to(np.asarray(looks, np.float32), coherence.shape))
    largest = float(looks.max(initial=MIN_LOOKS))
    rows = 2 + max(0, int(np.ceil(np.log(largest / MIN_LOOKS) / np.log(_STEP))))
    out = np.empty(coherence.shape, np.float32)
    _look_up(np.ascontiguousarray(coherence, np.float32), looks, _table(rows), out)
    return out


@functools.lru_cache(maxsize=8)
def _table(rows: int) -> np.ndarray:
    return np.stack([_inverse(MIN_LOOKS * _STEP**row) for row in range(rows)])


@functools.lru_cache(maxsize=1024)
def _inverse(looks: float) -> np.ndarray:
    """Square of the truth at which the mean is 0, 1 / _BINS ... 1, continued below 0 where no truth has such a mean.

    The mean is a smooth function of the square with a nonzero slope at 0, so it can be interpolated along both axes.
    """
    truth = np.linspace(0, 1, 101)
    square = truth**2
    mean = np.concatenate([mean_coherence(truth[:-1], looks), [1.0]])
    wanted = np.linspace(0, 1, _BINS + 1)
    slope = (square[1] - square[0]) / (mean[1] - mean[0])
    below = (wanted - mean[0]) * slope
    return np.where(wanted < mean[0], below, np.interp(wanted, mean, square))


@njit(nogil=True, cache=True)
def _look_up(coherence: Any, looks: Any, table: Any, out: Any) -> None:
    last = table.shape[0] - 1
    scale = 1 / np.log(_STEP)
    for y in range(coherence.shape[0]):
        known, place, low = np.float32(-1), 0, 0.0  # most neighbours have equal looks, and logarithms are slow
        for x in range(coherence.shape[1]):
            g = coherence[y, x]
            if np.isnan(g):
                out[y, x] = g
                continue
            if looks[y, x] != known:
                known = looks[y, x]
                row = min(max(np.log(known / MIN_LOOKS) * scale, 0.0), float(last))
                place = min(int(row), last - 1)
                low = row - place
            at = g * _BINS
            bin_ = min(int(at), _BINS - 1)
            part = at - bin_
            first = table[place, bin_] * (1 - part) + table[place, bin_ + 1] * part
            second = table[place + 1, bin_] * (1 - part) + table[place + 1, bin_ + 1] * part
            out[y, x] = np.sqrt(min(max(first * (1 - low) + second * low, 0.0), 1.0))
