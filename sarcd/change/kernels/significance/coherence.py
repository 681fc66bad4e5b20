"""Tests of the sample coherence of two dates, of the ratio of their powers, and of both combined."""

from __future__ import annotations

import functools
from math import exp, lgamma, log, log1p, sqrt
from typing import Any, Literal

import numpy as np
from numba import njit
from scipy.special import betainc

from sarcd.errors import OptionError

Kind = Literal["sample", "berger"]

MAX_COHERENCE = 0.9995
"""Highest coherence that is distinguished from 1."""

_GRID = 200  # number of coherences at which a power is tabulated


def more(kind: Kind) -> float:
    """Return what is added to the looks for the second shape parameter of the distribution, see `coherence_cdf`.

    Raises
    ------
    OptionError
        If there is no such estimator.
    """
    if kind not in ("sample", "berger"):
        raise OptionError(f"unknown coherence estimator {kind!r}", option="kind", hint="use sample or berger")
    return -1.0 if kind == "sample" else -0.5


def correlation_p(coherence: np.ndarray, looks: np.ndarray | float, kind: Kind = "sample") -> np.ndarray:
    """Return the probability of a coherence this high or higher for two uncorrelated dates.

    Parameters
    ----------
    coherence : any shape, float
        Sample coherence, bias not removed, in [0, 1].
    looks : float, or broadcastable
        Independent looks, above 1 (above 1/2 for ``berger``).
    kind : {"sample", "berger"}
        Estimator of the coherence.

    Returns
    -------
    (...) float64
        p-value: small where there is correlation. NaN where there are too few looks.

    Notes
    -----
    ``(1 - g^2)^(L - 1)`` [1]_; for Berger's estimator, which assumes equal powers, ``(1 - g^2)^(L - 1/2)``.

    References
    ----------
    .. [1] Touzi et al. 1999, doi:10.1109/36.739146.

    Examples
    --------
    >>> correlation_p(np.array([0.3, 0.9]), 9).round(7).tolist()
    [0.4702525, 1.7e-06]
    """
    power = np.asarray(looks, float) + more(kind)
    g = np.asarray(coherence, float)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.clip((1 - g) * (1 + g), 0, 1) ** np.where(power > 0, power, np.nan))


def coherence_cdf(
    coherence: np.ndarray, truth: np.ndarray | float, looks: np.ndarray | float, kind: Kind = "sample"
) -> np.ndarray:
    """Return the probability of a sample coherence this low or lower for a known true coherence.

    Parameters
    ----------
    coherence : any shape, float
        Sample coherence, bias not removed, in [0, 1].
    truth : float, or broadcastable
        True coherence, in [0, 1); clipped to `MAX_COHERENCE`.
    looks : float, or broadcastable
        Independent looks, above 1 (above 1/2 for ``berger``); not necessarily an integer.
    kind : {"sample", "berger"}
        Estimator of the coherence; the theory of ``berger`` holds where both dates have the same intensity.

    Returns
    -------
    (...) float64
        p-value of a loss of coherence: small where the coherence is lower than such ground gives. Absolute error below
        1e-12. NaN where there are too few looks.

    Notes
    -----
    g^2 is Beta(N + 1, L - 1), N negative binomial with weights ``(L)_n / n! c^2n (1 - c^2)^L``: the series of [1]_ and
    [2]_, all of whose terms are positive. The fraction of a Beta(n + 1, b) above x is itself a sum of terms ``(b)_m /
    m! x^m (1 - x)^b``, m = 0 ... n, so both sums are evaluated together. For Berger's estimator the same holds with b =
    L - 1/2, which follows from the Wishart density integrated over the difference of the powers.

    References
    ----------
    .. [1] Touzi et al. 1999, doi:10.1109/36.739146, the density of the sample coherence.
    .. [2] Carter et al. 1973, doi:10.1109/TAU.1973.1162496.

    Examples
    --------
    >>> coherence_cdf(np.array([0.3, 0.6, 0.8]), 0.7, 9).round(4).tolist()
    [0.0054, 0.1633, 0.75]
    """
    g, c, n = np.broadcast_arrays(
        np.asarray(coherence, np.float64), np.asarray(truth, np.float64), np.asarray(looks, np.float64)
    )
    out = np.empty(g.shape)
    _cdf(g.ravel(), np.minimum(c, MAX_COHERENCE).ravel(), n.ravel(), more(kind), out.reshape(-1))
    return out


