"""Change maps of each label-free method before shared post-processing, and masking of undecidable areas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from sarcd import change, schema
from sarcd.change.pair_scores import Histories
from sarcd.change.thresholding import apply_rules
from sarcd.config import Window
from sarcd.config.detection import BOTH_WAYS, DIFFERENCES, SIGNED
from sarcd.detection.fitted import Fitted
from sarcd.detection.uncertainty import by_groups, by_rules
from sarcd.engine.lazy import pointwise, stack
from sarcd.errors import SceneError
from sarcd.estimation.coherence_layers import pairs_of
from sarcd.store.pairs import Pair


def without_masked(scene: xr.Dataset, values: xr.DataArray) -> xr.DataArray:
    """Return values (pair, y, x) with NaN in layover and shadow, where images carry no information about the ground."""
    return values.where(scene["mask"].variable == 0) if "mask" in scene else values


def mark_masked(scene: xr.Dataset, found: xr.Dataset) -> xr.Dataset:
    """Mark layover and shadow as `undecidable`, if the scene has a `mask`, and leave `change` unlabelled there.

    Parameters
    ----------
    scene : xr.Dataset
        Scene whose `mask` (y, x), if any, is 0 outside layover and shadow.
    found : xr.Dataset
        `change` (pair, y, x), with `undecidable` if the method uses coherence.
    """
    if "mask" not in scene:
        return found
    seen = scene["mask"].variable == 0
    change = found["change"]
    if "undecidable" not in found:
        nothing = (change == schema.NO_LABEL).astype("uint8") * np.uint8(schema.NO_LABEL)
        found = found.assign(undecidable=nothing.assign_attrs(change.attrs))
    undecidable = found["undecidable"]
    marked = undecidable.where(seen | (undecidable == schema.NO_LABEL), 1).astype("uint8")
    left_open = change.where(seen, schema.NO_LABEL).astype("uint8")
    return found.assign(undecidable=marked.assign_attrs(undecidable.attrs), change=left_open.assign_attrs(change.attrs))


def without_coherence(
    scene: xr.Dataset, loss: xr.DataArray, window: Window, pairs: Sequence[Pair], history: Histories | None = None
) -> xr.DataArray:
    """Return `undecidable` for a coherence loss, defined as in `sarcd.change.coherence_test`.

    Parameters
    ----------
    scene : xr.Dataset
        Scene with `slc`.
    loss : (pair, y, x) float32 DataArray
        Result of `sarcd.change.coherence_loss`; NaN where invalid and where there are no earlier pairs.
    window : Window
        Window in which the coherence was estimated.
    pairs : sequence of (before, after)
        Pairs of `loss`.
    history : Histories, optional
        History that `loss` was computed with.

    Returns
    -------
    (pair, y, x) uint8
        1 where the ground was never coherent or has no earlier pairs; 0 where a loss is detectable; 255 where invalid.
    """
    images = schema.require(scene, "slc")
    never = change.never_coherent(scene, window=window, pairs=pairs, history=history)
    valid = [np.isfinite(images[a].variable) & np.isfinite(images[b].variable) for a, b in pairs_of(scene, pairs)]
    has_past = never != schema.NO_LABEL
    known = xr.Variable.concat(valid, "pair") & ~(loss.isnull() & has_past)
    return (never != 0).where(known, schema.NO_LABEL).astype("uint8").rename("undecidable")


_DIFFERENCES: dict[str, Callable[..., xr.DataArray]] = {
    "log-ratio": change.log_ratio,
    "mean-ratio": change.mean_ratio,
    "gauss-log-ratio": change.gauss_log_ratio,
    "neighbourhood-ratio": change.neighbourhood_ratio,
}


def map_of(scene: xr.Dataset, fitted: Fitted) -> xr.Dataset:
    """Map a scene with the method that was fitted to it.

    Returns
    -------
    xr.Dataset
        `change_score` and `change` (pair, y, x); `undecidable` for methods that use coherence; if the options ask for
        uncertainty, also `probability` of change or, for networks, `spread`.
    """
    method = fitted.options.method
    if method == "network":
        return _of_network(scene, fitted)
    if method == "coherence-network":
        return _of_coherence_and_network(scene, fitted)
    return _of_difference(scene, fitted) if method in DIFFERENCES else of_test(scene, fitted)


def difference_of(scene: xr.Dataset, fitted: Fitted) -> xr.DataArray:
    """Return the difference image of a method that computes one."""
    options = fitted.options
    if options.method == "coherence-loss":
        return change.coherence_loss(scene, window=options.size, pairs=fitted.pairs, history=fitted.history)
    signed = {"signed": True} if options.method in SIGNED and options.rule in BOTH_WAYS else {}
    further: dict[str, Any] = {**signed, "match_gain": fitted.gains or False}
    return _DIFFERENCES[options.method](scene, window=options.size, floor=fitted.floor, pairs=fitted.pairs, **further)


def _of_difference(scene: xr.Dataset, fitted: Fitted) -> xr.Dataset:
    difference = difference_of(scene, fitted)
    change = apply_rules(difference, fitted.rules)
    by_coherence = fitted.options.method == "coherence-loss"
    score = difference if by_coherence else abs(difference)
    score = score.assign_attrs(difference.attrs).rename("change_score")
    score.attrs["long_name"] = fitted.options.method.replace("-", " ")
    found = {"change_score": score, "change": change}
    if by_coherence:
        undecidable = without_coherence(scene, difference, fitted.options.size, fitted.pairs, fitted.history)
        found["undecidable"] = undecidable
        found["change"] = change.where(undecidable == 0, schema.NO_LABEL).astype("uint8").assign_attrs(change.attrs)
    if fitted.options.uncertainty:
        found["probability"] = by_rules(difference, fitted.rules)
    return xr.Dataset(found)


def of_test(scene: xr.Dataset, fitted: Fitted) -> xr.Dataset:
    """Map with a test of `sarcd.change`, adding `probability` if groups of p-values were fitted."""
    options = fitted.options
    common: dict[str, Any] = {
        "window": options.size,
        "false_alarms": options.false_alarms,
        "looks": fitted.looks,
        "pairs": fitted.pairs,
    }
    if options.method == "ratio-test":
        known: Any = "auto" if options.expected is None else options.expected
        found = change.ratio_test(scene, coherence=known, match_gain=fitted.gains or False, **common)
        return _with_probability(found, fitted)
    schema.require(scene, "slc")
    if options.expected is None and scene.sizes["time"] < 3:
        raise SceneError(
            "two dates: how coherent the ground was before is not known",
            source=schema.source_of(scene),
            hint="say what to expect with --expected 0.6, add an earlier date, or use ratio-test",
        )
    expected: Any = (fitted.history or "history") if options.expected is None else options.expected
    if options.method == "combined-test":
        found = change.combined_test(scene, expected=expected, match_gain=fitted.gains or False, **common)
    else:
        found = change.coherence_test(scene, expected=expected, **common)
    return _with_probability(found, fitted)


def _with_probability(found: xr.Dataset, fitted: Fitted) -> xr.Dataset:
    return found.assign(probability=by_groups(found["change_score"], fitted.groups)) if fitted.groups else found


def _of_network(scene: xr.Dataset, fitted: Fitted) -> xr.Dataset:
    from sarcd.detection.self_trained import map_pairs

    return map_pairs(scene, pairs_of(scene, fitted.pairs), fitted.networks).rename(uncertainty="spread")


def _of_coherence_and_network(scene: xr.Dataset, fitted: Fitted) -> xr.Dataset:
    """Use the coherence test where it can decide and the network elsewhere."""
    by_coherence, predict = of_test(scene, fitted), _of_network(scene, fitted)
    told = by_coherence["undecidable"] == 0
    evidence = [
        pointwise(
            _as_evidence, score, dtype=np.float32, threshold=one.threshold, false_alarms=fitted.options.false_alarms
        )
        for score, one in zip(predict["change_score"], fitted.networks, strict=True)
    ]
    predict["change_score"] = predict["change_score"].copy(data=stack([each.data for each in evidence]))
    found = by_coherence.assign(
        {name: by_coherence[name].where(told, predict[name]) for name in ("change", "change_score")}
    )
    found["change_score"].attrs["long_name"] = "evidence of change, on the scale of -log10 of a p-value"
    if not fitted.groups:
        return found
    return found.assign(probability=by_coherence["probability"].where(told), spread=predict["spread"].where(~told))


def _as_evidence(probability: np.ndarray, *, threshold: float, false_alarms: float) -> np.ndarray:
    """Return -log10(1 - probability), scaled so that the threshold equals that of the p-values."""
    highest = np.float32(1 - 2**-24)
    stretch = np.float32(np.log10(false_alarms) / np.log10(1 - threshold))
    evidence: np.ndarray = -stretch * np.log10(1 - np.minimum(probability, highest))
    return evidence
