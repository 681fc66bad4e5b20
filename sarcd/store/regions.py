"""Derived variables written region by region, resumed after a kill, and published when whole.

A region is one stored chunk (or shard). The chunks that exist are the ledger of what is done; the attributes of the
unpublished array say with which parameters.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

import sarcd
from sarcd import schema
from sarcd.attributes import PARAMETERS, Json, decode, encode, parameters_of
from sarcd.errors import MismatchError
from sarcd.store.chunks import discard_torn, expected_keys
from sarcd.store.pairs import fit_pairs
from sarcd.store.scene import SceneStore, completeness, publish
from sarcd.store.storage import structure_lock, variable_locks

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Region:
    """A rectangle of one pair that is computed and written as one: whole chunks, but for the scene's end.

    Of variables without pairs, (y, x), `pair` is 0.
    """

    pair: int
    y: slice
    x: slice

    @property
    def pixels(self) -> int:
        """Number of pixels in the region."""
        return int((self.y.stop - self.y.start) * (self.x.stop - self.x.start))

    @property
    def index(self) -> tuple[int, slice, slice]:
        """Index of the region in an array of dims (pair, y, x)."""
        return self.pair, self.y, self.x


@dataclass(frozen=True)
class MadeBy:
    """What made a derived variable; two results are the same only where these agree.

    Parameters
    ----------
    operation : str
        Name of the operation, for example ``coherence``.
    parameters : dict
        JSON values: everything that the bytes depend on.
    """

    operation: str
    parameters: Json

    def attrs(self) -> Json:
        """Attributes of the stored array."""
        return {
            "sarcd_operation": self.operation,
            PARAMETERS: encode(self.parameters),
            "sarcd_version": sarcd.__version__,
        }

    def differences(self, attrs: Json, *, partly: bool = False) -> list[str]:
        """Say in which parameters a stored array differs, as ``window 5 -> 7``.

        With `partly`, only the parameters that are here are compared: others are not known yet.
        """
        if attrs.get("sarcd_operation") != self.operation:
            return [f"made by {attrs.get('sarcd_operation', 'another program')}"]
        stored = parameters_of(attrs)
        keys = sorted(self.parameters if partly else {*stored, *self.parameters})
        return [
            f"{key} {_short(stored.get(key))}, now {_short(self.parameters.get(key))}"
            for key in keys
            if not _equal(stored.get(key), self.parameters.get(key))
        ]


def _equal(stored: Any, now: Any) -> bool:
    return bool(stored == now or decode(encode(stored)) == decode(encode(now)))  # a tuple comes back as a list


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


class Staging:
    """The variables of one job while they are being written.

    Parameters
    ----------
    store : SceneStore
        Store that holds them.
    names : sequence of str
        Variables that the job writes, all with the same regions: all with pairs, or all without.
    pairs : sequence of int
        Pairs that are to be whole at the end; [0] of variables without.
    """

    def __init__(self, store: SceneStore, names: Sequence[str], pairs: Sequence[int]) -> None:
        self.store = store
        self.names = list(names)
        self.pairs = list(pairs)
        self._arrays = {name: store.array(name) for name in names}

    def __reduce__(self) -> tuple[Callable[..., Staging], tuple[str, list[str], list[int]]]:
        # Sent to a worker of a cluster, it opens the store there.
        return _reopened, (self.store.address, self.names, self.pairs)

    @property
    def grid(self) -> tuple[int, int]:
        """Size of a region along y and x."""
        array = self._arrays[self.names[0]]
        return tuple((array.shards or array.chunks)[-2:])  # type: ignore[return-value]

    @property
    def unfinished(self) -> bool:
        """Whether a pair is not marked complete: also where a run was killed between its last chunk and its end."""
        return not all(completeness(self.store.array(name))[pair] for name in self.names for pair in self.pairs)

    def missing(self, blocks: tuple[int, int] = (1, 1)) -> list[Region]:
        """Return the regions, grouped to blocks of so many chunks, of which any chunk is absent; in storage order."""
        absent = set()
        for name, array in self._arrays.items():
            absent |= expected_keys(array, _leading(array, self.pairs)) - self.store.keys(name)
        indices = {(0, *(int(part) for part in key.split("/")[1:]))[-3:] for key in absent}
        grouped = sorted({(pair, y // blocks[0], x // blocks[1]) for pair, y, x in indices})
        height, width = self.store.shape
        step_y, step_x = self.grid[0] * blocks[0], self.grid[1] * blocks[1]
        return [
            Region(
                pair,
                slice(y * step_y, min((y + 1) * step_y, height)),
                slice(x * step_x, min((x + 1) * step_x, width)),
            )
            for pair, y, x in grouped
        ]

    def write(self, region: Region, values: dict[str, np.ndarray]) -> None:
        """Write a region of every variable; each chunk appears whole or not at all."""
        for name in self.names:
            try:
                array = self._arrays[name]
                array[region.index[-array.ndim :]] = values[name]
            except OSError as error:
                if error.errno is not None and error.filename is None:  # a full disk does not say for what
                    error.filename = f"{self.store.path}/{name}"
                raise

    def finish(self) -> None:
        """Mark the pairs complete and let plain opens see the variables."""
        for name, array in self._arrays.items():
            flags = completeness(self.store.array(name))
            for pair in self.pairs:
                flags[pair] = True
            whole = _leading(array, [i for i, flag in enumerate(flags) if flag])
            if expected_keys(array, whole) - self.store.keys(name):
                raise MismatchError("chunks vanished while the job ran", source=f"{self.store.path}/{name}")
            self.store.set_attrs(name, {schema.COMPLETE: flags})
        publish(self.store, add=self.names)


def _leading(array: zarr.Array[Any], pairs: Sequence[int]) -> Sequence[int] | None:
    """Return the indices of some pairs along an array's first axis; None, all of it, where that is y."""
    return pairs if array.ndim == 3 else None


