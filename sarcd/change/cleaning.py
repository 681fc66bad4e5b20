"""Cleaning up maps of change: a smallest object, holes and rough outlines; the same for any chunking."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.attributes import parameters_of
from sarcd.engine.lazy import made_by_attrs, stack, window_map
from sarcd.errors import OptionError


def drop_small(change: xr.DataArray, *, min_pixels: int) -> xr.DataArray:
    """Take out changes smaller than the least area that counts (minimum mapping unit).

    Parameters
    ----------
    change : (pair, y, x) uint8 DataArray
        1 changed, 0 not, 255 unknown.
    min_pixels : int
        Pixels of the smallest object that stays; pixels that touch by side or corner are one object.

    Returns
    -------
    (pair, y, x) uint8
        Lazy if `change` is. Its attributes are those of `change`, with the cleaning added.

    Raises
    ------
    OptionError
        If `min_pixels` is below 1.

    Notes
    -----
    An object that reaches from a chunk to the rim of a halo of ``min_pixels - 1`` pixels is large enough whatever lies
    beyond, so that this much around a chunk decides exactly. A very large `min_pixels` needs as large a halo.

    Examples
    --------
    >>> change = xr.DataArray(np.array([[[1, 0, 1, 1]]], np.uint8), dims=("pair", "y", "x"))
    >>> drop_small(change, min_pixels=2).values.tolist()
    [[[0, 0, 1, 1]]]
    """
    from sarcd.change.kernels import cleaning

    _at_least(min_pixels, 1, "min_pixels")
    kernel = partial(cleaning.drop_small, least=min_pixels)
    return _cleaned(change, kernel, min_pixels - 1, {"drop_small": min_pixels})


def fill_small(change: xr.DataArray, *, max_pixels: int) -> xr.DataArray:
    """Fill small holes in changes.

    Parameters
    ----------
    change : (pair, y, x) uint8 DataArray
        1 changed, 0 not, 255 unknown.
    max_pixels : int
        Pixels of the largest hole that is filled; pixels that touch by side are one hole.

    Returns
    -------
    (pair, y, x) uint8
        As `drop_small`; unknown ground stays unknown.

    Raises
    ------
    OptionError
        If `max_pixels` is below 1.

    Examples
    --------
    >>> change = xr.DataArray(np.array([[[1, 0, 1, 0, 0]]], np.uint8), dims=("pair", "y", "x"))
    >>> fill_small(change, max_pixels=1).values.tolist()
    [[[1, 1, 1, 0, 0]]]
    """
    from sarcd.change.kernels import cleaning

    _at_least(max_pixels, 1, "max_pixels")
    return _cleaned(change, partial(cleaning.fill_small, most=max_pixels), max_pixels, {"fill_small": max_pixels})


def opening(change: xr.DataArray, *, radius: int = 1) -> xr.DataArray:
    """Take out what a disc does not fit into: thin lines, spurs and specks.

    Parameters
    ----------
    change : (pair, y, x) uint8 DataArray
        1 changed, 0 not, 255 unknown, which counts as unchanged and stays unknown.
    radius : int
        Of the disc in pixels.

    Returns
    -------
    (pair, y, x) uint8
        As `drop_small`.

    Raises
    ------
    OptionError
        If `radius` is below 1.

    Examples
    --------
    >>> change = xr.DataArray(np.eye(5, dtype=np.uint8)[None], dims=("pair", "y", "x"))
    >>> int(opening(change)[0, 1:-1, 1:-1].sum())
    0
    """
    from sarcd.change.kernels import cleaning

    _at_least(radius, 1, "radius")
    return _cleaned(change, partial(cleaning.opened, radius=radius), 2 * radius, {"opening": radius})


def closing(change: xr.DataArray, *, radius: int = 1) -> xr.DataArray:
    """Fill what a disc of unchanged ground does not fit into: gaps, cracks and small holes.

    Parameters
    ----------
    change, radius
        As in `opening`.

    Returns
    -------
    (pair, y, x) uint8
        As `drop_small`.

    Raises
    ------
    OptionError
        If `radius` is below 1.

    Examples
    --------
    >>> change = xr.DataArray(np.array([[[1, 1, 0, 1, 1]]], np.uint8), dims=("pair", "y", "x"))
    >>> closing(change).values.tolist()
    [[[1, 1, 1, 1, 1]]]
    """
    from sarcd.change.kernels import cleaning

    _at_least(radius, 1, "radius")
    return _cleaned(change, partial(cleaning.closed, radius=radius), 2 * radius, {"closing": radius})


def _at_least(value: int, least: int, name: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise OptionError(f"{name} is {value!r}", where=name, mend=f"use a whole number, {least} or more")


def _cleaned(change: xr.DataArray, kernel: Callable[..., np.ndarray], reach: int, step: dict[str, Any]) -> xr.DataArray:
    halo = min(reach, change.sizes["y"]), min(reach, change.sizes["x"])
    layers = [window_map(kernel, [layer], halo=halo, dtype="uint8") for layer in change]
    attrs = dict(change.attrs) or schema.variable("change").attrs()
    parameters = parameters_of(attrs)
    parameters["cleaned"] = [*parameters.get("cleaned", []), step]
    attrs |= made_by_attrs(attrs.get("sarcd_operation", "clean"), parameters)
    return xr.DataArray(stack(layers), dims=change.dims, coords=change.coords, name=change.name, attrs=attrs)
