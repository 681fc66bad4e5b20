"""Which bands of a file make one image, and what its metadata tell of the sensor."""

from __future__ import annotations

import contextlib
import math
import re
import statistics
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from rasterio.enums import ColorInterp

from sarcd.errors import InputError

Role = Literal["single", "iq", "equal"]
"""One band; real and imaginary part; or bands that have to be identical."""

_REAL_PART = re.compile(r"(?:i|re|real|in-?phase)(?P<image>[_ ].*)?", re.IGNORECASE)
_IMAGINARY_PART = re.compile(r"(?:q|im|imag|imaginary|quadrature)(?P<image>[_ ].*)?", re.IGNORECASE)
_NO_PART = re.compile(
    r"(?:.*[_ ])?(?:[HV][HV]|[RL][HV]|amp\w*|mag\w*|pha\w*|int\w*|sigma0|beta0|gamma0)(?:[_ ].*)?", re.I
)
"""What polarisations and other layers call themselves: two of these are no complex image unless --iq says so."""
_PART_AT_END = re.compile(r"[_ ](?:i|q|re|real|im|imag|imaginary)$", re.IGNORECASE)


def band_name(dataset: Any, index: int) -> str:
    """Return what a file calls a band; empty where it does not say."""
    tags = dataset.tags(index)
    described = dataset.descriptions[index - 1]
    return str(described or tags.get("NITF_ISUBCAT") or tags.get("POLARIMETRIC_INTERP") or "")


def choose_bands(path: str, dataset: Any, band: str | None, iq: bool) -> tuple[list[int], Role]:
    """Return the bands, counted from 1, that make one layer, and what they are to one another.

    Raises
    ------
    InputError
        If the file leaves a choice open or has not what is asked for.
    """
    bands = [i for i, colour in enumerate(dataset.colorinterp, 1) if colour != ColorInterp.alpha]
    if band is not None:
        bands = _named_bands(path, dataset, band, bands)
    if len(bands) == 1 and not iq:
        return bands, "single"
    is_complex = any(dataset.dtypes[i - 1].startswith("complex") for i in bands)
    if len(bands) == 2 and not is_complex:
        parts = _parts(dataset, bands)
        if parts:
            return parts[0][1], "iq"
        if iq:
            _warn_of_other_names(path, dataset, bands)
        if iq or (band is not None and not any(_NO_PART.fullmatch(band_name(dataset, i)) for i in bands)):
            return bands, "iq"
    if iq:
        raise _not_iq(path, dataset, bands, is_complex=is_complex)
    if band is None and len(bands) == 3 and all(dataset.dtypes[i - 1] == "uint8" for i in bands):
        return bands, "equal"
    listed = ", ".join(f"{i} {band_name(dataset, i)}".strip() for i in bands[:8])
    raise InputError(
        f"has {len(bands)} bands ({listed}{', ...' if len(bands) > 8 else ''})"
        if band is None
        else f"bands {listed} are not a real and an imaginary part by their names",
        source=path,
        hint=_which(dataset, bands, is_complex=is_complex),
    )


def _warn_of_other_names(path: str, dataset: Any, bands: Sequence[int]) -> None:
    """Warn where bands call themselves something else than parts of a complex image, which --iq says they are."""
    names = [band_name(dataset, index) for index in bands]
    if all(_NO_PART.fullmatch(name) and not _PART_AT_END.search(name) for name in names):
        told = f"bands {' and '.join(names)} are taken for a real and an imaginary part, as --iq says"
        warnings.warn(f"{path}: {told}: leave it out and choose one with --band if they are not", stacklevel=3)


def _named_bands(path: str, dataset: Any, band: str, bands: Sequence[int]) -> list[int]:
    """Return the bands that a user names: by number or name, or both parts of an image by a word of their names."""
    words = [word.strip() for word in band.split(",")]
    if len(words) == 1 and words[0] not in [band_name(dataset, i) for i in bands]:
        images = [both for image, both in _parts(dataset, bands) if words[0] and words[0] in image.split("_")]
        if len(images) == 1:
            return images[0]
    found = [_find_band(path, dataset, word) for word in words]
    if len(found) > 2 or len(set(found)) < len(found):
        what = "names a band twice" if len(found) == 2 else f"names {len(found)} bands"
        raise InputError(f"--band {band} {what}", source=path, hint="name one, or a real and an imaginary part, as 1,2")
    return found


def _parts(dataset: Any, bands: Sequence[int]) -> list[tuple[str, list[int]]]:
    """Return the images whose real and imaginary parts say so by their names: what is common to the names, and both."""
    real, imaginary = (
        {
            (match["image"] or "").strip("_ "): i
            for i in bands
            if not dataset.dtypes[i - 1].startswith("complex") and (match := part.fullmatch(band_name(dataset, i)))
        }
        for part in (_REAL_PART, _IMAGINARY_PART)
    )
    return [(image, [real[image], imaginary[image]]) for image in real if image in imaginary]


def _which(dataset: Any, bands: Sequence[int], *, is_complex: bool) -> str:
    """Say how to choose among bands."""
    images = _parts(dataset, bands)
    if images:
        each = [f"--band {real},{imaginary}{f' ({image})' if image else ''}" for image, (real, imaginary) in images[:4]]
        return f"choose an image by both its parts: {' or '.join(each)}"
    if is_complex:
        return "choose one with --band"
    if len(bands) == 2:
        return "choose one with --band, or pass --iq if they are a real and an imaginary part"
    return "choose one with --band, or a real and an imaginary part with --iq --band 1,2"