def _reopened(path: str, names: list[str], pairs: list[int]) -> Staging:
    return Staging(SceneStore(path), names, pairs)


@contextlib.contextmanager
def stage(
    store: SceneStore, names: Sequence[str], pairs: Sequence[int], made_by: MadeBy, *, overwrite: bool = False
) -> Iterator[Staging]:
    """Prepare variables for being written, new, resumed or replaced, under their locks.

    Parameters
    ----------
    store : SceneStore
        Store to write into.
    names : sequence of str
        Variables to write.
    pairs : sequence of int
        Positions of the pairs wanted; [0] of variables without pairs.
    made_by : MadeBy
        What makes them; an incomplete or finished array made otherwise is refused.
    overwrite : bool
        Replace whatever is there, from the start.

    Yields
    ------
    Staging
        With nothing missing if all was done before.

    Raises
    ------
    MismatchError
        If what is there was made otherwise and `overwrite` is False.
    LockedError
        If another process writes one of the variables.
    """
    with variable_locks(store.path, names):
        sweep_partial_files(store, names)
        with structure_lock(store.path):
            if store.folder is not None:
                _sweep(store.folder.glob("*.partial"))  # of the root metadata, which only this lock's holder writes
            resumed = [name for name in names if name in store and name not in store.published()]
            total = len(store.dates("before"))  # under the lock: dates may have been appended while it was waited for
            refuse_mismatch(store, names, made_by, overwrite=overwrite)  # of all, before one is created
            for name in names:
                _prepare(store, name, total, made_by, overwrite=overwrite)
            _refuse_joined_pairs(store, names, pairs)
            _hide_incomplete(store, names, pairs)
        if not overwrite:
            _discard_torn(store, resumed, pairs)
        yield Staging(store, names, pairs)


