"""Change maps of a stored scene by a trained network, kept in the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.config import CoherenceOptions, PredictOptions
from sarcd.errors import ModelError
from sarcd.io.chunks import chunk_errors
from sarcd.io.progress import Progress, silent
from sarcd.io.reader import SceneReader
from sarcd.io.regions import MadeBy, Region, stage
from sarcd.io.store import SceneStore, open_scene
from sarcd.jobs._cluster import active_client
from sarcd.jobs._memory import Shares
from sarcd.jobs._prediction_settings import (
    OPERATION,
    begun_before,
    check_channels,
    choose_parameters,
    choose_place,
    normalising_statistics,
    plan,
    window_text,
)
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
from sarcd.ops.features import features
from sarcd.ops.looks import Calibration, calibrate
from sarcd.ops.statistics import AmplitudeStatistics
from sarcd.predict import Predictor, Tiling, decide, sigmoid

if TYPE_CHECKING:
    from sarcd.model_file import LoadedModel


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
    begun = {} if overwrite else begun_before(store, names[0])
    place = choose_place(options, begun)
    loaded = load_model(model, device=place.here)
    check_channels(scene, loaded)
    positions = choose_pairs(store, pairs)
    statistics = normalising_statistics(path, scene, loaded, options, progress, note)
    scene = open_scene(path, chunks=None)  # now with its statistics
    exact, loaded = loaded, loaded.quick(options.precision, compiled=options.compiled)
    parameters = choose_parameters(scene, store, loaded, options, statistics, positions, place, begun)
    tiling = Tiling(store.shape, loaded.network.stride, loaded.network.tile_halo, parameters["tile"])
    if "coherence" in loaded.card.channels and parameters["coherence_from"] == "computed":
        note(f"coherence ({window_text(loaded.card.coherence)}) is computed in the same pass: none is stored")
    # What may fail comes first: staging with `overwrite` takes away what is there.
    shares = plan(options, loaded.network, tiling, store.grid, place, parameters["batch"])
    calibration = _calibration(scene, store, positions, loaded, parameters)
    with stage(store, names, positions, MadeBy(OPERATION, parameters), overwrite=overwrite) as staging:
        blocks = tiling.blocks(staging.grid)
        regions = in_bands(staging.missing(blocks), staging.grid, shares.cache_bytes)
        if regions:
            compute = _computing(store, loaded, tiling, statistics, calibration, parameters, names, shares)
            if options.precision != "float32" and active_client() is None:
                moved = _deviation(compute, exact.quick(), regions[len(regions) // 2])
                note(f"{options.precision} moves the probabilities of a sample by up to {moved:.3f}")
            run_regions(
                staging, regions, compute, description="predict", progress=progress, workers=shares.workers, device=True
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
        probability = self.probability(region)
        return dict(zip(self.names, (probability, decide(probability, self.threshold)), strict=True))

    def probability(self, region: Region) -> np.ndarray:
        """Return the probabilities of a region."""
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
        return sigmoid(self.predictor().logits(values, (region.y, region.x)))


def _computing(
    store: SceneStore,
    loaded: LoadedModel,
    tiling: Tiling,
    statistics: AmplitudeStatistics,
    calibration: Calibration,
    parameters: dict[str, Any],
    names: list[str],
    shares: Shares,
) -> _Prediction:
    card = loaded.card
    here = Predictor(loaded.network, card.channels, tiling, batch=parameters["batch"], device=loaded.device)
    there = partial(_load_predictor, str(Path(loaded.path).resolve()), tiling, parameters)
    return _Prediction(
        reader=Opened(partial(SceneReader, store.address, cache_bytes=shares.cache_bytes)),
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


def _deviation(compute: _Prediction, exact: LoadedModel, region: Region) -> float:
    """Return by how much, at most, the probabilities of a region differ from those of another precision."""
    tiling = compute.tiling
    predictor = Predictor(exact.network, compute.channels, tiling, batch=1, device=exact.device)
    reference = replace(compute, predictor=Opened(lambda: predictor))
    difference = compute.probability(region) - reference.probability(region)
    return float(np.nanmax(np.abs(difference), initial=0))


def _load_predictor(path: str, tiling: Tiling, parameters: dict[str, Any]) -> Predictor:
    """Load the network on a worker of a cluster."""
    import torch

    from sarcd.model_file import load_model

    compiled = bool(parameters.get("compiled"))
    loaded = load_model(path, device=parameters["device"]).quick(parameters["dtype"], compiled=compiled)
    if loaded.digest != parameters["model"]:
        raise ModelError("is another model on this worker", where=path, mend="put the file where every worker sees it")
    if parameters["threads"]:
        torch.set_num_threads(parameters["threads"])  # a worker is started with one, whatever its cores
    return Predictor(loaded.network, loaded.card.channels, tiling, batch=parameters["batch"], device=loaded.device)
