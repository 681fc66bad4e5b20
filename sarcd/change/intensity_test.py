"""Test of the brightness of two dates with a chosen rate of false alarms."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import xarray as xr

from sarcd import schema
from sarcd.change.pair_scores import ratio_score
from sarcd.change.significance import (
    aligned,
    check_rate,
    check_share,
    check_two_pixels,
    parameters_of,
    result_of,
    window_looks,
)
from sarcd.config import Window
from sarcd.engine.lazy import window_map
from sarcd.errors import OptionError
from sarcd.estimation.levels import MatchGain, recorded, with_gains
from sarcd.estimation.pairs import pairs_of
from sarcd.store.intake import take
from sarcd.store.pairs import Pair


def ratio_test(
    scene: xr.Dataset,
    *,
    window: int | Window = 5,
    false_alarms: float = 0.01,
    coherence: float | xr.DataArray | Literal["auto", "estimated", "none"] = "auto",
    looks: float | None = None,
    min_valid: float = 0.5,
    pairs: str | Sequence[Pair] | None = None,
    match_gain: MatchGain = False,
) -> xr.Dataset:
    """Find where the brightness of the ground changed, with a chosen rate of false alarms.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude` (time, y, x), linear.
    window : int or Window
        Odd size in pixels over which power is averaged.
    false_alarms : float
        Share of unchanged pixels that are flagged.
    coherence : {"auto", "estimated", "none"}, float or DataArray
        ``none``: the F test, which takes the dates to be independent and goes blind where they are not.
        ``estimated``: exact at any coherence, from its estimate in the same window. A number or an array (pair, y, x):
        the true coherence, if it is known otherwise, with its bias removed. ``auto``: ``estimated`` where there is
        phase and a window of more than one pixel, else ``none``.
    looks : float, optional
        Independent looks of a mean over the window; by default from the spectrum of complex images, such that the F
        test has exactly this rate on speckle of that spectrum.
    min_valid : float
        Least share of valid pixels in a window, which the scene's border cuts; below it nothing is known.
    pairs : str or sequence of (before, after), optional
        As in `sarcd.estimation.coherence`.
    match_gain : bool or sequence of float
        As in `sarcd.change.log_ratio`.

    Returns
    -------
    xr.Dataset
        `change_score` (pair, y, x) float32, -log10 of the p-value, and `change` (pair, y, x) uint8; lazy if the images
        are.

    Raises
    ------
    SceneError
        If there are no images, or fewer than two.
    OptionError
        If an option cannot be used: ``estimated`` without phase or in one pixel, detected images without `looks`.

    See Also
    --------
    sarcd.change.kernels.significance.ratio : the tests and where they come from.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> found = ratio_test(sites.site("A", size=64), false_alarms=0.001)
    >>> found.change_score.dims, found.change.dtype
    (('pair', 'y', 'x'), dtype('uint8'))
    """
    scene = take(scene)
    images, size = schema.images_of(scene), Window.of(window)
    rate, share = check_rate(false_alarms), check_share(min_valid)
    chosen = pairs_of(scene, pairs)
    known: list[list[xr.DataArray]] = [[] for _ in chosen]
    if isinstance(coherence, xr.DataArray):
        known = [[layer] for layer in aligned(images, coherence, "coherence", len(chosen))]
        mode: float | str = "map"
    else:
        mode = _coherence_mode(coherence, images, size)
    measured = {"looks": window_looks(scene, size, looks, rate)}
    kernel = partial(ratio_score, window=size, min_valid=share, coherence=mode)
    kernels, measures = with_gains(scene, match_gain, chosen, kernel, measured)
    layers = [
        window_map(
            kernels[i],
            [images[a], images[b], *known[i]],
            halo=size.halo,
            dtype="float32",
            measured=measures[i],
            placed=True,
        )
        for i, (a, b) in enumerate(chosen)
    ]
    parameters = parameters_of(size, rate, share, looks) | {"coherence": mode} | recorded(match_gain)
    return result_of(scene, "ratio_test", parameters, layers, chosen, measured["looks"])


def _coherence_mode(coherence: float | str, images: xr.DataArray, window: Window) -> float | str:
    estimable = images.name == "slc" and window.pixels > 1
    if coherence == "auto":
        return "estimated" if estimable else "none"
    if coherence == "estimated":
        if images.name != "slc":
            raise OptionError("detected images have no coherence", where="coherence", mend="use 'none', or tell it")
        check_two_pixels(window)
        return "estimated"
    if coherence == "none":
        return "none"
    if isinstance(coherence, str) or not 0 <= coherence < 1:
        mend = "use auto, estimated, none, a number from 0 to below 1, or an array"
        raise OptionError(f"coherence {coherence!r}", where="coherence", mend=mend)
    return float(coherence)
