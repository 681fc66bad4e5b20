"""Coherence of a pair against its ground's coherence before it, and the dates left out of that history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import xarray as xr

from sarcd import config, schema
from sarcd.change.coherence_past import MATCHED, earlier_pairs, histories, known_looks
from sarcd.change.pair_scores import Histories, PairHistory
from sarcd.config import CoherenceOptions, Estimator, Window
from sarcd.engine.lazy import made_by_attrs, paired_array, stack, window_map
from sarcd.errors import OptionError, SceneError
from sarcd.estimation.amplitudes import iso
from sarcd.estimation.coherence_layers import coherence_with, pairs_of
from sarcd.estimation.looks import Looks, looks_later, no_looks
from sarcd.store.openable import take
from sarcd.store.pairs import Pair, find_date

PRIOR = 4.0
"""Degrees of freedom of theory's variance beside the past of a pixel: as much as five past pairs."""


def coherence_loss(
    scene: xr.Dataset,
    *,
    window: int | Window = 7,
    estimator: Estimator = "boxcar",
    min_valid: float = 0.5,
    scale: Literal["fisher", "z"] = "fisher",
    pairs: str | Sequence[Pair] | None = None,
    history: Histories | None = None,
) -> xr.DataArray:
    """How far the coherence of each pair fell below that of the pairs before it, of three or more dates.

    On vegetated ground coherence is low in every pair; what changed is where it is lower than before. What the whole
    scene lost, by snow or over a longer time, is no change: earlier pairs are matched to the pair in question, and
    those far less coherent than the others are left out (see `sarcd.change.kernels.coherence_history.matched`).

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` (time, y, x) complex64, three or more dates.
    window, estimator, min_valid
        As in `sarcd.estimation.coherence`.
    scale : {"fisher", "z"}
        ``fisher``: difference of the mean of the past and of the pair, each transformed by artanh, so that the spread
        hardly depends on the coherence. ``z``: that over its standard deviation, from the pixel's own past and theory.
    pairs : str or sequence of (before, after), optional
        As in `sarcd.estimation.coherence`. The past of a pair are the consecutive pairs that end with its first date or
        earlier.
    history : Histories, optional
        How coherent the whole scene is in the pairs, by `sarcd.change.coherence_past.measure_histories`; measured by
        default.

    Returns
    -------
    (pair, y, x) float32
        Above 0 where coherence was lost; NaN where undefined, and in all of a pair without a past. Lazy if `slc` is.

    Raises
    ------
    SceneError
        If there is no `slc`, or no pair has a past.
    OptionError
        If an option cannot be used.

    See Also
    --------
    never_coherent : where it says nothing.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> loss = coherence_loss(sites.simulate("A", size=64, dates=3))
    >>> loss.dims, loss[0].isnull().all().item(), loss[1].isnull().all().item()
    (('pair', 'y', 'x'), True, False)
    """
    scene = take(scene)
    from sarcd.change.kernels import coherence_history as kernels

    if scale not in ("fisher", "z"):
        raise OptionError(f"unknown scale {scale!r}", option="scale", hint="use fisher or z")
    options = CoherenceOptions(window=Window.of(window), estimator=estimator, min_valid=min_valid)
    kernel: Callable[..., np.ndarray] = kernels.coherence_loss
    measured: dict[str, Any] = {}
    if scale == "z":
        kernel = partial(_with_looks, kernel=kernels.coherence_z, least=1.6, prior=PRIOR)
        measured["looks"] = looks_later(scene, options)
    chosen = pairs_of(scene, pairs)
    data = _against_past(scene, options, chosen, kernel, measured, with_event=True, history=history)
    parameters = {"scale": scale, "coherence": config.to_dict(options), "history": MATCHED}
    attrs = made_by_attrs("coherence_loss", parameters)
    return paired_array(scene, "change_score", data, chosen, attrs).rename("coherence_loss")


def never_coherent(
    scene: xr.Dataset,
    *,
    window: int | Window = 7,
    estimator: Estimator = "boxcar",
    min_valid: float = 0.5,
    false_alarm: float = 0.05,
    pairs: str | Sequence[Pair] | None = None,
    history: Histories | None = None,
) -> xr.DataArray:
    """Ground that was not coherent in any pair before: coherence cannot tell whether it changed.

    It is what `sarcd detect --method coherence-loss` marks as `undecidable`, together with pairs that have no past. The
    tests, `coherence_test` and `combined_test`, have a rate of false alarms and mark by their power at that rate, which
    is stricter: ground that was barely coherent is no longer never coherent, but a loss there would still be missed.

    Parameters
    ----------
    scene, window, estimator, min_valid, pairs, history
        As in `coherence_loss`.
    false_alarm : float
        Share of ground without coherence that may pass for coherent once, in (0, 1).

    Returns
    -------
    (pair, y, x) uint8
        1 never coherent, 0 coherent at least once, 255 where undefined or without a past. Lazy if `slc` is.

    Raises
    ------
    SceneError, OptionError
        As `coherence_loss`.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> never_coherent(sites.simulate("A", size=64, dates=3)).dtype
    dtype('uint8')
    """
    scene = take(scene)
    from sarcd.change.kernels import coherence_history as kernels

    if not 0 < false_alarm < 1:
        raise OptionError(f"false_alarm is {false_alarm}", option="false_alarm", hint="use a share, such as 0.05")
    options = CoherenceOptions(window=Window.of(window), estimator=estimator, min_valid=min_valid)
    kernel = partial(_with_looks, kernel=kernels.never_coherent, least=1.1, false_alarm=false_alarm)
    chosen = pairs_of(scene, pairs)
    measured = {"looks": looks_later(scene, options)}
    data = _against_past(scene, options, chosen, kernel, measured, with_event=False, history=history)
    attrs = made_by_attrs(
        "never_coherent", {"false_alarm": false_alarm, "coherence": config.to_dict(options), "history": MATCHED}
    )
    found = paired_array(scene, "change", data, chosen, attrs).rename("never_coherent")
    return found.assign_attrs(
        long_name="ground without coherence in any pair before",
        flag_values=[0, 1, schema.NO_LABEL],
        flag_meanings="once_coherent never_coherent unknown",
    )


