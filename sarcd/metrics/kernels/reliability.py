"""Calibration and loss of probabilities, from integers that can be added over chunks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
CountArray = np.ndarray[Any, np.dtype[np.int64]]

# Sums of fractions are kept as integers in these units: their sum does not depend on the order of the chunks, and 2^33
# pixels fit. A loss is at most 16, a probability and its square at most 1.
_UNIT = 2.0**-30
_LOSS_UNIT = 2.0**-26
_SMALLEST = 2.0**-23  # probabilities are clipped this far from 0 and 1 in the logarithm: float32's epsilon


def reliability_counts(probability: np.ndarray, changed: np.ndarray, bins: int) -> CountArray:
    """Count the pixels that `reliability` needs.

    Parameters
    ----------
    probability : (N,) floating point
        0 to 1.
    changed : (N,) bool
        The truth.
    bins : int
        Number of bins of equal width; each includes its lower edge, the last one also its upper edge.

    Returns
    -------
    (bins, 3) int64
        Pixels, sum of their probabilities in units of 2^-30, changed pixels. Can be added over chunks.
    """
    probability = np.asarray(probability, np.float64)
    index = np.minimum((probability * bins).astype(np.int64), bins - 1)
    whole = np.rint(probability / _UNIT)  # bincount adds in float64, exact below 2^53, which 2^23 pixels do not reach
    parts = range(0, max(len(index), 1), 1 << 22)
    added = sum(
        np.bincount(index[i : i + (1 << 22)], whole[i : i + (1 << 22)], minlength=bins).astype(np.int64) for i in parts
    )
    return np.stack(
        [np.bincount(index, minlength=bins), added, np.bincount(index[changed], minlength=bins)], axis=-1
    ).astype(np.int64)


def reliability(counts: np.ndarray) -> tuple[FloatArray, FloatArray]:
    """Return mean probability and fraction of changed pixels of each bin; NaN where a bin is empty.

    Parameters
    ----------
    counts : (..., bins, 3) int
        From `reliability_counts`.

    Returns
    -------
    mean_probability, changed_fraction : (..., bins) float64
    """
    pixels, added, changed = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    some = np.where(pixels > 0, pixels, np.nan)
    return added * _UNIT / some, changed / some


def calibration_error(counts: np.ndarray) -> FloatArray:
    """Return the expected calibration error: sum over bins of n_b / N abs(mean probability - fraction changed) [1]_.

    Parameters
    ----------
    counts : (..., bins, 3) int
        From `reliability_counts`.

    Returns
    -------
    (...) float64
        0 to 1; NaN without any pixel.

    References
    ----------
    .. [1] M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning",
       AAAI 2015, doi:10.1609/aaai.v29i1.9602; here for the probability of change, not of the more likely class.

    Examples
    --------
    >>> counts = reliability_counts(np.array([0.25, 0.25, 0.75, 0.75]), np.array([False, True, True, True]), 2)
    >>> float(calibration_error(counts))
    0.25
    """
    pixels, added, changed = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    total = pixels.sum(axis=-1)
    gap = np.abs(added * _UNIT - changed).sum(axis=-1)
    return np.where(total > 0, gap / np.where(total > 0, total, 1), np.nan)


def loss_sums(probability: np.ndarray, changed: np.ndarray) -> CountArray:
    """Add squared error and logarithmic loss.

    Parameters
    ----------
    probability : (N,) floating point
        0 to 1.
    changed : (N,) bool
        The truth.

    Returns
    -------
    (2,) int64
        In units of 2^-30 and 2^-26. Can be added over chunks.
    """
    probability = np.asarray(probability, np.float64)
    of_truth = np.where(changed, probability, 1 - probability)
    loss = -np.log(np.clip(of_truth, _SMALLEST, 1 - _SMALLEST))
    squares, losses = np.rint((1 - of_truth) ** 2 / _UNIT), np.rint(loss / _LOSS_UNIT)
    return np.array([squares.astype(np.int64).sum(), losses.astype(np.int64).sum()])


def mean_losses(sums: np.ndarray, pixels: Any) -> tuple[FloatArray, FloatArray]:
    """Return Brier score and mean negative logarithm of the probability of the true class, in nats.

    Parameters
    ----------
    sums : (..., 2) int
        From `loss_sums`.
    pixels : (...) int
        Number of pixels.

    Returns
    -------
    brier, log_loss : (...) float64
        NaN without any pixel. Probabilities are clipped 2^-23 from 0 and 1 in the logarithm.

    Examples
    --------
    >>> [float(loss) for loss in mean_losses(loss_sums(np.array([0.5, 0.5]), np.array([True, False])), 2)]
    [0.25, 0.6931471824645996]
    """
    some = np.where(np.asarray(pixels) > 0, pixels, np.nan)
    sums = np.asarray(sums, np.float64)
    return sums[..., 0] * _UNIT / some, sums[..., 1] * _LOSS_UNIT / some


Float32Array = np.ndarray[Any, np.dtype[np.float32]]
IndexArray = np.ndarray[Any, np.dtype[np.int64]]
Kind = Literal["probability", "score"]

_MANTISSA = 23  # bits of the mantissa of float32
# Octaves with bins of their own; smaller values share one bin, as do larger ones. Above 0.5 a float32 is a multiple of
# 2^-24, so no two probabilities near 1 share a bin because of the lower limit.
_OCTAVES: dict[Kind, tuple[int, int]] = {"probability": (-25, -1), "score": (-32, 32)}


@dataclass(frozen=True)
class Bins:
    """Binning of scores, ascending; each bin includes its lower edge.

    Bins of a probability are fine towards 0 and 1: narrower than ``2**-bits`` of the distance to the nearer of the two.
    Those of any other score are fine towards 0, from both sides.

    Parameters
    ----------
    kind : {"probability", "score"}
        Range of the score: 0 to 1, or any number.
    bits : int
        Bins per octave, as a power of two: 0 to 23, which would separate all float32 values.

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
        """Rank of values above all octaves."""
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
        """Return 0 below all octaves, otherwise the number of the part of an octave, closed below or above."""
        shift = _MANTISSA - self.bits
        pattern = np.ascontiguousarray(size).view(np.uint32).astype(np.int64) & 0x7FFFFFFF  # -0.0 is 0
        rank = ((pattern - closed_above) >> shift) - (_pattern(2.0 ** _OCTAVES[self.kind][0]) >> shift) + 1
        return np.asarray(np.clip(rank, 0, self._top))

    def edges(self) -> Float32Array:
        """Return the lower edge of each bin: ``values >= edges[k]`` is ``index(values) >= k``, for any float32."""
        return _edges(self)

    def single(self) -> np.ndarray:
        """Return, as bool, which bins can hold only a single float32."""
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
        # A float32 between the edge and its lower neighbour must not fall into this bin.
        above = np.where(rounded < upper, np.nextafter(rounded, np.float32(2)), rounded)
        edges = np.concatenate([[np.float32(0)], starts[:-1], above])
    else:
        edges = np.concatenate([[-np.inf], -starts[::-1], [0.0], starts])
    edges = edges.astype(np.float32)
    edges.setflags(write=False)
    return edges
