"""Coherence of two complex images over a sliding rectangular window."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

# The scene is done in strips of columns, so wide that a strip's buffers, (window rows) x 5 sums, stay in the L2 cache.
_BUFFER_BYTES = 2**20
_LARGEST_STRIP = 4096


def boxcar(
    before: np.ndarray, after: np.ndarray, window: tuple[int, int], min_valid: float = 0.5, first_row: int = 0
) -> np.ndarray:
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
    first_row : int
        Row of the whole scene at which these images begin: told it, parts have the same bytes as the whole.

    Returns
    -------
    (Y, X) float32
        In [0, 1]; NaN where fewer than `min_valid` of the window's pixels, or fewer than two, are valid (over one
        pixel it is always 1), and where either image has no power in the window.

    Notes
    -----
    g = abs(sum z1 conj(z2)) / sqrt(sum abs(z1)^2 sum abs(z2)^2), the maximum-likelihood estimator of [1]_.

    No sum is ever reduced by subtraction, as a running sum is: a value that has left the window leaves nothing behind,
    so that a bright target cannot harm dark ground beside it. Along the rows a window is put together from
    sums over 1, 4, 16 ... pixels; down the columns it is the tail of one block of rows plus the head of the next, three
    additions a pixel whatever the window.

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
    strip = max(64, min(_LARGEST_STRIP, _BUFFER_BYTES // (window[0] * 5 * 4)))
    step = -(-width // max(1, round(width / strip)))  # equal strips: a chunk with its halo shall not end in a sliver
    for x0 in range(0, width, step):
        x1, phase = min(x0 + step, width), first_row % window[0]
        _strip(first, second, x0, x1, window[0], window[1], phase, _terms(window[1]), min_valid, out)
    return out


def _as_floats(image: np.ndarray) -> np.ndarray:
    """View a complex image as (Y, 2 X) float32, re im re im ...; a copy only where it is not contiguous complex64."""
    return np.ascontiguousarray(image, dtype=np.complex64).view(np.float32)


def _terms(size: int) -> np.ndarray:
    """Return the sums that make up a window as (level, offset): over 4**level pixels from the offset on.

    Examples
    --------
    >>> _terms(9).tolist()
    [[0, 0], [1, 1], [1, 5]]
    """
    terms = []
    offset = level = 0
    while size:
        size, count = divmod(size, 4)
        for _ in range(count):
            terms.append((level, offset))
            offset += 4**level
        level += 1
    return np.array(terms)


# How the loops below are written decides whether the compiler makes vector instructions of them: each runs over slices
# of its own from 0 (an index with an offset might be negative, which Python wraps around), and re and im are 2 i and
# 2 i + 1 of one row (an axis of length 2 has a stride that is known at run time only).


@njit(nogil=True, cache=True, error_model="numpy")
def _strip(
    a: Any, b: Any, x0: int, x1: int, rows: int, columns: int, phase: int, terms: Any, min_valid: float, out: Any
) -> None:
    """Fill the columns x0 to x1 of the result, row by row; output row y sums the rows y - half_y to y + half_y.

    Rows are added up in blocks of `rows`; row 0 is row `phase` of its block.
    """
    height, width = out.shape
    half_y, half_x, n = rows // 2, columns // 2, x1 - x0
    left, right = x0 - half_x, x1 + half_x
    # re and im of z1 conj(z2), both powers, and 1 where valid: the last only from the first invalid pixel on
    masked, used = False, 4 * n
    levels = np.zeros((5, terms[-1, 0] + 1, right - left), np.float32)
    blocks = np.zeros((rows, 5 * n), np.float32)
    head, nothing = np.zeros(5 * n, np.float32), np.zeros(5 * n, np.float32)
    for t in range(height + half_y):
        j = (t + phase) % rows
        if j == 0:
            head[:] = 0
        if t < height:
            clean = _products(a, b, t, left, right, masked, levels)
            if not clean and not masked:
                masked, used = True, 5 * n
                _count_rows_before(t, j, rows, left, width, levels[4], terms, blocks[:, 4 * n :], head[4 * n :])
                _products(a, b, t, left, right, masked, levels)
            for q in range(used // n):
                _slide(levels[q], terms, blocks[j, q * n : (q + 1) * n])
        else:
            blocks[j] = 0
        _add(head[:used], blocks[j, :used])
        # blocks[j + 1] still holds the previous block's tail: its rows j + 1 to the end
        tail = nothing if j == rows - 1 else blocks[j + 1]
        y = t - half_y
        if y >= 0:
            _ratio(head, tail, n, out[y, x0:x1])
            inside_y = min(t, height - 1) - max(y - half_y, 0) + 1
            _blank(head[4 * n :], tail[4 * n :], x0, half_x, inside_y, min_valid, masked, out[y])
        if j == rows - 1:
            for k in range(rows - 2, -1, -1):
                _add(blocks[k, :used], blocks[k + 1, :used])


@njit(nogil=True, cache=True)
def _count_rows_before(
    t: int, j: int, rows: int, left: int, width: int, levels: Any, terms: Any, blocks: Any, head: Any
) -> None:
    """Fill the counts of valid pixels as they would be at row t, had they been kept: all pixels so far are valid.

    Row t is row j of its block; blocks hold the rows of this one before j, and the sums to the end of the one before.
    """
    levels[0] = 0
    levels[0, max(-left, 0) : width - left] = 1
    line, nothing = np.empty_like(head), np.zeros_like(head)
    _slide(levels, terms, line)
    head[:] = np.float32(min(j, t)) * line
    for k in range(rows):
        if k < j:
            blocks[k] = line if t - j + k >= 0 else nothing
        else:
            blocks[k] = np.float32(max(rows - max(k, j + rows - t), 0)) * line


@njit(nogil=True, cache=True)
def _add(total: Any, values: Any) -> None:
    for i in range(total.size):
        total[i] += values[i]


@njit(nogil=True, cache=True, error_model="numpy")
def _products(a: Any, b: Any, y: int, x0: int, x1: int, masked: bool, sums: Any) -> bool:
    """Fill one row of products, 0 outside the scene; tell whether all its pixels are valid."""
    width = a.shape[1] // 2
    start, stop = max(x0, 0), min(x1, width)
    first, last = start - x0, stop - x0
    sums[:, 0, :first] = 0
    sums[:, 0, last:] = 0
    one, two = a[y, 2 * start : 2 * stop], b[y, 2 * start : 2 * stop]
    re, im = sums[0, 0, first:last], sums[1, 0, first:last]
    power_a, power_b = sums[2, 0, first:last], sums[3, 0, first:last]
    _multiply(one, two, re, im, power_a, power_b)
    if masked:
        _mask(re, im, power_a, power_b, sums[4, 0, first:last])
        return False
    return _all_finite(power_a.view(np.int32)) and _all_finite(power_b.view(np.int32))


@njit(nogil=True, cache=True)
def _all_finite(bits: Any) -> bool:
    # In whole numbers: a maximum of floats is not vectorised. The exponents of NaN and infinity are all ones.
    worst, magnitude = np.int32(0), np.int32(0x7FFFFFFF)
    for i in range(bits.size):
        value = np.int32(bits[i] & magnitude)
        worst = value if value > worst else worst
    return bool(worst < np.int32(0x7F800000))


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
def _slide(levels: Any, terms: Any, out: Any) -> None:
    """Sum levels[0] over the window from each pixel on; the further levels, sums over 4, 16 ... pixels, are filled."""
    length, size = levels.shape[1], 1
    for k in range(1, levels.shape[0]):
        below = levels[k - 1]
        length -= 3 * size
        _sum_of_four(
            below[:length],
            below[size : size + length],
            below[2 * size : 2 * size + length],
            below[3 * size : 3 * size + length],
            levels[k, :length],
        )
        size *= 4
    n, count = out.size, terms.shape[0]
    first = levels[terms[0, 0], terms[0, 1] : terms[0, 1] + n]
    if count == 1:
        out[:] = first
        return
    second = levels[terms[1, 0], terms[1, 1] : terms[1, 1] + n]
    if count == 2:
        _sum_of_two(first, second, out)
        return
    third = levels[terms[2, 0], terms[2, 1] : terms[2, 1] + n]
    if count == 3:
        _sum_of_three(first, second, third, out)
        return
    _sum_of_four(first, second, third, levels[terms[3, 0], terms[3, 1] : terms[3, 1] + n], out)
    for k in range(4, count):
        _add(out, levels[terms[k, 0], terms[k, 1] : terms[k, 1] + n])


@njit(nogil=True, cache=True)
def _sum_of_two(a: Any, b: Any, out: Any) -> None:
    for i in range(out.size):
        out[i] = a[i] + b[i]


@njit(nogil=True, cache=True)
def _sum_of_three(a: Any, b: Any, c: Any, out: Any) -> None:
    for i in range(out.size):
        out[i] = a[i] + b[i] + c[i]


@njit(nogil=True, cache=True)
def _sum_of_four(a: Any, b: Any, c: Any, d: Any, out: Any) -> None:
    for i in range(out.size):
        out[i] = (a[i] + b[i]) + (c[i] + d[i])


@njit(nogil=True, cache=True)
def _ratio(head: Any, tail: Any, n: int, out: Any) -> None:
    _divide(
        head[:n], head[n : 2 * n], head[2 * n : 3 * n], head[3 * n : 4 * n],
        tail[:n], tail[n : 2 * n], tail[2 * n : 3 * n], tail[3 * n : 4 * n],
        out,
    )  # fmt: skip


@njit(nogil=True, cache=True, error_model="numpy")
def _divide(re: Any, im: Any, pa: Any, pb: Any, re_: Any, im_: Any, pa_: Any, pb_: Any, out: Any) -> None:
    """Coherence of head + tail; NaN (0 times infinity) where either image has no power."""
    one = np.float32(1)
    for i in range(out.size):
        # each power for itself: their product would leave float32's range
        a, b = one / (pa[i] + pa_[i]), one / (pb[i] + pb_[i])
        u, v = re[i] + re_[i], im[i] + im_[i]
        g = np.sqrt((u * a) * (u * b) + (v * a) * (v * b))
        out[i] = one if g > one else g


@njit(nogil=True, cache=True)
def _blank(head: Any, tail: Any, x0: int, half_x: int, inside_y: int, min_valid: float, masked: bool, row: Any) -> None:
    """Put NaN where too few pixels of the window are valid, of those inside the scene."""
    nan, width = np.float32(np.nan), row.size
    if not masked and inside_y > 1:
        return
    for i in range(head.size):
        x = x0 + i
        inside = inside_y * (min(x + half_x, width - 1) - max(x - half_x, 0) + 1)
        valid = head[i] + tail[i] if masked else np.float32(inside)
        if valid < 2 or valid < min_valid * inside:
            row[x] = nan
