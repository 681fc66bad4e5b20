"""Which two dates each pair compares, and the growth of the one list of pairs a store has."""

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
    """Return each date with the next.

    Examples
    --------
    >>> len(consecutive(np.array(["2020-01-01", "2020-01-12", "2020-01-23"], "datetime64[us]")))
    2
    """
    ordered = np.sort(times)
    return list(itertools.pairwise(ordered))


def select_pairs(policy: str, times: np.ndarray) -> list[Pair]:
    """Return the pairs that a policy names.

    Parameters
    ----------
    policy : str
        ``consecutive``; ``reference``, the first date with each later one; ``all``; or an explicit list of
        ``BEFORE:AFTER`` separated by commas, dates as in ``2023-03-19`` or ``20230319`` (with a time of day, written
        ``2023-03-19T05-58-00``, where a day has several images).
    times : ndarray of datetime64
        The scene's dates.

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
    """Return pairs that are given one by one.

    Parameters
    ----------
    pairs : sequence
        Each ``"BEFORE:AFTER"``, or two dates as text, datetime or datetime64. A day will do where it has one image.
    times : ndarray of datetime64
        The scene's dates.

    Raises
    ------
    OptionError
        If one is no pair, names a date that the scene does not have, or runs backwards.

    Examples
    --------
    >>> times = np.array(["2020-01-01T05:30", "2020-01-12T05:30"], "datetime64[us]")
    >>> explicit_pairs(["2020-01-01:2020-01-12"], times) == explicit_pairs([("2020-01-01", times[1])], times)
    True
    """
    ordered = np.sort(times)
    if len(pairs) == 0:
        raise OptionError("no pair is named", option="pairs", hint=f"leave it out, or use {_EXPLICIT_HINT}")
    return list(dict.fromkeys(_one_pair(pair, ordered) for pair in pairs))


_EXPLICIT_HINT = "a list of 'BEFORE:AFTER' or of two dates each, as [('2023-03-19', '2023-03-31')]"


def _one_pair(pair: object, times: np.ndarray) -> Pair:
    if isinstance(pair, str):
        if ":" not in pair:
            raise OptionError(f"{pair!r} is a date, not a pair", option="pairs", hint=f"use {_EXPLICIT_HINT}")
        return _explicit(pair, times)
    if not isinstance(pair, (tuple, list, np.ndarray)) or len(pair) != 2:
        raise OptionError(f"{pair!r} is no pair", option="pairs", hint=f"use {_EXPLICIT_HINT}")
    before, after = (_find_given(date, times) for date in pair)
    if before >= after:
        text = ":".join(str(date) for date in pair)
        raise OptionError(f"{text!r}: the first date must be the earlier one", option="pairs")
    return before, after


def _find_given(date: object, times: np.ndarray) -> np.datetime64:
    """Return the scene's date that a value means: exactly, or by its day where it gives no time of day."""
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
    raise OptionError(f"{date!r} is no date", option="pairs", hint="use text as 2023-03-19, or datetime64 in UTC")


def _explicit(text: str, times: np.ndarray) -> Pair:
    before, separator, after = text.strip().partition(":")
    if not separator:
        raise OptionError(f"{text!r} is not BEFORE:AFTER", option="--pairs")
    pair = find_date(before, times), find_date(after, times)
    if pair[0] >= pair[1]:
        raise OptionError(f"{text!r}: the first date must be the earlier one", option="--pairs")
    return pair


def find_date(text: str, times: np.ndarray, option: str = "--pairs") -> np.datetime64:
    """Return the one date among `times` that a text such as ``2023-03-19`` or ``20230319`` names.

    Raises
    ------
    OptionError
        If it names none, or several.
    """
    digits = "".join(character for character in text if character.isdigit())
    found = [time for time in times if "".join(c for c in str(time) if c.isdigit()).startswith(digits)]
    if len(digits) < 8 or len(found) != 1:
        raise OptionError(
            f"{text!r} names {len(found) if len(digits) >= 8 else 'no'} date of the scene",
            option=option,
            hint="its dates are " + ", ".join(map(str, times)),
        )
    return np.datetime64(found[0])


def pair_indices(store: SceneStore, pairs: Sequence[Pair]) -> list[int]:
    """Return the positions of pairs in the store's list, which is lengthened by those it lacks."""
    lacking = [pair for pair in pairs if pair not in _listed(store)]
    if lacking:
        with structure_lock(store.path):
            extend_pairs(store, lacking)
    listed = _listed(store)
    return sorted(listed.index(pair) for pair in pairs)


def _listed(store: SceneStore) -> list[Pair]:
    return list(zip(store.dates("before"), store.dates("after"), strict=True))


def extend_pairs(store: SceneStore, pairs: Sequence[Pair], *, also: Iterable[str] = ()) -> None:
    """Lengthen every pair variable together and publish them; the caller holds the structure lock.

    Parameters
    ----------
    store : SceneStore
        Store to change.
    pairs : sequence of (before, after)
        Pairs to add at the end; those already listed are passed over.
    also : iterable of str
        Other arrays to publish in the same stroke, such as grown images.
    """
    listed = _listed(store)
    new = [pair for pair in pairs if pair not in listed]
    total = len(listed) + len(new)
    attrs = {}
    if "before" not in store:  # others may have none: without this, plain opens would take both for variables
        told = str(store.attrs.get("coordinates", "")).split()
        attrs = {"coordinates": " ".join(dict.fromkeys([*told, "before", "after"]))}
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
    """Give a pair array the length of the list, and a flag of completeness for each pair.

    An array without flags, such as labels that came whole, is complete for the pairs it has.
    """
    array = store.array(name)
    flags = (completeness(array) or [True] * array.shape[0])[:total]
    store.set_attrs(name, {schema.COMPLETE: flags + [False] * (total - len(flags))})
    if array.shape[0] != total:
        # through a handle of its own: resizing writes back the attributes that a handle was opened with
        store.array(name).resize((total, *array.shape[1:]))
