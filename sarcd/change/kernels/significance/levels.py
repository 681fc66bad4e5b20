"""Level of coherence of a whole scene in each pair, which makes pairs of different coherence comparable."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from sarcd.change.kernels.significance.coherence import look_steps
from sarcd.change.kernels.significance.history import (
    FOUND,
    LAST_FOUND,
    MAX_LOOKS,
    TRUTHS,
    flat_prior,
    likelihood,
    scaled,
    truths,
)

_ROUNDS = 100  # of expectation-maximisation; more would only make the distribution spikier
_SCALES = np.exp(np.linspace(np.log(0.03), np.log(1.3), 128))
_LOST = np.array([0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5])
_FLAT = 0.1  # flat part of the prior, for ground that is not in the sample


def histogram(coherence: np.ndarray) -> np.ndarray:
    """Count sample coherences on the grid of the tests, which is uniform in Fisher's transform.

    Parameters
    ----------
    coherence : any shape, float
        In [0, 1]; NaN is ignored.

    Returns
    -------
    (192,) float64

    Examples
    --------
    >>> int(histogram(np.array([0.0, 0.5, np.nan])).sum())
    2
    """
    known = coherence[np.isfinite(coherence)].astype(np.float64)
    place = np.arctanh(np.clip(known, 0, 0.99999)) * ((FOUND - 1) / LAST_FOUND)
    return np.bincount(np.minimum(np.rint(place), FOUND - 1).astype(int), minlength=FOUND).astype(np.float64)


def fit_prior(
    histograms: Sequence[np.ndarray], looks: float, scales: Sequence[float] | None = None, *, flat: float = _FLAT
) -> np.ndarray:
    """Estimate the distribution of the true coherence of the ground from the sample coherences of some pairs.

    Parameters
    ----------
    histograms : sequence of M (192,) float
        From `histogram`.
    looks : float
        Independent looks of each coherence, above 1.
    scales : sequence of M float, optional
        True coherence in each pair relative to the one estimated; 1 by default.
    flat : float
        Weight of a flat distribution that is mixed in.

    Returns
    -------
    (96,) float64
        Weights that sum to 1, on the truths of `history_p`.

    Notes
    -----
    Nonparametric maximum likelihood by expectation-maximisation [1]_ from a flat start, stopped early.

    References
    ----------
    .. [1] Laird 1978, doi:10.1080/01621459.1978.10480103.

    Examples
    --------
    >>> weights = fit_prior([histogram(np.full(1000, 0.9))], 50.0, flat=0.0)
    >>> round(float(weights @ truths()), 2)
    0.9
    """
    total, prior = sum(float(one.sum()) for one in histograms), flat_prior()
    if total == 0:
        return prior
    tables = []
    for scale in scales or [1.0] * len(histograms):
        logs = _log_ratio(_step(looks), scale)
        tables.append(np.exp(logs - logs.max(1, keepdims=True)))
    for _ in range(_ROUNDS):
        found = np.zeros(TRUTHS)
        for counts, table in zip(histograms, tables, strict=True):
            found += (counts / np.maximum(table @ prior, 1e-300)) @ table
        prior = prior * found / total
        prior /= prior.sum()
    return np.asarray((1 - flat) * prior + flat * flat_prior())


def fit_scale(counts: np.ndarray, prior: np.ndarray, looks: float) -> float:
    """Estimate the coherence of a whole scene in a pair relative to its usual value.

    Parameters
    ----------
    counts : (192,) float
        Sample coherences of the pair, from `histogram`.
    prior : (96,) float
        Usual distribution of the true coherence, from `fit_prior`.
    looks : float
        Independent looks, above 1.

    Returns
    -------
    float
        True coherence in the pair relative to its usual value, from 0.03 to 1.3; 1 where unknown.

    Notes
    -----
    Maximum likelihood, jointly with the fraction of the ground, up to a half, that lost its coherence completely, so
    that change in the pair is not mistaken for a loss over the whole scene.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ground, snow = (histogram(rng.normal(c, 0.05, 4000).clip(0, 1)) for c in (0.8, 0.4))
    >>> round(fit_scale(snow, fit_prior([ground], 50.0), 50.0), 1)
    0.5
    """
    if counts.sum() == 0:
        return 1.0
    best = np.empty(len(_SCALES))
    for number, (ratio, largest) in enumerate(_ratios(_step(looks))):
        mixed = (1 - _LOST)[:, None] * (ratio @ prior) + _LOST[:, None] * np.exp(-largest)
        with np.errstate(divide="ignore", invalid="ignore"):
            each = np.where(counts > 0, counts * (np.log(mixed) + largest), 0)
        best[number] = each.sum(1).max()
    best -= 0.5 * np.log(_SCALES) ** 2  # where the scene is uninformative, a pair is like the others
    top = int(best[1:-1].argmax()) + 1
    before, at, after = best[top - 1 : top + 2]
    bend = before - 2 * at + after
    between = 0.5 * (before - after) / bend if bend < 0 else 0.0  # vertex of a parabola through three steps
    return round(float(_SCALES[top] * (_SCALES[1] / _SCALES[0]) ** np.clip(between, -1, 1)), 4)


def _step(looks: float) -> int:
    return max(int(look_steps(np.array(min(looks, MAX_LOOKS)))), 1)


def _log_ratio(step: int, scale: float) -> np.ndarray:
    """Return the logarithm of the density of a sample coherence relative to no coherence; (found, truth)."""
    return scaled(likelihood(step), scale).astype(np.float64)


@functools.lru_cache(maxsize=2)
def _ratios(step: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return, per scale, that density (found, truth) over the maximum of its row, and the logarithm of the maximum."""
    found = []
    for scale in _SCALES:
        logs = _log_ratio(step, float(scale))
        largest = np.maximum(logs.max(1), 0)
        found.append((np.exp(logs - largest[:, None]), largest))
    return found


def mean_truth(prior: np.ndarray) -> float:
    """Return the mean true coherence of a distribution from `fit_prior`."""
    return float(prior @ truths())
