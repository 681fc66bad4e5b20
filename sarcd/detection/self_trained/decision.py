"""From probabilities to a decision: the threshold that promises the best map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BINS = 200


@dataclass(frozen=True)
class Decision:
    """A threshold, and what it promises if the probabilities are right.

    Parameters
    ----------
    threshold : float
        Probability from which a pixel is called changed.
    kappa : float
        Expected kappa, in [0, 1].
    flagged, changed : float
        Shares of the pixels that are called changed, and that are expected to have changed.
    """

    threshold: float
    kappa: float
    flagged: float
    changed: float


def best_threshold(scores: np.ndarray, *, lowest: float, least_kappa: float, least_gain: float) -> Decision:
    """Choose the threshold of the largest expected kappa.

    Where changes are seen dimly most of them have a probability under one half, and a threshold of one half leaves them
    all out. If probabilities are right, hits and false alarms of every threshold can be counted without labels.

    Parameters
    ----------
    scores : (N,) float
        Probabilities of a sample of the scene.
    lowest : float
        Lowest threshold that is chosen; the highest is 0.5.
    least_kappa, least_gain : float
        Expected kappa, and what it gains over that of 0.5, from which a lower threshold is taken: where little is
        promised there may be no change, and probabilities are not so right that small gains would be real.

    Examples
    --------
    >>> scores = np.repeat([0.01, 0.412, 0.9], [900, 80, 20])
    >>> round(best_threshold(scores, lowest=0.2, least_kappa=0.2, least_gain=0.05).threshold, 2)
    0.41
    """
    edges = np.arange(_BINS + 1) / _BINS
    counts, _ = np.histogram(scores, edges)
    middles = (edges[:-1] + edges[1:]) / 2
    # of the pixels at or above the lower edge of each bin
    flagged = np.cumsum(counts[::-1])[::-1].astype(float)
    hits = np.cumsum((counts * middles)[::-1])[::-1]
    total, changed = float(counts.sum()), float((counts * middles).sum())
    agreed = (total - flagged - changed + 2 * hits) / total
    by_chance = (flagged * changed + (total - flagged) * (total - changed)) / total**2
    kappa = np.divide(agreed - by_chance, 1 - by_chance, out=np.zeros_like(agreed), where=by_chance < 1)
    allowed = (edges[:-1] >= lowest - 1e-9) & (edges[:-1] <= 0.5 + 1e-9)
    best = int(np.flatnonzero(allowed & (kappa >= kappa[allowed].max()))[-1])  # the highest of equals
    half = _BINS // 2
    if kappa[best] < least_kappa or kappa[best] - kappa[half] < least_gain:
        best = half
    return Decision(float(edges[best]), float(kappa[best]), float(flagged[best] / total), changed / total)
