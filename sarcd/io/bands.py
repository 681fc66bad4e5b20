"""Which bands of a file make one image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from rasterio.enums import ColorInterp

from sarcd.errors import InputError

Role = Literal["single", "iq", "equal"]
"""One band; real and imaginary part; or bands that have to be identical."""

_REAL_PART = re.compile(r"(i|re|real|in-?phase)(_.*)?", re.IGNORECASE)
_IMAGINARY_PART = re.compile(r"(q|im|imag|imaginary|quadrature)(_.*)?", re.IGNORECASE)


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
        bands = [_find_band(path, dataset, word.strip()) for word in band.split(",")]
    if len(bands) == 1 and not iq:
        return bands, "single"
    if len(bands) == 2 and not any(dataset.dtypes[i - 1].startswith("complex") for i in bands):
        names = [band_name(dataset, i) for i in bands]
        described = _REAL_PART.fullmatch(names[0]) and _IMAGINARY_PART.fullmatch(names[1])
        if iq or band is not None or described:
            return bands, "iq"
    if iq:
        what = f"{len(bands)} band{'s' if len(bands) > 1 else ''} of {dataset.dtypes[bands[0] - 1]}"
        raise InputError(
            f"has {what}, not a real and an imaginary one",
            where=path,
            mend="name the two with --band, as in --band 1,2",
        )
    if band is None and len(bands) == 3 and all(dataset.dtypes[i - 1] == "uint8" for i in bands):
        return bands, "equal"
    listed = ", ".join(f"{i} {band_name(dataset, i)}".strip() for i in bands[:8])
    raise InputError(
        f"has {len(bands)} bands ({listed}{', ...' if len(bands) > 8 else ''})",
        where=path,
        mend="choose one with --band",
    )


def _find_band(path: str, dataset: Any, word: str) -> int:
    if word.isdigit() and 1 <= int(word) <= dataset.count:
        return int(word)
    names = [band_name(dataset, i) for i in range(1, dataset.count + 1)]
    if names.count(word) == 1:
        return names.index(word) + 1
    known = ", ".join(name for name in names if name)
    raise InputError(
        f"has no band {word!r}",
        where=path,
        mend=f"its bands are 1 to {dataset.count}{' (' + known + ')' if known else ''}",
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
            f"holds {len(pairs)} images ({listed})", where=path, mend="choose one by a word of its name, as --band VV"
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
        return InputError("holds no image", where=path, mend="name a raster that GDAL opens")
    is_complex = [name for name, text in zip(names, descriptions, strict=False) if "complex" in text.lower()]
    listed = is_complex or list(names)
    more = f" and {len(listed) - 8} more" if len(listed) > 8 else ""
    return InputError("holds subdatasets only", where=path, mend=f"name one of them: {'  '.join(listed[:8])}{more}")
