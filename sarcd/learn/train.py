"""Training of a network on labelled scenes; reads from top to bottom."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sarcd import config
from sarcd.config import TrainOptions
from sarcd.errors import OptionError, TrainingError
from sarcd.io.progress import Progress, silent
from sarcd.kernels.scores import confusion_counts, scores
from sarcd.learn.augment import augment
from sarcd.learn.batches import AUGMENT, DRAW, WEIGHTS, Batches, seed_of
from sarcd.learn.data import IGNORE
from sarcd.learn.losses import binary_cross_entropy
from sarcd.learn.prepare import Note, TrainingData, prepare
from sarcd.model_file import ModelCard, save_model
from sarcd.models import Network, create_model, model_options
from sarcd.models.devices import choose_device

Json = dict[str, Any]


@dataclass(frozen=True)
class TrainResult:
    """What training made.

    Parameters
    ----------
    path, run : Path
        Model file, and the folder with the filled configuration and the log.
    digest : str
        SHA-256 of the model file.
    patches, changed_patches, validation_patches : int
        Patches learnt from, those of them with change, and patches judged on.
    epoch : int
        Epoch whose weights were kept.
    loss : float
        Mean training loss of that epoch.
    scores : dict or None
        F1 and others of that epoch, pooled over the validation patches; None without validation.
    """

    path: Path
    run: Path
    digest: str
    patches: int
    changed_patches: int
    validation_patches: int
    epoch: int
    loss: float
    scores: dict[str, float | None] | None


def train(
    options: TrainOptions,
    scenes: Sequence[str | Path],
    validation: Sequence[str | Path],
    output: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
    note: Note = lambda text: None,
) -> TrainResult:
    """Train a network on labelled scenes and write its model file.

    Parameters
    ----------
    options : TrainOptions
        Everything that the weights depend on, besides the scenes.
    scenes : sequence of path
        Labelled scenes to learn from: every patch with change, and as many without.
    validation : sequence of path
        Labelled scenes to judge on, all their patches; may be empty.
    output : str or Path
        Model file, ending in ``.safetensors``; beside it appears a folder ``.run`` with the filled configuration and a
        log of the epochs.
    overwrite : bool
        Replace a model file that is there, once the new one is whole.
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
        If the scenes hold nothing to learn from, one is given twice, the output is there already, or the loss ceases to
        be finite.
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
    output = _check_output(output, overwrite=overwrite)
    options = _check_options(options, judged=bool(validation))
    device = choose_device(options.device)
    data = prepare(
        options, scenes, validation, draw_seed=seed_of(options.seed, DRAW), progress=progress, note=note
    )  # patches (C, P, P) float32 and their targets (P, P) uint8
    run = _open_run(output, options)

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):  # the caller's stream stays his own
        torch.manual_seed(seed_of(options.seed, WEIGHTS))
        network = create_model(options.model, len(data.channels), **_network_options(options))
        # At first the network claims change as often as there is any; from a half, it would spend its first epochs
        # on learning no more than that changes are rare.
        network.head.bias.data.fill_(math.log(data.share / (1 - data.share)))  # type: ignore[union-attr]
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        record = _fit(network, data, options, device, run, progress)

    facts = {
        "scenes": [scene.name for scene in data.training.scenes],
        "validation": [scene.name for scene in data.validation.scenes],
        "patches": len(data.training),
        "changed_patches": data.changed,
        "options": config.to_dict(options),
        **record,
    }
    card = ModelCard(
        architecture=options.model,
        options=_network_options(options),
        channels=data.channels,
        coherence=options.coherence if options.use_coherence else None,
        statistics_policy=options.statistics,
        statistics=data.statistics,
        threshold=options.threshold,
        training=facts,
    )
    digest = save_model(output, network, card)
    return TrainResult(
        output,
        run,
        digest,
        len(data.training),
        data.changed,
        len(data.validation),
        record["epoch"],
        record["loss"],
        record.get("scores"),
    )