def power_of_loss(
    truth: np.ndarray, looks: np.ndarray | float, false_alarms: float, kind: Kind = "sample"
) -> np.ndarray:
    """Return the probability of detecting a complete loss of coherence over ground of known coherence.

    Parameters
    ----------
    truth : any shape, float
        True coherence of the ground without change, in [0, 1); NaN where NaN.
    looks : float, or broadcastable
        Independent looks, above 1; rounded to steps of 5 %.
    false_alarms : float
        False-alarm rate of the test.
    kind : {"sample", "berger"}
        Estimator of the coherence.

    Returns
    -------
    (...) float64
        From `false_alarms` for incoherent ground, where the test is uninformative, up to 1.

    Examples
    --------
    >>> power_of_loss(np.array([0.0, 0.3, 0.8]), 9, 0.01).round(2).tolist()
    [0.01, 0.02, 0.92]
    """
    c, n = np.broadcast_arrays(np.asarray(truth, float), np.asarray(looks, float))
    steps = look_steps(n)
    out = np.full(c.shape, np.nan)
    for step in np.unique(steps[steps >= 0]):
        chosen = steps == step
        grid, power = _powers(float(looks_of_step(step)), false_alarms, kind)
        out[chosen] = np.interp(c[chosen], grid, power)
    out[np.isnan(c)] = np.nan
    return out


_STEP = 1.05


def look_steps(looks: np.ndarray) -> np.ndarray:
    """Return the index of the nearest step of 5 % in looks, from one look; -1 where looks are NaN or not above 1."""
    known = np.asarray(looks) > 1
    return np.where(known, np.rint(np.log(np.where(known, looks, 1)) / log(_STEP)), -1).astype(np.int64)


def looks_of_step(step: np.ndarray | int) -> np.ndarray:
    """Return the looks at a step of `look_steps`."""
    return np.asarray(_STEP ** np.maximum(np.asarray(step, float), 0.5))


