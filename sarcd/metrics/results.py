"""Counts of a block of a scene, their addition, and the result of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from sarcd.attributes import Json
from sarcd.errors import OptionError
from sarcd.metrics.kernels import objects, patches, reliability
from sarcd.metrics.kernels.curves import add_packed, packed_histogram
from sarcd.metrics.kernels.reliability import Bins, Kind
from sarcd.metrics.kernels.scores import confusion_counts

_RELIABILITY = {
    "low": "bin_low",
    "high": "bin_high",
    "pixels": "bin_pixels",
    "probability": "bin_probability",
    "changed": "bin_changed",
}
_CURVE = {"recall": "recall_level", "threshold": "curve_threshold", "precision": "curve_precision"}


@dataclass(frozen=True)
class Report:
    """Result of an evaluation.

    Parameters
    ----------
    scores : xr.Dataset
        Along `over`, as returned by `sarcd.metrics.evaluate`. For several scenes: ``pooled``, then each site by its
        name, followed by its pairs as ``site before/after``; the coordinates `site` and `pair` hold the same
        separately, empty for ``pooled``.
    curves : xr.Dataset or None
        For a score, along the same `over`: `curve_threshold` and `curve_precision` at each `recall_level`, and for a
        probability the reliability table `bin_pixels`, `bin_probability`, `bin_changed` for each `bin`.
    """

    scores: xr.Dataset
    curves: xr.Dataset | None

    def entries(self) -> list[Json]:
        """Return the scores of each entry of `over` by name, with `curve` and `reliability` as lists of rows."""
        found: list[Json] = [
            {str(name): array.values[i] for name, array in self.scores.data_vars.items()}
            for i in range(self.scores.sizes["over"])
        ]
        for i, entry in enumerate(found if self.curves is not None else ()):
            for key, columns in (("curve", _CURVE), ("reliability", _RELIABILITY)):
                entry |= self._rows(i, key, columns)
        return found

    def _rows(self, i: int, key: str, columns: dict[str, str]) -> Json:
        one = self.curves.isel(over=i)  # type: ignore[union-attr]
        if not all(name in one.variables for name in columns.values()):
            return {}
        rows = zip(*(one[name].values for name in columns.values()), strict=True)
        return {key: [dict(zip(columns, row, strict=True)) for row in rows]}

    def to_dict(self) -> Json:
        """Return the whole report as nested mappings and lists.

        Returns
        -------
        dict
            The settings of the evaluation; `pooled`; then `pairs` for one scene, or `sites` for several, each with its
            `pooled` and its `pairs`.
        """
        entries = self.entries()
        head = {**{str(name): value for name, value in self.scores.attrs.items()}, "pooled": entries[0]}
        if "site" not in self.scores.coords:
            names = self.scores["over"].values.tolist()
            return {
                **head,
                "pairs": [{"pair": name, **entry} for name, entry in zip(names[1:], entries[1:], strict=True)],
            }
        sites: list[Json] = []
        places = zip(self.scores["site"].values.tolist(), self.scores["pair"].values.tolist(), strict=True)
        for (site, pair), entry in list(zip(places, entries, strict=True))[1:]:
            if pair:
                sites[-1]["pairs"].append({"pair": pair, **entry})
            else:
                sites.append({"scene": site, "pooled": entry, "pairs": []})
        return {**head, "sites": sites}


_MIN_PATCH = 8


@dataclass(frozen=True)
class Bootstrap:
    """Bootstrap of confidence intervals, over patches because neighbouring pixels are correlated.

    Parameters
    ----------
    resamples : int
        Number of resamples.
    patch : int
        Side of a patch in pixels, at least 8; larger than a typical change or false alarm.
    seed : int
        Seed of the resampling.
    level : float
        Confidence level of the intervals, between 0 and 1.

    Raises
    ------
    OptionError
        If a value cannot be used.
    """

    resamples: int = 1000
    patch: int = 256
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise OptionError(f"invalid number of resamples {self.resamples}", option="bootstrap", hint="use 1000")
        if self.patch < _MIN_PATCH:
            hint = f"use {_MIN_PATCH} pixels or more"
            raise OptionError(f"invalid patch size {self.patch}", option="patch", hint=hint)
        if self.seed < 0:
            raise OptionError(f"invalid seed {self.seed}", option="seed", hint="use a whole number of 0 or more")
        if not 0 < self.level < 1:
            raise OptionError(f"invalid level {self.level}", option="level", hint="use a fraction such as 0.95")


@dataclass(frozen=True)
class ObjectRules:
    """Rules for what counts as an object, and for when it is detected.

    Parameters
    ----------
    min_pixels : int
        Minimum number of evaluated pixels of an object, reference or detected.
    min_area_m2 : float, optional
        Minimum area instead of `min_pixels`; needs a known pixel spacing.
    min_overlap : float
        Minimum fraction of a reference object that must be detected, 0 to 1; at least one pixel.

    Raises
    ------
    OptionError
        If a value cannot be used.
    """

    min_pixels: int = 1
    min_area_m2: float | None = None
    min_overlap: float = 0.0

    def __post_init__(self) -> None:
        if self.min_pixels < 1:
            hint = "use a whole number of 1 or more"
            raise OptionError(f"invalid minimum size of {self.min_pixels} pixels", option="min_pixels", hint=hint)
        if self.min_area_m2 is not None:
            if not 0 < self.min_area_m2 < math.inf:
                hint = "use square metres above 0"
                raise OptionError(f"invalid minimum area of {self.min_area_m2} m2", option="min_area_m2", hint=hint)
            if self.min_pixels > 1:
                raise OptionError("cannot be combined with min_pixels", option="min_area_m2", hint="give one of them")
        if not 0 <= self.min_overlap <= 1:
            hint = "use a fraction from 0 to 1"
            raise OptionError(f"invalid minimum overlap {self.min_overlap}", option="min_overlap", hint=hint)


FINE: dict[Kind, Bins] = {"probability": Bins("probability", 13), "score": Bins("score", 12)}
"""Bins of the histograms from which average precision and thresholds are read."""

COARSE: dict[Kind, Bins] = {"probability": Bins("probability", 3), "score": Bins("score", 3)}
"""Bins of the histogram of each patch: 3 kB for a probability."""

_NONE = np.zeros((0, 2), np.int64)


@dataclass(frozen=True)
class Plan:
    """What is counted.

    Parameters
    ----------
    threshold : float or None
        Score from which a pixel counts as changed; None for a map.
    kind : {"probability", "score"} or None
        Kind of the evaluated layer; None for a map.
    bins : int
        Number of bins of the reliability table.
    patch : int or None
        Side of the patches counted separately; None for none.
    rules : Rules or None
        Rules for objects; None if objects are not counted.
    """

    threshold: float | None
    kind: Kind | None
    bins: int = 15
    patch: int | None = None
    rules: objects.Rules | None = None


@dataclass(frozen=True)
class Tally:
    """Counts of one block, of several, or of a whole pair.

    Parameters
    ----------
    counts : (7,) int64
        In the order of `sarcd.metrics.kernels.scores.COUNTS`.
    outside : int
        Number of probabilities below 0 or above 1.
    sums : dict of int64 arrays
        `reliability` and `losses` of a probability, which can be added.
    ranked : (M, 2) int64
        Histogram of a score in the bins of `FINE`, packed.
    place : (N, 2) int64
        Row and column of the patches.
    patches : (N, K) uint32
        tp, fp, fn, tn of each patch, then its histogram, flattened.
    blocks : tuple of BlockObjects
        Objects that are not joined yet.
    """

    counts: np.ndarray
    outside: int = 0
    sums: dict[str, np.ndarray] = field(default_factory=dict)
    ranked: np.ndarray = field(default_factory=lambda: _NONE)
    place: np.ndarray = field(default_factory=lambda: _NONE)
    patches: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.uint32))
    blocks: tuple[objects.BlockObjects, ...] = ()


def tally_block(plan: Plan, labels: np.ndarray, evaluated: np.ndarray, origin: tuple[int, int]) -> Tally:
    """Count the pixels of a block.

    Parameters
    ----------
    plan : Plan
        What to count.
    labels, evaluated : (Y, X)
        Truth, and the map or score that is evaluated against it.
    origin : (int, int)
        Row and column of the block's first pixel.
    """
    counts = confusion_counts(labels, evaluated, threshold=plan.threshold)
    if plan.kind is None and plan.patch is None and plan.rules is None:
        return Tally(counts)
    changed = labels == 1
    if plan.kind is None:
        predicted, known = evaluated == 1, (evaluated == 0) | (evaluated == 1)
    else:
        predicted, known = evaluated >= plan.threshold, ~np.isnan(evaluated)
    in_play = known & (changed | (labels == 0))
    sums: dict[str, np.ndarray] = {}
    outside, ranked = 0, _NONE
    if plan.kind is not None:
        ranked = packed_histogram(evaluated[in_play], changed[in_play], FINE[plan.kind])
        sums, outside = _score_sums(plan.kind, plan.bins, evaluated[in_play], changed[in_play])
    blocks: tuple[objects.BlockObjects, ...] = ()
    if plan.rules is not None:
        blocks = (objects.block_objects(changed, predicted, in_play, plan.rules, origin=origin),)
    if plan.patch is None:
        return Tally(counts, outside, sums, ranked, blocks=blocks)
    place, kept = patches.patch_counts(changed, predicted, in_play, origin=origin, patch=plan.patch)
    kept = kept.astype(np.uint32)
    if plan.kind is not None:
        bins = COARSE[plan.kind]
        of_patches = patches.patch_histograms(evaluated, changed, in_play, bins, origin=origin, patch=plan.patch)
        kept = np.concatenate([kept, of_patches.reshape(len(place), 2 * bins.count)], axis=1)
    return Tally(counts, outside, sums, ranked, place, kept, blocks)


def _score_sums(kind: Kind, bins: int, values: np.ndarray, changed: np.ndarray) -> tuple[dict[str, np.ndarray], int]:
    if kind == "score":
        return {}, 0
    outside = int(np.count_nonzero((values < 0) | (values > 1)))
    values = np.clip(values, 0, 1)
    counts = reliability.reliability_counts(values, changed, bins)
    return {"reliability": counts, "losses": reliability.loss_sums(values, changed)}, outside


def merge_tallies(tallies: Sequence[Tally]) -> Tally:
    """Add the counts of several parts of one pair."""
    if len(tallies) == 1:
        return tallies[0]
    place, (kept,) = patches.merge_patches(
        np.concatenate([tally.place for tally in tallies]), [np.concatenate([tally.patches for tally in tallies])]
    )
    return Tally(
        np.sum([tally.counts for tally in tallies], axis=0),
        sum(tally.outside for tally in tallies),
        _added([tally.sums for tally in tallies]),
        add_packed([tally.ranked for tally in tallies]),
        place,
        kept,
        tuple(block for tally in tallies for block in tally.blocks),
    )


def _added(sums: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    total = {name: array.copy() for name, array in sums[0].items()}
    for others in sums[1:]:
        for name, array in others.items():
            total[name] += array
    return total


@dataclass(frozen=True)
class Summary:
    """Counts of a pair, of a site or of all sites.

    Parameters
    ----------
    counts, sums, ranked
        As in `Tally`.
    units : tuple of (N, K) uint32 arrays
        Counts and histogram of every patch.
    objects : (4,) int64 or None
        In the order of `sarcd.metrics.kernels.objects.OBJECT_COUNTS`.
    unchanged_km2 : float
        Area of the evaluated pixels without change; NaN where the area of a pixel is unknown.
    """

    counts: np.ndarray
    sums: dict[str, np.ndarray]
    ranked: np.ndarray
    units: tuple[np.ndarray, ...]
    objects: np.ndarray | None
    unchanged_km2: float


def summarise(tally: Tally, rules: objects.Rules | None, pixel_area_m2: float | None) -> Summary:
    """Join the objects of a pair, and keep the counts that scores are computed from."""
    found = None if rules is None else objects.join_objects(tally.blocks, rules)
    unchanged = int(tally.counts[1] + tally.counts[3])
    area = np.nan if pixel_area_m2 is None else unchanged * pixel_area_m2 / 1e6
    return Summary(tally.counts, tally.sums, tally.ranked, (tally.patches,), found, area)


def add_up(summaries: Sequence[Summary]) -> Summary:
    """Pool several pairs or sites: counts are added, patches are kept separate."""
    counted = [summary.objects for summary in summaries if summary.objects is not None]
    return Summary(
        np.sum([summary.counts for summary in summaries], axis=0),
        _added([summary.sums for summary in summaries]),
        add_packed([summary.ranked for summary in summaries]),
        tuple(part for summary in summaries for part in summary.units),
        np.sum(counted, axis=0) if counted else None,
        float(np.sum([summary.unchanged_km2 for summary in summaries])),
    )
