"""Omnibus test of k dates: whether the power is the same on all of them, and otherwise when it changed."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from scipy.special import betainc, loggamma

from sarcd.change.kernels.significance.looks import StackLooks

_NODES = 24  # of the contour, for errors below 1e-10 down to a tenth of a decibel
_POINTS = 1024  # of the table along the root of -ln U


def omnibus_p(powers: np.ndarray, looks: np.ndarray | float) -> np.ndarray:
    """Return the probability of powers at least this unequal where all dates have the same intensity.

    Parameters
    ----------
    powers : (K, ...) float
        Mean powers of K >= 2 independent dates, linear, above 0.
    looks : float, or (...) float
        Independent looks of each, above 0; not necessarily an integer.

    Returns
    -------
    (...) float64
        p-value; NaN where any date is NaN or has no power.

    Notes
    -----
    ``ln Q = n (K ln K + sum ln I_i - K ln sum I_i)`` [1]_. Under equal intensity ``U = Q^(1/n)`` is a product of
    independent Beta(n, j / K), j = 1 ... K - 1, which follows from its moments; the distribution of -ln U is computed
    from its Laplace transform along the contour of [2]_, once for each K and n. It is therefore exact for any number of
    looks, where the usual approximation by chi-square distributions needs 4 or more.

    References
    ----------
    .. [1] Conradsen et al. 2016, doi:10.1109/TGRS.2015.2510160, Eq. 10 for one channel.
    .. [2] Trefethen et al. 2006, doi:10.1007/s10543-006-0077-9.

    Examples
    --------
    >>> powers = np.array([[1.0, 1.0], [1.0, 1.2], [1.0, 4.0]])
    >>> omnibus_p(powers, 9).round(5).tolist()
    [1.0, 0.00473]
    """
    dates = len(powers)
    total = powers.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        minus_log = -sum((np.log(powers[i] / total) + np.log(dates) for i in range(dates)), start=np.zeros(()))
    minus_log = np.where(np.isfinite(total) & (powers > 0).all(0), minus_log, np.nan)
    n = np.broadcast_to(np.asarray(looks, np.float64), minus_log.shape)
    out = np.full(minus_log.shape, np.nan)
    # windows truncated by borders and holes have few distinct counts of looks, each with its own table
    for count in np.unique(n[np.isfinite(minus_log) & (n > 0)]):
        chosen = n == count
        root, log_p = _table(dates, float(count))
        at = np.sqrt(np.maximum(minus_log[chosen], 0))
        out[chosen] = np.exp(np.interp(at, root, log_p))
    return out


def omnibus_quantile(dates: int, looks: float, false_alarms: float) -> float:
    """Return the value of ``-ln U`` (see `omnibus_p`) that unchanged ground exceeds at a given rate.

    Parameters
    ----------
    dates : int
        2 or more.
    looks : float
        Independent looks of each date, above 0.
    false_alarms : float
        The rate, in (0, 1).

    Examples
    --------
    >>> round(omnibus_quantile(2, 9, 0.00473), 3)
    0.455
    """
    extent = (dates - 1 + 12 * np.sqrt(dates) + 80) / (2 * looks)
    low, high = 0.0, float(extent)
    for _ in range(50):
        middle = (low + high) / 2
        above = _more_than(np.array([middle]), dates, looks)[0] > false_alarms
        low, high = (middle, high) if above else (low, middle)
    return high


def one_more_p(
    power: np.ndarray, earlier: np.ndarray, count: np.ndarray | int, looks: np.ndarray | float
) -> np.ndarray:
    """Return the probability of one more date at least this different from earlier ones, at equal intensities.

    Parameters
    ----------
    power : any shape, float
        Mean power of the date, of `looks` looks.
    earlier : broadcastable, float
        Mean power over the earlier dates.
    count : int, or broadcastable
        Number of earlier dates.
    looks : float, or broadcastable
        Independent looks of each date.

    Returns
    -------
    (...) float64
        Two-sided p-value; NaN where NaN.

    Notes
    -----
    R_j of [1]_ is a function of this ratio alone, whose distribution is F(2n, 2 (j - 1) n); that exact test is used,
    with equal tails. The ratios of j = 2, 3 ... are independent, and the product of their R_j is Q.

    References
    ----------
    .. [1] Conradsen et al. 2016, doi:10.1109/TGRS.2015.2510160, Eq. 16.

    Examples
    --------
    >>> float(one_more_p(np.array(2.0), np.array(1.0), 1, 9).round(4))
    0.151
    """
    n = np.asarray(looks, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = power / (power + np.asarray(count) * earlier)
    low = betainc(n, np.asarray(count) * n, fraction)
    return np.asarray(2 * np.minimum(low, 1 - low))


def change_times(
    powers: np.ndarray,
    looks: np.ndarray | float | StackLooks,
    false_alarms: float,
    *,
    filled: np.ndarray | float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Find when the power changed: the omnibus test first, then date by date, and again from each change.

    Parameters
    ----------
    powers : (K, ...) float
        Mean powers of K >= 2 independent dates, linear.
    looks : float, (...) float, or StackLooks
        Independent looks of each, or those of a whole window over correlated pixels, which differ between tests.
    false_alarms : float
        False-alarm rate of every test.
    filled : float, or (...) float
        With `StackLooks`: fraction of the pixels of the window other than the central one that are valid.

    Returns
    -------
    p : (...) float64
        p-value of the omnibus test over all dates.
    changed : (K - 1, ...) bool
        Whether the power changed from a date to the next; False where p is NaN.

    Notes
    -----
    From date l (at first 0): if the omnibus test of dates l ... K - 1 rejects, the dates after l are compared in turn
    with the mean of all dates from l up to them; the first that differs is a change, and the search starts again there.
    Where the omnibus test rejects but no date does, one more search from l + 1 keeps a gradual change from hiding the
    rest, as in [1]_. Over unchanged ground the first test acts as a gate: no more than `false_alarms` of the pixels
    have any change.

    References
    ----------
    .. [1] Conradsen et al. 2016, doi:10.1109/TGRS.2015.2510160, section II-C.

    Examples
    --------
    >>> powers = np.array([[1.0], [1.1], [9.0], [10.0], [0.9]])
    >>> change_times(powers, 9, 0.01)[1].ravel().tolist()
    [False, True, False, True]
    """
    dates, shape = len(powers), powers.shape[1:]
    flat = np.ascontiguousarray(powers, np.float64).reshape(dates, -1)
    n = _counted(looks, np.broadcast_to(np.asarray(filled, np.float64), shape).ravel(), shape)
    changed = np.zeros((dates - 1, flat.shape[1]), bool)
    start = np.zeros(flat.shape[1], np.int32)
    p = np.empty(0)
    for first in range(dates - 1):
        at = np.flatnonzero(start == first)
        of_stack = omnibus_p(flat[first:, at], n(dates - first, at, one_more=False))
        if first == 0:
            p = of_stack
        start[at] = dates  # done, unless a test below rejects
        at = at[of_stack <= false_alarms]
        start[at] = first + 1
        mean = flat[first, at]
        for date in range(first + 1, dates):
            if at.size == 0:
                break
            before = date - first
            found = one_more_p(flat[date, at], mean, before, n(before + 1, at, one_more=True)) <= false_alarms
            changed[date - 1, at[found]] = True
            start[at[found]] = date
            at, mean = at[~found], (mean[~found] * before + flat[date, at[~found]]) / (before + 1)
    return p.reshape(shape), changed.reshape(dates - 1, *shape)


