"""What the weighted estimators share: interferogram and powers with a border of zeros, strips, and the final ratio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

# Rows handled at once: the products of a strip of 64 x 1024 pixels stay in the L2 and L3 caches, whatever the image.
STRIP = 64

Strip = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, ...]]


def in_strips(estimate: Strip, before: np.ndarray, after: np.ndarray, reach: int, out: tuple[np.ndarray, ...]) -> None:
    """Fill `out` by an estimator of rows, strip by strip.

    Parameters
    ----------
    estimate : callable
        Takes rows of both images, (y, X) complex64, and returns as many arrays of that shape as there are in `out`.
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
    """Return an image as contiguous complex64, copied only where it is not."""
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
        finite = total - total == zero  # not so for NaN and infinity
        re[x] = p * r + q * s if finite else zero
        im[x] = q * r - p * s if finite else zero
        power_a[x] = first if finite else zero
        power_b[x] = second if finite else zero
        valid[x] = one if finite else zero


@njit(nogil=True, cache=True)
def add_weighted(weight: Any, values: Any, total: Any) -> None:
    """Add weight * values to total, all of one length."""
    for i in range(total.size):
        total[i] += weight * values[i]


@njit(nogil=True, cache=True)
def blank(averaged: Any, valid: Any, y: int, half_y: int, half_x: int, min_valid: float, out: Any) -> None:
    """Put NaN in row y where fewer than two pixels were averaged, or too few of those inside the image are valid."""
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
    """Write the complex coherence of one row of sums, NaN without power; rounding may leave it a little above 1."""
    for i in range(out.size):
        # the product of roots, not the root of the product: powers squared would leave float32's range
        scale = np.sqrt(power_a[i]) * np.sqrt(power_b[i])
        out[i] = complex(re[i] / scale, im[i] / scale) if scale > 0 else complex(np.nan, np.nan)
