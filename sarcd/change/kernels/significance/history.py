"""Test of coherence against its own history, and the probability of change from the p-values of a whole scene."""

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

# Fisher's transform atanh equalises the spread of a coherence, so both tables are uniform in it.
TRUTHS, _LAST_TRUTH = 96, 3.0
FOUND, LAST_FOUND = 192, 4.0

MAX_LOOKS = 300.0
"""Looks are clipped to this, beyond which the hypergeometric function would leave the range of float64."""


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
    """Return the probability of a coherence this low or lower, given earlier coherences of the same ground.

    Parameters
    ----------
    now : (Y, X) float
        Coherence under test, bias not removed, in [0, 1].
    looks : (Y, X) float
        Its independent looks, above 1; rounded to steps of 5 %.
    past : (M, Y, X) float
        Sample coherences of earlier pairs, M >= 1; NaN where unknown.
    past_looks : (M, Y, X) float
        Independent looks of each earlier pair.
    false_alarms : float
        False-alarm rate that `power` is for.
    kind : {"sample", "berger"}
        Estimator of `now`.
    scales : sequence of M + 1 float, optional
        True coherence of unchanged ground in each earlier pair, and last in the pair under test, relative to its usual
        value; see `sarcd.change.kernels.significance.levels`. 1 by default.
    prior : (96,) float, optional
        Prior probability of each usual coherence; by default uniform in Fisher's transform.
    outliers : float
        Fraction of the earlier pairs in which ground may have lost its coherence, in [0, 1): such a pair says little
        about the usual coherence of the ground.

    Returns
    -------
    p : (Y, X) float32
        p-value; NaN where `now` or the whole history is unknown.
    power : (Y, X) float32
        Probability of detecting a complete loss of coherence here, at that false-alarm rate: how far coherence can show
        a change of this ground.

    Notes
    -----
    The true coherence c is one of a grid that is uniform in Fisher's transform; the earlier pairs determine how likely
    each is, by the density of the sample coherence [1]_, and p is the posterior mean of `coherence_cdf`, so a short
    history makes the test more conservative. If `prior` is the distribution of the ground of the scene, the rate holds
    over all ground with the same history, and so over ground with sufficient `power`; with the flat prior it holds over
    all ground, but some less coherent ground has sufficient power by chance, and more than the rate of that is flagged.
    Over coherent ground fewer are flagged, since pairs that share an image vary together.

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
    steps, past_steps = look_steps(np.minimum(looks, MAX_LOOKS)), look_steps(np.minimum(past_looks, MAX_LOOKS))
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
    """Return the true coherences of the grid; (96,)."""
    return np.tanh(np.linspace(0, _LAST_TRUTH, TRUTHS))


def _found() -> np.ndarray:
    return np.tanh(np.linspace(0, LAST_FOUND, FOUND))


def scaled(table: np.ndarray, factor: float) -> np.ndarray:
    """Return a table (found, truth) for truths multiplied by a factor, within the range of the table."""
    if factor == 1:
        return table
    at = np.arctanh(np.minimum(truths() * factor, truths()[-1])) * ((TRUTHS - 1) / _LAST_TRUTH)
    first = np.minimum(at.astype(int), TRUTHS - 2)
    part = (at - first).astype(table.dtype)
    return np.asarray(table[:, first] * (1 - part) + table[:, first + 1] * part)


def _with_outliers(log_ratio: np.ndarray, outliers: float) -> np.ndarray:
    """Return the logarithm of densities relative to no coherence, for ground that may have lost its coherence."""
    if outliers == 0:
        return log_ratio
    return np.logaddexp(log_ratio + np.float32(np.log1p(-outliers)), np.float32(np.log(outliers)))


def flat_prior() -> np.ndarray:
    """Return equal weights on a grid that is uniform in Fisher's transform.

    There the spread of a coherence is the same everywhere, so the difference of two estimates has one distribution.
    With all coherences equally likely instead, coherent ground was flagged at 0.4 of the rate.
    """
    return np.full(TRUTHS, 1 / TRUTHS)


@functools.lru_cache(maxsize=512)
def likelihood(step: int) -> np.ndarray:
    """Return the logarithm of the density of a sample coherence, up to terms without truth; (found, truth) float32."""
    looks = float(looks_of_step(step))
    square = (_found()[:, None] * truths()) ** 2
    # Euler's transformation: the remaining series is a sum of positive terms
    log_series = (1 - 2 * looks) * np.log1p(-square) + np.log(hyp2f1(1 - looks, 1 - looks, 1, square))
    return np.asarray(looks * np.log1p(-(truths() ** 2)) + log_series, np.float32)


@functools.lru_cache(maxsize=512)
def _distribution(step: int, kind: Kind) -> np.ndarray:
    """Return the probability of a coherence this low or lower; (found, truth) float32."""
    looks = float(looks_of_step(step))
    shape, square, x = looks + more(kind), truths() ** 2, _found() ** 2
    mean = looks * square[-1] / (1 - square[-1])
    n = np.arange(int(mean + 12 * np.sqrt(mean / (1 - square[-1]))) + 60)
    # the sum over n of `coherence_cdf`, as a product of matrices
    of_truth = np.exp(_log_binomial(n, looks, square))
    more_than = 1 - np.cumsum(np.exp(_log_binomial(n, shape, x)), axis=1)
    return np.asarray(np.clip(more_than @ of_truth.T, 0, 1), np.float32)


def _log_binomial(n: np.ndarray, shape: float, x: np.ndarray) -> np.ndarray:
    """Return the logarithm of negative binomial probabilities; (x, n)."""
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
    """Beta-uniform mixture of p-values: uniform for unchanged ground, concentrated at 0 for changed ground.

    Parameters
    ----------
    share : float
        Fraction of the pixels in the changed component, in [0, 1); 0 where all p-values are those of unchanged ground.
    exponent : float
        The density of the changed component is ``exponent * p ** (exponent - 1)``, in (0, 1].
    """

    share: float
    exponent: float

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """Return the probability of change of each pixel.

        Parameters
        ----------
        scores : ndarray of float32
            -log10 of p-values, NaN where unknown.

        Returns
        -------
        ndarray of float32
            ``1 - f(1) / f(p)``, in [0, 1): the lower bound from the mixture density f, since its value at p = 1 is
            attributed to unchanged ground. It increases with the score, from 0 at p = 1. NaN where unknown.

        Examples
        --------
        >>> TwoGroups(0.1, 0.1).probability(np.array([0.0, 2.0, 6.0])).astype(float).round(2).tolist()
        [0.0, 0.41, 1.0]
        """
        grown = np.exp((1 - self.exponent) * _LN10 * np.asarray(scores, np.float64))
        uniform, changed = 1 - self.share, self.share * self.exponent
        return np.asarray(1 - (uniform + changed) / (uniform + changed * grown), np.float32)


def fit_two_groups(scores: Histogram, *, correlated: float = 1.0) -> TwoGroups:
    """Fit the mixture by maximum likelihood, if there are two groups.

    Parameters
    ----------
    scores : Histogram
        Histogram of -log10 of the p-values of a whole scene.
    correlated : float
        Number of pixels that carry the information of one, such as those of a sliding window.

    Returns
    -------
    TwoGroups
        With a share of 0 unless two groups are more likely by the margin of Bayes' criterion for two parameters.

    Notes
    -----
    ``-ln p`` of a uniform p-value is exponential with rate 1, that of the changed component with rate `exponent`, so
    the mixture is one of two exponentials, fitted by expectation-maximisation [1]_.

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
        changed = share * exponent * np.exp((1 - exponent) * surprise)
        belongs = weights * changed / (1 - share + changed)
        total = float(belongs.sum())
        moved = total, min(total / max(float((belongs * surprise).sum()), 1e-300), 1.0)
        done = abs(moved[0] - share) + abs(moved[1] - exponent) < _STEP
        share, exponent = moved
        if done:
            break
    changed = share * exponent * np.exp((1 - exponent) * surprise)
    gain = float((weights * np.log(1 - share + changed)).sum())  # over uniform p-values alone, in nats per pixel
    number = scores.total / correlated
    if not gain * number > np.log(max(number, 1.0)):
        return TwoGroups(0.0, 1.0)
    return TwoGroups(share, exponent)
