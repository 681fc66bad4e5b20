"""Fringe frequencies of an interferogram: of the whole, and of the window around each pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from scipy.ndimage import maximum_filter, uniform_filter

from sarcd.estimation.kernels.weighted import as_complex64, products

SIGNIFICANT = 2.5
"""Standard errors by which a local frequency must differ from the ramp to be significant."""

_ONE = 2**14  # fixed point of unit phasors: integer sums are exact, so running sums do not depend on the chunking


def phase_steps(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Add the phase steps of the interferogram from pixel to pixel.

    Parameters
    ----------
    before, after : (Y, X) complex64
        Coregistered single-look complex images; pixels that are not finite in either are ignored.

    Returns
    -------
    (2, 4) float64
        Along y and x: re and im of the sum of ``p = u(x + 1) conj(u(x))``, u the interferogram of unit magnitude, the
        sum of Re(p^2), and the number of terms; all but the last in units of 2^-14. Sums of several images can be
        added; see `frequency`.

    Examples
    --------
    >>> ramp = np.exp(-0.5j * np.arange(8)) * np.ones((8, 1))
    >>> steps = phase_steps(np.ones((8, 8), "complex64"), ramp.astype("complex64"))
    >>> [round(frequency(axis), 3) for axis in steps]
    [0.0, 0.5]
    """
    out = np.zeros((2, 4))
    image = np.empty((5, *before.shape), np.float32)
    products(as_complex64(before), as_complex64(after), 0, 0, image)
    units = np.empty((3, *before.shape), np.float32)
    unit_phasors(image[0], image[1], units)
    for axis in range(2):
        steps = np.zeros((4, *before.shape), np.int32)
        _steps(units, axis, 0.0, steps)
        out[axis] = steps.sum((1, 2), dtype=np.int64)
    return out


def frequency(steps: np.ndarray) -> float:
    """Return the mean frequency along an axis, in radians per pixel; 0 where it is not significant.

    Parameters
    ----------
    steps : (4,) float64
        A row of the result of `phase_steps`.
    """
    out = np.empty(1)
    re, im, square_re, count = (np.array([value], float) for value in steps)
    _angles(re, im, square_re, count, 0.0, SIGNIFICANT**2, out)
    return float(out[0])


TILE = 64
"""Side in pixels of the tiles of an interferogram whose spectra are added."""

_PADDED = 2 * TILE
_NEAR = 0.2  # radians per pixel: smaller frequencies hide in the lobe at 0, and cost a window little


def spectrum(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, int]:
    """Add the power spectra of the tiles of the interferogram, over all frequencies in it.

    Parameters
    ----------
    before, after : (Y, X) complex64
        Coregistered single-look complex images; pixels that are not finite in either are ignored.

    Returns
    -------
    (128, 128) float64
        Power by frequency along y and x, `numpy.fft.fftfreq` radians per pixel over 2 pi; of `before * conj(after)` at
        unit magnitude, weighted by a Hann window. Those of several images can be added; see `prominent`.
    int
        Number of tiles.

    Examples
    --------
    >>> ramp = np.exp(-0.5j * np.arange(64)) * np.ones((64, 1))
    >>> power, tiles = spectrum(np.ones((64, 64), "complex64"), ramp.astype("complex64"))
    >>> tuple(round(axis, 2) for axis in prominent(power, tiles))
    (0.0, 0.5)
    """
    both = before.astype(np.complex128) * after.conj()
    size = np.abs(both)
    units = np.where(np.isfinite(size) & (size > 0), both, 0) / np.where(np.isfinite(size) & (size > 0), size, 1)
    power, tiles = np.zeros((_PADDED, _PADDED)), 0
    for y in range(0, max(units.shape[0] - TILE, 0) + 1, TILE):
        for x in range(0, max(units.shape[1] - TILE, 0) + 1, TILE):
            tile = units[y : y + TILE, x : x + TILE]
            weights = np.outer(*(np.hanning(side + 2)[1:-1] for side in tile.shape))
            power += np.abs(np.fft.fft2(tile * weights, (_PADDED, _PADDED))) ** 2
            tiles += 1
    return power, tiles


def prominent(power: np.ndarray, tiles: int) -> tuple[float, float] | None:
    """Return the frequency (y, x) of the highest peak of a spectrum apart from that at 0, in radians per pixel.

    Parameters
    ----------
    power : (128, 128) float64
        From `spectrum`.
    tiles : int
        Number of tiles in it.

    Returns
    -------
    (float, float) or None
        None where no peak exceeds its surroundings by more than noise does.
    """
    frequencies = 2 * np.pi * np.fft.fftfreq(_PADDED)
    far = np.maximum(*np.abs(np.meshgrid(frequencies, frequencies, indexing="ij"))) > _NEAR
    around = uniform_filter(power, 33, mode="wrap")
    peak = (power >= maximum_filter(power, 5, mode="wrap")) & (power > (1 + 16 / np.sqrt(tiles)) * around) & far
    if not peak.any():
        return None
    row, column = np.unravel_index(int(np.argmax(np.where(peak, power, 0))), power.shape)
    beside, step = np.arange(-1, 2), 2 * np.pi / _PADDED
    along_y = np.log(np.maximum(np.take(power[:, column], row + beside, mode="wrap"), 1e-300))
    along_x = np.log(np.maximum(np.take(power[row], column + beside, mode="wrap"), 1e-300))
    return float(frequencies[row] + step * _vertex(along_y)), float(frequencies[column] + step * _vertex(along_x))


