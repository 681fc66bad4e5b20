"""Where the network of a prediction runs, and how much memory there is for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from sarcd.config import PredictOptions
from sarcd.engine.cluster import active_client, ask_worker, worker_threads
from sarcd.engine.memory import cores, left
from sarcd.optional import require

_FORWARD_SHARE = 0.7  # of the memory that is left, where the network runs in the same memory


@dataclass(frozen=True)
class Place:
    """Where the network runs: the device that results come from, its threads, and the device of this process."""

    device: str
    threads: int
    here: str


def choose_place(options: PredictOptions, begun: dict[str, Any]) -> Place:
    """Choose where the network runs: as asked, as an earlier run did, or on the best device there is."""
    name = str(begun.get("device", "auto")) if options.device == "auto" else options.device
    client = active_client()
    if client is None:
        device, threads = _found(name)
        return Place(device, threads, device)
    device, threads = ask_worker(client, partial(_found, name), device=True)
    if begun.get("device") == device:
        threads = int(begun["threads"])
    return Place(device, threads, "cpu")


def _found(name: str) -> tuple[str, int]:
    """Return the device that a name means in this process, and torch's threads on it."""
    require("torch", "safetensors")
    import torch

    from sarcd.networks.devices import choose_device

    device = choose_device(name)
    threads = worker_threads() or min(torch.get_num_threads(), cores())  # torch knows no quotas of containers
    return str(device), threads if device.type == "cpu" else 0


def forward_budget(options: PredictOptions, place: Place) -> int:
    """Return the memory that one forward pass may take: of the device, or a share of what the process has left."""
    if place.here.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(torch.device(place.here))
        return int(0.8 * free)
    return int(_FORWARD_SHARE * left(options.memory_bytes))
