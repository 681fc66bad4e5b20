"""Speckle filters for scenes: the Lee filter and the refined Lee filter."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.config import Window
from sarcd.engine.lazy import made_by_attrs, stack, window_map
from sarcd.errors import OptionError
from sarcd.estimation.looks import looks_of_image
from sarcd.store.openable import take


def lee(scene: xr.Dataset, *, window: int | Window = 7, looks: float | None = None) -> xr.Dataset:
    """Filter speckle: average over homogeneous areas, preserve edges and bright points.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude` (time, y, x), linear.
    window : int or Window
        Odd size in pixels.
    looks : float, optional
        Equivalent number of looks of the images; by default estimated for each date as by
        `sarcd.estimation.intensity_looks`.

    Returns
    -------
    xr.Dataset
        The scene with its images replaced by filtered `amplitude` (time, y, x) float32, the square root of filtered
        power, NaN where invalid; lazy if they are. It works like any other scene of amplitude images.

    Raises
    ------
    OptionError
        If an option cannot be used.
    SceneError
        If there are no images; when computed, if the looks are needed and cannot be estimated.

    References
    ----------
    .. [1] Lee 1980, doi:10.1109/TPAMI.1980.4766994.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> lee(sites.simulate("A", size=64), looks=1).amplitude.dims
    ('time', 'y', 'x')
    """
    scene = take(scene)
    from sarcd.change.kernels.speckle_filters import lee as kernel

    size = Window.of(window)
    parameters = {"window": {"y": size.y, "x": size.x}}
    return _filtered(scene, "lee", partial(kernel, window=(size.y, size.x)), size.halo, looks, parameters)


def refined_lee(scene: xr.Dataset, *, looks: float | None = None) -> xr.Dataset:
    """Filter speckle as `lee` does, over the half of a 7 x 7 window that lies on the pixel's side of an edge.

    Parameters
    ----------
    scene, looks
        As in `lee`.

    Returns
    -------
    xr.Dataset
        As `lee`.

    Raises
    ------
    OptionError, SceneError
        As `lee`.

    References
    ----------
    .. [1] Lee 1981, doi:10.1016/S0146-664X(81)80018-4.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> refined_lee(sites.simulate("A", size=64), looks=1).amplitude.dims
    ('time', 'y', 'x')
    """
    scene = take(scene)
    from sarcd.change.kernels.speckle_filters import REFINED_WINDOW
    from sarcd.change.kernels.speckle_filters import refined_lee as kernel

    return _filtered(scene, "refined_lee", kernel, Window.of(REFINED_WINDOW).halo, looks, {})


def _filtered(
    scene: xr.Dataset,
    name: str,
    kernel: Callable[..., np.ndarray],
    halo: tuple[int, int],
    looks: float | None,
    parameters: dict[str, Any],
) -> xr.Dataset:
    images = schema.images_of(scene)
    if looks is not None and not 0 < looks < np.inf:
        hint = "use a number above 0, or none to have it estimated"
        raise OptionError(f"invalid number of looks {looks}", option="looks", hint=hint)
    layers, used = [], []
    for image in images:
        number = looks_of_image(image, schema.source_of(scene)) if looks is None else float(looks)
        used.append(number if isinstance(number, float) else "estimated")
        layers.append(
            window_map(
                partial(_amplitude, kernel=kernel), [image], halo=halo, dtype="float32", measured={"looks": number}
            )
        )
    attrs = schema.variable("amplitude").attrs() | {
        key: images.attrs[key] for key in ("grid_mapping",) if key in images.attrs
    }
    filtered = xr.DataArray(
        stack(layers),
        dims=images.dims,
        coords=images.coords,
        attrs=attrs | made_by_attrs(name, parameters | {"looks": used}),
    )
    return scene.drop_vars([name for name in schema.IMAGES if name in scene]).assign(amplitude=filtered)


def _amplitude(image: np.ndarray, *, looks: float, kernel: Callable[..., np.ndarray]) -> np.ndarray:
    """Return the square root of filtered power."""
    power = np.abs(image).astype(np.float64) ** 2
    filtered: np.ndarray = np.sqrt(kernel(power, looks=looks))
    return filtered.astype(np.float32)
