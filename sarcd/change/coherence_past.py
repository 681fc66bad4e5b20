"""Coherence of the whole scene in each pair, measured once on a fixed sample and passed to every region."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.change.pair_scores import Histories, PairHistory, WindowLooks, pair_of
from sarcd.config import CoherenceOptions, Window
from sarcd.estimation.looks import Looks, looks_later, pair_sample

LONGEST_HISTORY = 8
"""Maximum number of earlier pairs in the history of a pair; it bounds the memory of a block."""

FAR_BELOW = 0.6
"""A date is reported as bad where all its pairs have less than this fraction of the coherence of other pairs."""

MATCHED = "matched"
"""Recorded with results that match a history to the scene; up to 0.1.0 pairs were compared unmatched."""

_MIN_PIXELS = 100  # of a sample that can represent a scene

Pair = tuple[int, int]


def history_dates(times: np.ndarray, pair: Pair) -> list[int]:
    """Return the positions along `time`, in order, of the images whose pairs are the history of a pair.

    Examples
    --------
    >>> history_dates(np.array(["2020", "2022", "2021"], "datetime64[Y]"), (2, 1))
    [0, 2]
    """
    order = [int(date) for date in np.argsort(times)]
    last = min(order.index(date) for date in pair)
    return order[max(0, last - LONGEST_HISTORY) : last + 1]


def histories(
    scene: xr.Dataset,
    pairs: Sequence[Pair],
    window: Window,
    min_valid: float,
    looks: Any,
    pasts: Sequence[Sequence[Pair]] | None = None,
) -> list[Any]:
    """Return the `PairHistory` of each pair: measured now for images in memory, otherwise as dask tasks.

    Parameters
    ----------
    scene : xr.Dataset
        The whole scene, with `slc`.
    pairs : sequence of (int, int)
        Positions along `time`.
    window : Window
        Window in which coherence is estimated.
    min_valid : float
        Minimum fraction of valid pixels in the window.
    looks : WindowLooks, or dask task
        Independent looks of the window.
    pasts : sequence of sequences of (int, int), optional
        Earlier pairs that each pair is compared with; by default those of `history_dates`.
    """
    times = schema.dates_of(scene, "time")
    pasts = pasts or [list(pairwise(history_dates(times, pair))) for pair in pairs]
    count, fit = partial(_count, window=window, min_valid=min_valid), _fit
    if scene["slc"].chunks is not None:
        from dask.delayed import delayed

        count, fit = delayed(count, pure=True), delayed(fit, pure=True)
    needed = {step for pair, past in zip(pairs, pasts, strict=True) if past for step in (*past, pair)}
    counts = {step: count(pair_sample(scene, *step), looks) for step in sorted(needed)}
    return [
        fit([counts[step] for step in past], counts[pair], looks) if past else PairHistory()
        for pair, past in zip(pairs, pasts, strict=True)
    ]


def earlier_pairs(times: np.ndarray, pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Return, for each pair, all pairs of consecutive dates that end with its first date or earlier.

    Examples
    --------
    >>> earlier_pairs(np.array(["2020", "2021", "2022"], "datetime64[Y]"), [(0, 1), (1, 2)])
    [[], [(0, 1)]]
    """
    steps = list(pairwise(int(i) for i in np.argsort(times)))
    return [[step for step in steps if times[step[1]] <= min(times[list(pair)])] for pair in pairs]


def known_looks(scene: xr.Dataset, window: Window) -> Any:
    """Return the `WindowLooks` of coherence, 1 where no pixel of the sample is valid (a dask task if lazy)."""
    looks = looks_later(scene, CoherenceOptions(window=window))
    if hasattr(looks, "compute"):
        from dask.delayed import delayed

        return delayed(_window_looks, pure=True)(looks)
    return _window_looks(looks)


def _window_looks(looks: Looks | None) -> WindowLooks:
    return WindowLooks(1, 1) if looks is None else WindowLooks(round(looks.effective, 6), round(looks.floor, 6))


