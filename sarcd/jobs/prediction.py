"""Change maps of a stored scene by a trained network, kept in the store."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sarcd import config, schema
from sarcd.config import CoherenceOptions, PredictOptions
from sarcd.errors import ModelError, SceneError
from sarcd.io.chunks import chunk_errors
from sarcd.io.progress import Progress, silent
from sarcd.io.reader import SceneReader
from sarcd.io.regions import MadeBy, Region, stage
from sarcd.io.store import SceneStore, open_scene
from sarcd.jobs._cluster import active_client, ask_worker, worker_threads
from sarcd.jobs._run import (
    JobResult,
    choose_pairs,
    count_regions,
    grow,
    in_bands,
    inside,
    pair_positions,
    run_regions,
)
from sarcd.jobs._task import Opened, return_memory
from sarcd.jobs.statistics import covers, write_statistics
from sarcd.ops.features import features, stored_coherence
from sarcd.ops.looks import Calibration, calibrate
from sarcd.ops.statistics import AmplitudeStatistics
from sarcd.predict import Predictor, Tiling, choose_batch, choose_tile, decide, sigmoid

if TYPE_CHECKING:
    from sarcd.model_file import LoadedModel

OPERATION = "predict"
_CACHE_BYTES = 2**28
_MOST_WORKERS = 4  # reading and preparing need no more to keep one device busy, and each holds a region in memory


@dataclass(frozen=True)
class PredictionResult(JobResult):
    """What a prediction did, and how.

    Parameters
    ----------
    tile, batch : int
        Side of a tile's core in pixels, and tiles a forward pass.
    kept_share : float
        Share of the pixels computed that end in the map; the others are halo.
    """

    tile: int = 0
    batch: int = 0
    kept_share: float = 1.0


def write_prediction(
    path: str | Path,
    model: str | Path,
    options: PredictOptions | None = None,
    *,
    pairs: str | None = None,
    suffix: str = "",
    overwrite: bool = False,
    progress: Progress = silent,
    note: Callable[[str], None] = lambda text: None,
) -> PredictionResult:
    """Map the changes of a scene and keep `change_probability` and `change` in the store.

    Parameters
    ----------
    path : str or Path
        Scene.
    model : str or Path
        Model file made by `sarcd train`.
    options : PredictOptions, optional
        Tiles, device, statistics, threshold.
    pairs : str, optional
        Policy or list as in `sarcd.io.pairs.select_pairs`; all pairs of the store by default.
    suffix : str
        Appended to the variables' names after an underscore, to keep several results side by side.
    overwrite : bool
        Replace a result made otherwise.
    progress : callable
        See `sarcd.jobs.Progress`.
    note : callable
        Called with a line about each choice that the user did not make.

    Returns
    -------
    PredictionResult
        How much was computed now, how much was there, and with which tiles.

    Raises
    ------
    ModelError
        If the file is no model, or wants channels that the scene lacks.
    StatisticsError
        If the amplitudes cannot be normalised.
    MismatchError
        If the store holds a result made otherwise and `overwrite` is False.
    """
    from sarcd.model_file import load_model

    options = options or PredictOptions()
    names = [f"{name}_{suffix}" if suffix else name for name in ("change_probability", "change")]
    for name in names:
        schema.variable(name)
    store = SceneStore(path)
    scene = open_scene(path, chunks=None)
    begun = {} if overwrite else _begun(store, names[0])
    place = _place(options, begun)
    loaded = load_model(model, device=place.here)
    check_channels(scene, loaded)
    positions = choose_pairs(store, pairs)
    statistics = _statistics(path, scene, loaded, options, progress, note)
    scene = open_scene(path, chunks=None)  # now with its statistics
    parameters = {
        **_parameters(scene, store, loaded, options, statistics, positions, begun),
        "device": place.device,
        "threads": place.threads,
    }
    tiling = Tiling(store.shape, loaded.network.stride, loaded.network.tile_halo, parameters["tile"])
    if "coherence" in loaded.card.channels and parameters["coherence_from"] == "computed":
        note(f"coherence ({_window_text(loaded.card.coherence)}) is computed in the same pass: none is stored")
    with stage(store, names, positions, MadeBy(OPERATION, parameters), overwrite=overwrite) as staging:
        blocks = tiling.blocks(staging.grid)
        regions = in_bands(staging.missing(blocks), staging.grid, _CACHE_BYTES)
        if regions:
            calibration = _calibration(scene, store, positions, loaded, parameters)
            compute = _computing(store, loaded, tiling, statistics, calibration, parameters, names)
            workers = min(_MOST_WORKERS, max(2, os.cpu_count() or 1))
            run_regions(
                staging, regions, compute, description="predict", progress=progress, workers=workers, device=True
            )
        total = count_regions(staging, blocks)
        share = tiling.kept_share(staging.grid)
        staging.finish()
    return PredictionResult(
        tuple(names), len(positions), len(regions), total - len(regions), tiling.tile, parameters["batch"], share
    )


@dataclass(frozen=True)
class _Prediction:
    """Computes the variables of one region, from any thread."""

    reader: Opened[SceneReader]
    predictor: Opened[Predictor]
    tiling: Tiling
    dates: list[tuple[int, int]]
    statistics: AmplitudeStatistics
    channels: tuple[str, ...]
    coherence: CoherenceOptions | None  # None where the network does not look at it
    calibration: Calibration
    stored: bool  # whether coherence is read from the scene
    threshold: float
    names: list[str]

    def __call__(self, region: Region) -> dict[str, np.ndarray]:
        return_memory()  # what the regions before have left
        reader = self.reader()
        wanted = self.tiling.window((region.y, region.x))
        halo = (0, 0) if self.coherence is None or self.stored else self.coherence.halo
        window = grow(wanted, halo, reader.shape)
        also = ["coherence"] if self.stored else []
        sub = reader.window(self.dates[region.pair], *window, also=also, position=region.pair)
        seen = features(
            sub,
            channels=self.channels,
            statistics=self.statistics,
            coherence=self.coherence,
            calibration=self.calibration,
        )
        values = seen.values[0][(slice(None), *inside(wanted, window))]  # (C, h, w)
        probability = sigmoid(self.predictor().logits(values, (region.y, region.x)))
        return dict(zip(self.names, (probability, decide(probability, self.threshold)), strict=True))


def _computing(
    store: SceneStore,
    loaded: LoadedModel,
    tiling: Tiling,
    statistics: AmplitudeStatistics,
    calibration: Calibration,
    parameters: dict[str, Any],
    names: list[str],
) -> _Prediction:
    card = loaded.card
    here = Predictor(loaded.network, card.channels, tiling, batch=parameters["batch"], device=loaded.device)
    there = partial(_load_predictor, str(Path(loaded.path).resolve()), tiling, parameters)
    return _Prediction(
        reader=Opened(partial(SceneReader, store.address, cache_bytes=_CACHE_BYTES)),
        predictor=Opened(there, here),
        tiling=tiling,
        dates=pair_positions(store),
        statistics=statistics,
        channels=card.channels,
        coherence=card.coherence if "coherence" in card.channels else None,
        calibration=calibration,
        stored=parameters.get("coherence_from") == "store",
        threshold=parameters["threshold"],
        names=names,
    )


def _calibration(
    scene: xr.Dataset, store: SceneStore, positions: list[int], loaded: LoadedModel, parameters: dict[str, Any]
) -> Calibration:
    """Return what the coherence of each region takes from the whole scene; nothing where none is computed."""
    if parameters.get("coherence_from") != "computed" or loaded.card.coherence is None:
        return Calibration()
    dates = pair_positions(store)
    with chunk_errors(store.path):
        return calibrate(scene, loaded.card.coherence, [dates[position] for position in positions])


def _load_predictor(path: str, tiling: Tiling, parameters: dict[str, Any]) -> Predictor:
    """Load the network on a worker of a cluster."""
    import torch

    from sarcd.model_file import load_model

    loaded = load_model(path, device=parameters["device"])
    if loaded.digest != parameters["model"]:
        raise ModelError("is another model on this worker", where=path, mend="put the file where every worker sees it")
    if parameters["threads"]:
        torch.set_num_threads(parameters["threads"])  # a worker is started with one, whatever its cores
    return Predictor(loaded.network, loaded.card.channels, tiling, batch=parameters["batch"], device=loaded.device)


@dataclass(frozen=True)
class _Place:
    """Where the network runs: the device that results come from, its threads, and the device of this process."""

    device: str
    threads: int
    here: str


def _place(options: PredictOptions, begun: dict[str, Any]) -> _Place:
    """Choose where the network runs: as asked, as an earlier run did, or on the best device there is."""
    name = str(begun.get("device", "auto")) if options.device == "auto" else options.device
    client = active_client()
    if client is None:
        device, threads = _found(name)
        return _Place(device, threads, device)
    device, threads = ask_worker(client, partial(_found, name), device=True)
    if begun.get("device") == device:
        threads = int(begun["threads"])
    return _Place(device, threads, "cpu")


def _found(name: str) -> tuple[str, int]:
    """Return the device that a name means in this process, and torch's threads on it."""
    import torch

    from sarcd.models.devices import choose_device

    device = choose_device(name)
    threads = worker_threads() or torch.get_num_threads()
    return str(device), threads if device.type == "cpu" else 0


