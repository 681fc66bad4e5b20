"""Label-free change detection: a fit to the whole scene, then the map of any part of it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import xarray as xr

from sarcd import schema
from sarcd.attributes import FITTED, encode, fitted_of, parameters_of
from sarcd.change.coherence_history import named_dates, without_dates, without_pairs
from sarcd.change.coherence_past import earlier_pairs, known_looks, measure_histories
from sarcd.change.pair_scores import Histories, WindowLooks
from sarcd.change.postprocessing import closing, opening, remove_small_holes, remove_small_objects
from sarcd.change.ratios import floor_of
from sarcd.change.significance import window_looks
from sarcd.change.thresholding import fit_rules, read_rule
from sarcd.config import DetectOptions
from sarcd.config.detection import CHOOSING, DIFFERENCES, OF_LEVELS
from sarcd.config.ingest import LEVEL_JUMP_DB
from sarcd.detection.auto import choose, require_networks
from sarcd.detection.fitted import OPERATION, POOLED, Fitted
from sarcd.detection.methods import difference_of, map_of, mark_masked, of_test, without_coherence, without_masked
from sarcd.detection.uncertainty import fit_groups, uncertainty_of
from sarcd.engine.tasks import Progress, silent
from sarcd.errors import OptionError
from sarcd.estimation.amplitudes import iso
from sarcd.estimation.coherence_layers import pairs_of
from sarcd.estimation.levels import level_ratios_now, tells_levels
from sarcd.store.openable import take
from sarcd.store.pairs import Pair

if TYPE_CHECKING:
    from sarcd.change.thresholding import Rule

MIN_VALID = 0.5  # minimum fraction of valid pixels in the coherence window, as in `sarcd.estimation`

_LOG = logging.getLogger(__name__)


def fit(
    scene: xr.Dataset,
    options: DetectOptions | None = None,
    *,
    pairs: str | Sequence[Pair] | None = None,
    earlier: Mapping[str, Any] | None = None,
    progress: Progress = silent,
    note: Callable[[str], None] = _LOG.warning,
) -> Fitted:
    """Choose the method if the options leave it open, and measure what it needs of the whole scene.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude`. Tests and networks read a sample of it; difference images and the uncertainty of
        tests read all of it, a chunk at a time.
    options : DetectOptions, optional
        Method and its options.
    pairs : str or sequence of (before, after), optional
        As in `sarcd.estimation.coherence`.
    earlier : mapping, optional
        Attributes of an earlier map of the scene; rules that it holds for the same options are not fitted again.
    progress : callable
        Called with the steps of a network that is trained.
    note : callable
        Called if the levels of two dates differ by more than 1 dB, which may look like change; logs by default.

    Raises
    ------
    SceneError
        If the scene lacks what the method needs.
    OptionError
        If an option does not apply to the method or the scene.
    """
    scene = take(scene)
    options = options or DetectOptions()
    schema.images_of(scene)
    why = "chosen by the user"
    if options.method in CHOOSING:
        method, why = choose(scene, options)
        options = replace(options, method=method)  # type: ignore[arg-type]  # one of the methods
    times = schema.dates_of(scene, "time")
    dates = [(times[before], times[after]) for before, after in pairs_of(scene, pairs)]
    if options.exclude_dates:
        options = replace(options, exclude_dates=named_dates(times, options.exclude_dates))
        dates = without_pairs(dates, options.exclude_dates)
        scene = without_dates(scene, options.exclude_dates)
    chosen = pairs_of(scene, dates)
    fitted = Fitted(options, why, tuple(dates))
    if options.method in ("network", "coherence-network"):
        require_networks()
        from sarcd.detection.self_trained import FitOptions, fit_pairs

        how = FitOptions(rounds=options.rounds, seed=options.seed)
        fitted = replace(fitted, networks=fit_pairs(scene, chosen, how, progress=progress))
    if options.method == "network":
        return fitted
    if options.method in OF_LEVELS:
        fitted = _fit_levels(scene, fitted, chosen, note)
    if options.method in DIFFERENCES:
        return _fit_difference(scene, fitted, _earlier_rules(fitted, earlier or {}))
    fitted = replace(fitted, looks=_looks(scene, options))
    if options.expected is None and options.method != "ratio-test" and scene.sizes["time"] > 2:
        fitted = replace(fitted, history=_history(scene, fitted))
    if not options.uncertainty:
        return fitted
    scores = without_masked(scene, of_test(scene, fitted)["change_score"])
    return replace(fitted, groups=fit_groups(scores, options.size))


def _fit_levels(
    scene: xr.Dataset, fitted: Fitted, pairs: Sequence[tuple[int, int]], note: Callable[[str], None]
) -> Fitted:
    """Measure the gain of each image relative to the one before, to match levels or to warn about them."""
    if not (fitted.options.match_gain or tells_levels(scene)):
        return fitted
    ratios = level_ratios_now(scene, pairs)
    if fitted.options.match_gain:
        return replace(fitted, gains=tuple(ratios))
    jumps = [20 * math.log10(ratio) for ratio in ratios]
    for (before, after), jump in zip(fitted.pairs, jumps, strict=True):
        if abs(jump) > LEVEL_JUMP_DB:
            how = f"{abs(jump):.1f} dB {'brighter' if jump > 0 else 'darker'}"
            note(
                f"{schema.day_of(after)} is {how} than {schema.day_of(before)} overall, which may look like change: "
                f"if the calibration differs, use match_gain (--match-gain), or ingest the images with --gain"
            )
    return fitted


def _earlier_rules(fitted: Fitted, attrs: Mapping[str, Any]) -> list[Rule | None]:
    """Return the rules of pairs, None where the attributes of a map hold none fitted with the same options."""
    parameters = parameters_of(attrs)
    if bool(parameters.get("match_gain")) != fitted.options.match_gain:
        return [None] * len(fitted.pairs)
    if attrs.get("sarcd_operation") != OPERATION or not fitted.options.used.items() <= parameters.items():
        return [None] * len(fitted.pairs)
    of_all = parameters.get("rule")
    rules = {(fact["before"], fact["after"]): fact.get("rule", of_all) for fact in fitted_of(attrs)}
    found = [rules.get((iso(before), iso(after)), of_all) for before, after in fitted.pairs]
    return [None if rule is None else read_rule(rule) for rule in found]


def _fit_difference(scene: xr.Dataset, fitted: Fitted, rules: list[Rule | None]) -> Fitted:
    lacking = [number for number, rule in enumerate(rules) if rule is None]
    decision = fitted.options.rule
    if fitted.options.method not in POOLED:
        fitted = replace(fitted, floor=float(_now(floor_of(scene))))
    else:
        fitted = replace(fitted, history=_history(scene, fitted))
    if lacking:
        masked = without_masked(scene, difference_of(scene, fitted))
        if fitted.options.method in POOLED:
            can_tell = without_coherence(scene, masked, fitted.options.size, fitted.pairs, fitted.history) == 0
            rules = list(fit_rules(masked.where(can_tell), method=decision, tails="upper", pooled=True))
        else:
            for number, rule in zip(lacking, fit_rules(masked[lacking], method=decision), strict=True):
                rules[number] = rule
    return replace(fitted, rules=tuple(rule for rule in rules if rule is not None))


def _looks(scene: xr.Dataset, options: DetectOptions) -> WindowLooks:
    if options.looks is None and "slc" not in scene:
        raise OptionError(
            "the looks of amplitude images are unknown",
            option="looks",
            hint="give those of a mean over the window, or use another method, such as network",
        )
    found = _now(window_looks(scene, options.size, options.looks, options.false_alarms))
    # The last bits depend on the number of threads, but a result must be the same wherever it was made.
    return WindowLooks(round(found.power, 6), round(found.coherence, 6))


def _history(scene: xr.Dataset, fitted: Fitted) -> Histories:
    """Return the coherence of the scene in each pair that the method uses."""
    schema.require(scene, "slc")
    size, pairs, times = fitted.options.size, pairs_of(scene, fitted.pairs), schema.dates_of(scene, "time")
    if fitted.looks is not None:
        return measure_histories(scene, pairs, size, MIN_VALID, fitted.looks)
    return measure_histories(scene, pairs, size, MIN_VALID, _now(known_looks(scene, size)), earlier_pairs(times, pairs))


def _now(value: Any) -> Any:
    return value.compute() if hasattr(value, "compute") else value


def apply(scene: xr.Dataset, fitted: Fitted) -> xr.Dataset:
    """Map the changes of a scene, lazily if it is lazy.

    Parameters
    ----------
    scene : xr.Dataset
        The scene that the method was fitted to.
    fitted : Fitted
        From `fit`.

    Returns
    -------
    xr.Dataset
        `change_score` (pair, y, x) float32 and `change` (pair, y, x) uint8; also `undecidable` (pair, y, x) uint8 if
        the scene has a `mask` or the method uses coherence, and `uncertainty` (pair, y, x) float32 if the options ask
        for it.
    """
    scene = take(scene)
    options = fitted.options
    scene = without_dates(scene, options.exclude_dates)
    found = mark_masked(scene, map_of(scene, fitted))
    found["change"] = clean(found["change"], options)
    if options.uncertainty:
        found["uncertainty"] = uncertainty_of(found)
    found = found.drop_vars(["probability", "spread"], errors="ignore")
    common = fitted.attrs()
    for name, array in found.items():
        own = ("grid_mapping", "long_name", "units") if name in ("change_score", "uncertainty") else ("grid_mapping",)
        kept = {key: array.attrs[key] for key in own if key in array.attrs}
        facts = fitted.of_pairs(groups=name == "uncertainty")
        array.attrs = {**schema.variable(str(name)).attrs(), **common, FITTED: encode(facts), **kept}
    return found.assign_attrs({key: value for key, value in scene.attrs.items() if key != "coordinates"})


def clean(change: xr.DataArray, options: DetectOptions) -> xr.DataArray:
    """Post-process a map as the options ask: opening, closing, small holes and small objects, in this order."""
    if options.opening:
        change = opening(change, radius=options.opening)
    if options.closing:
        change = closing(change, radius=options.closing)
    if options.max_hole:
        change = remove_small_holes(change, max_pixels=options.max_hole)
    if options.min_pixels > 1:
        change = remove_small_objects(change, min_pixels=options.min_pixels)
    return change
