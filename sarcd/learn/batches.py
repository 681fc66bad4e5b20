"""Batches of patches in the order of an epoch, and the seeds that everything random is drawn from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler

from sarcd.config import TrainOptions
from sarcd.learn.data import PatchDataset

DRAW, WEIGHTS, ORDER, AUGMENT = range(4)
"""What a random number is for: each use has its own stream."""


def seed_of(seed: int, use: int, epoch: int = 0) -> int:
    """Return the seed of one use in one epoch, which depends on nothing that was drawn before."""
    return int(np.random.SeedSequence([seed, use, epoch]).generate_state(1, np.uint64)[0] >> 1)


class Batches:
    """Batches of patches on a device: features (B, C, P, P), targets (B, P, P), numbers of the patches (B,).

    Parameters
    ----------
    patches : PatchDataset
        Patches.
    options : TrainOptions
        Batch size, worker processes, seed.
    device : torch.device
        Where the batches go.
    shuffle : bool
        Draw a new order each epoch.
    """

    def __init__(self, patches: PatchDataset, options: TrainOptions, device: torch.device, *, shuffle: bool) -> None:
        self._seed = options.seed
        self._device = device
        self._order = torch.Generator()
        workers = 0 if patches.in_memory else options.workers
        if workers:
            patches[0]  # compiles the kernels, which workers at their start would all do at once
        self._loader = DataLoader(
            patches,
            batch_size=options.batch,
            sampler=RandomSampler(patches, generator=self._order) if shuffle else None,
            # Apart from the order: the loader draws seeds for its workers, when and how often depends on their number.
            generator=torch.Generator(),
            num_workers=workers,
            # Never fork after Zarr or torch has threads.
            multiprocessing_context="spawn" if workers else None,
            persistent_workers=workers > 0,
            pin_memory=device.type == "cuda",
        )

    def __len__(self) -> int:
        return len(self._loader)

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield every patch once, in the order of the epoch."""
        self._order.manual_seed(seed_of(self._seed, ORDER, number))
        for x, target, numbers in self._loader:
            yield (
                x.to(self._device, memory_format=torch.channels_last, non_blocking=True),
                target.to(self._device, non_blocking=True),
                numbers,
            )
