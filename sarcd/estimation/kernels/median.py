"""Exact medians of data that do not fit in memory, from histograms of the bits of float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

BINS = 1 << 16
"""Bins of a histogram: one for each value of half the bits of a float32."""


def upper_histogram(values: np.ndarray, centre: float | None = None) -> np.ndarray:
    """Count finite non-negative values by the upper 16 bits of their float32 pattern.

    Non-negative floats sort like their bits, so that the bin of the median is known after one pass; a second pass with
    `lower_histogram` inside that bin finds the median itself.

    Parameters
    ----------
    values : ndarray of complex64 or float32
        Complex values count by their magnitude, ``np.abs`` in float32. What is not finite is left out.
    centre : float, optional
        Count ``abs(value - centre)`` instead, the difference taken in float64 and rounded to float32.

    Returns
    -------
    (65536,) int64
        Counts, which add up over chunks.
    """
    counts = np.zeros(BINS, np.int64)
    _count_upper(_magnitudes(values), centre is not None, centre or 0.0, counts)
    return counts


def lower_histogram(values: np.ndarray, upper: int, centre: float | None = None) -> np.ndarray:
    """Count by the lower 16 bits the values whose upper 16 bits are `upper`; see `upper_histogram`.

    Returns
    -------
    (65536,) int64
        Counts, which add up over chunks.
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
