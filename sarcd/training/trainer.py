"""Training of a network on labelled scenes; reads from top to bottom."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sarcd import config
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

Json = dict[str, Any]


@dataclass(frozen=True)
class TrainResult:
    """What training made.

    Parameters
    ----------
    path, run : Path
        Model file, and the folder with the filled configuration, the log and its picture.
    digest : str
        SHA-256 of the model file.
    patches, changed_patches, validation_patches : int
        Patches of an epoch, those learnt from that have change, and patches judged on.
    pseudo_patches : int
        Those of the patches learnt from whose labels a model made.
    epoch : int
        Epoch whose weights were kept.
    loss : float
        Mean training loss of that epoch.
    scores : dict or None
        F1 and others of that epoch, pooled over the validation patches; None without validation.
    calibration : dict or None
        Temperature, and the calibration error before and after; None where none was fitted.
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


def train(  # noqa: PLR0913  what a training is made of
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

    Killed at any moment and called again, it goes on from the last state; on a CPU it ends with the weights of a run
    that nobody disturbed. Started by ``torchrun``, the processes of one machine share each batch.

    Parameters
    ----------
    options : TrainOptions
        Everything that the weights depend on, besides the scenes.
    scenes : sequence of path
        Labelled scenes to learn from.
    validation : sequence of path
        Labelled scenes to judge on, all their patches; may be empty.
    output : str or Path
        Model file, ending in ``.safetensors``; beside it appears a folder ``.run`` with the filled configuration, a log
        of the epochs and a picture of it.
    pseudo : sequence of path
        Scenes with pseudo-labels to learn from as well; see `sarcd.jobs.stored_pseudo_labels`.
    pseudo_name : str
        Variable that holds those.
    overwrite : bool
        Begin anew, and replace a model file that is there, once the new one is whole.
    progress : callable
        Called with a description and a total; gives a context whose value is called with each advance.
    note : callable
        Called with a line about each choice that the user did not make.

    Returns
    -------
    TrainResult
        Where the model is, and how good it was.

    Raises
    ------
    TrainingError
        If the scenes hold nothing to learn from, or share ground with those to judge on, the output is there already or
        was begun with other options, or the loss ceases to be finite.
    SceneError
        If a scene lacks labels, or complex images where coherence is asked for.
    OptionError
        If an option cannot be used, or the device is not there.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, section 3 and Table 4.

    Examples
    --------
    ::

        train(TrainOptions(epochs=20, patch=128, batch=16), ["a.zarr"], ["b.zarr"], "model.safetensors")
    """
    # What can be refused is refused before anything takes long.
    output = check_output(output, overwrite=overwrite)
    options = check_options(options, has_validation=bool(validation) or options.val_fraction > 0)
    run = RunFolder(output.with_suffix(".run"))
    with join_process_group(options.device) as processes, processes.own_random_numbers():
        if not processes.first:  # one of the processes speaks
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
    """Train to the last epoch, and leave the weights to keep in the network.

    Returns the record of their epoch, and the counts of their logits where they were judged here and not before a kill.
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
            # Each epoch's random numbers depend on its own number alone, not on the epochs before.
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
    """Yield the batches of an epoch as the network sees them."""
    for x, target, numbers in drawn:
        brightness = data.training.brightness(numbers)
        x, target = augment(x, target, data.channels, options.augment, draws, brightness=brightness)
        yield Batch(x, target, partial(_whereabouts, data, epoch, numbers))


def _whereabouts(data: TrainingData, epoch: int, numbers: Tensor) -> str:
    return f"epoch {epoch}, at {data.training.describe(numbers)}"


def _f1(record: Json | None) -> float:
    """Return F1 of a record, or -1 where it has none, which is below any."""
    value = (record or {}).get("scores", {}).get("f1")
    return -1.0 if value is None else float(value)
