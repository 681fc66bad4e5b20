"""Post-processing of change maps on arrays, and fusion of several difference images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sarcd.change.kernels.thresholds.histogram import Histogram

_CHANGED, _UNKNOWN = 1, 255


def remove_small_objects(change: np.ndarray, min_pixels: int) -> np.ndarray:
    """Remove objects of fewer pixels; pixels that touch by side or corner are one object.

    Parameters
    ----------
    change : (Y, X) uint8
        1 changed, 0 not, 255 unknown.
    min_pixels : int
        Pixels of the smallest object that is kept.

    Returns
    -------
    (Y, X) uint8
        0 where an object was removed.

    Examples
    --------
    >>> remove_small_objects(np.array([[1, 0, 1], [0, 0, 1]], np.uint8), 2).tolist()
    [[0, 0, 1], [0, 0, 1]]
    """
    from scipy import ndimage

    numbers, _ = ndimage.label(change == _CHANGED, structure=np.ones((3, 3), bool))
    small = np.bincount(numbers.ravel()) < min_pixels
    small[0] = False
    return np.where(small[numbers], np.uint8(0), change)


def remove_small_holes(change: np.ndarray, max_pixels: int) -> np.ndarray:
    """Fill small holes of unchanged ground; pixels that touch by side are one hole.

    Parameters
    ----------
    change : (Y, X) uint8
        1 changed, 0 not, 255 unknown.
    max_pixels : int
        Pixels of the largest hole that is filled.

    Returns
    -------
    (Y, X) uint8
        1 where a hole was filled; a hole beside unknown pixels or at the image's border counts if it touches change
        too.

    Examples
    --------
    >>> remove_small_holes(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8), 1).min()
    np.uint8(1)
    """
    from scipy import ndimage

    changed, cross = change == _CHANGED, ndimage.generate_binary_structure(2, 1)
    numbers, holes = ndimage.label(change == 0, structure=cross)
    touching = np.zeros(holes + 1, bool)  # an area between unknown pixels, without change beside it, is not a hole
    touching[numbers[ndimage.binary_dilation(changed, cross)]] = True
    fill = touching & (np.bincount(numbers.ravel(), minlength=holes + 1) <= max_pixels)
    fill[0] = False
    return np.where(fill[numbers], np.uint8(_CHANGED), change)


def opened(change: np.ndarray, radius: int) -> np.ndarray:
    """Remove what a disc does not fit into: thin lines, spurs and specks.

    Parameters
    ----------
    change : (Y, X) uint8
        1 changed, 0 not, 255 unknown, which counts as unchanged and stays unknown.
    radius : int
        Radius of the disc in pixels, 1 or more. Beyond the border of the image the disc always fits.

    Returns
    -------
    (Y, X) uint8

    Examples
    --------
    >>> opened(np.array([[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], np.uint8), 1).max()
    np.uint8(0)
    """
    from scipy import ndimage

    disc = _disc(radius)
    inner = ndimage.binary_erosion(change == _CHANGED, disc, border_value=1)
    return _kept_unknown(change, ndimage.binary_dilation(inner, disc))


def closed(change: np.ndarray, radius: int) -> np.ndarray:
    """Fill unchanged ground that a disc does not fit into: gaps, cracks and small holes.

    Parameters
    ----------
    change, radius
        As in `opened`; beyond the border of the image there is no unchanged ground.

    Returns
    -------
    (Y, X) uint8

    Examples
    --------
    >>> closed(np.array([[1, 1, 1], [0, 0, 0], [1, 1, 1]], np.uint8), 1).min()
    np.uint8(1)
    """
    from scipy import ndimage

    disc = _disc(radius)
    outer = ndimage.binary_dilation(change == _CHANGED, disc)
    return _kept_unknown(change, ndimage.binary_erosion(outer, disc, border_value=1))


def _disc(radius: int) -> np.ndarray:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(y * y + x * x <= radius * radius)


def _kept_unknown(change: np.ndarray, changed: np.ndarray) -> np.ndarray:
    return np.where(change == _UNKNOWN, change, changed.astype(np.uint8))


_BULK = 3.0
"""Standard deviations up to which a pixel counts as typical where correlations are estimated."""


def standardised_sum(
    *layers: np.ndarray, medians: Sequence[float], spreads: Sequence[float], deviation: float
) -> np.ndarray:
    """Sum standardised values, and divide by the standard deviation of such a sum.

    Parameters
    ----------
    layers : (Y, X) float32, one or more
        Difference images; NaN where invalid.
    medians, spreads : sequence of float
        Of each image over the whole scene; the spread is a standard deviation.
    deviation : float
        Standard deviation of the sum of standardised values over unchanged ground, from `sum_deviation`.

    Returns
    -------
    (Y, X) float32
        In standard deviations of unchanged ground; NaN where any layer is.

    References
    ----------
    .. [1] Strube 1985, doi:10.1037/0033-2909.97.2.334, Stouffer's method for correlated scores.

    Examples
    --------
    >>> standardised_sum(np.array([[3.0]]), np.array([[5.0]]), medians=(1, 1), spreads=(1, 2), deviation=2.0)
    array([[2.]], dtype=float32)
    """
    total = sum(
        (layer.astype(np.float64) - median) / spread
        for layer, median, spread in zip(layers, medians, spreads, strict=True)
    )
    return (np.asarray(total) / deviation).astype(np.float32)


def sum_deviation(layers: Sequence[np.ndarray], medians: Sequence[float], spreads: Sequence[float]) -> float:
    """Return the standard deviation of the sum of standardised values of typical pixels, from their correlations.

    Parameters
    ----------
    layers : sequence of (N,) float
        Values of each difference image at the same pixels; NaN where invalid.
    medians, spreads : sequence of float
        As in `standardised_sum`.

    Returns
    -------
    float
        ``sqrt(sum_ij r_ij)``, from near 0 to the number of layers; that of independent layers where too few pixels are
        typical.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=1000)
    >>> round(sum_deviation([x, 2 * x], (0, 0), (1, 2)), 6)
    2.0
    """
    scores = np.stack([(layer - m) / s for layer, m, s in zip(layers, medians, spreads, strict=True)])
    typical = scores[:, (np.abs(scores) < _BULK).all(0)]  # NaN is not below
    if typical.shape[1] < 2 or not (typical.std(axis=1) > 0).all():
        return float(np.sqrt(len(scores)))
    correlation = np.atleast_2d(np.corrcoef(typical))
    return float(np.sqrt(max(correlation.sum(), 1e-6)))


def rank_sum(*layers: np.ndarray, histograms: Sequence[Histogram]) -> np.ndarray:
    """Average ``-ln p`` over several difference images, p the fraction of the scene that is at least as extreme.

    Parameters
    ----------
    layers : (Y, X) float32, one or more
        Difference images, larger where more changed; NaN where invalid.
    histograms : sequence of Histogram
        Histogram of each over the whole scene.

    Returns
    -------
    (Y, X) float32
        In nats, 0 or above: Fisher's sum of logarithms of p-values over twice their number, where each p-value is a
        rank. NaN where any layer is.

    References
    ----------
    .. [1] Fisher 1932, Statistical Methods for Research Workers, 4th ed., Sec. 21.1.

    Examples
    --------
    >>> from sarcd.change.kernels.thresholds.histogram import count_cells, histogram
    >>> image = np.arange(100, dtype="float32")[None]
    >>> found = rank_sum(image, image, histograms=[histogram(count_cells(image))] * 2)
    >>> bool(found[0, 99] > 4.5), bool(abs(found[0, 50] - np.log(2)) < 0.02)
    (True, True)
    """
    total = np.zeros(layers[0].shape)
    for layer, values in zip(layers, histograms, strict=True):
        above = 1 - values.share_below(layer)  # NaN where NaN
        total -= np.log(np.maximum(above, 0.5 / values.total))
    return (total / len(layers)).astype(np.float32)
