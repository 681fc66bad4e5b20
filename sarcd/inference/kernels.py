"""Rim around no-data areas, where a hole affects the network's input in ways that did not occur in training."""

from __future__ import annotations

import numpy as np

HOLE = 5
"""Side in pixels of the smallest square hole that disturbs a network; dead pixels and thin gaps do not."""


def rim_halo(reach: tuple[int, int]) -> tuple[int, int]:
    """Return the halo along y and x that `near_holes` needs.

    Examples
    --------
    >>> rim_halo((8, 0))
    (12, 4)
    """
    return reach[0] + HOLE - 1, reach[1] + HOLE - 1


def near_holes(valid: np.ndarray, reach: tuple[int, int]) -> np.ndarray:
    """Mark pixels within reach of a hole that contains a square of `HOLE` pixels.

    Parameters
    ----------
    valid : (Y, X) bool
        True where all features are valid.
    reach : (int, int)
        Distance in pixels along y and x.

    Returns
    -------
    (Y, X) bool
        True in such holes and in rectangles around them. The image is mirrored at its border, so a strip of no-data
        along the border counts with twice its width.

    Examples
    --------
    >>> valid = np.ones((1, 12), bool)
    >>> valid[:, 0:3] = valid[:, 8] = False
    >>> near_holes(valid, (0, 2)).astype(int).tolist()
    [[1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]]
    """
    from scipy.ndimage import maximum_filter, minimum_filter

    hole = ~valid
    if not hole.any():
        return hole
    core = minimum_filter(hole, HOLE, mode="reflect")
    large = maximum_filter(core, HOLE, mode="reflect")
    return np.asarray(maximum_filter(large, (2 * reach[0] + 1, 2 * reach[1] + 1), mode="constant", cval=0))
