"""Bins of scores, cut along the bits of float32: histograms that add up over chunks, with exact edges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

Float32Array = np.ndarray[Any, np.dtype[np.float32]]
IndexArray = np.ndarray[Any, np.dtype[np.int64]]
Kind = Literal["probability", "score"]

_MANTISSA = 23  # bits of a float32's fraction
# Octaves that have bins of their own; what is smaller, or larger, shares one. Above 0.5 a float32 is a multiple of
# 2^-24, so that no two probabilities near 1 share a bin because of the lower end.
_OCTAVES: dict[Kind, tuple[int, int]] = {"probability": (-25, -1), "score": (-32, 32)}


@dataclass(frozen=True)
class Bins:
    """A cut of the scores into bins that rise with the score; each holds its lower edge.

    A probability is cut finely towards 0 and towards 1: a bin is narrower than ``2**-bits`` of the distance to the
    nearer of the two. Any other score is cut finely towards 0, from both sides.

    Parameters
    ----------
    kind : {"probability", "score"}
        What is cut: 0 to 1, or any number.
    bits : int
        Bins in an octave, as a power of two: 0 to 23, which would part all float32 values.

    Examples
    --------
    >>> bins = Bins("probability", 2)
    >>> bins.index(np.array([0.0, 0.3, 0.5, 1.0], np.float32)).tolist(), bins.count
    ([0, 93, 97, 193], 194)
    >>> bins.edges()[[0, 93, 97, 193]].tolist()
    [0.0, 0.25, 0.5, 1.0]
    """

    kind: Kind
    bits: int

    @property
    def count(self) -> int:
        """Number of bins."""
        return 2 * self._top + (2 if self.kind == "score" else 0)

    @property
    def _top(self) -> int:
        """Rank of what lies above all octaves."""
        lowest, highest = _OCTAVES[self.kind]
        return ((highest - lowest) << self.bits) + 1

    def index(self, values: np.ndarray) -> IndexArray:
        """Return the bin of each value.

        Parameters
        ----------
        values : floating point, any shape
            Rounded to float32; without NaN. Probabilities outside 0 to 1 fall into the first or the last bin.

        Returns
        -------
        int64, same shape
        """
        values = np.asarray(values, np.float32)
        if self.kind == "probability":
            values = np.clip(values, np.float32(0), np.float32(1))
            low = values < 0.5
            rank = self._rank(np.where(low, values, 1 - values), closed_above=~low)  # exact: 1 - p of p in [0.5, 1]
            return np.where(low, rank, 2 * self._top - 1 - rank)
        negative = values < 0
        rank = self._rank(np.abs(values), closed_above=negative)
        return np.where(negative, self._top - rank, self._top + 1 + rank)

    def _rank(self, size: Float32Array, *, closed_above: np.ndarray) -> IndexArray:
        """Return 0 below all octaves, else the number of the part of an octave, closed below or above."""
        shift = _MANTISSA - self.bits
        pattern = np.ascontiguousarray(size).view(np.uint32).astype(np.int64) & 0x7FFFFFFF  # -0.0 is 0
        rank = ((pattern - closed_above) >> shift) - (_pattern(2.0 ** _OCTAVES[self.kind][0]) >> shift) + 1
        return np.asarray(np.clip(rank, 0, self._top))

    def edges(self) -> Float32Array:
        """Return the lower edge of each bin: ``values >= edges[k]`` is ``index(values) >= k``, for any float32."""
        return _edges(self)

    def single(self) -> np.ndarray:
        """Return, as bool, which bins have room for one float32 alone."""
        edges = self.edges()
        return np.append(np.nextafter(edges[:-1], np.float32(np.inf)) >= edges[1:], self.kind == "probability")


def _pattern(value: float) -> int:
    return int(np.float32(value).view(np.uint32))


@lru_cache(maxsize=8)
def _edges(bins: Bins) -> Float32Array:
    shift = _MANTISSA - bins.bits
    first = _pattern(2.0 ** _OCTAVES[bins.kind][0])
    starts = (first + (np.arange(bins._top, dtype=np.int64) << shift)).astype(np.uint32).view(np.float32)
    if bins.kind == "probability":
        upper = 1 - starts[::-1].astype(np.float64)
        rounded = upper.astype(np.float32)
        # A float32 between the edge and its neighbour below must not pass for one of this bin.
        above = np.where(rounded < upper, np.nextafter(rounded, np.float32(2)), rounded)
        edges = np.concatenate([[np.float32(0)], starts[:-1], above])
    else:
        edges = np.concatenate([[-np.inf], -starts[::-1], [0.0], starts])
    edges = edges.astype(np.float32)
    edges.setflags(write=False)
    return edges