def _fit(
    network: Network, data: TrainingData, options: TrainOptions, device: torch.device, run: Path, progress: Progress
) -> Json:
    """Train, leave the weights to keep in the network, and return the record of their epoch."""
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=options.learning_rate, betas=(0.9, 0.999), weight_decay=options.weight_decay
    )
    batches = Batches(data.training, options, device, shuffle=True)
    schedule = _schedule(optimizer, options, len(batches))
    judged = Batches(data.validation, options, device, shuffle=False) if len(data.validation) else None
    best: Json | None = None
    weights: dict[str, Tensor] = {}
    with progress("train", options.epochs * len(batches)) as advance:
        for epoch in range(1, options.epochs + 1):
            record: Json = {"epoch": epoch, "learning_rate": schedule.get_last_lr()[0]}
            network.train()
            # Each epoch's random numbers depend on its own number alone, not on the epochs before.
            draws = torch.Generator().manual_seed(seed_of(options.seed, AUGMENT, epoch))
            total, pixels = 0.0, 0
            for x, target, numbers in batches.epoch(epoch):
                x, target = augment(x, target, data.channels, options.augment, draws)
                logits = _logits(network, x, options)  # (B, P, P)
                loss = binary_cross_entropy(logits, target)
                value = loss.item()
                if not math.isfinite(value):
                    raise TrainingError(
                        f"loss is {value} in epoch {epoch}, at {data.training.describe(numbers)}",
                        mend="lower the learning rate, or look at the images there",
                    )
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                count = int((target != IGNORE).sum())
                total, pixels = total + value * count, pixels + count
                advance(1)
            record["loss"] = total / max(pixels, 1)

            if judged is not None and (epoch % options.score_every == 0 or epoch == options.epochs):
                record["scores"] = evaluate(network, judged, options)
            with (run / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(record) + "\n")
            if options.keep == "best" and _f1(record) > _f1(best):
                best, weights = record, {name: value.clone() for name, value in network.state_dict().items()}
    if best is None:
        return record
    network.load_state_dict(weights)
    return best


def _schedule(
    optimizer: torch.optim.Optimizer, options: TrainOptions, batches: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the schedule of the learning rate, to be stepped after every batch."""
    if options.schedule == "one-cycle":
        steps = options.epochs * batches
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, options.learning_rate, total_steps=steps)
    drop = max(1, round(options.drop_at * options.epochs)) * batches
    return torch.optim.lr_scheduler.MultiStepLR(optimizer, [drop], gamma=0.1)


def evaluate(network: Network, batches: Batches, options: TrainOptions) -> dict[str, float | None]:
    """Score a network on patches, pooled over all their pixels.

    Returns
    -------
    dict
        `tp`, `fp`, `fn`, `tn`, and the scores of `sarcd.kernels.scores.scores`, None where nothing was judged.
    """
    network.eval()
    counts = np.zeros(4, np.int64)
    with torch.inference_mode():
        for x, target, _ in batches.epoch(0):
            probability = torch.sigmoid(_logits(network, x, options))  # (B, P, P)
            change = (probability >= options.threshold).to(torch.uint8)
            counts += confusion_counts(target.cpu().numpy(), change.cpu().numpy())[:4]
    tp, fp, fn, tn = counts.tolist()
    values = {name: float(value) for name, value in scores(tp, fp, fn, tn).items()}
    known = {name: None if math.isnan(value) else value for name, value in values.items()}
    return {"tp": tp, "fp": fp, "fn": fn, "tn": tn, **known}


def _logits(network: Network, x: Tensor, options: TrainOptions) -> Tensor:
    """Run the network in the precision asked for; (B, C, P, P) to (B, P, P) float32."""
    with torch.autocast(x.device.type, torch.bfloat16, enabled=options.precision == "bfloat16"):
        logits: Tensor = network(x)
    return logits[:, 0].float()


def _f1(record: Json | None) -> float:
    """Return F1 of a record, or -1 where it has none, which is below any."""
    value = (record or {}).get("scores", {}).get("f1")
    return -1.0 if value is None else float(value)


def _network_options(options: TrainOptions) -> Json:
    """Return every option of the network: those given, and the rest as its name says."""
    return model_options(options.model, **options.network)


def _check_options(options: TrainOptions, *, judged: bool) -> TrainOptions:
    """Return the options with nothing left open, so that they can be written down and used again.

    Raises
    ------
    OptionError
        If they contradict each other.
    """
    filled = config.merge(options, network=_network_options(options))
    with torch.device("meta"):
        network = create_model(filled.model, 3, **_network_options(filled))
    # Two cells a side at the least: over a single one, batch norm of a single patch has no variance.
    least = 2 * network.stride
    if options.patch % network.stride or options.patch < least:
        raise OptionError(
            f"patch is {options.patch}", where="patch", mend=f"use a multiple of {network.stride}, {least} or more"
        )
    if options.keep == "best" and not judged:
        raise OptionError("keep is 'best', and nothing to judge by", where="keep", mend="name a scene with --val")
    return filled


def _check_output(output: str | Path, *, overwrite: bool) -> Path:
    path = Path(output)
    if path.suffix != ".safetensors":
        raise OptionError("a model file ends in .safetensors", where=str(path), mend=f"use {path.stem}.safetensors")
    if path.exists() and not overwrite:
        raise TrainingError("is there already", where=str(path), mend="choose another name, or pass --overwrite")
    return path


def _open_run(output: Path, options: TrainOptions) -> Path:
    """Make the folder of the run, with the filled configuration and an empty log."""
    run = output.with_suffix(".run")
    try:
        run.mkdir(parents=True, exist_ok=True)
        config.write_toml(options, run / "config.toml")
        (run / "log.jsonl").write_text("", encoding="utf-8")
    except OSError as error:
        raise TrainingError(f"cannot be written ({error.strerror})", where=str(run)) from error
    return run
