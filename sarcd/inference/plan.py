"""Plan of a prediction: its networks, their inputs, tiles and devices, and what the map records.

`build_plan` makes the plan. `sarcd.inference.prediction` executes it as a dask graph, `sarcd.jobs.predict` writes its
map to the store; in both a `RegionTask` predicts each region. Plan and task hold paths and digests of model files, not
networks, so that they can be sent to other processes. The file is long because a plan is read as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sarcd import config, schema
from sarcd.attributes import Json
from sarcd.config import CoherenceOptions, PredictOptions
from sarcd.engine.tasks import Opened, Rectangle
from sarcd.errors import ModelError, OptionError, SceneError
from sarcd.estimation.channels import stored_coherence
from sarcd.inference.adabn import Statistics, adapted, reestimate, sample_places, take_sample, tiles_wanted
from sarcd.inference.predictor import Ensemble, Predictor, TTAView, rim_of, tta_views, window_of
from sarcd.inference.tiling import (
    AnyTiling,
    BlendedTiling,
    choose_batch,
    choose_tile,
    forward_bytes,
    tiling_of,
    trained_tile,
)

if TYPE_CHECKING:
    from sarcd.models.file import LoadedModel
    from sarcd.networks import Network


OPERATION = "predict"


@dataclass(frozen=True)
class Place:
    """Where networks run: the device that predicts, the torch threads there, and the device of this process."""

    device: str
    threads: int
    here: str


@dataclass(frozen=True)
class Survey:
    """What a plan needs from a scene, once the scene may be read.

    Parameters
    ----------
    scene : xr.Dataset
        Scene with its current pairs and statistics.
    pairs : list of (int, int)
        Positions along time of the two dates of each pair to predict.
    positions : list of int
        The same pairs, as indices for the reader of the features.
    statistics : Any
        Statistics that normalise the amplitudes, as `sarcd.estimation.features` takes them.
    forward_bytes : int
        Memory of one forward pass in bytes, at most.
    recorded : dict, optional
        What a stored map records about the statistics.
    blended_share : float
        Fraction of the memory that a batch of blended tiles may take.
    """

    scene: xr.Dataset
    pairs: list[tuple[int, int]]
    positions: list[int]
    statistics: Any
    forward_bytes: int
    recorded: Json | None = None
    blended_share: float = 1.0


@dataclass(frozen=True)
class Member:
    """Network of a prediction: its model file, its tiles and batch, and the statistics that it is adapted to."""

    path: str
    digest: str
    tiling: AnyTiling
    batch: int
    statistics: Statistics | None = None

    def places(self, pairs: Sequence[int]) -> list[tuple[int, Rectangle]]:
        """Return the candidate squares for the sample that the network is adapted to."""
        return sample_places(self.tiling.shape, self.tiling.stride, pairs)

    def estimate(self, loaded: LoadedModel, values: Iterable[np.ndarray], pairs: int) -> Statistics:
        """Estimate the batch-norm statistics from the features of `places`, given the number of pairs."""
        wanted = tiles_wanted(self.tiling.shape, self.tiling.stride, pairs)
        sample = take_sample(values, loaded.card.channels, self.tiling.stride, wanted=wanted)
        return reestimate(loaded.network, sample, loaded.device)

    def predictor(self, loaded: LoadedModel) -> Predictor:
        """Return a predictor with a network from `PredictionPlan.ready`."""
        return Predictor(loaded.network, loaded.card.channels, self.tiling, batch=self.batch, device=loaded.device)


@dataclass(frozen=True)
class PredictionPlan:
    """How a scene is predicted: everything that the bytes of the map depend on, and what its attributes record.

    Parameters
    ----------
    members : tuple of Member
        Networks, with their tiles and batches.
    channels : tuple of str
        Features that the networks take.
    coherence : CoherenceOptions or None
        How coherence is estimated; None if it is not a feature.
    coherence_from : {"store", "computed"} or None
        Source of the coherence.
    statistics : Any
        Statistics that normalise the amplitudes.
    threshold : float
        Probability from which a pixel counts as changed.
    views : tuple of tuples of TTAView
        Views of the input for test-time augmentation; see `tta_views`.
    uncertainty : bool
        Whether the standard deviation of the probability is also returned.
    rim : (int, int)
        Width of the invalid rim around holes, in pixels along y and x; see `rim_of`.
    device : str
        Device of the networks.
    threads : int
        Threads of torch on that device; 0 leaves the number unchanged.
    precision : str
        Precision of weights and activations.
    compiled : bool
        Whether the networks are compiled.
    pairs : tuple of int
        Pairs to predict.
    sampled : tuple of int
        Pairs with the sample that the networks are adapted to; empty if they are not adapted.
    forward_bytes : int
        Memory of a forward pass of the largest network, in bytes.
    parameters : dict
        What a stored map records about all this.
    """

    members: tuple[Member, ...]
    channels: tuple[str, ...]
    coherence: CoherenceOptions | None
    coherence_from: str | None
    statistics: Any
    threshold: float
    views: tuple[tuple[TTAView, ...], ...]
    uncertainty: bool
    rim: tuple[int, int]
    device: str
    threads: int
    precision: str
    compiled: bool
    pairs: tuple[int, ...]
    sampled: tuple[int, ...]
    forward_bytes: int
    parameters: Json

    def window(self, region: Rectangle) -> Rectangle:
        """Return the part of the scene that must be read to predict a region."""
        return window_of(region, [member.tiling for member in self.members], self.rim)

    def adapted(self, statistics: Sequence[Statistics]) -> PredictionPlan:
        """Return the plan with batch-norm statistics of the scene, one set per network."""
        members = zip(self.members, statistics, strict=True)
        return replace(self, members=tuple(replace(member, statistics=one) for member, one in members))

    def ready(self, member: Member, loaded: LoadedModel) -> LoadedModel:
        """Return a network prepared for inference: adapted, optimised, in the requested precision."""
        if member.statistics is not None:
            loaded = replace(loaded, network=adapted(loaded.network, member.statistics))
        return loaded.quick(self.precision, compiled=self.compiled)  # type: ignore[arg-type]  # one of the precisions

    def ensemble(self, ready: Iterable[LoadedModel]) -> Ensemble:
        """Return the ensemble of networks that are ready."""
        predictors = [member.predictor(one) for member, one in zip(self.members, ready, strict=True)]
        return Ensemble(predictors, self.views, rim=self.rim)


@dataclass(frozen=True)
class RegionTask:
    """Task that predicts regions by a plan, in any process; thread-safe.

    Parameters
    ----------
    plan : PredictionPlan
        The plan.
    networks : callable
        Returns the networks of the plan, opened in this process; they are not pickled with it.
    """

    plan: PredictionPlan
    networks: Callable[[], Ensemble]

    def __call__(self, features: np.ndarray, region: Rectangle) -> tuple[np.ndarray, np.ndarray]:
        """Return probability and uncertainty of a region, from the features of `PredictionPlan.window`."""
        return self.networks().predict(features, region)


def region_task(plan: PredictionPlan, loaded: Sequence[LoadedModel]) -> RegionTask:
    """Return the task of a plan, with the networks that are loaded here; a worker of a cluster loads them again."""
    ready = [plan.ready(member, one) for member, one in zip(plan.members, loaded, strict=True)]
    return RegionTask(plan, Opened(partial(open_networks, plan), plan.ensemble(ready)))


def open_networks(plan: PredictionPlan) -> Ensemble:
    """Load the networks of a plan on a worker of a cluster.

    Raises
    ------
    ModelError
        If a file is missing, or is not the file that the job was planned with.
    """
    import torch

    from sarcd.models.file import load_model

    ready = []
    for member in plan.members:
        loaded = load_model(member.path, device=plan.device)
        if loaded.digest != member.digest:
            hint = "put the file where every worker sees it"
            raise ModelError("is another model on this worker", source=member.path, hint=hint)
        ready.append(plan.ready(member, loaded))
    if plan.threads:
        torch.set_num_threads(plan.threads)  # a worker starts with one thread, whatever its number of cores
    return plan.ensemble(ready)


def build_plan(
    models: str | Path | Sequence[str | Path],
    options: PredictOptions,
    scene: xr.Dataset,
    place: Place,
    survey: Callable[[LoadedModel, Json], Survey],
    begun: Json | None = None,
) -> tuple[PredictionPlan, list[LoadedModel]]:
    """Plan a prediction.

    Parameters
    ----------
    models : str or Path, or a sequence of them
        Model files.
    options : PredictOptions
        Options of the user.
    scene : xr.Dataset
        Scene; its data are not read here.
    place : Place
        Where the networks run.
    survey : callable
        Reads what the plan needs from the scene. Its arguments are the first network and the parameters known by then
        (None for those that are not recorded), so that it can refuse before it reads.
    begun : dict, optional
        Parameters of an earlier run, which replace options that are not given.

    Returns
    -------
    plan : PredictionPlan
    loaded : list of LoadedModel
        Networks, on the device of this process.

    Raises
    ------
    ModelError
        If a file is not a model, or does not match the others.
    SceneError
        If the scene lacks an input of the networks.
    OptionError
        If the uncertainty of a single probability is requested, or tile or batch cannot be used.
    """
    from sarcd.models.file import load_models

    begun, paths = begun or {}, [models] if isinstance(models, (str, Path)) else list(models)
    if options.uncertainty and len(paths) == 1 and not (options.swap or options.flips):
        raise OptionError(
            "one model that sees the ground one way has no spread",
            option="uncertainty",
            hint="name several models, or add swap or flips",
        )
    loaded = load_models(paths, place.here)
    _check_channels(scene, loaded[0])
    card = loaded[0].card
    coherence = card.coherence if "coherence" in card.channels else None
    threshold = options.threshold
    if threshold is None:
        threshold = sum(one.card.threshold for one in loaded) / len(loaded)
    known = {
        "model": _one_or_list([one.digest for one in loaded]),
        "dtype": options.precision,
        "threshold": threshold,
        # Added later; recorded only where used, so that earlier results compare equal.
        **{name: getattr(options, name) or None for name in ("compiled", "swap", "flips")},
    }
    found = survey(loaded[0], known)
    members, largest = _choose_tiles(loaded, options, place, found, begun)
    usable = coherence is not None and stored_coherence(found.scene, found.pairs, coherence) is not None
    stored = usable and (begun.get("coherence_from") or "store") == "store"
    sampled = begun.get("adapt_batchnorm", {}).get("pairs", found.positions) if options.adapt_batchnorm else []
    plan = PredictionPlan(
        members=tuple(members),
        channels=card.channels,
        coherence=coherence,
        coherence_from=None if coherence is None else "store" if stored else "computed",
        statistics=found.statistics,
        threshold=threshold,
        views=tuple(tuple(group) for group in tta_views(swap=options.swap, flips=options.flips)),
        uncertainty=options.uncertainty,
        rim=rim_of(card.channels, coherence),
        device=place.device,
        threads=place.threads,
        precision=options.precision,
        compiled=options.compiled,
        pairs=tuple(found.positions),
        sampled=tuple(sampled),
        forward_bytes=largest,
        parameters={},
    )
    return replace(plan, parameters=_parameters(plan, {**known, "statistics": found.recorded})), loaded


def _check_channels(scene: xr.Dataset, loaded: LoadedModel) -> None:
    """Raise unless the scene has the inputs of the network."""
    if "coherence" not in loaded.card.channels:
        return
    if loaded.card.coherence is None:
        raise ModelError("needs coherence but does not record how it is estimated", hint="train it again")
    if "slc" not in scene:
        raise SceneError(
            "the model needs coherence, which amplitude images do not have",
            source=schema.source_of(scene),
            hint="use a model trained with 'sarcd train --no-coherence', or 'sarcd detect', which needs none",
        )


def _choose_tiles(
    loaded: Sequence[LoadedModel], options: PredictOptions, place: Place, survey: Survey, begun: Json
) -> tuple[list[Member], int]:
    """Choose tile and batch of each network; also return the memory of the largest forward pass in bytes.

    Tiles and batches that are not given follow an earlier run, if there is one.
    """
    shape = survey.scene.sizes["y"], survey.scene.sizes["x"]
    budget, kind = survey.forward_bytes, place.device.partition(":")[0]
    tiles, batches = (_listed(begun.get(key), len(loaded)) for key in ("tile", "batch"))
    members, largest = [], 0
    for number, one in enumerate(loaded):
        network = _outline(one, options.precision)
        if options.tiles == "auto" and tiles:
            tile = tiles[number]
        else:
            trained = trained_tile(one.card.training)
            tile = choose_tile(options.tiles, network, shape, budget, device=kind, trained=trained)
        if not options.batch and tiles and batches and tiles[number] == tile:
            batch = batches[number]
        else:
            most = budget if network.exact_tiles else int(survey.blended_share * budget)
            batch = choose_batch(options.batch, network, tile, shape, most)
        largest = max(largest, forward_bytes(network, tile, batch, shape))
        members.append(Member(str(Path(one.path).resolve()), one.digest, tiling_of(network, shape, tile), batch))
    return members, largest


def _outline(loaded: LoadedModel, precision: str) -> Network:
    """Return a network as it will predict, on the meta device: its memory can be estimated without any weights."""
    import torch

    from sarcd.networks import create_model

    with torch.device("meta"):
        network = create_model(loaded.card.architecture, len(loaded.card.channels), **loaded.card.options)
    return network.to(getattr(torch, precision))


def _listed(value: Any, count: int) -> list[int]:
    """Return what an earlier run recorded for each network; empty if it had another number of networks."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [int(item) for item in values] if len(values) == count else []


