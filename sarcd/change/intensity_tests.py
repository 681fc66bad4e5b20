"""Tests of intensity change at a chosen false-alarm rate: between two dates, and over all dates together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.change.pair_scores import WindowLooks, ratio_score, score
from sarcd.change.significance import (
    FALSE_ALARMS,
    aligned,
    check_fraction,
    check_rate,
    check_two_pixels,
    parameters_of,
    result_of,
    window_looks,
)
from sarcd.config import Window
from sarcd.engine.lazy import is_lazy, made_by_attrs, paired_array, stack, window_map
from sarcd.errors import OptionError
from sarcd.estimation.coherence_layers import pairs_of
from sarcd.estimation.levels import MatchGain, recorded, with_gains
from sarcd.store.openable import take
from sarcd.store.pairs import Pair, consecutive


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
    """Test where the intensity of the ground changed, at a chosen false-alarm rate.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude` (time, y, x), linear.
    window : int or Window
        Odd size in pixels over which power is averaged.
    false_alarms : float
        Fraction of unchanged pixels that are flagged.
    coherence : {"auto", "estimated", "none"}, float or DataArray
        ``none``: the F test, which assumes independent dates and loses power where they are coherent. ``estimated``:
        exact at any coherence, from its estimate in the same window. A number or an array (pair, y, x): the true
        coherence, bias removed, if it is known from elsewhere. ``auto``: ``estimated`` for complex images and a window
        of more than one pixel, otherwise ``none``.
    looks : float, optional
        Independent looks of a mean over the window; by default measured from the spectrum of complex images, such that
        the F test has exactly this false-alarm rate for speckle with that spectrum.
    min_valid : float
        Minimum fraction of valid pixels in a window, which the scene's border truncates; below it pixels are unknown.
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
        If an option cannot be used: ``estimated`` without phase or in one pixel, or no `looks` for amplitude images.

    See Also
    --------
    sarcd.change.kernels.significance.coherence : the tests and their derivation.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> found = ratio_test(sites.simulate("A", size=64), false_alarms=0.001)
    >>> found.change_score.dims, found.change.dtype
    (('pair', 'y', 'x'), dtype('uint8'))
    """
    scene = take(scene)
    images, size = schema.images_of(scene), Window.of(window)
    rate, fraction = check_rate(false_alarms), check_fraction(min_valid)
    chosen = pairs_of(scene, pairs)
    known: list[list[xr.DataArray]] = [[] for _ in chosen]
    if isinstance(coherence, xr.DataArray):
        known = [[layer] for layer in aligned(images, coherence, "coherence", len(chosen))]
        mode: float | str = "map"
    else:
        mode = _coherence_mode(coherence, images, size)
    measured = {"looks": window_looks(scene, size, looks, rate)}
    kernel = partial(ratio_score, window=size, min_valid=fraction, coherence=mode)
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
    parameters = parameters_of(size, rate, fraction, looks) | {"coherence": mode} | recorded(match_gain)
    return result_of(scene, "ratio_test", parameters, layers, chosen, measured["looks"])


def _coherence_mode(coherence: float | str, images: xr.DataArray, window: Window) -> float | str:
    estimable = images.name == "slc" and window.pixels > 1
    if coherence == "auto":
        return "estimated" if estimable else "none"
    if coherence == "estimated":
        if images.name != "slc":
            hint = "use none, or give the coherence as a number or an array"
            raise OptionError("amplitude images have no coherence", option="coherence", hint=hint)
        check_two_pixels(window)
        return "estimated"
    if coherence == "none":
        return "none"
    if isinstance(coherence, str) or not 0 <= coherence < 1:
        hint = "use auto, estimated, none, a number from 0 to below 1, or an array"
        raise OptionError(f"invalid coherence {coherence!r}", option="coherence", hint=hint)
    return float(coherence)


def omnibus_test(
    scene: xr.Dataset,
    *,
    window: int | Window = 5,
    false_alarms: float = 0.01,
    looks: float | WindowLooks | None = None,
    min_valid: float = 0.5,
) -> xr.Dataset:
    """Test where and when the intensity of the ground changed over many dates, in one test of all of them.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude` (time, y, x), linear; two dates or more, in order of time.
    window : int or Window
        Odd size in pixels over which power is averaged.
    false_alarms : float
        Fraction of the pixels unchanged on all dates that are flagged on any.
    looks : float, optional
        Independent looks of a mean over the window, as in `ratio_test`, or a `WindowLooks` that was measured before.
        Looks measured from the scene's spectrum depend on the number of dates.
    min_valid : float
        Minimum fraction of pixels valid on all dates in a window, which the scene's border truncates; below it pixels
        are unknown.

    Returns
    -------
    xr.Dataset
        `change` (pair, y, x) uint8 over consecutive dates, and `omnibus_score` (y, x) float32, -log10 of the p-value
        over all dates. Lazy if the images are; a block keeps all dates in memory, 12 bytes a pixel each.

    Raises
    ------
    SceneError
        If there are no images, or fewer than two.
    OptionError
        If an option cannot be used, or no `looks` are given for amplitude images.

    See Also
    --------
    sarcd.change.summarise : number of changes, first and last date, persistence.
    sarcd.change.kernels.significance.omnibus : the tests.

    Notes
    -----
    The dates are assumed independent. Over coherent ground fewer than `false_alarms` of the pixels are flagged and
    small changes are missed, as by the plain ratio test; there `ratio_test` of pairs has more power.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> found = omnibus_test(sites.simulate("A", size=64, dates=3))
    >>> found.change.dims, found.omnibus_score.dims
    (('pair', 'y', 'x'), ('y', 'x'))
    """
    scene = take(scene)
    images, size = schema.images_of(scene), Window.of(window)
    rate, fraction = check_rate(false_alarms), check_fraction(min_valid)
    pairs = pairs_of(scene, consecutive(schema.dates_of(scene, "time")))
    order = [pairs[0][0], *(after for _, after in pairs)]
    looks_ = window_looks(scene, size, looks, rate, len(order))
    dates = [images[date] for date in order]
    all_valid = _all_valid(dates)
    powers = [
        window_map(partial(_power, window=size, min_valid=fraction), [date, all_valid], halo=size.halo, dtype="float32")
        for date in dates
    ]
    counts = window_map(partial(_count, window=size), [all_valid], halo=size.halo, dtype="int32")
    layers = _search(powers, counts, {"pixels": size.pixels, "looks": looks_, "false_alarms": rate})
    given = None if isinstance(looks, WindowLooks) else looks
    attrs = made_by_attrs("omnibus_test", parameters_of(size, rate, fraction, given))
    if isinstance(looks_, WindowLooks):
        attrs["effective_looks"] = looks_.power
    change = paired_array(scene, "change", layers[1:].astype("uint8"), pairs, attrs)
    kept = {key: value for key, value in change.attrs.items() if key == "grid_mapping"}
    coords = {key: change[key] for key in ("y", "x", "spatial_ref") if key in change.coords}
    of_stack = xr.DataArray(
        layers[0],
        dims=("y", "x"),
        coords=coords,
        attrs={**schema.variable("omnibus_score").attrs(), **kept, **attrs},
    )
    return xr.Dataset({"change": change, "omnibus_score": of_stack}, attrs={FALSE_ALARMS: rate})


def _all_valid(dates: list[xr.DataArray]) -> xr.DataArray:
    """Return the pixels that are valid on all dates."""
    valid = dates[0].copy(data=np.isfinite(dates[0].data))
    for date in dates[1:]:
        valid = valid.copy(data=valid.data & np.isfinite(date.data))
    return valid


def _power(image: np.ndarray, valid: np.ndarray, window: Window, min_valid: float) -> np.ndarray:
    from sarcd.change.kernels.significance.looks import enough, mean_power

    size = window.y, window.x
    power = mean_power(image, valid, size)
    return np.where(enough(valid, size, min_valid) & (power > 0), power, np.nan).astype(np.float32)


def _count(valid: np.ndarray, window: Window) -> np.ndarray:
    from sarcd.change.kernels.significance.looks import count_valid

    return count_valid(valid, (window.y, window.x))


def _search(powers: list[Any], counts: Any, options: dict[str, Any]) -> Any:
    """Return (K, Y, X) float32: the score of the stack, then the change from each date to the next, 1, 0 or 255."""
    if not is_lazy(xr.DataArray(counts)):
        return _search_block(np.stack(powers), counts[None], **options)
    import dask.array as da

    whole = stack(powers).rechunk({0: len(powers)})
    return da.map_blocks(
        _search_block,
        whole,
        counts[None],
        dtype=np.float32,
        chunks=whole.chunks,
        meta=np.empty((0, 0, 0), "f4"),
        **options,
    )


def _search_block(
    powers: np.ndarray, counts: np.ndarray, pixels: int, looks: WindowLooks, false_alarms: float
) -> np.ndarray:
    from sarcd.change.kernels.significance.looks import looks_of
    from sarcd.change.kernels.significance.omnibus import change_times

    if looks.stack is None:
        p, changed = change_times(powers, looks_of(counts[0], looks.power, pixels), false_alarms)
    else:
        filled = (np.maximum(counts[0], 1) - 1) / (pixels - 1) if pixels > 1 else 1.0
        p, changed = change_times(powers, looks.stack, false_alarms, filled=filled)
    out = np.empty(powers.shape, np.float32)
    out[0] = score(p)
    out[1:] = np.where(np.isnan(p), schema.NO_LABEL, changed)
    return out
