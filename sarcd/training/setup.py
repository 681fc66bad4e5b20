"""What a training settles before its first step: options that fit, the network, parts of a batch, and resuming."""

from __future__ import annotations

import copy
import dataclasses
import math
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sarcd import config
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

_SHARE = {"cuda": 0.7, "mps": 0.4, "cpu": 0.4}  # of the free memory; that of a CPU is the system's too
_PROBE = 2  # patches: some batch norms want more than one
_BESIDE = (
    1.6  # gradients of activations, and what convolutions take to work in, beside what is kept for the backward pass
)


def choose_micro_batch(network: Network, options: TrainOptions, device: torch.device, *, world: int = 1) -> int:
    """Return the patches taken at a time: as asked for, or a batch in as few equal parts as the free memory allows.

    What one patch needs is measured, by a forward pass that counts what is kept for the backward pass.

    Parameters
    ----------
    network : Network
        On the device.
    options : TrainOptions
        Batch, patch size, precision and loss.
    device : torch.device
        Where training runs.
    world : int
        Processes that share the batch.
    """
    batch = -(-options.batch // world)
    if options.micro_batch:
        return min(options.micro_batch, batch)
    needed = bytes_per_patch(network, options, device)
    fitting = max(1, int(_SHARE[device.type] * _free_bytes(device) / needed))
    parts = -(-batch // fitting)
    return -(-batch // parts)


def bytes_per_patch(network: Network, options: TrainOptions, device: torch.device) -> int:
    """Return the memory that one patch takes in a training step."""
    probed = copy.deepcopy(network).train()  # batch norms remember what they see
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


Json = dict[str, Any]


def check_output(output: str | Path, *, overwrite: bool) -> Path:
    """Return the path of the model file to write.

    Raises
    ------
    OptionError
        If its name has another suffix.
    TrainingError
        If it is there already.
    """
    path = Path(output)
    if path.suffix != ".safetensors":
        raise OptionError("a model file ends in .safetensors", source=str(path), hint=f"use {path.stem}.safetensors")
    if path.exists() and not overwrite:
        raise TrainingError("is there already", source=str(path), hint="choose another name, or pass --overwrite")
    return path


def check_options(options: TrainOptions, *, has_validation: bool) -> TrainOptions:
    """Return the options with those of the network filled in, so that they can be written down and used again.

    Raises
    ------
    OptionError
        If they contradict each other.
    """
    filled = config.merge(options, network=network_options(options))
    with torch.device("meta"):
        network = create_model(filled.model, 3, **network_options(filled))
    # Two cells a side at the least: over a single one, batch norm of a single patch has no variance.
    least = 2 * network.stride
    if options.patch % network.stride or options.patch < least:
        raise OptionError(
            f"patch is {options.patch}", option="patch", hint=f"use a multiple of {network.stride}, {least} or more"
        )
    if options.checkpoint == "best" and not has_validation:
        raise OptionError(
            "checkpoint is 'best', and nothing to judge by",
            option="checkpoint",
            hint="name a scene with --val, or use val_fraction",
        )
    if options.backbone and not Path(options.backbone).is_file():
        raise OptionError("no such file", option=f"backbone {options.backbone}", hint="name a file of ImageNet weights")
    return filled


def network_options(options: TrainOptions) -> Json:
    """Return every option of the network: those given, and the rest as its name says."""
    return model_options(options.model, **options.network)


def new_train_state(
    options: TrainOptions, data: TrainingData, processes: ProcessGroup, *, steps_per_epoch: int
) -> TrainState:
    """Build the network, with weights drawn from torch's global generator, and what trains it."""
    network = create_model(options.model, len(data.channels), **network_options(options))
    if options.backbone:
        load_backbone(network, options.backbone)
    # At first the network claims change as often as there is any; from a half, it would spend its first epochs
    # on learning no more than that changes are rare.
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
    """Return the schedule of the learning rate, to be stepped after every batch."""
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
    """Fill in what depends on the machine, and find out whether a run that was stopped goes on.

    Returns
    -------
    options : TrainOptions
        With nothing left open; choices left open follow the run that goes on.
    begun : dict
        JSON values: what two runs must share to be one.
    resumed : bool
        Whether there is a state to go on from.

    Raises
    ------
    TrainingError
        If the run that is there was begun otherwise and `overwrite` is False.
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
            hint="give the same, choose another name, or pass --overwrite to begin anew",
        )
    return options, begun, True


def settled(options: TrainOptions) -> Json:
    """Return the options that weights depend on, as plain values: all but where and how training runs."""
    plain = config.to_dict(options)
    machine = {item.name for item in dataclasses.fields(options) if item.metadata.get(MACHINE)}
    if options.order == "random":
        machine |= {"workers", "shuffle"}  # chunk by chunk, the order depends on them
    plain["backbone"] = Path(options.backbone).name
    return {name: value for name, value in plain.items() if name not in machine}


def _differences(before: Json, now: Json) -> list[str]:
    """Say in what a stopped run differs, as ``epochs 10, now 20``."""
    pairs = [(key, before.get(key), now[key]) for key in ("data", "micro_batch", "world", "device")]
    stored, wanted = _flat(before.get("options", {})), _flat(now["options"])
    pairs += [(key, stored.get(key), wanted.get(key, "no option")) for key in {**stored, **wanted}]
    return [
        "other scenes or labels" if key == "data" else f"{key} {str(old)[:60]}, now {str(new)[:60]}"
        for key, old, new in pairs
        if old != new
    ]


def _flat(options: Json) -> Json:
    """Return options by names such as ``loss.dice``."""
    found: Json = {}
    for key, value in options.items():
        inner = _flat(value) if isinstance(value, dict) else {}
        found |= {f"{key}.{name}": one for name, one in inner.items()} or {key: value}
    return found
