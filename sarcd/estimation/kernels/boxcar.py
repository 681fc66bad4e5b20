"""Coherence of two complex images over a sliding rectangular window.

This is one file although it is long: numba's cache looks for changes in the file of a compiled function alone, and the
steps are inlined into the loop over rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sarcd.engine.framed import Framed

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
    return boxcar_framed(Framed(before), Framed(after), window, min_valid, first_row)


def boxcar_framed(
    before: Framed, after: Framed, window: tuple[int, int], min_valid: float = 0.5, first_row: int = 0
) -> np.ndarray:
    """Magnitude of the sample coherence around every pixel of a part of two images, of what lies around it too.

    Parameters
    ----------
    before, after : Framed
        A part (Y, X) complex64 of both images, framed alike: by half a window, or less where the images end.
    window, min_valid
        As of `boxcar`.
    first_row : int
        Row of the whole scene at which the frame begins.

    Returns
    -------
    (Y, X) float32
        What `boxcar` has there over the whole images, to the byte.

    Notes
    -----
    Everything is read where it lies. Images of memory come in rows that do not follow upon one another, and frames in
    pieces: copied together first, they would take longer than the estimate.

    Examples
    --------
    >>> z = np.exp(1j * np.arange(12, dtype="float32")).reshape(3, 4).astype("complex64")
    >>> framed = Framed(z[:, :2], right=z[:, 2:3])
    >>> boxcar_framed(framed, framed, (3, 3)).shape
    (3, 2)
    """
    out = np.empty(before.centre.shape, np.float32)
    if out.size == 0:
        return out
    first, second = _floats_of(before), _floats_of(after)
    lengths, phase = before.lengths, first_row % window[0]
    strip = max(64, min(_LARGEST_STRIP, _BUFFER_BYTES // (window[0] * 5 * 4)))
    left, width = lengths[3], lengths[4]
    step = -(-width // max(1, round(width / strip)))  # equal strips: a chunk with its halo shall not end in a sliver
    terms = _terms(window[1])
    for x0 in range(left, left + width, step):
        x1 = min(x0 + step, left + width)
        _strip(first, second, lengths, x0, x1, window[0], window[1], phase, terms, min_valid, out)
    return out


_Floats = tuple[tuple[np.ndarray, ...], tuple[int, ...]]


def _floats_of(image: Framed) -> _Floats:
    """Return the pieces of an image as float32, re im re im ..., and how many lie from one row of each to the next."""
    pieces = [_as_floats(piece) for piece in image.pieces()]
    return tuple(floats for floats, _ in pieces), tuple(step for _, step in pieces)


def _as_floats(image: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the memory from the first to the last float of an image, and the floats from one row to the next.

    A row is a slice of it, which the compiler makes vector instructions of. Only what is not complex64, with the pixels
    of a row side by side, is copied.
    """
    if image.size == 0:
        return _NOTHING, 0
    height, width = image.shape
    stride, across = image.strides
    in_rows = across == 8 and stride % 8 == 0 and stride >= 8 * width and image.flags.aligned
    if image.flags.c_contiguous or image.dtype != np.complex64 or not in_rows:
        flat = np.ascontiguousarray(image, dtype=np.complex64).reshape(-1)
        stride = 8 * width
    else:
        flat = np.lib.stride_tricks.as_strided(image, ((height - 1) * (stride // 8) + width,), (8,))
    floats = flat.view(np.float32)
    floats.flags.writeable = False
    return floats, stride // 4


_NOTHING = np.empty(0, np.float32)
_NOTHING.flags.writeable = False


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
    a: _Floats,
    b: _Floats,
    lengths: tuple[int, ...],
    x0: int,
    x1: int,
    rows: int,
    columns: int,
    phase: int,
    terms: Any,
    min_valid: float,
    out: Any,
) -> None:
    """Fill the columns x0 to x1 of the result, row by row; output row y sums the rows y - half_y to y + half_y.

    Rows and columns are counted from the beginning of the frame, whose `lengths` are those of `Framed`. Rows are added
    up in blocks of `rows`; row 0 is row `phase` of its block.
    """
    top, left_of_all = lengths[0], lengths[3]
    bottom, height = top + lengths[1], top + lengths[1] + lengths[2]
    width = left_of_all + lengths[4] + lengths[5]
    half_y, half_x, n = rows // 2, columns // 2, x1 - x0
    left, right = x0 - half_x, x1 + half_x
    # re and im of z1 conj(z2), both powers, and 1 where valid: the last only from the first invalid pixel on. A line
    # holds one after the other, m values each (whole cache lines), so that one loop sums them all; the last m - n sums
    # of each mean nothing.
    m = (right - left + 15) // 16 * 16
    masked, used = False, 4 * m
    levels = np.zeros((terms[-1, 0] + 1, 5 * m), np.float32)
    blocks = np.zeros((rows, 5 * m), np.float32)
    head, nothing = np.zeros(5 * m, np.float32), np.zeros(5 * m, np.float32)
    for t in range(bottom + half_y):
        j = (t + phase) % rows
        if j == 0:
            head[:] = 0
        if t < height:
            clean = _products(a, b, lengths, t, left, right, m, masked, levels[0])
            if not clean and not masked:
                masked, used = True, 5 * m
                _count_rows_before(t, j, rows, left, width, m, terms, blocks[:, 4 * m : 4 * m + n], head[4 * m :][:n])
                _products(a, b, lengths, t, left, right, m, masked, levels[0])
            _slide(levels, used, terms, blocks[j, : used - (m - n)])
        else:
            blocks[j] = 0
        _add(head[:used], blocks[j, :used])
        # blocks[j + 1] still holds the previous block's tail: its rows j + 1 to the end
        tail = nothing if j == rows - 1 else blocks[j + 1]
        y = t - half_y
        if y >= top:
            row = out[y - top, x0 - left_of_all : x1 - left_of_all]
            _ratio(head, tail, m, row)
            inside_y = min(t, height - 1) - max(y - half_y, 0) + 1
            _blank(head[4 * m :][:n], tail[4 * m :][:n], x0, width, half_x, inside_y, min_valid, masked, row)
        if j == rows - 1:
            for k in range(rows - 2, -1, -1):
                _add(blocks[k, :used], blocks[k + 1, :used])


@njit(nogil=True, cache=True)
def _count_rows_before(
    t: int, j: int, rows: int, left: int, width: int, m: int, terms: Any, blocks: Any, head: Any
) -> None:
    """Fill the counts of valid pixels as they would be at row t, had they been kept: all pixels so far are valid.

    Row t is row j of its block; blocks hold the rows of this one before j, and the sums to the end of the one before.
    """
    levels = np.zeros((terms[-1, 0] + 1, m), np.float32)
    levels[0, max(-left, 0) : width - left] = 1
    line, nothing = np.empty_like(head), np.zeros_like(head)
    _slide(levels, m, terms, line)
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
def _products(
    a: _Floats, b: _Floats, lengths: tuple[int, ...], y: int, x0: int, x1: int, m: int, masked: bool, sums: Any
) -> bool:
    """Fill one row of products, 0 outside the scene; tell whether all its pixels are valid."""
    above_a, below_a, left_a, centre_a, right_a = a[0]
    above_b, below_b, left_b, centre_b, right_b = b[0]
    top, bottom, left, right = lengths[0], lengths[0] + lengths[1], lengths[3], lengths[3] + lengths[4]
    width = right + lengths[5]
    start, stop = max(x0, 0), min(x1, width)
    first, last = start - x0, stop - x0
    for q in range(5):
        sums[q * m : q * m + first] = 0
        sums[q * m + last : (q + 1) * m] = 0
    if y < top:
        _piece(above_a[y * a[1][0] :], above_b[y * b[1][0] :], 0, x0, m, start, stop, sums)
    elif y >= bottom:
        t = y - bottom
        _piece(below_a[t * a[1][1] :], below_b[t * b[1][1] :], 0, x0, m, start, stop, sums)
    else:
        t = y - top
        if start < left:
            _piece(left_a[t * a[1][2] :], left_b[t * b[1][2] :], 0, x0, m, start, min(stop, left), sums)
        _piece(centre_a[t * a[1][3] :], centre_b[t * b[1][3] :], left, x0, m, max(start, left), min(stop, right), sums)
        if stop > right:
            _piece(right_a[t * a[1][4] :], right_b[t * b[1][4] :], right, x0, m, max(start, right), stop, sums)
    if masked:
        _mask(
            sums[first:last],
            sums[m + first : m + last],
            sums[2 * m + first : 2 * m + last],
            sums[3 * m + first : 3 * m + last],
            sums[4 * m + first : 4 * m + last],
        )
        return False
    return _all_finite(sums[2 * m : 4 * m].view(np.int32))


@njit(nogil=True, cache=True)
def _piece(a: Any, b: Any, begin: int, x0: int, m: int, start: int, stop: int, sums: Any) -> None:
    """Fill the products of the columns start to stop of a row of a piece, which begins at column `begin`."""
    _multiply(
        a[2 * (start - begin) : 2 * (stop - begin)],
        b[2 * (start - begin) : 2 * (stop - begin)],
        sums[start - x0 : stop - x0],
        sums[m + start - x0 : m + stop - x0],
        sums[2 * m + start - x0 : 2 * m + stop - x0],
        sums[3 * m + start - x0 : 3 * m + stop - x0],
    )


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
def _slide(levels: Any, length: int, terms: Any, out: Any) -> None:
    """Sum levels[0, :length] over the window from each pixel on.

    The further levels, sums over 4, 16 ... pixels, are filled.
    """
    size = 1
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
def _ratio(head: Any, tail: Any, m: int, out: Any) -> None:
    n = out.size
    _divide(
        head[:n], head[m : m + n], head[2 * m : 2 * m + n], head[3 * m : 3 * m + n],
        tail[:n], tail[m : m + n], tail[2 * m : 2 * m + n], tail[3 * m : 3 * m + n],
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
def _blank(
    head: Any,
    tail: Any,
    x0: int,
    width: int,
    half_x: int,
    inside_y: int,
    min_valid: float,
    masked: bool,
    row: Any,
) -> None:
    """Put NaN where too few pixels of the window are valid, of those inside the scene."""
    nan = np.float32(np.nan)
    if not masked and inside_y > 1:
        return
    for i in range(head.size):
        x = x0 + i
        inside = inside_y * (min(x + half_x, width - 1) - max(x - half_x, 0) + 1)
        valid = head[i] + tail[i] if masked else np.float32(inside)
        if valid < 2 or valid < min_valid * inside:
            row[i] = nan
