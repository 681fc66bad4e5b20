"""Complex coherence over those pixels of a window whose brightness is like that of its centre."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sarcd.config import BRIGHTNESS_WINDOW as CORE
from sarcd.estimation.kernels.products import add_weighted, blank, in_strips, normalise, products

THRESHOLD = 6.0
"""Likelihood ratio, -2 ln Lambda, summed over both dates, above which two means count as different.

The quantile of chi-square(2) that one in twenty exceeds; on simulated speckle 2 to 5 in a hundred pixels did.
"""


def adaptive(
    before: np.ndarray, after: np.ndarray, window: tuple[int, int], core_looks: float, min_valid: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Complex sample coherence over the pixels of a window that are as bright as its centre.

    Parameters
    ----------
    before, after : (Y, X) complex64
        Coregistered single-look complex images, linear; pixels not finite in either take no part.
    window : (int, int)
        Odd size of the window along y and x in pixels: the largest neighbourhood.
    core_looks : float
        Effective looks of the core: 3 x 3 pixels (`BRIGHTNESS_WINDOW`).
    min_valid : float
        Least share of valid pixels, of those of the window within the image.

    Returns
    -------
    coherence : (Y, X) complex64
        Magnitude in [0, 1] but for rounding, phase that of ``before * conj(after)``; NaN as for
        `sarcd.estimation.kernels.boxcar.boxcar`, and where the centre's own brightness is unknown: no valid pixel, or
        no power, in the core around it.
    count : (Y, X) float32
        Pixels averaged.

    Notes
    -----
    Let a and b be the intensities of one date averaged over the core around the centre and around another pixel of the
    window. That pixel takes part unless ``2 N (2 ln((a + b) / 2) - ln a - ln b)``, the likelihood ratio of one mean
    against two at N looks [1]_, summed over both dates, exceeds `THRESHOLD`. Pixels of the centre's own core always do.

    References
    ----------
    .. [1] Conradsen et al. 2003, doi:10.1109/TGRS.2002.808066, for a single channel.

    Examples
    --------
    >>> z = np.exp(1j * np.arange(12, dtype="float32")).reshape(3, 4).astype("complex64")
    >>> coherence, count = adaptive(z, z, (3, 3), core_looks=9.0)
    >>> np.abs(coherence).min().round(3), count[1, 1]
    (np.float32(1.0), np.float32(9.0))
    """
    out = np.empty(before.shape, np.complex64), np.empty(before.shape, np.float32)
    # the product over both dates of (a + b)^2 / (4 a b) stays under this
    most = np.float32(np.exp(min(THRESHOLD / (2 * core_looks), 80)))

    def strip(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        part = np.empty(first.shape, np.complex64), np.empty(first.shape, np.float32)
        _adaptive(first, second, window[0], window[1], most, min_valid, *part)
        return part

    in_strips(strip, before, after, window[0] // 2 + CORE // 2, out)
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def _adaptive(a: Any, b: Any, rows: int, columns: int, most: Any, min_valid: float, out: Any, count: Any) -> None:
    height, width = out.shape
    half_y, half_x, core = rows // 2, columns // 2, CORE // 2
    # a border of the core's reach too, where the means are found as they are at the image's edge
    image = np.empty((5, height + 2 * (half_y + core), width + 2 * (half_x + core)), np.float32)
    products(a, b, half_y + core, half_x + core, image)
    means = _means(image)
    sums = np.empty((5, width), np.float32)
    valid, ratio = np.empty(width, np.float32), np.empty(width, np.float32)
    one = np.float32(1)
    for y in range(height):
        sums[:] = 0
        valid[:] = 0
        for j in range(rows):
            t, u = y + j, y + j + core  # the row in `means` and in `image`
            for i in range(columns):
                v = i + core
                ratio[:] = 1
                if abs(j - half_y) > core or abs(i - half_x) > core:
                    for date in range(2):
                        _compare(
                            means[date, half_y + y, half_x : half_x + width],
                            means[2 + date, half_y + y, half_x : half_x + width],
                            means[date, t, i : i + width],
                            means[2 + date, t, i : i + width],
                            ratio,
                        )
                for q in range(5):
                    _add_alike(ratio, most, image[q, u, v : v + width], sums[q])
                add_weighted(one, image[4, u, v : v + width], valid)
        normalise(sums[0], sums[1], sums[2], sums[3], out[y])
        blank(sums[4], valid, y, half_y, half_x, min_valid, out)
        for x in range(width):
            count[y, x] = sums[4, x]
            if not (means[0, half_y + y, half_x + x] > 0 and means[1, half_y + y, half_x + x] > 0):
                out[y, x] = complex(np.nan, np.nan)


@njit(nogil=True, cache=True, error_model="numpy")
def _means(image: Any) -> Any:
    """Return the mean intensity of each core's valid pixels at both dates, 0 where there is none, and 1 / it."""
    height, width = image.shape[1] - CORE + 1, image.shape[2] - CORE + 1
    out = np.empty((4, height, width), np.float32)
    sums = np.empty((3, width), np.float32)
    one, zero = np.float32(1), np.float32(0)
    for y in range(height):
        sums[:] = 0
        for q in range(3):
            for j in range(CORE):
                for i in range(CORE):
                    add_weighted(one, image[2 + q, y + j, i : i + width], sums[q])
        for q in range(2):
            mean, inverse, total, number = out[q, y], out[2 + q, y], sums[q], sums[2]
            for x in range(width):
                some = total[x] > 0
                mean[x] = total[x] / number[x] if some else zero
                inverse[x] = number[x] / total[x] if some else zero
    return out


# One loop over all eighteen rows would read better, but is beyond what the compiler makes vector instructions of.


@njit(nogil=True, cache=True)
def _compare(mean: Any, inverse: Any, other: Any, other_inverse: Any, ratio: Any) -> None:
    """Multiply `ratio` by (a + b)^2 / (4 a b); products of powers alone would leave float32's range."""
    half = np.float32(0.5)
    for x in range(mean.size):
        total = half * (mean[x] + other[x])
        ratio[x] *= (total * inverse[x]) * (total * other_inverse[x])


@njit(nogil=True, cache=True)
def _add_alike(ratio: Any, most: Any, values: Any, total: Any) -> None:
    zero = np.float32(0)
    for x in range(total.size):
        total[x] += values[x] if ratio[x] <= most else zero
