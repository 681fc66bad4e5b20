"""Amplitude and coherence in one test."""

from __future__ import annotations

import numpy as np


def fisher_p(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Probability of two independent p-values whose product is at most so small.

    Parameters
    ----------
    first, second : broadcastable, float
        p-values of independent tests.

    Returns
    -------
    (...) float64
        ``q (1 - ln q)``, q their product: the chi-square distribution of ``-2 ln q`` with 4 degrees of freedom [1]_.
        NaN where either is.

    Notes
    -----
    `coherent_ratio_p` and `coherence_cdf` of Berger's estimate are independent where nothing changed: the latter is a
    function of S11 + S22 and S12, which are complete and sufficient for equal powers, and the former's distribution
    knows neither brightness nor coherence (Basu's theorem). The likelihood ratio of "equal powers and coherence c"
    factors into the same two statistics; Fisher's product has the exact rate of false alarms without tables, and
    counts coherence only where it is too low.

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
