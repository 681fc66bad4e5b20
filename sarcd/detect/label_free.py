"""Change without labels or weights: what a method needs of the whole scene first, then the map of any part of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import xarray as xr

from sarcd import ops, schema
from sarcd.config import DetectOptions
from sarcd.config.detection import BOTH_WAYS, DIFFERENCES, SIGNED
from sarcd.detect.choice import choose
from sarcd.detect.doubt import OF_DECISION, by_groups, by_rules, fit_groups, wrong
from sarcd.detect.unjudged import mark_hidden, without_coherence, without_hidden
from sarcd.errors import OptionError, SceneError
from sarcd.io.pairs import Pair
from sarcd.io.progress import Progress, silent
from sarcd.ops._difference import floor_of
from sarcd.ops._lazy import made_by_attrs
from sarcd.ops._pair_scores import WindowLooks
from sarcd.ops._significance import window_looks
from sarcd.ops.decide import apply_rules, fit_rules
from sarcd.ops.pairs import pairs_of

if TYPE_CHECKING:
    from sarcd.kernels.significance.two_groups import TwoGroups
    from sarcd.learn.self_train import SelfTrained
    from sarcd.ops.decide import Rule

OPERATION = "detect"

_DIFFERENCES: dict[str, Callable[..., xr.DataArray]] = {
    "log-ratio": ops.log_ratio,
    "mean-ratio": ops.mean_ratio,
    "gauss-log-ratio": ops.gauss_log_ratio,
    "neighbourhood-ratio": ops.neighbourhood_ratio,
}


@dataclass(frozen=True)
class Fitted:
    """A method that knows what it needs of the whole scene; small, and the same for any part of it.

    Parameters
    ----------
    options : DetectOptions
        With the method that ``auto`` came to.
    why : str
        Why it was chosen.
    pairs : tuple of (before, after)
        Dates of the pairs.
    floor : float or None
        Added to amplitudes before their logarithm; see `sarcd.ops.log_ratio`.
    looks : WindowLooks or None
        Of a window, for tests.
    rules : tuple of Split or BlockSplit
        How the difference image of each pair is split.
    networks : tuple of SelfTrained
        Those fitted to each pair.
    groups : tuple of TwoGroups
        What tells the p-values of changed ground in each pair, where the uncertainty of a test is asked for.
    """

    options: DetectOptions
    why: str
    pairs: tuple[Pair, ...]
    floor: float | None = None
    looks: WindowLooks | None = None
    rules: tuple[Rule, ...] = ()
    networks: tuple[SelfTrained, ...] = ()
    groups: tuple[TwoGroups, ...] = ()

    def attrs(self) -> dict[str, Any]:
        """Return what the result says of how it was made."""
        told = dict(self.options.used)
        told |= {"rules": [rule.to_dict() for rule in self.rules]} if self.rules else {}
        told |= {"floor": self.floor} if self.floor is not None else {}
        told |= {"fitted": [one.record for one in self.networks]} if self.networks else {}
        told |= {"effective_looks": self.looks.power} if self.looks is not None else {}
        return made_by_attrs(OPERATION, told) | {"why": self.why}


def fit(
    scene: xr.Dataset,
    options: DetectOptions | None = None,
    *,
    pairs: str | Sequence[Pair] | None = None,
    progress: Progress = silent,
) -> Fitted:
    """Choose the method if that is open, and read of the scene what it needs of the whole.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude`. Tests and networks read a sample of it, difference images and the uncertainty of
        tests all, a chunk at a time.
    options : DetectOptions, optional
        Method and its knobs.
    pairs : str or sequence of (before, after), optional
        As in `sarcd.ops.coherence`.
    progress : callable
        Told of the steps of a network that learns.

    Raises
    ------
    SceneError
        If the scene lacks what the method looks at.
    OptionError
        If an option does not go with the method or the scene.
    """
    options = options or DetectOptions()
    schema.images_of(scene)
    why = "chosen by the user"
    if options.method == "auto":
        method, why = choose(scene)
        options = replace(options, method=method)  # type: ignore[arg-type]  # one of the methods
    times = schema.dates_of(scene, "time")
    chosen = pairs_of(scene, pairs)
    fitted = Fitted(options, why, tuple((times[before], times[after]) for before, after in chosen))
    if options.method == "network":
        from sarcd.learn.self_train import FitOptions, fit_pairs

        how = FitOptions(start=options.start, rounds=options.rounds, seed=options.seed)
        return replace(fitted, networks=fit_pairs(scene, chosen, how, progress=progress))
    if options.method in DIFFERENCES:
        return _fit_difference(scene, fitted)
    fitted = replace(fitted, looks=_looks(scene, options))
    if not options.uncertainty:
        return fitted
    scores = without_hidden(scene, _of_test(scene, fitted)["change_score"])
    return replace(fitted, groups=fit_groups(scores, options.size))


def _fit_difference(scene: xr.Dataset, fitted: Fitted) -> Fitted:
    decision = fitted.options.rule
    if fitted.options.method == "coherence-loss":  # one rule for all pairs: the first has no past, and so no values
        loss = _difference(scene, fitted)
        can_tell = without_coherence(scene, loss, fitted.options.size, fitted.pairs) == 0
        judged = without_hidden(scene, loss.where(can_tell))
        return replace(fitted, rules=fit_rules(judged, method=decision, tails="upper", pooled=True))
    fitted = replace(fitted, floor=float(_now(floor_of(scene))))
    judged = without_hidden(scene, _difference(scene, fitted))
    return replace(fitted, rules=fit_rules(judged, method=decision))


def _looks(scene: xr.Dataset, options: DetectOptions) -> WindowLooks:
    if options.looks is None and "slc" not in scene:
        raise OptionError(
            "the looks of detected images are not known",
            where="looks",
            mend="tell those of a mean over the window, or use another method, such as network",
        )
    found = _now(window_looks(scene, options.size, options.looks, options.false_alarms))
    # The last bits depend on the threads that measured; a result is to be the same wherever it was made.
    return WindowLooks(round(found.power, 6), round(found.coherence, 6))


def _now(value: Any) -> Any:
    return value.compute() if hasattr(value, "compute") else value


def apply(scene: xr.Dataset, fitted: Fitted) -> xr.Dataset:
    """Map the changes of a scene, lazily if it is lazy.

    Parameters
    ----------
    scene : xr.Dataset
        The scene that the method was fitted to.
    fitted : Fitted
        By `fit`.

    Returns
    -------
    xr.Dataset
        `change_score` (pair, y, x) float32 and `change` (pair, y, x) uint8; also `undecidable` (pair, y, x) uint8 where
        the scene has a `mask` or the method looks at coherence, and `uncertainty` (pair, y, x) float32 if the options
        ask for it.
    """
    options = fitted.options
    if fitted.networks:
        from sarcd.learn.self_train import map_pairs

        found = map_pairs(scene, pairs_of(scene, fitted.pairs), fitted.networks)
    else:
        make = _of_difference if options.method in DIFFERENCES else _of_test
        found = make(scene, fitted)
    found = mark_hidden(scene, found)
    found["change"] = clean(found["change"], options)
    if "probability" in found:
        found = found.assign(uncertainty=wrong(found["change"], found["probability"])).drop_vars("probability")
        found["uncertainty"].attrs["long_name"] = OF_DECISION
    elif not options.uncertainty:
        found = found.drop_vars("uncertainty", errors="ignore")
    common = fitted.attrs()
    for name, array in found.items():
        own = ("grid_mapping", "long_name", "units") if name in ("change_score", "uncertainty") else ("grid_mapping",)
        kept = {key: array.attrs[key] for key in own if key in array.attrs}
        array.attrs = {**schema.variable(str(name)).attrs(), **common, **kept}
    if fitted.groups:
        found["uncertainty"].attrs["groups"] = [asdict(one) for one in fitted.groups]
    return found.assign_attrs({key: value for key, value in scene.attrs.items() if key != "coordinates"})


def _difference(scene: xr.Dataset, fitted: Fitted) -> xr.DataArray:
    options = fitted.options
    if options.method == "coherence-loss":
        return ops.coherence_loss(scene, window=options.size, pairs=fitted.pairs)
    signed = {"signed": True} if options.method in SIGNED and options.rule in BOTH_WAYS else {}
    return _DIFFERENCES[options.method](scene, window=options.size, floor=fitted.floor, pairs=fitted.pairs, **signed)


def _of_difference(scene: xr.Dataset, fitted: Fitted) -> xr.Dataset:
    difference = _difference(scene, fitted)
    change = apply_rules(difference, fitted.rules)
    by_coherence = fitted.options.method == "coherence-loss"
    score = difference if by_coherence else abs(difference)
    score = score.assign_attrs(difference.attrs).rename("change_score")
    score.attrs["long_name"] = fitted.options.method.replace("-", " ")
    found = {"change_score": score, "change": change}
    if by_coherence:
        undecidable = without_coherence(scene, difference, fitted.options.size, fitted.pairs)
        found["undecidable"] = undecidable
        found["change"] = change.where(undecidable == 0, schema.NO_LABEL).astype("uint8").assign_attrs(change.attrs)
    if fitted.options.uncertainty:
        found["probability"] = by_rules(difference, fitted.rules)
    return xr.Dataset(found)


def _of_test(scene: xr.Dataset, fitted: Fitted) -> xr.Dataset:
    options = fitted.options
    common: dict[str, Any] = {
        "window": options.size,
        "false_alarms": options.false_alarms,
        "looks": fitted.looks,
        "pairs": fitted.pairs,
    }
    if options.method == "ratio-test":
        known: Any = "auto" if options.expected is None else options.expected
        return _with_probability(ops.ratio_test(scene, coherence=known, **common), fitted)
    schema.require(scene, "slc")
    if options.expected is None and scene.sizes["time"] < 3:
        raise SceneError(
            "two dates: how coherent the ground was before is not known",
            where=schema.source_of(scene),
            mend="say what to expect with --expected 0.6, add an earlier date, or use ratio-test",
        )
    expected: Any = "history" if options.expected is None else options.expected
    test = ops.coherence_test if options.method == "coherence-test" else ops.combined_test
    return _with_probability(test(scene, expected=expected, **common), fitted)


def _with_probability(found: xr.Dataset, fitted: Fitted) -> xr.Dataset:
    return found.assign(probability=by_groups(found["change_score"], fitted.groups)) if fitted.groups else found


def clean(change: xr.DataArray, options: DetectOptions) -> xr.DataArray:
    """Clean a map up as the options say: opening, closing, holes, and what is too small, in this order."""
    if options.opening:
        change = ops.opening(change, radius=options.opening)
    if options.closing:
        change = ops.closing(change, radius=options.closing)
    if options.max_hole:
        change = ops.fill_small(change, max_pixels=options.max_hole)
    if options.min_pixels > 1:
        change = ops.drop_small(change, min_pixels=options.min_pixels)
    return change
