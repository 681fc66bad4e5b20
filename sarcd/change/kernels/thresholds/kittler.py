"""Minimum-error thresholds of Kittler and Illingworth, for Gaussian and generalised Gaussian classes."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit

from sarcd.change.kernels.thresholds.histogram import Even, FloatArray, Histogram, Split, Tails

CELLS = 256
"""Number of cells of equal width between which thresholds are searched; the time grows with its cube."""

SHAPES = 0.5, 8.0
"""Range of shapes of a generalised Gaussian: 1 is a Laplacian, 2 a Gaussian, larger ones are flatter."""

MIN_GAIN = 0.007
"""Nats per pixel by which further classes must lower the criterion: the signed log-ratio of unchanged single-look
speckle, whose tails are longer than Gaussian, gains 0.005 from two further Gaussian classes; others gain less."""


def kittler(values: Histogram, *, shape: float | None = None, tails: Tails = "both") -> Split:
    """Find minimum-error thresholds, if there is more than one class.

    Parameters
    ----------
    values : Histogram
        Histogram of the whole difference image: signed with both tails, otherwise of either kind.
    shape : float, optional
        Shape of all classes, 2 for Gaussians; by default each class has its own, from its moments.
    tails : {"upper", "both"}
        At most two classes, the upper one changed; or at most three, the largest one unchanged.

    Returns
    -------
    Split
        Without thresholds where one class describes the values as well. Its facts: `gain`, by how much the classes
        lower the criterion below that of one class, in nats per pixel; `shares`, `means`, `deviations` and `shapes` of
        the classes. For a magnitude two classes are always found, since one with an end at 0 is not a Gaussian of any
        shape.

    Notes
    -----
    A class of the values in an interval, with fraction P, mean m and standard deviation s, costs
    ``P (E[(b abs(x - m))^beta] - ln a - ln P)``, the mean negative logarithm of its part of the mixture's density
    ``P a exp(-(b abs(x - m))^beta)``, with ``b = sqrt(G(3/beta) / G(1/beta)) / s``, ``a = b beta / (2 G(1/beta))``. The
    thresholds minimise the sum. With beta = 2 it equals the criterion J of [1]_ up to a factor of 2 and a constant. The
    beta of a class solves ``E abs(x - m) / s = G(2/beta) / sqrt(G(1/beta) G(3/beta))`` [2]_.

    References
    ----------
    .. [1] Kittler and Illingworth 1986, doi:10.1016/0031-3203(86)90030-0, Eq. 15.
    .. [2] Bazi, Bruzzone and Melgani 2005, doi:10.1109/TGRS.2004.842441.

    Examples
    --------
    >>> from sarcd.change.kernels.thresholds.histogram import count_cells, histogram
    >>> rng = np.random.default_rng(0)
    >>> still = rng.normal(0, 1, 9500).astype("float32")
    >>> darker = rng.normal(-6, 1, 500).astype("float32")
    >>> found = kittler(histogram(count_cells(np.concatenate([still, darker]))))
    >>> found.above is None, -4.0 < found.below < -2.5
    (True, True)
    >>> kittler(histogram(count_cells(still))).found
    False
    """
    method = "kittler" if shape == 2 else "kittler_gg"
    even = values.even(CELLS)
    costs, facts = class_costs(even, shape)
    one = float(costs[0, CELLS])
    candidates = [_intervals(even.shares, borders) for borders in _candidates(costs, tails)]
    found = [(sum(float(costs[part]) for part in classes), classes) for classes in candidates]
    cost, classes = min(found)
    if cost > one - MIN_GAIN:
        cost, classes = one, [(0, CELLS)]
    unchanged = 0 if tails == "upper" else int(np.argmax([facts[0][part] for part in classes]))
    names = ("shares", "means", "deviations", "shapes")
    found_facts: dict[str, Any] = {
        name: [float(table[part]) for part in classes] for name, table in zip(names, facts, strict=True)
    }
    found_facts["gain"] = one - cost
    start, stop = classes[unchanged]
    above = float(even.edges[stop]) if stop < CELLS else None
    below = float(even.edges[start]) if start > 0 else None
    return Split(method, above, below, found_facts)


def _candidates(costs: FloatArray, tails: Tails) -> list[list[int]]:
    """Return the borders of the best two classes and, with both tails, of the best three."""
    two = costs[0, 1:CELLS] + costs[1:CELLS, CELLS]
    found = [[int(two.argmin()) + 1]]
    if tails == "both":
        three = costs[0, :CELLS, None] + costs[:CELLS, :CELLS] + costs[None, :CELLS, CELLS]
        found.append([int(cell) for cell in np.unravel_index(three.argmin(), three.shape)])
    return found


def _intervals(shares: FloatArray, borders: list[int]) -> list[tuple[int, int]]:
    """Return classes as intervals of cells; a border among empty cells, all equivalent, lies in their middle."""
    filled = np.flatnonzero(shares)
    inner = []
    for border in borders:
        left, right = filled[filled < border], filled[filled >= border]
        inner.append((left[-1] + 1 + right[0]) // 2 if left.size and right.size else border)
    return [(int(start), int(stop)) for start, stop in pairwise([0, *inner, CELLS])]


def class_costs(values: Even, shape: float | None) -> tuple[FloatArray, FloatArray]:
    """Compute the cost of every interval of cells as one class.

    Parameters
    ----------
    values : Even
        Histogram of N cells.
    shape : float, optional
        Shape of all classes; by default each has its own.

    Returns
    -------
    costs : (N + 1, N + 1) float64
        Cost of the cells [i, j), in nats per pixel of the image; infinite where there are none, or no values.
    facts : (4, N + 1, N + 1) float64
        Fraction, mean, standard deviation and shape.
    """
    ratios = np.linspace(_ratio(SHAPES[0]), _ratio(SHAPES[1]), 512)
    table = np.geomspace(*SHAPES, 4096)
    shapes = np.interp(ratios, _ratio(table), table)
    number = len(values.shares)
    costs, facts = np.full((number + 1, number + 1), np.inf), np.zeros((4, number + 1, number + 1))
    width = float(values.edges[1] - values.edges[0])
    _fill(values.shares, values.centres, width, shape or 0.0, ratios[0], ratios[1] - ratios[0], shapes, costs, facts)
    return costs, facts


def _ratio(shape: Any) -> Any:
    """Return mean deviation over standard deviation of a generalised Gaussian, which increases with its shape."""
    from scipy.special import gammaln

    return np.exp(gammaln(2 / shape) - (gammaln(1 / shape) + gammaln(3 / shape)) / 2)


@njit(nogil=True, cache=True)
def _fill(
    shares: Any,
    centres: Any,
    width: float,
    fixed: float,
    smallest: float,
    step: float,
    shapes: Any,
    costs: Any,
    facts: Any,
) -> None:
    number = shares.size
    for i in range(number):
        mass, moment, square = 0.0, 0.0, 0.0
        origin = centres[i]
        for j in range(i, number):
            x = centres[j] - origin
            mass += shares[j]
            moment += shares[j] * x
            square += shares[j] * x * x
            if mass <= 0:
                continue
            mean = origin + moment / mass
            # values are spread within their cell, so no class is narrower than one cell
            variance = max(square / mass - (moment / mass) ** 2, 0.0) + width * width / 12
            deviation = math.sqrt(variance)
            beta = fixed
            if fixed == 0.0:
                spread = 0.0
                for k in range(i, j + 1):
                    spread += shares[k] * abs(centres[k] - mean)
                # values are spread within their cell: a class of one cell has a mean deviation of a quarter of it
                place = (max(spread / mass, width / 4) / deviation - smallest) / step
                beta = shapes[int(min(max(place + 0.5, 0.0), shapes.size - 1.0))]
            root = math.exp((math.lgamma(3 / beta) - math.lgamma(1 / beta)) / 2)
            b = root / deviation
            log_a = math.log(b * beta / 2) - math.lgamma(1 / beta)
            power = 0.0
            if beta == 2.0:
                power = 0.5 * mass
            else:
                for k in range(i, j + 1):
                    if shares[k] > 0:
                        power += shares[k] * (b * abs(centres[k] - mean)) ** beta
            costs[i, j + 1] = power - mass * (log_a + math.log(mass))
            facts[0, i, j + 1] = mass
            facts[1, i, j + 1] = mean
            facts[2, i, j + 1] = deviation
            facts[3, i, j + 1] = beta


def probability_of_change(values: np.ndarray, split: Split) -> np.ndarray:
    """Return the fraction of the mixture density at each value that belongs to the changed classes.

    Parameters
    ----------
    values : ndarray of float32
        Difference image; NaN where invalid.
    split : Split
        From `sarcd.change.kernels.thresholds.kittler.kittler`, with the classes in its facts.

    Returns
    -------
    ndarray of float32
        In [0, 1]; NaN where invalid. 0 if one class sufficed. Constant beyond the mean of an outermost class, where
        only tails would be compared.

    Examples
    --------
    >>> facts = {"shares": [0.9, 0.1], "means": [0.0, 4.0], "deviations": [1.0, 1.0], "shapes": [2.0, 2.0]}
    >>> split = Split("kittler", above=2.5, facts=facts)
    >>> probability_of_change(np.array([0.0, 2.5493, 4.0, 9.0, np.nan]), split).astype(float).round(2).tolist()
    [0.0, 0.5, 1.0, 1.0, nan]
    """
    means = split.facts["means"]
    if not split.found:
        return np.where(np.isnan(values), np.float32(np.nan), np.float32(0))
    unchanged = 0 if split.below is None else len(means) - 1 if split.above is None else 1
    inner = np.clip(np.asarray(values, np.float64), min(means), max(means))
    classes = zip(*(split.facts[name] for name in ("shares", "means", "deviations", "shapes")), strict=True)
    densities = [_log_density(inner, *each) for each in classes]
    highest = np.max(densities, axis=0)  # so that the density of the likeliest class never underflows
    parts = [np.exp(density - highest) for density in densities]
    return np.asarray(1 - parts[unchanged] / np.sum(parts, axis=0), np.float32)


def _log_density(values: np.ndarray, fraction: float, mean: float, deviation: float, shape: float) -> np.ndarray:
    """Return the logarithm of the part of a class in the density; see `kittler` for the symbols."""
    from scipy.special import gammaln

    b = np.exp((gammaln(3 / shape) - gammaln(1 / shape)) / 2) / deviation
    log_a = np.log(b * shape / 2) - gammaln(1 / shape)
    return np.asarray(np.log(fraction) + log_a - (b * np.abs(values - mean)) ** shape)
