"""Windowed coherence of a scene's pairs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import xarray as xr

from sarcd import config, schema
from sarcd.config import CoherenceOptions, Window
from sarcd.io.pairs import Pair
from sarcd.ops._lazy import made_by_attrs, paired_array, stack, window_map
from sarcd.ops.pairs import pairs_of


def coherence(
    scene: xr.Dataset,
    *,
    window: int | Window = 5,
    estimator: Literal["boxcar"] = "boxcar",
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
    estimator : {"boxcar"}
        Weights within the window: all equal.
    min_valid : float
        Least share of valid pixels in a window, which the scene's border cuts; below it the result is NaN.
    pairs : str or sequence of (before, after), optional
        ``consecutive``, ``reference``, ``all``, ``BEFORE:AFTER,...`` or dates; by default the scene's own list.

    Returns
    -------
    (pair, y, x) float32
        In [0, 1], lazy if `slc` is, chunked like it; NaN where undefined.

    Raises
    ------
    SceneError
        If there is no `slc` or only one date.
    OptionError
        If the window is even, or one pixel, where coherence is always 1.

    References
    ----------
    .. [1] Touzi et al. 1999, doi:10.1109/36.739146, Eq. 6; C of Murdaca et al. 2023, doi:10.3390/rs15245664, Eq. 1.

    Examples
    --------
    >>> from sarcd import sites
    >>> coherence(sites.site("A", size=64), window=7).dims
    ('pair', 'y', 'x')
    """
    options = CoherenceOptions(window=Window.of(window), estimator=estimator, min_valid=min_valid)
    return coherence_with(scene, options, pairs=pairs)


def coherence_with(
    scene: xr.Dataset, options: CoherenceOptions, *, pairs: str | Sequence[Pair] | None = None
) -> xr.DataArray:
    """Do what `coherence` does, from one options object, as stores and model files keep it."""
    from sarcd.kernels.coherence import boxcar

    images = schema.require(scene, "slc")
    chosen = pairs_of(scene, pairs)
    window = options.window
    kernel = partial(boxcar, window=(window.y, window.x), min_valid=options.min_valid)
    layers = [
        window_map(kernel, [images[before], images[after]], halo=window.halo, dtype="float32")
        for before, after in chosen
    ]
    attrs = made_by_attrs("coherence", config.to_dict(options))
    return paired_array(scene, "coherence", stack(layers), chosen, attrs)
