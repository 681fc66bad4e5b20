"""Pairs of dates: selecting them, and extending the list of pairs of a store."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from sarcd import schema
from sarcd.errors import OptionError
from sarcd.store.coordinates import append_dates
from sarcd.store.scene import SceneStore, completeness, publish
from sarcd.store.storage import structure_lock

Pair = tuple[np.datetime64, np.datetime64]


def consecutive(times: np.ndarray) -> list[Pair]:
    """Return the pairs of consecutive dates.

    Examples
    --------
    >>> len(consecutive(np.array(["2020-01-01", "2020-01-12", "2020-01-23"], "datetime64[us]")))
    2
    """
    ordered = np.sort(times)
    return list(itertools.pairwise(ordered))


def select_pairs(policy: str, times: np.ndarray) -> list[Pair]:
    """Return the pairs that a policy selects.

    Parameters
    ----------
    policy : str
        ``consecutive``; ``reference``, the first date with each later one; ``all``; or an explicit list of
        ``BEFORE:AFTER`` separated by commas, with dates as in ``2023-03-19`` or ``20230319`` (on days with several
        images with a time of day, as in ``2023-03-19T05-58-00``).
    times : ndarray of datetime64
        Dates of the scene.

    Raises
    ------
    OptionError
        If the policy is unknown or a date is not in the scene.

    Examples
    --------
    >>> times = np.array(["2020-01-01", "2020-01-12", "2020-01-23"], "datetime64[us]")
    >>> len(select_pairs("all", times)), len(select_pairs("2020-01-01:20200123", times))
    (3, 1)
    """
    ordered = np.sort(times)
    if policy == "consecutive":
        return consecutive(times)
    if policy == "reference":
        return [(ordered[0], after) for after in ordered[1:]]
    if policy == "all":
        return list(itertools.combinations(ordered, 2))
    if ":" not in policy:
        raise OptionError(
            f"unknown pairs {policy!r}",
            option="--pairs",
            hint="use consecutive, reference, all, or BEFORE:AFTER,... such as 2023-03-19:2023-03-31",
        )
    return list(dict.fromkeys(_explicit(text, ordered) for text in policy.split(",")))


def explicit_pairs(pairs: Sequence[object], times: np.ndarray) -> list[Pair]:
    """Return pairs from an explicit list.

    Parameters
    ----------
    pairs : sequence
        Each is ``"BEFORE:AFTER"``, or two dates as text, datetime or datetime64. A day suffices if it has one image.
    times : ndarray of datetime64
        Dates of the scene.

    Raises
    ------
    OptionError
        If an item is not a pair, has a date that is not in the scene, or runs backwards in time.

    Examples
    --------
    >>> times = np.array(["2020-01-01T05:30", "2020-01-12T05:30"], "datetime64[us]")
    >>> explicit_pairs(["2020-01-01:2020-01-12"], times) == explicit_pairs([("2020-01-01", times[1])], times)
    True
    """
    ordered = np.sort(times)
    if len(pairs) == 0:
        raise OptionError("the list of pairs is empty", option="pairs", hint=f"leave it out, or use {_EXPLICIT_HINT}")
    return list(dict.fromkeys(_one_pair(pair, ordered) for pair in pairs))


_EXPLICIT_HINT = "a list of 'BEFORE:AFTER' or of two dates each, as in [('2023-03-19', '2023-03-31')]"


def _one_pair(pair: object, times: np.ndarray) -> Pair:
    if isinstance(pair, str):
        if ":" not in pair:
            raise OptionError(f"{pair!r} is a date, not a pair", option="pairs", hint=f"use {_EXPLICIT_HINT}")
        return _explicit(pair, times)
    if not isinstance(pair, (tuple, list, np.ndarray)) or len(pair) != 2:
        raise OptionError(f"{pair!r} is not a pair", option="pairs", hint=f"use {_EXPLICIT_HINT}")
    before, after = (_find_given(date, times) for date in pair)
    if before >= after:
        text = ":".join(str(date) for date in pair)
        raise OptionError(f"{text!r}: the first date must be the earlier one", option="pairs")
    return before, after


def _find_given(date: object, times: np.ndarray) -> np.datetime64:
    """Return the date of the scene that equals a value, or has its day if the value has no time of day."""
    if isinstance(date, str):
        return find_date(date, times)
    if isinstance(date, np.ndarray) or hasattr(date, "values"):
        date = np.asarray(date)[()]
    if isinstance(date, (datetime.date, np.datetime64)) and getattr(date, "tzinfo", None) is None:
        wanted: np.datetime64 = np.array([date], "datetime64[us]")[0]
        if wanted in times:
            return wanted
        day = wanted.astype("datetime64[D]")
        return find_date(str(day if wanted == day else wanted), times)
    raise OptionError(
        f"{date!r} is not a date", option="pairs", hint="use text such as 2023-03-19, or datetime64 in UTC"
    )


def _explicit(text: str, times: np.ndarray) -> Pair:
    before, separator, after = text.strip().partition(":")
    if not separator:
        raise OptionError(f"{text!r} is not BEFORE:AFTER", option="--pairs")
    pair = find_date(before, times), find_date(after, times)
    if pair[0] >= pair[1]:
        raise OptionError(f"{text!r}: the first date must be the earlier one", option="--pairs")
    return pair


def find_date(text: str, times: np.ndarray, option: str = "--pairs") -> np.datetime64:
    """Return the one date among `times` that matches a text such as ``2023-03-19`` or ``20230319``.

    Raises
    ------
    OptionError
        If it matches none, or several.
    """
    digits = "".join(character for character in text if character.isdigit())
    found = [time for time in times if "".join(c for c in str(time) if c.isdigit()).startswith(digits)]
    if len(digits) < 8 or len(found) != 1:
        number = f"{len(found)} dates" if found and len(digits) >= 8 else "no date"
        raise OptionError(
            f"{text!r} matches {number} of the scene",
            option=option,
            hint="the dates of the scene are " + ", ".join(map(str, times)),
        )
    return np.datetime64(found[0])


def pair_indices(store: SceneStore, pairs: Sequence[Pair]) -> list[int]:
    """Return the positions of pairs in the list of the store, after appending those that it lacks."""
    lacking = [pair for pair in pairs if pair not in _listed(store)]
    if lacking:
        with structure_lock(store.path):
            extend_pairs(store, lacking)
    listed = _listed(store)
    return sorted(listed.index(pair) for pair in pairs)


def _listed(store: SceneStore) -> list[Pair]:
    return list(zip(store.dates("before"), store.dates("after"), strict=True))


def extend_pairs(store: SceneStore, pairs: Sequence[Pair], *, also: Iterable[str] = ()) -> None:
    """Extend all variables along `pair` and publish them together; the caller holds the structure lock.

    Parameters
    ----------
    store : SceneStore
        Store to change.
    pairs : sequence of (before, after)
        Pairs to append; those already listed are ignored.
    also : iterable of str
        Other arrays to publish in the same step, such as images with a new date.
    """
    listed = _listed(store)
    new = [pair for pair in pairs if pair not in listed]
    total = len(listed) + len(new)
    attrs = {}
    if "before" not in store:  # stores of others: otherwise plain opens would take both for variables
        listed_names = str(store.attrs.get("coordinates", "")).split()
        attrs = {"coordinates": " ".join(dict.fromkeys([*listed_names, "before", "after"]))}
    for position, name in enumerate(("before", "after")):
        append_dates(store, name, np.array([pair[position] for pair in new], "datetime64[us]"))
    paired = [name for name in store.members() if name not in schema.COORDINATES and _is_paired(store, name)]
    for name in paired:
        fit_pairs(store, name, total)
    published = store.published()
    publish(
        store,
        add=["before", "after", *[name for name in paired if name in published], *also],
        attrs=attrs,
        locked=True,
    )


def _is_paired(store: SceneStore, name: str) -> bool:
    return "pair" in (store.array(name).metadata.to_dict().get("dimension_names") or ())  # type: ignore[operator]


def fit_pairs(store: SceneStore, name: str, total: int) -> None:
    """Resize an array along `pair` to the length of the list, with one completeness flag per pair.

    An array without flags, such as ingested labels, is complete for the pairs that it has.
    """
    array = store.array(name)
    flags = (completeness(array) or [True] * array.shape[0])[:total]
    store.set_attrs(name, {schema.COMPLETE: flags + [False] * (total - len(flags))})
    if array.shape[0] != total:
        # a new handle: resizing writes back the attributes that a handle was opened with
        store.array(name).resize((total, *array.shape[1:]))
