"""Speckle filters that average over homogeneous areas and preserve edges and bright points."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sarcd.estimation.kernels.windows import box, window_moments, window_sum

REFINED_WINDOW = 7
"""Side in pixels of the window of `refined_lee`, whose halves are those published."""


def lee(power: np.ndarray, window: tuple[int, int], looks: float) -> np.ndarray:
    """Apply the Lee filter, which weights pixel and window mean by how far the variance exceeds that of speckle.

    Parameters
    ----------
    power : (Y, X) float
        Intensity, linear; NaN where invalid, which is ignored.
    window : (int, int)
        Odd size along y and x in pixels, truncated at the border.
    looks : float
        Equivalent number of looks of the image, above 0.

    Returns
    -------
    (Y, X) float32
        ``m + k (I - m)`` with ``k = max(0, (1 - Cu^2 / Ci^2) / (1 + Cu^2))``, ``Cu^2 = 1 / looks`` and ``Ci`` the
        window's standard deviation over its mean m; NaN where invalid.

    References
    ----------
    .. [1] Lee 1980, doi:10.1109/TPAMI.1980.4766994; in this form Lee and Pottier 2009, Polarimetric
       Radar Imaging, Sec. 5.2.

    Examples
    --------
    >>> lee(np.array([[1.0, 2.0, 3.0]]), (1, 3), looks=1.0).tolist()
    [[1.5, 2.0, 2.5]]
    """
    valid = np.isfinite(power)
    values = np.where(valid, power, 0).astype(np.float64)
    mean, variance = window_moments(values, valid, box(window))
    return np.where(valid, _between(values, mean, variance, looks), np.nan).astype(np.float32)


def _between(values: np.ndarray, mean: np.ndarray, variance: np.ndarray, looks: float) -> np.ndarray:
    speckle = 1 / looks
    with np.errstate(divide="ignore", invalid="ignore"):
        k = np.nan_to_num((1 - speckle * mean**2 / variance) / (1 + speckle), nan=0.0, neginf=0.0)
    found: np.ndarray = mean + np.maximum(k, 0) * (values - mean)
    return found


def refined_lee(power: np.ndarray, looks: float) -> np.ndarray:
    """Apply the Lee filter over that half of a 7 x 7 window which lies on the pixel's side of an edge.

    Parameters
    ----------
    power, looks
        As in `lee`.

    Returns
    -------
    (Y, X) float32
        As `lee`; NaN where invalid.

    Notes
    -----
    The means of nine 3 x 3 blocks, two pixels apart, give the direction of the steepest intensity gradient, out of
    four. The edge through the pixel divides the window into two halves of 28 pixels, each including the edge itself;
    the one whose middle block is closer to the central block in intensity is used.

    References
    ----------
    .. [1] Lee 1981, doi:10.1016/S0146-664X(81)80018-4.

    Examples
    --------
    >>> edge = np.where(np.arange(12) < 6, 1.0, 100.0) * np.ones((12, 1))
    >>> bool((refined_lee(edge, looks=1.0) == edge).all())
    True
    """
    valid = np.isfinite(power)
    values = np.where(valid, power, 0).astype(np.float64)
    weights = box((3, 3))
    with np.errstate(invalid="ignore"):
        parts = window_sum(values, weights) / window_sum(valid.astype(float), weights)
    mean, variance = np.zeros((2, *power.shape))
    _half_moments(values, valid, parts, mean, variance)
    return np.where(valid, _between(values, mean, variance, looks), np.nan).astype(np.float32)


@njit(nogil=True, cache=True, error_model="numpy")
def _half_moments(values: Any, valid: Any, parts: Any, mean: Any, variance: Any) -> None:
    height, width = values.shape
    near = np.empty((3, 3))
    for y in range(height):
        for x in range(width):
            if not valid[y, x]:
                continue
            centre = parts[y, x]
            for j in range(3):
                for i in range(3):
                    v = parts[min(max(y + 2 * j - 2, 0), height - 1), min(max(x + 2 * i - 2, 0), width - 1)]
                    near[j, i] = centre if np.isnan(v) else v
            step_y, step_x = _steepest(near)
            one, other = near[1 + step_y, 1 + step_x], near[1 - step_y, 1 - step_x]
            if abs(one - centre) > abs(other - centre):
                step_y, step_x = -step_y, -step_x
            count, total, square = 0, 0.0, 0.0
            own = values[y, x]
            for dy in range(max(-3, -y), min(4, height - y)):
                for dx in range(max(-3, -x), min(4, width - x)):
                    if dy * step_y + dx * step_x >= 0 and valid[y + dy, x + dx]:
                        d = values[y + dy, x + dx] - own  # relative to the pixel's own value, to lose fewer digits
                        count += 1
                        total += d
                        square += d * d
            mean[y, x] = own + total / count
            variance[y, x] = max(square / count - (total / count) ** 2, 0.0)


@njit(nogil=True, cache=True)
def _steepest(m: Any) -> tuple[int, int]:
    """Return the direction of the steepest gradient of 3 x 3 means."""
    along_x = abs(m[0, 2] + m[1, 2] + m[2, 2] - m[0, 0] - m[1, 0] - m[2, 0])
    along_y = abs(m[2, 0] + m[2, 1] + m[2, 2] - m[0, 0] - m[0, 1] - m[0, 2])
    down = abs(m[1, 2] + m[2, 1] + m[2, 2] - m[0, 0] - m[0, 1] - m[1, 0])
    up = abs(m[0, 1] + m[0, 2] + m[1, 2] - m[1, 0] - m[2, 0] - m[2, 1])
    best = max(along_x, along_y, down, up)
    # where only one corner differs, three are equal and the diagonal is right
    if best == down:
        return 1, 1
    if best == up:
        return -1, 1
    return (0, 1) if best == along_x else (1, 0)
