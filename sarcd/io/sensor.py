"""What a file's metadata tell of the sensor, where it costs nothing to know."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_SPEED_OF_LIGHT = 299_792_458.0  # m/s

_ELEMENTS: dict[str, tuple[str, Callable[[float], float]]] = {
    "radarWavelength": ("wavelength_m", float),
    "radarFrequency": ("wavelength_m", lambda hertz: _SPEED_OF_LIGHT / hertz),
    "slantRangePixelSpacing": ("x_spacing", float),
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


def sensor_facts(tags: Mapping[str, str]) -> dict[str, Any]:
    """Return wavelength_m, spacing_m as [y, x], and looks, as far as a file's metadata hold them.

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
    if "range_looks" in found and "azimuth_looks" in found:
        facts["looks"] = found["range_looks"] * found["azimuth_looks"]
    return facts


def _keep(found: dict[str, float], name: str, convert: Callable[[float], float], text: str) -> None:
    try:
        value = convert(float(text))
    except (ValueError, ZeroDivisionError):
        return
    if 0 < value < math.inf:
        found.setdefault(name, value)


def common_facts(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the images that tell anything agree on, to a thousandth.

    Examples
    --------
    >>> common_facts([{"wavelength_m": 0.0562, "looks": 1.0}, {"wavelength_m": 0.0562}, {"looks": 4.0}])
    {'wavelength_m': 0.0562}
    """
    names = dict.fromkeys(name for image in facts for name in image)
    return {name: values[0] for name in names if _agree(values := [image[name] for image in facts if name in image])}


def _agree(values: Sequence[Any]) -> bool:
    def close(value: Any) -> bool:
        pairs = zip(_as_list(values[0]), _as_list(value), strict=True)
        return all(math.isclose(a, b, rel_tol=1e-3) for a, b in pairs)

    return all(close(value) for value in values)


def _as_list(value: Any) -> list[float]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
