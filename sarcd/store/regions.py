"""Write derived variables region by region, resume after a kill, and publish them when complete.

A region is one stored chunk (or shard). The chunks that exist record the progress of a job; the attributes of the
unpublished array record its parameters.
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
    """Window of one pair that is computed and written at once: whole chunks, except at the edge of the scene.

    `pair` is 0 for variables without pairs, which have dims (y, x).
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
    """Operation and parameters of a derived variable; results are equal only if these are.

    Parameters
    ----------
    operation : str
        Name of the operation, for example ``coherence``.
    parameters : dict
        JSON values of everything that the stored values depend on.
    """

    operation: str
    parameters: Json

    def attrs(self) -> Json:
        """Return the attributes of the stored array."""
        return {
            "sarcd_operation": self.operation,
            PARAMETERS: encode(self.parameters),
            "sarcd_version": sarcd.__version__,
        }

    def differences(self, attrs: Json, *, partly: bool = False) -> list[str]:
        """Return the parameters in which a stored array differs, as in ``window 5, now 7``.

        With `partly`, only the parameters given here are compared, since others are not known yet.
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
    return bool(stored == now or decode(encode(stored)) == decode(encode(now)))  # JSON turns a tuple into a list


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


class Staging:
    """Variables of a job while they are being written.

    Parameters
    ----------
    store : SceneStore
        Store of the variables.
    names : sequence of str
        Variables that the job writes: all with pairs, or all without, so that they have the same regions.
    pairs : sequence of int
        Positions of the pairs to complete; [0] for variables without pairs.
    """

    def __init__(self, store: SceneStore, names: Sequence[str], pairs: Sequence[int]) -> None:
        self.store = store
        self.names = list(names)
        self.pairs = list(pairs)
        self._arrays = {name: store.array(name) for name in names}

    def __reduce__(self) -> tuple[Callable[..., Staging], tuple[str, list[str], list[int]]]:
        # A worker of a cluster opens the store again.
        return _reopened, (self.store.address, self.names, self.pairs)

    @property
    def grid(self) -> tuple[int, int]:
        """Size of a region along y and x."""
        array = self._arrays[self.names[0]]
        return tuple((array.shards or array.chunks)[-2:])  # type: ignore[return-value]

    @property
    def unfinished(self) -> bool:
        """Whether a pair is not marked complete, even if a killed run had written its last chunk."""
        return not all(completeness(self.store.array(name))[pair] for name in self.names for pair in self.pairs)

    def missing(self, blocks: tuple[int, int] = (1, 1)) -> list[Region]:
        """Return the regions that lack a chunk, in storage order; `blocks` is the size of a region in chunks."""
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
        """Write a region of every variable; each chunk is written atomically."""
        for name in self.names:
            try:
                array = self._arrays[name]
                array[region.index[-array.ndim :]] = values[name]
            except OSError as error:
                if error.errno is not None and error.filename is None:  # the error of a full disk names no file
                    error.filename = f"{self.store.path}/{name}"
                raise

    def finish(self) -> None:
        """Mark the pairs complete and publish the variables."""
        for name, array in self._arrays.items():
            flags = completeness(self.store.array(name))
            for pair in self.pairs:
                flags[pair] = True
            leading = _leading(array, [i for i, flag in enumerate(flags) if flag])
            if expected_keys(array, leading) - self.store.keys(name):
                raise MismatchError("chunks disappeared while the job was running", source=f"{self.store.path}/{name}")
            self.store.set_attrs(name, {schema.COMPLETE: flags})
        publish(self.store, add=self.names)


def _leading(array: zarr.Array[Any], pairs: Sequence[int]) -> Sequence[int] | None:
    """Return the indices of pairs along the first axis of an array; None (all of it) if that axis is y."""
    return pairs if array.ndim == 3 else None


def _reopened(path: str, names: list[str], pairs: list[int]) -> Staging:
    return Staging(SceneStore(path), names, pairs)


@contextlib.contextmanager
def stage(
    store: SceneStore, names: Sequence[str], pairs: Sequence[int], made_by: MadeBy, *, overwrite: bool = False
) -> Iterator[Staging]:
    """Prepare variables for writing (new, resumed or replaced), and hold their locks.

    Parameters
    ----------
    store : SceneStore
        Store to write to.
    names : sequence of str
        Variables to write.
    pairs : sequence of int
        Positions of the pairs to write; [0] for variables without pairs.
    made_by : MadeBy
        Operation and parameters. An existing array with others is refused, finished or not.
    overwrite : bool
        Replace existing variables, and start from the beginning.

    Yields
    ------
    Staging
        It has no missing regions if everything was computed before.

    Raises
    ------
    MismatchError
        If a variable exists with other parameters and `overwrite` is False.
    LockedError
        If another process writes one of the variables.
    """
    with variable_locks(store.path, names):
        sweep_partial_files(store, names)
        with structure_lock(store.path):
            if store.folder is not None:
                _sweep(store.folder.glob("*.partial"))  # root metadata, which only the holder of this lock writes
            resumed = [name for name in names if name in store and name not in store.published()]
            total = len(store.dates("before"))  # under the lock: dates may have been appended in the meantime
            refuse_mismatch(store, names, made_by, overwrite=overwrite)  # all of them, before any is created
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
    """Raise if a variable to be written exists with another operation or other parameters.

    Jobs call this first, with the parameters that are known before any computation (`partly`).

    Raises
    ------
    MismatchError
        Naming the variable and the differences.
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
        publish(store, remove=[name], locked=True)  # first, so that readers never see a variable that is being deleted
    image = store.array(next(image for image in schema.IMAGES if image in store))
    # one pair per chunk, even if the images have several dates per chunk
    chunks, shards = (1, *image.chunks[1:]) if paired else image.chunks[1:], image.shards
    leading = (total,) if paired else ()
    if shards is not None:
        shards = (1, *shards[1:]) if paired else shards[1:]
    attrs = {**made_by.attrs(), schema.COMPLETE: [False] * (total if paired else 1)}
    store.create(name, (*leading, *store.shape), attrs, chunks=chunks, shards=shards)


