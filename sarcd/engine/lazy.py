"""Adapters that apply kernels to eager and lazy arrays, pixel by pixel or in windows with a halo."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

import sarcd
from sarcd import schema
from sarcd.attributes import PARAMETERS, encode
from sarcd.engine.framed import Framed

Kernel = Callable[..., np.ndarray]


def is_lazy(array: xr.DataArray) -> bool:
    """Return whether the data are a dask array, without importing dask."""
    return array.chunks is not None


def pointwise(kernel: Kernel, array: xr.DataArray, *, dtype: Any, **options: Any) -> xr.DataArray:
    """Apply a kernel to every block of an array; shape and chunks are unchanged."""
    if not is_lazy(array):
        return array.copy(data=kernel(array.values, **options))
    lazy = array.data.map_blocks(kernel, dtype=dtype, meta=np.empty((0,) * array.ndim, dtype), **options)
    return array.copy(data=lazy)


def window_map(
    kernel: Kernel,
    images: Sequence[xr.DataArray],
    *,
    halo: tuple[int, int],
    dtype: Any,
    measured: Mapping[str, Any] | None = None,
    placed: bool = False,
    framed: Kernel | None = None,
) -> Any:
    """Apply a kernel of images (y, x) whose result at a pixel depends on pixels up to `halo` away.

    Parameters
    ----------
    kernel : callable
        Takes one (Y, X) array per image and returns one of the same shape. It truncates windows at the array borders.
    images : sequence of (y, x) DataArray
        Images of the same shape and, if lazy, the same chunks.
    halo : (int, int)
        Reach of the kernel in pixels along y and x.
    dtype : dtype
        Data type of the result.
    measured : mapping, optional
        Keyword arguments of the kernel, the same everywhere; dask tasks (`Delayed`) if the images are lazy.
    placed : bool
        Whether the kernel takes `first_row`, the row of the images at which its part begins.
    framed : callable, optional
        The same kernel for `Framed` parts, which it need not join first; used if the images are lazy.

    Returns
    -------
    ndarray or dask array, (Y, X)
        Lazy if the images are; equal to the kernel over the whole images for any chunking.
    """
    if not any(is_lazy(image) for image in images):
        return kernel(*(image.values for image in images), **(measured or {}))
    import dask.array as da

    from sarcd.engine.halos import map_framed

    first = next(image for image in images if is_lazy(image))
    sizes_of: tuple[tuple[int, ...], ...] = first.data.chunks
    # A chunk shorter than the halo cannot fill the halo of its neighbour; along an axis in one chunk there is none.
    chunks = tuple(
        merge_short(sizes, reach) if len(sizes) > 1 else sizes for sizes, reach in zip(sizes_of, halo, strict=True)
    )
    return map_framed(
        framed or partial(_of_whole, kernel=kernel),
        [da.asarray(image.data).rechunk(chunks) for image in images],
        reach=halo,
        dtype=dtype,
        measured=measured or {},
        placed=placed,
    ).rechunk(sizes_of)


def _of_whole(*parts: Framed, kernel: Kernel, **options: Any) -> np.ndarray:
    """Join each part with its surroundings, apply a kernel, and return the result inside the part."""
    return kernel(*(part.whole() for part in parts), **options)[parts[0].inside]


def merge_short(sizes: Sequence[int], least: int) -> tuple[int, ...]:
    """Merge neighbouring chunks until none is shorter than `least`.

    Examples
    --------
    >>> merge_short((5, 1, 1, 4, 1), 2)
    (5, 2, 5)
    """
    merged: list[int] = []
    for size in sizes:
        if merged and merged[-1] < least:
            merged[-1] += size
        else:
            merged.append(size)
    if len(merged) > 1 and merged[-1] < least:
        last = merged.pop()
        merged[-1] += last
    return tuple(merged)


def made_by_attrs(operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes that record how a derived variable was made."""
    return {"sarcd_operation": operation, PARAMETERS: encode(parameters), "sarcd_version": sarcd.__version__}


def paired_array(
    scene: xr.Dataset, name: str, data: Any, pairs: Sequence[tuple[int, int]], attrs: dict[str, Any]
) -> xr.DataArray:
    """Return a (pair, y, x) result with its name, the coordinates of the scene and the attributes of the schema."""
    times = schema.dates_of(scene, "time")
    coords: dict[str, Any] = {key: scene[key] for key in ("y", "x", "spatial_ref") if key in scene.coords}
    coords["before"] = ("pair", times[[before for before, _ in pairs]])
    coords["after"] = ("pair", times[[after for _, after in pairs]])
    grid_mapping = {"grid_mapping": "spatial_ref"} if "spatial_ref" in coords else {}
    wanted = schema.variable(name)
    return xr.DataArray(
        data, dims=wanted.dims, coords=coords, name=name, attrs={**wanted.attrs(), **grid_mapping, **attrs}
    )


def stack(arrays: Sequence[Any]) -> Any:
    """Stack arrays along a new first axis, lazily if any of them is lazy."""
    if all(isinstance(array, np.ndarray) for array in arrays):
        return np.stack(arrays)
    import dask.array as da

    return da.stack(arrays)
