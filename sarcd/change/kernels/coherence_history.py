"""Loss of coherence relative to earlier pairs of the same ground."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FAIR = 0.6
"""Fraction of the best pair's coherence from which an earlier pair is informative about the ground."""

_HIGHEST = 1 - 1e-6
"""Coherence at which the transform is clipped."""


def fisher(coherence: np.ndarray) -> np.ndarray:
    """Transform coherence so that its spread hardly depends on it: ``artanh(g)``.

    Parameters
    ----------
    coherence : ndarray of float32
        In [0, 1].

    Returns
    -------
    ndarray of float64
        0 or above; NaN where NaN.

    Examples
    --------
    >>> fisher(np.array([0.0, 0.5])).round(3).tolist()
    [0.0, 0.549]
    """
    return np.arctanh(np.minimum(coherence.astype(np.float64), _HIGHEST))


def matched(past: Sequence[np.ndarray], scales: Sequence[float] | None) -> list[np.ndarray]:
    """Scale earlier coherences to the level of the scene in the pair under test, without uninformative pairs.

    Parameters
    ----------
    past : sequence of M (Y, X) float32
        Coherence of earlier pairs.
    scales : sequence of M + 1 float, or None
        Coherence of the scene in each of them, and last in the pair under test, relative to its usual value; None if
        all are equal.

    Returns
    -------
    list of (Y, X) float32
        Only pairs that have at least `FAIR` of the coherence of the best one.

    Examples
    --------
    >>> past = [np.array([[0.8]]), np.array([[0.2]])]
    >>> [layer.round(2).tolist() for layer in matched(past, (1.0, 0.3, 0.5))]
    [[[0.4]]]
    """
    if not scales:
        return list(past)
    minimum = FAIR * max(scales[:-1])
    return [
        layer * np.float32(scales[-1] / one) for layer, one in zip(past, scales[:-1], strict=True) if one >= minimum
    ]


def coherence_loss(event: np.ndarray, *past: np.ndarray, scales: Sequence[float] | None = None) -> np.ndarray:
    """Return how far coherence lies below its mean over earlier pairs, after Fisher's transform.

    Parameters
    ----------
    event : (Y, X) float32
        Coherence of the pair under test.
    past : (Y, X) float32, one or more
        Coherence of earlier pairs; NaN where undefined, which is ignored.
    scales : sequence of float, optional
        Coherence of the whole scene in these pairs, see `matched`.

    Returns
    -------
    (Y, X) float32
        Above 0 where coherence fell; NaN where `event` or all of `past` is undefined.

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
    """Return how far coherence lies below its mean over earlier pairs, in standard deviations.

    Parameters
    ----------
    event, past, scales
        As in `coherence_loss`.
    looks : float
        Independent looks of the coherence window, above 1.5.
    prior : float
        Degrees of freedom given to the theoretical variance, beside the pixel's own history.

    Returns
    -------
    (Y, X) float32
        Above 0 where coherence fell; nearly standard normal where nothing changed. NaN where `event` or all of `past`
        is undefined.

    Notes
    -----
    ``(m - x) / sqrt(s^2 (1 + 1 / n))`` for transformed coherence x and the mean m of n earlier values, with ``s^2 =
    (prior s0^2 + sum (x_i - m)^2) / (prior + n - 1)`` [1]_ and ``s0^2 = 1 / (2 L - 3)``, the variance of Fisher's
    transform of a coherence that is not small over L looks: without coherence the variance is 0.44 of that, and fewer
    pixels than nominal are called changed. A variance from a handful of earlier pairs alone would be near 0 at some
    pixels by chance, and would call each of them changed.

    References
    ----------
    .. [1] Smyth 2004, doi:10.2202/1544-6115.1027, Sec. 3, on moderated variances.

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
    """Return the mean, the sum of squares about it and the count of the transformed history at each pixel."""
    series = np.stack([fisher(layer) for layer in past])
    known = np.isfinite(series)
    count = known.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, series, 0).sum(0) / count
    return mean, np.where(known, (series - mean) ** 2, 0).sum(0), count


def never_coherent(
    *past: np.ndarray, looks: float, false_alarm: float, scales: Sequence[float] | None = None
) -> np.ndarray:
    """Mark ground whose coherence never exceeded that of incoherent ground.

    Parameters
    ----------
    past : (Y, X) float32, one or more
        Coherence of earlier pairs; NaN where undefined.
    looks : float
        Independent looks of the coherence window, above 1.
    false_alarm : float
        Fraction of incoherent ground that may pass as coherent, in (0, 1).
    scales : sequence of float, optional
        As in `coherence_loss`: coherence that the whole scene lost in the pair under test cannot be lost again.

    Returns
    -------
    (Y, X) uint8
        1 never coherent, 0 coherent at least once, 255 where every value is undefined.

    Notes
    -----
    The largest of n values without coherence is below t with probability ``(1 - (1 - t^2)^(L - 1))^n`` [1]_.

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
    largest = np.where(known, series, -1).max(0)
    quantile = (1 - false_alarm) ** (1 / np.maximum(count, 1))
    limit = np.sqrt(1 - (1 - quantile) ** (1 / (looks - 1)))
    return np.where(count == 0, 255, (largest < limit).astype(np.uint8)).astype(np.uint8)
