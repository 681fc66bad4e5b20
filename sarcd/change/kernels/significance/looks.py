"""Window statistics of the tests: mean powers, coherence, and their independent looks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaincinv, expit, logit

from sarcd.estimation.kernels.looks import Axes, eigenvalues
from sarcd.estimation.kernels.windows import box, window_sum


def ratio_looks(weights: Axes, correlation: Axes, false_alarms: float) -> float:
    """Return the independent looks whose ratio of mean powers has the same threshold as that of the window.

    Parameters
    ----------
    weights, correlation : (float arrays, float arrays)
        Weights of the window along y and x, and r_l of the images, as in
        `sarcd.estimation.kernels.looks.effective_looks`.
    false_alarms : float
        Rate at which the two thresholds agree, and which a test with these looks has.

    Returns
    -------
    float
        From 1 to the number of pixels of the window.

    Notes
    -----
    A mean power of correlated pixels is a sum of exponential variables weighted by the eigenvalues of the correlation,
    which is not quite a gamma variable: the gamma variable of the same variance (`effective_looks`) has too wide a
    ratio, and a test with that number of looks flags half as much as it should. Instead the threshold of the ratio is
    exact, by Gil-Pelaez inversion [1]_ of the characteristic function of ``A - w B``, and the looks are those of the F
    test with the same threshold.

    References
    ----------
    .. [1] Gil-Pelaez 1951, doi:10.1093/biomet/38.3-4.481.

    Examples
    --------
    >>> round(ratio_looks((np.ones(3), np.ones(3)), (np.zeros(2), np.zeros(2)), 0.01), 4)
    9.0
    """
    values, many = (np.array(part) for part in _levels(eigenvalues(weights, correlation)))
    low, high = 0.0, 20.0  # logarithm of the ratio
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if 2 * _above(values, middle, many) > false_alarms else (low, middle)
    # 2 I_(1 / (1 + w))(n, n) = false_alarms, for n
    pixels = int(many.sum())
    few, more = 0.5, float(pixels) + 1
    for _ in range(60):
        middle = (few + more) / 2
        few, more = (few, middle) if betaincinv(middle, middle, false_alarms / 2) > expit(-low) else (middle, more)
    return float(np.clip(few, 1, pixels))


@dataclass(frozen=True)
class StackLooks:
    """Looks of a window for the tests of a stack of dates.

    Parameters
    ----------
    whole : tuple of float
        For the omnibus test of 2, 3 ... dates.
    one_more : tuple of float
        For the test of one more date after 1, 2 ... others.
    """

    whole: tuple[float, ...]
    one_more: tuple[float, ...]


def stack_looks(weights: Axes, correlation: Axes, dates: int, false_alarms: float) -> StackLooks:
    """Return the independent looks at which the tests of a stack have their rate over correlated pixels.

    Parameters
    ----------
    weights, correlation : (float arrays, float arrays)
        As in `ratio_looks`.
    dates : int
        Number of dates of the whole stack, 2 or more.
    false_alarms : float
        Rate at which tests with these looks agree with those of the window.

    Returns
    -------
    StackLooks
        With ``dates - 1`` numbers each, from 1 to the number of pixels of the window; the first are `ratio_looks`.

    Notes
    -----
    The more dates, the further the power of each goes into its tails, where a window of correlated pixels has fewer
    looks: the looks of two dates give ten dates 1.4 times the requested false alarms at 1 %, twice as many at 0.1 %.
    With A of mean 1, ``h = A - 1 - ln A`` and ``D = sum (A - 1)``, the statistic of `omnibus_p` is ``sum h - D + K ln(1
    + D / K)``, whose distribution follows from that of both sums, K-fold convolved. The same for gamma variables, whose
    quantile is known, removes the error of the grid. For many dates the looks of some numbers are computed, and those
    in between are interpolated linearly in the logarithm of the number.

    Examples
    --------
    >>> r = np.array([0.657, 0.184, 0.025, 0.0])  # Hamming 0.6, 1.2 times oversampled
    >>> found = stack_looks((np.ones(5), np.ones(5)), (r, r), 3, 0.01)
    >>> [round(looks, 1) for looks in found.whole]
    [9.3, 9.1]
    """
    values = eigenvalues(weights, correlation)
    two = ratio_looks(weights, correlation, false_alarms)
    numbers = [number for number in _COMPUTED if number < dates] + [dates]
    key, rate = _levels(values), float(false_alarms)
    whole = [two, *(_omnibus_looks(key, number, rate, round(two, 6)) for number in numbers[1:])]
    more = [two, *(_one_more_looks(key, number - 1, rate, round(two, 6)) for number in numbers[1:])]
    at, wanted = np.log(numbers), np.log(np.arange(2, dates + 1))
    return StackLooks(tuple(np.interp(wanted, at, whole).tolist()), tuple(np.interp(wanted, at, more).tolist()))


Levels = tuple[tuple[float, ...], tuple[int, ...]]
"""Distinct eigenvalues, and the multiplicity of each."""

_COMPUTED = (2, 3, 4, 6, 10, 18, 40, 100)
_LINE, _CELLS = 2**14, 512  # points of one date's distribution, and cells of the grid of sums along each side


_MANY = 64  # number of eigenvalues above which those within a tenth of each other count as equal


def _levels(values: np.ndarray) -> Levels:
    """Return rounded eigenvalues, so that the looks of a scene are computed once and are reproducible."""
    values = np.sort(values.round(9))
    if len(values) <= _MANY:
        return tuple(values.tolist()), (1,) * len(values)
    band = np.floor(np.log(np.maximum(values / values[-1], 1e-4)) / 0.1)
    _, of_each, many = np.unique(band, return_inverse=True, return_counts=True)
    return tuple((np.bincount(of_each, values) / many).tolist()), tuple(many.tolist())


@functools.lru_cache(maxsize=256)
def _omnibus_looks(levels: Levels, dates: int, false_alarms: float, guess: float) -> float:
    """Return the looks whose omnibus test has the threshold that the window's speckle requires."""
    from sarcd.change.kernels.significance.omnibus import omnibus_quantile  # which imports `StackLooks`

    values, many = np.array(levels[0]), np.array(levels[1])
    pixels = int(many.sum())
    if np.ptp(values) < 1e-6 * values.max():
        return float(pixels)
    known = omnibus_quantile(dates, guess, false_alarms)
    of_speckle = _sum_quantile(lambda w: np.log1p(-1j * w[:, None] * values) @ many, dates, false_alarms, guess)
    of_gamma = _sum_quantile(lambda w: guess * np.log1p(-1j * w / guess), dates, false_alarms, guess)
    wanted = known * of_speckle / of_gamma

    def excess(log_looks: float) -> float:
        return omnibus_quantile(dates, float(np.exp(log_looks)), false_alarms) - wanted

    low, high = np.log(0.5), np.log(pixels + 1)
    if excess(low) * excess(high) > 0:
        return guess
    return float(np.clip(np.exp(brentq(excess, low, high, xtol=1e-6)), 1, pixels))


