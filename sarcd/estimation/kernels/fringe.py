"""Complex coherence with the local fringe frequency removed before averaging."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sarcd.config import FREQUENCY_WINDOW
from sarcd.estimation.kernels.frequencies import SIGNIFICANT, local_frequencies, unit_phasors
from sarcd.estimation.kernels.weighted import add_weighted, blank, in_strips, normalise, products


def fringe(
    before: np.ndarray,
    after: np.ndarray,
    window: tuple[int, int],
    ramp: tuple[float, float] = (0.0, 0.0),
    min_valid: float = 0.5,
) -> np.ndarray:
    """Estimate the complex coherence over a window from which the local fringe frequency has been removed.

    Parameters
    ----------
    before, after : (Y, X) complex64
        Coregistered single-look complex images, linear; pixels that are not finite in either are ignored.
    window : (int, int)
        Odd size of the window along y and x, in pixels.
    ramp : (float, float)
        Fringe frequency along y and x, in radians per pixel, of the whole image or of a part of it; it is removed where
        it is found. See `sarcd.estimation.looks.measure_ramp`.
    min_valid : float
        Minimum fraction of valid pixels, of those of the window within the image.

    Returns
    -------
    (Y, X) complex64
        Magnitude in [0, 1] up to rounding. The phase is that of ``before * conj(after)`` at the centre of the window,
        which still contains the fringes. NaN as in `sarcd.estimation.kernels.boxcar.boxcar`.

    Notes
    -----
    With u the interferogram of unit magnitude, the frequency along x is ``ramp + arg A``, A the sum of
    ``p = u(x + 1) conj(u(x)) exp(-j ramp)`` over a window `FREQUENCY_WINDOW` times as large [1]_; unit magnitude keeps
    bright targets from dominating it. Without a fringe other than the ramp, Im(A) would have the variance
    ``sum Im(p)^2``: where it is less than `SIGNIFICANT` standard errors from 0 (for Re(A) < 0: where A is), only the
    ramp is removed, since noise in the frequency would cost more coherence than the fringe does. Frequencies are
    computed in float64.

    A ramp applies at a place only if u, summed over the eight windows around the central one, is larger without it
    than with it; otherwise the same is done with a ramp of 0. The central window itself is not used, so that the choice
    does not raise the coherence of incoherent ground, as the larger of two estimates would.

    References
    ----------
    .. [1] The lag-one autocorrelation of Madsen 1989, IEEE Trans. Aerosp. Electron. Syst. 25(2), 134-140; on the
       effect of fringes on coherence: Zebker and Chen 2005, IEEE Geosci. Remote Sens. Lett. 2(2), 124-127.

    Examples
    --------
    >>> ramp = np.exp(0.9j * np.arange(40)) * np.ones((40, 1))
    >>> found = np.abs(fringe(np.ones((40, 40), "complex64"), ramp.astype("complex64"), (5, 5)))
    >>> found.min().round(3)
    np.float32(1.0)
    """
    out = np.empty(before.shape, np.complex64)

    def strip(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray]:
        part = np.empty(first.shape, np.complex64)
        _fringe(first, second, window[0], window[1], ramp[0], ramp[1], SIGNIFICANT**2, min_valid, part)
        return (part,)

    in_strips(strip, before, after, FREQUENCY_WINDOW * window[0] // 2, (out,))
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def _fringe(
    a: Any,
    b: Any,
    rows: int,
    columns: int,
    ramp_y: float,
    ramp_x: float,
    significant: float,
    min_valid: float,
    out: Any,
) -> None:
    height, width = out.shape
    half_y, half_x = rows // 2, columns // 2
    wide_y, wide_x = FREQUENCY_WINDOW * rows // 2, FREQUENCY_WINDOW * columns // 2
    image = np.empty((5, height + 2 * wide_y, width + 2 * wide_x), np.float32)
    products(a, b, wide_y, wide_x, image)
    along_y, along_x = np.empty((height, width)), np.empty((height, width))
    units = np.empty((3, image.shape[1], image.shape[2]), np.float32)
    unit_phasors(image[0], image[1], units)
    local_frequencies(units, 0, wide_y, wide_x, ramp_y, significant, along_y)
    local_frequencies(units, 1, wide_y, wide_x, ramp_x, significant, along_x)
    if ramp_y != 0 or ramp_x != 0:
        _where_none(units, rows, columns, ramp_y, ramp_x, significant, along_y, along_x)
    column = np.empty(width + 2 * half_x, np.float32)
    sums = np.empty((5, width), np.float32)
    turn_y = np.empty((2, rows, width), np.float32)
    turn_x = np.empty((2, columns, width), np.float32)
    line = np.empty((2, width), np.float32)
    one = np.float32(1)
    left = wide_x - half_x
    for y in range(height):
        top = y + wide_y - half_y
        for q in range(2, 5):
            column[:] = 0
            for j in range(rows):
                add_weighted(one, image[q, top + j, left : left + column.size], column)
            sums[q] = 0
            for i in range(columns):
                add_weighted(one, column[i : i + width], sums[q])
        _phasors(along_y[y], ramp_y, turn_y)
        _phasors(along_x[y], ramp_x, turn_x)
        sums[:2] = 0
        for j in range(rows):
            line[:] = 0
            for i in range(columns):
                _add_turned(
                    image[0, top + j, left + i : left + i + width],
                    image[1, top + j, left + i : left + i + width],
                    turn_x[0, i],
                    turn_x[1, i],
                    line[0],
                    line[1],
                )
            _add_turned(line[0], line[1], turn_y[0, j], turn_y[1, j], sums[0], sums[1])
        normalise(sums[0], sums[1], sums[2], sums[3], out[y])
        blank(sums[4], sums[4], y, half_y, half_x, min_valid, out)


@njit(nogil=True, cache=True, error_model="numpy")
def _where_none(
    units: Any, rows: int, columns: int, ramp_y: float, ramp_x: float, significant: float, along_y: Any, along_x: Any
) -> None:
    """Replace frequencies by those without a ramp where the surrounding windows do not contain the ramp."""
    height, width = along_y.shape
    wide_y, wide_x = FREQUENCY_WINDOW * rows // 2, FREQUENCY_WINDOW * columns // 2
    with_ramp, without = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    _around(units, rows, columns, ramp_y, ramp_x, with_ramp)
    _around(units, rows, columns, 0.0, 0.0, without)
    still_y, still_x = np.empty((height, width)), np.empty((height, width))
    local_frequencies(units, 0, wide_y, wide_x, 0.0, significant, still_y)
    local_frequencies(units, 1, wide_y, wide_x, 0.0, significant, still_x)
    for y in range(height):
        for x in range(width):
            if without[y, x] >= with_ramp[y, x]:
                along_y[y, x], along_x[y, x] = still_y[y, x], still_x[y, x]


@njit(nogil=True, cache=True, error_model="numpy")
def _around(units: Any, rows: int, columns: int, ramp_y: float, ramp_x: float, out: Any) -> None:
    """Fill the square of the sum of unit phasors, minus a ramp, over the eight windows around each pixel's own."""
    height, width = out.shape
    # sums over one window, wherever a window fits into the padded image
    lines = np.zeros((2, units.shape[1], units.shape[2] - columns + 1), np.float32)
    sums = np.zeros((2, units.shape[1] - rows + 1, lines.shape[2]), np.float32)
    for i in range(columns):
        cosine, sine = np.float32(np.cos(ramp_x * (i - columns // 2))), np.float32(np.sin(ramp_x * (i - columns // 2)))
        for y in range(lines.shape[1]):
            part = units[:, y, i : i + lines.shape[2]]
            _add_turned_by(part[0], part[1], cosine, sine, lines[0, y], lines[1, y])
    for j in range(rows):
        cosine, sine = np.float32(np.cos(ramp_y * (j - rows // 2))), np.float32(np.sin(ramp_y * (j - rows // 2)))
        for y in range(sums.shape[1]):
            _add_turned_by(lines[0, y + j], lines[1, y + j], cosine, sine, sums[0, y], sums[1, y])
    total = np.empty((2, width), np.float32)
    # as far as the window in which frequencies are estimated, which is 3 times as large
    for y in range(height):
        total[:] = 0
        for j in range(3):
            for i in range(3):
                if i == 1 and j == 1:
                    continue
                turn = ramp_y * rows * (j - 1) + ramp_x * columns * (i - 1)
                cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
                part = sums[:, y + j * rows, i * columns : i * columns + width]
                _add_turned_by(part[0], part[1], cosine, sine, total[0], total[1])
        for x in range(width):
            out[y, x] = total[0, x] * total[0, x] + total[1, x] * total[1, x]


@njit(nogil=True, cache=True)
def _add_turned_by(re: Any, im: Any, cosine: Any, sine: Any, total_re: Any, total_im: Any) -> None:
    """Add (re + j im) (cosine - j sine) with the same phasor for all."""
    for i in range(total_re.size):
        total_re[i] += re[i] * cosine + im[i] * sine
        total_im[i] += im[i] * cosine - re[i] * sine


@njit(nogil=True, cache=True)
def _add_turned(re: Any, im: Any, cosine: Any, sine: Any, total_re: Any, total_im: Any) -> None:
    """Add (re + j im) (cosine - j sine)."""
    for i in range(total_re.size):
        total_re[i] += re[i] * cosine[i] + im[i] * sine[i]
        total_im[i] += im[i] * cosine[i] - re[i] * sine[i]


@njit(nogil=True, cache=True)
def _phasors(frequency: Any, ramp: float, out: Any) -> None:
    """Fill cos and sin of frequency * (k - half) for k < out.shape[1], by rotating step by step from the centre."""
    half = out.shape[1] // 2
    cosine, sine = out[0, half], out[1, half]  # of one step, until they are set to 1 and 0 below
    common = np.cos(ramp), np.sin(ramp)
    for x in range(frequency.size):
        same, none = frequency[x] == ramp, frequency[x] == 0
        cosine[x] = common[0] if same else 1.0 if none else np.cos(frequency[x])
        sine[x] = common[1] if same else 0.0 if none else np.sin(frequency[x])
    if half > 0:
        _turn(cosine, sine, out)
    cosine[:] = 1
    sine[:] = 0


@njit(nogil=True, cache=True)
def _turn(cosine: Any, sine: Any, out: Any) -> None:
    half = out.shape[1] // 2
    out[0, half + 1], out[1, half + 1] = cosine, sine
    out[0, half - 1], out[1, half - 1] = cosine, -sine
    for k in range(2, half + 1):
        last_re, last_im = out[0, half + k - 1], out[1, half + k - 1]
        re, im, mirrored_re, mirrored_im = out[0, half + k], out[1, half + k], out[0, half - k], out[1, half - k]
        for x in range(cosine.size):
            u = last_re[x] * cosine[x] - last_im[x] * sine[x]
            v = last_im[x] * cosine[x] + last_re[x] * sine[x]
            re[x] = u
            im[x] = v
            mirrored_re[x] = u
            mirrored_im[x] = -v
