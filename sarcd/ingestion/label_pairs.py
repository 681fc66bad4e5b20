"""Select the shapes of one pair from a file of several, as written by `sarcd export`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sarcd.errors import InputError, OptionError
from sarcd.ingestion.dates import parse_date
from sarcd.store.pairs import Pair

ENDS = ("before", "after")
"""Attributes with the dates of a shape; both are needed, and must be dates."""


def ends_in(fields: list[str]) -> list[str]:
    """Return the date attributes of a layer, in upper or lower case; empty if one is missing.

    Examples
    --------
    >>> ends_in(["id", "After", "before"]), ends_in(["after"])
    (['before', 'After'], [])
    """
    found = [next((known for known in fields if known.lower() == end), None) for end in ENDS]
    return [] if None in found else [str(known) for known in found]


def dates_of_shapes(columns: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Return the dates of each shape, (N, 2) datetime64[s], NaT if it has none; None if no shape has any."""
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
    """Return which shapes belong to a pair, including those without dates.

    Raises
    ------
    InputError
        If all shapes belong to other pairs.
    """
    wanted = np.array(pair, "datetime64[s]")
    days = wanted.astype("datetime64[D]").astype("datetime64[s]")  # dates without a time of day match the day
    same = ((dates == wanted) | (dates == days)).all(axis=1)
    mine: np.ndarray = same | np.isnat(dates).any(axis=1)
    if not mine.any():
        one = " to ".join(str(date.astype("datetime64[D]")) for date in dates[0])
        own = " to ".join(str(date.astype("datetime64[D]")) for date in wanted)
        others = len(np.unique(dates.astype("int64"), axis=0)) - 1
        more = f" and {others} other pair{'s'[: others > 1]}" if others else ""
        raise InputError(
            f"by their attributes before and after, its shapes belong to {one}{more} and none to {own}",
            source=path,
            hint="specify their pair, as in --label BEFORE:AFTER=FILE, or rename attributes with another meaning",
        )
    return mine
