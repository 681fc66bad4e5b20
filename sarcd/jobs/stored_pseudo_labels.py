"""Pseudo-labels: a model labels the patches on which it is confident, to train a network on these labels as well.

Labelling is offline, as in Algorithm 1 of Murdaca et al. 2023: the model labels once, then a network is trained from
scratch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcd import config, schema
from sarcd.config import PredictOptions, PseudoOptions, TrainOptions
from sarcd.engine.run import choose_pairs, run_regions
from sarcd.engine.tasks import Opened, Progress, silent
from sarcd.errors import MismatchError, OptionError, TrainingError
from sarcd.jobs import stored_prediction
from sarcd.store.chunks import chunk_errors
from sarcd.store.regions import MadeBy, Region, refuse_mismatch, stage
from sarcd.store.results import variable_name
from sarcd.store.scene import SceneStore
from sarcd.training.kernels import CellCounts, choose_cells, count_cells

if TYPE_CHECKING:
    from collections.abc import Callable

    from sarcd.training.trainer import TrainResult

OPERATION = "pseudo-label"
_ROUND = "round0"  # part of stored names, from when there could be several rounds


@dataclass(frozen=True)
class PseudoLabelResult:
    """Result of pseudo-labelling.

    Parameters
    ----------
    variable : str
        Variable of each scene that holds the labels.
    patches, qualified, chosen, with_change : int
        Number of all patches, of those on which the model is confident, of those chosen, and of the chosen ones with
        predicted change.
    """

    variable: str
    patches: int
    qualified: int
    chosen: int
    with_change: int


def pseudo_label(  # noqa: PLR0913  options of prediction, choice and output
    scenes: Sequence[str | Path],
    model: str | Path,
    options: PseudoOptions | None = None,
    *,
    predict: PredictOptions | None = None,
    patch: int | None = None,
    name: str = "",
    overwrite: bool = False,
    progress: Progress = silent,
    note: Callable[[str], None] = lambda text: None,
    **settings: Any,
) -> PseudoLabelResult:
    """Label the patches on which a model is confident, and store the labels as `pseudo_label` [1]_.

    The map is made first, as by `sarcd.jobs.predict`; a map that the same model has already made is reused. Manual
    labels are neither read nor changed.

    Parameters
    ----------
    scenes : sequence of path
        Scenes, labelled or not.
    model : str or Path
        Model file.
    options : PseudoOptions, optional
        Thresholds, and how patches are chosen.
    predict : PredictOptions, optional
        Options of the prediction.
    patch : int, optional
        Side of a patch in pixels; by default that of the patches the model was trained on.
    name : str
        Appended to the names of map and labels after an underscore.
    overwrite : bool
        Replace maps and labels made with other settings.
    progress, note : callable
        As in `sarcd.jobs.predict`.
    **settings
        Single options by the names of the fields of `PseudoOptions`, in place of those of `options`.

    Returns
    -------
    PseudoLabelResult

    Raises
    ------
    ModelError
        If the file is not a model, or the model does not suit the scenes.
    MismatchError
        If a scene holds a map or labels made with other settings and `overwrite` is False.
    TrainingError
        If the model is not confident on any patch, or a scene is smaller than a patch.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, Eq. 10-13 and Algorithm 1.
    """
    from sarcd.models.file import load_model

    options = config.with_keywords(PseudoOptions, options, settings)
    labels, source = variable_name("pseudo_label", name), variable_name("change_probability", name)
    schema.variable(labels)
    for scene in scenes:
        store = SceneStore(scene)
        refuse_mismatch(store, [labels], MadeBy(OPERATION, {}), overwrite=overwrite, partly=True)
    loaded = load_model(model)
    facts = loaded.card.training
    size = patch or int(facts.get("options", {}).get("patch", 256))
    # Only manually labelled patches count, so that pseudo-labels do not multiply from round to round.
    max_patches = options.max_patches or int(facts.get("patches", 0)) - int(facts.get("pseudo_patches", 0))
    if not max_patches:
        raise OptionError(
            "the model does not record how many patches it was trained on", option="max_patches", hint="give a number"
        )
    for scene in scenes:
        stored_prediction.predict(scene, model, predict, name=name, overwrite=overwrite, progress=progress, note=note)

    stores = [SceneStore(scene) for scene in scenes]
    counts = [_count(store, source, size, options) for store in stores]
    flat = [np.concatenate([getattr(one, field).ravel() for one in counts]) for field in CellCounts.__annotations__]
    together = CellCounts(*flat)
    chosen = choose_cells(
        together,
        size * size,
        min_confident=options.min_confident,
        max_cells=max_patches,
        stratified=options.choice == "stratified",
        seed=options.seed,
    )
    if not chosen.any():
        raise TrainingError(
            f"no patch has more than {options.min_confident:.0%} confident pixels",
            source=str(model),
            hint="lower --confidence or --min-confident, or train it better",
        )
    start = 0
    for store, one in zip(stores, counts, strict=True):
        mask = chosen[start : start + one.confident.size].reshape(one.confident.shape)
        start += one.confident.size
        parameters = {
            **config.to_dict(options),
            "max_patches": max_patches,
            "model": loaded.digest,
            "patch": size,
            "from": source,
            "scenes": [Path(str(scene)).name for scene in scenes],  # patches are chosen over all scenes together
        }
        _write(store, labels, source, size, mask, parameters, overwrite=overwrite, progress=progress)
    return PseudoLabelResult(
        variable=labels,
        patches=int(chosen.size),
        qualified=int((together.confident > options.min_confident * size * size).sum()),
        chosen=int(chosen.sum()),
        with_change=int((chosen & (together.changed > 0)).sum()),
    )


def _count(store: SceneStore, source: str, size: int, options: PseudoOptions) -> CellCounts:
    """Count confident and changed pixels in each patch of each pair, one row of patches at a time."""
    height, width = store.shape
    rows, columns = height // size, width // size
    if not rows or not columns:
        raise TrainingError(
            f"scene of {height} x {width} pixels is smaller than one patch of {size}", source=store.path
        )
    array = store.array(source)
    parts = []
    with chunk_errors(store.path):
        for pair in range(array.shape[0]):
            for row in range(rows):
                probability = np.asarray(array[pair, row * size : (row + 1) * size, : columns * size])
                parts.append(
                    count_cells(probability, size, confidence=options.confidence, either=options.reading == "either")
                )
    shape = array.shape[0], rows, columns
    return CellCounts(
        *(
            np.concatenate([getattr(part, field) for part in parts]).reshape(shape)
            for field in CellCounts.__annotations__
        )
    )


def _write(
    store: SceneStore,
    name: str,
    source: str,
    size: int,
    chosen: np.ndarray,
    parameters: dict[str, object],
    *,
    overwrite: bool,
    progress: Progress,
) -> None:
    positions = choose_pairs(store, None)
    with stage(store, [name], positions, MadeBy(OPERATION, parameters), overwrite=overwrite) as staging:
        regions = staging.missing()
        if regions:
            compute = _Labels(Opened(partial(_probabilities, store.address, source)), name, size, chosen)
            run_regions(staging, regions, compute, description="pseudo-label", progress=progress, workers=2)
        staging.finish()


@dataclass(frozen=True)
class _Labels:
    """Callable that makes the labels of a region: p > 0.5 in chosen patches (Eq. 10), 255 elsewhere."""

    probability: Opened[Any]
    name: str
    size: int
    chosen: np.ndarray  # (pair, row, column)

    def __call__(self, region: Region) -> dict[str, np.ndarray]:
        probability = np.asarray(self.probability()[region.index])
        rows, columns = (np.arange(part.start, part.stop) // self.size for part in (region.y, region.x))
        mask = np.zeros(probability.shape, bool)
        grid = self.chosen[region.pair]
        inside = rows < grid.shape[0], columns < grid.shape[1]  # the remainder at the end of the scene is in no patch
        mask[np.ix_(*inside)] = grid[np.ix_(rows[inside[0]], columns[inside[1]])]
        labels = (probability > 0.5).astype(np.uint8)
        labels[~mask | np.isnan(probability)] = schema.NO_LABEL
        return {self.name: labels}


def _probabilities(address: str, source: str) -> Any:
    return SceneStore(address).array(source)


def self_train(
    options: TrainOptions,
    scenes: Sequence[str | Path],
    validation: Sequence[str | Path],
    unlabelled: Sequence[str | Path],
    output: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
    note: Callable[[str], None] = lambda text: None,
) -> TrainResult:
    """Train a network, label scenes with it, and train another from scratch on both kinds of labels [1]_.

    The network that labels is stored in the run directory. After an interruption, the same call resumes.

    Parameters
    ----------
    options : TrainOptions
        Options of the training, with `pseudo`.
    scenes, validation, output, overwrite, progress, note
        As in `sarcd.training.trainer.train`.
    unlabelled : sequence of path
        Scenes to label. They may include scenes of `validation`; the model file then records this (transductive).

    Returns
    -------
    TrainResult
        Result of the last training.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, Algorithm 1.
    """
    from sarcd.training.setup import check_output
    from sarcd.training.trainer import train

    output = check_output(output, overwrite=overwrite)
    folder = output.with_suffix(".run")
    teacher = folder / "round-0.safetensors"
    if overwrite or not teacher.exists():
        note("training the network that labels")
        train(options, scenes, validation, teacher, overwrite=overwrite, progress=progress, note=note)
    label = partial(pseudo_label, unlabelled, teacher, options.pseudo, name=_ROUND, progress=progress, note=note)
    try:
        labelled = label()  # resumes
    except MismatchError:
        labelled = label(overwrite=True)  # the stored labels are those of another training
    note(f"{labelled.chosen} of {labelled.patches} patches are labelled, {labelled.with_change} of them with change")
    return train(
        options,
        scenes,
        validation,
        output,
        pseudo=unlabelled,
        pseudo_name=variable_name("pseudo_label", _ROUND),
        overwrite=overwrite,
        progress=progress,
        note=note,
    )
