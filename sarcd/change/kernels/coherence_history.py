"""Coherence against what it was before on the same ground."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FAIR = 0.6
"""Share of the best pair's coherence from which on an earlier pair tells what the ground is like."""

_HIGHEST = 1 - 1e-6
"""Coherence from which the transform grows no further."""


def fisher(coherence: np.ndarray) -> np.ndarray:
    """Transform coherence so that its spread hardly depends on it: ``artanh(g)``.

    Parameters
    ----------
    coherence : ndarray of float32
        In [0, 1].

    Returns
    -------
    ndarray of float64
        0 or above; NaN stays.

    Examples
    --------
    >>> fisher(np.array([0.0, 0.5])).round(3).tolist()
    [0.0, 0.549]
    """
    return np.arctanh(np.minimum(coherence.astype(np.float64), _HIGHEST))


def matched(past: Sequence[np.ndarray], scales: Sequence[float] | None) -> list[np.ndarray]:
    """Return past coherences as the scene would have them in the pair in question, without pairs that tell little.

    Parameters
    ----------
    past : sequence of M (Y, X) float32
        Coherence of earlier pairs.
    scales : sequence of M + 1 float, or None
        Coherence of the scene in each of them, and last in the pair in question, over what it is as a rule; by None
        they are alike.

    Returns
    -------
    list of (Y, X) float32
        Those of pairs that have at least `FAIR` of the coherence of the best.

    Examples
    --------
    >>> past = [np.array([[0.8]]), np.array([[0.2]])]
    >>> [layer.round(2).tolist() for layer in matched(past, (1.0, 0.3, 0.5))]
    [[[0.4]]]
    """
    if not scales:
        return list(past)
    least = FAIR * max(scales[:-1])
    return [layer * np.float32(scales[-1] / one) for layer, one in zip(past, scales[:-1], strict=True) if one >= least]


def coherence_loss(event: np.ndarray, *past: np.ndarray, scales: Sequence[float] | None = None) -> np.ndarray:
    """How much lower coherence is than in the mean before, after Fisher's transform.

    Parameters
    ----------
    event : (Y, X) float32
        Coherence of the pair in question.
    past : (Y, X) float32, one or more
        Coherence of earlier pairs; NaN where undefined, which takes no part.
    scales : sequence of float, optional
        Of the whole scene in these pairs, see `matched`.

    Returns
    -------
    (Y, X) float32
        Above 0 where coherence was lost; NaN where `event` or all the past is undefined.

    Examples
    --------
    >>> coherence_loss(np.array([[0.2]]), np.array([[0.6]]), np.array([[np.nan]])).round(2)
    array([[0.49]], dtype=float32)
    """
    mean, _, _ = _past_moments(matched(past, scales))
    return np.asarray(mean - fisher(event), np.float32)


def coherence_z(
    event: np.ndarray, *past: np.ndarray, looks: float, prior: float, scales: Sequence[float] | None = None
) -> np.ndarray:
    """How many of its own standard deviations coherence fell below its mean before.

    Parameters
    ----------
    event, past, scales
        As in `coherence_loss`.
    looks : float
        Independent looks of the coherence window, above 1.5.
    prior : float
        Degrees of freedom that theory's variance counts for beside what the pixel's past shows.

    Returns
    -------
    (Y, X) float32
        Above 0 where coherence was lost; where nothing changed, nearly standard normal. NaN where `event` or all the
        past is undefined.

    Notes
    -----
    ``(m - x) / sqrt(s^2 (1 + 1 / n))`` of transformed coherence x and the mean m of n past ones, with
    ``s^2 = (prior s0^2 + sum (x_i - m)^2) / (prior + n - 1)`` [1]_ and ``s0^2 = 1 / (2 L - 3)``, the variance of
    Fisher's transform of coherence over L looks, where it is not small: at none the variance is 0.44 of that, and fewer
    than nominal are called changed. A variance from a handful of past pairs alone would be near 0 at some pixels by
    chance, and call each of them changed.

    References
    ----------
    .. [1] Smyth 2004, doi:10.2202/1544-6115.1027, Sec. 3, on variances moderated by what is known beforehand.

    Examples
    --------
    >>> coherence_z(np.array([[0.2]]), np.array([[0.6]]), looks=26.0, prior=4.0).round(2)
    array([[2.43]], dtype=float32)
    """
    mean, square, count = _past_moments(matched(past, scales))
    theory = 1 / (2 * looks - 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (prior * theory + square) / (prior + count - 1)
        found = (mean - fisher(event)) / np.sqrt(variance * (1 + 1 / count))
    return np.where(count > 0, found, np.nan).astype(np.float32)


def _past_moments(past: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, sum of squares about it and count of the transformed past at each pixel."""
    series = np.stack([fisher(layer) for layer in past])
    known = np.isfinite(series)
    count = known.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, series, 0).sum(0) / count
    return mean, np.where(known, (series - mean) ** 2, 0).sum(0), count


def never_coherent(
    *past: np.ndarray, looks: float, false_alarm: float, scales: Sequence[float] | None = None
) -> np.ndarray:
    """Mark ground whose coherence was never above what ground without any has.

    Parameters
    ----------
    past : (Y, X) float32, one or more
        Coherence of earlier pairs; NaN where undefined.
    looks : float
        Independent pixels in the coherence window, above 1.
    false_alarm : float
        Share of ground without coherence that may pass for coherent, in (0, 1).
    scales : sequence of float, optional
        As in `coherence_loss`: coherence that the scene lost in the pair in question cannot be lost in it once more.

    Returns
    -------
    (Y, X) uint8
        1 never coherent, 0 coherent at least once, 255 where all is undefined.

    Notes
    -----
    The greatest of n values at no coherence is below t with probability ``(1 - (1 - t^2)^(L - 1))^n`` [1]_.

    References
    ----------
    .. [1] Touzi et al. 1999, doi:10.1109/36.739146.

    Examples
    --------
    >>> never_coherent(np.array([[0.2, 0.7, np.nan]]), looks=9.0, false_alarm=0.05).tolist()
    [[1, 0, 255]]
    """
    if scales:
        past = tuple(layer * np.float32(min(scales[-1] / one, 1)) for layer, one in zip(past, scales[:-1], strict=True))
    series = np.stack(past)
    known = np.isfinite(series)
    count = known.sum(0)
    greatest = np.where(known, series, -1).max(0)
    share = (1 - false_alarm) ** (1 / np.maximum(count, 1))
    limit = np.sqrt(1 - (1 - share) ** (1 / (looks - 1)))
    return np.where(count == 0, 255, (greatest < limit).astype(np.uint8)).astype(np.uint8)
