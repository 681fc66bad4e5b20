"""Changes of many dates in few layers: how many, when the first and the last, and whether the ground came back."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from sarcd.kernels.coherence import boxcar
from sarcd.kernels.significance.coherence import correlation_p
from sarcd.kernels.significance.omnibus import one_more_p
from sarcd.kernels.significance.ratio import coherent_ratio_p
from sarcd.kernels.significance.windows import count_valid, enough, looks_of, mean_power

UNKNOWN, NO_DATE = 255, -1
MOST_CHANGES = 254


def count_changes(changed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count the changes of each pixel, and say when the first and the last show.

    Parameters
    ----------
    changed : (P, Y, X) uint8
        Whether a date differs from the one before: 1, 0, or 255 where that is not known.

    Returns
    -------
    count : (Y, X) uint8
        Number of changes, 254 if more; 255 where nothing is known of any date.
    first, last : (Y, X) int16
        Position of the date that shows it, 1 ... P; 0 without a change, -1 where nothing is known.

    Examples
    --------
    >>> changed = np.array([[[0, 0, 255]], [[1, 0, 255]], [[1, 255, 255]]], "uint8")
    >>> [layer.tolist() for layer in count_changes(changed)]
    [[[2, 0, 255]], [[2, 0, -1]], [[3, 0, -1]]]
    """
    is_change = changed == 1
    position = np.arange(1, len(changed) + 1, dtype=np.int16)[:, None, None]
    last = (is_change * position).max(0).astype(np.int16)
    first = np.where(is_change.any(0), is_change.argmax(0) + 1, 0).astype(np.int16)
    count = np.minimum(is_change.sum(0), MOST_CHANGES).astype(np.uint8)
    unknown = (changed == UNKNOWN).all(0)
    count[unknown], first[unknown], last[unknown] = UNKNOWN, NO_DATE, NO_DATE
    return count, first, last


def persistence(
    images: Sequence[np.ndarray],
    changed: Sequence[np.ndarray],
    *,
    window: tuple[int, int],
    looks: tuple[float, float],
    false_alarms: float,
    min_valid: float = 0.5,
    first_row: int = 0,
) -> np.ndarray:
    """Share of the dates since the first change on which the ground still differs from what it was before.

    Parameters
    ----------
    images : sequence of K (Y, X) complex64 or float32
        Complex images or amplitudes, linear.
    changed : sequence of K - 1 (Y, X) uint8
        Whether a date differs from the one before: 1, 0, or 255 where that is not known.
    window : (int, int)
        Odd size along y and x in pixels, for means of power and for coherence.
    looks : (float, float)
        Independent looks of a mean over the window, as a ratio of powers and as coherence count them.
    false_alarms : float
        Rate of the tests.
    min_valid : float
        Least share of valid pixels in a window.
    first_row : int
        Row of the whole scene at which these images begin: told it, parts have the same bytes as the whole.

    Returns
    -------
    (Y, X) float32
        From 0 (gone with the next image) to 1 (it stays). NaN without a change, where the first shows on the last
        date so that nobody can tell yet, and where the dates after it are invalid.

    Notes
    -----
    With b the last date before the first change, a later date t has come back if its power does not differ from that
    of b, and, on ground that is coherent, if t is coherent with b: speckle that is lost does not return, while wet
    ground dries and a coherent echo comes back when what stood on it has left. Ground is coherent here if some two
    consecutive dates without a change are. For amplitudes the power is compared with the mean of all dates up to b.

    Examples
    --------
    >>> dark, bright = np.full((1, 1), 1, "float32"), np.full((1, 1), 3, "float32")
    >>> one, none = np.ones((1, 1), "uint8"), np.zeros((1, 1), "uint8")
    >>> stays = persistence([dark, bright, bright], [one, none], window=(1, 1), looks=(9, 9), false_alarms=0.01)
    >>> back = persistence([dark, bright, dark], [one, one], window=(1, 1), looks=(9, 9), false_alarms=0.01)
    >>> stays.tolist(), back.tolist()
    ([[1.0]], [[0.0]])
    """
    first = count_changes(np.stack(changed))[1]
    dates, complex_ = len(images), np.iscomplexobj(images[0]) and window[0] * window[1] > 1
    judged, differs = np.zeros((2, *first.shape), np.int32)
    # every pair without a change has its chance to look coherent: together they have that of one test
    rate = false_alarms / max(1, dates - 1)
    coherent = np.zeros(first.shape, bool)
    if complex_ and (first > 0).any():
        for pair, (one, two) in enumerate(itertools.pairwise(images)):
            coherent |= (changed[pair] == 0) & (_correlated(one, two, window, looks[1], min_valid, first_row) <= rate)
    for base in range(dates - 2):
        here = first == base + 1
        if not here.any():
            continue
        for later in range(base + 2, dates):
            p, known, together = _compare(images, base, later, window, looks, min_valid, first_row, complex_)
            other = p <= false_alarms
            if complex_:
                other |= coherent & (together > false_alarms)
            judged += here & known
            differs += here & known & other
    with np.errstate(invalid="ignore"):
        return np.where(judged > 0, differs / np.maximum(judged, 1), np.nan).astype(np.float32)


def _correlated(
    one: np.ndarray, two: np.ndarray, window: tuple[int, int], looks: float, min_valid: float, first_row: int
) -> np.ndarray:
    """p-value of no correlation; 1 where it is not known."""
    return _correlation_p(boxcar(one, two, window, min_valid, first_row), one, two, window, looks)


def _correlation_p(
    g: np.ndarray, one: np.ndarray, two: np.ndarray, window: tuple[int, int], looks: float
) -> np.ndarray:
    count = count_valid(np.isfinite(one) & np.isfinite(two), window)
    p = correlation_p(g, looks_of(count, looks, window[0] * window[1]))
    return np.where(np.isnan(p), 1.0, p)


def _compare(
    images: Sequence[np.ndarray],
    base: int,
    later: int,
    window: tuple[int, int],
    looks: tuple[float, float],
    min_valid: float,
    first_row: int,
    complex_: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the p-values of equal power, where they are known, and the p-values of no correlation."""
    before = [images[base]] if complex_ else list(images[: base + 1])
    valid = np.isfinite(images[later]) & np.isfinite(before[-1])
    known = enough(valid, window, min_valid)
    n = looks_of(count_valid(valid, window), looks[0], window[0] * window[1])
    power = mean_power(images[later], valid, window)
    if complex_:
        g = boxcar(images[base], images[later], window, min_valid, first_row)
        with np.errstate(divide="ignore", invalid="ignore"):
            p = coherent_ratio_p(power / mean_power(images[base], valid, window), n, g)
        return p, known & ~np.isnan(p), _correlation_p(g, images[base], images[later], window, looks[1])
    powers = np.stack([mean_power(image, valid & np.isfinite(image), window) for image in before])
    there = np.isfinite(powers) & (powers > 0)
    count = there.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(there, powers, 0).sum(0) / count
    p = one_more_p(power, mean, count, n)
    return p, known & ~np.isnan(p), np.ones(p.shape)
