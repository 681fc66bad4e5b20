"""Coherence over weighted and over adaptive windows: both estimators, and the products that they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from sarcd.config import BRIGHTNESS_WINDOW as CORE


def gaussian_weights(size: int) -> np.ndarray:
    """Return the weights of a Gaussian window along one axis, 4 standard deviations long.

    Parameters
    ----------
    size : int
        Odd length in pixels.

    Returns
    -------
    (size,) float32
        1 in the centre.

    Examples
    --------
    >>> gaussian_weights(5).round(3).tolist()
    [0.27799999713897705, 0.7260000109672546, 1.0, 0.7260000109672546, 0.27799999713897705]
    """
    distance = np.arange(size) - size // 2
    return np.exp(-8 * (distance / size) ** 2).astype(np.float32)


def weighted(
    before: np.ndarray, after: np.ndarray, weights: tuple[np.ndarray, np.ndarray], min_valid: float = 0.5
) -> np.ndarray:
    """Estimate the complex coherence over a weighted window around every pixel.

    Parameters
    ----------
    before, after : (Y, X) complex64
        Coregistered single-look complex images, linear; pixels that are not finite in either are ignored.
    weights : (M,) float32, (N,) float32
        Weights along y and x, above 0, M and N odd; equal weights give a boxcar.
    min_valid : float
        Minimum fraction of valid pixels, of those of the window within the image.

    Returns
    -------
    (Y, X) complex64
        Magnitude in [0, 1] up to rounding, phase that of ``before * conj(after)``; NaN as in
        `sarcd.estimation.kernels.boxcar.boxcar`.

    Notes
    -----
    sum w z1 conj(z2) / sqrt(sum w abs(z1)^2 sum w abs(z2)^2). Each sum is computed independently in a fixed order, so
    neither a bright target nor the chunking affects other windows.

    Examples
    --------
    >>> z = np.exp(1j * np.arange(12, dtype="float32")).reshape(3, 4).astype("complex64")
    >>> np.abs(weighted(z, 1j * z, (gaussian_weights(3), gaussian_weights(3)))).min().round(3)
    np.float32(1.0)
    """
    out = np.empty(before.shape, np.complex64)
    down, along = (np.ascontiguousarray(axis, np.float32) for axis in weights)

    def strip(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray]:
        part = np.empty(first.shape, np.complex64)
        _weighted(first, second, down, along, min_valid, part)
        return (part,)

    in_strips(strip, before, after, down.size // 2, (out,))
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def _weighted(a: Any, b: Any, down: Any, along: Any, min_valid: float, out: Any) -> None:
    height, width = out.shape
    half_y, half_x = down.size // 2, along.size // 2
    image = np.empty((5, height + 2 * half_y, width + 2 * half_x), np.float32)
    products(a, b, half_y, half_x, image)
    column = np.empty(width + 2 * half_x, np.float32)
    sums = np.empty((5, width), np.float32)
    one = np.float32(1)
    for y in range(height):
        for q in range(5):
            column[:] = 0
            for j in range(down.size):
                add_weighted(down[j] if q < 4 else one, image[q, y + j], column)
            sums[q] = 0
            for i in range(along.size):
                add_weighted(along[i] if q < 4 else one, column[i : i + width], sums[q])
        normalise(sums[0], sums[1], sums[2], sums[3], out[y])
        blank(sums[4], sums[4], y, half_y, half_x, min_valid, out)


THRESHOLD = 6.0
"""Likelihood ratio, -2 ln Lambda, summed over both dates, above which two means are considered different.

