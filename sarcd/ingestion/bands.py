"""Select the bands of a file that form one image."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any, Literal

from rasterio.enums import ColorInterp

from sarcd.errors import InputError

Role = Literal["single", "iq", "equal"]
"""One band; real and imaginary part; or bands that must be identical."""

_REAL_PART = re.compile(r"(?:i|re|real|in-?phase)(?P<image>[_ ].*)?", re.IGNORECASE)
_IMAGINARY_PART = re.compile(r"(?:q|im|imag|imaginary|quadrature)(?P<image>[_ ].*)?", re.IGNORECASE)
_NO_PART = re.compile(
    r"(?:.*[_ ])?(?:[HV][HV]|[RL][HV]|amp\w*|mag\w*|pha\w*|int\w*|sigma0|beta0|gamma0)(?:[_ ].*)?", re.I
)
"""Names of polarisations and other layers: two of these form a complex image only with --iq."""
_PART_AT_END = re.compile(r"[_ ](?:i|q|re|real|im|imag|imaginary)$", re.IGNORECASE)


def band_name(dataset: Any, index: int) -> str:
    """Return the name of a band in a file; empty if it has none."""
    tags = dataset.tags(index)
    described = dataset.descriptions[index - 1]
    return str(described or tags.get("NITF_ISUBCAT") or tags.get("POLARIMETRIC_INTERP") or "")


def choose_bands(path: str, dataset: Any, band: str | None, iq: bool) -> tuple[list[int], Role]:
    """Return the bands of an image, numbered from 1, and their role.

    Raises
    ------
    InputError
        If the choice is ambiguous, or the file lacks the requested bands.
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
        else f"bands {listed} are not named as a real and an imaginary part",
        source=path,
        hint=_which(dataset, bands, is_complex=is_complex),
    )


def _warn_of_other_names(path: str, dataset: Any, bands: Sequence[int]) -> None:
    """Warn if --iq reads bands as a complex image whose names are those of other layers."""
    names = [band_name(dataset, index) for index in bands]
    if all(_NO_PART.fullmatch(name) and not _PART_AT_END.search(name) for name in names):
        message = f"--iq takes bands {' and '.join(names)} as a real and an imaginary part"
        warnings.warn(f"{path}: {message}. If they are not, pass --band without --iq.", stacklevel=3)


def _named_bands(path: str, dataset: Any, band: str, bands: Sequence[int]) -> list[int]:
    """Return the bands that a user selects by number or name, or both parts of an image by a word of their names."""
    words = [word.strip() for word in band.split(",")]
    if len(words) == 1 and words[0] not in [band_name(dataset, i) for i in bands]:
        images = [both for image, both in _parts(dataset, bands) if words[0] and words[0] in image.split("_")]
        if len(images) == 1:
            return images[0]
    found = [_find_band(path, dataset, word) for word in words]
    if len(found) > 2 or len(set(found)) < len(found):
        what = "names a band twice" if len(found) == 2 else f"names {len(found)} bands"
        raise InputError(
            f"--band {band} {what}", source=path, hint="select one, or a real and an imaginary part, as in 1,2"
        )
    return found


def _parts(dataset: Any, bands: Sequence[int]) -> list[tuple[str, list[int]]]:
    """Return the images with named real and imaginary parts: the common part of the names, and both bands."""
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
    """Return a hint on how to select bands."""
    images = _parts(dataset, bands)
    if images:
        each = [f"--band {real},{imaginary}{f' ({image})' if image else ''}" for image, (real, imaginary) in images[:4]]
        return f"select both parts of an image with {' or '.join(each)}"
    if is_complex:
        return "select one with --band"
    if len(bands) == 2:
        return "select one with --band, or pass --iq if they are a real and an imaginary part"
    return "select one with --band, or a real and an imaginary part with --iq --band 1,2"


def _not_iq(path: str, dataset: Any, bands: Sequence[int], *, is_complex: bool) -> InputError:
    what = f"{len(bands)} band{'s' if len(bands) > 1 else ''} of {dataset.dtypes[bands[0] - 1]}"
    if is_complex:
        hint = "leave --iq out, since complex bands have both parts"
        if len(bands) > 1:
            hint += ", and select one with --band"
    elif len(bands) == 1:
        hint = "leave --iq out, or select the two with --band, as in --band 1,2"
    else:
        hint = "select the two with --band, as in --band 1,2"
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
        hint=f"the bands of the file are 1 to {dataset.count}{' (' + known + ')' if known else ''}",
    )


def iq_subdatasets(path: str, dataset: Any, band: str | None) -> tuple[str, str]:
    """Return the subdatasets with the real and imaginary part of an image in a SNAP folder (``i_VV``, ``q_VV``).

    Parameters
    ----------
    path : str
        Path, for messages.
    dataset : rasterio.DatasetReader
        Open container with subdatasets.
    band : str, optional
        Word in their names, such as a polarisation, if there are several images.

    Raises
    ------
    InputError
        If there is not exactly one such image; the hint lists the subdatasets.
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
            f"contains {len(pairs)} images ({listed})",
            source=path,
            hint="select one by a word of its name, as in --band VV",
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
        return InputError("contains no image", source=path, hint="pass a raster that GDAL can open")
    is_complex = [name for name, text in zip(names, descriptions, strict=False) if "complex" in text.lower()]
    listed = is_complex or list(names)
    more = f" and {len(listed) - 8} more" if len(listed) > 8 else ""
    return InputError("contains only subdatasets", source=path, hint=f"pass one of them: {'  '.join(listed[:8])}{more}")