def _begun(store: SceneStore, name: str) -> dict[str, Any]:
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


def _statistics(
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


def _parameters(
    scene: xr.Dataset,
    store: SceneStore,
    loaded: LoadedModel,
    options: PredictOptions,
    statistics: AmplitudeStatistics,
    positions: list[int],
    begun: dict[str, Any],
) -> dict[str, Any]:
    """Everything that the bytes of the result depend on; choices left open follow an earlier run, if there is one."""
    network, card = loaded.network, loaded.card
    if options.tiles == "auto" and "tile" in begun:
        tile = int(begun["tile"])
    else:
        tile = choose_tile(options.tiles, network, store.shape, options.memory_bytes)
    if not options.batch and begun.get("tile") == tile:
        batch = int(begun["batch"])
    else:
        batch = choose_batch(options.batch, network, tile, options.memory_bytes)
    policy = options.statistics or card.statistics_policy
    parameters: dict[str, Any] = {
        "model": loaded.digest,
        "tile": tile,
        "batch": batch,
        "dtype": "float32",
        "threshold": card.threshold if options.threshold is None else options.threshold,
        "statistics": {"policy": policy, "median": list(statistics.median), "mad": list(statistics.mad)},
    }
    if card.coherence is not None and "coherence" in card.channels:
        parameters["coherence"] = config.to_dict(card.coherence)
        dates = pair_positions(store)
        usable = stored_coherence(scene, [dates[position] for position in positions], card.coherence) is not None
        parameters["coherence_from"] = begun.get("coherence_from") or ("store" if usable else "computed")
        if parameters["coherence_from"] == "store" and not usable:
            parameters["coherence_from"] = "computed"
    return parameters


def _window_text(options: CoherenceOptions | None) -> str:
    return "" if options is None else f"{options.window.y} x {options.window.x} {options.estimator}"
