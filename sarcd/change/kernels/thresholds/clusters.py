"""Clustering of the values of a difference image: k-means (Otsu's threshold for two), fuzzy c-means and Ward."""

from __future__ import annotations

from typing import Any

import numpy as np

from sarcd.change.kernels.thresholds.histogram import FloatArray, Histogram, Split, Tails, split_of

WARD_SAMPLE = 2000
"""Number of values that `ward` joins; memory grows with its square."""

_FUZZY_ROUNDS, _FUZZY_CHANGE = 1000, 1e-9


def otsu(values: Histogram, *, tails: Tails = "upper") -> Split:
    """Find the thresholds with the largest variance between classes.

    Parameters
    ----------
    values : Histogram
        Histogram of the whole difference image.
    tails : {"upper", "both"}
        Two classes, of which the upper one is changed, or three, of which all but the largest are.

    Returns
    -------
    Split
        Without thresholds where all values fall into fewer cells than there are classes. Its facts: `separability`, the
        fraction of the variance that is between the classes, `centres` and `shares`.

    References
    ----------
    .. [1] Otsu 1979, doi:10.1109/TSMC.1979.4310076, Eq. 12-18.

    Examples
    --------
    >>> from sarcd.change.kernels.thresholds.histogram import count_cells, histogram
    >>> found = otsu(histogram(count_cells(np.array([1, 1.5, 8, 9], "float32"))))
    >>> float(found.above)
    8.0
    """
    return _least_squares("otsu", values, 2 if tails == "upper" else 3, tails)


def kmeans(values: Histogram, *, classes: int | None = None, tails: Tails = "upper") -> Split:
    """Find the classes with the smallest squared distance of values from their centres, over all partitions.

    Parameters
    ----------
    values, tails
        As in `otsu`, whose threshold equals that of two classes.
    classes : int, optional
        Number of classes, by default 2, or 3 with both tails; only the highest, or all but the largest, are changed.

    Returns
    -------
    Split
        As `otsu`.

    Notes
    -----
    Classes of real numbers are intervals, so dynamic programming over their borders finds the optimum that Lloyd's
    iterations only approach [1]_.

    References
    ----------
    .. [1] Wang and Song 2011, doi:10.32614/RJ-2011-015.

    Examples
    --------
    >>> from sarcd.change.kernels.thresholds.histogram import count_cells, histogram
    >>> values = histogram(count_cells(np.array([1, 2, 8, 9, 30], "float32")))
    >>> float(kmeans(values, classes=3).above), float(kmeans(values, classes=2).above)
    (30.0, 30.0)
    """
    return _least_squares("kmeans", values, classes or (2 if tails == "upper" else 3), tails)


def _least_squares(method: str, values: Histogram, classes: int, tails: Tails) -> Split:
    if len(values.counts) < classes:
        return Split(method, None)
    first = _borders(values, classes)
    starts = np.concatenate([[0], first])
    weights = values.counts.astype(float)
    centres = np.add.reduceat(weights * values.centres, starts) / np.add.reduceat(weights, starts)
    mean = np.average(values.centres, weights=weights)
    total = np.average((values.centres - mean) ** 2, weights=weights)
    between = np.average((centres - mean) ** 2, weights=np.add.reduceat(weights, starts))
    fractions = np.add.reduceat(weights, starts) / values.total
    facts = _facts(centres, fractions) | {"separability": float(between / total)}
    return split_of(method, [float(values.low[cell]) for cell in first], fractions.tolist(), tails, facts)


def _facts(centres: np.ndarray, fractions: np.ndarray) -> dict[str, Any]:
    return {"centres": [float(centre) for centre in centres], "shares": [float(fraction) for fraction in fractions]}


def _borders(values: Histogram, classes: int) -> np.ndarray:
    """Return the first cell of every class but the first, (classes - 1,) int."""
    number = len(values.counts)
    weights = values.counts / values.total
    middle = np.average(values.centres, weights=weights)  # sums of squares about the mean lose fewer digits
    x = values.centres - middle
    mass, moment = (np.concatenate([[0.0], np.cumsum(part)]) for part in (weights, weights * x))

    def gain(start: np.ndarray | int, stop: int | np.ndarray) -> np.ndarray:
        """Weighted square of the mean of cells [start, stop): the reduction of the sum of squares by their class."""
        return np.asarray((moment[stop] - moment[start]) ** 2 / (mass[stop] - mass[start]))

    # best[j] is the largest reduction by classes of the cells [0, j); each round adds one class
    best = np.concatenate([[-np.inf], gain(0, np.arange(1, number + 1))])
    choices = []
    for made in range(1, classes):
        choice, better = np.zeros(number + 1, np.int64), np.full(number + 1, -np.inf)
        for stop in range(made + 1, number + 1) if made < classes - 1 else (number,):
            starts = np.arange(made, stop)
            found = best[starts] + gain(starts, stop)
            choice[stop] = starts[found.argmax()]
            better[stop] = found.max()
        best = better
        choices.append(choice)
    borders = [number]
    for choice in reversed(choices):
        borders.append(int(choice[borders[-1]]))
    return np.array(borders[:0:-1])