@functools.lru_cache(maxsize=1024)
def _powers(looks: float, false_alarms: float, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    truth = np.linspace(0, MAX_COHERENCE, _GRID)
    low, high = np.zeros(_GRID), np.ones(_GRID)
    for _ in range(40):
        middle = (low + high) / 2
        above = coherence_cdf(middle, truth, looks, kind) > false_alarms
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return truth, 1 - correlation_p(low, looks, kind)


@njit(nogil=True, cache=True)
def _cdf(g: Any, c: Any, looks: Any, added: float, out: Any) -> None:
    for i in range(g.size):
        b = looks[i] + added
        if np.isnan(g[i]) or np.isnan(c[i]) or not b > 0:
            out[i] = np.nan
        elif g[i] <= 0:
            out[i] = 0
        elif g[i] >= 1:
            out[i] = 1
        else:
            out[i] = _cdf_of(g[i] * g[i], c[i] * c[i], looks[i], b)


@njit(nogil=True, cache=True)
def _cdf_of(x: float, square: float, looks: float, b: float) -> float:
    """Return the sum over n of P(N = n) P(M > n), N and M negative binomial of (looks, square) and (b, x)."""
    n, weight = _begin(looks, square)
    m, term = _begin(b, x)
    below, total, weights = 0.0, 0.0, 0.0
    mean = looks * square / (1 - square)
    while True:
        while m <= n:
            below += term
            term *= (b + m) / (m + 1) * x
            m += 1
        if below > 1 - 1e-15:
            break  # for any N, M is smaller
        total += weight * (1 - below)
        weights += weight
        if n > mean and weight < 1e-15 * (1 - square):
            break
        weight *= (looks + n) / (n + 1) * square
        n += 1
    return min(max(total, 0.0), 1.0)


@njit(nogil=True, cache=True)
def _begin(shape: float, x: float) -> tuple[int, float]:
    """Return the first term of a negative binomial distribution that is not negligible, and its probability."""
    mean = shape * x / (1 - x)
    start = max(int(mean - 12 * sqrt(mean / (1 - x))), 0)
    if start == 0:
        return 0, exp(shape * log1p(-x))
    return start, exp(lgamma(shape + start) - lgamma(shape) - lgamma(start + 1) + shape * log1p(-x) + start * log(x))


def fisher_p(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the probability that two independent p-values have a product this small or smaller.

    Parameters
    ----------
    first, second : broadcastable, float
        p-values of independent tests.

    Returns
    -------
    (...) float64
        ``q (1 - ln q)``, q their product: the chi-square distribution of ``-2 ln q`` with 4 degrees of freedom [1]_.
        NaN where either is NaN.

    Notes
    -----
    `coherent_ratio_p` and `coherence_cdf` of Berger's estimator are independent where nothing changed: the latter is a
    function of S11 + S22 and S12, which are complete and sufficient for equal powers, and the distribution of the
    former depends on neither intensity nor coherence (Basu's theorem). The likelihood ratio of "equal powers and
    coherence c" factors into the same two statistics; Fisher's product has the exact false-alarm rate without tables,
    and uses coherence only where it is too low.

    References
    ----------
    .. [1] Fisher 1932, Statistical Methods for Research Workers, section 21.1.

    Examples
    --------
    >>> fisher_p(np.array([0.05, 1.0]), np.array([0.05, 0.05])).round(4).tolist()
    [0.0175, 0.1998]
    """
    product = np.asarray(first, float) * np.asarray(second, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(product > 0, product * (1 - np.log(product)), product))


def ratio_p(ratio: np.ndarray, looks: np.ndarray | float, coherence: np.ndarray | float = 0.0) -> np.ndarray:
    """Return the probability of a ratio of powers this far from 1 or further, two-sided, for equal intensities.

    Parameters
    ----------
    ratio : any shape, float
        Mean power after over mean power before, both of `looks` independent looks; above 0.
    looks : float, or broadcastable
        Independent looks, above 0; not necessarily an integer.
    coherence : float, or broadcastable
        True coherence of the two dates, in [0, 1); 0 gives the F(2n, 2n) test of independent dates.

    Returns
    -------
    (...) float64
        p-value, in [0, 1]; NaN where NaN.

    Notes
    -----
    The density ``Gamma(2n) / Gamma(n)^2 (1 - c^2)^n (1 + w) w^(n-1) / [(1 + w)^2 - 4 c^2 w]^(n + 1/2)`` [1]_ of the
    ratio w becomes, with ``s = sinh(ln(w) / 2)``, one of ``(s^2 + 1 - c^2)^-(n + 1/2)``: ``s sqrt(2n / (1 - c^2))`` has
    Student's t distribution with 2n degrees of freedom, as [2]_ and [3]_ found for real variables.

    References
    ----------
    .. [1] Lee et al. 1994, doi:10.1109/36.312890, on the ratio of multi-look intensities.
    .. [2] Pitman 1939, Biometrika 31(1-2), 9-12.
    .. [3] Morgan 1939, Biometrika 31(1-2), 13-19.

    Examples
    --------
    >>> ratio_p(np.array([0.5, 1.0, 2.0]), 9).round(4).tolist()
    [0.151, 1.0, 0.151]
    >>> float(ratio_p(np.array(2.0), 9, 0.9).round(6))
    0.002913
    """
    return _student(ratio, np.asarray(looks, float), np.asarray(coherence, float))


def coherent_ratio_p(ratio: np.ndarray, looks: np.ndarray | float, sample: np.ndarray) -> np.ndarray:
    """Return the probability of a ratio of powers this far from 1 or further, for equal intensities at any coherence.

    The coherence need not be known: its estimate over the same pixels suffices, even with its bias.

    Parameters
    ----------
    ratio : any shape, float
        Mean power after over mean power before.
    looks : float, or broadcastable
        Independent looks, above 1.
    sample : broadcastable, float
        Sample coherence of the same pixels whose powers are compared, bias not removed, in [0, 1].

    Returns
    -------
    (...) float64
        p-value, in [0, 1]; NaN where `looks` is 1 or less, since the coherence of one look is always 1.

    Notes
    -----
    ``s sqrt((2n - 2) / (1 - g^2))``, s as in `ratio_p`, has Student's t distribution with 2n - 2 degrees of freedom for
    any true coherence: among covariances with equal powers, the changes of coordinates that preserve equal powers reach
    every coherence from 0, and leave ``(S11 - S22)^2 / det S`` invariant; and at 0, s is a normal variable over the
    root of a chi-square one of 2n, which times 1 - g^2, a Beta(n - 1, 1), is one of 2n - 2. Two degrees of freedom are
    the price of not knowing the coherence.

    Examples
    --------
    >>> coherent_ratio_p(np.array([2.0, 2.0]), 9, np.array([0.1, 0.9])).round(4).tolist()
    [0.1744, 0.0051]
    """
    degrees = np.asarray(looks, float) - 1
    return _student(ratio, np.where(degrees > 0, degrees, np.nan), np.asarray(sample, float))


def _student(ratio: np.ndarray, half_degrees: np.ndarray, coherence: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        square = (np.asarray(ratio, float) - 1) ** 2 / (4 * np.asarray(ratio, float))
        left = np.maximum((1 - coherence) * (1 + coherence), 1e-12)  # identical images: any difference is a change
        # P(|t| > x) of 2 h degrees of freedom is I_(2h / (2h + x^2))(h, 1/2)
        return np.asarray(betainc(half_degrees, 0.5, left / (left + square)))