def _one_or_list(values: Sequence[Any]) -> Any:
    """Return the value of a single network, the usual case, or the list of several."""
    return values[0] if len(values) == 1 else list(values)


def _parameters(plan: PredictionPlan, known: Json) -> Json:
    """Return everything that the bytes of the map depend on, in the order of the record."""
    tilings = [member.tiling for member in plan.members]
    kinds = ["blended" if isinstance(tiling, BlendedTiling) else "exact" for tiling in tilings]
    parameters = {
        "model": known["model"],
        "tile": _one_or_list([tiling.tile for tiling in tilings]),
        "batch": _one_or_list([member.batch for member in plan.members]),
        "tiling": _one_or_list(kinds) if "blended" in kinds else None,
        **{name: known[name] for name in ("dtype", "threshold", "statistics")},
        "device": plan.device,
        "threads": plan.threads,
        **{name: known[name] for name in ("compiled", "swap", "flips")},
        "adapt_batchnorm": {"pairs": list(plan.sampled)} if plan.sampled else None,
        "coherence": None if plan.coherence is None else config.to_dict(plan.coherence),
        "rim": list(plan.rim) if any(plan.rim) else None,
        "coherence_from": plan.coherence_from,
    }
    return {name: value for name, value in parameters.items() if value is not None}
