"""Tables of the scores of a pair, a site or all sites, each named and explained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from sarcd.metrics.kernels import curves, patches, reliability
from sarcd.metrics.kernels import scores as kernel
from sarcd.metrics.kernels.reliability import Bins, Kind
from sarcd.metrics.results import COARSE, FINE, Bootstrap, Summary

_EXPLAINED = {
    "tp": "changes detected",
    "fp": "false alarms",
    "fn": "changes missed",
    "tn": "unchanged pixels predicted as unchanged",
    "overall_error": "false alarms and missed changes, OE",
    "masked_pixels": "labelled pixels without a prediction, which enter no score",
    "labelled_pixels": "labelled pixels",
    "f1": "harmonic mean of precision and recall",
    "precision": "fraction of the predicted changes that are true",
    "recall": "fraction of the true changes that are detected",
    "iou": "intersection over union of predicted and true changes",
    "kappa": "Cohen's kappa",
    "overall_accuracy": "fraction of the pixels that are classified correctly, PCC",
    "average_precision": "mean precision over the recall, over all thresholds",
    "average_precision_error": "bound on the effect of the order of scores within a bin on average precision",
    "expected_calibration_error": "mean gap between probability and fraction of changes, over the bins",
    "brier": "mean squared difference of probability and truth",
    "log_loss": "mean negative logarithm of the probability of the true class, nats",
    "objects_detected": "reference objects that were detected",
    "objects_missed": "reference objects that were missed",
    "objects_confirmed": "detected objects that touch a reference object",
    "objects_false": "detected objects that touch no reference object",
    "object_precision": "fraction of the detected objects that touch a reference object",
    "object_recall": "fraction of the reference objects that were detected",
    "object_f1": "harmonic mean of object precision and object recall",
    "false_objects_per_km2": "false objects per square kilometre of evaluated area without change",
    "patches": "patches that intervals were resampled from",
}
_WITH_INTERVALS = ("f1", "precision", "recall", "iou", "kappa", "average_precision")
_RECALLS = np.arange(1, 101) / 100


def scores_of(summary: Summary, kind: Kind | None, bootstrap: Bootstrap | None) -> dict[str, Any]:
    """Return every score of a summary by name.

    Parameters
    ----------
    summary : Summary
        Counts of a pair, a site or all sites.
    kind : {"probability", "score"} or None
        Kind of the evaluated layer; None for a map.
    bootstrap : Bootstrap or None
        Bootstrap of confidence intervals, if any.
    """
    tp, fp, fn, tn, masked = (int(count) for count in summary.counts[:5])
    values: dict[str, Any] = {name: float(value) for name, value in kernel.scores(tp, fp, fn, tn).items()}
    values |= {"tp": tp, "fp": fp, "fn": fn, "tn": tn, "overall_error": fp + fn}
    values |= {"labelled_pixels": tp + fp + fn + tn + masked, "masked_pixels": masked}
    if kind is not None:
        values |= _rank_scores(summary, kind, tp + fp + fn + tn)
    if summary.objects is not None:
        values |= _object_scores(summary, evaluated=tp + fp + fn + tn > 0)
    if bootstrap is not None:
        values |= _intervals(summary, kind, bootstrap, values)
    return values


def _rank_scores(summary: Summary, kind: Kind, evaluated: int) -> dict[str, float]:
    number, histogram = curves.unpack(summary.ranked, FINE[kind])
    found = float(curves.average_precision(histogram))
    low, high = (float(bound) for bound in curves.average_precision_bounds(histogram, FINE[kind].single()[number]))
    values = {"average_precision": found, "average_precision_error": max(found - low, high - found, 0.0)}
    if np.isnan(found):
        values["average_precision_error"] = np.nan
    if kind == "score":
        return values
    brier, log_loss = reliability.mean_losses(summary.sums["losses"], evaluated)
    error = reliability.calibration_error(summary.sums["reliability"])
    return values | {"expected_calibration_error": float(error), "brier": float(brier), "log_loss": float(log_loss)}


def _object_scores(summary: Summary, *, evaluated: bool) -> dict[str, Any]:
    detected, missed, confirmed, false = (int(count) for count in summary.objects)  # type: ignore[union-attr]
    precision = float(kernel.precision(confirmed, false, missed)) if evaluated else np.nan
    recall = float(kernel.recall(detected, false, missed)) if evaluated else np.nan
    both = precision + recall
    area = summary.unchanged_km2
    return {
        "objects_detected": detected,
        "objects_missed": missed,
        "objects_confirmed": confirmed,
        "objects_false": false,
        "object_precision": precision,
        "object_recall": recall,
        "object_f1": 2 * precision * recall / both if both != 0 else 0.0,
        "false_objects_per_km2": false / area if area > 0 else np.nan,
    }


def _intervals(
    summary: Summary, kind: Kind | None, bootstrap: Bootstrap, values: dict[str, Any]
) -> dict[str, float | int]:
    units = np.concatenate(summary.units)

    def scores(sums: np.ndarray) -> dict[str, np.ndarray]:
        found = kernel.scores(*sums[:, :4].T)
        if kind is not None:
            found["average_precision"] = curves.smooth_average_precision(_histograms(sums, COARSE[kind]))
        return {name: found[name] for name in _WITH_INTERVALS if name in found}

    ends = patches.bootstrap_intervals(
        units, scores, resamples=bootstrap.resamples, seed=bootstrap.seed, level=bootstrap.level
    )
    if kind is not None and len(units):
        # The bins of the patches are coarser than those of the score itself: remove the shift that this causes.
        total = units.sum(axis=0, dtype=np.int64)[np.newaxis]
        shift = values["average_precision"] - float(
            curves.smooth_average_precision(_histograms(total, COARSE[kind]))[0]
        )
        low, high = ends["average_precision"]
        ends["average_precision"] = float(np.clip(low + shift, 0, 1)), float(np.clip(high + shift, 0, 1))
    named = {
        f"{name}_{end}": value for name, both in ends.items() for end, value in zip(("low", "high"), both, strict=True)
    }
    return {"patches": len(units), **named}


def _histograms(sums: np.ndarray, bins: Bins) -> np.ndarray:
    return sums[:, 4:].reshape(len(sums), 2, bins.count)


def scores_dataset(over: Sequence[str], rows: Sequence[dict[str, Any]], attrs: dict[str, Any]) -> xr.Dataset:
    """Return scores along `over`: counts as int64, ratios as float64."""
    variables = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        variables[name] = ("over", values, {"long_name": _long_name(name), "units": _units(name)})
    return xr.Dataset(variables, coords={"over": list(over)}, attrs=attrs)


def _long_name(name: str) -> str:
    stem, _, end = name.rpartition("_")
    if end in ("low", "high") and stem in _EXPLAINED:
        return f"{end} end of the interval of {stem.replace('_', ' ')}"
    return _EXPLAINED[name]


def _units(name: str) -> str:
    return "km-2" if name.endswith("per_km2") else "1"


def curves_dataset(over: Sequence[str], summaries: Sequence[Summary], kind: Kind, attrs: dict[str, Any]) -> xr.Dataset:
    """Return the precision-recall curve and the reliability table along `over`."""
    ranked = [curves.unpack(summary.ranked, FINE[kind]) for summary in summaries]
    edges = FINE[kind].edges()
    found = [curves.precision_at_recall(histogram, edges[number], _RECALLS) for number, histogram in ranked]
    variables: dict[str, Any] = {
        "curve_threshold": (
            ("over", "recall_level"),
            np.stack([threshold for threshold, _ in found]),
            {"long_name": "highest threshold that reaches the recall"},
        ),
        "curve_precision": (
            ("over", "recall_level"),
            np.stack([precision for _, precision in found]),
            {"long_name": "precision at this threshold"},
        ),
    }
    coords: dict[str, Any] = {"over": list(over), "recall_level": _RECALLS}
    if kind == "probability":
        counts = np.stack([summary.sums["reliability"] for summary in summaries])
        mean, changed = reliability.reliability(counts)
        variables |= {
            "bin_pixels": (("over", "bin"), counts[..., 0], {"long_name": "evaluated pixels in the bin"}),
            "bin_probability": (("over", "bin"), mean, {"long_name": "mean probability in the bin"}),
            "bin_changed": (("over", "bin"), changed, {"long_name": "fraction of them that is changed"}),
        }
        ends = np.linspace(0, 1, counts.shape[1] + 1)
        coords |= {"bin_low": ("bin", ends[:-1]), "bin_high": ("bin", ends[1:])}
    return xr.Dataset(variables, coords=coords, attrs=attrs)
