"""The choices of a prediction: where the network runs, with which tiles and statistics, in how much memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from sarcd import config, schema
from sarcd.config import CoherenceOptions, PredictOptions
from sarcd.errors import ModelError, SceneError
from sarcd.io.progress import Progress
from sarcd.io.store import SceneStore
from sarcd.jobs._cluster import active_client, ask_worker, worker_threads
from sarcd.jobs._memory import Shares, left, share_out
from sarcd.jobs._run import pair_positions
from sarcd.jobs.statistics import covers, write_statistics
from sarcd.ops.features import stored_coherence
from sarcd.ops.statistics import AmplitudeStatistics
from sarcd.predict import Tiling, choose_batch, choose_tile, forward_bytes

if TYPE_CHECKING:
    from sarcd.model_file import LoadedModel

OPERATION = "predict"
_MOST_WORKERS = 4  # reading and preparing need no more to keep one device busy, and each holds a region in memory
_FORWARD_SHARE = 0.7  # of the memory that is left, where the network runs in the same memory
_BYTES_PER_PIXEL = 80  # of a region in work: images, amplitudes, features, the same without holes, tiles


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
    import torch

    from sarcd.models.devices import choose_device

    device = choose_device(name)
    threads = worker_threads() or torch.get_num_threads()
    return str(device), threads if device.type == "cpu" else 0


def begun_before(store: SceneStore, name: str) -> dict[str, Any]:
    """Return the parameters of an earlier run of this operation, which a resume obeys where the user chose nothing."""
    if name not in store:
        return {}
    attrs = dict(store.array(name).attrs)
    parameters = attrs.get("sarcd_parameters")
    return parameters if attrs.get("sarcd_operation") == OPERATION and isinstance(parameters, dict) else {}


def check_channels(scene: xr.Dataset, loaded: LoadedModel) -> None:
    """Raise unless the scene has what the network looks at.

    Raises
    ------
    SceneError
        If it wants coherence and the scene has no phase.
    ModelError
        If it wants coherence and does not say which.
    """
    if "coherence" not in loaded.card.channels:
        return
    if loaded.card.coherence is None:
        raise ModelError("wants coherence but does not say how it is estimated", mend="train it again")
    if "slc" not in scene:
        raise SceneError(
            "the model wants coherence, and detected images have none",
            where=schema.source_of(scene),
            mend="use a model trained with 'sarcd train --no-coherence'",
        )


def normalising_statistics(
    path: str | Path,
    scene: xr.Dataset,
    loaded: LoadedModel,
    options: PredictOptions,
    progress: Progress,
    note: Callable[[str], None],
) -> AmplitudeStatistics:
    """Return the statistics that normalise the scene, computing and keeping its own where it has none yet."""
    policy = options.statistics or loaded.card.statistics_policy
    if policy == "model":
        if loaded.card.statistics is None:
            raise ModelError("the model file keeps no statistics", mend="use --statistics scene")
        return loaded.card.statistics
    kept = AmplitudeStatistics.stored(scene)
    if kept is not None:
        if not covers(kept, schema.dates_of(scene, "time")):
            note("the kept amplitude statistics are older than the newest date; 'sarcd stats --refresh' renews them")
        return kept
    statistics, _ = write_statistics(path, progress=progress)
    note(f"amplitude statistics computed and kept: median {statistics.median[0]:.6g}, MAD {statistics.mad[0]:.6g}")
    return statistics


def choose_parameters(
    scene: xr.Dataset,
    store: SceneStore,
    loaded: LoadedModel,
    options: PredictOptions,
    statistics: AmplitudeStatistics,
    positions: list[int],
    place: Place,
    begun: dict[str, Any],
) -> dict[str, Any]:
    """Everything that the bytes of the result depend on; choices left open follow an earlier run, if there is one."""
    network, card = loaded.network, loaded.card
    forward = _forward_budget(options, place)
    if options.tiles == "auto" and "tile" in begun:
        tile = int(begun["tile"])
    else:
        kind = place.device.partition(":")[0]
        tile = choose_tile(options.tiles, network, store.shape, forward, device=kind)
    if not options.batch and begun.get("tile") == tile:
        batch = int(begun["batch"])
    else:
        batch = choose_batch(options.batch, network, tile, store.shape, forward)
    policy = options.statistics or card.statistics_policy
    compiled = {"compiled": True} if options.compiled else {}
    parameters: dict[str, Any] = {
        "model": loaded.digest,
        "tile": tile,
        "batch": batch,
        "dtype": options.precision,
        "threshold": card.threshold if options.threshold is None else options.threshold,
        "statistics": {"policy": policy, "median": list(statistics.median), "mad": list(statistics.mad)},
        "device": place.device,
        "threads": place.threads,
        **compiled,
    }
    if card.coherence is not None and "coherence" in card.channels:
        parameters["coherence"] = config.to_dict(card.coherence)
        dates = pair_positions(store)
        usable = stored_coherence(scene, [dates[position] for position in positions], card.coherence) is not None
        parameters["coherence_from"] = begun.get("coherence_from") or ("store" if usable else "computed")
        if parameters["coherence_from"] == "store" and not usable:
            parameters["coherence_from"] = "computed"
    return parameters


def _forward_budget(options: PredictOptions, place: Place) -> int:
    """Return the memory that one forward pass may take: of the device, or a share of what the process has left."""
    if place.here.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(torch.device(place.here))
        return int(0.8 * free)
    return int(_FORWARD_SHARE * left(options.memory_bytes))


def plan(
    options: PredictOptions, network: Any, tiling: Tiling, grid: tuple[int, int], place: Place, batch: int
) -> Shares:
    """Share out the memory that the forward pass leaves.

    Raises
    ------
    OptionError
        If it is too little.
    """
    bytes_left = left(options.memory_bytes)
    if not place.device.startswith("cuda"):
        bytes_left -= forward_bytes(network, tiling.tile, batch, tiling.shape)
    sides = [
        min(step * count + 2 * tiling.halo, size)
        for step, count, size in zip(grid, tiling.blocks(grid), tiling.shape, strict=True)
    ]
    return share_out(
        options.memory_bytes,
        bytes_left,
        region_bytes=_BYTES_PER_PIXEL * sides[0] * sides[1],
        chunk_bytes=8 * grid[0] * grid[1],
        workers=min(_MOST_WORKERS, max(2, os.cpu_count() or 1)),
    )


def window_text(options: CoherenceOptions | None) -> str:
    return "" if options is None else f"{options.window.y} x {options.window.x} {options.estimator}"
