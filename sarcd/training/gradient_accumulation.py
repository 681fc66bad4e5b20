"""How many patches fit a device at a time: a batch that is larger is taken in parts, whose gradients add up."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from sarcd.config import TrainOptions
from sarcd.engine.limits import free_memory
from sarcd.networks import Network
from sarcd.training.losses import total_loss
from sarcd.training.validation import logits_of

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
        loss = total_loss(
            logits_of(probed, x.contiguous(memory_format=torch.channels_last), options), target, options.loss
        )
    total = sum(size for place, size in kept.items() if place not in weights)
    del loss
    return max(1, int(_BESIDE * total / _PROBE))


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return free_memory().free