def _with_looks(
    *layers: np.ndarray, looks: Looks | None, kernel: Callable[..., np.ndarray], least: float, **options: Any
) -> np.ndarray:
    if looks is None:
        raise no_looks()
    return kernel(*layers, looks=max(looks.floor, least), **options)


def _matched(
    *layers: np.ndarray, kernel: Callable[..., np.ndarray], history: PairHistory, **options: Any
) -> np.ndarray:
    return kernel(*layers, scales=history.scales or None, **options)


def _against_past(
    scene: xr.Dataset,
    options: CoherenceOptions,
    chosen: Sequence[tuple[int, int]],
    kernel: Callable[..., np.ndarray],
    measured: dict[str, Any],
    *,
    with_event: bool,
    history: Histories | None,
) -> Any:
    """Apply a kernel to the coherence of each pair, if wanted, and of its past; NaN or 255 for a pair without one."""
    times = schema.dates_of(scene, "time")
    schema.require(scene, "slc")
    pasts = earlier_pairs(times, chosen)
    if not any(pasts):
        raise SceneError(
            "no pair has an earlier one to compare with",
            source=schema.source_of(scene),
            hint="add earlier images, or choose later pairs: three dates are the least",
        )
    needed = sorted({step for past in pasts for step in past} | (set(chosen) if with_event else set()))
    named = [(times[before], times[after]) for before, after in needed]
    layers = dict(zip(needed, coherence_with(scene, options, pairs=named), strict=True))
    known: Sequence[Any] = history.of_pairs if history else ()
    if not known:
        looks = known_looks(scene, options.window)
        known = histories(scene, chosen, options.window, options.min_valid, looks, pasts)
    dtype = "float32" if with_event else "uint8"
    found = []
    for pair, past, of_pair in zip(chosen, pasts, known, strict=True):
        images = [layers[step] for step in ([pair] if with_event else []) + past]
        if past:
            matching = partial(_matched, kernel=kernel)
            told = measured | {"history": of_pair}
            found.append(window_map(matching, images, halo=(0, 0), dtype=dtype, measured=told))
        else:
            empty = next(iter(layers.values()))
            found.append(xr.full_like(empty, np.nan if with_event else schema.NO_LABEL, dtype=dtype).data)
    return stack(found)


OPTION = "--exclude-date"


def named_dates(times: np.ndarray, texts: Sequence[str]) -> tuple[str, ...]:
    """Return the dates that texts name, in order and in full, so that two ways to write one are the same setting.

    Raises
    ------
    OptionError
        If one is no date of the scene.

    Examples
    --------
    >>> named_dates(np.array(["2023-03-19", "2023-03-31"], "datetime64[us]"), ["20230331"])
    ('2023-03-31T00:00:00.000000',)
    """
    return tuple(sorted({iso(find_date(text, times, OPTION)) for text in texts}))


def without_dates(scene: xr.Dataset, texts: Sequence[str]) -> xr.Dataset:
    """Return a scene without some of its dates; the pairs it lists stay."""
    if not texts:
        return scene
    times = schema.dates_of(scene, "time")
    left_out = named_dates(times, texts)
    return scene.isel(time=[position for position, time in enumerate(times) if iso(time) not in left_out])


def without_pairs(pairs: Sequence[Pair], left_out: Sequence[str]) -> list[Pair]:
    """Return the pairs, given by their dates, that hold none of those.

    Raises
    ------
    OptionError
        If none is left.
    """
    kept = [pair for pair in pairs if not {iso(date) for date in pair} & set(left_out)]
    if pairs and not kept:
        raise OptionError(
            "every pair holds a date that is left out",
            option=OPTION,
            hint="leave out fewer, or name others with --pairs",
        )
    return kept


def say(pairs: Sequence[Pair], kept: Sequence[Pair], times: np.ndarray, left_out: Sequence[str]) -> str:
    """Return a line about what is left out, and how to map what lies across it."""
    dates = ", ".join(schema.day_of(np.datetime64(date)) for date in left_out)
    gone = len(pairs) - len(kept)
    order = [time for time in np.sort(times) if iso(time) not in left_out]
    across = [
        f"{schema.day_of(before)}:{schema.day_of(after)}"
        for before, after in pairwise(order)
        if any(iso(before) < date < iso(after) for date in left_out) and (before, after) not in kept
    ]
    cure = f"; --pairs {','.join(across)} maps across" if across else ""
    return f"{dates} left out, and so {gone} pair{'s'[: gone != 1]}{cure}"
