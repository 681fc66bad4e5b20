"""Coherence of two complex images over a sliding rectangular window."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

# Columns handled at once: the buffers of a strip, (window rows) x (4 or 5 sums) x 512 floats, stay in the L2 cache.
_STRIP = 512


def boxcar(before: np.ndarray, after: np.ndarray, window: tuple[int, int], min_valid: float = 0.5) -> np.ndarray:
    """Magnitude of the sample coherence over a window around every pixel.

    Parameters
    ----------
    before, after : (Y, X) complex64
        Coregistered single-look complex images, linear. Pixels that are not finite in either image are invalid and
        take no part in any window.
    window : (int, int)
        Odd size of the window along y and x, in pixels. At the border it is cut.
    min_valid : float
        Least share of valid pixels in the (cut) window.

    Returns
    -------
    (Y, X) float32
        In [0, 1]; NaN where fewer than `min_valid` of the window's pixels, or fewer than two, are valid (over one
        pixel it is always 1), and where either image has no power in the window.

    Notes
    -----
    g = abs(sum z1 conj(z2)) / sqrt(sum abs(z1)^2 sum abs(z2)^2), the maximum-likelihood estimator of [1]_.

    No sum is ever reduced by subtraction, as a running sum is: a value that has left the window leaves nothing behind,
    so that a bright target cannot harm dark ground beside it. Down the columns a window is the tail of one block of
    rows plus the head of the next (three additions a pixel whatever the window); along the rows it is put together
    from sums over 1, 2, 4, 8 ... pixels.

    References
    ----------
    .. [1] Touzi et al. 1999, doi:10.1109/36.739146, Eq. 6.

    Examples
    --------
    >>> z = np.exp(1j * np.arange(12, dtype="float32")).reshape(3, 4).astype("complex64")
    >>> boxcar(z, 2 * z, (3, 3)).round(3).min()
    np.float32(1.0)
    """
    height, width = before.shape
    out = np.empty((height, width), np.float32)
    if out.size == 0:
        return out
    first, second = _as_floats(before), _as_floats(after)
    masked = not (_all_finite(first) and _all_finite(second))
    _boxcar(first, second, window[0], window[1], min_valid, masked, out)
    return out


def _as_floats(image: np.ndarray) -> np.ndarray:
    """View a complex image as (Y, X, 2) float32; a copy only where it is not contiguous complex64."""
    image = np.ascontiguousarray(image, dtype=np.complex64)
    return image.view(np.float32).reshape(*image.shape, 2)


@njit(nogil=True, cache=True)
def _all_finite(image: Any) -> bool:
    for y in range(image.shape[0]):
        total = np.float32(0)
        for x in range(image.shape[1]):
            # x - x is 0 for finite numbers only; two additions vectorise where isfinite does not
            total += (image[y, x, 0] - image[y, x, 0]) + (image[y, x, 1] - image[y, x, 1])
        if total != 0:
            return False
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def _boxcar(a: Any, b: Any, rows: int, columns: int, min_valid: float, masked: bool, out: Any) -> None:
    height, width = out.shape
    half_y, half_x = rows // 2, columns // 2
    sums = 5 if masked else 4
    padded = _STRIP + columns - 1
    blocks = np.empty((rows, sums, padded), np.float32)
    head = np.empty((sums, padded), np.float32)
    line = np.empty((sums, padded), np.float32)
    power = np.empty((2, padded), np.float32)
    for x0 in range(0, width, _STRIP):
        x1 = min(x0 + _STRIP, width)
        blocks[:] = 0
        # Row t of the scene padded by half a window; output row y sums the rows y <= t < y + rows.
        for t in range(height + 2 * half_y):
            j = t % rows
            if j == 0:
                head[:] = 0
            _products(a, b, t - half_y, x0 - half_x, x1 + half_x, masked, blocks[j])
            y = t - rows + 1
            for q in range(sums):
                for i in range(padded):
                    head[q, i] += blocks[j, q, i]
            if j < rows - 1:
                # blocks[j + 1] still holds the previous block's tail: its rows j + 1 to the end
                for q in range(sums):
                    for i in range(padded):
                        line[q, i] = head[q, i] + blocks[j + 1, q, i]
            else:
                line[:] = head
                for k in range(rows - 2, -1, -1):
                    for q in range(sums):
                        for i in range(padded):
                            blocks[k, q, i] += blocks[k + 1, q, i]
            if 0 <= y < height:
                for q in range(sums):
                    _slide(line[q], columns, x1 - x0, power)
                inside_y = min(y + half_y, height - 1) - max(y - half_y, 0) + 1
                _ratio(line, x0, x1, half_x, inside_y, min_valid, masked, out[y])


@njit(nogil=True, cache=True, error_model="numpy")
def _products(a: Any, b: Any, y: int, x0: int, x1: int, masked: bool, sums: Any) -> None:
    """Fill one row of products: re and im of z1 conj(z2), both powers, and 1 where valid; 0 outside the scene."""
    height, width = a.shape[0], a.shape[1]
    if y < 0 or y >= height:
        sums[:] = 0
        return
    start, stop = max(x0, 0), min(x1, width)
    sums[:, : start - x0] = 0
    sums[:, stop - x0 :] = 0
    line_a, line_b = a[y], b[y]
    zero, one = np.float32(0), np.float32(1)
    for i in range(stop - start):
        x = start + i
        p, q, r, s = line_a[x, 0], line_a[x, 1], line_b[x, 0], line_b[x, 1]
        o = i + start - x0
        sums[0, o] = p * r + q * s
        sums[1, o] = q * r - p * s
        sums[2, o] = p * p + q * q
        sums[3, o] = r * r + s * s
    if masked:
        for i in range(start - x0, stop - x0):
            # not a number, or infinite: not equal to itself once subtracted from itself
            total = sums[2, i] + sums[3, i]
            valid = total - total == zero
            sums[0, i] = sums[0, i] if valid else zero
            sums[1, i] = sums[1, i] if valid else zero
            sums[2, i] = sums[2, i] if valid else zero
            sums[3, i] = sums[3, i] if valid else zero
            sums[4, i] = one if valid else zero


@njit(nogil=True, cache=True, error_model="numpy")
def _slide(line: Any, columns: int, count: int, power: Any) -> None:
    """Replace line[i] by line[i] + ... + line[i + columns - 1] for i < count, from sums over powers of two."""
    length = count + columns - 1
    current, following = power[0], power[1]
    for i in range(length):
        current[i] = line[i]
    for i in range(count):
        line[i] = 0
    offset, width, rest = 0, 1, columns
    while True:
        if rest & 1:
            for i in range(count):
                line[i] += current[i + offset]
            offset += width
        rest >>= 1
        if rest == 0:
            return
        length -= width
        for i in range(length):
            following[i] = current[i] + current[i + width]
        current, following = following, current
        width *= 2


@njit(nogil=True, cache=True, error_model="numpy")
def _ratio(line: Any, x0: int, x1: int, half_x: int, inside_y: int, min_valid: float, masked: bool, out: Any) -> None:
    nan, one = np.float32(np.nan), np.float32(1)
    for i in range(x1 - x0):
        # the product of roots, not the root of the product: powers squared would leave float32's range
        scale = np.sqrt(line[2, i]) * np.sqrt(line[3, i])
        re, im = line[0, i] / scale, line[1, i] / scale
        g = min(np.sqrt(re * re + im * im), one)
        out[x0 + i] = g if scale > 0 else nan
    width = out.shape[0]
    clear_left, clear_right = half_x, width - half_x
    for x in range(x0, x1):
        if not masked and clear_left <= x < clear_right and inside_y > 1:
            continue  # a whole window: nothing to check
        inside = inside_y * (min(x + half_x, width - 1) - max(x - half_x, 0) + 1)
        valid = line[4, x - x0] if masked else np.float32(inside)
        if valid < 2 or valid < min_valid * inside:
            out[x] = nan
