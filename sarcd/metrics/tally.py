"""What is counted in a block of a scene, and how counts of blocks and of pairs add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sarcd.metrics.kernels import objects, patches, reliability
from sarcd.metrics.kernels.bins import Bins, Kind
from sarcd.metrics.kernels.curves import add_packed, packed_histogram
from sarcd.metrics.kernels.scores import confusion_counts

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


def tally_block(plan: Plan, labels: np.ndarray, judged: np.ndarray, origin: tuple[int, int]) -> Tally:
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
    counts = confusion_counts(labels, judged, threshold=plan.threshold)
    if plan.kind is None and plan.patch is None and plan.rules is None:
        return Tally(counts)
    changed = labels == 1
    if plan.kind is None:
        claimed, known = judged == 1, (judged == 0) | (judged == 1)
    else:
        claimed, known = judged >= plan.threshold, ~np.isnan(judged)
    in_play = known & (changed | (labels == 0))
    sums: dict[str, np.ndarray] = {}
    outside, ranked = 0, _NONE
    if plan.kind is not None:
        ranked = packed_histogram(judged[in_play], changed[in_play], FINE[plan.kind])
        sums, outside = _score_sums(plan.kind, plan.bins, judged[in_play], changed[in_play])
    blocks: tuple[objects.BlockObjects, ...] = ()
    if plan.rules is not None:
        blocks = (objects.block_objects(changed, claimed, in_play, plan.rules, origin=origin),)
    if plan.patch is None:
        return Tally(counts, outside, sums, ranked, blocks=blocks)
    place, kept = patches.patch_counts(changed, claimed, in_play, origin=origin, patch=plan.patch)
    kept = kept.astype(np.uint32)
    if plan.kind is not None:
        bins = COARSE[plan.kind]
        of_patches = patches.patch_histograms(judged, changed, in_play, bins, origin=origin, patch=plan.patch)
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
