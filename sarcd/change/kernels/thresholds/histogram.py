"""Histograms of floats that need no limits beforehand, and thresholding rules fitted to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np

IntArray = np.ndarray[Any, np.dtype[np.int64]]
FloatArray = np.ndarray[Any, np.dtype[np.float64]]

_SHIFT = 15
_CELLS = 1 << (32 - _SHIFT)
"""One cell for each value of sign, exponent and 8 bits of the mantissa: 256 cells per doubling."""


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of values in adjoining or separate cells, ``low <= value < high``, none of them empty.

    Parameters
    ----------
    low, high : (N,) float64
        Borders of the cells, ascending.
    counts : (N,) int64
        Number of values in each, above 0.
    """

    low: FloatArray
    high: FloatArray
    counts: IntArray

    @property
    def total(self) -> int:
        """Number of values."""
        return int(self.counts.sum())

    @property
    def centres(self) -> FloatArray:
        """Middle of each cell, (N,) float64."""
        return (self.low + self.high) / 2

    def quantiles(self, fractions: Iterable[float]) -> FloatArray:
        """Return the values below which these fractions lie, values spread uniformly within their cell."""
        wanted = np.asarray(list(fractions), float) * self.total
        ends = np.cumsum(self.counts)
        cell = np.clip(np.searchsorted(ends, wanted, side="left"), 0, len(ends) - 1)
        within = (wanted - (ends[cell] - self.counts[cell])) / self.counts[cell]
        return np.asarray(self.low[cell] + np.clip(within, 0, 1) * (self.high[cell] - self.low[cell]))

    def share_below(self, values: np.ndarray) -> FloatArray:
        """Return the fraction that lies below each of some values, values spread uniformly within their cell."""
        # where a cell touches the next, its end is the start of the next
        borders = np.stack([self.low, self.high], axis=1).ravel()
        ends = np.cumsum(self.counts)
        below = np.stack([ends - self.counts, ends], axis=1).ravel() / self.total
        return np.asarray(np.interp(values, borders, below))

    def median_and_spread(self) -> tuple[float, float]:
        """Return the median, and the standard deviation of a Gaussian with the same median absolute deviation."""
        median = float(self.quantiles([0.5])[0])
        distance = np.abs(self.centres - median)
        order = np.argsort(distance, kind="stable")
        middle = np.searchsorted(np.cumsum(self.counts[order]), self.total / 2)
        return median, 1.482602218505602 * float(distance[order][middle])

    def even(self, cells: int) -> Even:
        """Return the same values in cells of equal width.

        They extend from the minimum to the maximum, but no further beyond the inner 99.98 % of values than these are
        wide; values further out are counted in the last cell.
        """
        inner = self.quantiles([1e-4, 1 - 1e-4])
        width = inner[1] - inner[0]
        start, stop = max(self.low[0], inner[0] - width), min(self.high[-1], inner[1] + width)
        if not stop > start:  # practically one value
            start, stop = self.low[0], max(self.high[-1], np.nextafter(self.low[0], np.inf))
        edges = np.linspace(start, stop, cells + 1)
        below = self.share_below(edges)
        below[0], below[-1] = 0.0, 1.0
        return Even(edges, np.diff(below))


@dataclass(frozen=True, eq=False)
class Even:
    """Fractions of values in cells of equal width.

    Parameters
    ----------
    edges : (N + 1,) float64
        Borders of the cells.
    shares : (N,) float64
        Sum to 1.
    """

    edges: FloatArray
    shares: FloatArray

    @property
    def centres(self) -> FloatArray:
        """Middle of each cell, (N,) float64."""
        return np.asarray((self.edges[1:] + self.edges[:-1]) / 2)


