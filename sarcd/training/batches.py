"""Batches of an epoch, and the seeds of all random streams in training."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from sarcd.config import TrainOptions
from sarcd.training.dataset import PatchDataset
from sarcd.training.sampler import Request, chunk_order, in_batches, requests

DRAW, WEIGHTS, ORDER, AUGMENT, DROPOUT = range(5)
"""Uses of random numbers in training; each has its own random stream."""


def seed_of(seed: int, use: int, epoch: int = 0) -> int:
    """Return the seed of a random stream in an epoch; it does not depend on earlier random numbers."""
    return int(np.random.SeedSequence([seed, use, epoch]).generate_state(1, np.uint64)[0] >> 1)


def order_of(options: TrainOptions, cache: str) -> str:
    """Return the order of the patches, ``random`` or ``chunks``; ``auto`` is resolved from where they are cached."""
    if options.order != "auto":
        return options.order
    return "chunks" if cache == "none" else "random"


class Batches:
    """Batches of patches on a device: features (B, C, P, P), targets (B, P, P), patch numbers (B,).

    Parameters
    ----------
    patches : PatchDataset
        Patches.
    options : TrainOptions
        Batch size, order, number of workers, seed.
    device : torch.device
        Device of the batches.
    shuffle : bool
        Shuffle the patches in each epoch. If False, they keep their order, or are read block by block.

    Notes
    -----
    The batches depend only on the seed and the epoch number. With order ``chunks`` they also depend on the number of
    workers, since each worker shuffles the patches that it reads. They do not depend on where the patches are cached.
    """

    def __init__(self, patches: PatchDataset, options: TrainOptions, device: torch.device, *, shuffle: bool) -> None:
        self._patches = patches
        self._options = options
        self._device = device
        self._shuffle = shuffle
        self._order = order_of(options, patches.cache)
        self._requests = _Requests()
        self._workers = 0 if patches.cache == "memory" else options.workers
        self._loader: DataLoader[tuple[Tensor, Tensor, Tensor]] | None = None

    def __len__(self) -> int:
        return math.ceil(self._patches.per_epoch / self._options.batch)

    def epoch(self, number: int, *, rank: int = 0, world: int = 1) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield the batches of an epoch.

        Parameters
        ----------
        number : int
            Number of the epoch.
        rank, world : int
            Rank of this process and number of processes. Each process takes every `world`-th row of the batches of a
            single process. If the last batch has fewer rows than there are processes, the remaining processes get a row
            whose pixels are all ignored, so that all processes have the same number of batches.

        Yields
        ------
        x : (B, C, P, P) float32
            Features, on the device, channels last.
        target : (B, P, P) uint8
            Labels, on the device.
        numbers : (B,) int64
            Numbers of the patches.
        """
        self._requests.list = requests(
            number,
            self._batches(number),
            blocks=self._patches.blocks() if self._order == "chunks" and self._patches.kept is None else None,
            workers=self._workers,
            rank=rank,
            world=world,
        )
        for x, target, numbers in self._open():
            yield (
                x.to(self._device, memory_format=torch.channels_last, non_blocking=True),
                target.to(self._device, non_blocking=True),
                numbers,
            )

    def _batches(self, number: int) -> list[np.ndarray]:
        """Return the patch numbers of each batch of an epoch."""
        patches, options = self._patches, self._options
        chosen = self._drawn(number)
        if self._order == "chunks":
            return chunk_order(
                patches.by_block(chosen),
                options.batch,
                streams=max(1, options.workers),
                hold=options.shuffle,
                generator=np.random.default_rng(seed_of(options.seed, ORDER, number)) if self._shuffle else None,
            )
        order = np.arange(len(patches)) if chosen is None else chosen
        if self._shuffle:
            generator = torch.Generator().manual_seed(seed_of(options.seed, ORDER, number))
            order = order[torch.randperm(len(order), generator=generator).numpy()]
        return in_batches(order, options.batch)

    def _drawn(self, number: int) -> np.ndarray | None:
        """Return the patch numbers sampled for an epoch, or None if the epoch uses all patches."""
        patches = self._patches
        if patches.weights is None or not self._shuffle:
            return None
        generator = np.random.default_rng(seed_of(self._options.seed, DRAW, number))
        always = np.isinf(patches.weights)
        shares = np.where(always, 0, patches.weights)
        count = patches.per_epoch - int(always.sum())
        drawn = generator.choice(len(patches), count, replace=False, p=shares / shares.sum())
        return np.sort(np.concatenate([np.flatnonzero(always), drawn]))

    def _open(self) -> DataLoader[tuple[Tensor, Tensor, Tensor]]:
        if self._loader is None:
            if self._workers:  # compile the kernels once, instead of in every worker at startup
                self._patches[requests(-1, [np.arange(1)])[0]]
                for scene in self._patches.scenes:
                    scene.release()
            self._loader = DataLoader(
                self._patches,
                batch_size=None,  # a request is a whole batch
                sampler=self._requests,
                # A separate generator, since the loader samples seeds: how many depends on the number of workers.
                generator=torch.Generator(),
                num_workers=self._workers,
                # Forking is unsafe once Zarr or torch has started threads.
                multiprocessing_context="spawn" if self._workers else None,
                persistent_workers=self._workers > 0,
                pin_memory=self._device.type == "cuda",
            )
        return self._loader


class _Requests(Sampler[Request]):
    """Sampler of the requests of the current epoch."""

    def __init__(self) -> None:
        self.list: list[Request] = []

    def __iter__(self) -> Iterator[Request]:
        return iter(self.list)

    def __len__(self) -> int:
        return len(self.list)
