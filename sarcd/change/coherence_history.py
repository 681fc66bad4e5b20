"""Loss of coherence of a pair relative to its own history, and the dates excluded from that history."""

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
"""Degrees of freedom of the theoretical variance, beside the history of a pixel: worth five earlier pairs."""


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
    """Measure how far the coherence of each pair fell below that of earlier pairs, with three or more dates.

    Vegetated ground has low coherence in every pair; it changed where coherence is lower than before. A loss over the
    whole scene, due to snow or a longer interval, is not a change: earlier pairs are matched to the pair under test,
    and those far less coherent than the others are left out (see `sarcd.change.kernels.coherence_history.matched`).

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` (time, y, x) complex64, three or more dates.
    window, estimator, min_valid
        As in `sarcd.estimation.coherence`.
    scale : {"fisher", "z"}
        ``fisher``: mean over the earlier pairs minus the pair under test, each transformed by artanh, so that the
        spread hardly depends on the coherence. ``z``: that difference over its standard deviation, from the pixel's own
        history and from theory.
    pairs : str or sequence of (before, after), optional
        As in `sarcd.estimation.coherence`. The history of a pair is the consecutive pairs that end with its first date
        or earlier.
    history : Histories, optional
        Coherence of the whole scene in each pair, from `sarcd.change.coherence_past.measure_histories`; measured by
        default.

    Returns
    -------
    (pair, y, x) float32
        Above 0 where coherence fell; NaN where undefined, and everywhere in a pair without history. Lazy if `slc` is.

    Raises
    ------
    SceneError
        If there is no `slc`, or no pair has a history.
    OptionError
        If an option cannot be used.

    See Also
    --------
    never_coherent : pixels for which this measure carries no information.

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
        kernel = partial(_with_looks, kernel=kernels.coherence_z, min_looks=1.6, prior=PRIOR)
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
    """Flag ground that was not coherent in any earlier pair, where coherence cannot show a change.

    These are the pixels that `sarcd detect --method coherence-loss` marks as `undecidable`, together with pairs without
    history. The tests, `coherence_test` and `combined_test`, have a false-alarm rate and mark pixels by their power at
    that rate, which is stricter: barely coherent ground is not never coherent, but a loss there would still be missed.

    Parameters
    ----------
    scene, window, estimator, min_valid, pairs, history
        As in `coherence_loss`.
    false_alarm : float
        Fraction of incoherent ground that may pass as coherent at least once, in (0, 1).

    Returns
    -------
    (pair, y, x) uint8
        1 never coherent, 0 coherent at least once, 255 where undefined or without history. Lazy if `slc` is.

    Raises
    ------
    SceneError, OptionError
        As in `coherence_loss`.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> never_coherent(sites.simulate("A", size=64, dates=3)).dtype
    dtype('uint8')
    """
    scene = take(scene)
    from sarcd.change.kernels import coherence_history as kernels

    if not 0 < false_alarm < 1:
        raise OptionError(f"expected a fraction in (0, 1), got {false_alarm}", option="false_alarm", hint="use 0.05")
    options = CoherenceOptions(window=Window.of(window), estimator=estimator, min_valid=min_valid)
    kernel = partial(_with_looks, kernel=kernels.never_coherent, min_looks=1.1, false_alarm=false_alarm)
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
    *layers: np.ndarray, looks: Looks | None, kernel: Callable[..., np.ndarray], min_looks: float, **options: Any
) -> np.ndarray:
    if looks is None:
        raise no_looks()
    return kernel(*layers, looks=max(looks.floor, min_looks), **options)


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
    """Apply a kernel to the coherence of each pair (`with_event`) and of its history; NaN or 255 if it has none."""
    times = schema.dates_of(scene, "time")
    schema.require(scene, "slc")
    pasts = earlier_pairs(times, chosen)
    if not any(pasts):
        raise SceneError(
            "no pair has an earlier pair to compare with",
            source=schema.source_of(scene),
            hint="add earlier images or choose later pairs; at least three dates are needed",
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
            facts = measured | {"history": of_pair}
            found.append(window_map(matching, images, halo=(0, 0), dtype=dtype, measured=facts))
        else:
            empty = next(iter(layers.values()))
            found.append(xr.full_like(empty, np.nan if with_event else schema.NO_LABEL, dtype=dtype).data)
    return stack(found)


OPTION = "--exclude-date"


def named_dates(times: np.ndarray, texts: Sequence[str]) -> tuple[str, ...]:
    """Return the dates that texts name, sorted and in full, so that each spelling of a date gives the same setting.

    Raises
    ------
    OptionError
        If one is not a date of the scene.

    Examples
    --------
    >>> named_dates(np.array(["2023-03-19", "2023-03-31"], "datetime64[us]"), ["20230331"])
    ('2023-03-31T00:00:00.000000',)
    """
    return tuple(sorted({iso(find_date(text, times, OPTION)) for text in texts}))


def without_dates(scene: xr.Dataset, texts: Sequence[str]) -> xr.Dataset:
    """Return a scene without some of its dates; its list of pairs is kept."""
    if not texts:
        return scene
    times = schema.dates_of(scene, "time")
    left_out = named_dates(times, texts)
    return scene.isel(time=[position for position, time in enumerate(times) if iso(time) not in left_out])


def without_pairs(pairs: Sequence[Pair], left_out: Sequence[str]) -> list[Pair]:
    """Return the pairs, given by their dates, that contain none of the excluded dates.

    Raises
    ------
    OptionError
        If no pair is left.
    """
    kept = [pair for pair in pairs if not {iso(date) for date in pair} & set(left_out)]
    if pairs and not kept:
        raise OptionError(
            "every pair contains an excluded date",
            option=OPTION,
            hint="exclude fewer dates, or name other pairs with --pairs",
        )
    return kept


def say(pairs: Sequence[Pair], kept: Sequence[Pair], times: np.ndarray, left_out: Sequence[str]) -> str:
    """Return a log line about excluded dates, and how to map changes across them."""
    dates = ", ".join(schema.day_of(np.datetime64(date)) for date in left_out)
    gone = len(pairs) - len(kept)
    order = [time for time in np.sort(times) if iso(time) not in left_out]
    across = [
        f"{schema.day_of(before)}:{schema.day_of(after)}"
        for before, after in pairwise(order)
        if any(iso(before) < date < iso(after) for date in left_out) and (before, after) not in kept
    ]
    hint = f"; use --pairs {','.join(across)} to map across" if across else ""
    return f"excluded {dates}, which drops {gone} pair{'s'[: gone != 1]}{hint}"
