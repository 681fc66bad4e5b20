"""Thresholds chosen on labelled scenes: by precision, by false alarms per area, or by the highest F1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from sarcd.errors import OptionError, SceneError
from sarcd.metrics.kernels import scores as kernel
from sarcd.metrics.kernels.curves import add_packed, unpack
from sarcd.metrics.kernels.objects import BlockObjects, Rules, block_objects, join_objects
from sarcd.metrics.kernels.reliability import Kind
from sarcd.metrics.layers import Layers, gather, is_probability, pixel_area_m2, read_layers
from sarcd.metrics.results import FINE, Plan, Tally, merge_tallies, tally_block
from sarcd.metrics.scoring import Scenes, check_counts, named, no_area


@dataclass(frozen=True)
class ThresholdChoice:
    """A threshold and its scores on the scenes that it was chosen on.

    Parameters
    ----------
    threshold : float
        Score from which a pixel counts as changed.
    criterion : str
        Criterion of the choice, such as ``precision >= 0.9``.
    precision, recall, f1 : float
        Scores of the pixels of all scenes.
    false_objects : int
        Detected objects that touch no reference object.
    false_objects_per_km2 : float
        The same per square kilometre of evaluated area without change; NaN where the area is unknown.
    min_pixels : int
        Minimum number of evaluated pixels of an object.
    """

    threshold: float
    criterion: str
    precision: float
    recall: float
    f1: float
    false_objects: int
    false_objects_per_km2: float
    min_pixels: int


def choose_threshold(
    scenes: Scenes,
    *,
    precision: float | None = None,
    false_alarms_per_km2: float | None = None,
    best: Literal["f1"] | None = None,
    min_pixels: int = 1,
    variable: str = "change_probability",
    truth: str = "label",
) -> ThresholdChoice:
    """Choose a threshold on labelled scenes, pooled over all their pairs.

    Candidate thresholds are the lower edges of bins of the score, narrower than 1/8000 of the distance to 0 or 1.
    Exactly one of `precision`, `false_alarms_per_km2` and `best` must be given.

    Parameters
    ----------
    scenes : mapping or sequence of xr.Dataset
        Scenes with `truth` and `variable`: neither those that the network was trained on, nor those of the final
        evaluation.
    precision : float, optional
        Choose the lowest threshold with at least this precision, and so the highest recall among these, 0 to 1.
    false_alarms_per_km2 : float, optional
        Choose the lowest threshold from which on no higher one has more false objects of at least `min_pixels` per
        square kilometre of evaluated area without change. False objects merge as the threshold falls, so their number
        may decrease again further down: the search starts at the top and stops at the first threshold that exceeds the
        rate. It tries thresholds with a quarter more false pixels each, then closer ones, until two differ by a
        hundredth; between tried thresholds the rate may be exceeded.
    best : {"f1"}, optional
        Choose the threshold with the highest F1, the highest threshold among equals.
    min_pixels : int
        Minimum number of evaluated pixels of an object.
    variable, truth : str
        Evaluated layer and labels. Thresholds of a probability lie between 0 and 1, both excluded.

    Returns
    -------
    ThresholdChoice

    Raises
    ------
    OptionError
        If not exactly one criterion is given, or it cannot be met by any threshold.
    SceneError
        If no threshold meets the criterion (the message gives the best one), or as in `evaluate`; for
        `false_alarms_per_km2` also if the pixel spacing of a scene is unknown.

    Examples
    --------
    >>> import xarray as xr
    >>> dates = np.array(["2023-03-19", "2023-03-31"], "datetime64[us]")
    >>> scene = xr.Dataset(
    ...     {
    ...         "label": (("pair", "y", "x"), np.array([[[1, 1, 0, 1, 0]]], np.uint8)),
    ...         "change_probability": (("pair", "y", "x"), np.array([[[0.75, 0.5, 0.375, 0.25, 0.0]]], np.float32)),
    ...     },
    ...     coords={"before": ("pair", dates[:1]), "after": ("pair", dates[1:])},
    ... )
    >>> choice = choose_threshold([scene], precision=0.7)
    >>> choice.threshold, choice.precision, choice.recall
    (0.25, 0.75, 1.0)
    """
    _check_options(precision, false_alarms_per_km2, best, min_pixels)
    layers = [
        read_layers(scene, variable=variable, truth=truth, threshold=None, needs_threshold=False)
        for scene in named(scenes).values()
    ]
    for layer in layers:
        if layer.evaluated.dtype.kind != "f":
            hint = "use 'change_probability', which 'sarcd predict' writes"
            raise OptionError(f"'{variable}' is not a score and has no threshold", option="variable", hint=hint)
    areas = [pixel_area_m2(layer.scene) for layer in layers]
    if false_alarms_per_km2 is not None:
        for layer, area in zip(layers, areas, strict=True):
            if area is None:
                raise no_area(layer.source, "a rate of false alarms per km2")
    ranking = rank(layers, areas, "probability" if is_probability(variable) else "score")
    rules = Rules(min_pixels)
    if false_alarms_per_km2 is not None:
        place = by_false_objects(layers, ranking, false_alarms_per_km2, rules)
        criterion = f"false objects per km2 <= {false_alarms_per_km2}"
    elif precision is not None:
        place, criterion = by_precision(ranking, precision), f"precision >= {precision}"
    else:
        place, criterion = int(np.argmax(ranking.f1)), "best F1"
    threshold = float(ranking.thresholds[place])
    false = int(false_objects(layers, [threshold], rules)[0])
    tp, fp = int(ranking.tp[place]), int(ranking.fp[place])
    fn = ranking.positives - tp
    return ThresholdChoice(
        threshold=threshold,
        criterion=criterion,
        precision=float(kernel.precision(tp, fp, fn)),
        recall=float(kernel.recall(tp, fp, fn)),
        f1=float(kernel.f1(tp, fp, fn)),
        false_objects=false,
        false_objects_per_km2=false / ranking.unchanged_km2 if ranking.unchanged_km2 > 0 else math.nan,
        min_pixels=min_pixels,
    )


def _check_options(
    precision: float | None, false_alarms_per_km2: float | None, best: str | None, min_pixels: int
) -> None:
    given = [value for value in (precision, false_alarms_per_km2, best) if value is not None]
    if len(given) != 1:
        hint = "give one of precision, false_alarms_per_km2 and best='f1'"
        raise OptionError(f"got {len(given)} criteria for one threshold", option="choose_threshold", hint=hint)
    if precision is not None and not 0 < precision <= 1:
        raise OptionError(f"invalid precision {precision}", option="precision", hint="use a fraction above 0, up to 1")
    if false_alarms_per_km2 is not None and not 0 <= false_alarms_per_km2 < math.inf:
        hint = "use a rate of 0 or more"
        raise OptionError(f"invalid rate {false_alarms_per_km2}", option="false_alarms_per_km2", hint=hint)
    if best not in (None, "f1"):
        raise OptionError(f"unknown criterion {best!r}", option="best", hint="use 'f1'")
    if min_pixels < 1:
        message = f"invalid minimum size of {min_pixels} pixels"
        raise OptionError(message, option="min_pixels", hint="use a whole number of 1 or more")


_TOGETHER = 8  # thresholds tried in one pass over the scenes
_STEP = 1.25  # ratio of false pixels between successive thresholds, from the top
_CLOSE = 1.01  # ratio of false pixels between two thresholds that need no other between them


@dataclass(frozen=True)
class Ranking:
    """All thresholds that separate the scores, from the highest down, and their detections.

    Parameters
    ----------
    thresholds : (N,) float64
        In descending order.
    tp, fp : (N,) int64
        Detected pixels with and without change.
    positives : int
        Changed pixels.
    unchanged_km2 : float
        Area of the evaluated pixels without change, NaN where unknown.
    """

    thresholds: np.ndarray
    tp: np.ndarray
    fp: np.ndarray
    positives: int
    unchanged_km2: float

    @property
    def precision(self) -> np.ndarray:
        """Fraction of the detected pixels that are changed, at each threshold."""
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
        source = ", ".join(layer.source or "the scenes" for layer in layers)
        raise SceneError("no labelled pixel is changed, so no threshold can be chosen", source=source)
    usable = np.isfinite(thresholds)
    if kind == "probability":
        usable = (thresholds > 0) & (thresholds < 1)
    if not usable.any():
        raise SceneError("no threshold between 0 and 1 separates the probabilities", source=layers[0].source)
    return Ranking(thresholds[usable], tp[usable], fp[usable], positives, unchanged_m2 / 1e6)


def by_precision(ranking: Ranking, wanted: float) -> int:
    """Return the index of the lowest threshold with at least that precision."""
    enough = np.flatnonzero(ranking.precision >= wanted)
    if len(enough):
        return int(enough[-1])
    best = int(np.argmax(ranking.precision))
    raise SceneError(
        f"no threshold reaches a precision of {wanted}: the highest is {ranking.precision[best]:.4f}, at "
        f"{ranking.thresholds[best]:.6g}",
        hint="ask for less, or use --best-f1",
    )


def by_false_objects(layers: Sequence[Layers], ranking: Ranking, rate: float, rules: Rules) -> int:
    """Return the index of the lowest threshold with no more false objects than allowed, as every higher one."""
    if ranking.unchanged_km2 == 0:
        return len(ranking.thresholds) - 1
    allowed = math.floor(rate * ranking.unchanged_km2 * (1 + 1e-12))
    # Fewer false pixels than this cannot form more objects than allowed: these thresholds need no counting.
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
            hint="allow more, or count only larger objects (--min-pixels)",
        )
    return good


def _are_close(ranking: Ranking, good: int, bad: int) -> bool:
    return bad - good <= 1 or ranking.fp[bad] <= _CLOSE * ranking.fp[max(good, 0)]


def _next_places(ranking: Ranking, good: int, bad: int | None) -> list[int]:
    """Return indices to try, ascending: a quarter more false pixels each time, or evenly between two."""
    if good < 0:
        return [0]
    first = max(int(ranking.fp[good]), 1)
    if bad is None:
        targets = first * _STEP ** np.arange(1, _TOGETHER + 1)
        highest = len(ranking.thresholds) - 1
    else:
        targets = first * (ranking.fp[bad] / first) ** (np.arange(1, _TOGETHER + 1) / (_TOGETHER + 1))
        highest = bad - 1
    # The last index with no more than that: steps are wider only where one score has more pixels.
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
    evaluated = ~np.isnan(score) & (changed | (labels == 0))
    return [[block_objects(changed, score >= threshold, evaluated, rules, origin=origin)] for threshold in thresholds]


def _joined(parts: list[Any]) -> list[list[BlockObjects]]:
    return [[block for part in parts for block in part[i]] for i in range(len(parts[0]))]