The 95 % quantile of chi-square(2); on simulated speckle 2 to 5 % of the pixels exceeded it.
"""


def adaptive(
    before: np.ndarray, after: np.ndarray, window: tuple[int, int], core_looks: float, min_valid: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the complex coherence over the pixels of a window with the same intensity as its centre.

    Parameters
    ----------
    before, after : (Y, X) complex64
        Coregistered single-look complex images, linear; pixels that are not finite in either are ignored.
    window : (int, int)
        Odd size of the window along y and x in pixels, the largest neighbourhood.
    core_looks : float
        Effective looks of the core: 3 x 3 pixels (`BRIGHTNESS_WINDOW`).
    min_valid : float
        Minimum fraction of valid pixels, of those of the window within the image.

    Returns
    -------
    coherence : (Y, X) complex64
        Magnitude in [0, 1] up to rounding, phase that of ``before * conj(after)``; NaN as in
        `sarcd.estimation.kernels.boxcar.boxcar`, and where the intensity of the centre is unknown: no valid pixel, or
        no power, in the core around it.
    count : (Y, X) float32
        Number of pixels averaged.

    Notes
    -----
    Let a and b be the intensities of one date averaged over the core around the centre and around another pixel of the
    window. That pixel is used unless ``2 N (2 ln((a + b) / 2) - ln a - ln b)``, the likelihood ratio of one mean
    against two at N looks [1]_, summed over both dates, exceeds `THRESHOLD`. Pixels of the central core are always
    used.

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
    # the product over both dates of (a + b)^2 / (4 a b) must not exceed this
    limit = np.float32(np.exp(min(THRESHOLD / (2 * core_looks), 80)))

    def strip(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        part = np.empty(first.shape, np.complex64), np.empty(first.shape, np.float32)
        _adaptive(first, second, window[0], window[1], limit, min_valid, *part)
        return part

    in_strips(strip, before, after, window[0] // 2 + CORE // 2, out)
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def _adaptive(a: Any, b: Any, rows: int, columns: int, limit: Any, min_valid: float, out: Any, count: Any) -> None:
    height, width = out.shape
    half_y, half_x, core = rows // 2, columns // 2, CORE // 2
    # padded by the core too, so that means at the image's edge are computed like elsewhere
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
                    _add_alike(ratio, limit, image[q, u, v : v + width], sums[q])
                add_weighted(one, image[4, u, v : v + width], valid)
        normalise(sums[0], sums[1], sums[2], sums[3], out[y])
        blank(sums[4], valid, y, half_y, half_x, min_valid, out)
        for x in range(width):
            count[y, x] = sums[4, x]
            if not (means[0, half_y + y, half_x + x] > 0 and means[1, half_y + y, half_x + x] > 0):
                out[y, x] = complex(np.nan, np.nan)


@njit(nogil=True, cache=True, error_model="numpy")
def _means(image: Any) -> Any:
    """Return the mean intensity of the valid pixels of each core at both dates, 0 where there is none, and 1 / it."""
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


# One loop over all eighteen rows would read better, but the compiler does not vectorise it.


@njit(nogil=True, cache=True)
def _compare(mean: Any, inverse: Any, other: Any, other_inverse: Any, ratio: Any) -> None:
    """Multiply `ratio` by (a + b)^2 / (4 a b), in an order that keeps products of powers in the range of float32."""
    half = np.float32(0.5)
    for x in range(mean.size):
        total = half * (mean[x] + other[x])
        ratio[x] *= (total * inverse[x]) * (total * other_inverse[x])


@njit(nogil=True, cache=True)
def _add_alike(ratio: Any, limit: Any, values: Any, total: Any) -> None:
    zero = np.float32(0)
    for x in range(total.size):
        total[x] += values[x] if ratio[x] <= limit else zero


# Rows processed at once: the products of a strip of 64 x 1024 pixels fit the L2 and L3 caches for any image.
STRIP = 64

Strip = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, ...]]


def in_strips(estimate: Strip, before: np.ndarray, after: np.ndarray, reach: int, out: tuple[np.ndarray, ...]) -> None:
    """Fill `out` strip by strip with an estimator that works on rows.

    Parameters
    ----------
    estimate : callable
        Takes rows of both images, (y, X) complex64, and returns as many arrays of that shape as `out` holds.
    before, after : (Y, X) complex64
        Images.
    reach : int
        Rows that a result depends on above and below its own.
    out : tuple of (Y, X) arrays
        Filled in place.
    """
    height = before.shape[0]
    for y in range(0, height, STRIP):
        stop = min(y + STRIP, height)
        top = max(y - reach, 0)
        rows = slice(top, min(stop + reach, height))
        found = estimate(as_complex64(before[rows]), as_complex64(after[rows]))
        for whole, part in zip(out, found, strict=True):
            whole[y:stop] = part[y - top : stop - top]


def as_complex64(image: np.ndarray) -> np.ndarray:
    """Return an image as contiguous complex64, copied only if necessary."""
    return np.ascontiguousarray(image, dtype=np.complex64)


@njit(nogil=True, cache=True)
def products(before: Any, after: Any, border_y: int, border_x: int, out: Any) -> None:
    """Fill `out` (5, Y + 2 border_y, X + 2 border_x) with re, im of z1 conj(z2), both powers, and 1 where valid.

    All are 0 where either image is not finite, and in the border.
    """
    height, width = before.shape
    out[:] = 0
    first, last = border_x, border_x + width
    for y in range(height):
        t = border_y + y
        _multiply(before[y], after[y], out[0, t, first:last], out[1, t, first:last], out[2, t, first:last],
                  out[3, t, first:last], out[4, t, first:last])  # fmt: skip


@njit(nogil=True, cache=True)
def _multiply(a: Any, b: Any, re: Any, im: Any, power_a: Any, power_b: Any, valid: Any) -> None:
    zero, one = np.float32(0), np.float32(1)
    for x in range(a.size):
        p, q, r, s = a[x].real, a[x].imag, b[x].real, b[x].imag
        first, second = p * p + q * q, r * r + s * s
        total = first + second
        finite = total - total == zero  # False for NaN and infinity
        re[x] = p * r + q * s if finite else zero
        im[x] = q * r - p * s if finite else zero
        power_a[x] = first if finite else zero
        power_b[x] = second if finite else zero
        valid[x] = one if finite else zero


@njit(nogil=True, cache=True)
def add_weighted(weight: Any, values: Any, total: Any) -> None:
    """Add weight * values to total, all of the same length."""
    for i in range(total.size):
        total[i] += weight * values[i]


@njit(nogil=True, cache=True)
def blank(averaged: Any, valid: Any, y: int, half_y: int, half_x: int, min_valid: float, out: Any) -> None:
    """Set row y to NaN where fewer than two pixels were averaged, or too few of those inside the image are valid."""
    height, width = out.shape
    inside_y = _pixels_inside(y, half_y, height)
    for x in range(width):
        inside = inside_y * _pixels_inside(x, half_x, width)
        if averaged[x] < 2 or valid[x] < min_valid * inside:
            out[y, x] = complex(np.nan, np.nan)


@njit(nogil=True, cache=True)
def _pixels_inside(position: int, half: int, size: int) -> int:
    """Return how many pixels of a window around `position` lie within an axis of `size` pixels."""
    return min(position + half, size - 1) - max(position - half, 0) + 1


@njit(nogil=True, cache=True, error_model="numpy")
def normalise(re: Any, im: Any, power_a: Any, power_b: Any, out: Any) -> None:
    """Write the complex coherence of one row of sums, NaN without power; rounding may leave it slightly above 1."""
    for i in range(out.size):
        # the product of roots, not the root of the product: squared powers would leave the range of float32
        scale = np.sqrt(power_a[i]) * np.sqrt(power_b[i])
        out[i] = complex(re[i] / scale, im[i] / scale) if scale > 0 else complex(np.nan, np.nan)
