"""Complex coherence of two images over a sliding window with separable weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sarcd.estimation.kernels.products import add_weighted, blank, in_strips, normalise, products


def gaussian_weights(size: int) -> np.ndarray:
    """Weights of a Gaussian window along one axis: the window is 4 standard deviations long.

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
    """Complex sample coherence over a window with weights, around every pixel.

    Parameters
    ----------
    before, after : (Y, X) complex64
        Coregistered single-look complex images, linear; pixels not finite in either take no part.
    weights : (M,) float32, (N,) float32
        Weights along y and x, above 0, M and N odd; all equal make a boxcar.
    min_valid : float
        Least share of valid pixels, of those of the window within the image.

    Returns
    -------
    (Y, X) complex64
        Magnitude in [0, 1] but for rounding, phase that of ``before * conj(after)``; NaN as for
        `sarcd.estimation.kernels.boxcar.boxcar`.

    Notes
    -----
    sum w z1 conj(z2) / sqrt(sum w abs(z1)^2 sum w abs(z2)^2). Every sum is taken afresh in one order, so that neither a
    bright target nor the chunking leaves anything behind.

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
