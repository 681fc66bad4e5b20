"""Coherence against its own history, and how likely a pixel changed, given its p-value and those of the whole scene."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from scipy.special import gammaln, hyp2f1, xlogy

from sarcd.change.kernels.significance.coherence import Kind, look_steps, looks_of_step, more
from sarcd.change.kernels.thresholds.histogram import Histogram

# Fisher's transform atanh evens out the spread of a coherence, so both tables are even in it.
TRUTHS, _LAST_TRUTH = 96, 3.0
FOUND, LAST_FOUND = 192, 4.0

MOST_LOOKS = 300.0
"""More looks than these count as that: the hypergeometric function would leave the range of float64."""


def history_p(
    now: np.ndarray,
    looks: np.ndarray,
    past: np.ndarray,
    past_looks: np.ndarray,
    false_alarms: float,
    kind: Kind = "sample",
    *,
    scales: Sequence[float] | None = None,
    prior: np.ndarray | None = None,
    outliers: float = 0.0,
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
    scales : sequence of M + 1 float, optional
        True coherence of unchanged ground in each earlier pair, and last in the pair that is judged, over what it is
        as a rule; see `sarcd.change.kernels.significance.levels`. 1 by default.
    prior : (96,) float, optional
        How likely each coherence of that rule is beforehand; by default all are, evenly in Fisher's transform.
    outliers : float
        Share of the earlier pairs in which ground may have lost its coherence, in [0, 1): one such pair says little of
        what the ground is as a rule.

    Returns
    -------
    p : (Y, X) float32
        p-value; NaN where `now` or all of the past is unknown.
    power : (Y, X) float32
        Probability that a complete loss of coherence is found here, at that rate of false alarms: how far this ground
        can be judged by its coherence.

    Notes
    -----
    The true coherence c is one of a grid that is even in Fisher's transform; the earlier pairs say how likely each is,
    by the density of the sample coherence [1]_, and p is the mean of `coherence_cdf` over what is likely. So a short
    history makes the test more careful. Where `prior` is how the ground of the scene is distributed, the rate holds on
    all ground with the same past, and so on that which `power` calls fit to be judged; with the flat one it holds over
    all ground, but less coherent ground gets into what is judged by luck, and of that more is flagged. On coherent
    ground fewer are, since pairs that share an image vary together.

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
    factors = [1.0] * (len(past) + 1) if scales is None else list(scales)
    tables: list[np.ndarray] = []
    past_places = np.full(past_steps.shape, -1)
    for number, factor in enumerate(factors[:-1]):
        for step in np.unique(past_steps[number][past_steps[number] >= 0]):
            past_places[number][past_steps[number] == step] = len(tables)
            tables.append(_with_outliers(scaled(likelihood(int(step)), factor), outliers))
    needed = np.unique(np.append(steps[steps >= 0], 0))
    below = np.stack([scaled(_distribution(int(step), kind), factors[-1]) for step in needed])
    places = np.where(steps >= 0, np.searchsorted(needed, steps), -1)
    p, power = np.empty(now.shape, np.float32), np.empty(now.shape, np.float32)
    _predict(
        np.ascontiguousarray(now, np.float64),
        places,
        np.ascontiguousarray(past, np.float64),
        past_places,
        np.stack(tables or [scaled(likelihood(1), 1.0)]),
        below,
        flat_prior() if prior is None else np.ascontiguousarray(prior, np.float64),
        false_alarms,
        p,
        power,
    )
    return p, power


def truths() -> np.ndarray:
    """Return the true coherences that are told apart; (96,)."""
    return np.tanh(np.linspace(0, _LAST_TRUTH, TRUTHS))


def _found() -> np.ndarray:
    return np.tanh(np.linspace(0, LAST_FOUND, FOUND))


def scaled(table: np.ndarray, factor: float) -> np.ndarray:
    """Return a table (found, truth) for truths that are multiplied by a factor, as far as the table goes."""
    if factor == 1:
        return table
    at = np.arctanh(np.minimum(truths() * factor, truths()[-1])) * ((TRUTHS - 1) / _LAST_TRUTH)
    first = np.minimum(at.astype(int), TRUTHS - 2)
    part = (at - first).astype(table.dtype)
    return np.asarray(table[:, first] * (1 - part) + table[:, first + 1] * part)


def _with_outliers(log_ratio: np.ndarray, outliers: float) -> np.ndarray:
    """Return the logarithm of densities over that at no coherence, of ground that may have lost it."""
    if outliers == 0:
        return log_ratio
    return np.logaddexp(log_ratio + np.float32(np.log1p(-outliers)), np.float32(np.log(outliers)))


def flat_prior() -> np.ndarray:
    """Equal weights on a grid that is even in Fisher's transform.

    There the spread of a coherence is the same everywhere, so that the difference of two estimates has one
    distribution. With all coherences equally likely instead, coherent ground was flagged at 0.4 of the rate.
    """
    return np.full(TRUTHS, 1 / TRUTHS)


@functools.lru_cache(maxsize=512)
def likelihood(step: int) -> np.ndarray:
    """Logarithm of the density of a sample coherence, less what no truth changes; (found, truth) float32."""
    looks = float(looks_of_step(step))
    square = (_found()[:, None] * truths()) ** 2
    # Euler's transformation: what is left of the series is a sum of positive terms
    log_series = (1 - 2 * looks) * np.log1p(-square) + np.log(hyp2f1(1 - looks, 1 - looks, 1, square))
    return np.asarray(looks * np.log1p(-(truths() ** 2)) + log_series, np.float32)


@functools.lru_cache(maxsize=512)
def _distribution(step: int, kind: Kind) -> np.ndarray:
    """Probability of at most so much; (found, truth) float32."""
    looks = float(looks_of_step(step))
    shape, square, x = looks + more(kind), truths() ** 2, _found() ** 2
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
    at = min(np.arctanh(min(max(coherence, 0.0), 0.99999)) * ((FOUND - 1) / LAST_FOUND), FOUND - 1.001)
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
            low, high = 0, FOUND - 1  # the highest coherence that would be flagged lies from low to high
            while high - low > 1:
                middle = (low + high) // 2
                if _mean(table, middle, 0.0, weights) <= rate:
                    low = middle
                else:
                    high = middle
            first, second = _mean(table, low, 0.0, weights), _mean(table, high, 0.0, weights)
            part = min(max((rate - first) / max(second - first, 1e-30), 0.0), 1.0)
            power[y, x] = table[low, 0] * (1 - part) + table[high, 0] * part  # truth 0


_ROUNDS, _STEP = 2000, 1e-9
_LN10 = float(np.log(10))


@dataclass(frozen=True)
class TwoGroups:
    """A beta-uniform mixture of p-values: those of unchanged ground even, those of changed ground heaped at 0.

    Parameters
    ----------
    share : float
        Of the pixels in the heap, in [0, 1); 0 where the p-values are those of unchanged ground alone.
    exponent : float
        The heap's density is ``exponent * p ** (exponent - 1)``, in (0, 1].
    """

    share: float
    exponent: float

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """Return how likely each pixel changed.

        Parameters
        ----------
        scores : ndarray of float32
            -log10 of p-values, NaN where unknown.

        Returns
        -------
        ndarray of float32
            ``1 - f(1) / f(p)``, in [0, 1): the least that the mixture's density f says, since what it has left at
            p = 1 is all taken for unchanged ground. It grows with the score, from 0 at p = 1. NaN where unknown.

        Examples
        --------
        >>> TwoGroups(0.1, 0.1).probability(np.array([0.0, 2.0, 6.0])).astype(float).round(2).tolist()
        [0.0, 0.41, 1.0]
        """
        grown = np.exp((1 - self.exponent) * _LN10 * np.asarray(scores, np.float64))
        even, heaped = 1 - self.share, self.share * self.exponent
        return np.asarray(1 - (even + heaped) / (even + heaped * grown), np.float32)


def fit_two_groups(scores: Histogram, *, correlated: float = 1.0) -> TwoGroups:
    """Fit the mixture by its likelihood, if there are two groups.

    Parameters
    ----------
    scores : Histogram
        Of -log10 of the p-values of a whole scene.
    correlated : float
        Pixels that tell about as much as one, such as those of a window that moves by one pixel at a time.

    Returns
    -------
    TwoGroups
        With a share of 0 unless the two groups are likelier by more than Bayes' criterion asks of two parameters.

    Notes
    -----
    ``-ln p`` of an even p-value is exponential with rate 1, that of the heap with rate `exponent`, so that the fit is
    of a mixture of two exponentials, by expectation and maximisation [1]_.

    References
    ----------
    .. [1] Pounds and Morris 2003, doi:10.1093/bioinformatics/btg148.

    Examples
    --------
    >>> from sarcd.change.kernels.thresholds.histogram import count_cells, histogram
    >>> rng = np.random.default_rng(0)
    >>> p = np.concatenate([rng.random(90_000), rng.random(10_000) ** 10])
    >>> found = fit_two_groups(histogram(count_cells(-np.log10(p).astype("float32"))))
    >>> round(found.share, 2), round(found.exponent, 2)
    (0.1, 0.1)
    """
    surprise, weights = scores.centres * _LN10, scores.counts / scores.total
    share, exponent = 0.1, 0.1
    for _ in range(_ROUNDS):
        heaped = share * exponent * np.exp((1 - exponent) * surprise)
        belongs = weights * heaped / (1 - share + heaped)
        total = float(belongs.sum())
        moved = total, min(total / max(float((belongs * surprise).sum()), 1e-300), 1.0)
        done = abs(moved[0] - share) + abs(moved[1] - exponent) < _STEP
        share, exponent = moved
        if done:
            break
    heaped = share * exponent * np.exp((1 - exponent) * surprise)
    gain = float((weights * np.log(1 - share + heaped)).sum())  # over even p-values alone, in nats a pixel
    number = scores.total / correlated
    if not gain * number > np.log(max(number, 1.0)):
        return TwoGroups(0.0, 1.0)
    return TwoGroups(share, exponent)
