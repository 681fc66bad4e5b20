"""Ratio images of two images: difference images of intensity or amplitude."""

from __future__ import annotations

from typing import Literal

import numpy as np

from sarcd.estimation.kernels.weighted import gaussian_weights
from sarcd.estimation.kernels.windows import Weights, box, window_sum

Domain = Literal["power", "amplitude"]


def log_ratio(
    before: np.ndarray,
    after: np.ndarray,
    window: tuple[int, int],
    *,
    signed: bool = False,
    domain: Domain = "power",
    floor: float = 0.0,
) -> np.ndarray:
    """Compute the logarithm of the ratio of window means.

    Parameters
    ----------
    before, after : (Y, X) complex64 or float32
        Complex images or amplitudes, linear; values that are not finite are ignored.
    window : (int, int)
        Odd size along y and x in pixels, truncated at the border.
    signed : bool
        Keep the sign, positive where the intensity increased, instead of the magnitude.
    domain : {"power", "amplitude"}
        What is averaged.
    floor : float
        Amplitude added to every pixel (its square to power), so that dark pixels of 8-bit images have a logarithm and a
        small difference between two of them stays small.

    Returns
    -------
    (Y, X) float32
        ``abs(ln(mean after / mean before))``; NaN where either image is invalid or has no power.

    Examples
    --------
    >>> log_ratio(np.ones((1, 1), "float32"), np.full((1, 1), np.e, "float32"), (1, 1)).round(3)
    array([[2.]], dtype=float32)
    """
    return _log_ratio(before, after, box(window), signed, domain, floor)


def gauss_log_ratio(
    before: np.ndarray,
    after: np.ndarray,
    window: tuple[int, int],
    *,
    signed: bool = False,
    domain: Domain = "power",
    floor: float = 0.0,
) -> np.ndarray:
    """Compute the log-ratio of Gaussian-weighted means, with finer detail at the same noise.

    Parameters
    ----------
    before, after, window, signed, domain, floor
        As in `log_ratio`; the window spans 4 standard deviations of the Gaussian.

    Returns
    -------
    (Y, X) float32
        As `log_ratio`.

    References
    ----------
    .. [1] Hou, Wei, Zheng and Wang 2014, IEEE J. Sel. Top. Appl. Earth Obs. Remote Sens. 7(8), 3297-3317.

    Examples
    --------
    >>> gauss_log_ratio(np.ones((1, 1), "float32"), np.full((1, 1), np.e, "float32"), (5, 5)).round(3)
    array([[2.]], dtype=float32)
    """
    down, along = (gaussian_weights(size).astype(np.float64) for size in window)
    return _log_ratio(before, after, (down, along), signed, domain, floor)


def _log_ratio(
    before: np.ndarray, after: np.ndarray, weights: Weights, signed: bool, domain: Domain, floor: float
) -> np.ndarray:
    valid, first, second = _sums(before, after, weights, domain, floor)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(second) - np.log(first)
    return _result(found if signed else np.abs(found), valid)


def mean_ratio(
    before: np.ndarray,
    after: np.ndarray,
    window: tuple[int, int],
    *,
    domain: Domain = "power",
    floor: float = 0.0,
) -> np.ndarray:
    """Return one minus the ratio of the smaller to the larger window mean.

    Parameters
    ----------
    before, after, window, domain, floor
        As in `log_ratio`.

    Returns
    -------
    (Y, X) float32
        ``1 - min(m1 / m2, m2 / m1)``, from 0 (unchanged) to 1; NaN where either image is invalid or has no power.

    References
    ----------
    .. [1] Inglada and Mercier 2007, doi:10.1109/TGRS.2007.893568, Eq. 1.

    Examples
    --------
    >>> mean_ratio(np.ones((1, 1), "float32"), np.full((1, 1), 2, "float32"), (1, 1))
    array([[0.75]], dtype=float32)
    """
    valid, first, second = _sums(before, after, box(window), domain, floor)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = 1 - np.minimum(first, second) / np.maximum(first, second)
    return _result(found, valid & (np.minimum(first, second) > 0))


def neighbourhood_ratio(
    before: np.ndarray,
    after: np.ndarray,
    window: tuple[int, int],
    *,
    domain: Domain = "power",
    floor: float = 0.0,
) -> np.ndarray:
    """Combine the ratio of the pixel (heterogeneous ground) and of its neighbours (homogeneous areas).

    Parameters
    ----------
    before, after, window, domain, floor
        As in `log_ratio`; a window of more than one pixel.

    Returns
    -------
    (Y, X) float32
        ``1 - [t min / max + (1 - t) sum_n min / sum_n max]``, from 0 (unchanged) to 1: min and max over the two dates,
        n the neighbours in the window, ``t = sigma / mean`` of the window over both dates, at most 1. NaN where either
        image is invalid, where nothing has power, and where no neighbour is valid.

    References
    ----------
    .. [1] Gong, Cao and Wu 2012, doi:10.1109/LGRS.2011.2167211.

    Examples
    --------
    >>> flat = np.ones((3, 3), "float32")
    >>> neighbourhood_ratio(flat, 2 * flat, (3, 3), domain="amplitude").round(2).tolist()[1]
    [0.5, 0.5, 0.5]
    """
    valid, first, second = _values(before, after, domain, floor)
    weights = box(window)
    low, high = np.minimum(first, second), np.maximum(first, second)
    count = window_sum(valid.astype(float), weights)
    all_low, all_high = window_sum(low, weights), window_sum(high, weights)
    squares = window_sum(first * first + second * second, weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (all_low + all_high) / (2 * count)
        spread = np.sqrt(np.maximum(squares / (2 * count) - mean * mean, 0))
        mixing = np.clip(spread / mean, 0, 1)
        # a pixel, or neighbours, dark on both dates are unchanged: 0 / 0 counts as 1
        own = np.where(high > 0, low / high, 1.0)
        others = np.where(all_high - high > 0, (all_low - low) / (all_high - high), 1.0)
    found = 1 - (mixing * own + (1 - mixing) * others)
    return _result(found, valid & (count > 1) & (all_high > 0))


def _values(
    before: np.ndarray, after: np.ndarray, domain: Domain, floor: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where both images are valid, and their amplitude or power, 0 elsewhere, float64."""
    valid = np.isfinite(before) & np.isfinite(after)
    power = 2 if domain == "power" else 1
    first, second = (
        np.where(valid, np.abs(image).astype(np.float64) ** power + float(floor) ** power, 0.0)
        for image in (before, after)
    )
    return valid, first, second


def _sums(
    before: np.ndarray, after: np.ndarray, weights: Weights, domain: Domain, floor: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where both are valid, and sums over the same pixels of both: their number and the border cancel."""
    valid, first, second = _values(before, after, domain, floor)
    return valid, window_sum(first, weights), window_sum(second, weights)


def _result(found: np.ndarray, valid: np.ndarray) -> np.ndarray:
    out: np.ndarray = found.astype(np.float32)
    out[~valid | ~np.isfinite(out)] = np.nan
    return out
