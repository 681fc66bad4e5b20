"""A scene's variables at the size of a picture, reduced block by block without ever being whole in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.engine.lazy import is_lazy

Reduce = Callable[[np.ndarray], np.ndarray]


def overview(array: xr.DataArray, factor: tuple[int, int]) -> Any:
    """Reduce blocks of pixels to one each, as suits the kind of data.

    Parameters
    ----------
    array : (y, x) DataArray
        Complex or real images (linear amplitude) become the root of their mean power, other floats their mean, both
        over the valid pixels; maps of 1, 0 and 255 become 1 where any pixel is 1, so that small changes stay seen,
        and 255 where none is known.
    factor : (int, int)
        Pixels of a block along y and x; blocks at the end are cut by it.

    Returns
    -------
    (ceil(Y / factor), ceil(X / factor)) dask array
        float32, or uint8 of a map.

    Examples
    --------
    >>> changes = xr.DataArray(np.array([[0, 1, 0], [0, 0, 255]], np.uint8), dims=("y", "x"), name="change")
    >>> overview(changes, (2, 2)).compute().tolist()
    [[1, 0]]
    """
    import dask.array as da

    steps = tuple(max(size, schema.CHUNK // size * size) for size in factor)
    lazy = da.asarray(in_chunks(array).data).rechunk(steps)  # no block may be cut by a chunk's border
    reduce, dtype = _reduction(array)
    chunks = tuple(tuple(-(-size // block) for size in sizes) for sizes, block in zip(lazy.chunks, factor, strict=True))
    return lazy.map_blocks(_reduce_block, reduce, factor, chunks=chunks, dtype=dtype, meta=np.empty((0, 0), dtype))


def in_chunks(array: xr.DataArray) -> xr.DataArray:
    """Return an array lazily, so that one that is read when indexed is never read whole."""
    return array if is_lazy(array) else array.chunk({"y": schema.CHUNK, "x": schema.CHUNK})


def reduction_for(shape: tuple[int, int], longest: int) -> tuple[int, int]:
    """Return the smallest blocks (y, x) that make an overview of at most `longest` pixels a side.

    Examples
    --------
    >>> reduction_for((8192, 1000), 1500)
    (6, 1)
    """
    return -(-shape[0] // longest), -(-shape[1] // longest)


def _reduction(array: xr.DataArray) -> tuple[Reduce, type]:
    if array.dtype.kind in "bui":
        return _any_change, np.uint8
    is_image = array.dtype.kind == "c" or array.name in schema.IMAGES
    return (_root_mean_power if is_image else _mean), np.float32


def _reduce_block(block: np.ndarray, reduce: Reduce, factor: tuple[int, int]) -> np.ndarray:
    missing = [(0, -size % step) for size, step in zip(block.shape, factor, strict=True)]
    if any(after for _, after in missing):
        block = np.pad(block, missing, constant_values=schema.NO_LABEL if block.dtype.kind in "bui" else np.nan)
    rows, columns = (size // step for size, step in zip(block.shape, factor, strict=True))
    return reduce(block.reshape(rows, factor[0], columns, factor[1]))


def _root_mean_power(blocks: np.ndarray) -> np.ndarray:
    power = blocks.real**2 + blocks.imag**2 if blocks.dtype.kind == "c" else blocks**2
    amplitude: np.ndarray = np.sqrt(_mean(power))
    return amplitude


def _mean(blocks: np.ndarray) -> np.ndarray:
    """Return the mean of the valid pixels, NaN where there is none."""
    valid = np.isfinite(blocks)
    count = valid.sum(axis=(1, 3))
    total = np.where(valid, blocks, 0).sum(axis=(1, 3), dtype=np.float64)
    mean: np.ndarray = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
    return mean


def _any_change(blocks: np.ndarray) -> np.ndarray:
    result = np.where((blocks != schema.NO_LABEL).any(axis=(1, 3)), 0, schema.NO_LABEL)
    result[(blocks == 1).any(axis=(1, 3))] = 1
    return result.astype(np.uint8)