def measure_histories(
    scene: xr.Dataset,
    pairs: Sequence[Pair],
    window: Window,
    min_valid: float,
    looks: WindowLooks,
    pasts: Sequence[Sequence[Pair]] | None = None,
) -> Histories:
    """Measure what `histories` measures, now, and the coherence of the whole scene in each pair involved.

    Parameters
    ----------
    scene, pairs, window, min_valid, looks, pasts
        As in `histories`.
    """
    from sarcd.change.kernels.significance.levels import fit_prior, mean_truth

    times = schema.dates_of(scene, "time")
    pasts = pasts or [list(pairwise(history_dates(times, pair))) for pair in pairs]
    counts = {}
    for step in sorted({step for pair, past in zip(pairs, pasts, strict=True) for step in (*past, pair)}):
        blocks = pair_sample(scene, *step)
        if scene["slc"].chunks is not None:
            from dask.base import compute

            blocks = list(compute(*blocks))
        counts[step] = _count(blocks, looks, window=window, min_valid=min_valid)
    fitted = [
        _fit([counts[step] for step in past], counts[pair], looks) if past else PairHistory()
        for pair, past in zip(pairs, pasts, strict=True)
    ]
    order = set(pairwise(int(date) for date in np.argsort(times)))  # other pairs span longer, and so are less coherent
    known = {step: one for step, one in counts.items() if one.sum() >= _MIN_PIXELS and step in order}
    known = known if looks.coherence > 1 else {}
    levels = [(*step, round(mean_truth(fit_prior([one], looks.coherence, flat=0.0)), 3)) for step, one in known.items()]
    return Histories(tuple(fitted), tuple(levels))


def bad_dates(times: np.ndarray, levels: Sequence[tuple[int, int, float]]) -> list[str]:
    """Return a line about each date whose pairs are all far less coherent than the others of the scene.

    Parameters
    ----------
    times : (T,) datetime64
        Dates of the scene.
    levels : sequence of (int, int, float)
        Coherence of pairs, by the positions of their dates.

    Examples
    --------
    >>> times = np.array(["2023-01-01", "2023-01-12", "2023-01-23", "2023-02-03"], "datetime64[D]")
    >>> bad_dates(times, [(0, 1, 0.2), (1, 2, 0.1), (2, 3, 0.6)])[0].partition(",")[0]
    'coherence of both pairs of 2023-01-12 is far below that of the others (0.2 and 0.1'
    """
    of_dates = {date: [level for *dates, level in levels if date in dates] for *pair, _ in levels for date in pair}
    found = {}
    for date, own in of_dates.items():
        others = [level for *dates, level in levels if date not in dates]
        if others and max(own) < FAR_BELOW * float(np.median(others)):
            found[date] = (own, float(np.median(others)))
    lines = []
    for date, (own, rest) in sorted(found.items(), key=lambda item: times[item[0]]):
        partners = {other for *dates, _ in levels if date in dates for other in dates if other != date}
        if len(own) < 2 and partners & set(found):
            continue  # the first or last date, whose only neighbour is the bad one
        pairs = {1: "the one pair", 2: "both pairs"}.get(len(own), f"all {len(own)} pairs")
        values = " and ".join(f"{level:.2g}" for level in own) if len(own) < 3 else f"{max(own):.2g} at most"
        text = schema.day_of(times[date])
        lines.append(
            f"coherence of {pairs} of {text} is far below that of the others ({values}, others {rest:.2g}), "
            f"as after snow, rain or a long interval: exclude the date with --exclude-date {text}"
        )
    return lines


def _count(blocks: Sequence[np.ndarray], looks: WindowLooks, *, window: Window, min_valid: float) -> np.ndarray:
    """Return the histogram of the coherence of a pair over complete windows, from blocks of both images."""
    from sarcd.change.kernels.significance.levels import histogram
    from sarcd.change.kernels.significance.looks import count_valid

    half, found = len(blocks) // 2, histogram(np.empty(0))
    for before, after in zip(blocks[:half], blocks[half:], strict=True):
        sample = np.asarray(pair_of(before, after, window, min_valid, looks).sample)
        valid = np.isfinite(before) & np.isfinite(after)
        whole = count_valid(valid, (window.y, window.x)) >= 0.9 * window.pixels
        found = found + histogram(sample[whole])
    return found


def _fit(past: Sequence[np.ndarray], now: np.ndarray, looks: WindowLooks) -> PairHistory:
    from sarcd.change.kernels.significance.levels import fit_prior, fit_scale, mean_truth

    known = looks.coherence
    if not known > 1 or min(one.sum() for one in (*past, now)) < _MIN_PIXELS:
        return PairHistory()
    levels = [mean_truth(fit_prior([one], known, flat=0.0)) for one in past]
    rule = fit_prior([past[int(np.argmax(levels))]], known)
    scales = [fit_scale(one, rule, known) for one in past]
    prior = fit_prior(past, known, scales)
    scales.append(fit_scale(now, prior, known))
    # the last bits depend on the processor, but a result must be the same wherever it was made
    return PairHistory(tuple(scales), tuple(float(weight) for weight in prior.round(9)))
