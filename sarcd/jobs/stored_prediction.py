"""Change maps of a stored scene by trained networks, written to its store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sarcd import config, schema
from sarcd.attributes import Json, parameters_of
from sarcd.config import CoherenceOptions, PredictOptions
from sarcd.engine.cluster import active_client, ask_worker, worker_threads
from sarcd.engine.memory import Shares, cores, left, share_out
from sarcd.engine.run import JobResult, choose_pairs, count_regions, in_bands, pair_positions, run_regions
from sarcd.engine.tasks import Opened, Progress, return_memory, silent
from sarcd.estimation.looks import Calibration, calibrate
from sarcd.inference.plan import OPERATION, Place, PredictionPlan, RegionTask, Survey, build_plan, region_task
from sarcd.inference.predictor import decide
from sarcd.inference.scene_features import SceneFeatures
from sarcd.inference.tiling import BlendedTiling, blocks_of
from sarcd.jobs.fit_check import warn_of_misfits, warn_of_much
from sarcd.jobs.stored_statistics import normalising_statistics, recorded_statistics
from sarcd.models.pretrained import MINES
from sarcd.optional import require
from sarcd.store.chunks import chunk_errors, require_finished
from sarcd.store.reader import SceneReader
from sarcd.store.regions import MadeBy, Region, refuse_mismatch, stage
from sarcd.store.results import variable_name
from sarcd.store.scene import SceneStore, open_scene

if TYPE_CHECKING:
    from sarcd.models.file import LoadedModel

_MOST_WORKERS = 4  # enough to read and prepare the input of one device; each holds a region in memory
_BYTES_PER_PIXEL = 80  # per region in progress: images, amplitudes, features, features with holes filled, tiles
_BYTES_PER_PIXEL_OF_MEANS = 32  # sum and sum of squares in double precision, and the next summand
_FORWARD_SHARE = 0.7  # fraction of the remaining memory, where the network runs in main memory
_SHARE_OF_SMALL_TILES = 0.4  # fraction of the forward memory, since regions of blended tiles exceed a tile


@dataclass(frozen=True)
class PredictionResult(JobResult):
    """Result of a prediction, with its tiles.

    Parameters
    ----------
    tile, batch : int
        Side of a tile's core in pixels, and tiles per forward pass; for several models, those of the first.
    kept_share : float
        Pixels of the map divided by the pixels computed for it per model and view; the others are halo or overlap.
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
    **settings: Any,
) -> PredictionResult:
    """Map the changes of a scene with a network, and write `change_probability` and `change` to the store.

    The map of several models is the mean of their probabilities. Test-time augmentation averages over both orders of
    the dates (`swap`) and over flipped images (`flips`) in the same way. With `uncertainty` the standard deviation over
    all of these is also written.

    Parameters
    ----------
    path : str or Path
        Scene.
    model : str or Path, or a sequence of them, optional
        Model files made by `sarcd train`; by default the pretrained model, `sarcd.models.pretrained.MINES`.
    options : PredictOptions, optional
        Tiles, device, statistics, threshold (by default the model's, or the mean over several), test-time augmentation.
    pairs : str, optional
        Policy or list as in `sarcd.store.pairs.select_pairs`; by default all pairs of the store.
    name : str
        Appended to the names of the variables after an underscore, to store several results side by side.
    overwrite : bool
        Replace a result made with other settings.
    progress : callable
        Progress reporter; see `sarcd.jobs.Progress`.
    note : callable
        Called with a line about each choice that was made automatically.
    **settings
        Single options by the names of the fields of `PredictOptions`, in place of those of `options`.

    Returns
    -------
    PredictionResult
        Variables written, regions computed by this run and by earlier runs, and the tiles.

    Raises
    ------
    ModelError
        If a file is not a model, or needs other features than the others.
    OptionError
        If the memory is not enough, or the uncertainty of a single probability is requested.
    StatisticsError
        If the amplitudes cannot be normalised.
    MismatchError
        If the store holds a result made with other settings and `overwrite` is False.
    """
    options = config.with_keywords(PredictOptions, options, settings)
    if model is None:
        model = MINES
        note("no model is named: the pretrained one maps the changes; it was trained on simulated mines alone")
    names = _names(options, name)
    store, scene = SceneStore(path), open_scene(path, chunks=None)
    refuse_mismatch(store, names, MadeBy(OPERATION, {}), overwrite=overwrite, partly=True)
    require_finished(store, [str(schema.images_of(scene).name), "coherence"])
    begun = {} if overwrite else _begun_before(store, names[0])
    place = _choose_place(options, begun)

    def survey(loaded: LoadedModel, known: Json) -> Survey:
        refuse_mismatch(store, names, MadeBy(OPERATION, known), overwrite=overwrite, partly=True)
        positions = choose_pairs(store, pairs)
        policy = options.statistics or loaded.card.statistics_policy
        statistics = normalising_statistics(path, scene, policy, loaded.card.statistics, progress, note)
        dates = pair_positions(store)
        return Survey(
            scene=open_scene(path, chunks=None),  # again, now with its statistics and pairs
            pairs=[dates[position] for position in positions],
            positions=positions,
            statistics=statistics,
            forward_bytes=_forward_budget(options, place),
            recorded=recorded_statistics(statistics, policy, begun.get("statistics", {})),
            blended_share=_SHARE_OF_SMALL_TILES,
        )

    plan, loaded = build_plan(model, options, scene, place, survey, begun)
    _tell(plan, loaded, note)
    # Everything that may fail comes first, since staging with `overwrite` removes the existing result.
    blocks = blocks_of([member.tiling for member in plan.members], store.grid)
    shares = _share_out(plan, options, store.grid, blocks)
    features = _scene_features(scene, store, plan, shares)
    if options.adapt_batchnorm:
        with chunk_errors(store.path):
            plan = _adapt(plan, loaded, features)
    compute = _Prediction(features, region_task(plan, loaded), names)
    made_by = MadeBy(OPERATION, plan.parameters)
    with stage(store, names, plan.pairs, made_by, overwrite=overwrite) as staging:
        regions = in_bands(staging.missing(blocks), staging.grid, shares.cache_bytes)
        if regions:
            if plan.coherence is not None:
                warn_of_misfits(store, scene, plan.pairs, plan.coherence, note)
            if options.precision != "float32" and active_client() is None:
                exact = region_task(replace(plan, precision="float32", compiled=False), loaded)
                moved = _deviation(compute, exact, regions[len(regions) // 2])
                note(f"{options.precision} moves the probabilities of a sample by up to {moved:.3f}")
            run_regions(
                staging, regions, compute, description="predict", progress=progress, workers=shares.workers, device=True
            )
        total = count_regions(staging, blocks)
        share = compute.task.networks().kept_share(staging.grid)
        staging.finish()
    if regions:
        warn_of_much(store, names[1], plan.pairs, note)
    first = plan.members[0]
    counts = len(plan.pairs), len(regions), total - len(regions)
    return PredictionResult(tuple(names), *counts, first.tiling.tile, first.batch, share)


def _names(options: PredictOptions, name: str) -> list[str]:
    """Return the names of the variables to write, after checking that the schema has them."""
    kinds = ["change_probability", "change", *(["uncertainty"] if options.uncertainty else [])]
    names = [variable_name(kind, name) for kind in kinds]
    for variable in names:
        schema.variable(variable)
    return names


def _begun_before(store: SceneStore, name: str) -> dict[str, Any]:
    """Return the parameters of an earlier run of this operation, which replace options that are not given."""
    if name not in store:
        return {}
    attrs = dict(store.array(name).attrs)
    return parameters_of(attrs) if attrs.get("sarcd_operation") == OPERATION else {}


def _choose_place(options: PredictOptions, begun: dict[str, Any]) -> Place:
    """Choose where the network runs: as requested, or as in an earlier run, or on the best available device."""
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
    """Return the device that a name refers to in this process, and the torch threads of a CPU (0 for others)."""
    require("torch", "safetensors")
    import torch

    from sarcd.networks.devices import choose_device

    device = choose_device(name)
    threads = worker_threads() or min(torch.get_num_threads(), cores())  # torch ignores the CPU quotas of containers
    return str(device), threads if device.type == "cpu" else 0


def _forward_budget(options: PredictOptions, place: Place) -> int:
    """Return the memory of one forward pass in bytes: a fraction of the free memory of the GPU, or of the budget."""
    if place.here.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(torch.device(place.here))
        return int(0.8 * free)
    return int(_FORWARD_SHARE * left(options.memory_bytes))


@dataclass(frozen=True)
class _Prediction:
    """Computes the variables of one region, from any thread."""

    features: SceneFeatures
    task: RegionTask
    names: list[str]

    def __call__(self, region: Region) -> dict[str, np.ndarray]:
        return_memory()  # that earlier regions have freed
        probability, uncertainty = self.predict(region)
        values = probability, decide(probability, self.task.plan.threshold), uncertainty
        return dict(zip(self.names, values, strict=False))

    def predict(self, region: Region) -> tuple[np.ndarray, np.ndarray]:
        """Return probability and uncertainty of a region."""
        rectangle = region.y, region.x
        return self.task(self.features(region.pair, self.task.plan.window(rectangle)), rectangle)


def _adapt(plan: PredictionPlan, loaded: Sequence[LoadedModel], features: SceneFeatures) -> PredictionPlan:
    """Return the plan with batch-norm statistics estimated on a sample of the scene (AdaBN)."""
    statistics = []
    for member, one in zip(plan.members, loaded, strict=True):
        values = (features(pair, rectangle) for pair, rectangle in member.places(plan.sampled))
        statistics.append(member.estimate(one, values, len(plan.sampled)))
    return plan.adapted(statistics)


def _tell(plan: PredictionPlan, loaded: Sequence[LoadedModel], note: Callable[[str], None]) -> None:
    """Report the choices that were made automatically."""
    blended = {
        (one.card.architecture, member.tiling.tile)
        for member, one in zip(plan.members, loaded, strict=True)
        if isinstance(member.tiling, BlendedTiling)
    }
    for name, tile in sorted(blended):
        note(f"{name} cannot be tiled exactly: tiles of {tile} overlap by half and are blended")
    if plan.coherence is not None and plan.coherence_from == "computed":
        note(f"coherence ({_window_text(plan.coherence)}) is computed in the same pass: it is not stored")


def _window_text(options: CoherenceOptions) -> str:
    """Return the window and the estimator as text."""
    return f"{options.window.y} x {options.window.x} {options.estimator}"


def _scene_features(scene: xr.Dataset, store: SceneStore, plan: PredictionPlan, shares: Shares) -> SceneFeatures:
    """Return the reader of the features, after measuring what their coherence needs from the whole scene."""
    dates, calibration = pair_positions(store), Calibration()
    if plan.coherence is not None and plan.coherence_from == "computed":
        pairs = sorted({*plan.pairs, *plan.sampled})
        with chunk_errors(store.path):
            calibration = calibrate(scene, plan.coherence, [dates[pair] for pair in pairs])
    return SceneFeatures(
        reader=Opened(partial(SceneReader, store.address, cache_bytes=shares.cache_bytes)),
        dates=dates,
        statistics=plan.statistics,
        channels=plan.channels,
        coherence=plan.coherence,
        calibration=calibration,
        stored=plan.coherence_from == "store",
    )


def _share_out(plan: PredictionPlan, options: PredictOptions, grid: tuple[int, int], blocks: tuple[int, int]) -> Shares:
    """Plan the memory that the forward pass leaves.

    Raises
    ------
    OptionError
        If it is not enough.
    """
    bytes_left = left(options.memory_bytes) - (0 if plan.device.startswith("cuda") else plan.forward_bytes)
    tilings = [member.tiling for member in plan.members]
    halo = max(tiling.halo for tiling in tilings)
    sides = [
        min(step * count + 2 * halo, size) for step, count, size in zip(grid, blocks, tilings[0].shape, strict=True)
    ]
    several = len(tilings) > 1 or options.swap or options.flips
    return share_out(
        options.memory_bytes,
        bytes_left,
        region_bytes=(_BYTES_PER_PIXEL + several * _BYTES_PER_PIXEL_OF_MEANS) * sides[0] * sides[1],
        chunk_bytes=8 * grid[0] * grid[1],
        workers=min(_MOST_WORKERS, max(2, cores())),
    )


def _deviation(compute: _Prediction, exact: RegionTask, region: Region) -> float:
    """Return the maximum absolute difference between the probabilities of a region in two precisions."""
    difference = compute.predict(region)[0] - replace(compute, task=exact).predict(region)[0]
    return float(np.nanmax(np.abs(difference), initial=0))
