"""Index of the labelled and changed pixels of each patch of a scene, stored with the scene; selection of its cells."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sarcd import schema
from sarcd.config import TrainOptions
from sarcd.errors import SceneError, StoreError, TrainingError
from sarcd.estimation.coherence_layers import pairs_of
from sarcd.ingestion.label_mapping import one_sided
from sarcd.store.chunks import chunk_errors, require_finished
from sarcd.store.reader import SceneReader
from sarcd.store.results import fingerprint
from sarcd.store.scene import SceneStore
from sarcd.store.storage import structure_lock, variable_locks
from sarcd.training.patches import PatchIndex, check_channels, patch_grid
from sarcd.training.splits import Ground, hold_out, place_of, places_of


def index_patches(reader: SceneReader, size: int, truth: str = "label") -> PatchIndex:
    """Count the labelled and the changed pixels of every patch of a scene, or load the stored counts.

    Parameters
    ----------
    reader : SceneReader
        Reader of a scene with labels.
    size : int
        Side length of a patch in pixels.
    truth : str
        Variable with the labels.

    Returns
    -------
    PatchIndex

    Raises
    ------
    TrainingError
        If the scene is smaller than one patch.
    SceneError
        If the scene has no labels, or labels with values other than 0, 1 and 255.

    Notes
    -----
    The counts are cached in the store as a private array, with a fingerprint of the variables that they were computed
    from. They are computed again when the fingerprint changes, and are not cached if the store is read-only.
    """
    _require(reader, truth)
    rows, columns = patch_grid(reader.shape, size)
    if not rows or not columns:
        raise TrainingError(
            f"scene of {reader.shape[0]} x {reader.shape[1]} pixels is smaller than one patch of {size}",
            source=reader.path,
            hint="choose smaller patches with --patch",
        )
    store = SceneStore(reader.path)
    require_finished(store, [truth])  # a lost chunk would silently count as unlabelled
    name = f"{schema.PRIVATE}patches_{truth}_{size}"
    source = fingerprint(store, (reader.images, truth, "time", "before", "after"))
    counts = _kept(store, name, source)
    if counts is None:
        counts = _count(reader, size, truth)
        _keep(store, name, source, counts)
    return PatchIndex(size, counts[0].astype(np.int64), counts[1].astype(np.int64))


def _require(reader: SceneReader, truth: str) -> None:
    if truth not in reader.scene:
        hint = "add labels with 'sarcd ingest --label'" if truth == "label" else "let a model make them"
        raise SceneError(f"no '{truth}' in the scene", source=reader.path, hint=hint)


def _kept(store: SceneStore, name: str, source: str) -> np.ndarray | None:
    """Return the cached counts, or None if they are missing, outdated or damaged."""
    try:
        if name not in store:
            return None
        array = store.array(name)
        if array.attrs.get("fingerprint") != source:
            return None
        counts = np.asarray(array[...])
    except (ValueError, RuntimeError, KeyError, OSError):  # damaged, or being written by another process
        return None
    return counts if array.attrs.get("digest") == _digest(counts) else None


def _keep(store: SceneStore, name: str, source: str, counts: np.ndarray) -> None:
    """Cache the counts if the store is writable; otherwise they are computed again next time."""
    attrs = {"fingerprint": source, "digest": _digest(counts)}
    try:
        with variable_locks(store.path, [name]), structure_lock(store.path):
            store.create_coordinate(name, counts, ("count", "position", "row", "column"), attrs)
    except (StoreError, OSError):
        return
    except Exception as error:
        if store.folder is not None or not type(error).__module__.startswith("obstore"):
            raise
        return  # object storage without write access


def _digest(counts: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(counts).tobytes()).hexdigest()


def _count(reader: SceneReader, size: int, truth: str) -> np.ndarray:
    """Count labelled and changed pixels block by block, (2, pair, row, column) int32."""
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
    """Read the labels only: a block without labels, as in most of a sparsely labelled scene, needs no images."""
    with chunk_errors(reader.path):
        labels = reader.scene[truth][pair, y, x].values
    foreign = ~np.isin(labels, (0, 1, schema.NO_LABEL))
    if foreign.any():
        raise SceneError(
            f"'{truth}' holds the value {labels[foreign][0]}, should be 0, 1 or {schema.NO_LABEL}",
            source=reader.path,
            hint="ingest the labels again and say what their values mean",
        )
    return np.asarray(labels)


def _blocks(rows: int, columns: int, step: int) -> Iterator[tuple[slice, slice]]:
    """Yield blocks of patches, each about the size of a stored chunk."""
    for row in range(0, rows, step):
        for column in range(0, columns, step):
            yield slice(row, min(row + step, rows)), slice(column, min(column + step, columns))


def _count_cells(flags: np.ndarray, size: int) -> np.ndarray:
    rows, columns = flags.shape[0] // size, flags.shape[1] // size
    counts: np.ndarray = flags.reshape(rows, size, columns, size).sum(axis=(1, 3))
    return counts


Note = Callable[[str], None]


@dataclass(frozen=True)
class Survey:
    """Cells available for training and for validation.

    Parameters
    ----------
    scenes, validation, pseudo : tuple of str
        Paths of the training scenes, the validation scenes, and the scenes with pseudo-labels.
    training_cells, validation_cells, pseudo_cells : tuple of PatchIndex
        Usable cells of each of these scenes.
    held_out : tuple of PatchIndex
        Cells of the training scenes that belong to the validation set.
    transductive : tuple of str
        Names of the validation scenes whose area is part of the training set with pseudo-labels.
    """

    scenes: tuple[str, ...]
    validation: tuple[str, ...]
    pseudo: tuple[str, ...]
    training_cells: tuple[PatchIndex, ...]
    validation_cells: tuple[PatchIndex, ...]
    pseudo_cells: tuple[PatchIndex, ...]
    held_out: tuple[PatchIndex, ...]
    transductive: tuple[str, ...]


@dataclass(frozen=True)
class _Seen:
    """Patch index, area and dates of the pairs of a scene."""

    index: PatchIndex
    ground: Ground
    dates: tuple[tuple[np.datetime64, np.datetime64], ...]


def survey(
    options: TrainOptions,
    channels: Sequence[str],
    scenes: Sequence[str],
    validation: Sequence[str],
    pseudo: Sequence[str],
    *,
    pseudo_name: str,
    seed: int,
    note: Note,
) -> Survey:
    """Index the scenes and separate training cells from validation cells.

    Parameters
    ----------
    options : TrainOptions
        Patch size, validation fraction and coherence window.
    channels : sequence of str
        Features.
    scenes, validation, pseudo : sequence of str
        Paths, as in `sarcd.training.datasets.prepare`.
    pseudo_name : str
        Variable with the pseudo-labels.
    seed : int
        Seed of the validation split.
    note : callable
        Called with messages for the user, such as the number of patches left out.

    Returns
    -------
    Survey

    Raises
    ------
    TrainingError
        If a scene is given twice, or if a validation scene overlaps a training scene.
    """
    _refuse_repeated([*scenes, *validation])
    _refuse_repeated(pseudo)
    size = options.patch
    for_training = [_look(path, channels, size, "label") for path in scenes]
    for_validation = [_look(path, channels, size, "label") for path in validation]
    with_pseudo_labels = [_look(path, channels, size, pseudo_name) for path in pseudo]
    for seen, use in ((for_training, "train"), (for_validation, "evaluate")):
        _tell_of_one_sided(seen, use, note)
    for one in for_validation:
        _refuse_training_ground(one.ground, [other.ground for other in for_training])
    transductive = [
        one.ground.path
        for one in for_validation
        if any(one.ground.overlaps(other.ground) for other in with_pseudo_labels)
    ]
    free = [_without_labels(one, for_training, note) for one in with_pseudo_labels]
    indices, held_out = [one.index for one in for_training], tuple[PatchIndex, ...]()
    if options.val_fraction:
        halo = options.coherence.halo if "coherence" in channels else (0, 0)
        places = places_of([one.ground for one in (*for_training, *with_pseudo_labels)])
        split = hold_out(indices, places[: len(for_training)], options.val_fraction, halo=halo, seed=seed)
        masks = dict(zip(places, split.training, strict=False))
        held_out = tuple(index.within(cells) for index, cells in zip(indices, split.validation, strict=True))
        kept = [index.within(cells) for index, cells in zip(indices, split.training, strict=True)]
        near = _patches(indices) - _patches(kept) - _patches(held_out)
        note(
            f"held out: {split.ground:.1%} of the ground with labels and {split.changed:.1%} of the change, "
            f"{_patches(held_out)} patches; {near} beside them are left out"
        )
        indices = kept
        free = [
            index.within(masks[place]) if place in masks else index
            for index, place in zip(free, places[len(for_training) :], strict=True)
        ]
    return Survey(
        tuple(scenes),
        tuple(validation),
        tuple(pseudo),
        tuple(indices),
        tuple(one.index for one in for_validation),
        tuple(free),
        held_out,
        tuple(Path(path).name for path in transductive),
    )


def _look(path: str, channels: Sequence[str], size: int, truth: str) -> _Seen:
    reader = SceneReader(path)
    check_channels(reader, channels)
    index = index_patches(reader, size, truth)
    dates = zip(*(schema.dates_of(reader.scene, name) for name in ("before", "after")), strict=True)
    return _Seen(index, Ground.of(reader), tuple(dates))


def _tell_of_one_sided(seen: Sequence[_Seen], use: str, note: Note) -> None:
    """Report scenes with only one class among the labels of valid pixels."""
    for one in seen:
        changed, labelled = int(one.index.changed.sum()), int(one.index.labelled.sum())
        said = one_sided(changed, labelled - changed, use)
        if said is not None:
            note(f"{Path(one.ground.path).name}: {said}")


def _patches(indices: Sequence[PatchIndex]) -> int:
    return sum(int((index.labelled > 0).sum()) for index in indices)


def _refuse_repeated(paths: Sequence[str]) -> None:
    places = [place_of(path) for path in paths]
    for path, place in zip(paths, places, strict=True):
        if places.count(place) > 1:
            raise TrainingError(
                "scene is given twice",
                source=path,
                hint="name each once; to validate on a part of a training scene, use --val-fraction",
            )


def _refuse_training_ground(ground: Ground, others: Sequence[Ground]) -> None:
    for other in others:
        if ground.overlaps(other):
            raise TrainingError(
                f"covers ground of {other.path}, which is a training scene",
                source=ground.path,
                hint="validate on other ground, or on a part of the training scenes with --val-fraction",
            )


def _without_labels(one: _Seen, for_training: Sequence[_Seen], note: Note) -> PatchIndex:
    """Return the pseudo-labelled cells without those that have manual training labels, which take precedence."""
    free = np.ones(one.index.labelled.shape, bool)
    for other in for_training:
        if one.ground.same_grid(other.ground):
            for pair, dates in enumerate(one.dates):
                if dates in other.dates:
                    free[pair] &= other.index.labelled[other.dates.index(dates)] == 0
    found = one.index.within(free)
    less = _patches([one.index]) - _patches([found])
    if less:
        note(f"{Path(one.ground.path).name}: {less} patches of pseudo-labels are left out, for they have labels")
    return found
