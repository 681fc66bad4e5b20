"""Maps of change without what is too small to be meant: objects, holes, and rough outlines."""

from __future__ import annotations

import numpy as np

_CHANGED, _UNKNOWN = 1, 255


def drop_small(change: np.ndarray, least: int) -> np.ndarray:
    """Take out objects of fewer pixels; pixels that touch by side or corner are one object.

    Parameters
    ----------
    change : (Y, X) uint8
        1 changed, 0 not, 255 unknown.
    least : int
        Pixels of the smallest object that stays.

    Returns
    -------
    (Y, X) uint8
        0 where an object was taken out.

    Examples
    --------
    >>> drop_small(np.array([[1, 0, 1], [0, 0, 1]], np.uint8), 2).tolist()
    [[0, 0, 1], [0, 0, 1]]
    """
    from scipy import ndimage

    numbers, _ = ndimage.label(change == _CHANGED, structure=np.ones((3, 3), bool))
    small = np.bincount(numbers.ravel()) < least
    small[0] = False
    return np.where(small[numbers], np.uint8(0), change)


def fill_small(change: np.ndarray, most: int) -> np.ndarray:
    """Fill unchanged holes of few pixels; pixels that touch by side are one hole.

    Parameters
    ----------
    change : (Y, X) uint8
        1 changed, 0 not, 255 unknown.
    most : int
        Pixels of the largest hole that is filled.

    Returns
    -------
    (Y, X) uint8
        1 where a hole was filled; one at unknown ground, or at the image's border, is a hole if it touches change too.

    Examples
    --------
    >>> fill_small(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8), 1).min()
    np.uint8(1)
    """
    from scipy import ndimage

    changed, cross = change == _CHANGED, ndimage.generate_binary_structure(2, 1)
    numbers, holes = ndimage.label(change == 0, structure=cross)
    touching = np.zeros(holes + 1, bool)  # ground between unknown ground, with no change beside it, is no hole
    touching[numbers[ndimage.binary_dilation(changed, cross)]] = True
    fill = touching & (np.bincount(numbers.ravel(), minlength=holes + 1) <= most)
    fill[0] = False
    return np.where(fill[numbers], np.uint8(_CHANGED), change)


def opened(change: np.ndarray, radius: int) -> np.ndarray:
    """Take out what a disc does not fit into: thin lines, spurs and specks.

    Parameters
    ----------
    change : (Y, X) uint8
        1 changed, 0 not, 255 unknown, which counts as unchanged and stays unknown.
    radius : int
        Of the disc in pixels, 1 or more. Beyond the border of the image there is as much change as it needs.

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
    """Fill what a disc of unchanged ground does not fit into: gaps, cracks and small holes.

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
