"""Summary layers of many dates: number of changes, first and last change, and persistence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sarcd.change.kernels.significance.coherence import coherent_ratio_p, correlation_p
from sarcd.change.kernels.significance.looks import count_valid, looks_of, mean_power
from sarcd.change.kernels.significance.omnibus import one_more_p
from sarcd.estimation.kernels.boxcar import boxcar

UNKNOWN, NO_DATE = 255, -1
MAX_CHANGES = 254


def count_changes(changed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count the changes of each pixel, and find when the first and the last one show.

    Parameters
    ----------
    changed : (P, Y, X) uint8
        Whether a date differs from the one before: 1, 0, or 255 where unknown.

    Returns
    -------
    count : (Y, X) uint8
        Number of changes, at most 254; 255 where all dates are unknown.
    first, last : (Y, X) int16
        Position of the date that shows it, 1 ... P; 0 without a change, -1 where all dates are unknown.

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
    count = np.minimum(is_change.sum(0), MAX_CHANGES).astype(np.uint8)
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
    """Return the fraction of the dates since the first change on which the ground still differs from before it.

    Parameters
    ----------
    images : sequence of K (Y, X) complex64 or float32
        Complex images or amplitudes, linear.
    changed : sequence of K - 1 (Y, X) uint8
        Whether a date differs from the one before: 1, 0, or 255 where unknown.
    window : (int, int)
        Odd size along y and x in pixels, for means of power and for coherence.
    looks : (float, float)
        Independent looks of a mean over the window, for a ratio of powers and for coherence.
    false_alarms : float
        False-alarm rate of the tests.
    min_valid : float
        Minimum fraction of valid pixels in a window.
    first_row : int
        Row of the whole scene at which these images begin; with it, parts give the same bytes as the whole.

    Returns
    -------
    (Y, X) float32
        From 0 (reverted with the next image) to 1 (persistent). NaN without a change, where the first shows on the last
        date so that persistence is unknown yet, where the dates after it are invalid, and where this comparison does
        not detect the change itself, which it then cannot follow.

    Notes
    -----
    With b the last date before the first change, a later date t has reverted if its power does not differ from that of
    b and, over coherent ground, if t is coherent with b: lost speckle does not return, while wet ground dries and a
    coherent echo returns when what covered it has left. Ground is coherent here if any two consecutive dates without a
    change are coherent. For amplitudes the power is compared with the mean of all dates up to b.

    Examples
    --------
    >>> dark, bright = np.full((1, 1), 1, "float32"), np.full((1, 1), 3, "float32")
    >>> one, none = np.ones((1, 1), "uint8"), np.zeros((1, 1), "uint8")
    >>> persistent = persistence([dark, bright, bright], [one, none], window=(1, 1), looks=(9, 9), false_alarms=0.01)
    >>> reverted = persistence([dark, bright, dark], [one, one], window=(1, 1), looks=(9, 9), false_alarms=0.01)
    >>> persistent.tolist(), reverted.tolist()
    ([[1.0]], [[0.0]])
    """
    first = count_changes(np.stack(changed))[1]
    stack = _Stack(images, window, looks, min_valid, first_row)
    coherent = _coherent(stack, changed, first > 0, false_alarms)
    known_pairs, differs = np.zeros((2, *first.shape), np.int32)
    for base in range(stack.dates - 2):
        at = np.nonzero(first == base + 1)
        for later in range(base + 1, stack.dates):
            if not at[0].size:
                break
            known, other = _differs(stack, base, later, at, coherent[at], false_alarms)
            if later == base + 1:  # a change that is not detected cannot be seen to revert
                at = at[0][known & other], at[1][known & other]
                continue
            known_pairs[at] += known
            differs[at] += known & other
    return np.where(known_pairs > 0, differs / np.maximum(known_pairs, 1), np.nan).astype(np.float32)


class _Stack:
    """Window statistics of many dates, over the pixels that are valid on all dates of a comparison.

    Where every date is invalid at the same pixels, as in most scenes, powers and counts are the same for every
    comparison, and are cached.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        window: tuple[int, int],
        looks: tuple[float, float],
        min_valid: float,
        first_row: int,
    ) -> None:
        self.images, self.window, self.looks = images, window, looks
        self.dates = len(images)
        self.with_phase = np.iscomplexobj(images[0]) and window[0] * window[1] > 1
        self._min_valid, self._first_row = min_valid, first_row
        self._masks = [np.isfinite(image) for image in images]
        self._alike = all(np.array_equal(mask, self._masks[0]) for mask in self._masks[1:])
        self._inside = count_valid(np.ones(images[0].shape, bool), window)
        self._kept: dict[int, np.ndarray] = {}

    def valid(self, *dates: int) -> np.ndarray:
        """Return which pixels are valid on these dates."""
        return np.asarray(np.logical_and.reduce([self._masks[date] for date in dates]))

    def count(self, *dates: int) -> np.ndarray:
        """Count the valid pixels of each window."""
        return self._once(-1, lambda: count_valid(self.valid(*dates), self.window))

    def power(self, date: int, *others: int) -> np.ndarray:
        """Return the mean power of a date, over the pixels that are valid on the others too."""
        return self._once(date, lambda: mean_power(self.images[date], self.valid(date, *others), self.window))

    def known(self, *dates: int) -> np.ndarray:
        """Return where the pixel itself and enough of its window are valid."""
        return np.asarray(self.valid(*dates) & (self.count(*dates) >= self._min_valid * self._inside))

    def looks_of(self, kind: int, at: Any, *dates: int) -> np.ndarray:
        """Return the independent looks at some pixels, for a ratio of powers (0) or for coherence (1)."""
        return looks_of(self.count(*dates)[at], self.looks[kind], self.window[0] * self.window[1])

    def coherence(self, one: int, two: int) -> np.ndarray:
        """Return the sample coherence of two dates."""
        return boxcar(self.images[one], self.images[two], self.window, self._min_valid, self._first_row)

    def _once(self, key: int, make: Callable[[], np.ndarray]) -> np.ndarray:
        if not self._alike:
            return make()
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def _coherent(stack: _Stack, changed: Sequence[np.ndarray], wanted: np.ndarray, false_alarms: float) -> np.ndarray:
    """Return where any two consecutive dates without a change are coherent, among the pixels of `wanted`."""
    coherent, at = np.zeros(wanted.shape, bool), np.nonzero(wanted)
    if not stack.with_phase or not at[0].size:
        return coherent
    # every pair without a change may look coherent by chance: together they have the rate of one test
    rate = false_alarms / (stack.dates - 1)
    for pair, layer in enumerate(changed):
        p = _correlation_p(stack, stack.coherence(pair, pair + 1)[at], at, pair, pair + 1)
        coherent[at] |= (layer[at] == 0) & (p <= rate)
    return coherent


