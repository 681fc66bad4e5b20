"""Distributed data-parallel training: processes started by ``torchrun``, each on its own device."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sarcd.errors import OptionError
from sarcd.networks import Network
from sarcd.networks.devices import choose_device


@dataclass(frozen=True)
class ProcessGroup:
    """Process group of a training run; a single process unless started by ``torchrun``.

    Parameters
    ----------
    rank, world : int
        Rank of this process, and number of processes.
    device : torch.device
        Device of this process.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files and reports progress."""
        return self.rank == 0

    def own_random_numbers(self) -> contextlib.AbstractContextManager[None]:
        """Fork torch's global generators, so that those of the caller are restored on exit."""
        devices = [self.device] if self.device.type == "cuda" else []
        return torch.random.fork_rng(devices=devices)

    def wait(self) -> None:
        """Wait until all processes reach this point."""
        if self.world > 1:
            dist.barrier()

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of integers over all processes."""
        if self.world == 1:
            return values
        total = torch.from_numpy(np.array(values, np.int64)).to(self.device)
        dist.all_reduce(total)
        return total.cpu().numpy()

    def sum_of(self, value: Tensor) -> float:
        """Return the sum of a scalar over all processes."""
        if self.world > 1:
            dist.all_reduce(value)
        return float(value)

    def parallel(self, network: nn.Module) -> nn.Module:
        """Wrap the network so that its gradients are averaged over all processes.

        On GPUs, batch norms use the patches of all processes. On CPUs, where torch has no synchronised batch norm, they
        use the patches of their own process.
        """
        if self.world == 1:
            return network
        device_ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=device_ids)

    def synchronise_norms(self, network: Network) -> Network:
        """Synchronise batch norms over all processes if the device supports it."""
        if self.world == 1 or self.device.type != "cuda":
            return network
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-any-return, no-untyped-call]


@contextlib.contextmanager
def join_process_group(device: str) -> Iterator[ProcessGroup]:
    """Join the process group of this training run, and leave it on exit.

    Parameters
    ----------
    device : str
        As in `sarcd.networks.devices.choose_device`. With several processes on GPUs, each uses its own GPU.

    Yields
    ------
    ProcessGroup

    Raises
    ------
    OptionError
        If one specific GPU is given for several processes.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield ProcessGroup(0, 1, choose_device(device))
        return
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    chosen = choose_device(device)
    if chosen.type == "cuda":
        if ":" in device:
            raise OptionError(f"{world} processes would share {device}", option="device", hint="use auto or cuda")
        chosen = choose_device(f"cuda:{local}")
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", rank=rank, world_size=world)
    try:
        yield ProcessGroup(rank, world, chosen)
    finally:
        dist.destroy_process_group()
