"""One step on a batch split over all processes; run by torch's launcher or called in the process of a test."""

import sys
from pathlib import Path

import torch

from sarcd.networks import create_model
from sarcd.training.checkpoint import TrainState
from sarcd.training.distributed import join_process_group
from sarcd.training.loop import StepOptions, TrainingLoop


def batch():
    """Make five patches (5, 3, 16, 16), with different numbers of labels in each process and part."""
    generator = torch.Generator().manual_seed(4)
    x = torch.rand(5, 3, 16, 16, generator=generator)
    target = (torch.rand(5, 16, 16, generator=generator) < 0.3).to(torch.uint8)
    target[1, 1:] = 255
    target[2, :, :12] = 255
    target[3] = 255
    return x, target


def step(*, micro_batch):
    """Take one step with fixed batch norms and weights; returns loss, labelled pixels and gradients."""
    torch.set_num_threads(1)
    with join_process_group("cpu") as processes:
        torch.manual_seed(0)
        network = create_model("unet", 3, widths=(4, 8)).eval()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [10])
        train_state = TrainState(network, optimizer, schedule, torch.amp.GradScaler("cpu", enabled=False))
        x, target = (values[processes.rank :: processes.world] for values in batch())
        options = StepOptions(micro_batch=micro_batch)
        loss, count = TrainingLoop(train_state, options, processes).step(x, target)
        return {
            "loss": torch.tensor(loss),
            "count": torch.tensor(count),
            **{name: value.grad.clone() for name, value in network.named_parameters()},
        }, processes.rank


if __name__ == "__main__":
    found, number = step(micro_batch=2)
    torch.save(found, Path(sys.argv[1]) / f"{number}.pt")
