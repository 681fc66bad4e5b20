"""Coherence of two complex images over a sliding rectangular window."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

# Columns handled at once: the buffers of a strip, (window rows) x (4 or 5 sums) x 1024 floats, stay in the L2 cache.
# Strips of 256 and 512 were slower by a fifth and a tenth.
_STRIP = 1024


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
    masked = not (_all_finite(first.view(np.int32)) and _all_finite(second.view(np.int32)))
    _boxcar(first, second, window[0], window[1], min_valid, masked, out)
    return out


def _as_floats(image: np.ndarray) -> np.ndarray:
    """View a complex image as (Y, 2 X) float32, re im re im ...; a copy only where it is not contiguous complex64."""
    return np.ascontiguousarray(image, dtype=np.complex64).view(np.float32)


# How the loops below are written decides whether the compiler makes vector instructions of them: each runs over slices
# of its own from 0 (an index with an offset might be negative, which Python wraps around), and re and im are 2 i and
# 2 i + 1 of one row (an axis of length 2 has a stride that is known at run time only).


@njit(nogil=True, cache=True)
def _all_finite(bits: Any) -> bool:
    exponent = np.int32(0x7F800000)  # all ones in NaN and infinity; whole numbers, since sums of floats keep an order
    for y in range(bits.shape[0]):
        row = bits[y]
        found = 0
        for i in range(row.size):
            found |= (row[i] & exponent) == exponent
        if found:
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
            if j < rows - 1:
                # blocks[j + 1] still holds the previous block's tail: its rows j + 1 to the end
                for q in range(sums):
                    _add_and_join(head[q], blocks[j, q], blocks[j + 1, q], line[q])
            else:
                for q in range(sums):
                    _add(head[q], blocks[j, q])
                    line[q] = head[q]
                for k in range(rows - 2, -1, -1):
                    for q in range(sums):
                        _add(blocks[k, q], blocks[k + 1, q])
            if 0 <= y < height:
                for q in range(sums):
                    _slide(line[q], columns, x1 - x0, power)
                inside_y = min(y + half_y, height - 1) - max(y - half_y, 0) + 1
                _ratio(line, x0, x1, half_x, inside_y, min_valid, masked, out[y])


@njit(nogil=True, cache=True)
def _add(total: Any, values: Any) -> None:
    for i in range(total.size):
        total[i] += values[i]


@njit(nogil=True, cache=True)
def _add_and_join(head: Any, values: Any, tail: Any, out: Any) -> None:
    for i in range(head.size):
        head[i] += values[i]
        out[i] = head[i] + tail[i]


@njit(nogil=True, cache=True, error_model="numpy")
def _products(a: Any, b: Any, y: int, x0: int, x1: int, masked: bool, sums: Any) -> None:
    """Fill one row of products: re and im of z1 conj(z2), both powers, and 1 where valid; 0 outside the scene."""
    height, width = a.shape[0], a.shape[1] // 2
    if y < 0 or y >= height:
        sums[:] = 0
        return
    start, stop = max(x0, 0), min(x1, width)
    first, last = start - x0, stop - x0
    sums[:, :first] = 0
    sums[:, last:] = 0
    _multiply(
        a[y, 2 * start : 2 * stop],
        b[y, 2 * start : 2 * stop],
        sums[0, first:last],
        sums[1, first:last],
        sums[2, first:last],
        sums[3, first:last],
    )
    if masked:
        _mask(sums[0, first:last], sums[1, first:last], sums[2, first:last], sums[3, first:last], sums[4, first:last])


@njit(nogil=True, cache=True)
def _multiply(a: Any, b: Any, re: Any, im: Any, power_a: Any, power_b: Any) -> None:
    for i in range(re.size):
        p, q, r, s = a[2 * i], a[2 * i + 1], b[2 * i], b[2 * i + 1]
        re[i] = p * r + q * s
        im[i] = q * r - p * s
        power_a[i] = p * p + q * q
        power_b[i] = r * r + s * s


@njit(nogil=True, cache=True)
def _mask(re: Any, im: Any, power_a: Any, power_b: Any, count: Any) -> None:
    zero, one = np.float32(0), np.float32(1)
    for i in range(re.size):
        total = power_a[i] + power_b[i]
        valid = total - total == zero  # not so for NaN and infinity
        re[i] = re[i] if valid else zero
        im[i] = im[i] if valid else zero
        power_a[i] = power_a[i] if valid else zero
        power_b[i] = power_b[i] if valid else zero
        count[i] = one if valid else zero


@njit(nogil=True, cache=True)
def _slide(line: Any, columns: int, count: int, power: Any) -> None:
    """Replace line[i] by line[i] + ... + line[i + columns - 1] for i < count, from sums over powers of two."""
    length = count + columns - 1
    power[0, :length] = line[:length]
    out = line[:count]
    out[:] = 0
    this, offset, width, rest = 0, 0, 1, columns
    while True:
        if rest & 1:
            _add(out, power[this, offset : offset + count])
            offset += width
        rest >>= 1
        if rest == 0:
            return
        length -= width
        _sum(power[this, :length], power[this, width : width + length], power[1 - this, :length])
        this = 1 - this
        width *= 2


@njit(nogil=True, cache=True)
def _sum(first: Any, second: Any, out: Any) -> None:
    for i in range(out.size):
        out[i] = first[i] + second[i]


@njit(nogil=True, cache=True, error_model="numpy")
def _ratio(line: Any, x0: int, x1: int, half_x: int, inside_y: int, min_valid: float, masked: bool, out: Any) -> None:
    _divide(line[0, : x1 - x0], line[1, : x1 - x0], line[2, : x1 - x0], line[3, : x1 - x0], out[x0:x1])
    nan = np.float32(np.nan)
    width = out.shape[0]
    clear_left, clear_right = half_x, width - half_x
    for x in range(x0, x1):
        if not masked and clear_left <= x < clear_right and inside_y > 1:
            continue  # a whole window: nothing to check
        inside = inside_y * (min(x + half_x, width - 1) - max(x - half_x, 0) + 1)
        valid = line[4, x - x0] if masked else np.float32(inside)
        if valid < 2 or valid < min_valid * inside:
            out[x] = nan


@njit(nogil=True, cache=True, error_model="numpy")
def _divide(re: Any, im: Any, power_a: Any, power_b: Any, out: Any) -> None:
    nan, one = np.float32(np.nan), np.float32(1)
    for i in range(out.size):
        # the product of roots, not the root of the product: powers squared would leave float32's range
        scale = np.sqrt(power_a[i]) * np.sqrt(power_b[i])
        u, v = re[i] / scale, im[i] / scale
        g = np.sqrt(u * u + v * v)
        g = g if g < one else one
        out[i] = g if scale > 0 else nan