def count_cells(values: np.ndarray) -> IntArray:
    """Count the finite values of an array in each cell.

    Parameters
    ----------
    values : ndarray of float32
        Values that are not finite are ignored.

    Returns
    -------
    (131072,) int64
        Counts, which can be added over the parts of a scene; `histogram` reads them.
    """
    values = np.ascontiguousarray(values, np.float32).ravel()
    bits = (values[np.isfinite(values)] + np.float32(0)).view(np.int32)  # -0.0 + 0.0 is 0.0
    ordered = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)  # sorts like the values
    return np.bincount((ordered >> _SHIFT) + _CELLS // 2, minlength=_CELLS)


def histogram(counts: np.ndarray) -> Histogram:
    """Return the histogram of the counts from `count_cells`.

    Examples
    --------
    >>> found = histogram(count_cells(np.array([-1, 0, 2, 2, np.nan], "float32")))
    >>> found.counts.tolist(), found.low.round(2).tolist()
    ([1, 1, 2], [-1.0, 0.0, 2.0])
    """
    cell = np.flatnonzero(counts)
    return Histogram(_border(cell), _border(cell + 1), np.asarray(counts[cell], np.int64))


def _border(cell: IntArray) -> FloatArray:
    """Return the lower border of each cell."""
    ordered = ((cell - _CELLS // 2) << _SHIFT).astype(np.int32)
    bits = np.where(ordered < 0, ordered ^ np.int32(0x7FFFFFFF), ordered)
    return bits.view(np.float32).astype(np.float64)


Tails = Literal["upper", "both"]

UNKNOWN = 255


@dataclass(frozen=True)
class Split:
    """Thresholding rule: values at or above one threshold, or below another, are changed.

    Parameters
    ----------
    method : str
        Method that found the thresholds.
    above : float or None
        Lower limit of change; None if no class of larger values was found.
    below : float or None
        Upper limit of change, for a signed difference; None if there is none.
    facts : dict of str to float
        Further results of the fit, such as the criterion and the centres of the classes.
    """

    method: str
    above: float | None
    below: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def found(self) -> bool:
        """Whether there is a second class at all; without one nothing is changed."""
        return self.above is not None or self.below is not None

    @property
    def halo(self) -> tuple[int, int]:
        """Pixels beyond its own on which the result depends."""
        return 0, 0

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Apply the rule.

        Parameters
        ----------
        values : ndarray of float32
            Difference image; NaN where invalid.

        Returns
        -------
        ndarray of uint8
            1 changed, 0 not, 255 where invalid.

        Examples
        --------
        >>> Split("otsu", above=1.0).apply(np.array([0.5, 1.0, np.nan])).tolist()
        [0, 1, 255]
        """
        changed = np.zeros(values.shape, bool)
        if self.above is not None:
            changed |= values >= self.above
        if self.below is not None:
            changed |= values < self.below
        return np.where(np.isnan(values), np.uint8(UNKNOWN), changed.astype(np.uint8))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that can be stored in attributes."""
        return {"method": self.method, "above": self.above, "below": self.below, "facts": dict(self.facts)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        return cls(values["method"], values["above"], values["below"], dict(values["facts"]))


def split_of(
    method: str, borders: Sequence[float], fractions: Sequence[float], tails: Tails, facts: dict[str, Any]
) -> Split:
    """Return the rule for borders between classes, ascending, and the fraction of the pixels in each class.

    The highest class is changed; with both tails, all but the largest one.

    Examples
    --------
    >>> split_of("kmeans", [-1.0, 2.0], [0.1, 0.8, 0.1], "both", {}).below
    -1.0
    >>> split_of("kmeans", [-1.0, 2.0], [0.1, 0.8, 0.1], "upper", {}).below is None
    True
    """
    if not borders:
        return Split(method, None, facts=facts)
    if tails == "upper":
        return Split(method, float(borders[-1]), facts=facts)
    largest = int(np.argmax(fractions))
    above = float(borders[largest]) if largest < len(borders) else None
    return Split(method, above, float(borders[largest - 1]) if largest else None, facts)
