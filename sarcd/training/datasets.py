"""Build the training and validation datasets from paths of labelled scenes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.config import TrainOptions
from sarcd.engine.tasks import Progress, silent
from sarcd.errors import TrainingError
from sarcd.estimation import amplitudes
from sarcd.estimation.amplitudes import AmplitudeStatistics, completed, compute_statistics, iso
from sarcd.estimation.channels import AMPLITUDES, WITH_COHERENCE
from sarcd.store.chunks import chunk_errors
from sarcd.store.scene import open_scene
from sarcd.training.batches import order_of
from sarcd.training.cache import describe, keep
from sarcd.training.dataset import PatchDataset
from sarcd.training.patch_index import Survey, survey
from sarcd.training.patches import LabelledScene, Patch, balanced_patches, changed_share, every_patch, weights_of

Note = Callable[[str], None]


@dataclass(frozen=True)
class TrainingData:
    """Training and validation datasets.

    Parameters
    ----------
    channels : tuple of str
        Features.
    training, validation : PatchDataset
        Training and validation patches; the validation set may be empty.
    changed : int
        Number of training patches with change in the manual labels.
    statistics : AmplitudeStatistics or None
        Median and MAD of the amplitudes of all training scenes together, if known.
    share : float
        Fraction of the labelled pixels of the training patches that are changed, in (0, 1).
    scenes, pseudo : tuple of str
        Names of the training scenes with manual labels, and of those with pseudo-labels.
    pseudo_patches : int
        Number of training patches with pseudo-labels.
    transductive : tuple of str
        Names of the validation scenes whose area is part of the training set with pseudo-labels (transductive learning,
        as in Murdaca et al. 2023).
    order, cache : str
        Resolved order of the training patches, ``random`` or ``chunks``, and their cache, ``memory``, ``disk`` or
        ``none``.
    digest : str
        SHA-256 of everything that the patches depend on, including the fingerprints of the scenes.
    """

    channels: tuple[str, ...]
    training: PatchDataset
    validation: PatchDataset
    changed: int
    statistics: AmplitudeStatistics | None
    share: float
    scenes: tuple[str, ...]
    pseudo: tuple[str, ...]
    pseudo_patches: int
    transductive: tuple[str, ...]
    order: str
    cache: str
    digest: str

    def close(self) -> None:
        """Release memory and close files."""
        self.training.close()
        self.validation.close()


def prepare(  # noqa: PLR0913  the inputs of a training run
    options: TrainOptions,
    scenes: Sequence[str | Path],
    validation: Sequence[str | Path],
    *,
    pseudo: Sequence[str | Path] = (),
    pseudo_name: str = "pseudo_label",
    folder: Path | None = None,
    draw_seed: int,
    progress: Progress = silent,
    note: Note = lambda text: None,
) -> TrainingData:
    """Build the datasets: index the scenes, split off validation cells, sample patches, and cache them.

    Parameters
    ----------
    options : TrainOptions
        Patch size, features, sampling, validation fraction and cache.
    scenes, validation : sequence of path
        Labelled scenes for training and for validation.
    pseudo : sequence of path
        Scenes with pseudo-labels; every patch with at least one pseudo-labelled pixel is used for training. They may
        also be validation scenes, evaluated against their `label`.
    pseudo_name : str
        Variable with the pseudo-labels.
    folder : Path, optional
        Run directory. Without it and without `options.cache_dir`, nothing is cached on disk.
    draw_seed : int
        Seed of the validation split and of the sampling of patches without change.
    progress, note : callable
        As in `sarcd.training.trainer.train`.

    Returns
    -------
    TrainingData

    Raises
    ------
    TrainingError
        If a scene is given twice, has no usable labels, is smaller than a patch, or shares its area with scenes from
        which it must be disjoint; or if the patches cannot be cached as requested.
    SceneError
        If a scene has no labels, or no complex images although coherence is requested.
    """
    channels = WITH_COHERENCE if options.use_coherence else AMPLITUDES
    groups = _texts(scenes), _texts(validation), _texts(pseudo)
    found = survey(options, channels, *groups, pseudo_name=pseudo_name, seed=draw_seed, note=note)
    used, pooled = _statistics(found, options, note)

    def seen(paths: Sequence[str], truth: str) -> list[LabelledScene]:
        return [LabelledScene(path, channels, options.coherence, used[path], truth=truth) for path in paths]

    drawn, weights, count = _draw(found, options, draw_seed)
    expected = np.ones(len(drawn)) if weights is None else count * weights / weights.sum()  # times per epoch
    guessed = [Patch(len(scenes) + p.scene, p.pair, p.y, p.x) for p in every_patch(found.pseudo_cells)]
    if weights is not None:
        weights = np.concatenate([weights, np.full(len(guessed), np.inf)])
    training = PatchDataset(
        [*seen(found.scenes, "label"), *seen(found.pseudo, pseudo_name)],
        [*drawn, *guessed],
        options.patch,
        weights=weights,
        per_epoch=count + len(guessed),
    )
    validation_set = PatchDataset(
        seen([*found.validation, *found.scenes], "label"),
        every_patch([*found.validation_cells, *found.held_out]),
        options.patch,
    )
    if validation and not every_patch(found.validation_cells):
        raise TrainingError("the validation scenes have no labelled pixel", hint="choose others, or leave out --val")
    _tell_of_coherence([*training.scenes, *validation_set.scenes[: len(validation)]], options, note)
    about = [describe(patches, options) for patches in (training, validation_set)]
    keep((training, validation_set), about, options, folder, progress, note)
    return TrainingData(
        channels=channels,
        training=training,
        validation=validation_set,
        changed=sum(int((index.changed > 0).sum()) for index in found.training_cells),
        statistics=pooled,
        share=changed_share(
            [*found.training_cells, *found.pseudo_cells],
            training.patches,
            np.concatenate([expected, np.ones(len(guessed))]),
        ),
        scenes=tuple(Path(path).name for path in found.scenes),
        pseudo=tuple(Path(path).name for path in found.pseudo),
        pseudo_patches=len(guessed),
        transductive=found.transductive,
        order=order_of(options, training.cache),
        cache=training.cache,
        digest=_digest([*about, {"draw": options.sampling, "per_epoch": training.per_epoch}]),
    )


def _texts(paths: Sequence[str | Path]) -> list[str]:
    return [str(path) for path in paths]


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _draw(found: Survey, options: TrainOptions, seed: int) -> tuple[list[Patch], np.ndarray | None, int]:
    """Return the patches with manual labels, their sampling weights (None: use all), and the number per epoch."""
    balanced = balanced_patches(found.training_cells, seed)
    if options.sampling == "balanced":
        return balanced, None, len(balanced)
    patches = every_patch(found.training_cells)
    if options.sampling == "all":
        return patches, None, len(patches)
    return patches, weights_of(found.training_cells, patches), len(balanced)


def _statistics(
    found: Survey, options: TrainOptions, note: Note
) -> tuple[dict[str, AmplitudeStatistics], AmplitudeStatistics | None]:
    """Return the statistics that normalise each scene, and those of the training set if known."""
    paths = list(dict.fromkeys([*found.scenes, *found.validation, *found.pseudo]))
    alone = len(found.scenes) == 1
    if options.statistics == "scene":
        own = {path: statistics_of(path, note) for path in paths}
        first = own[paths[0]]
        # Pooled statistics would require reading all scenes again, and would not be used.
        return own, first if alone and not first.per_date else None
    pooled = statistics_of(paths[0], note) if alone else None
    if pooled is None or pooled.per_date:
        pooled = pooled_statistics(found.scenes)
        note(f"amplitude statistics of the training set: median {pooled.median[0]:.6g}, MAD {pooled.mad[0]:.6g}")
    return dict.fromkeys(paths, pooled), pooled


def _tell_of_coherence(scenes: Sequence[LabelledScene], options: TrainOptions, note: Note) -> None:
    window = options.coherence.window
    computed = [scene.name for scene in scenes if options.use_coherence and not all(scene.stored_coherence)]
    for name in dict.fromkeys(computed):
        note(f"{name}: coherence ({window.y} x {window.x}) is computed as patches are read: it is not stored")


def statistics_of(path: str, note: Callable[[str], None]) -> AmplitudeStatistics:
    """Return the amplitude statistics stored with a scene; if there are none, compute them and report it."""
    scene = open_scene(path)
    kept = AmplitudeStatistics.stored(scene)
    if kept is not None:
        with chunk_errors(path):
            return completed(kept, scene)  # per-date statistics may lack dates that were appended later
    with chunk_errors(path):
        computed = compute_statistics(scene)
    several = f"median {computed.median[0]:.6g}, MAD {computed.mad[0]:.6g}"
    if computed.per_date:
        several = f"one median and MAD a date, since the medians differ by {computed.jump_db:.1f} dB"
    note(f"{path}: amplitude statistics computed, {several}; 'sarcd statistics' would keep them")
    return computed


def pooled_statistics(paths: Sequence[str]) -> AmplitudeStatistics:
    """Compute the exact median and MAD of the pooled amplitudes of several scenes, out of core."""
    import dask.array as da

    images = []
    for path in paths:
        data = schema.images_of(open_scene(path)).data
        images.append(da.abs(data) if data.dtype.kind == "c" else data)
    # NaN is ignored, so pad with it to concatenate scenes of different sizes, each with its own chunks.
    height, width = (max(data.shape[axis] for data in images) for axis in (1, 2))
    padded = [
        da.pad(
            data,
            ((0, 0), (0, height - data.shape[1]), (0, width - data.shape[2])),
            mode="constant",
            constant_values=np.nan,
        )
        for data in images
    ]
    dates = [date for path in paths for date in schema.dates_of(open_scene(path), "time")]
    # Scenes may share dates; consecutive numbers keep their images distinct.
    counted = np.arange(len(dates)).astype("datetime64[us]")
    together = xr.Dataset({"amplitude": (("time", "y", "x"), da.concatenate(padded))}, coords={"time": counted})
    computed = amplitudes.statistics(together, per_date=False).compute()
    texts = tuple(sorted({iso(date) for date in dates}))
    return AmplitudeStatistics((float(computed["median"]),), (float(computed["mad"]),), texts).checked()
