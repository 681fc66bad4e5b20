"""Which cells of which scenes may be learnt from, and which are judged on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sarcd import schema
from sarcd.config import TrainOptions
from sarcd.errors import TrainingError
from sarcd.ingestion.label_report import one_sided
from sarcd.store.reader import SceneReader
from sarcd.training.patch_index import index_patches
from sarcd.training.patch_reader import check_channels
from sarcd.training.patches import PatchIndex
from sarcd.training.same_ground import Ground, place_of
from sarcd.training.splits import hold_out, places_of

Note = Callable[[str], None]


@dataclass(frozen=True)
class Survey:
    """What there is to learn from and to judge on.

    Parameters
    ----------
    scenes, validation, pseudo : tuple of str
        Paths.
    learnt, judged, guessed : tuple of PatchIndex
        Cells of them that may be used: of a person's labels, of those judged on, and of a model's labels.
    held_out : tuple of PatchIndex
        Cells of the training scenes that are judged on.
    transductive : tuple of str
        Names of the scenes judged on whose ground is learnt from by a model's labels.
    """

    scenes: tuple[str, ...]
    validation: tuple[str, ...]
    pseudo: tuple[str, ...]
    learnt: tuple[PatchIndex, ...]
    judged: tuple[PatchIndex, ...]
    guessed: tuple[PatchIndex, ...]
    held_out: tuple[PatchIndex, ...]
    transductive: tuple[str, ...]


@dataclass(frozen=True)
class _Seen:
    """A scene as it was found."""

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
    """Index the scenes and keep apart what must not meet.

    Parameters
    ----------
    options : TrainOptions
        Patch size, share held out, reach of coherence.
    channels : sequence of str
        Features.
    scenes, validation, pseudo : sequence of str
        Paths, as in `sarcd.training.datasets.prepare`.
    pseudo_name : str
        Variable with a model's labels.
    seed : int
        Of the ground held out.
    note : callable
        Told what was left out.

    Raises
    ------
    TrainingError
        If a scene is given twice, or shows ground that it may not.
    """
    _refuse_repeated([*scenes, *validation])
    _refuse_repeated(pseudo)
    size = options.patch
    learnt = [_look(path, channels, size, "label") for path in scenes]
    judged = [_look(path, channels, size, "label") for path in validation]
    guessed = [_look(path, channels, size, pseudo_name) for path in pseudo]
    for seen, use in ((learnt, "train"), (judged, "evaluate")):
        _tell_of_one_sided(seen, use, note)
    for one in judged:
        _refuse_learnt(one.ground, [other.ground for other in learnt])
    transductive = [one.ground.path for one in judged if any(one.ground.overlaps(other.ground) for other in guessed)]
    free = [_without_labels(one, learnt, note) for one in guessed]
    indices, held_out = [one.index for one in learnt], tuple[PatchIndex, ...]()
    if options.held_out:
        halo = options.coherence.halo if "coherence" in channels else (0, 0)
        places = places_of([one.ground for one in (*learnt, *guessed)])
        split = hold_out(indices, places[: len(learnt)], options.held_out, halo=halo, seed=seed)
        masks = dict(zip(places, split.learnt, strict=False))
        held_out = tuple(index.within(cells) for index, cells in zip(indices, split.judged, strict=True))
        kept = [index.within(cells) for index, cells in zip(indices, split.learnt, strict=True)]
        near = _patches(indices) - _patches(kept) - _patches(held_out)
        note(
            f"held out: {split.ground:.1%} of the ground with labels and {split.changed:.1%} of the change, "
            f"{_patches(held_out)} patches; {near} beside them are left out"
        )
        indices = kept
        free = [
            index.within(masks[place]) if place in masks else index
            for index, place in zip(free, places[len(learnt) :], strict=True)
        ]
    return Survey(
        tuple(scenes),
        tuple(validation),
        tuple(pseudo),
        tuple(indices),
        tuple(one.index for one in judged),
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
    """Tell of scenes whose labels lack one of the two classes, where patches lie and images are valid."""
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
                where=path,
                mend="name each once; to judge on a part of a scene that is learnt from, use --held-out",
            )


def _refuse_learnt(ground: Ground, others: Sequence[Ground]) -> None:
    for other in others:
        if ground.overlaps(other):
            raise TrainingError(
                f"shows ground of {other.path}, which is learnt from",
                where=ground.path,
                mend="judge on other ground, or on a part of the training scenes with --held-out",
            )


def _without_labels(one: _Seen, learnt: Sequence[_Seen], note: Note) -> PatchIndex:
    """Return a model's labels less the cells that a person has labelled among those learnt from: these win."""
    free = np.ones(one.index.labelled.shape, bool)
    for other in learnt:
        if one.ground.same_grid(other.ground):
            for pair, dates in enumerate(one.dates):
                if dates in other.dates:
                    free[pair] &= other.index.labelled[other.dates.index(dates)] == 0
    found = one.index.within(free)
    less = _patches([one.index]) - _patches([found])
    if less:
        note(f"{Path(one.ground.path).name}: {less} patches of pseudo-labels are left out, for they have labels")
    return found
