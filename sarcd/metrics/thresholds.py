"""Thresholds chosen on labelled scenes: by precision, by false alarms an area, or by the best F1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sarcd.errors import OptionError
from sarcd.metrics.kernels import scores as kernel
from sarcd.metrics.kernels.objects import Rules
from sarcd.metrics.layers import is_probability, pixel_area_m2, read_layers
from sarcd.metrics.scoring import Scenes, named, no_area
from sarcd.metrics.search import by_false_objects, by_precision, false_objects, rank


@dataclass(frozen=True)
class ThresholdChoice:
    """A threshold and what it gives on the scenes it was chosen on.

    Parameters
    ----------
    threshold : float
        Score from which a pixel counts as changed.
    criterion : str
        What it was chosen by, such as ``precision >= 0.9``.
    precision, recall, f1 : float
        Of the pixels of all scenes.
    false_objects : int
        Claimed objects that touch nothing real.
    false_objects_per_km2 : float
        The same for each square kilometre of judged ground without change; NaN where the area is not known.
    min_pixels : int
        Judged pixels from which an object counts.
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
    """Choose a threshold on labelled scenes, all their pairs together.

    The thresholds that are looked at are lower edges of bins of the score, narrower than a 1/8000 of the distance to
    0 or 1. Exactly one of `precision`, `false_alarms_per_km2` and `best` is given.

    Parameters
    ----------
    scenes : mapping or sequence of xr.Dataset
        Scenes with `truth` and `variable`: not those that the network learnt from, nor those it is judged on at last.
    precision : float, optional
        The lowest threshold whose precision is at least this (which has the highest recall of those), 0 to 1.
    false_alarms_per_km2 : float, optional
        The lowest threshold from which upward the false objects of at least `min_pixels`, for each square kilometre
        of judged ground without change, are not more than this. False objects merge as a threshold falls, so their
        number may fall again further down: the search comes from above and stops at the first threshold that exceeds
        it. It tries some, each with a quarter more false pixels than the one before, then closer ones, until two
        differ by a hundredth; between those it tried, the number may be exceeded.
    best : {"f1"}, optional
        The threshold of the highest F1; the highest one where several serve equally.
    min_pixels : int
        Judged pixels from which an object counts.
    variable, truth : str
        What is judged, and by what. Thresholds of a probability lie between 0 and 1, both excluded.

    Returns
    -------
    ThresholdChoice

    Raises
    ------
    OptionError
        If not exactly one criterion is given, or it is no number that can be met.
    SceneError
        If no threshold meets the criterion (and what is the best there is), or as in `evaluate`; with
        `false_alarms_per_km2` also if a scene does not know its pixel spacing.

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
        if layer.judged.dtype.kind != "f":
            mend = "use 'change_probability', which 'sarcd predict' makes"
            raise OptionError(f"'{variable}' is no score and has no threshold", where="variable", mend=mend)
    areas = [pixel_area_m2(layer.scene) for layer in layers]
    if false_alarms_per_km2 is not None:
        for layer, area in zip(layers, areas, strict=True):
            if area is None:
                raise no_area(layer.where, "a number of false alarms per km2")
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
        mend = "give one of precision, false_alarms_per_km2 and best='f1'"
        raise OptionError(f"{len(given)} criteria for one threshold", where="choose_threshold", mend=mend)
    if precision is not None and not 0 < precision <= 1:
        raise OptionError(f"precision is {precision}", where="precision", mend="use a share above 0, up to 1")
    if false_alarms_per_km2 is not None and not 0 <= false_alarms_per_km2 < math.inf:
        mend = "use a number from 0"
        raise OptionError(f"is {false_alarms_per_km2}", where="false_alarms_per_km2", mend=mend)
    if best not in (None, "f1"):
        raise OptionError(f"best is {best!r}", where="best", mend="use 'f1'")
    if min_pixels < 1:
        raise OptionError(f"least size of {min_pixels} pixels", where="min_pixels", mend="use a whole number from 1")
