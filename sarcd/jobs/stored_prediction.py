"""Change maps of a stored scene by a trained network, kept in the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.config import PredictOptions
from sarcd.engine.cluster import active_client
from sarcd.engine.memory import Shares
from sarcd.engine.run import JobResult, choose_pairs, count_regions, in_bands, pair_positions, run_regions
from sarcd.engine.tasks import Opened, Progress, return_memory, silent
from sarcd.estimation.amplitudes import AmplitudeStatistics
from sarcd.estimation.looks import Calibration, calibrate
from sarcd.inference import BlendedTiling, Ensemble, blocks_of, decide, tta_views
from sarcd.inference.plan import (
    OPERATION,
    Member,
    adapt,
    check_channels,
    check_uncertainty,
    load_members,
    open_ensemble,
    tile_parameters,
)
from sarcd.inference.scene_features import SceneFeatures
from sarcd.jobs.fit_check import warn_of_misfits, warn_of_much
from sarcd.jobs.placement import choose_place
from sarcd.jobs.prediction_settings import (
    begun_before,
    choose_parameters,
    choose_tiles,
    known_parameters,
    normalising_statistics,
    plan,
    window_text,
)
from sarcd.models.pretrained import MINES
from sarcd.store.chunks import chunk_errors, require_finished
from sarcd.store.reader import SceneReader
from sarcd.store.regions import MadeBy, Region, refuse_mismatch, stage
from sarcd.store.results import variable_name
from sarcd.store.scene import SceneStore, open_scene

if TYPE_CHECKING:
    from sarcd.models.file import LoadedModel


@dataclass(frozen=True)
class PredictionResult(JobResult):
    """What a prediction did, and how.

    Parameters
    ----------
    tile, batch : int
        Side of a tile's core in pixels, and tiles a forward pass; of several models, those of the first.
    kept_share : float
        Pixels of the map by the pixels computed for it, once a model and variant; the others are halo or overlap.
    """

    tile: int = 0
    batch: int = 0
    kept_share: float = 1.0


def predict(
    path: str | Path,
    model: str | Path | Sequence[str | Path] | None = None,
    options: PredictOptions | None = None,
    *,
    pairs: str | None = None,
    name: str = "",
    overwrite: bool = False,
    progress: Progress = silent,
    note: Callable[[str], None] = lambda text: None,
) -> PredictionResult:
    """Map the changes of a scene and keep `change_probability` and `change` in the store.

    Several models predict together: the map is the mean of their probabilities, and so it is over both orders of the
    dates (`swap`) and over the ground turned round (`flips`). With `uncertainty` the standard deviation among all these
    is kept beside it.

    Parameters
    ----------
    path : str or Path
        Scene.
    model : str or Path, or a sequence of them, optional
        Model files made by `sarcd train`; by default the pretrained one, `sarcd.models.pretrained.MINES`.
    options : PredictOptions, optional
        Tiles, device, statistics, threshold (by default the models' own, of several the mean), variants.
    pairs : str, optional
        Policy or list as in `sarcd.store.pairs.select_pairs`; all pairs of the store by default.
    name : str
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
        If a file is no model, or wants other features than the others.
    OptionError
        If the memory is too little, or the uncertainty of a single probability is asked for.
    StatisticsError
        If the amplitudes cannot be normalised.
    MismatchError
        If the store holds a result made otherwise and `overwrite` is False.
    """
    options = options or PredictOptions()
    if model is None:
        model = MINES
        note("no model is named: the pretrained one maps the changes; it was trained on simulated mines alone")
    groups = tta_views(swap=options.swap, flips=options.flips)
    check_uncertainty(options, 1 if isinstance(model, (str, Path)) else len(model))
    names = _names(options, name)
    store = SceneStore(path)
    scene = open_scene(path, chunks=None)
    refuse_mismatch(store, names, MadeBy(OPERATION, {}), overwrite=overwrite, partly=True)
    require_finished(store, [str(schema.images_of(scene).name), "coherence"])
    begun = {} if overwrite else begun_before(store, names[0])
    place = choose_place(options, begun)
    loaded = load_members(model, place.here)
    check_channels(scene, loaded[0])
    asked = MadeBy(OPERATION, known_parameters(loaded, options))
    refuse_mismatch(store, names, asked, overwrite=overwrite, partly=True)
    positions = choose_pairs(store, pairs)
    statistics = normalising_statistics(path, scene, loaded[0], options, progress, note)
    scene = open_scene(path, chunks=None)  # now with its statistics
    members, forward = choose_tiles(loaded, options, store.shape, place, begun)
    parameters = choose_parameters(scene, store, loaded, options, statistics, positions, place, begun)
    parameters = {"model": parameters["model"], **tile_parameters(members), **parameters}
    _tell(members, loaded, parameters, note)
    # What may fail comes first: staging with `overwrite` takes away what is there.
    blocks = blocks_of([member.tiling for member in members], store.grid)
    shares = plan(options, members, forward, store.grid, blocks, place)
    sampled = parameters["adapt_batchnorm"]["pairs"] if options.adapt_batchnorm else []
    features = _scene_features(scene, store, sorted({*positions, *sampled}), loaded[0], statistics, parameters, shares)
    if options.adapt_batchnorm:
        with chunk_errors(store.path):
            members = adapt(members, loaded, features, sampled)
    ensemble = _ensemble(members, loaded, groups, parameters)
    compute = _Prediction(features, ensemble, parameters["threshold"], names)
    with stage(store, names, positions, MadeBy(OPERATION, parameters), overwrite=overwrite) as staging:
        regions = in_bands(staging.missing(blocks), staging.grid, shares.cache_bytes)
        if regions:
            if "coherence" in loaded[0].card.channels and loaded[0].card.coherence is not None:
                warn_of_misfits(store, scene, positions, loaded[0].card.coherence, note)
            if options.precision != "float32" and active_client() is None:
                exact = _ensemble(members, loaded, groups, {**parameters, "dtype": "float32", "compiled": False})
                moved = _deviation(compute, exact, regions[len(regions) // 2])
                note(f"{options.precision} moves the probabilities of a sample by up to {moved:.3f}")
            run_regions(
                staging, regions, compute, description="predict", progress=progress, workers=shares.workers, device=True
            )
        total = count_regions(staging, blocks)
        share = ensemble().kept_share(staging.grid)
        staging.finish()
    if regions:
        warn_of_much(store, names[1], positions, note)
    tile, batch = members[0].tiling.tile, members[0].batch
    return PredictionResult(tuple(names), len(positions), len(regions), total - len(regions), tile, batch, share)


def _names(options: PredictOptions, name: str) -> list[str]:
    """Return the variables that are written, all of them of the schema."""
    kinds = ["change_probability", "change", *(["uncertainty"] if options.uncertainty else [])]
    names = [variable_name(kind, name) for kind in kinds]
    for variable in names:
        schema.variable(variable)
    return names


@dataclass(frozen=True)
class _Prediction:
    """Computes the variables of one region, from any thread."""

    features: SceneFeatures
    ensemble: Opened[Ensemble]
    threshold: float
    names: list[str]

    def __call__(self, region: Region) -> dict[str, np.ndarray]:
        return_memory()  # what the regions before have left
        probability, uncertainty = self.predict(region)
        values = probability, decide(probability, self.threshold), uncertainty
        return dict(zip(self.names, values, strict=False))

    def predict(self, region: Region) -> tuple[np.ndarray, np.ndarray]:
        """Return probability and uncertainty of a region."""
        ensemble, rectangle = self.ensemble(), (region.y, region.x)
        return ensemble.predict(self.features(region.pair, ensemble.window(rectangle)), rectangle)


def _tell(
    members: Sequence[Member], loaded: Sequence[LoadedModel], parameters: dict[str, Any], note: Callable[[str], None]
) -> None:
    """Tell what the user did not choose."""
    blended = {
        (one.card.architecture, member.tiling.tile)
        for member, one in zip(members, loaded, strict=True)
        if isinstance(member.tiling, BlendedTiling)
    }
    for name, tile in sorted(blended):
        note(f"{name} cannot be tiled exactly: tiles of {tile} overlap by half and are blended")
    card = loaded[0].card
    if "coherence" in card.channels and parameters["coherence_from"] == "computed":
        note(f"coherence ({window_text(card.coherence)}) is computed in the same pass: it is not stored")


def _ensemble(
    members: Sequence[Member], loaded: Sequence[LoadedModel], groups: Any, parameters: dict[str, Any]
) -> Opened[Ensemble]:
    """Return the networks, ready here; a worker of a cluster opens them anew."""
    ready = [(member, member.prepare(one, parameters)) for member, one in zip(members, loaded, strict=True)]
    here = Ensemble([member.predictor(one) for member, one in ready], groups, rim=tuple(parameters.get("rim", (0, 0))))
    return Opened(partial(open_ensemble, members, groups, parameters), here)


def _scene_features(
    scene: xr.Dataset,
    store: SceneStore,
    pairs: Sequence[int],
    loaded: LoadedModel,
    statistics: AmplitudeStatistics,
    parameters: dict[str, Any],
    shares: Shares,
) -> SceneFeatures:
    """Return what reads the features; what their coherence takes from the whole scene is measured here."""
    card, dates = loaded.card, pair_positions(store)
    calibration = Calibration()
    if parameters.get("coherence_from") == "computed" and card.coherence is not None:
        with chunk_errors(store.path):
            calibration = calibrate(scene, card.coherence, [dates[pair] for pair in pairs])
    return SceneFeatures(
        reader=Opened(partial(SceneReader, store.address, cache_bytes=shares.cache_bytes)),
        dates=dates,
        statistics=statistics,
        channels=card.channels,
        coherence=card.coherence if "coherence" in card.channels else None,
        calibration=calibration,
        stored=parameters.get("coherence_from") == "store",
    )


def _deviation(compute: _Prediction, exact: Opened[Ensemble], region: Region) -> float:
    """Return by how much, at most, the probabilities of a region differ from those of another precision."""
    difference = compute.predict(region)[0] - replace(compute, ensemble=exact).predict(region)[0]
    return float(np.nanmax(np.abs(difference), initial=0))
