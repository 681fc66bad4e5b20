"""Read sensor parameters from the metadata of a file."""

from __future__ import annotations

import contextlib
import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_SPEED_OF_LIGHT = 299_792_458.0  # m/s

_ELEMENTS: dict[str, tuple[str, Callable[[float], float]]] = {
    "radarWavelength": ("wavelength_m", float),
    "radarFrequency": ("wavelength_m", lambda hertz: _SPEED_OF_LIGHT / hertz),
    "slantRangePixelSpacing": ("x_spacing", float),
    "groundRangePixelSpacing": ("x_spacing", float),
    "rangePixelSpacing": ("x_spacing", float),
    "azimuthPixelSpacing": ("y_spacing", float),
    "numberRangeLooks": ("range_looks", float),
    "numberAzimuthLooks": ("azimuth_looks", float),
}

_TAGS: dict[str, tuple[str, Callable[[float], float]]] = {
    "CEOS_PIXEL_SPACING_METERS": ("x_spacing", float),
    "CEOS_LINE_SPACING_METERS": ("y_spacing", float),
    "PIXEL_SPACING": ("x_spacing", float),
    "LINE_SPACING": ("y_spacing", float),
}

_ANGLES = (  # the first that exists; the median of several values, the mean of two ends
    ("incidenceAngleMidSwath",),
    ("INCIDENCE_CENTER",),
    ("CEOS_INC_ANGLE_CENTRE_RANGE",),
    ("CEOS_INC_ANGLE",),
    ("INCIDENCE_ANGLE",),
    ("NEAR_RANGE_INCIDENCE_ANGLE", "FAR_RANGE_INCIDENCE_ANGLE"),
    ("incidenceAngleNearRange", "incidenceAngleFarRange"),
    ("incidenceAngle",),
    ("incidence_angle",),
)

_RANGE_WORDS = {
    "slant": (r"<(?:\w+:)?slantRangePixelSpacing>", r"<(?:\w+:)?projection>\s*Slant"),
    "ground": (r"<(?:\w+:)?groundRangePixelSpacing>", r"<(?:\w+:)?projection>\s*Ground"),
}

_LEAST_DEGREES, _MOST_DEGREES = 5.0, 85.0  # other values are in radians, or another angle
_DEGREES_APART = 0.4  # changes an area at 30 degrees by 1 %


def sensor_facts(tags: Mapping[str, str]) -> dict[str, Any]:
    """Return wavelength_m, spacing_m as [y, x], range_spacing, incidence_deg and looks, if the metadata have them.

    `range_spacing` is ``slant`` or ``ground``, if the metadata mention only one; `incidence_deg` is at mid-swath.

    Examples
    --------
    >>> sensor_facts({"CEOS_PIXEL_SPACING_METERS": "7.904", "CEOS_LINE_SPACING_METERS": "3.99"})
    {'spacing_m': [3.99, 7.904]}
    """
    found: dict[str, float] = {}
    for key, value in tags.items():
        if key in _TAGS:
            _keep(found, *_TAGS[key], value)
        if "<" not in value:
            continue
        for element, (name, convert) in _ELEMENTS.items():
            match = re.search(rf"<(?:\w+:)?{element}>([^<]+)</", value)
            if match:
                _keep(found, name, convert, match.group(1))
    facts: dict[str, Any] = {}
    if "wavelength_m" in found:
        facts["wavelength_m"] = found["wavelength_m"]
    if "y_spacing" in found and "x_spacing" in found:
        facts["spacing_m"] = [found["y_spacing"], found["x_spacing"]]
        kinds = [kind for kind, words in _RANGE_WORDS.items() if any(_holds(tags, word) for word in words)]
        if len(kinds) == 1:
            facts["range_spacing"] = kinds[0]
    incidence = _incidence_deg(tags)
    if incidence is not None:
        facts["incidence_deg"] = incidence
    if "range_looks" in found and "azimuth_looks" in found:
        facts["looks"] = found["range_looks"] * found["azimuth_looks"]
    return facts


def _holds(tags: Mapping[str, str], pattern: str) -> bool:
    return any("<" in value and re.search(pattern, value, re.IGNORECASE) for value in tags.values())


def _incidence_deg(tags: Mapping[str, str]) -> float | None:
    for names in _ANGLES:
        ends = [_middle(tags, name) for name in names]
        known = [end for end in ends if end is not None]
        if len(known) == len(names):
            return sum(known) / len(known)
    return None


def _middle(tags: Mapping[str, str], name: str) -> float | None:
    """Return the median of the angles with a name, as tags, XML elements or JSON numbers."""
    texts = [value for key, value in tags.items() if key.lower() == name.lower()]
    for value in tags.values():
        if name in value:
            texts += re.findall(rf"<(?:\w+:)?{name}(?: [^>]*)?>([^<]+)</", value)
            texts += re.findall(rf'"{name}"\s*:\s*([-+.\deE]+)', value)
    angles = []
    for text in texts:
        with contextlib.suppress(ValueError):
            angles.append(abs(float(text)))
    found = statistics.median(angles) if angles else math.nan
    return found if _LEAST_DEGREES <= found <= _MOST_DEGREES else None


def _keep(found: dict[str, float], name: str, convert: Callable[[float], float], text: str) -> None:
    try:
        value = convert(float(text))
    except (ValueError, ZeroDivisionError):
        return
    if 0 < value < math.inf:
        found.setdefault(name, value)


def common_facts(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the parameters on which images agree: numbers to a thousandth, the incidence to 0.4 degrees.

    Examples
    --------
    >>> common_facts([{"wavelength_m": 0.0562, "looks": 1.0}, {"wavelength_m": 0.0562}, {"looks": 4.0}])
    {'wavelength_m': 0.0562}
    """
    names = dict.fromkeys(name for image in facts for name in image)
    known = {name: [image[name] for image in facts if name in image] for name in names}
    return {name: values[0] for name, values in known.items() if _agree(name, values)}


def _agree(name: str, values: Sequence[Any]) -> bool:
    if isinstance(values[0], str):
        return len(set(values)) == 1
    apart = {"abs_tol": _DEGREES_APART} if name == "incidence_deg" else {"rel_tol": 1e-3}

    def close(value: Any) -> bool:
        pairs = zip(_as_list(values[0]), _as_list(value), strict=True)
        return all(math.isclose(a, b, **apart) for a, b in pairs)

    return all(close(value) for value in values)


def _as_list(value: Any) -> list[float]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