def refuse_mismatch(
    store: SceneStore, names: Sequence[str], made_by: MadeBy, *, overwrite: bool = False, partly: bool = False
) -> None:
    """Raise if a variable that is to be written is there and was made otherwise.

    Jobs call this first, with the parameters that are known before anything is computed (`partly`).

    Raises
    ------
    MismatchError
        Naming the variable and what differs.
    """
    if overwrite:
        return
    published = store.published()
    for name in names:
        if name not in store:
            continue
        attrs = dict(store.array(name).attrs)
        differences, finished = made_by.differences(attrs, partly=partly), name in published
        if not finished and not differences and attrs.get("sarcd_version") != sarcd.__version__:
            differences = [f"begun by sarcd {attrs.get('sarcd_version')}"]
        if differences:
            state = "is in the store" if finished else "was begun"
            raise MismatchError(
                f"{state} with other settings ({'; '.join(differences)})",
                source=f"{store.path}/{name}",
                hint="pass --overwrite to replace it, --name to keep both, or use the same settings",
            )


def _prepare(store: SceneStore, name: str, total: int, made_by: MadeBy, *, overwrite: bool) -> None:
    paired = "pair" in schema.variable(name).dims
    if name in store:
        if not overwrite:
            if paired:
                fit_pairs(store, name, total)
            return
        publish(store, remove=[name], locked=True)  # first: a reader never sees a variable that is being taken apart
    image = store.array(next(image for image in schema.IMAGES if image in store))
    # one pair a chunk, also where others put several dates into one
    chunks, shards = (1, *image.chunks[1:]) if paired else image.chunks[1:], image.shards
    leading = (total,) if paired else ()
    if shards is not None:
        shards = (1, *shards[1:]) if paired else shards[1:]
    attrs = {**made_by.attrs(), schema.COMPLETE: [False] * (total if paired else 1)}
    store.create(name, (*leading, *store.shape), attrs, chunks=chunks, shards=shards)


def _refuse_joined_pairs(store: SceneStore, names: Sequence[str], pairs: Sequence[int]) -> None:
    """Raise if pairs are to be written into chunks of several pairs, as xarray makes them of a copy."""
    for name in names:
        array = store.array(name)
        depth = (array.shards or array.chunks)[0] if array.ndim == 3 else 1
        if depth > 1 and not all(completeness(array)[pair] for pair in pairs):
            raise MismatchError(
                f"is stored in chunks of {depth} pairs, which cannot be written one by one",
                source=f"{store.path}/{name}",
                hint="pass --overwrite to compute it anew, or --name to keep both",
            )


def _discard_torn(store: SceneStore, names: Sequence[str], pairs: Sequence[int]) -> None:
    """Remove what a power cut tore of variables that another run began, and say so."""
    for name in names:
        array = store.array(name)
        flags = completeness(array)
        torn = discard_torn(store, name, _leading(array, [pair for pair in pairs if not flags[pair]]))
        if torn:
            more = f" and {len(torn) - 1} more" if torn[1:] else ""
            warnings.warn(
                f"{store.path}/{name}/{torn[0]}{more}: torn by a crash or a power cut; computed again", stacklevel=4
            )


def _hide_incomplete(store: SceneStore, names: Sequence[str], pairs: Sequence[int]) -> None:
    """Take finished variables off the list while further pairs are written into them."""
    growing = [
        name
        for name in names
        if name in store.published() and not all(completeness(store.array(name))[pair] for pair in pairs)
    ]
    if growing:
        publish(store, remove=growing, locked=True)


def sweep_partial_files(store: SceneStore, names: Sequence[str]) -> None:
    """Remove what a killed writer left of chunks it had not finished (object stores leave nothing)."""
    if store.folder is not None:
        for name in names:
            _sweep((store.folder / name).rglob("*.partial"))


def _sweep(partials: Iterable[Path]) -> None:
    for partial in list(partials):
        partial.unlink(missing_ok=True)
