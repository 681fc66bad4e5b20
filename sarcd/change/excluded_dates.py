"""Dates that are left out of a scene, as of snow: they are mapped with no other, and are no history."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.errors import OptionError
from sarcd.estimation.amplitudes import iso
from sarcd.store.pairs import Pair, find_date

OPTION = "--exclude-date"


def named_dates(times: np.ndarray, texts: Sequence[str]) -> tuple[str, ...]:
    """Return the dates that texts name, in order and in full, so that two ways to write one are the same setting.

    Raises
    ------
    OptionError
        If one is no date of the scene.

    Examples
    --------
    >>> named_dates(np.array(["2023-03-19", "2023-03-31"], "datetime64[us]"), ["20230331"])
    ('2023-03-31T00:00:00.000000',)
    """
    return tuple(sorted({iso(find_date(text, times, OPTION)) for text in texts}))


def without_dates(scene: xr.Dataset, texts: Sequence[str]) -> xr.Dataset:
    """Return a scene without some of its dates; the pairs it lists stay."""
    if not texts:
        return scene
    times = schema.dates_of(scene, "time")
    left_out = named_dates(times, texts)
    return scene.isel(time=[position for position, time in enumerate(times) if iso(time) not in left_out])


def without_pairs(pairs: Sequence[Pair], left_out: Sequence[str]) -> list[Pair]:
    """Return the pairs, given by their dates, that hold none of those.

    Raises
    ------
    OptionError
        If none is left.
    """
    kept = [pair for pair in pairs if not {iso(date) for date in pair} & set(left_out)]
    if pairs and not kept:
        raise OptionError(
            "every pair holds a date that is left out",
            where=OPTION,
            mend="leave out fewer, or name others with --pairs",
        )
    return kept


def say(pairs: Sequence[Pair], kept: Sequence[Pair], times: np.ndarray, left_out: Sequence[str]) -> str:
    """Return a line about what is left out, and how to map what lies across it."""
    dates = ", ".join(schema.day_of(np.datetime64(date)) for date in left_out)
    gone = len(pairs) - len(kept)
    order = [time for time in np.sort(times) if iso(time) not in left_out]
    across = [
        f"{schema.day_of(before)}:{schema.day_of(after)}"
        for before, after in pairwise(order)
        if any(iso(before) < date < iso(after) for date in left_out) and (before, after) not in kept
    ]
    cure = f"; --pairs {','.join(across)} maps across" if across else ""
    return f"{dates} left out, and so {gone} pair{'s'[: gone != 1]}{cure}"
