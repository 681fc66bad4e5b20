"""How likely a pixel changed, given its p-value and those of the whole scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sarcd.change.kernels.thresholds.histogram import Histogram

_ROUNDS, _STEP = 2000, 1e-9
_LN10 = float(np.log(10))


@dataclass(frozen=True)
class TwoGroups:
    """A beta-uniform mixture of p-values: those of unchanged ground even, those of changed ground heaped at 0.

    Parameters
    ----------
    share : float
        Of the pixels in the heap, in [0, 1); 0 where the p-values are those of unchanged ground alone.
    exponent : float
        The heap's density is ``exponent * p ** (exponent - 1)``, in (0, 1].
    """

    share: float
    exponent: float

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """Return how likely each pixel changed.

        Parameters
        ----------
        scores : ndarray of float32
            -log10 of p-values, NaN where unknown.

        Returns
        -------
        ndarray of float32
            ``1 - f(1) / f(p)``, in [0, 1): the least that the mixture's density f says, since what it has left at
            p = 1 is all taken for unchanged ground. It grows with the score, from 0 at p = 1. NaN where unknown.

        Examples
        --------
        >>> TwoGroups(0.1, 0.1).probability(np.array([0.0, 2.0, 6.0])).astype(float).round(2).tolist()
        [0.0, 0.41, 1.0]
        """
        grown = np.exp((1 - self.exponent) * _LN10 * np.asarray(scores, np.float64))
        even, heaped = 1 - self.share, self.share * self.exponent
        return np.asarray(1 - (even + heaped) / (even + heaped * grown), np.float32)


def fit_two_groups(scores: Histogram, *, correlated: float = 1.0) -> TwoGroups:
    """Fit the mixture by its likelihood, if there are two groups.

    Parameters
    ----------
    scores : Histogram
        Of -log10 of the p-values of a whole scene.
    correlated : float
        Pixels that tell about as much as one, such as those of a window that moves by one pixel at a time.

    Returns
    -------
    TwoGroups
        With a share of 0 unless the two groups are likelier by more than Bayes' criterion asks of two parameters.

    Notes
    -----
    ``-ln p`` of an even p-value is exponential with rate 1, that of the heap with rate `exponent`, so that the fit is
    of a mixture of two exponentials, by expectation and maximisation [1]_.

    References
    ----------
    .. [1] Pounds and Morris 2003, doi:10.1093/bioinformatics/btg148.

    Examples
    --------
    >>> from sarcd.change.kernels.thresholds.histogram import count_cells, histogram
    >>> rng = np.random.default_rng(0)
    >>> p = np.concatenate([rng.random(90_000), rng.random(10_000) ** 10])
    >>> found = fit_two_groups(histogram(count_cells(-np.log10(p).astype("float32"))))
    >>> round(found.share, 2), round(found.exponent, 2)
    (0.1, 0.1)
    """
    surprise, weights = scores.centres * _LN10, scores.counts / scores.total
    share, exponent = 0.1, 0.1
    for _ in range(_ROUNDS):
        heaped = share * exponent * np.exp((1 - exponent) * surprise)
        belongs = weights * heaped / (1 - share + heaped)
        total = float(belongs.sum())
        moved = total, min(total / max(float((belongs * surprise).sum()), 1e-300), 1.0)
        done = abs(moved[0] - share) + abs(moved[1] - exponent) < _STEP
        share, exponent = moved
        if done:
            break
    heaped = share * exponent * np.exp((1 - exponent) * surprise)
    gain = float((weights * np.log(1 - share + heaped)).sum())  # over even p-values alone, in nats a pixel
    number = scores.total / correlated
    if not gain * number > np.log(max(number, 1.0)):
        return TwoGroups(0.0, 1.0)
    return TwoGroups(share, exponent)
