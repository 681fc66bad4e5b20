"""Ratios of the brightness of a scene's pairs: difference images for amplitude."""

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
from sarcd.estimation.coherence_layers import pairs_of
from sarcd.estimation.levels import MatchGain, recorded, sample_blocks, with_gains
from sarcd.store.openable import take
from sarcd.store.pairs import Pair

if TYPE_CHECKING:
    from sarcd.change.kernels.ratios import Domain

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
    """Apply a kernel of `sarcd.change.kernels.ratios` to every pair of a scene.

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
        raise OptionError(f"unknown domain {domain!r}", option="domain", hint=f"use {' or '.join(DOMAINS)}")
    if floor is not None and not 0 <= floor < np.inf:
        raise OptionError(f"floor is {floor}", option="floor", hint="use an amplitude, 0 or above")
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


def log_ratio(
    scene: xr.Dataset,
    *,
    window: int | Window = 5,
    signed: bool = False,
    domain: Domain | None = None,
    floor: float | None = None,
    pairs: str | Sequence[Pair] | None = None,
    match_gain: MatchGain = False,
) -> xr.DataArray:
    """Log-ratio of window means: how much the brightness of each place changed.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude` (time, y, x), linear.
    window : int or Window
        Odd size in pixels over which brightness is averaged first.
    signed : bool
        Keep the sign, above 0 where it became brighter, instead of the magnitude.
    domain : {"power", "amplitude"}, optional
        What is averaged; by default power of complex images, and detected images as they are.
    floor : float, optional
        Amplitude added to every pixel (to power, its square) so that a dark 0 has a logarithm. By default 0 for complex
        images, where invalid pixels are NaN, and for detected ones the smallest amplitude above 0 in a fixed sample of
        the first two dates: one step of an 8-bit scale.
    pairs : str or sequence of (before, after), optional
        As in `sarcd.estimation.coherence`.
    match_gain : bool or sequence of float
        Bring the image after to the level of the one before first, by the median ratio of their amplitudes: for images
        whose calibration differs. Numbers: that ratio for each pair.

    Returns
    -------
    (pair, y, x) float32
        ``abs(ln(after / before))`` of the means, natural logarithm; of power it is twice what it is of amplitude. NaN
        where invalid. Lazy if the images are.

    Raises
    ------
    SceneError
        If there are no images, or only one date.
    OptionError
        If an option cannot be used.

    Notes
    -----
    Of unchanged ground under speckle of L independent looks in the window, the signed log-ratio of power has mean 0 and
    variance ``2 psi1(L)``.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> log_ratio(sites.simulate("A", size=64)).dims
    ('pair', 'y', 'x')
    """
    scene = take(scene)
    from sarcd.change.kernels import ratios

    return difference(
        scene,
        "log_ratio",
        ratios.log_ratio,
        window=window,
        domain=domain,
        floor=floor,
        pairs=pairs,
        options={"signed": signed, "match_gain": match_gain},
    )


def mean_ratio(
    scene: xr.Dataset,
    *,
    window: int | Window = 5,
    domain: Domain | None = None,
    floor: float | None = None,
    pairs: str | Sequence[Pair] | None = None,
    match_gain: MatchGain = False,
) -> xr.DataArray:
    """Mean ratio: one less the ratio of the darker to the brighter window mean.

    Parameters
    ----------
    scene, window, domain, floor, pairs, match_gain
        As in `sarcd.change.log_ratio`.

    Returns
    -------
    (pair, y, x) float32
        ``1 - min(m1 / m2, m2 / m1)``, from 0, unchanged, to 1; NaN where invalid or without power. Lazy if the images
        are.

    Raises
    ------
    SceneError, OptionError
        As `sarcd.change.log_ratio`.

    References
    ----------
    .. [1] Inglada and Mercier 2007, doi:10.1109/TGRS.2007.893568, Eq. 1.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> mean_ratio(sites.simulate("A", size=64)).dims
    ('pair', 'y', 'x')
    """
    scene = take(scene)
    from sarcd.change.kernels import ratios

    return difference(
        scene,
        "mean_ratio",
        ratios.mean_ratio,
        window=window,
        domain=domain,
        floor=floor,
        pairs=pairs,
        options={"match_gain": match_gain},
    )


def gauss_log_ratio(
    scene: xr.Dataset,
    *,
    window: int | Window = 7,
    signed: bool = False,
    domain: Domain | None = None,
    floor: float | None = None,
    pairs: str | Sequence[Pair] | None = None,
    match_gain: MatchGain = False,
) -> xr.DataArray:
    """Log-ratio of means with weights that fall from the centre of the window.

    Parameters
    ----------
    scene, signed, domain, floor, pairs, match_gain
        As in `sarcd.change.log_ratio`.
    window : int or Window
        Odd size in pixels; 4 standard deviations of the weights long.

    Returns
    -------
    (pair, y, x) float32
        As `sarcd.change.log_ratio`.

    Raises
    ------
    SceneError, OptionError
        As `sarcd.change.log_ratio`.

    References
    ----------
    .. [1] Hou, Wei, Zheng and Wang 2014, IEEE J. Sel. Top. Appl. Earth Obs. Remote Sens. 7(8), 3297-3317.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> gauss_log_ratio(sites.simulate("A", size=64)).dims
    ('pair', 'y', 'x')
    """
    scene = take(scene)
    from sarcd.change.kernels import ratios

    return difference(
        scene,
        "gauss_log_ratio",
        ratios.gauss_log_ratio,
        window=window,
        domain=domain,
        floor=floor,
        pairs=pairs,
        options={"signed": signed, "match_gain": match_gain},
    )


def neighbourhood_ratio(
    scene: xr.Dataset,
    *,
    window: int | Window = 3,
    domain: Domain | None = None,
    floor: float | None = None,
    pairs: str | Sequence[Pair] | None = None,
    match_gain: MatchGain = False,
) -> xr.DataArray:
    """Neighbourhood ratio: that of the pixel where the ground is rough, and of its neighbours where it is even.

    Parameters
    ----------
    scene, window, domain, floor, pairs, match_gain
        As in `sarcd.change.log_ratio`.

    Returns
    -------
    (pair, y, x) float32
        From 0, unchanged, to 1; NaN where invalid or without power. Lazy if the images are.

    Raises
    ------
    SceneError, OptionError
        As `sarcd.change.log_ratio`.

    References
    ----------
    .. [1] Gong, Cao and Wu 2012, doi:10.1109/LGRS.2011.2167211.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> neighbourhood_ratio(sites.simulate("A", size=64)).dims
    ('pair', 'y', 'x')
    """
    scene = take(scene)
    from sarcd.change.kernels import ratios

    return difference(
        scene,
        "neighbourhood_ratio",
        ratios.neighbourhood_ratio,
        window=window,
        domain=domain,
        floor=floor,
        pairs=pairs,
        options={"match_gain": match_gain},
    )