def _correlation_p(stack: _Stack, g: np.ndarray, at: Any, one: int, two: int) -> np.ndarray:
    """Return the p-value of no correlation; 1 where unknown."""
    p = correlation_p(g, stack.looks_of(1, at, one, two))
    return np.where(np.isnan(p), 1.0, p)


def _differs(
    stack: _Stack, base: int, later: int, at: Any, coherent: np.ndarray, false_alarms: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return where two dates can be compared, and where they differ, at some pixels."""
    known, n = stack.known(base, later)[at], stack.looks_of(0, at, base, later)
    with np.errstate(divide="ignore", invalid="ignore"):
        if stack.with_phase:
            g = stack.coherence(base, later)[at]
            p = coherent_ratio_p(stack.power(later, base)[at] / stack.power(base, later)[at], n, g)
            lost = coherent & (_correlation_p(stack, g, at, base, later) > false_alarms)
            return known & ~np.isnan(p), (p <= false_alarms) | lost
        powers = np.stack([stack.power(date, base, later)[at] for date in range(base + 1)])
        there = np.isfinite(powers) & (powers > 0)
        count = there.sum(0)
        mean = np.where(there, powers, 0).sum(0) / count
        p = one_more_p(stack.power(later, base)[at], mean, count, n)
        return known & ~np.isnan(p), p <= false_alarms
