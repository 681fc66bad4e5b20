"""Ratios of the brightness of two images."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter


def log_ratio(before: np.ndarray, after: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """Magnitude of the logarithm of the ratio of mean powers in a window.

    Parameters
    ----------
    before, after : (Y, X) complex64 or float32
        Complex images or amplitudes, linear; what is not finite takes no part.
    window : (int, int)
        Odd size along y and x in pixels, cut at the border.

    Returns
    -------
    (Y, X) float32
        ``abs(ln(mean power after / mean power before))``; NaN where either image is invalid or has no power.

    Examples
    --------
    >>> log_ratio(np.ones((1, 1), "float32"), np.full((1, 1), np.e, "float32"), (1, 1)).round(3)
    array([[2.]], dtype=float32)
    """
    valid = np.isfinite(before) & np.isfinite(after)
    # Sums over the same pixels on both dates: their number, and the border, cancel in the ratio.
    first, second = (
        uniform_filter(np.where(valid, np.abs(image).astype(np.float64) ** 2, 0), window, mode="constant")
        for image in (before, after)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        out: np.ndarray = np.abs(np.log(second) - np.log(first)).astype(np.float32)
    out[~valid | ~np.isfinite(out)] = np.nan
    return out
