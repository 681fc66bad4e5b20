"""Scores of change maps against labels: for one scene, or for several sites and all of them pooled."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.conform.values import as_map
from sarcd.errors import OptionError, SceneError
from sarcd.ingestion.label_mapping import one_sided
from sarcd.metrics.kernels.objects import Rules
from sarcd.metrics.kernels.scores import COUNTS
from sarcd.metrics.layers import Layers, gather, pair_names, pixel_area_m2, read_layers
from sarcd.metrics.results import (
    Bootstrap,
    ObjectRules,
    Plan,
    Report,
    Summary,
    add_up,
    merge_tallies,
    summarise,
    tally_block,
)
from sarcd.metrics.tables import curves_dataset, scores_dataset, scores_of
from sarcd.store.openable import take

_LOG = logging.getLogger(__name__)

Scenes = Mapping[str, xr.Dataset] | Sequence[xr.Dataset]

_MAX_BINS = 1000


def evaluate(
    scene: xr.Dataset,
    *,
    variable: str = "change",
    truth: str = "label",
    threshold: float | None = None,
    bootstrap: Bootstrap | int | None = None,
    objects: ObjectRules | bool = False,
    bins: int = 15,
) -> xr.Dataset:
    """Evaluate a change map against labels, pair by pair and over all pairs [1]_.

    Lazy scenes are counted chunk by chunk in one dask computation, so neither layer need fit in memory.

    Parameters
    ----------
    scene : xr.Dataset
        With `truth` and `variable`, both (pair, y, x).
    variable : str
        Evaluated layer: a map of 1 and 0, where 255 is unknown, or a score (floating point), where NaN is unknown.
    truth : str
        Labels: 1 change, 0 no change, 255 not labelled.
    threshold : float, optional
        Score from which a pixel counts as changed, in its own units: 0.5 for a probability by default. Any other
        score needs one, and a map takes none.
    bootstrap : Bootstrap or int, optional
        Bootstrap of confidence intervals over patches, or its number of resamples; no intervals by default.
    objects : ObjectRules or bool
        Rules for objects, True for any pixels that touch; objects are not counted by default.
    bins : int
        Number of bins of equal width for the expected calibration error.

    Returns
    -------
    xr.Dataset
        Along `over`: ``pooled`` (the sum of all pairs), then each pair as ``before/after``, dates in ISO form, with the
        time of day where two pairs have the same days. Counts (int64): `tp`, `fp`, `fn`, `tn`, `labelled_pixels`, and
        `masked_pixels`, which are labelled but have no prediction and enter no score. Scores (float64): `f1`,
        `precision`, `recall`, `iou`, `kappa`, `overall_accuracy`; for a score `average_precision` and
        `average_precision_error`; for a probability `expected_calibration_error`, `brier` and `log_loss`. With objects:
        `objects_detected` and others. With `bootstrap`: `f1_low`, `f1_high` and others.

        Where a ratio would be 0/0, F1 and IoU are 1 (nothing to find, nothing predicted); precision without any
        predicted change is 1 if nothing was missed, else 0; recall without any true change is 1 if nothing was falsely
        predicted, else 0; kappa is 1 where all agree on one class. A pair without any evaluated pixel has NaN, as has
        average precision without any true change.

    Raises
    ------
    If a variable is absent or has another shape or type, a map holds values other than 0, 1 and 255 or a
    probability values outside 0 to 1, no pixel is labelled, or no labelled pixel has a prediction.
    CorruptChunkError
        If the scene is stored and a chunk is damaged or missing.
    OptionError
        If a threshold is given for a map, or none for a score that is not a probability.

    Notes
    -----
    If the evaluated labels are all of one class, half of the scores are meaningless, and a warning is logged.

    References
    ----------
    .. [1] F1 of the change class at a threshold of 0.5: Murdaca et al. 2023, doi:10.3390/rs15245664, section 4.

    Examples
    --------
    >>> dates = np.array(["2023-03-19", "2023-03-31"], "datetime64[us]")
    >>> scene = xr.Dataset(
    ...     {
    ...         "label": (("pair", "y", "x"), np.array([[[1, 1, 0, 255]]], np.uint8)),
    ...         "change": (("pair", "y", "x"), np.array([[[1, 0, 0, 1]]], np.uint8)),
    ...     },
    ...     coords={"before": ("pair", dates[:1]), "after": ("pair", dates[1:])},
    ... )
    >>> result = evaluate(scene)
    >>> result["over"].values.tolist(), result["recall"].values.tolist()
    (['pooled', '2023-03-19/2023-03-31'], [0.5, 0.5])
    """
    return report(
        [scene], variable=variable, truth=truth, threshold=threshold, bootstrap=bootstrap, objects=objects, bins=bins
    ).scores


def report(
    scenes: Scenes,
    *,
    variable: str = "change",
    truth: str = "label",
    threshold: float | None = None,
    bootstrap: Bootstrap | int | None = None,
    objects: ObjectRules | bool = False,
    bins: int = 15,
) -> Report:
    """Evaluate the change maps of several scenes: each pair, each site, and all sites pooled, with curves.

    Parameters
    ----------
    scenes : mapping or sequence of xr.Dataset
        Scenes by the name of their site; in a sequence, by the path that they were opened from. They are read one after
        the other, and may differ in size and pixel spacing.
    variable, truth, threshold, bootstrap, objects, bins
        As in `evaluate`.

    Returns
    -------
    Report

    Raises
    ------
    SceneError, CorruptChunkError, OptionError
        As in `evaluate`.
    """
    sites = named(scenes)
    bootstrap = Bootstrap(resamples=bootstrap) if isinstance(bootstrap, int) else bootstrap
    if not 1 <= bins <= _MAX_BINS:
        raise OptionError(f"invalid number of bins {bins}", option="bins", hint=f"use 1 to {_MAX_BINS}")
    rules = ObjectRules() if objects is True else objects or None
    layers = {
        name: read_layers(scene, variable=variable, truth=truth, threshold=threshold) for name, scene in sites.items()
    }
    (kind, *others) = {layer.kind for layer in layers.values()}
    if others:
        raise SceneError(f"'{variable}' is a score in some scenes and a map in others", hint="evaluate them separately")
    rows: list[tuple[str, str, Summary]] = []  # site, pair and counts
    for name, layer in layers.items():
        of_pairs = _summaries(layer, bootstrap, rules, bins)
        rows += [(name, "", add_up(of_pairs)), *zip(repeat(name), pair_names(layer.scene), of_pairs, strict=False)]
    for name, pair, counted in rows:
        if not pair:
            _warn_one_sided(name, truth, counted.counts)
    if len(sites) == 1:  # pooled equals the only site
        over = ["pooled", *(pair for _, pair, _ in rows[1:])]
    else:
        rows.insert(0, ("", "", add_up([counted for _, pair, counted in rows if not pair])))
        over = ["pooled", *(f"{site} {pair}".strip() for site, pair, _ in rows[1:])]
    found = [counted for _, _, counted in rows]
    attrs = _attrs(variable, truth, next(iter(layers.values())).threshold, bootstrap, rules)
    scores = scores_dataset(over, [scores_of(summary, kind, bootstrap) for summary in found], attrs)
    curves = None if kind is None else curves_dataset(over, found, kind, attrs)
    if len(sites) > 1:
        coords = {name: ("over", [row[i] for row in rows]) for i, name in enumerate(("site", "pair"))}
        scores, curves = scores.assign_coords(coords), None if curves is None else curves.assign_coords(coords)
    return Report(scores, curves)


def named(scenes: Scenes) -> dict[str, xr.Dataset]:
    """Return scenes by the name of their site, all different."""
    if isinstance(scenes, xr.Dataset):  # a Dataset is itself a mapping, of variables
        raise OptionError("got one scene instead of several", option="scenes", hint="put it in a list: [scene]")
    pairs = (
        list(scenes.items())
        if isinstance(scenes, Mapping)
        else [(schema.source_of(scene) or f"scene {number}", scene) for number, scene in enumerate(scenes, start=1)]
    )
    if not pairs:
        raise OptionError("no scene given", option="scenes", hint="name one that has labels")
    sites = {name: take(scene, images=False) for name, scene in pairs}
    if len(sites) < len(pairs):
        twice = next(name for name in sites if [other for other, _ in pairs].count(name) > 1)
        raise OptionError("is named twice and would be counted twice", option=twice, hint="name each scene once")
    return sites


def _summaries(layers: Layers, bootstrap: Bootstrap | None, rules: ObjectRules | None, bins: int) -> list[Summary]:
    """Count the pairs of a scene."""
    area = None if rules is None else pixel_area_m2(layers.scene)
    kernel_rules = None if rules is None else rules_in_pixels(rules, area, layers.source)
    patch = None if bootstrap is None else bootstrap.patch
    plan = Plan(layers.threshold, layers.kind, bins=bins, patch=patch, rules=kernel_rules)
    tallies = gather(layers, partial(tally_block, plan), merge_tallies)
    check_counts(layers, np.sum([tally.counts for tally in tallies], axis=0), sum(tally.outside for tally in tallies))
    return [summarise(tally, kernel_rules, area) for tally in tallies]


def rules_in_pixels(rules: ObjectRules, pixel_area_m2: float | None, source: str | None) -> Rules:
    """Return the rules with the minimum size in pixels of a scene."""
    minimum = rules.min_pixels
    if rules.min_area_m2 is not None:
        if pixel_area_m2 is None:
            raise no_area(source, "a minimum area")
        minimum = max(math.ceil(rules.min_area_m2 / pixel_area_m2 * (1 - 1e-9)), 1)
    return Rules(minimum, rules.min_overlap)


def no_area(source: str | None, wanted: str) -> SceneError:
    """Return the error for a scene whose pixel size is unknown."""
    hint = "ingest it with --spacing Y,X in metres, set scene.attrs['spacing_m'] = [y, x], or count in pixels"
    return SceneError(f"the pixel spacing is unknown, but {wanted} requires it", source=source, hint=hint)


def check_counts(layers: Layers, counts: np.ndarray, outside: int = 0) -> None:
    """Raise unless a scene has evaluated pixels and its layers hold valid values.

    Parameters
    ----------
    layers : Layers
        Layers that were counted.
    counts : (7,) int64
        Counts of all pairs.
    outside : int
        Number of probabilities below 0 or above 1.
    """
    total: dict[str, int] = dict(zip(COUNTS, counts.tolist(), strict=True))
    for name, key in ((layers.truth, "foreign_truth"), (layers.variable, "foreign_prediction")):
        if total[key]:
            hint = f"1 is change, 0 none, 255 unknown: scene['{name}'] = (scene['{name}'] == ...).astype('uint8')"
            raise layers.wrong(name, f"holds values other than 0, 1 and 255 in {total[key]} pixels", hint)
    if outside:
        hint = f"divide percentages by 100; a map of 0, 1 and 255 is uint8: {as_map(layers.variable)}"
        raise layers.wrong(layers.variable, f"holds values below 0 or above 1 in {outside} labelled pixels", hint)
    evaluated = sum(total[key] for key in ("tp", "fp", "fn", "tn"))
    if evaluated + total["masked"] == 0:
        hint = "add labels with 'sarcd ingest --label'"
        raise SceneError(f"no pixel of '{layers.truth}' is labelled", source=layers.source, hint=hint)
    if evaluated == 0:
        raise layers.wrong(layers.variable, f"is unknown at all {total['masked']} labelled pixels")


def _warn_one_sided(site: str, truth: str, counts: np.ndarray) -> None:
    """Warn if the evaluated pixels of a scene are all of one class."""
    total: dict[str, int] = dict(zip(COUNTS, counts.tolist(), strict=True))
    warning = one_sided(total["tp"] + total["fn"], total["fp"] + total["tn"], "evaluate")
    if warning is not None:
        _LOG.warning("%s: '%s': %s", site, truth, warning)


def _attrs(
    variable: str, truth: str, threshold: float | None, bootstrap: Bootstrap | None, rules: ObjectRules | None
) -> dict[str, Any]:
    attrs: dict[str, Any] = {"variable": variable, "truth": truth}
    if threshold is not None:
        attrs["threshold"] = threshold
    if bootstrap is not None:
        attrs |= {"resamples": bootstrap.resamples, "patch": bootstrap.patch}
        attrs |= {"seed": bootstrap.seed, "level": bootstrap.level}
    if rules is not None:
        size = {"min_pixels": rules.min_pixels} if rules.min_area_m2 is None else {"min_area_m2": rules.min_area_m2}
        attrs |= {**size, "min_overlap": rules.min_overlap}
    return attrs
