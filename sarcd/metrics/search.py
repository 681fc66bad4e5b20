"""Search among the thresholds of a score, on several scenes together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sarcd.errors import SceneError
from sarcd.metrics.kernels import scores as kernel
from sarcd.metrics.kernels.bins import Kind
from sarcd.metrics.kernels.curves import add_packed, unpack
from sarcd.metrics.kernels.objects import BlockObjects, Rules, block_objects, join_objects
from sarcd.metrics.layers import Layers, gather
from sarcd.metrics.scoring import check_counts
from sarcd.metrics.tally import FINE, Plan, Tally, merge_tallies, tally_block

_TOGETHER = 8  # thresholds that one pass over the scenes tries
_STEP = 1.25  # ratio of false pixels from one threshold that is tried to the next, on the way down
_CLOSE = 1.01  # ratio of false pixels between two thresholds that need no third one between them


@dataclass(frozen=True)
class Ranking:
    """All thresholds that part the scores, from the highest down, and what each claims.

    Parameters
    ----------
    thresholds : (N,) float64
        Falling.
    tp, fp : (N,) int64
        Claimed pixels with and without change.
    positives : int
        Changed pixels.
    unchanged_km2 : float
        Judged ground without change, NaN where the area is not known.
    """

    thresholds: np.ndarray
    tp: np.ndarray
    fp: np.ndarray
    positives: int
    unchanged_km2: float

    @property
    def precision(self) -> np.ndarray:
        """Share of the claimed pixels that are changed, at each threshold."""
        return np.asarray(self.tp / (self.tp + self.fp))

    @property
    def f1(self) -> np.ndarray:
        """F1 at each threshold."""
        return kernel.f1(self.tp, self.fp, self.positives - self.tp)


def rank(layers: Sequence[Layers], areas: Sequence[float | None], kind: Kind) -> Ranking:
    """Rank the scores of all scenes."""
    plan = Plan(math.inf, kind, bins=1)
    packed, unchanged_m2 = [], 0.0
    for layer, area in zip(layers, areas, strict=True):
        tallies: list[Tally] = gather(layer, partial(tally_block, plan), merge_tallies)
        counts = np.sum([tally.counts for tally in tallies], axis=0)
        check_counts(layer, counts, sum(tally.outside for tally in tallies))
        packed += [tally.ranked for tally in tallies]
        unchanged_m2 += math.nan if area is None else float(counts[1] + counts[3]) * area
    number, histogram = unpack(add_packed(packed), FINE[kind])
    thresholds = FINE[kind].edges()[number][::-1].astype(np.float64)
    fp, tp = (np.cumsum(counts[::-1]) for counts in histogram)
    positives = int(tp[-1])
    if positives == 0:
        where = ", ".join(layer.where or "the scenes" for layer in layers)
        raise SceneError("no labelled pixel is changed, so there is nothing to choose by", where=where)
    usable = np.isfinite(thresholds)
    if kind == "probability":
        usable = (thresholds > 0) & (thresholds < 1)
    if not usable.any():
        raise SceneError("no threshold between 0 and 1 parts the probabilities", where=layers[0].where)
    return Ranking(thresholds[usable], tp[usable], fp[usable], positives, unchanged_m2 / 1e6)


def by_precision(ranking: Ranking, wanted: float) -> int:
    """Return the place of the lowest threshold with that precision."""
    enough = np.flatnonzero(ranking.precision >= wanted)
    if len(enough):
        return int(enough[-1])
    best = int(np.argmax(ranking.precision))
    raise SceneError(
        f"no threshold reaches a precision of {wanted}: the highest is {ranking.precision[best]:.4f}, at "
        f"{ranking.thresholds[best]:.6g}",
        mend="ask for less, or for --best-f1",
    )


def by_false_objects(layers: Sequence[Layers], ranking: Ranking, rate: float, rules: Rules) -> int:
    """Return the place of the lowest threshold from which upward there are no more false objects than allowed."""
    if ranking.unchanged_km2 == 0:
        return len(ranking.thresholds) - 1
    allowed = math.floor(rate * ranking.unchanged_km2 * (1 + 1e-12))
    # As many false pixels cannot make more objects than that: with these thresholds nothing need be counted.
    good = int(np.searchsorted(ranking.fp, (allowed + 1) * rules.min_pixels)) - 1
    bad: int | None = None
    last = len(ranking.thresholds) - 1
    fewest = math.inf
    while (bad is None and good < last) or (bad is not None and not _are_close(ranking, good, bad)):
        tried = _next_places(ranking, good, bad)
        counted = false_objects(layers, [float(ranking.thresholds[place]) for place in tried], rules)
        fewest = min(fewest, *counted.tolist())
        within = counted <= allowed
        stop = int(np.argmin(within)) if not within.all() else len(tried)
        if stop < len(tried):
            bad = tried[stop]
        good = tried[stop - 1] if stop else good
        if good < 0:
            break
    if good < 0:
        raise SceneError(
            f"no threshold keeps false objects at {rate} per km2: the fewest are "
            f"{fewest / ranking.unchanged_km2:.4g}, at {ranking.thresholds[0]:.6g}",
            mend="allow more, or count larger objects alone (--min-pixels)",
        )
    return good


def _are_close(ranking: Ranking, good: int, bad: int) -> bool:
    return bad - good <= 1 or ranking.fp[bad] <= _CLOSE * ranking.fp[max(good, 0)]


def _next_places(ranking: Ranking, good: int, bad: int | None) -> list[int]:
    """Return places to try, rising: a quarter more false pixels each time, or evenly between two."""
    if good < 0:
        return [0]
    first = max(int(ranking.fp[good]), 1)
    if bad is None:
        targets = first * _STEP ** np.arange(1, _TOGETHER + 1)
        highest = len(ranking.thresholds) - 1
    else:
        targets = first * (ranking.fp[bad] / first) ** (np.arange(1, _TOGETHER + 1) / (_TOGETHER + 1))
        highest = bad - 1
    # The last place with no more than that: no step is wider, but where one score has more pixels.
    places = np.searchsorted(ranking.fp, targets, side="right") - 1
    return [int(place) for place in np.unique(np.clip(places, good + 1, highest))]


def false_objects(layers: Sequence[Layers], thresholds: Sequence[float], rules: Rules) -> np.ndarray:
    """Count the false objects of all scenes at each threshold."""
    total = np.zeros(len(thresholds), np.int64)
    for layer in layers:
        for of_pair in gather(layer, partial(_objects_at, tuple(thresholds), rules), _joined):
            total += [join_objects(blocks, rules)[3] for blocks in of_pair]
    return total


def _objects_at(
    thresholds: Sequence[float], rules: Rules, labels: np.ndarray, score: np.ndarray, origin: tuple[int, int]
) -> list[list[BlockObjects]]:
    changed = labels == 1
    judged = ~np.isnan(score) & (changed | (labels == 0))
    return [[block_objects(changed, score >= threshold, judged, rules, origin=origin)] for threshold in thresholds]


def _joined(parts: list[Any]) -> list[list[BlockObjects]]:
    return [[block for part in parts for block in part[i]] for i in range(len(parts[0]))]
