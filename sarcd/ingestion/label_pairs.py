"""Shapes of several pairs in one file, as `sarcd export` writes them: which are of the pair that is labelled."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sarcd.errors import InputError, OptionError
from sarcd.ingestion.dates import parse_date
from sarcd.store.pairs import Pair

ENDS = ("before", "after")
"""Attributes that tell the pair of a shape; they count only together, and as dates."""


def ends_in(fields: list[str]) -> list[str]:
    """Return the attributes of a layer that tell pairs, in any case of letters; none where one is lacking.

    Examples
    --------
    >>> ends_in(["id", "After", "before"]), ends_in(["after"])
    (['before', 'After'], [])
    """
    found = [next((known for known in fields if known.lower() == end), None) for end in ENDS]
    return [] if None in found else [str(known) for known in found]


def dates_of_shapes(columns: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Return the dates of each shape, (N, 2) datetime64[s], NaT where it has none; None if nothing tells them."""
    found = [_dates(columns[name]) for name in ends_in(list(columns))]
    known = [each for each in found if each is not None]
    if len(known) < len(ENDS):
        return None
    dates = np.stack(known, axis=1)
    return None if np.isnat(dates).all() else dates


def _dates(values: np.ndarray) -> np.ndarray | None:
    if values.dtype.kind == "M":
        return values.astype("datetime64[s]")
    if values.dtype.kind != "O":
        return None
    dates = np.full(len(values), "NaT", "datetime64[s]")
    for text in {str(value) for value in values if value is not None and str(value).strip()}:
        try:
            dates[values == text] = parse_date(text)
        except OptionError:
            return None
    return dates


def of_pair(path: str, dates: np.ndarray, pair: Pair) -> np.ndarray:
    """Return which shapes are of a pair; those without dates are.

    Raises
    ------
    InputError
        If all are of others.
    """
    wanted = np.array(pair, "datetime64[s]")
    days = wanted.astype("datetime64[D]").astype("datetime64[s]")  # a date without a time of day is meant as that day
    same = ((dates == wanted) | (dates == days)).all(axis=1)
    mine: np.ndarray = same | np.isnat(dates).any(axis=1)
    if not mine.any():
        one = " to ".join(str(date.astype("datetime64[D]")) for date in dates[0])
        own = " to ".join(str(date.astype("datetime64[D]")) for date in wanted)
        others = len(np.unique(dates.astype("int64"), axis=0)) - 1
        more = f" and {others} other pair{'s'[: others > 1]}" if others else ""
        raise InputError(
            f"its shapes are of {one}{more} by their attributes before and after, none of {own}",
            source=path,
            hint="say whose they are, as --label BEFORE:AFTER=FILE, or rename these attributes if they mean another",
        )
    return mine
