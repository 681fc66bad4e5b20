"""Which two dates each pair compares, and the growth of the one list of pairs a store has."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from sarcd import schema
from sarcd.errors import OptionError
from sarcd.io.locks import structure_lock
from sarcd.io.store import SceneStore, completeness, publish

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
            where="--pairs",
            mend="use consecutive, reference, all, or BEFORE:AFTER,... such as 2023-03-19:2023-03-31",
        )
    return [_explicit(text, ordered) for text in policy.split(",")]


def _explicit(text: str, times: np.ndarray) -> Pair:
    before, separator, after = text.strip().partition(":")
    if not separator:
        raise OptionError(f"{text!r} is not BEFORE:AFTER", where="--pairs")
    pair = find_date(before, times), find_date(after, times)
    if pair[0] >= pair[1]:
        raise OptionError(f"{text!r}: the first date must be the earlier one", where="--pairs")
    return pair


def find_date(text: str, times: np.ndarray, where: str = "--pairs") -> np.datetime64:
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
            where=where,
            mend="its dates are " + ", ".join(map(str, times)),
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
    for position, name in enumerate(("before", "after")):
        array = store.array(name)
        array.resize((total,))
        if new:
            dates = np.array([pair[position] for pair in new], "datetime64[us]")
            array[len(listed) :] = dates.astype("int64")
    paired = [name for name in store.members() if name not in schema.COORDINATES and _is_paired(store, name)]
    for name in paired:
        fit_pairs(store, name, total)
    published = store.published()
    publish(
        store,
        add=["before", "after", *[name for name in paired if name in published], *also],
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
