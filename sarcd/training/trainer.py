"""Train a network on labelled scenes, from the options to the model file."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from sarcd import config
from sarcd.attributes import Json
from sarcd.config import TrainOptions
from sarcd.engine.tasks import Progress, silent
from sarcd.models.file import ModelCard, save_model
from sarcd.training.augmentation import augment
from sarcd.training.batches import AUGMENT, DRAW, DROPOUT, WEIGHTS, Batches, seed_of
from sarcd.training.checkpoint import RunFolder, TrainState
from sarcd.training.datasets import Note, TrainingData, prepare
from sarcd.training.distributed import ProcessGroup, join_process_group
from sarcd.training.loop import Batch, StepOptions, TrainingLoop
from sarcd.training.setup import check_options, check_output, network_options, new_train_state, resolve
from sarcd.training.validation import LogitCounts, Scores, calibrated, validate


@dataclass(frozen=True)
class TrainResult:
    """Result of a training run.

    Parameters
    ----------
    path, run : Path
        Model file, and run directory with the resolved configuration, the log and its plot.
    digest : str
        SHA-256 of the model file.
    patches, changed_patches, validation_patches : int
        Number of patches per epoch, of training patches with change, and of validation patches.
    pseudo_patches : int
        Number of training patches with pseudo-labels.
    epoch : int
        Epoch of the final weights.
    loss : float
        Mean training loss of that epoch.
    scores : dict or None
        F1 and other scores of that epoch, pooled over the validation patches; None without validation.
    calibration : dict or None
        Temperature, and the calibration error before and after; None without calibration.
    """

    path: Path
    run: Path
    digest: str
    patches: int
    changed_patches: int
    validation_patches: int
    pseudo_patches: int
    epoch: int
    loss: float
    scores: Scores | None
    calibration: dict[str, float] | None


def train(  # noqa: PLR0913  the inputs of a training run
    options: TrainOptions,
    scenes: Sequence[str | Path],
    validation: Sequence[str | Path],
    output: str | Path,
    *,
    pseudo: Sequence[str | Path] = (),
    pseudo_name: str = "pseudo_label",
    overwrite: bool = False,
    progress: Progress = silent,
    note: Note = lambda text: None,
) -> TrainResult:
    """Train a network on labelled scenes and write its model file.

    A killed run resumes from its last checkpoint when it is called again; on a CPU, the final weights are identical to
    those of an uninterrupted run. If started by ``torchrun``, the processes of one machine share each batch.

    Parameters
    ----------
    options : TrainOptions
        Training options: everything apart from the scenes that affects the weights.
    scenes : sequence of path
        Labelled scenes for training.
    validation : sequence of path
        Labelled scenes for validation, all of whose patches are used; may be empty.
    output : str or Path
        Model file with suffix ``.safetensors``. The run directory beside it, with suffix ``.run``, holds the resolved
        configuration, the log of the epochs and its plot.
    pseudo : sequence of path
        Additional training scenes with pseudo-labels; see `sarcd.jobs.stored_pseudo_labels`.
    pseudo_name : str
        Variable with the pseudo-labels.
    overwrite : bool
        Start a new run, and replace an existing model file once the new one is complete.
    progress : callable
        Called with a description and a total; returns a context manager whose value is called with each increment.
    note : callable
        Called with a message about each automatic choice.

    Returns
    -------
    TrainResult
        Path, scores and other results of the run.

    Raises
    ------
    TrainingError
        If the scenes have no usable labels or overlap the validation scenes, the output exists already, a stopped run
        was started with other options, or the loss is no longer finite.
    SceneError
        If a scene has no labels, or no complex images although coherence is requested.
    OptionError
        If an option is invalid, or the device is not available.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, section 3 and Table 4.

    Examples
    --------
    ::

        train(TrainOptions(epochs=20, patch=128, batch=16), ["a.zarr"], ["b.zarr"], "model.safetensors")
    """
    # Check the inputs before any expensive step.
    output = check_output(output, overwrite=overwrite)
    options = check_options(options, has_validation=bool(validation) or options.val_fraction > 0)
    run = RunFolder(output.with_suffix(".run"))
    with join_process_group(options.device) as processes, processes.own_random_numbers():
        if not processes.first:  # only the first process reports
            progress, note = silent, lambda text: None
        data = prepare(
            options,
            scenes,
            validation,
            pseudo=pseudo,
            pseudo_name=pseudo_name,
            folder=run.path,
            draw_seed=seed_of(options.seed, DRAW),
            progress=progress,
            note=note,
        )  # patches (C, P, P) float32 and their targets (P, P) uint8
        options = config.merge(options, order=data.order, cache=data.cache)
        batches = Batches(data.training, options, processes.device, shuffle=True)
        torch.manual_seed(seed_of(options.seed, WEIGHTS))
        train_state = new_train_state(options, data, processes, steps_per_epoch=len(batches))
        options, begun, resumed = resolve(options, data, train_state, run, processes, overwrite=overwrite, note=note)
        processes.wait()
        if resumed:
            train_state.load(run.path)
        if processes.first:
            run.begin(options, resumed_at=train_state.epoch)
        record, counts = _fit(train_state, batches, data, options, processes, run, begun, progress)
        calibration = None
        if len(data.validation) and options.calibrate:
            validation_batches = Batches(data.validation, options, processes.device, shuffle=False)
            found, record["scores"] = calibrated(
                train_state.network, validation_batches, options, processes, record["scores"], counts
            )
            calibration = asdict(found)
        data.close()
        processes.wait()

        facts = {
            "scenes": list(data.scenes),
            "validation": list(data.validation.names()),
            "pseudo": list(data.pseudo),
            "transductive": list(data.transductive),
            "patches": data.training.per_epoch,
            "pseudo_patches": data.pseudo_patches,
            "changed_patches": data.changed,
            "options": begun["options"],
            "calibration": calibration,
            **record,
        }
        card = ModelCard(
            architecture=options.model,
            options=network_options(options),
            channels=data.channels,
            coherence=options.coherence if options.use_coherence else None,
            statistics_policy=options.statistics,
            statistics=data.statistics,
            threshold=options.threshold,
            training=facts,
        )
        digest = ""
        if processes.first:
            digest = save_model(output, train_state.network, card)
            run.finish()
    return TrainResult(
        path=output,
        run=run.path,
        digest=digest,
        patches=data.training.per_epoch,
        changed_patches=data.changed,
        validation_patches=len(data.validation),
        pseudo_patches=data.pseudo_patches,
        epoch=record["epoch"],
        loss=record["loss"],
        scores=record.get("scores"),
        calibration=calibration,
    )


def _fit(
    train_state: TrainState,
    batches: Batches,
    data: TrainingData,
    options: TrainOptions,
    processes: ProcessGroup,
    run: RunFolder,
    begun: Json,
    progress: Progress,
) -> tuple[Json, LogitCounts | None]:
    """Train to the last epoch, and load the final weights into the network.

    Returns the record of the epoch of these weights, and their logit counts on the validation set. The counts are None
    without validation, or if the weights were evaluated before the run was resumed.
    """
    network = train_state.network
    validation_batches = (
        Batches(data.validation, options, processes.device, shuffle=False) if len(data.validation) else None
    )
    kept: LogitCounts | None = None
    loop = TrainingLoop(train_state, StepOptions.of(options), processes)
    saved = time.monotonic()
    with (
        progress("train", options.epochs * len(batches)) as advance,
        run.log(train_state.epoch, writing=processes.first) as log,
    ):
        advance(train_state.epoch * len(batches))
        while train_state.epoch < options.epochs:
            epoch = train_state.epoch + 1
            record: Json = {"epoch": epoch, "learning_rate": train_state.schedule.get_last_lr()[0]}
            # Seed each epoch by its number, so that a resumed run gets the same random numbers.
            torch.manual_seed(seed_of(options.seed, DROPOUT, epoch) + processes.rank)
            draws = torch.Generator().manual_seed(seed_of(options.seed, AUGMENT, epoch) + processes.rank)
            drawn = batches.epoch(epoch, rank=processes.rank, world=processes.world)
            record["loss"] = loop.run(_augmented(drawn, data, options, draws, epoch), advance=advance)

            if validation_batches is not None and (epoch % options.score_every == 0 or epoch == options.epochs):
                record["scores"], counts = validate(network, validation_batches, options, processes)
                if options.checkpoint == "last" or _f1(record) > _f1(train_state.best):
                    kept = counts
            train_state.epoch, train_state.record = epoch, record
            if options.checkpoint == "best" and _f1(record) > _f1(train_state.best):
                train_state.keep_best(record)
            log.write(record)
            due = time.monotonic() - saved >= options.checkpoint_seconds
            if processes.first and due and epoch < options.epochs:
                train_state.save(run.path, begun)
                saved = time.monotonic()
    if train_state.best is None:
        return train_state.record, kept
    network.load_state_dict(train_state.best_weights)
    return train_state.best, kept


def _augmented(
    drawn: Iterable[tuple[Tensor, Tensor, Tensor]],
    data: TrainingData,
    options: TrainOptions,
    draws: torch.Generator,
    epoch: int,
) -> Iterator[Batch]:
    """Yield the augmented batches of an epoch."""
    for x, target, numbers in drawn:
        brightness = data.training.brightness(numbers)
        x, target = augment(x, target, data.channels, options.augment, draws, brightness=brightness)
        yield Batch(x, target, partial(_whereabouts, data, epoch, numbers))


def _whereabouts(data: TrainingData, epoch: int, numbers: Tensor) -> str:
    return f"epoch {epoch}, at {data.training.describe(numbers)}"


def _f1(record: Json | None) -> float:
    """Return the F1 score of a record, or -1 (below any score) if it has none."""
    value = (record or {}).get("scores", {}).get("f1")
    return -1.0 if value is None else float(value)
