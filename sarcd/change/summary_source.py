"""Choice of the maps that a summary is made of, and of the threshold that applies to them."""

from __future__ import annotations

import hashlib
import json

import xarray as xr

from sarcd import schema
from sarcd.attributes import PARAMETERS, decode, parameters_of
from sarcd.config import SummaryOptions
from sarcd.config.fields import Probability, checked
from sarcd.errors import OptionError
from sarcd.store.pairs import Pair, consecutive
from sarcd.store.results import find_result, is_made, pair_texts, sibling

OMNIBUS = "omnibus"
"""Name of the changes that `omnibus_test` finds, where the name of a variable is expected."""

_HALF = 0.5  # for probabilities without a known threshold
_MAPS = ("change_probability", "change", "label", "pseudo_label", "change_score")


def choose(scene: xr.Dataset, of: str | None) -> tuple[str, str]:
    """Return what is summarised, a variable or `OMNIBUS`, and why.

    Raises
    ------
    SceneError
        If the scene has no such variable.
    OptionError
        If it is not a change map.
    """
    if of == OMNIBUS:
        return of, "chosen by the user"
    if of is not None:
        _check_name(of)
        schema.require(scene, of)
        return of, "chosen by the user"
    lacking = []
    for base in ("change_probability", "change"):
        name = find_result(scene, [base])
        if name is None:
            continue
        absent = _absent(scene, scene[name])
        if not absent:
            return name, f"the scene holds it for all {scene.sizes['time'] - 1} pairs of consecutive dates"
        lacking.append(f"'{name}' lacks {' to '.join(pair_texts(absent)[0])}")
    found = " and ".join(lacking) or "the scene holds no map of change"
    return OMNIBUS, f"{found}; this test looks at brightness alone"


def _check_name(name: str) -> None:
    variable = schema.known(name)
    if variable is None or variable.name not in _MAPS:
        raise OptionError(
            f"'{name}' is not a change map", option="of", hint=f"use one of {', '.join(_MAPS)}, or {OMNIBUS}"
        )


def positions_of(scene: xr.Dataset, changes: xr.DataArray) -> list[int]:
    """Return the positions in maps (pair, y, x) of the pairs of consecutive dates, in time order.

    Raises
    ------
    OptionError
        If the maps have other dims, or a pair is missing or was never computed.
    """
    if set(changes.dims) != {"pair", "y", "x"} or not {"before", "after"} <= set(changes.coords):
        raise OptionError(
            f"changes have dims {changes.dims}", option="changes", hint="use (pair, y, x) with both dates"
        )
    absent = _absent(scene, changes)
    if absent:
        raise OptionError(
            f"no change map from {' to '.join(pair_texts(absent)[0])}",
            option="changes" if changes.name is None else str(changes.name),
            hint="compute it for all pairs of consecutive dates, with pairs 'consecutive' "
            f"({':'.join(pair_texts(absent)[0])} for this one), or summarise 'omnibus'",
        )
    listed = _pairs(changes)
    return [listed.index(pair) for pair in consecutive(schema.dates_of(scene, "time"))]


def _pairs(changes: xr.DataArray) -> list[Pair]:
    held = changes.to_dataset(name="changes")
    return list(zip(schema.dates_of(held, "before"), schema.dates_of(held, "after"), strict=True))


def _absent(scene: xr.Dataset, changes: xr.DataArray) -> list[Pair]:
    """Return the pairs of consecutive dates for which there is no map."""
    made = {pair for position, pair in enumerate(_pairs(changes)) if is_made(changes, position)}
    return [pair for pair in consecutive(schema.dates_of(scene, "time")) if pair not in made]


def check_options(options: SummaryOptions, of: str | None, maps: xr.DataArray | None) -> None:
    """Raise on an option that would have no effect or cannot be used."""
    if options.threshold is not None and (maps is None or maps.dtype.kind != "f"):
        raise OptionError(f"{of or 'the map'} is already thresholded", option="threshold", hint="leave it out")
    variable = schema.known(of)
    if options.threshold is None and variable is not None and variable.name == "change_score":
        raise OptionError(
            f"the threshold of '{of}' is unknown", option="threshold", hint="give one, or use the map made from it"
        )
    if options.threshold is not None and (variable is None or variable.name != "change_score"):
        checked(options.threshold, Probability, "threshold")
    if options.persistence or of == OMNIBUS:
        return
    plain = SummaryOptions()
    for name in ("window", "false_alarms", "looks", "min_valid"):
        if getattr(options, name) != getattr(plain, name):
            raise OptionError(
                "without persistence no dates are compared",
                option=name,
                hint="leave it out, or ask for the persistence",
            )


def cut_at(scene: xr.Dataset, maps: xr.DataArray | None, threshold: float | None) -> float | None:
    """Return the threshold of probabilities: as given, or that of their own map; None for a thresholded map."""
    if maps is None or maps.dtype.kind != "f":
        return None
    if threshold is not None:
        return float(threshold)
    variable = schema.known(maps.name)
    beside = sibling(str(maps.name), "change") if variable is not None and variable.name != "change" else None
    for attrs in (maps.attrs, scene[beside].attrs if beside in scene else {}):
        parameters = parameters_of(attrs)
        if isinstance(parameters.get("threshold"), (int, float)):
            return float(parameters["threshold"])
    return _HALF


def digest(maps: xr.DataArray) -> str | None:
    """Return the operation that made maps, with a short hash of its parameters; None if the maps do not record it."""
    operation = maps.attrs.get("sarcd_operation")
    if operation is None:
        return None
    text = json.dumps(decode(maps.attrs.get(PARAMETERS)), sort_keys=True, default=str)
    return f"{operation} {hashlib.sha256(text.encode()).hexdigest()[:12]}"
