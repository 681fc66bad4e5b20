"""Independent looks as a test of powers counts them, where neighbouring pixels are correlated."""

from __future__ import annotations

import numpy as np
from scipy.special import betaincinv, expit

from sarcd.kernels.looks import Axes, eigenvalues


def ratio_looks(weights: Axes, correlation: Axes, false_alarms: float) -> float:
    """Return the number of independent looks whose ratio of mean powers is as often as far from 1 as the window's.

    Parameters
    ----------
    weights, correlation : (float arrays, float arrays)
        Weights of the window along y and x, and r_l of the images, as in `sarcd.kernels.looks.effective_looks`.
    false_alarms : float
        Rate at which the two agree: a test with these looks has it.

    Returns
    -------
    float
        From 1 to the number of pixels of the window.

    Notes
    -----
    A mean power of correlated pixels is a sum of exponential variables with the eigenvalues of the correlation as
    weights, which is not quite a gamma variable: that with the same variance (`effective_looks`) has too wide a ratio,
    and a test with so many looks flags half as much as it should. The threshold of the ratio is exact instead, by
    Gil-Pelaez inversion [1]_ of the characteristic function of ``A - w B``, and the looks are those of the F test that
    has the same threshold.

    References
    ----------
    .. [1] Gil-Pelaez 1951, doi:10.1093/biomet/38.3-4.481.

    Examples
    --------
    >>> round(ratio_looks((np.ones(3), np.ones(3)), (np.zeros(2), np.zeros(2)), 0.01), 4)
    9.0
    """
    values = eigenvalues(weights, correlation)
    low, high = 0.0, 20.0  # logarithm of the ratio
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if 2 * _above(values, middle) > false_alarms else (low, middle)
    # 2 I_(1 / (1 + w))(n, n) = false_alarms, for n
    few, many = 0.5, float(len(values)) + 1
    for _ in range(60):
        middle = (few + many) / 2
        few, many = (few, middle) if betaincinv(middle, middle, false_alarms / 2) > expit(-low) else (middle, many)
    return float(np.clip(few, 1, len(values)))


def _above(values: np.ndarray, log_ratio: float) -> float:
    """P(A > w B), A and B independent sums of exponential variables of mean `values`."""
    log_t, step = np.linspace(-22 - log_ratio, 16, 4001, retstep=True)
    t = np.exp(log_t)[:, None] / values.max()
    phase = np.arctan(values * t) - np.arctan(values * np.exp(log_ratio) * t)
    size = np.log1p((values * t) ** 2) + np.log1p((values * np.exp(log_ratio) * t) ** 2)
    return float(0.5 + (np.exp(-0.5 * size.sum(1)) * np.sin(phase.sum(1))).sum() * step / np.pi)
