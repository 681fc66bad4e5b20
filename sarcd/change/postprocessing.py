"""Post-processing of change maps: fusion, and removal of small objects, holes and rough outlines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.attributes import parameters_of
from sarcd.change.thresholding import histogram_of, is_signed
from sarcd.engine.lazy import is_lazy, made_by_attrs, stack, window_map
from sarcd.errors import OptionError, StatisticsError
from sarcd.estimation.levels import sample_now

if TYPE_CHECKING:
    from sarcd.change.kernels.thresholds.histogram import Histogram


def remove_small_objects(change: xr.DataArray, *, min_pixels: int) -> xr.DataArray:
    """Remove changes smaller than the minimum mapping unit.

    Parameters
    ----------
    change : (pair, y, x) uint8 DataArray
        1 changed, 0 not, 255 unknown.
    min_pixels : int
        Pixels of the smallest object that is kept; pixels that touch by side or corner are one object.

    Returns
    -------
    (pair, y, x) uint8
        Lazy if `change` is. Its attributes are those of `change`, with this step added.

    Raises
    ------
    OptionError
        If `min_pixels` is below 1.

    Notes
    -----
    An object that extends from a chunk to the rim of a halo of ``min_pixels - 1`` pixels is large enough whatever lies
    beyond, so this halo gives the exact result. A very large `min_pixels` needs an equally large halo.

    Examples
    --------
    >>> change = xr.DataArray(np.array([[[1, 0, 1, 1]]], np.uint8), dims=("pair", "y", "x"))
    >>> remove_small_objects(change, min_pixels=2).values.tolist()
    [[[0, 0, 1, 1]]]
    """
    from sarcd.change.kernels import postprocessing

    _at_least(min_pixels, 1, "min_pixels")
    kernel = partial(postprocessing.remove_small_objects, min_pixels=min_pixels)
    return _cleaned(change, kernel, min_pixels - 1, {"drop_small": min_pixels})


def remove_small_holes(change: xr.DataArray, *, max_pixels: int) -> xr.DataArray:
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
        As `remove_small_objects`; unknown pixels stay unknown.

    Raises
    ------
    OptionError
        If `max_pixels` is below 1.

    Examples
    --------
    >>> change = xr.DataArray(np.array([[[1, 0, 1, 0, 0]]], np.uint8), dims=("pair", "y", "x"))
    >>> remove_small_holes(change, max_pixels=1).values.tolist()
    [[[1, 1, 1, 0, 0]]]
    """
    from sarcd.change.kernels import postprocessing

    _at_least(max_pixels, 1, "max_pixels")
    kernel = partial(postprocessing.remove_small_holes, max_pixels=max_pixels)
    return _cleaned(change, kernel, max_pixels, {"fill_small": max_pixels})


def opening(change: xr.DataArray, *, radius: int = 1) -> xr.DataArray:
    """Remove what a disc does not fit into: thin lines, spurs and specks.

    Parameters
    ----------
    change : (pair, y, x) uint8 DataArray
        1 changed, 0 not, 255 unknown, which counts as unchanged and stays unknown.
    radius : int
        Radius of the disc in pixels.

    Returns
    -------
    (pair, y, x) uint8
        As `remove_small_objects`.

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
    from sarcd.change.kernels import postprocessing

    _at_least(radius, 1, "radius")
    return _cleaned(change, partial(postprocessing.opened, radius=radius), 2 * radius, {"opening": radius})


def closing(change: xr.DataArray, *, radius: int = 1) -> xr.DataArray:
    """Fill unchanged ground that a disc does not fit into: gaps, cracks and small holes.

    Parameters
    ----------
    change, radius
        As in `opening`.

    Returns
    -------
    (pair, y, x) uint8
        As `remove_small_objects`.

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
    from sarcd.change.kernels import postprocessing

    _at_least(radius, 1, "radius")
    return _cleaned(change, partial(postprocessing.closed, radius=radius), 2 * radius, {"closing": radius})


