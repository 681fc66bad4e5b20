"""Coherence of a scene's pairs, by whichever estimator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import xarray as xr

from sarcd import config, schema
from sarcd.config import CoherenceOptions, Estimator, Window
from sarcd.engine.lazy import made_by_attrs, paired_array, stack, window_map
from sarcd.estimation.estimators import magnitude, phase
from sarcd.estimation.looks import Calibration, Looks, looks_later, needs_looks, needs_ramp, ramp_later
from sarcd.estimation.pairs import pairs_of
from sarcd.store.intake import take
from sarcd.store.pairs import Pair


def coherence(
    scene: xr.Dataset,
    *,
    window: int | Window = 5,
    estimator: Estimator = "boxcar",
    debias: bool = False,
    min_valid: float = 0.5,
    pairs: str | Sequence[Pair] | None = None,
) -> xr.DataArray:
    """Magnitude of the coherence between the two images of each pair: how alike two radar echoes are.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` (time, y, x) complex64, linear; invalid pixels NaN.
    window : int or Window
        Odd size in pixels; a number means a square.
    estimator : {"boxcar", "gaussian", "fringe", "adaptive"}
        ``boxcar``: the pixels of the window, with equal weights. ``gaussian``: with weights that fall from the centre,
        the window 4 standard deviations long. ``fringe``: the boxcar after removing the pair's mean phase ramp, and the
        local frequency where that differs significantly, found in a window three times as large. ``adaptive``: those
        pixels of the window whose surroundings are as bright as the centre's, at both dates. See docs/coherence.md.
    debias : bool
        Remove the bias that few looks give low coherence, by the effective looks of the scene's own spectrum.
    min_valid : float
        Least share of valid pixels in a window, which the scene's border cuts; below it the result is NaN.
    pairs : str or sequence of (before, after), optional
        ``consecutive``, ``reference``, ``all``, ``BEFORE:AFTER,...`` or dates; by default the scene's own list.

    Returns
    -------
    (pair, y, x) float32
        In [0, 1], lazy if `slc` is, chunked like it; NaN where undefined. Its attribute `effective_looks` tells the
        looks of the window where they were needed and known at once.

    Raises
    ------
    SceneError
        If there is no `slc` or only one date, or (when computed, if `slc` is lazy) if the looks are needed and the
        sample they are measured on holds no valid pixel.
    OptionError
        If the window is even, or one pixel, where coherence is always 1.

    See Also
    --------
    coherence_phase : the phase of the same.
    sarcd.estimation.effective_looks : independent looks in a window.

    References
    ----------
    .. [1] Touzi et al. 1999, doi:10.1109/36.739146, Eq. 6; C of Murdaca et al. 2023, doi:10.3390/rs15245664, Eq. 1.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> coherence(sites.site("A", size=64), window=7).dims
    ('pair', 'y', 'x')
    """
    options = CoherenceOptions(window=Window.of(window), estimator=estimator, min_valid=min_valid, debias=debias)
    return coherence_with(scene, options, pairs=pairs)


def coherence_phase(
    scene: xr.Dataset,
    *,
    window: int | Window = 5,
    estimator: Estimator = "boxcar",
    min_valid: float = 0.5,
    pairs: str | Sequence[Pair] | None = None,
) -> xr.DataArray:
    """Phase of the complex coherence of each pair, that of ``before * conj(after)`` averaged.

    Parameters
    ----------
    scene, window, estimator, min_valid, pairs
        As in `coherence`.

    Returns
    -------
    (pair, y, x) float32
        In (-pi, pi] radians, lazy if `slc` is; NaN where the coherence is. Also of ``fringe`` it is the phase at the
        centre of the window, with every fringe still in it: ramps are removed within each window only.

    Raises
    ------
    SceneError, OptionError
        As `coherence`.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> coherence_phase(sites.site("A", size=64)).attrs["units"]
    'radian'
    """
    options = CoherenceOptions(window=Window.of(window), estimator=estimator, min_valid=min_valid)
    return _of_pairs(scene, "coherence_phase", options, pairs)


def coherence_with(
    scene: xr.Dataset,
    options: CoherenceOptions,
    *,
    pairs: str | Sequence[Pair] | None = None,
) -> xr.DataArray:
    """Do what `coherence` does, from one options object, as stores and model files keep it."""
    return _of_pairs(scene, "coherence", options, pairs)


def _of_pairs(
    scene: xr.Dataset,
    name: str,
    options: CoherenceOptions,
    pairs: str | Sequence[Pair] | None,
) -> xr.DataArray:
    scene = take(scene)
    images = schema.require(scene, "slc")
    chosen = pairs_of(scene, pairs)
    kernel = partial(magnitude if name == "coherence" else phase, options=options)
    measured: dict[str, Any] = {"looks": None, "ramp": None}
    if needs_looks(options):
        measured["looks"] = looks_later(scene, options)
    layers = []
    for before, after in chosen:
        if needs_ramp(options):
            measured["ramp"] = ramp_later(scene, before, after)
        layers.append(
            window_map(
                kernel,
                [images[before], images[after]],
                halo=options.halo,
                dtype="float32",
                measured=measured,
                placed=True,
            )
        )
    attrs = made_by_attrs("coherence", config.to_dict(options))
    if isinstance(measured["looks"], Looks):
        attrs |= Calibration(measured["looks"]).attrs()
    return paired_array(scene, name, stack(layers), chosen, attrs)