def _counted(
    looks: np.ndarray | float | StackLooks, filled: np.ndarray, shape: tuple[int, ...]
) -> Callable[..., np.ndarray]:
    """Return the looks of some pixels as a function of the number of dates, the positions and the test."""
    if isinstance(looks, StackLooks):

        def of_test(number: int, at: np.ndarray, *, one_more: bool) -> np.ndarray:
            whole = (looks.one_more if one_more else looks.whole)[number - 2]
            return np.asarray(1 + (whole - 1) * filled[at])

        return of_test
    flat = np.broadcast_to(np.asarray(looks, np.float64), shape).ravel()
    return lambda number, at, one_more: flat[at]


@functools.lru_cache(maxsize=1024)
def _table(dates: int, looks: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the root of -ln U, and the logarithm of the probability of exceeding it."""
    # -ln U is near chi-square of dates - 1 over 2 n; the table ends where the probability does, then stays constant
    extent = (dates - 1 + 12 * np.sqrt(dates) + 80) / (2 * looks)
    root = np.linspace(0, np.sqrt(extent), _POINTS)
    p = np.concatenate([[1.0], _more_than(root[1:] ** 2, dates, looks)])
    return root, np.log(np.clip(np.minimum.accumulate(p), 1e-11, 1))


def _more_than(values: np.ndarray, dates: int, looks: float) -> np.ndarray:
    """Return P(-ln U > v): 1 minus the inverse Laplace transform of E[U^z] / z."""
    theta = (np.arange(_NODES) + 0.5) * 2 * np.pi / _NODES - np.pi
    z = _NODES * (0.5071 * theta / np.tan(0.6407 * theta) - 0.6122 + 0.2645j * theta)
    step = _NODES * (0.5071 / np.tan(0.6407 * theta) - 0.5071 * 0.6407 * theta / np.sin(0.6407 * theta) ** 2 + 0.2645j)
    s = z / values[:, None]
    moment = loggamma(dates * looks) - dates * loggamma(looks) + dates * s * np.log(dates)
    moment = moment + dates * loggamma(looks + s) - loggamma(dates * (looks + s))
    return np.asarray(1 - ((np.exp(z + moment) / z * step).sum(1) / (1j * _NODES)).real)
