"""Tests of the coherence of two dates, alone and combined with intensity, at a chosen false-alarm rate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.change.coherence_past import MATCHED, histories, history_dates
from sarcd.change.pair_scores import MIN_POWER, Expectation, Histories, correlation_score, expected_score
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
from sarcd.engine.lazy import made_by_attrs, paired_array, stack, window_map
from sarcd.errors import OptionError, SceneError
from sarcd.estimation.coherence_layers import pairs_of
from sarcd.estimation.levels import MatchGain, recorded, with_gains
from sarcd.store.openable import take
from sarcd.store.pairs import Pair

if TYPE_CHECKING:
    from sarcd.change.kernels.significance.coherence import Kind

Expected = float | xr.DataArray | Literal["history"] | Histories


def coherence_test(
    scene: xr.Dataset,
    *,
    expected: Expected,
    window: int | Window = 5,
    false_alarms: float = 0.01,
    kind: Kind = "sample",
    looks: float | None = None,
    min_valid: float = 0.5,
    pairs: str | Sequence[Pair] | None = None,
) -> xr.Dataset:
    """Test where coherence is lower than over unchanged ground, at a chosen false-alarm rate.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` (time, y, x) complex64, linear.
    expected : float, DataArray or "history"
        Coherence of the ground without change, bias removed, one number or (pair, y, x), in [0, 1); or ``history``: the
        coherence of each pixel in the earlier pairs of consecutive dates (the latest eight at most), matched to that of
        the whole scene in each pair, so that snow on one date or a longer interval does not count as change.
    window : int or Window
        Odd size in pixels of the window in which coherence is estimated.
    false_alarms : float
        Fraction of unchanged pixels that are flagged; an upper bound with ``history``.
    kind : {"sample", "berger"}
        ``berger`` also falls where the intensity changed.
    looks, min_valid, pairs
        As in `ratio_test`.

    Returns
    -------
    xr.Dataset
        `change_score` (pair, y, x) float32, -log10 of the p-value of a loss of coherence; `change` (pair, y, x) uint8;
        and `undecidable` (pair, y, x) uint8, 1 where even a complete loss would more likely be missed than detected:
        ground that is hardly ever coherent (`never_coherent` asks for less), or has no history. There `change` is 255.
        Lazy if the images are.

    Raises
    ------
    SceneError
        If there is no `slc`, or there are fewer than three dates for ``history``.
    OptionError
        If an option cannot be used; a window of one pixel has coherence 1 everywhere.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> found = coherence_test(sites.simulate("A", size=64, dates=3), expected="history")
    >>> sorted(found.data_vars)
    ['change', 'change_score', 'undecidable']
    """
    scene = take(scene)
    return _with_expected(
        scene,
        "coherence_test",
        expected,
        window,
        parameters_of(Window.of(window), false_alarms, min_valid, looks, kind),
        pairs,
    )


def combined_test(
    scene: xr.Dataset,
    *,
    expected: Expected,
    window: int | Window = 5,
    false_alarms: float = 0.01,
    looks: float | None = None,
    min_valid: float = 0.5,
    pairs: str | Sequence[Pair] | None = None,
    match_gain: MatchGain = False,
) -> xr.Dataset:
    """Test where intensity changed or coherence was lost, in one test at a chosen false-alarm rate.

    Parameters
    ----------
    scene, expected, window, false_alarms, looks, min_valid, pairs
        As in `coherence_test`.
    match_gain : bool or sequence of float
        As in `sarcd.change.log_ratio`.

    Returns
    -------
    xr.Dataset
        `change_score`, `change` and `undecidable` as in `coherence_test`; where coherence is undecidable, `change`
        depends on intensity alone.

    Raises
    ------
    SceneError, OptionError
        As in `coherence_test`.

    See Also
    --------
    sarcd.change.kernels.significance.coherence : why the two statistics are independent, and how they are combined.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> float(combined_test(sites.simulate("A", size=64), expected=0.7).change.max())
    1.0
    """
    scene = take(scene)
    return _with_expected(
        scene,
        "combined_test",
        expected,
        window,
        parameters_of(Window.of(window), false_alarms, min_valid, looks, "berger"),
        pairs,
        match_gain,
    )


def no_correlation_test(
    scene: xr.Dataset,
    *,
    window: int | Window = 5,
    false_alarms: float = 0.01,
    looks: float | None = None,
    min_valid: float = 0.5,
    pairs: str | Sequence[Pair] | None = None,
) -> xr.DataArray:
    """Test where two dates are correlated at all, that is, where coherence carries information.

    Parameters
    ----------
    scene, window, looks, min_valid, pairs
        As in `coherence_test`.
    false_alarms : float
        Fraction of incoherent ground that is called coherent.

    Returns
    -------
    (pair, y, x) float32
        `correlation_score`, -log10 of the probability that incoherent ground has a coherence this high or higher; at
        least -log10 of `false_alarms`, the attribute `threshold`, where there is some coherence. NaN where invalid.

    Raises
    ------
    SceneError, OptionError
        As in `coherence_test`.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> found = no_correlation_test(sites.simulate("A", size=64), false_alarms=0.01)
    >>> bool((found >= found.threshold).any())
    True
    """
    scene = take(scene)
    size = check_two_pixels(Window.of(window))
    images, chosen = schema.require(scene, "slc"), pairs_of(scene, pairs)
    rate, fraction = check_rate(false_alarms), check_fraction(min_valid)
    measured = {"looks": window_looks(scene, size, looks, rate)}
    kernel = partial(correlation_score, window=size, min_valid=fraction)
    layers = [
        window_map(kernel, [images[a], images[b]], halo=size.halo, dtype="float32", measured=measured, placed=True)
        for a, b in chosen
    ]
    attrs = made_by_attrs("no_correlation_test", parameters_of(size, rate, fraction, looks))
    attrs |= {"threshold": float(-np.log10(rate)), "long_name": "evidence of coherence, -log10 of the p-value"}
    return paired_array(scene, "change_score", stack(layers), chosen, attrs).rename("correlation_score")


def _with_expected(
    scene: xr.Dataset,
    operation: str,
    expected: Expected,
    window: int | Window,
    parameters: dict[str, Any],
    pairs: str | Sequence[Pair] | None,
    match_gain: MatchGain = False,
) -> xr.Dataset:
    from sarcd.change.kernels.significance.coherence import more

    size = check_two_pixels(Window.of(window))
    images, chosen = schema.require(scene, "slc"), pairs_of(scene, pairs)
    more(parameters["kind"])
    rate = parameters[FALSE_ALARMS]
    measured = {"looks": window_looks(scene, size, parameters["looks"], rate)}
    given, mode = _expected(scene, images, expected, chosen)
    against = Expectation(mode, parameters["kind"], rate, with_ratio=operation == "combined_test")
    past: Sequence[Any] = expected.of_pairs if isinstance(expected, Histories) else ()
    if isinstance(expected, str) and expected == "history":
        past = histories(scene, chosen, size, parameters["min_valid"], measured["looks"])
    kernel = partial(expected_score, window=size, min_valid=parameters["min_valid"], expectation=against)
    kernels, measures = with_gains(scene, match_gain, chosen, kernel, measured)
    both = stack(
        [
            window_map(
                kernels[i],
                [images[a], images[b], *given[i]],
                halo=size.halo,
                dtype="complex64",
                measured=measures[i] | ({"history": past[i]} if past else {}),
                placed=True,
            )
            for i, (a, b) in enumerate(chosen)
        ]
    )
    parameters = parameters | {"expected": mode} | recorded(match_gain)
    parameters |= {"history": MATCHED} if mode == "history" else {}
    result = result_of(scene, operation, parameters, list(both.real), chosen, measured["looks"])
    attrs = made_by_attrs(operation, parameters)
    can_tell = paired_array(scene, "undecidable", both.imag, chosen, attrs)
    undecidable = xr.where(np.isnan(can_tell), schema.NO_LABEL, can_tell < MIN_POWER).astype("uint8")
    undecidable.attrs = can_tell.attrs
    result["undecidable"] = undecidable.rename("undecidable")
    if operation == "coherence_test":
        result["change"] = result.change.where(undecidable == 0, schema.NO_LABEL).astype("uint8")
        result["change"].attrs = result.change.attrs
    return result


def _expected(
    scene: xr.Dataset, images: xr.DataArray, expected: Expected, pairs: Sequence[tuple[int, int]]
) -> tuple[list[list[xr.DataArray]], float | str]:
    """Return the additional layers that the kernel of each pair takes, and how it uses them."""
    if isinstance(expected, xr.DataArray):
        return [[layer] for layer in aligned(images, expected, "expected", len(pairs))], "map"
    if isinstance(expected, Histories) or expected == "history":
        if images.sizes["time"] < 3:
            raise SceneError(
                f"time has {images.sizes['time']} dates; a history of coherence needs 3",
                source=schema.source_of(scene),
                hint="add images with 'sarcd ingest --append', or give the expected coherence as a number",
            )
        times = schema.dates_of(scene, "time")
        return [[images[date] for date in history_dates(times, pair)] for pair in pairs], "history"
    if isinstance(expected, str) or not 0 <= expected < 1:
        hint = "use history, a number from 0 to below 1, or an array"
        raise OptionError(f"invalid expected coherence {expected!r}", option="expected", hint=hint)
    return [[] for _ in pairs], float(expected)
