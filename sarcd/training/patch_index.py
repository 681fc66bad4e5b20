"""What the labels of a stored scene say of each cell of its patch grid, counted once and kept with the scene."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from sarcd import schema
from sarcd.errors import SceneError, StoreError, TrainingError
from sarcd.estimation.pairs import pairs_of
from sarcd.store.chunks import chunk_errors, require_finished
from sarcd.store.fingerprint import fingerprint
from sarcd.store.locks import structure_lock, variable_locks
from sarcd.store.reader import SceneReader
from sarcd.store.scene import SceneStore
from sarcd.training.patches import PatchIndex, patch_grid


def index_patches(reader: SceneReader, size: int, truth: str = "label") -> PatchIndex:
    """Return the labelled and the changed pixels of every patch of a scene, counted now or at an earlier time.

    Parameters
    ----------
    reader : SceneReader
        Of a scene with labels.
    size : int
        Side of a patch in pixels.
    truth : str
        Variable with the labels.

    Raises
    ------
    TrainingError
        If not even one patch fits the scene.
    SceneError
        If the scene has no labels, or they hold values other than 0, 1 and 255.

    Notes
    -----
    The counts are kept in the store as an array that no plain open sees, with a fingerprint of what they are of. They
    are counted anew when that has changed, and not kept where the store cannot be written.
    """
    _require(reader, truth)
    rows, columns = patch_grid(reader.shape, size)
    if not rows or not columns:
        raise TrainingError(
            f"scene of {reader.shape[0]} x {reader.shape[1]} pixels is smaller than one patch of {size}",
            where=reader.path,
            mend="choose smaller patches with --patch",
        )
    store = SceneStore(reader.path)
    require_finished(store, [truth])  # a chunk that was lost would count as unlabelled, and nobody would look there
    name = f"{schema.PRIVATE}patches_{truth}_{size}"
    source = fingerprint(store, (reader.images, truth, "time", "before", "after"))
    counts = _kept(store, name, source)
    if counts is None:
        counts = _count(reader, size, truth)
        _keep(store, name, source, counts)
    return PatchIndex(size, counts[0].astype(np.int64), counts[1].astype(np.int64))


def _require(reader: SceneReader, truth: str) -> None:
    if truth not in reader.scene:
        mend = "add labels with 'sarcd ingest --label'" if truth == "label" else "let a model make them"
        raise SceneError(f"no '{truth}' in the scene", where=reader.path, mend=mend)


def _kept(store: SceneStore, name: str, source: str) -> np.ndarray | None:
    """Return the counts that the store keeps, None where there are none, or old or damaged ones."""
    try:
        if name not in store:
            return None
        array = store.array(name)
        if array.attrs.get("fingerprint") != source:
            return None
        counts = np.asarray(array[...])
    except (ValueError, RuntimeError, KeyError, OSError):  # torn, or being written by another process
        return None
    return counts if array.attrs.get("digest") == _digest(counts) else None


def _keep(store: SceneStore, name: str, source: str, counts: np.ndarray) -> None:
    """Keep counts in the store if it can be written; they cost no more than time."""
    attrs = {"fingerprint": source, "digest": _digest(counts)}
    try:
        with variable_locks(store.path, [name]), structure_lock(store.path):
            store.create_coordinate(name, counts, ("count", "position", "row", "column"), attrs)
    except (StoreError, OSError):
        return
    except Exception as error:
        if store.folder is not None or not type(error).__module__.startswith("obstore"):
            raise
        return  # object storage that may be read only


def _digest(counts: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(counts).tobytes()).hexdigest()


def _count(reader: SceneReader, size: int, truth: str) -> np.ndarray:
    """Count labelled and changed pixels, (2, pair, row, column) int32, block by block."""
    pairs = pairs_of(reader.scene)
    rows, columns = patch_grid(reader.shape, size)
    counts = np.zeros((2, len(pairs), rows, columns), np.int32)
    for pair, dates in enumerate(pairs):
        for block in _blocks(rows, columns, max(1, schema.CHUNK // size)):
            y, x = (slice(part.start * size, part.stop * size) for part in block)
            labels = _labels(reader, truth, pair, y, x)
            if not (labels != schema.NO_LABEL).any():
                continue
            before, after = reader.pair_images(dates, y, x)
            labels = np.where(np.isnan(before) | np.isnan(after), schema.NO_LABEL, labels)
            counts[(0, pair, *block)] = _count_cells(labels != schema.NO_LABEL, size)
            counts[(1, pair, *block)] = _count_cells(labels == 1, size)
    return counts


def _labels(reader: SceneReader, truth: str, pair: int, y: slice, x: slice) -> np.ndarray:
    """Read labels alone: most of a scene that was labelled in part needs no more than this."""
    with chunk_errors(reader.path):
        labels = reader.scene[truth][pair, y, x].values
    foreign = ~np.isin(labels, (0, 1, schema.NO_LABEL))
    if foreign.any():
        raise SceneError(
            f"'{truth}' holds the value {labels[foreign][0]}, should be 0, 1 or {schema.NO_LABEL}",
            where=reader.path,
            mend="ingest the labels again and say what their values mean",
        )
    return np.asarray(labels)


def _blocks(rows: int, columns: int, step: int) -> Iterator[tuple[slice, slice]]:
    """Yield blocks of patches about as large as a stored chunk."""
    for row in range(0, rows, step):
        for column in range(0, columns, step):
            yield slice(row, min(row + step, rows)), slice(column, min(column + step, columns))


def _count_cells(flags: np.ndarray, size: int) -> np.ndarray:
    rows, columns = flags.shape[0] // size, flags.shape[1] // size
    counts: np.ndarray = flags.reshape(rows, size, columns, size).sum(axis=(1, 3))
    return counts
