"""Coherence against its own history: is it lower than what the same ground gave before."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import njit
from scipy.special import gammaln, hyp2f1, xlogy

from sarcd.kernels.significance.coherence import Kind, look_steps, looks_of_step, more

# Fisher's transform atanh evens out the spread of a coherence, so both tables are even in it.
_TRUTHS, _LAST_TRUTH = 96, 3.0
_FOUND, _LAST_FOUND = 192, 4.0

MOST_LOOKS = 300.0
"""More looks than these count as that: the hypergeometric function would leave the range of float64."""


def history_p(
    now: np.ndarray,
    looks: np.ndarray,
    past: np.ndarray,
    past_looks: np.ndarray,
    false_alarms: float,
    kind: Kind = "sample",
) -> tuple[np.ndarray, np.ndarray]:
    """Probability of a coherence at most so high on ground that had such coherences before.

    Parameters
    ----------
    now : (Y, X) float
        Coherence that is judged, its bias not removed, in [0, 1].
    looks : (Y, X) float
        Independent looks of it, above 1; rounded to steps of 5 %.
    past : (M, Y, X) float
        Sample coherences of earlier pairs, M >= 1; NaN where unknown.
    past_looks : (M, Y, X) float
        Independent looks of each.
    false_alarms : float
        Rate of false alarms that `power` is for.
    kind : {"sample", "berger"}
        Which estimate `now` is.

    Returns
    -------
    p : (Y, X) float32
        p-value; NaN where `now` or all of the past is unknown.
    power : (Y, X) float32
        Probability that a complete loss of coherence is found here, at that rate of false alarms: how far this ground
        can be judged by its coherence.

    Notes
    -----
    The true coherence c is one of a grid that is even in Fisher's transform, all equally likely at first; the earlier
    pairs say how likely each is, by the density of the sample coherence [1]_, and p is the mean of `coherence_cdf` over
    what is likely. So a short history makes the test more careful. On ground that `power` calls fit to be judged fewer
    than the rate asked for are flagged, since pairs that share an image vary together.

    References
    ----------
    .. [1] Touzi et al. 1999, doi:10.1109/36.739146.

    Examples
    --------
    >>> past = np.full((3, 1, 2), [0.8, 0.2])
    >>> p, power = history_p(np.full((1, 2), 0.3), np.full((1, 2), 9.0), past, np.full((3, 1, 2), 9.0), 0.01)
    >>> bool(p[0, 0] < 0.01 < p[0, 1]), bool(power[0, 0] > 0.7), bool(power[0, 1] < 0.02)
    (True, True, True)
    """
    steps, past_steps = look_steps(np.minimum(looks, MOST_LOOKS)), look_steps(np.minimum(past_looks, MOST_LOOKS))
    needed = np.unique(np.concatenate([steps.ravel(), past_steps.ravel(), [0]]))
    needed = needed[needed >= 0]
    places = np.full(int(needed.max()) + 2, -1)  # of a step in the tables; the last entry is that of step -1
    places[needed] = np.arange(len(needed))
    likely = np.stack([_likelihood(int(step)) for step in needed])
    below = np.stack([_distribution(int(step), kind) for step in needed])
    p, power = np.empty(now.shape, np.float32), np.empty(now.shape, np.float32)
    _predict(
        np.ascontiguousarray(now, np.float64),
        places[steps],
        np.ascontiguousarray(past, np.float64),
        places[past_steps],
        likely,
        below,
        _prior(),
        false_alarms,
        p,
        power,
    )
    return p, power


def _truths() -> np.ndarray:
    return np.tanh(np.linspace(0, _LAST_TRUTH, _TRUTHS))


def _found() -> np.ndarray:
    return np.tanh(np.linspace(0, _LAST_FOUND, _FOUND))


def _prior() -> np.ndarray:
    """Equal weights on a grid that is even in Fisher's transform.

    There the spread of a coherence is the same everywhere, so that the difference of two estimates has one
    distribution. With all coherences equally likely instead, coherent ground was flagged at 0.4 of the rate.
    """
    return np.full(_TRUTHS, 1 / _TRUTHS)


@functools.lru_cache(maxsize=512)
def _likelihood(step: int) -> np.ndarray:
    """Logarithm of the density of a sample coherence, less what no truth changes; (found, truth) float32."""
    looks = float(looks_of_step(step))
    square = (_found()[:, None] * _truths()) ** 2
    # Euler's transformation: what is left of the series is a sum of positive terms
    log_series = (1 - 2 * looks) * np.log1p(-square) + np.log(hyp2f1(1 - looks, 1 - looks, 1, square))
    return np.asarray(looks * np.log1p(-(_truths() ** 2)) + log_series, np.float32)


@functools.lru_cache(maxsize=512)
def _distribution(step: int, kind: Kind) -> np.ndarray:
    """Probability of at most so much; (found, truth) float32."""
    looks = float(looks_of_step(step))
    shape, square, x = looks + more(kind), _truths() ** 2, _found() ** 2
    mean = looks * square[-1] / (1 - square[-1])
    n = np.arange(int(mean + 12 * np.sqrt(mean / (1 - square[-1]))) + 60)
    # the sum over n of `coherence_cdf`, as a product of matrices
    of_truth = np.exp(_log_binomial(n, looks, square))
    more_than = 1 - np.cumsum(np.exp(_log_binomial(n, shape, x)), axis=1)
    return np.asarray(np.clip(more_than @ of_truth.T, 0, 1), np.float32)


def _log_binomial(n: np.ndarray, shape: float, x: np.ndarray) -> np.ndarray:
    """Logarithm of negative binomial probabilities; (x, n)."""
    with np.errstate(divide="ignore"):
        return np.asarray(
            gammaln(shape + n) - gammaln(shape) - gammaln(n + 1) + shape * np.log1p(-x)[:, None] + xlogy(n, x[:, None])
        )


@njit(nogil=True, cache=True)
def _place(coherence: float) -> tuple[int, float]:
    at = min(np.arctanh(min(max(coherence, 0.0), 0.99999)) * ((_FOUND - 1) / _LAST_FOUND), _FOUND - 1.001)
    return int(at), at - int(at)


@njit(nogil=True, cache=True)
def _mean(table: Any, row: int, part: float, weights: Any) -> float:
    total = 0.0
    for j in range(weights.size):
        total += weights[j] * (table[row, j] * (1 - part) + table[row + 1, j] * part)
    return total


@njit(nogil=True, cache=True)
def _predict(
    now: Any,
    places: Any,
    past: Any,
    past_places: Any,
    likely: Any,
    below: Any,
    prior: Any,
    rate: float,
    p: Any,
    power: Any,
) -> None:
    weights = np.empty(prior.size)
    for y in range(now.shape[0]):
        for x in range(now.shape[1]):
            p[y, x] = power[y, x] = np.nan
            pairs = 0
            weights[:] = 0
            for k in range(past.shape[0]):
                if not np.isnan(past[k, y, x]) and past_places[k, y, x] >= 0:
                    row, part = _place(past[k, y, x])
                    table = likely[past_places[k, y, x]]
                    for j in range(weights.size):
                        weights[j] += table[row, j] * (1 - part) + table[row + 1, j] * part
                    pairs += 1
            if pairs == 0 or np.isnan(now[y, x]) or places[y, x] < 0:
                continue
            largest, total = weights.max(), 0.0
            for j in range(weights.size):
                weights[j] = np.exp(weights[j] - largest) * prior[j]
                total += weights[j]
            weights /= total
            table = below[places[y, x]]
            row, part = _place(now[y, x])
            p[y, x] = min(_mean(table, row, part, weights), 1.0)
            low, high = 0, _FOUND - 1  # the highest coherence that would be flagged lies from low to high
            while high - low > 1:
                middle = (low + high) // 2
                if _mean(table, middle, 0.0, weights) <= rate:
                    low = middle
                else:
                    high = middle
            first, second = _mean(table, low, 0.0, weights), _mean(table, high, 0.0, weights)
            part = min(max((rate - first) / max(second - first, 1e-30), 0.0), 1.0)
            power[y, x] = table[low, 0] * (1 - part) + table[high, 0] * part  # truth 0