def _not_iq(path: str, dataset: Any, bands: Sequence[int], *, is_complex: bool) -> InputError:
    what = f"{len(bands)} band{'s' if len(bands) > 1 else ''} of {dataset.dtypes[bands[0] - 1]}"
    if is_complex:
        hint = "leave --iq out: complex bands have both parts"
        if len(bands) > 1:
            hint += "; choose one with --band"
    elif len(bands) == 1:
        hint = "leave --iq out, or name the two with --band, as in --band 1,2"
    else:
        hint = "name the two with --band, as in --band 1,2"
        images = _parts(dataset, bands)
        hint = _which(dataset, bands, is_complex=False) if images else hint
    return InputError(f"has {what}, not a real and an imaginary one", source=path, hint=hint)


def _find_band(path: str, dataset: Any, word: str) -> int:
    if word.isdigit() and 1 <= int(word) <= dataset.count:
        return int(word)
    names = [band_name(dataset, i) for i in range(1, dataset.count + 1)]
    if names.count(word) == 1:
        return names.index(word) + 1
    known = ", ".join(name for name in names if name)
    raise InputError(
        f"has no band {word!r}",
        source=path,
        hint=f"its bands are 1 to {dataset.count}{' (' + known + ')' if known else ''}",
    )


def iq_subdatasets(path: str, dataset: Any, band: str | None) -> tuple[str, str]:
    """Return the subdatasets with real and imaginary part of the one image in a SNAP folder (``i_VV``, ``q_VV``).

    Parameters
    ----------
    path : str
        For messages.
    dataset : rasterio.DatasetReader
        Open container of subdatasets.
    band : str, optional
        Word of their names, such as a polarisation, where there are several images.

    Raises
    ------
    InputError
        Listing the subdatasets, if the choice among them is the user's.
    """
    tags = dataset.tags(ns="SUBDATASETS")
    keys = sorted(tags, key=_number)
    names = [tags[key] for key in keys if key.endswith("_NAME")]
    last = {name: last_part(name) for name in names}
    pairs = [
        (real, imaginary)
        for real in names
        for imaginary in names
        if last[real].startswith("i_") and last[imaginary] == f"q_{last[real][2:]}"
    ]
    if band is not None:
        pairs = [pair for pair in pairs if band in last[pair[0]].split("_")]
    if not pairs:
        raise _container_error(path, names, [tags[key] for key in keys if key.endswith("_DESC")])
    if len(pairs) > 1:
        listed = ", ".join(last[real][2:] for real, _ in pairs)
        raise InputError(
            f"holds {len(pairs)} images ({listed})", source=path, hint="choose one by a word of its name, as --band VV"
        )
    return pairs[0]


def last_part(subdataset: str) -> str:
    """Return the name of an array within a container.

    Examples
    --------
    >>> last_part('ZARR:"stack.zarr":/group/i_VV')
    'i_VV'
    """
    return re.split(r"[:/]", subdataset)[-1]


def _number(key: str) -> tuple[int, str]:
    digits = re.search(r"\d+", key)
    return (int(digits.group()) if digits else 0, key)


def _container_error(path: str, names: Sequence[str], descriptions: Sequence[str]) -> InputError:
    if not names:
        return InputError("holds no image", source=path, hint="name a raster that GDAL opens")
    is_complex = [name for name, text in zip(names, descriptions, strict=False) if "complex" in text.lower()]
    listed = is_complex or list(names)
    more = f" and {len(listed) - 8} more" if len(listed) > 8 else ""
    return InputError("holds subdatasets only", source=path, hint=f"name one of them: {'  '.join(listed[:8])}{more}")


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
_ANGLES = (  # the first that is there; of several values the middle one, of two ends their mean
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
_LEAST_DEGREES, _MOST_DEGREES = 5.0, 85.0  # others are in radians, or of another angle
_RANGE_WORDS = {
    "slant": (r"<(?:\w+:)?slantRangePixelSpacing>", r"<(?:\w+:)?projection>\s*Slant"),
    "ground": (r"<(?:\w+:)?groundRangePixelSpacing>", r"<(?:\w+:)?projection>\s*Ground"),
}
_DEGREES_APART = 0.4  # one per cent of an area at 30 degrees


def sensor_facts(tags: Mapping[str, str]) -> dict[str, Any]:
    """Return wavelength_m, spacing_m as [y, x], range_spacing, incidence_deg and looks, as far as metadata hold them.

    `range_spacing` is ``slant`` or ``ground``, where only one of them is spoken of; `incidence_deg` is at mid-swath.

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
    """Return the middle one of all angles of a name, as a tag, an XML element or a JSON number."""
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
    """Return what the images that tell anything agree on: numbers to a thousandth, the incidence to 0.4 degrees.

    Examples
    --------
    >>> common_facts([{"wavelength_m": 0.0562, "looks": 1.0}, {"wavelength_m": 0.0562}, {"looks": 4.0}])
    {'wavelength_m': 0.0562}
    """
    names = dict.fromkeys(name for image in facts for name in image)
    told = {name: [image[name] for image in facts if name in image] for name in names}
    return {name: values[0] for name, values in told.items() if _agree(name, values)}


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
