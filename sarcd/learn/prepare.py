"""From paths of labelled scenes to the patches that are learnt from and judged on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sarcd.config import TrainOptions
from sarcd.errors import TrainingError
from sarcd.io.progress import Progress, silent
from sarcd.io.reader import SceneReader
from sarcd.learn.data import LabelledScene, PatchDataset, check_channels, pooled_statistics, statistics_of
from sarcd.learn.patches import PatchIndex, balanced_patches, changed_share, every_patch, index_patches
from sarcd.ops.features import AMPLITUDES, WITH_COHERENCE
from sarcd.ops.statistics import AmplitudeStatistics

Note = Callable[[str], None]


@dataclass(frozen=True)
class TrainingData:
    """What a network learns from and is judged on.

    Parameters
    ----------
    channels : tuple of str
        Features.
    training, validation : PatchDataset
        Patches; those of validation may be none.
    changed : int
        Training patches with change.
    statistics : AmplitudeStatistics or None
        Median and MAD of all training scenes together, where they are known.
    share : float
        Share of the labelled pixels of the training patches that are changed.
    """

    channels: tuple[str, ...]
    training: PatchDataset
    validation: PatchDataset
    changed: int
    statistics: AmplitudeStatistics | None
    share: float


def prepare(
    options: TrainOptions,
    scenes: Sequence[str | Path],
    validation: Sequence[str | Path],
    *,
    draw_seed: int,
    progress: Progress = silent,
    note: Note = lambda text: None,
) -> TrainingData:
    """Index the scenes, draw patches, and keep them in memory where they fit.

    Parameters
    ----------
    options : TrainOptions
        Patch size, features, memory.
    scenes, validation : sequence of path
        Labelled scenes.
    draw_seed : int
        Seed of the draw of patches without change.
    progress, note : callable
        As in `sarcd.learn.train`.

    Raises
    ------
    TrainingError
        If a scene is given twice, holds nothing to learn from, or is smaller than a patch.
    SceneError
        If a scene lacks labels, or complex images where coherence is asked for.
    """
    channels = WITH_COHERENCE if options.use_coherence else AMPLITUDES
    paths = [str(path) for path in (*scenes, *validation)]
    _refuse_repeated(paths)
    indices = [_index(path, channels, options.patch) for path in paths]
    drawn = balanced_patches(indices[: len(scenes)], draw_seed)
    held_out = every_patch(indices[len(scenes) :])
    if validation and not held_out:
        raise TrainingError("the scenes to judge on hold no labelled pixel", mend="choose others, or leave out --val")

    used, pooled = _statistics(paths, len(scenes), options, note)
    seen = [LabelledScene(path, channels, options.coherence, one) for path, one in zip(paths, used, strict=True)]
    training = PatchDataset(seen[: len(scenes)], drawn, options.patch)
    judged = PatchDataset(seen[len(scenes) :], held_out, options.patch)
    for scene in seen:
        if options.use_coherence and not all(scene.stored_coherence):
            window = options.coherence.window
            note(f"{scene.name}: coherence ({window.y} x {window.x}) is computed as patches are read: none is stored")
    _keep(training, judged, 0 if options.cache == "none" else options.memory_bytes, progress, note)
    changed = sum(int((index.changed > 0).sum()) for index in indices[: len(scenes)])
    return TrainingData(channels, training, judged, changed, pooled, changed_share(indices, drawn))


def _refuse_repeated(paths: Sequence[str]) -> None:
    places = [path if "://" in path else str(Path(path).resolve()) for path in paths]
    for path, place in zip(paths, places, strict=True):
        if places.count(place) > 1:
            raise TrainingError(
                "scene is given twice", where=path, mend="learn from one scene and judge on another, each named once"
            )


def _index(path: str, channels: Sequence[str], size: int) -> PatchIndex:
    reader = SceneReader(path)
    check_channels(reader, channels)
    return index_patches(reader, size)


def _statistics(
    paths: Sequence[str], learnt: int, options: TrainOptions, note: Note
) -> tuple[list[AmplitudeStatistics], AmplitudeStatistics | None]:
    """Return the statistics that normalise each scene, and those of the training set if they are known."""
    if options.statistics == "scene":
        own = [statistics_of(path, note) for path in paths]
        # Those of several scenes together would cost another reading of all of them, for nobody.
        return own, own[0] if learnt == 1 and not own[0].per_date else None
    pooled = statistics_of(paths[0], note) if learnt == 1 else None
    if pooled is None or pooled.per_date:
        pooled = pooled_statistics(paths[:learnt])
        note(f"amplitude statistics of the training set: median {pooled.median[0]:.6g}, MAD {pooled.mad[0]:.6g}")
    return [pooled] * len(paths), pooled


def _keep(training: PatchDataset, judged: PatchDataset, memory_bytes: int, progress: Progress, note: Note) -> None:
    """Keep patches in memory as far as they fit: those to learn from, which are read most often, first."""
    left = memory_bytes
    for patches, description in ((training, "read training patches"), (judged, "read validation patches")):
        if not len(patches):
            continue
        if patches.nbytes > left:
            sizes = f"{len(patches)} patches take {patches.nbytes / 2**30:.2g} GiB of {left / 2**30:.2g} that are left"
            note(f"{sizes} (memory_bytes): they are read anew each time")
            continue
        left -= patches.nbytes
        with progress(description, len(patches)) as advance:
            patches.keep(advance)