def _vertex(values: np.ndarray) -> float:
    """Return the position of the vertex of the parabola through three adjacent values, the second the largest."""
    curve = values[0] - 2 * values[1] + values[2]
    return float(0.5 * (values[0] - values[2]) / curve) if curve < 0 else 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def unit_phasors(re: Any, im: Any, out: Any) -> None:
    """Fill re, im of the interferogram at unit magnitude, and 1; all 0 where it is 0, as at invalid pixels."""
    zero, one = np.float32(0), np.float32(1)
    for y in range(re.shape[0]):
        r, i, u, v, known = re[y], im[y], out[0, y], out[1, y], out[2, y]
        for x in range(r.size):
            real, imaginary = np.float64(r[x]), np.float64(i[x])  # to keep the squares in range
            magnitude = np.sqrt(real * real + imaginary * imaginary)
            some = magnitude > 0
            u[x] = np.float32(real / magnitude) if some else zero
            v[x] = np.float32(imaginary / magnitude) if some else zero
            known[x] = one if some else zero


@njit(nogil=True, cache=True)
def _steps(units: Any, axis: int, ramp: float, out: Any) -> None:
    """Fill re, im of the phase step p from each pixel to the next minus the ramp, re of p^2, and 1, in fixed point.

    All are 0 where either pixel is invalid, and in the last row or column.
    """
    step_y, step_x = 1 - axis, axis
    height, width = units.shape[1] - step_y, units.shape[2] - step_x
    cosine, sine = np.float32(np.cos(ramp)), np.float32(np.sin(ramp))
    for y in range(height):
        t = y + step_y
        here_re, here_im, known = units[0, y, :width], units[1, y, :width], units[2, y, :width]
        there_re, there_im, known_too = units[0, t, step_x:], units[1, t, step_x:], units[2, t, step_x:]
        _step(here_re, here_im, there_re, there_im, cosine, sine, out[0, y, :width], out[1, y, :width])
        _square(out[0, y, :width], out[1, y, :width], out[2, y, :width])
        _both(known, known_too, out[3, y, :width])


@njit(nogil=True, cache=True)
def _step(u: Any, v: Any, s: Any, t: Any, cosine: Any, sine: Any, re: Any, im: Any) -> None:
    one = np.float32(_ONE)
    for x in range(re.size):
        c, d = s[x] * u[x] + t[x] * v[x], t[x] * u[x] - s[x] * v[x]
        re[x] = np.int32((c * cosine + d * sine) * one)
        im[x] = np.int32((d * cosine - c * sine) * one)


@njit(nogil=True, cache=True)
def _square(re: Any, im: Any, square_re: Any) -> None:
    for x in range(re.size):
        square_re[x] = (re[x] * re[x] - im[x] * im[x]) // _ONE


@njit(nogil=True, cache=True)
def _both(known: Any, known_too: Any, out: Any) -> None:
    for x in range(out.size):
        out[x] = np.int32(known[x] * known_too[x])


@njit(nogil=True, cache=True, error_model="numpy")
def local_frequencies(
    units: Any, axis: int, half_y: int, half_x: int, ramp: float, significant: float, out: Any
) -> None:
    """Fill the frequency along an axis at every pixel; `units` extends half a window beyond `out` on each side."""
    height, width = out.shape
    steps = np.zeros((4, units.shape[1], units.shape[2]), np.int32)
    _steps(units, axis, ramp, steps)
    # number of steps within the window: one less than pixels along the axis
    rows, columns = 2 * half_y + axis, 2 * half_x + 1 - axis
    column = np.zeros((4, units.shape[2]), np.int32)  # enough for 2^17 rows
    sums = np.empty((4, width))
    for t in range(rows - 1):
        for q in range(4):
            _add(steps[q, t], column[q])
    for y in range(height):
        for q in range(4):
            _add(steps[q, y + rows - 1], column[q])
            _running_sum(column[q], columns, sums[q])
            _subtract(steps[q, y], column[q])
        _angles(sums[0], sums[1], sums[2], sums[3], ramp, significant, out[y])


@njit(nogil=True, cache=True)
def _add(values: Any, total: Any) -> None:
    for i in range(total.size):
        total[i] += values[i]


@njit(nogil=True, cache=True)
def _subtract(values: Any, total: Any) -> None:
    for i in range(total.size):
        total[i] -= values[i]


@njit(nogil=True, cache=True)
def _running_sum(values: Any, length: int, out: Any) -> None:
    total = 0
    for i in range(length - 1):
        total += values[i]
    for i in range(out.size):
        total += values[i + length - 1]
        out[i] = total
        total -= values[i]


@njit(nogil=True, cache=True)
def _angles(re: Any, im: Any, square_re: Any, count: Any, ramp: float, significant: float, out: Any) -> None:
    for x in range(out.size):  # a vectorised loop before one with rare and slow calls
        out[x] = _excess(re[x], im[x], square_re[x], count[x], significant)
    for x in range(out.size):
        out[x] = ramp + (np.arctan2(im[x], re[x]) if out[x] > 0 else 0.0)


@njit(nogil=True, cache=True)
def _excess(re: float, im: float, square_re: float, count: float, significant: float) -> float:
    """Return by how much the square of a sum of phasors p exceeds that expected by chance; significant if above 0.

    The distance of the sum from the positive real axis is compared with sum Im(p)^2 and one further term, since a few
    terms may agree by chance. `re`, `im` and `square_re` are in fixed point.
    """
    beside = im * im + (re * re if re < 0 else 0.0)
    spread = (count - square_re * (1 / _ONE)) * 0.5 + 1
    return beside - significant * spread * (_ONE * _ONE)
