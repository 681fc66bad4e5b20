"""What the difference images of brightness share: pairs, domain and floor of a scene, and the name of the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.config import Window
from sarcd.engine.lazy import is_lazy, made_by_attrs, paired_array, stack, window_map
from sarcd.errors import OptionError
from sarcd.estimation.levels import recorded, with_gains
from sarcd.estimation.pairs import pairs_of
from sarcd.estimation.sample import sample_blocks
from sarcd.store.pairs import Pair

if TYPE_CHECKING:
    from sarcd.change.kernels.ratio import Domain

DOMAINS: tuple[Domain, ...] = ("power", "amplitude")


def difference(
    scene: xr.Dataset,
    name: str,
    kernel: Callable[..., np.ndarray],
    *,
    window: int | Window,
    domain: Domain | None,
    floor: float | None,
    pairs: str | Sequence[Pair] | None,
    options: dict[str, Any] | None = None,
) -> xr.DataArray:
    """Apply a kernel of `sarcd.change.kernels.ratio` to every pair of a scene.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude`.
    name : str
        Of the operation and of the result.
    kernel : callable
        Takes two images and keywords `window`, `domain`, `floor` and those of `options`.
    window, domain, floor, pairs
        As in `sarcd.change.log_ratio`.
    options : dict, optional
        Further keywords of the kernel, kept with the parameters where they are not at their default, None or False;
        also `match_gain` of `sarcd.change.log_ratio`.

    Returns
    -------
    (pair, y, x) float32
        Lazy if the images are.
    """
    images = schema.images_of(scene)
    size = Window.of(window)
    domain = domain or default_domain(scene)
    if domain not in DOMAINS:
        raise OptionError(f"unknown domain {domain!r}", where="domain", mend=f"use {' or '.join(DOMAINS)}")
    if floor is not None and not 0 <= floor < np.inf:
        raise OptionError(f"floor is {floor}", where="floor", mend="use an amplitude, 0 or above")
    measured = {"floor": floor_of(scene) if floor is None else float(floor)}
    options = dict(options or {})
    chosen = pairs_of(scene, pairs)
    match_gain = options.pop("match_gain", False)
    apply = partial(kernel, window=(size.y, size.x), domain=domain, **options)
    kernels, measures = with_gains(scene, match_gain, chosen, apply, measured)
    layers = [
        window_map(kernels[i], [images[a], images[b]], halo=size.halo, dtype="float32", measured=measures[i])
        for i, (a, b) in enumerate(chosen)
    ]
    parameters: dict[str, Any] = {"window": {"y": size.y, "x": size.x}, "domain": domain}
    parameters |= {"floor": measured["floor"] if isinstance(measured["floor"], float) else "smallest"}
    parameters |= {key: value for key, value in options.items() if value} | recorded(match_gain)
    return paired_array(scene, "change_score", stack(layers), chosen, made_by_attrs(name, parameters)).rename(name)


def default_domain(scene: xr.Dataset) -> Domain:
    """Return what is averaged by default: power of complex images, detected ones as they are.

    Detected 8-bit images are often stretched; a mean of their squares is a mean of the few brightest pixels.
    """
    return "power" if "slc" in scene else "amplitude"


def floor_of(scene: xr.Dataset) -> Any:
    """Return the floor by default: 0 of complex images, the smallest amplitude above 0 in a sample of detected ones.

    A float, or a task of dask where the images are lazy. Of 8-bit images it is one step of their scale, or little more;
    of images in floating point it is too small to matter.
    """
    if "slc" in scene:
        return 0.0
    images = scene["amplitude"]
    blocks = [block for image in images[: min(2, images.sizes["time"])] for block in sample_blocks(image)]
    if not is_lazy(images):
        return smallest(blocks)
    from dask.delayed import delayed

    return delayed(smallest, pure=True)(blocks)


def smallest(blocks: Sequence[np.ndarray]) -> float:
    """Return the smallest finite value above 0, or 0 where there is none.

    Examples
    --------
    >>> smallest([np.array([0.0, 3.0]), np.array([np.nan, 2.0])])
    2.0
    """
    found = [block[(block > 0) & (block < np.inf)].min(initial=np.inf) for block in blocks]
    least = min(found, default=np.inf)
    return float(least) if np.isfinite(least) else 0.0
