"""What is counted in a block of a scene, how counts add up, and what an evaluation returns."""

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
    """Everything an evaluation tells.

    Parameters
    ----------
    scores : xr.Dataset
        Along `over`, as `sarcd.metrics.evaluate` returns them. Of several scenes: ``pooled``, then each site by its
        name, followed by its pairs as ``site before/after``; coordinates `site` and `pair` say the same apart, empty
        where it is all.
    curves : xr.Dataset or None
        Of a score, along the same `over`: `curve_threshold` and `curve_precision` at each `recall_level`, and of a
        probability the reliability table `bin_pixels`, `bin_probability`, `bin_changed` for each `bin`.
    """

    scores: xr.Dataset
    curves: xr.Dataset | None

    def entries(self) -> list[Json]:
        """Return the scores of each of `over` by name, with `curve` and `reliability` as lists of rows."""
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
        """Return everything as nested mappings and lists.

        Returns
        -------
        dict
            How it was judged; `pooled`; then, of one scene, `pairs`, and of several, `sites`, each with its `pooled`
            and its `pairs`.
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


_LEAST_PATCH = 8


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are drawn: from patches of ground, since neighbouring pixels tell the same.

    Parameters
    ----------
    resamples : int
        How often the patches are drawn anew.
    patch : int
        Side of a patch in pixels, at least 8; wider than what a change or a false alarm covers as a rule.
    seed : int
        Of the draw.
    level : float
        Share of the resamples that an interval holds, between 0 and 1.

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
            raise OptionError(f"{self.resamples} resamples", option="bootstrap", hint="use 1000, or leave it out")
        if self.patch < _LEAST_PATCH:
            raise OptionError(f"patch is {self.patch}", option="patch", hint=f"use {_LEAST_PATCH} pixels or more")
        if self.seed < 0:
            raise OptionError(f"seed is {self.seed}", option="seed", hint="use a whole number from 0")
        if not 0 < self.level < 1:
            raise OptionError(f"level is {self.level}", option="level", hint="use a share such as 0.95")


@dataclass(frozen=True)
class ObjectRules:
    """What makes an object, and when it is found.

    Parameters
    ----------
    min_pixels : int
        Judged pixels from which an object counts, real or claimed.
    min_area_m2 : float, optional
        The same as an area, in place of `min_pixels`; the scene must know its pixel spacing.
    min_overlap : float
        Share of a real object that must be claimed for it to be found, 0 to 1; one pixel is the least.

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
            hint = "use a whole number from 1"
            raise OptionError(f"least size of {self.min_pixels} pixels", option="min_pixels", hint=hint)
        if self.min_area_m2 is not None:
            if not 0 < self.min_area_m2 < math.inf:
                hint = "use square metres above 0"
                raise OptionError(f"least area of {self.min_area_m2} m2", option="min_area_m2", hint=hint)
            if self.min_pixels > 1:
                raise OptionError("excludes min_pixels", option="min_area_m2", hint="give one of them")
        if not 0 <= self.min_overlap <= 1:
            hint = "use a share from 0 to 1"
            raise OptionError(f"least overlap is {self.min_overlap}", option="min_overlap", hint=hint)


FINE: dict[Kind, Bins] = {"probability": Bins("probability", 13), "score": Bins("score", 12)}
"""Bins of the histograms that average precision and thresholds are read from."""

COARSE: dict[Kind, Bins] = {"probability": Bins("probability", 3), "score": Bins("score", 3)}
"""Bins of the histogram that each patch keeps: 3 kB for a probability."""

_NONE = np.zeros((0, 2), np.int64)


@dataclass(frozen=True)
class Plan:
    """What is to be counted.

    Parameters
    ----------
    threshold : float or None
        From which a score counts as a change; None for a map.
    kind : {"probability", "score"} or None
        What is judged; None for a map.
    bins : int
        Bins of the reliability table.
    patch : int or None
        Side of the patches that are kept apart; None for none.
    rules : Rules or None
        What makes an object; None if objects are not counted.
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
        Probabilities that are below 0 or above 1.
    sums : dict of int64 arrays
        `reliability` and `losses` of a probability: they add up.
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
    """Count a block.

    Parameters
    ----------
    plan : Plan
        What to count.
    labels, judged : (Y, X)
        Truth, and what is judged by it.
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
    """Add up the counts of several parts of one pair."""
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
    """Counts of a pair, of a site or of all.

    Parameters
    ----------
    counts, sums, ranked
        As of `Tally`.
    units : tuple of (N, K) uint32 arrays
        Counts and histogram of every patch.
    objects : (4,) int64 or None
        In the order of `sarcd.metrics.kernels.objects.OBJECT_COUNTS`.
    unchanged_km2 : float
        Judged ground without change; NaN where the area of a pixel is not known.
    """

    counts: np.ndarray
    sums: dict[str, np.ndarray]
    ranked: np.ndarray
    units: tuple[np.ndarray, ...]
    objects: np.ndarray | None
    unchanged_km2: float


def summarise(tally: Tally, rules: objects.Rules | None, pixel_area_m2: float | None) -> Summary:
    """Join the objects of a pair, and keep what is needed of its counts."""
    found = None if rules is None else objects.join_objects(tally.blocks, rules)
    unchanged = int(tally.counts[1] + tally.counts[3])
    area = np.nan if pixel_area_m2 is None else unchanged * pixel_area_m2 / 1e6
    return Summary(tally.counts, tally.sums, tally.ranked, (tally.patches,), found, area)


def add_up(summaries: Sequence[Summary]) -> Summary:
    """Pool several pairs, or sites: counts are added, patches stay apart."""
    counted = [summary.objects for summary in summaries if summary.objects is not None]
    return Summary(
        np.sum([summary.counts for summary in summaries], axis=0),
        _added([summary.sums for summary in summaries]),
        add_packed([summary.ranked for summary in summaries]),
        tuple(part for summary in summaries for part in summary.units),
        np.sum(counted, axis=0) if counted else None,
        float(np.sum([summary.unchanged_km2 for summary in summaries])),
    )