def _sum_quantile(
    log_inverse: Callable[[np.ndarray], np.ndarray], dates: int, false_alarms: float, looks: float
) -> float:
    """Return the value that the omnibus statistic exceeds at a given rate.

    `log_inverse` is minus the logarithm of the characteristic function of the power of one date, of mean 1 and about
    that number of looks.
    """
    # the density of one date, from 0 to where it vanishes
    extent = 1 + 12 / np.sqrt(looks) + 30 / looks
    density = np.fft.irfft(np.exp(-log_inverse(-2 * np.pi * np.arange(_LINE // 2 + 1) / extent)), _LINE)
    a = np.arange(_LINE) * (extent / _LINE)
    mass = np.clip(density, 0, None)
    mass[0] = 0
    mass /= mass.sum()
    a[0] = a[1]
    # D and the sum of h on a grid that is periodic in both; the probability beyond it is negligible
    spread = np.sqrt(dates / looks)
    lowest, length = -9 * spread, 9 * spread + 14 * spread + 25 / looks
    steep = (dates - 1 + 12 * np.sqrt(dates) + 80) / (2 * looks) * 1.5
    along = ((a - 1) / length * _CELLS, np.minimum(a - 1 - np.log(a), steep * 0.99) / steep * _CELLS)
    floors = [np.floor(part).astype(int) for part in along]
    grid = np.zeros(_CELLS * _CELLS)
    for step_d, step_h in ((0, 0), (0, 1), (1, 0), (1, 1)):
        of_d, of_h = (
            abs(1 - step - part + low) for step, part, low in zip((step_d, step_h), along, floors, strict=True)
        )
        cell = (floors[0] + step_d) % _CELLS * _CELLS + (floors[1] + step_h) % _CELLS
        grid += np.bincount(cell, mass * of_d * of_h, _CELLS * _CELLS)
    sums = np.fft.irfft2(np.fft.rfft2(grid.reshape(_CELLS, _CELLS)) ** dates, (_CELLS, _CELLS))
    d = np.arange(_CELLS) * (length / _CELLS)
    d = np.where(d > length + lowest, d - length, d)[:, None]
    d = np.maximum(d, -dates * (1 - 1e-9))
    value = (np.arange(_CELLS) * (steep / _CELLS) - d + dates * np.log1p(d / dates)).ravel()
    order = np.argsort(value, kind="stable")
    above = np.cumsum(np.clip(sums.ravel()[order], 0, None)[::-1])[::-1]
    first = int(np.searchsorted(-above, -false_alarms))  # the first cell beyond which less than the rate lies
    one, two = max(first - 1, 0), min(first, value.size - 1)
    part = (above[one] - false_alarms) / max(above[one] - above[two], 1e-300)
    low, high = value[order[one]], value[order[two]]
    return float(low + np.clip(part, 0, 1) * (high - low))


@functools.lru_cache(maxsize=256)
def _one_more_looks(levels: Levels, count: int, false_alarms: float, guess: float) -> float:
    """Return the looks whose test of one more date after `count` others has its rate."""
    values, many = np.array(levels[0]), np.array(levels[1])
    pixels = int(many.sum())

    def excess(log_looks: float) -> float:
        n = float(np.exp(log_looks))
        # the fraction of the date in the sum of all is Beta(n, count n): its two thresholds, as logarithms of the ratio
        low, high = (betaincinv(n, count * n, tail) for tail in (false_alarms / 2, 1 - false_alarms / 2))
        low, high = (float(np.log(count) + logit(fraction)) for fraction in (low, high))
        return _above(values, high, many, count) + 1 - _above(values, low, many, count) - false_alarms

    low, high = np.log(max(guess / 2, 0.5)), np.log(min(2 * guess, pixels + 1))
    if excess(low) * excess(high) > 0:
        return guess
    return float(np.clip(np.exp(brentq(excess, low, high, xtol=1e-6)), 1, pixels))


def _above(values: np.ndarray, log_ratio: float, many: np.ndarray | None = None, count: int = 1) -> float:
    """Return P(A > w B), A a sum of exponential variables, B the mean of `count` such sums, all independent.

    The variables have the means `values`, each `many` times.
    """
    many = np.ones(len(values)) if many is None else many
    ratio = np.exp(log_ratio) / count
    log_t, step = np.linspace(-22 - abs(log_ratio), 16 + max(-log_ratio, 0), 4001, retstep=True)
    t = np.exp(log_t)[:, None] / values.max()
    phase = (np.arctan(values * t) - count * np.arctan(values * ratio * t)) @ many
    size = (np.log1p((values * t) ** 2) + count * np.log1p((values * ratio * t) ** 2)) @ many
    return float(0.5 + (np.exp(-0.5 * size) * np.sin(phase)).sum() * step / np.pi)


def mean_power(image: np.ndarray, valid: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """Average power over the valid pixels of a window around every pixel.

    Parameters
    ----------
    image : (Y, X) complex64 or float32
        Complex image or amplitude, linear.
    valid : (Y, X) bool
        Pixels to use.
    window : (int, int)
        Odd size along y and x in pixels, truncated at the border.

    Returns
    -------
    (Y, X) float64
        NaN where no pixel of the window is valid.

    Examples
    --------
    >>> mean_power(np.array([[1, 3, np.nan]], "float32"), np.array([[True, True, False]]), (1, 3)).round(9).tolist()
    [[5.0, 5.0, 9.0]]
    """
    power = np.where(valid, image.real, 0).astype(np.float64) ** 2
    if np.iscomplexobj(image):
        power += np.where(valid, image.imag, 0).astype(np.float64) ** 2
    count = window_sum(valid.astype(np.float64), box(window))
    count[count == 0] = np.nan
    return np.asarray(window_sum(power, box(window)) / count)


def count_valid(valid: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """Count the valid pixels of the window around every pixel.

    Examples
    --------
    >>> count_valid(np.ones((2, 4), bool), (3, 3)).tolist()
    [[4, 6, 6, 4], [4, 6, 6, 4]]
    """
    return window_sum(valid.astype(np.float64), box(window)).astype(np.int32)


def enough(valid: np.ndarray, window: tuple[int, int], min_valid: float) -> np.ndarray:
    """Return where the pixel and at least a fraction `min_valid` of its window, truncated at the border, are valid.

    Parameters
    ----------
    valid : (Y, X) bool
        Pixels to use.
    window : (int, int)
        Odd size along y and x in pixels.
    min_valid : float
        Minimum fraction.

    Returns
    -------
    (Y, X) bool

    Examples
    --------
    >>> enough(np.array([[True, True, False, False]]), (1, 3), 0.6).tolist()
    [[True, True, False, False]]
    """
    inside = count_valid(np.ones(valid.shape, bool), window)
    return np.asarray(valid & (count_valid(valid, window) >= min_valid * inside))


def looks_of(count: np.ndarray, looks: float, pixels: int) -> np.ndarray:
    """Return the independent looks of windows with `count` valid pixels, where a whole window has `looks`.

    Parameters
    ----------
    count : (Y, X) int
        Valid pixels.
    looks : float
        Looks of the whole window.
    pixels : int
        Pixels of the whole window.

    Returns
    -------
    (Y, X) float64
        Exact for independent pixels and for a single one; between the two for correlated pixels.

    Examples
    --------
    >>> looks_of(np.array([1, 13, 25]), 9.0, 25).tolist()
    [1.0, 5.0, 9.0]
    """
    if pixels == 1:
        return np.full(count.shape, looks, np.float64)
    of_one = min(1.0, looks)
    return np.asarray(of_one + (looks - of_one) / (pixels - 1) * (np.maximum(count, 1) - 1.0))


def berger(coherence: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return Berger's coherence, ``2 abs(S12) / (S11 + S22)``, the best estimate where both powers are equal.

    Parameters
    ----------
    coherence : any shape, float
        Sample coherence, ``abs(S12) / sqrt(S11 S22)``.
    before, after : same shape, float
        Mean powers, linear.

    Returns
    -------
    same shape, float
        In [0, 1]; a change of power lowers it.

    References
    ----------
    .. [1] Berger 1957, IRE Trans. Inf. Theory 3(2), 140-146.

    Examples
    --------
    >>> float(berger(np.float64(1.0), np.float64(1.0), np.float64(4.0)))
    0.8
    """
    # the quotient first: a product of powers could leave the range of float32
    root = np.sqrt(after / before)
    return np.asarray(coherence * (2 * root / (1 + root * root)))
