"""Set up a training run: check the options, build the network, choose the micro-batch size, and resume."""

from __future__ import annotations

import copy
import dataclasses
import math
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from sarcd import config
from sarcd.attributes import Json
from sarcd.config import TrainOptions
from sarcd.config.training import MACHINE
from sarcd.engine.memory import free_memory
from sarcd.errors import OptionError, TrainingError
from sarcd.networks import Network, create_model, model_options
from sarcd.networks.backbone_weights import load_backbone
from sarcd.networks.folding import compile_network
from sarcd.training.checkpoint import RunFolder, TrainState, begun_before
from sarcd.training.datasets import Note, TrainingData
from sarcd.training.distributed import ProcessGroup
from sarcd.training.loop import logits_of, new_state
from sarcd.training.losses import total_loss

_SHARE = {"cuda": 0.7, "mps": 0.4, "cpu": 0.4}  # fraction of the free memory; CPU memory is shared with the system
_PROBE = 2  # patches: some batch norms need more than one
# Ratio of peak memory to the tensors saved for the backward pass: gradients of activations and the workspace of
# convolutions come on top.
_BESIDE = 1.6


def choose_micro_batch(network: Network, options: TrainOptions, device: torch.device, *, world: int = 1) -> int:
    """Return the micro-batch size: as set in the options, or the fewest equal parts of a batch that fit the memory.

    The memory per patch is measured in a forward pass, as the size of the tensors saved for the backward pass.

    Parameters
    ----------
    network : Network
        Network, on the device.
    options : TrainOptions
        Batch size, patch size, precision and loss.
    device : torch.device
        Device of the training.
    world : int
        Number of processes that share the batch.

    Returns
    -------
    int
        Number of patches per forward pass of one process.
    """
    batch = -(-options.batch // world)
    if options.micro_batch:
        return min(options.micro_batch, batch)
    needed = bytes_per_patch(network, options, device)
    fitting = max(1, int(_SHARE[device.type] * _free_bytes(device) / needed))
    parts = -(-batch // fitting)
    return -(-batch // parts)


def bytes_per_patch(network: Network, options: TrainOptions, device: torch.device) -> int:
    """Return the memory of a training step per patch, in bytes."""
    probed = copy.deepcopy(network).train()  # a copy, since batch norms update their statistics
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    x = torch.rand(_PROBE, network.in_channels, options.patch, options.patch, device=device)
    target = torch.zeros(_PROBE, options.patch, options.patch, dtype=torch.uint8, device=device)
    weights = {value.untyped_storage().data_ptr() for value in probed.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        logits = logits_of(probed, x.contiguous(memory_format=torch.channels_last), options.precision)
        loss = total_loss(logits, target, options.loss)
    total = sum(size for place, size in kept.items() if place not in weights)
    del logits, loss
    return max(1, int(_BESIDE * total / _PROBE))


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return free_memory().free


def check_output(output: str | Path, *, overwrite: bool) -> Path:
    """Return the path of the model file to write.

    Raises
    ------
    OptionError
        If the suffix is not ``.safetensors``.
    TrainingError
        If the file exists and `overwrite` is False.
    """
    path = Path(output)
    if path.suffix != ".safetensors":
        raise OptionError("a model file ends in .safetensors", source=str(path), hint=f"use {path.stem}.safetensors")
    if path.exists() and not overwrite:
        raise TrainingError("is there already", source=str(path), hint="choose another name, or pass --overwrite")
    return path


def check_options(options: TrainOptions, *, has_validation: bool) -> TrainOptions:
    """Check the options and fill in those of the network, so that they can be saved and used again.

    Raises
    ------
    OptionError
        If options are inconsistent, or the file of backbone weights does not exist.
    """
    filled = config.merge(options, network=network_options(options))
    with torch.device("meta"):
        network = create_model(filled.model, 3, **network_options(filled))
    # At least 2 x 2 cells at the coarsest level: the batch-norm variance of a single patch with one cell is undefined.
    least = 2 * network.stride
    if options.patch % network.stride or options.patch < least:
        raise OptionError(
            f"patch is {options.patch}", option="patch", hint=f"use a multiple of {network.stride}, {least} or more"
        )
    if options.checkpoint == "best" and not has_validation:
        raise OptionError(
            "checkpoint is 'best', but there is no validation set",
            option="checkpoint",
            hint="name a scene with --val, or use val_fraction",
        )
    if options.backbone and not Path(options.backbone).is_file():
        raise OptionError("no such file", option=f"backbone {options.backbone}", hint="name a file of ImageNet weights")
    return filled


def network_options(options: TrainOptions) -> Json:
    """Return all options of the network: those given, and the defaults of the named model."""
    return model_options(options.model, **options.network)


def new_train_state(
    options: TrainOptions, data: TrainingData, processes: ProcessGroup, *, steps_per_epoch: int
) -> TrainState:
    """Build the network, with weights initialised from torch's global generator, and its training state."""
    network = create_model(options.model, len(data.channels), **network_options(options))
    if options.backbone:
        load_backbone(network, options.backbone)
    # Initialise the bias so that the predicted probability is about the fraction of change. Starting from 0.5, the
    # network would spend its first epochs learning only that changes are rare.
    torch.nn.init.constant_(network.head.bias, math.log(data.share / (1 - data.share)))  # type: ignore[arg-type]
    network = processes.synchronise_norms(network)
    network.to(processes.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if options.compiled:
        compile_network(network, processes.device)
    return new_state(
        network,
        partial(_schedule, options=options, batches=steps_per_epoch),
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        precision=options.precision,
    )


def _schedule(
    optimizer: torch.optim.Optimizer, options: TrainOptions, batches: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the learning-rate schedule, which is stepped after every batch."""
    if options.schedule == "one-cycle":
        steps = options.epochs * batches
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, options.learning_rate, total_steps=steps)
    drop = max(1, round(options.lr_milestone * options.epochs)) * batches
    return torch.optim.lr_scheduler.MultiStepLR(optimizer, [drop], gamma=0.1)


def resolve(
    options: TrainOptions,
    data: TrainingData,
    train_state: TrainState,
    run: RunFolder,
    processes: ProcessGroup,
    *,
    overwrite: bool,
    note: Note,
) -> tuple[TrainOptions, Json, bool]:
    """Resolve the options that depend on the machine, and decide whether to resume a stopped run.

    Returns
    -------
    options : TrainOptions
        Fully resolved options; those not set are taken from the run to resume.
    begun : dict
        JSON values that a run must have in common with this one to be resumed.
    resumed : bool
        Whether there is a checkpoint to resume from.

    Raises
    ------
    TrainingError
        If the existing run was started with other settings and `overwrite` is False.
    """
    before = None if overwrite else begun_before(run.path)
    if before is not None and not options.micro_batch:
        options = config.merge(options, micro_batch=int(before.get("micro_batch", 0)))
    micro_batch = choose_micro_batch(train_state.network, options, processes.device, world=processes.world)
    if micro_batch * processes.world < options.batch and not options.micro_batch:
        note(f"{micro_batch} patches at a time fit the memory: gradients add up to batches of {options.batch}")
    options = config.merge(options, micro_batch=micro_batch)
    begun = {
        "options": settled(options),
        "data": data.digest,
        "micro_batch": micro_batch,
        "world": processes.world,
        "device": processes.device.type,
    }
    if before is None:
        return options, begun, False
    differing = _differences(before, begun)
    if differing:
        raise TrainingError(
            f"a run with {', '.join(differing)} was stopped here",
            source=str(run.path),
            hint="give the same, choose another name, or pass --overwrite to start again",
        )
    return options, begun, True


def settled(options: TrainOptions) -> Json:
    """Return the options that affect the weights, as JSON values: all except those of the machine."""
    plain = config.to_dict(options)
    machine = {item.name for item in dataclasses.fields(options) if item.metadata.get(MACHINE)}
    if options.order == "random":
        machine |= {"workers", "shuffle"}  # with order 'chunks', the order of the patches depends on them
    plain["backbone"] = Path(options.backbone).name
    return {name: value for name, value in plain.items() if name not in machine}


def _differences(before: Json, now: Json) -> list[str]:
    """Describe the differences from a stopped run, as ``epochs 10, now 20``."""
    pairs = [(key, before.get(key), now[key]) for key in ("data", "micro_batch", "world", "device")]
    stored, wanted = _flat(before.get("options", {})), _flat(now["options"])
    pairs += [(key, stored.get(key), wanted.get(key, "no option")) for key in {**stored, **wanted}]
    return [
        "other scenes or labels" if key == "data" else f"{key} {str(old)[:60]}, now {str(new)[:60]}"
        for key, old, new in pairs
        if old != new
    ]


def _flat(options: Json) -> Json:
    """Flatten nested options to names such as ``loss.dice``."""
    found: Json = {}
    for key, value in options.items():
        inner = _flat(value) if isinstance(value, dict) else {}
        found |= {f"{key}.{name}": one for name, one in inner.items()} or {key: value}
    return found