def fuzzy(values: Histogram, *, tails: Tails = "upper", exponent: float = 2.0) -> Split:
    """Apply fuzzy c-means: every value belongs to each class by a degree, largest for the nearest one.

    Parameters
    ----------
    values, tails
        As in `otsu`.
    exponent : float
        Fuzziness, above 1.

    Returns
    -------
    Split
        At equal degrees, halfway between neighbouring centres. Its facts: `centres` and `shares`.

    References
    ----------
    .. [1] Bezdek, Ehrlich and Full 1984, doi:10.1016/0098-3004(84)90020-7.

    Examples
    --------
    >>> from sarcd.change.kernels.thresholds.histogram import count_cells, histogram
    >>> found = fuzzy(histogram(count_cells(np.array([0, 1, 9, 10], "float32"))))
    >>> round(found.above, 1)
    5.0
    """
    start = _least_squares("fuzzy", values, 2 if tails == "upper" else 3, tails)
    if not start.found:
        return start
    centres, x, weights = np.array(start.facts["centres"]), values.centres, values.counts / values.total
    size = float(x[-1] - x[0])
    for _ in range(_FUZZY_ROUNDS):
        powered = memberships(x, centres, exponent) ** exponent * weights
        moved = powered @ x / powered.sum(1)
        done = np.abs(moved - centres).max() <= _FUZZY_CHANGE * size
        centres = moved
        if done:
            break
    centres = np.sort(centres)
    borders = [float(border) for border in (centres[1:] + centres[:-1]) / 2]
    fractions = np.diff([0.0, *values.share_below(np.array(borders)), 1.0])
    return split_of("fuzzy", borders, fractions.tolist(), tails, _facts(centres, fractions))


def memberships(x: np.ndarray, centres: np.ndarray, exponent: float = 2.0) -> FloatArray:
    """Return the degree to which values belong to each class.

    Parameters
    ----------
    x : (N,) float64
        Values.
    centres : (C,) float64
        Centres of the classes.
    exponent : float
        Fuzziness, above 1.

    Returns
    -------
    (C, N) float64
        In [0, 1]; sums to 1 over the classes.

    Examples
    --------
    >>> memberships(np.array([0.0, 1.0]), np.array([0.0, 3.0])).round(2).tolist()
    [[1.0, 0.8], [0.0, 0.2]]
    """
    distance = np.abs(x[None] - centres[:, None])
    nearest = distance.min(0)
    # relative to the nearest centre: powers stay in the range of floats, and a value on a centre belongs to it alone
    closeness = np.where(
        nearest > 0,
        (nearest / np.where(distance > 0, distance, 1)) ** (2 / (exponent - 1)),
        (distance == 0).astype(float),
    )
    return np.asarray(closeness / closeness.sum(0))


def ward(values: Histogram, *, classes: int | None = None, tails: Tails = "upper") -> Split:
    """Cluster by repeatedly joining the two clusters whose union adds the smallest squared distance from centres.

    Parameters
    ----------
    values, classes, tails
        As in `kmeans`.

    Returns
    -------
    Split
        Halfway between the neighbouring values of two classes. Its facts: `centres` and `shares`.

    Notes
    -----
    The joined values are 2,000 evenly spaced quantiles of the whole image, a sample without randomness.

    References
    ----------
    .. [1] Ward 1963, doi:10.1080/01621459.1963.10500845.

    Examples
    --------
    >>> from sarcd.change.kernels.thresholds.histogram import count_cells, histogram
    >>> found = ward(histogram(count_cells(np.array([0, 1, 9, 10], "float32"))))
    >>> 1 < found.above < 9
    True
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    number = classes or (2 if tails == "upper" else 3)
    if len(values.counts) < number:
        return Split("hierarchical", None)
    sample = np.sort(values.quantiles((np.arange(WARD_SAMPLE) + 0.5) / WARD_SAMPLE))
    labels = fcluster(linkage(sample[:, None], "ward"), number, "maxclust")
    last = np.flatnonzero(np.diff(labels))  # clusters of real numbers are intervals
    borders = [float(border) for border in (sample[last] + sample[last + 1]) / 2]
    parts = np.split(sample, last + 1)
    centres, fractions = (
        np.array([part.mean() for part in parts]),
        np.array([len(part) for part in parts]) / WARD_SAMPLE,
    )
    return split_of("hierarchical", borders, fractions.tolist(), tails, _facts(centres, fractions))
