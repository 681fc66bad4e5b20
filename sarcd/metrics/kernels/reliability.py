"""How far probabilities can be believed: calibration and loss, from whole numbers that add up over chunks."""

from __future__ import annotations

from typing import Any

import numpy as np

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
CountArray = np.ndarray[Any, np.dtype[np.int64]]

# Sums of fractions are kept as whole numbers of these units: their sum does not depend on the order of the chunks, and
# 2^33 pixels fit. A loss is 16 at most, a probability and its square 1.
_UNIT = 2.0**-30
_LOSS_UNIT = 2.0**-26
_SMALLEST = 2.0**-23  # a probability counts as no nearer than this to 0 and 1 in the logarithm: float32's epsilon


def reliability_counts(probability: np.ndarray, changed: np.ndarray, bins: int) -> CountArray:
    """Count what `reliability` needs.

    Parameters
    ----------
    probability : (N,) floating point
        0 to 1.
    changed : (N,) bool
        The truth.
    bins : int
        Number of bins of equal width; each holds its lower edge, the last its upper one too.

    Returns
    -------
    (bins, 3) int64
        Pixels, their probabilities added up in units of 2^-30, changed pixels. Adds up over chunks.
    """
    probability = np.asarray(probability, np.float64)
    index = np.minimum((probability * bins).astype(np.int64), bins - 1)
    whole = np.rint(probability / _UNIT)  # bincount adds in float64: exact below 2^53, which 2^23 pixels do not reach
    parts = range(0, max(len(index), 1), 1 << 22)
    added = sum(
        np.bincount(index[i : i + (1 << 22)], whole[i : i + (1 << 22)], minlength=bins).astype(np.int64) for i in parts
    )
    return np.stack(
        [np.bincount(index, minlength=bins), added, np.bincount(index[changed], minlength=bins)], axis=-1
    ).astype(np.int64)


def reliability(counts: np.ndarray) -> tuple[FloatArray, FloatArray]:
    """Return mean probability and share of changed pixels of each bin; NaN where a bin is empty.

    Parameters
    ----------
    counts : (..., bins, 3) int
        Of `reliability_counts`.

    Returns
    -------
    mean_probability, changed_share : (..., bins) float64
    """
    pixels, added, changed = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    some = np.where(pixels > 0, pixels, np.nan)
    return added * _UNIT / some, changed / some


def calibration_error(counts: np.ndarray) -> FloatArray:
    """Return the expected calibration error: sum over bins of n_b / N abs(mean probability - share changed) [1]_.

    Parameters
    ----------
    counts : (..., bins, 3) int
        Of `reliability_counts`.

    Returns
    -------
    (...) float64
        0 to 1; NaN without any pixel.

    References
    ----------
    .. [1] M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning",
       AAAI 2015, doi:10.1609/aaai.v29i1.9602; of the probability of change, not of the likelier class.

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
    """Add up squared error and logarithmic loss.

    Parameters
    ----------
    probability : (N,) floating point
        0 to 1.
    changed : (N,) bool
        The truth.

    Returns
    -------
    (2,) int64
        In units of 2^-30 and 2^-26. Adds up over chunks.
    """
    probability = np.asarray(probability, np.float64)
    of_truth = np.where(changed, probability, 1 - probability)
    loss = -np.log(np.clip(of_truth, _SMALLEST, 1 - _SMALLEST))
    squares, losses = np.rint((1 - of_truth) ** 2 / _UNIT), np.rint(loss / _LOSS_UNIT)
    return np.array([squares.astype(np.int64).sum(), losses.astype(np.int64).sum()])


def mean_losses(sums: np.ndarray, pixels: Any) -> tuple[FloatArray, FloatArray]:
    """Return Brier score and mean negative logarithm of the probability given to the truth, in nats.

    Parameters
    ----------
    sums : (..., 2) int
        Of `loss_sums`.
    pixels : (...) int
        How many were summed.

    Returns
    -------
    brier, log_loss : (...) float64
        NaN without any pixel. A probability counts as no nearer than 2^-23 to 0 and 1 in the logarithm.

    Examples
    --------
    >>> [float(loss) for loss in mean_losses(loss_sums(np.array([0.5, 0.5]), np.array([True, False])), 2)]
    [0.25, 0.6931471824645996]
    """
    some = np.where(np.asarray(pixels) > 0, pixels, np.nan)
    sums = np.asarray(sums, np.float64)
    return sums[..., 0] * _UNIT / some, sums[..., 1] * _LOSS_UNIT / some