def _at_least(value: int, minimum: int, name: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise OptionError(
            f"expected a whole number of at least {minimum}, got {value!r}", option=name, hint=f"use {minimum} or more"
        )


def _cleaned(change: xr.DataArray, kernel: Callable[..., np.ndarray], reach: int, step: dict[str, Any]) -> xr.DataArray:
    halo = min(reach, change.sizes["y"]), min(reach, change.sizes["x"])
    layers = [window_map(kernel, [layer], halo=halo, dtype="uint8") for layer in change]
    attrs = dict(change.attrs) or schema.variable("change").attrs()
    parameters = parameters_of(attrs)
    parameters["cleaned"] = [*parameters.get("cleaned", []), step]
    attrs |= made_by_attrs(attrs.get("sarcd_operation", "clean"), parameters)
    return xr.DataArray(stack(layers), dims=change.dims, coords=change.coords, name=change.name, attrs=attrs)


Fusion = Literal["standardised", "rank"]


def fuse(differences: Sequence[xr.DataArray], *, method: Fusion = "standardised") -> xr.DataArray:
    """Combine difference images that measure change in different units, by how unusual their values are in the scene.

    Parameters
    ----------
    differences : sequence of (pair, y, x) float32 DataArray
        Images of the same pairs and area, each larger where more changed, such as `log_ratio`, `mean_ratio` and
        `coherence_loss`; NaN where invalid. They are read immediately, once, one chunk at a time.
    method : {"standardised", "rank"}
        ``standardised``: the sum of all images, each minus its median and divided by its spread (from the median
        absolute deviation), divided by the standard deviation of that sum over typical ground, correlations included
        (Stouffer's method). It preserves how far changed ground lies from the rest. ``rank``: the mean of ``-ln p``,
        where p is the fraction of the scene that is at least as extreme (Fisher's method). It uses only the order of
        the values, and is invariant under any increasing function of them.

    Returns
    -------
    (pair, y, x) float32
        Standard deviations of typical ground, or nats; NaN where any image is. Lazy if any image is.

    Raises
    ------
    OptionError
        If the images differ in shape, are signed, or the method is unknown.
    StatisticsError
        If no pixel is valid, or more than half of the valid pixels of an image have the same value.

    Examples
    --------
    >>> from sarcd import change, estimation
    >>> from sarcd.simulation import sites
    >>> scene = sites.simulate("A", size=64)
    >>> fuse([change.log_ratio(scene), 1 - estimation.coherence(scene)]).dims
    ('pair', 'y', 'x')
    """
    _check(differences, method)
    first = differences[0]
    layers, scales = [], []
    for i in range(first.sizes["pair"]):
        images = [difference[i] for difference in differences]
        kernel, facts = (_standardised if method == "standardised" else _rank)(images)
        layers.append(window_map(kernel, _same_chunks(images), halo=(0, 0), dtype="float32"))
        scales.append(facts)
    names = [str(one.attrs.get("sarcd_operation", one.name)) for one in differences]
    attrs = schema.variable("change_score").attrs() | {
        key: first.attrs[key] for key in ("grid_mapping",) if key in first.attrs
    }
    parameters = {"method": method, "differences": names, "scales": scales}
    return xr.DataArray(
        stack(layers),
        dims=first.dims,
        coords=first.coords,
        name="fused",
        attrs=attrs | made_by_attrs("fuse", parameters),
    )


def _check(differences: Sequence[xr.DataArray], method: str) -> None:
    if method not in ("standardised", "rank"):
        raise OptionError(f"unknown fusion {method!r}", option="method", hint="use standardised or rank")
    if not differences:
        raise OptionError("no difference images", option="differences", hint="give at least one")
    for one in differences:
        if one.dims != ("pair", "y", "x") or one.shape != differences[0].shape:
            raise OptionError(
                f"'{one.name}' has shape {dict(one.sizes)}, '{differences[0].name}' {dict(differences[0].sizes)}",
                option="differences",
                hint="compute them from one scene and the same pairs",
            )


def _same_chunks(images: Sequence[xr.DataArray]) -> list[xr.DataArray]:
    """Return the images in the chunks of the first lazy one."""
    chunks = next((image.chunks for image in images if is_lazy(image)), None)
    return (
        list(images)
        if chunks is None
        else [image.chunk(dict(zip(("y", "x"), chunks, strict=True))) for image in images]
    )


def _standardised(images: Sequence[xr.DataArray]) -> tuple[Any, dict[str, Any]]:
    from sarcd.change.kernels import postprocessing

    medians, spreads = zip(*(_scale(_magnitudes(image), image) for image in images), strict=True)
    samples = [_values(image) for image in images]
    deviation = postprocessing.sum_deviation(samples, medians, spreads)
    facts = {"medians": list(medians), "spreads": list(spreads), "deviation": deviation}
    return partial(postprocessing.standardised_sum, medians=medians, spreads=spreads, deviation=deviation), facts


def _magnitudes(image: xr.DataArray) -> Histogram:
    values = histogram_of(image)
    if is_signed(image) and values.low[0] < 0:
        raise OptionError(f"'{image.name}' is signed", option="differences", hint="compute it with signed=False")
    return values


def _scale(values: Histogram, image: xr.DataArray) -> tuple[float, float]:
    median, spread = values.median_and_spread()
    if not spread > 1e-12 * max(abs(median), 1e-12):
        raise StatisticsError(
            f"more than half of the pixels have the value {median:g}",
            source=str(image.name),
            hint="leave this difference image out, or fuse by rank",
        )
    return median, spread


def _values(image: xr.DataArray) -> np.ndarray:
    return np.concatenate([block.ravel() for block in sample_now(image)])


def _rank(images: Sequence[xr.DataArray]) -> tuple[Any, dict[str, Any]]:
    from sarcd.change.kernels import postprocessing

    histograms = [_magnitudes(image) for image in images]
    facts = {"medians": [float(processes.quantiles([0.5])[0]) for processes in histograms]}
    return partial(postprocessing.rank_sum, histograms=histograms), facts
