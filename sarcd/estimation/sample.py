"""A fixed sample of an image, spread evenly over it: the same for any chunking."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import xarray as xr

SIDE, COUNT = 64, 16
"""Side of a block of the sample in pixels, and blocks along each axis: at most a million pixels."""


def sample_blocks(image: xr.DataArray, *, side: int = SIDE, count: int = COUNT) -> list[Any]:
    """Return blocks (y, x) of an image, lazy if it is: the whole of a small one, as one block.

    Parameters
    ----------
    image : (y, x) DataArray
        Image.
    side, count : int
        Side of a block in pixels, and the number of blocks along an axis.

    Returns
    -------
    list of ndarray or dask array, (y, x)
        No pixel twice.

    Examples
    --------
    >>> image = xr.DataArray(np.zeros((2048, 3)), dims=("y", "x"))
    >>> blocks = sample_blocks(image)
    >>> len(blocks), blocks[0].shape
    (16, (64, 3))
    """
    sizes = image.sizes["y"], image.sizes["x"]
    if max(sizes) <= side * count:
        parts = [(slice(None), slice(None))]
    else:
        parts = list(product(_spread(sizes[0], side, count), _spread(sizes[1], side, count)))
    blocks = [image[part] for part in parts]
    return [block.values if block.chunks is None else block.data for block in blocks]


def sample_now(image: xr.DataArray) -> list[np.ndarray]:
    """Return the blocks of `sample_blocks`, computed."""
    blocks = sample_blocks(image)
    if image.chunks is None:
        return blocks
    from dask.base import compute

    return list(compute(*blocks))


def _spread(size: int, side: int, count: int) -> list[slice]:
    """Return slices spread evenly along an axis, none over another; the whole of a short one."""
    if size <= side * count:
        return [slice(start, min(start + side, size)) for start in range(0, size, side)]
    starts = np.linspace(0, size - side, count).round().astype(int)
    return [slice(int(start), int(start) + side) for start in starts]
