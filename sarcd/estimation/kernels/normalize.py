"""Robust normalisation of amplitudes, and exact medians out of core from histograms of float32 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

SCALE = 0.6745
"""Median absolute deviation of a standard normal distribution, which turns MADs into z-scores (Eq. 3)."""

SATURATION = 3.0
"""W of Eq. 4: the z-score beyond which tanh saturates."""


def modified_tanh(amplitude: np.ndarray, median: float, mad: float) -> np.ndarray:
    """Map amplitudes to (0, 1) by a modified z-score and a hyperbolic tangent.

    Parameters
    ----------
    amplitude : ndarray of float32 or complex64
        Linear amplitude; of complex values the magnitude is used.
    median, mad : float
        Median and median absolute deviation of the amplitude over the scene, linear; `mad` above 0.

    Returns
    -------
    ndarray of float32
        In [0, 1], 0.5 at the median; NaN where NaN.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, Eq. 3 and 4.

    Examples
    --------
    >>> modified_tanh(np.array([[2.0, 2 + 3 / 0.6745]], "float32"), median=2.0, mad=1.0).round(3)
    array([[0.5  , 0.881]], dtype=float32)
    """
    magnitude = np.abs(amplitude) if np.iscomplexobj(amplitude) else np.asarray(amplitude, np.float32)
    out = np.empty(magnitude.shape, np.float32)
    _scale(magnitude.ravel(), median, SCALE / (mad * SATURATION), out.ravel())
    np.tanh(out, out=out)  # numpy's tanh is vectorised, the compiler's is not
    out += 1
    out *= 0.5
    return out


@njit(nogil=True, cache=True)
def _scale(values: Any, median: float, gain: float, out: Any) -> None:
    for i in range(values.size):
        out[i] = (values[i] - median) * gain


BINS = 1 << 16
"""Bins of a histogram: one for each value of half the bits of a float32."""


def upper_histogram(values: np.ndarray, centre: float | None = None) -> np.ndarray:
    """Count finite non-negative values by the upper 16 bits of their float32 pattern.

    Non-negative floats sort like their bits, so one pass finds the bin of the median; a second pass with
    `lower_histogram` within that bin finds the median itself.

    Parameters
    ----------
    values : ndarray of complex64 or float32
        Of complex values the magnitude is used, ``np.abs`` in float32. Values that are not finite are ignored.
    centre : float, optional
        Count ``abs(value - centre)`` instead, the difference taken in float64 and rounded to float32.

    Returns
    -------
    (65536,) int64
        Counts, which can be added over chunks.
    """
    counts = np.zeros(BINS, np.int64)
    _count_upper(_magnitudes(values), centre is not None, centre or 0.0, counts)
    return counts


def lower_histogram(values: np.ndarray, upper: int, centre: float | None = None) -> np.ndarray:
    """Count the values whose upper 16 bits are `upper` by their lower 16 bits; see `upper_histogram`.

    Returns
    -------
    (65536,) int64
        Counts, which can be added over chunks.
    """
    counts = np.zeros(BINS, np.int64)
    _count_lower(_magnitudes(values), upper, centre is not None, centre or 0.0, counts)
    return counts


def _magnitudes(values: np.ndarray) -> np.ndarray:
    if np.iscomplexobj(values):
        return np.asarray(np.abs(values).ravel())
    return np.ascontiguousarray(values, dtype=np.float32).ravel()


@njit(nogil=True, cache=True)
def _count_upper(values: Any, centred: bool, centre: float, counts: Any) -> None:
    bits = np.empty(1, np.float32)
    pattern = bits.view(np.uint32)
    for i in range(values.size):
        bits[0] = abs(np.float64(values[i]) - centre) if centred else values[i]
        if bits[0] >= 0 and bits[0] < np.inf:
            counts[(pattern[0] & np.uint32(0x7FFFFFFF)) >> 16] += 1  # the sign of -0.0 is dropped


@njit(nogil=True, cache=True)
def _count_lower(values: Any, upper: int, centred: bool, centre: float, counts: Any) -> None:
    bits = np.empty(1, np.float32)
    pattern = bits.view(np.uint32)
    for i in range(values.size):
        bits[0] = abs(np.float64(values[i]) - centre) if centred else values[i]
        if bits[0] >= 0 and bits[0] < np.inf:
            key = pattern[0] & np.uint32(0x7FFFFFFF)
            if (key >> 16) == upper:
                counts[key & 0xFFFF] += 1


def middle_bins(upper: np.ndarray) -> tuple[int, int]:
    """Return the bins of an upper histogram that hold the two middle values; the same one twice if the count is odd.

    Raises
    ------
    ValueError
        If the histogram is empty.
    """
    low, high = _middle_ranks(int(upper.sum()))
    cumulative = np.cumsum(upper)
    return int(np.searchsorted(cumulative, low, side="right")), int(np.searchsorted(cumulative, high, side="right"))


def median_from_histograms(upper: np.ndarray, lower_low: np.ndarray, lower_high: np.ndarray) -> float:
    """Return the exact median from an upper histogram and the lower histograms of its two middle bins.

    Equal to numpy's median of the same float32 values: an even count gives the mean of the two middle ones in float64.

    Examples
    --------
    >>> values = np.array([3, 1, 4, 1, 5, 9], "float32")
    >>> upper = upper_histogram(values)
    >>> median_from_histograms(upper, *(lower_histogram(values, bin) for bin in middle_bins(upper)))
    3.5
    """
    ranks = _middle_ranks(int(upper.sum()))
    below = np.concatenate([[0], np.cumsum(upper)])
    middle = []
    for rank, top, lower in zip(ranks, middle_bins(upper), (lower_low, lower_high), strict=True):
        bottom = int(np.searchsorted(np.cumsum(lower), rank - below[top], side="right"))
        middle.append(float(np.array([top << 16 | bottom], np.uint32).view(np.float32)[0]))
    return (middle[0] + middle[1]) / 2


def _middle_ranks(count: int) -> tuple[int, int]:
    if count == 0:
        raise ValueError("no valid pixels")
    return (count - 1) // 2, count // 2
