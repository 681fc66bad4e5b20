"""Ratio of mean powers of two dates: exact tests for independent dates, known coherence and estimated coherence."""

from __future__ import annotations

import numpy as np
from scipy.special import betainc


def ratio_p(ratio: np.ndarray, looks: np.ndarray | float, coherence: np.ndarray | float = 0.0) -> np.ndarray:
    """Probability of a ratio of powers at least so far from 1, both ways, where the ground is equally bright.

    Parameters
    ----------
    ratio : any shape, float
        Mean power after over mean power before, both of `looks` independent looks; above 0.
    looks : float, or broadcastable
        Independent looks, above 0; need not be whole.
    coherence : float, or broadcastable
        True coherence of the two dates, in [0, 1); 0 gives the F(2n, 2n) test of independent dates.

    Returns
    -------
    (...) float64
        p-value, in [0, 1]; NaN stays.

    Notes
    -----
    The density ``Gamma(2n) / Gamma(n)^2 (1 - c^2)^n (1 + w) w^(n-1) / [(1 + w)^2 - 4 c^2 w]^(n + 1/2)`` [1]_ of the
    ratio w becomes, with ``s = sinh(ln(w) / 2)``, one of ``(s^2 + 1 - c^2)^-(n + 1/2)``: ``s sqrt(2n / (1 - c^2))`` has
    Student's t distribution with 2n degrees of freedom. That is what [2]_ and [3]_ found for real variables.

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
    """Probability of a ratio of powers at least so far from 1 where the ground is equally bright, at any coherence.

    The coherence need not be known: its estimate over the same pixels is enough, bias and all.

    Parameters
    ----------
    ratio : any shape, float
        Mean power after over mean power before.
    looks : float, or broadcastable
        Independent looks, above 1.
    sample : broadcastable, float
        Sample coherence of the very pixels whose powers are compared, its bias not removed, in [0, 1].

    Returns
    -------
    (...) float64
        p-value, in [0, 1]; NaN where `looks` is 1 or less, since the coherence of one look is always 1.

    Notes
    -----
    ``s sqrt((2n - 2) / (1 - g^2))``, s as in `ratio_p`, has Student's t distribution with 2n - 2 degrees of freedom
    whatever the true coherence: in the plane of covariances with equal powers the changes of coordinates that keep the
    powers equal reach every coherence from 0, and leave ``(S11 - S22)^2 / det S`` as it is; and at 0, s is a normal
    variable over the root of a chi-square one of 2n, which times 1 - g^2, a Beta(n - 1, 1), is one of 2n - 2. Two
    degrees of freedom are the price of not knowing the coherence.

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
