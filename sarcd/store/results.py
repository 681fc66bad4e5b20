"""Select results of a scene, fingerprint their arrays, and remove them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.errors import OptionError, SceneError, StoreError
from sarcd.store.pairs import Pair, consecutive, select_pairs
from sarcd.store.scene import SceneStore, completeness, publish
from sarcd.store.storage import structure_lock, variable_locks

WhichPair = int | str | Pair
"""Position in the list of pairs, ``BEFORE:AFTER``, or two dates."""


def variable_name(kind: str, name: str = "") -> str:
    """Return the name of the variable that stores a result.

    Parameters
    ----------
    kind : str
        Variable of the schema, such as ``change``.
    name : str
        Name of the result, which becomes the suffix; empty for none.

    Examples
    --------
    >>> variable_name("change"), variable_name("change", "mymodel")
    ('change', 'change_mymodel')
    """
    return f"{kind}_{name}" if name else kind


def pairs_in(scene: xr.Dataset) -> list[Pair]:
    """Return the dates of the pairs of a scene: its list of pairs, or consecutive dates if it has none."""
    if "pair" in scene.dims:
        return list(zip(schema.dates_of(scene, "before"), schema.dates_of(scene, "after"), strict=True))
    return consecutive(schema.dates_of(scene, "time"))


def pair_position(scene: xr.Dataset, pair: WhichPair) -> int:
    """Return the position of a pair in `pairs_in`.

    Raises
    ------
    OptionError
        If the scene has no such pair; the hint lists its pairs.
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
    hint = f"use a number or BEFORE:AFTER; the pairs are {listed}" if listed else "change needs two dates"
    return OptionError(f"the scene has no pair {text}", option="pair", hint=hint)


def pair_texts(pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    """Return the dates of pairs as text: days, and times of day if two dates have the same day.

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
    """Return the first of some variables that a scene has, those without a suffix first; None if it has none."""
    plain = next((base for base in bases if base in scene), None)
    if plain is not None:
        return plain
    suffixed = {base: sorted(str(name) for name in scene.data_vars if _base(name) == base) for base in bases}
    return next((names[0] for names in suffixed.values() if names), None)


def sibling(name: str, base: str) -> str:
    """Return the name of another variable of the same result.

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
    """Return whether a variable is finished for a pair; variables without completeness flags are."""
    flags = completeness(array)
    return flags[position] if len(flags) == array.sizes.get("pair", 1) else True


Entry = tuple[str, int, str]


def fingerprint(store: SceneStore, names: Iterable[str]) -> str:
    """Return a digest of some arrays of a store: their metadata, and size and modification time of every chunk.

    Parameters
    ----------
    store : SceneStore
        Store of the arrays.
    names : iterable of str
        Arrays; those that the store lacks count as absent.

    Returns
    -------
    str
        SHA-256 as 64 hexadecimal digits. It changes with any change to an array, and for a copy of the store whose
        files have new modification times.

    Notes
    -----
    Chunks in a folder are identified by their modification time in nanoseconds, those on object storage by their ETag.

    Examples
    --------
    ::

        before = fingerprint(SceneStore("scene.zarr"), ["slc", "label"])
    """
    digest = hashlib.sha256()
    for name in sorted(set(names)):
        known: Any = None
        if name in store:
            metadata = store.array(name).metadata.to_dict()
            known = [json.dumps(metadata, sort_keys=True, default=str), sorted(_chunks(store, name))]
        digest.update(json.dumps([name, known]).encode())
    return digest.hexdigest()


def _chunks(store: SceneStore, name: str) -> Iterator[Entry]:
    """Yield key, size and modification time (or ETag) of each chunk of an array."""
    if store.folder is not None:
        yield from _files(store.folder / name / "c", "c")
        return
    objects, prefix = store.objects(f"{name}/c/")
    for batch in objects.list(prefix=prefix):
        for found in batch:
            yield found["path"], int(found["size"]), str(found["e_tag"] or found["last_modified"])


def _files(folder: Path, key: str) -> Iterator[Entry]:
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            inner = f"{key}/{entry.name}"
            if entry.is_dir():
                yield from _files(Path(entry.path), inner)
            elif not entry.name.endswith(".partial"):
                status = entry.stat()
                yield inner, status.st_size, str(status.st_mtime_ns)


def remove(path: str | Path, names: Sequence[str]) -> list[str]:
    """Remove results from a scene, for example an unfinished one that is no longer needed.

    They are unpublished first, then their files are deleted. Images, labels and other inputs cannot be removed.

    Parameters
    ----------
    path : str or Path
        Path or URL of the scene.
    names : sequence of str
        Variables that sarcd computed, with or without a suffix.

    Returns
    -------
    list of str
        Names of the variables that were removed.

    Raises
    ------
    SceneError
        If there is no such variable.
    StoreError
        If one is an input, which cannot be computed again.
    LockedError
        If another process writes one of them.
    """
    store = SceneStore(path)
    members = sorted({*store.members(), *store.lost()})  # the list still names an array whose folder was deleted
    for name in names:
        if name not in members:
            listed = ", ".join(known for known in members if _is_result(known)) or "none"
            raise SceneError(
                f"no '{name}' in the scene", source=store.path, hint=f"the results of the scene are: {listed}"
            )
        if not _is_result(name):
            raise StoreError(
                "is not a result, and could not be computed again",
                source=f"{store.path}/{name}",
                hint="replace labels with 'sarcd ingest --append --label ... --overwrite', or make a new scene",
            )
    with variable_locks(store.path, names), structure_lock(store.path):
        publish(store, remove=names, locked=True)
        for name in names:
            store.delete(name)
    return list(names)


def _is_result(name: str) -> bool:
    known = schema.known(name)
    return known is not None and known.derived and known.name != "mask"
