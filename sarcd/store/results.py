"""Which result of a scene is meant, and how its pairs are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.errors import OptionError
from sarcd.store.pairs import Pair, consecutive, select_pairs
from sarcd.store.scene import completeness

WhichPair = int | str | Pair
"""Position in the scene's list, ``BEFORE:AFTER``, or two dates."""


def pairs_in(scene: xr.Dataset) -> list[Pair]:
    """Return the dates of the scene's pairs: its own list, or consecutive dates where it has none."""
    if "pair" in scene.dims:
        return list(zip(schema.dates_of(scene, "before"), schema.dates_of(scene, "after"), strict=True))
    return consecutive(schema.dates_of(scene, "time"))


def pair_position(scene: xr.Dataset, pair: WhichPair) -> int:
    """Return the place of a pair in `pairs_in`.

    Raises
    ------
    OptionError
        If the scene has no such pair; the mend lists those it has.
    """
    pairs = pairs_in(scene)
    if isinstance(pair, (int, np.integer)):
        if -len(pairs) <= pair < len(pairs):
            return int(pair) % len(pairs)
        raise _no_pair(scene, str(pair))
    if isinstance(pair, str):
        try:
            wanted = select_pairs(pair, np.unique(np.array(pairs).ravel()))
        except OptionError as error:
            raise _no_pair(scene, repr(pair)) from error
        if len(wanted) != 1 or wanted[0] not in pairs:
            raise _no_pair(scene, repr(pair))
        return pairs.index(wanted[0])
    dates: Any = tuple(np.asarray(date, "datetime64[us]")[()] for date in pair)
    if dates not in pairs:
        raise _no_pair(scene, ":".join(map(str, dates)))
    return pairs.index(dates)


def _no_pair(scene: xr.Dataset, text: str) -> OptionError:
    listed = ", ".join(f"{number} = {':'.join(texts)}" for number, texts in enumerate(pair_texts(pairs_in(scene))))
    mend = f"use a number or BEFORE:AFTER; there are {listed}" if listed else "change needs two dates"
    return OptionError(f"the scene has no pair {text}", where="pair", mend=mend)


def pair_texts(pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    """Return the dates of pairs as text: days, with the time of day where days would not tell two dates apart.

    Examples
    --------
    >>> day = np.datetime64("2023-03-19", "us")
    >>> pair_texts([(day, day + np.timedelta64(12, "D"))])
    [('2023-03-19', '2023-03-31')]
    """
    dates = np.array(pairs, "datetime64[us]").reshape(-1, 2)
    texts = np.datetime_as_string(dates, unit="us")
    for unit in ("D", "m", "s"):
        shorter = np.datetime_as_string(dates, unit=unit)
        if len(np.unique(shorter)) == len(np.unique(dates)):
            texts = shorter
            break
    return [(str(before), str(after)) for before, after in texts]


def find_result(scene: xr.Dataset, bases: Sequence[str]) -> str | None:
    """Return the first of some variables that the scene has, plain before any with a suffix; None if it has none."""
    plain = next((base for base in bases if base in scene), None)
    if plain is not None:
        return plain
    suffixed = {base: sorted(str(name) for name in scene.data_vars if _base(name) == base) for base in bases}
    return next((names[0] for names in suffixed.values() if names), None)


def sibling(name: str, base: str) -> str:
    """Return the name that another variable of the same result has.

    Examples
    --------
    >>> sibling("change_probability_night", "change")
    'change_night'
    """
    return base + name.removeprefix(schema.variable(name).name)


def _base(name: object) -> str | None:
    variable = schema.known(name)
    return None if variable is None else variable.name


def is_made(array: xr.DataArray, position: int) -> bool:
    """Tell whether a variable was finished for a pair; those that keep no account of it are whole."""
    flags = completeness(array)
    return flags[position] if len(flags) == array.sizes.get("pair", 1) else True
