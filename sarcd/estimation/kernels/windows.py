"""Weighted sums over a sliding window, identical to the last bit however the image is cut."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d

Weights = tuple[np.ndarray, np.ndarray]


def box(window: tuple[int, int]) -> Weights:
    """Return the weights of a plain window of odd size along y and x.

    Examples
    --------
    >>> box((3, 1))
    (array([1., 1., 1.]), array([1.]))
    """
    return np.ones(window[0]), np.ones(window[1])


def window_sum(values: np.ndarray, weights: Weights) -> np.ndarray:
    """Compute weighted sums over the window around each pixel; values outside the image are 0.

    Parameters
    ----------
    values : (Y, X) float64
        Finite.
    weights : (M,), (N,) float64
        Weights along y and x, symmetric, M and N odd.

    Returns
    -------
    (Y, X) float64

    Notes
    -----
    Each sum is computed independently in a fixed order. A running sum (`scipy.ndimage.uniform_filter`) differs in its
    last bits with the origin of the image, and leaves a residue of a bright target where there is no power at all.

    Examples
    --------
    >>> window_sum(np.ones((2, 4)), box((3, 3)))
    array([[4., 6., 6., 4.],
           [4., 6., 6., 4.]])
    """
    down = correlate1d(values, weights[0], axis=0, mode="constant")
    total: np.ndarray = correlate1d(down, weights[1], axis=1, mode="constant")
    return total


def window_moments(values: np.ndarray, valid: np.ndarray, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Compute mean and variance of the valid values in the window around each pixel.

    Parameters
    ----------
    values : (Y, X) float64
        Arbitrary where invalid.
    valid : (Y, X) bool
        Valid values.
    weights : (M,), (N,) float64
        As in `window_sum`.

    Returns
    -------
    mean, variance : (Y, X) float64
        The variance with divisor N, never below 0; NaN where no value is valid.

    Examples
    --------
    >>> mean, variance = window_moments(np.array([[1.0, 3.0]]), np.ones((1, 2), bool), box((1, 3)))
    >>> mean.tolist(), variance.tolist()
    ([[2.0, 2.0]], [[1.0, 1.0]])
    """
    values = np.where(valid, values, 0.0)
    count = window_sum(valid.astype(float), weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = window_sum(values, weights) / count
        square = window_sum(values * values, weights) / count
        return mean, np.maximum(square - mean * mean, 0.0)
