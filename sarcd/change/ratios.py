"""Ratio images of a scene's pairs: difference images of intensity or amplitude."""

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
        Name of the operation and of the result.
    kernel : callable
        Takes two images and keywords `window`, `domain`, `floor` and those of `options`.
    window, domain, floor, pairs
        As in `sarcd.change.log_ratio`.
    options : dict, optional
        Further keywords of the kernel, recorded in the attributes unless they have their default, None or False; also
        `match_gain` of `sarcd.change.log_ratio`.

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
        raise OptionError(f"invalid floor {floor}", option="floor", hint="use an amplitude of 0 or more")
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
    """Return what is averaged by default: power of complex images, the values of amplitude images.

    8-bit amplitude images are often stretched; the few brightest pixels dominate a mean of their squares.
    """
    return "power" if "slc" in scene else "amplitude"


def floor_of(scene: xr.Dataset) -> Any:
    """Return the default floor: 0 for complex images, the smallest amplitude above 0 in a sample of amplitude images.

    A float, or a dask task if the images are lazy. For 8-bit images it is one grey level or little more; for
    floating-point images it is too small to matter.
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
    minimum = min(found, default=np.inf)
    return float(minimum) if np.isfinite(minimum) else 0.0


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
    """Compute the log-ratio of window means, a measure of intensity change.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude` (time, y, x), linear.
    window : int or Window
        Odd size in pixels of the window over which the images are averaged first.
    signed : bool
        Keep the sign, positive where the intensity increased, instead of the magnitude.
    domain : {"power", "amplitude"}, optional
        What is averaged; by default power of complex images, and the values of amplitude images.
    floor : float, optional
        Amplitude added to every pixel (its square to power) so that zeros have a logarithm. By default 0 for complex
        images, where invalid pixels are NaN, and for amplitude images the smallest amplitude above 0 in a fixed sample
        of the first two dates: one grey level of an 8-bit image.
    pairs : str or sequence of (before, after), optional
        As in `sarcd.estimation.coherence`.
    match_gain : bool or sequence of float
        First scale the image after to the level of the image before, by the median ratio of their amplitudes: for
        images whose calibration differs. Numbers: that ratio for each pair.

    Returns
    -------
    (pair, y, x) float32
        ``abs(ln(after / before))`` of the means, natural logarithm; of power it is twice that of amplitude. NaN where
        invalid. Lazy if the images are.

    Raises
    ------
    SceneError
        If there are no images, or only one date.
    OptionError
        If an option cannot be used.

    Notes
    -----
    Over unchanged ground with speckle of L independent looks in the window, the signed log-ratio of power has mean 0
    and variance ``2 psi1(L)``.

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
    """Compute the mean ratio: one minus the ratio of the smaller to the larger window mean.

    Parameters
    ----------
    scene, window, domain, floor, pairs, match_gain
        As in `sarcd.change.log_ratio`.

    Returns
    -------
    (pair, y, x) float32
        ``1 - min(m1 / m2, m2 / m1)``, from 0 (unchanged) to 1; NaN where invalid or without power. Lazy if the images
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
    """Compute the log-ratio of window means with Gaussian weights.

    Parameters
    ----------
    scene, signed, domain, floor, pairs, match_gain
        As in `sarcd.change.log_ratio`.
    window : int or Window
        Odd size in pixels; it spans 4 standard deviations of the weights.

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
    """Compute the neighbourhood ratio: of the pixel over heterogeneous ground, of its neighbours in homogeneous areas.

    Parameters
    ----------
    scene, window, domain, floor, pairs, match_gain
        As in `sarcd.change.log_ratio`.

    Returns
    -------
    (pair, y, x) float32
        From 0 (unchanged) to 1; NaN where invalid or without power. Lazy if the images are.

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