def _refuse_joined_pairs(store: SceneStore, names: Sequence[str], pairs: Sequence[int]) -> None:
    """Raise if pairs are to be written to chunks of several pairs, as in copies that xarray wrote."""
    for name in names:
        array = store.array(name)
        depth = (array.shards or array.chunks)[0] if array.ndim == 3 else 1
        if depth > 1 and not all(completeness(array)[pair] for pair in pairs):
            raise MismatchError(
                f"is stored in chunks of {depth} pairs, which cannot be written one by one",
                source=f"{store.path}/{name}",
                hint="pass --overwrite to compute it again, or --name to keep both",
            )


def _discard_torn(store: SceneStore, names: Sequence[str], pairs: Sequence[int]) -> None:
    """Remove the chunks that a power cut damaged while another run wrote them, and warn."""
    for name in names:
        array = store.array(name)
        flags = completeness(array)
        torn = discard_torn(store, name, _leading(array, [pair for pair in pairs if not flags[pair]]))
        if torn:
            more = f" and {len(torn) - 1} more" if torn[1:] else ""
            warnings.warn(
                f"{store.path}/{name}/{torn[0]}{more} damaged by a crash or a power cut; computing again", stacklevel=4
            )


def _hide_incomplete(store: SceneStore, names: Sequence[str], pairs: Sequence[int]) -> None:
    """Unpublish finished variables while further pairs are written to them."""
    growing = [
        name
        for name in names
        if name in store.published() and not all(completeness(store.array(name))[pair] for pair in pairs)
    ]
    if growing:
        publish(store, remove=growing, locked=True)


def sweep_partial_files(store: SceneStore, names: Sequence[str]) -> None:
    """Remove partial chunk files of a killed writer; object storage leaves none."""
    if store.folder is not None:
        for name in names:
            _sweep((store.folder / name).rglob("*.partial"))


def _sweep(partials: Iterable[Path]) -> None:
    for partial in list(partials):
        partial.unlink(missing_ok=True)
