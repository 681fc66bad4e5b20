"""The networks of a prediction: loaded, adapted to the scene, and averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from sarcd import schema
from sarcd.config import CoherenceOptions, PredictOptions
from sarcd.errors import ModelError, OptionError, SceneError
from sarcd.inference.adabn import Statistics, adapted, reestimate, sample_places, take_sample, tiles_wanted
from sarcd.inference.predictor import Ensemble, Predictor, TTAView
from sarcd.inference.tiling import AnyTiling, BlendedTiling

if TYPE_CHECKING:
    from sarcd.inference.scene_features import SceneFeatures
    from sarcd.models.file import LoadedModel, ModelCard

Json = dict[str, Any]

OPERATION = "predict"


@dataclass(frozen=True)
class Member:
    """One network of a prediction: where it is read from, how it goes over the scene, and what it was adapted to."""

    path: str
    digest: str
    tiling: AnyTiling
    batch: int
    statistics: Statistics | None = None

    def prepare(self, loaded: LoadedModel, parameters: Json) -> LoadedModel:
        """Return the network as it predicts: adapted, quick, in the precision asked for."""
        if self.statistics is not None:
            loaded = replace(loaded, network=adapted(loaded.network, self.statistics))
        return loaded.quick(parameters["dtype"], compiled=bool(parameters.get("compiled")))

    def predictor(self, loaded: LoadedModel) -> Predictor:
        """Return a predictor with a network that is prepared."""
        return Predictor(loaded.network, loaded.card.channels, self.tiling, batch=self.batch, device=loaded.device)


def load_members(models: str | Path | Sequence[str | Path], device: str) -> list[LoadedModel]:
    """Load one model file or several that see the same features.

    Raises
    ------
    ModelError
        If there is none, one is no model, is given twice, or sees other features than the first.
    """
    from sarcd.models.file import load_model

    paths = [models] if isinstance(models, (str, Path)) else list(models)
    if not paths:
        raise ModelError("no model is named", hint="name a file made by 'sarcd train'")
    members = [load_model(path, device=device) for path in paths]
    first, hint = members[0], "models predict together if they were trained on the same features"
    for number, other in enumerate(members[1:], start=1):
        if other.digest in [member.digest for member in members[:number]]:
            raise ModelError("is given twice", source=other.path, hint="name each model once")
        for what in ("channels", "coherence", "statistics_policy"):
            if getattr(other.card, what) != getattr(first.card, what):
                raise ModelError(f"{what} is not that of {first.path}", source=other.path, hint=hint)
        if first.card.statistics_policy == "model" and other.card.statistics != first.card.statistics:
            raise ModelError(f"statistics are not those of {first.path}", source=other.path, hint=hint)
    return members


def adapt(
    members: Sequence[Member], loaded: Sequence[LoadedModel], features: SceneFeatures, pairs: Sequence[int]
) -> list[Member]:
    """Return the members with batch-norm statistics of a sample of the scene."""
    out = []
    for member, model in zip(members, loaded, strict=True):
        places = sample_places(member.tiling.shape, member.tiling.stride, pairs)
        values = (features(pair, rectangle) for pair, rectangle in places)
        wanted = tiles_wanted(member.tiling.shape, member.tiling.stride, len(pairs))
        sample = take_sample(values, model.card.channels, member.tiling.stride, wanted=wanted)
        out.append(replace(member, statistics=reestimate(model.network, sample, model.device)))
    return out


def open_ensemble(members: Sequence[Member], groups: Sequence[Sequence[TTAView]], parameters: Json) -> Ensemble:
    """Load the networks on a worker of a cluster.

    Raises
    ------
    ModelError
        If a file is not there, or is another than the job was planned with.
    """
    import torch

    from sarcd.models.file import load_model

    predictors = []
    for member in members:
        loaded = load_model(member.path, device=parameters["device"])
        if loaded.digest != member.digest:
            hint = "put the file where every worker sees it"
            raise ModelError("is another model on this worker", source=member.path, hint=hint)
        predictors.append(member.predictor(member.prepare(loaded, parameters)))
    if parameters["threads"]:
        torch.set_num_threads(parameters["threads"])  # a worker is started with one, whatever its cores
    return Ensemble(predictors, groups, rim=tuple(parameters.get("rim", (0, 0))))


_BEYOND = 6
"""Pixels beyond half the coherence window. Of the pretrained network, window 5 x 5, 20 % of unchanged simulated ground
was flagged at 1 pixel from a gap 15 pixels wide, 6 % at 2, 1 % at 5, and 0.2 to 0.6 % from 8 on; 0.1 % without it."""


def rim_of(channels: Sequence[str], coherence: CoherenceOptions | None) -> tuple[int, int]:
    """Return the pixels along y and x from a hole within which nothing is claimed.

    Parameters
    ----------
    channels : sequence of str
        Features of the network. A hole looks like ground that lost its coherence; without coherence it looks the same
        on both dates, and has no rim.
    coherence : CoherenceOptions or None
        How coherence is estimated.

    Examples
    --------
    >>> rim_of(("before", "after", "coherence"), CoherenceOptions()), rim_of(("before", "after"), None)
    ((8, 8), (0, 0))
    """
    if "coherence" not in channels or coherence is None:
        return 0, 0
    return coherence.window.y // 2 + _BEYOND, coherence.window.x // 2 + _BEYOND


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
        raise ModelError("wants coherence but does not say how it is estimated", hint="train it again")
    if "slc" not in scene:
        raise SceneError(
            "the model wants coherence, and detected images have none",
            source=schema.source_of(scene),
            hint="use a model trained with 'sarcd train --no-coherence', or 'sarcd detect', which needs none",
        )


def check_uncertainty(options: PredictOptions, models: int) -> None:
    """Raise OptionError if the spread of a single probability is asked for."""
    if options.uncertainty and models == 1 and not (options.swap or options.flips):
        raise OptionError(
            "one model that sees the ground one way has no spread",
            option="uncertainty",
            hint="name several models, or add swap or flips",
        )


def mean_threshold(cards: Sequence[ModelCard]) -> float:
    """Return the threshold of the networks' mean: the mean of their own."""
    return sum(card.threshold for card in cards) / len(cards)


def one_or_list(values: Sequence[Any]) -> Any:
    """Return the value of the one network there is as a rule, or a list."""
    return values[0] if len(values) == 1 else list(values)


def tile_parameters(members: Sequence[Member]) -> dict[str, Any]:
    """Return what the bytes of the result depend on in the tiles."""
    kinds = ["blended" if isinstance(member.tiling, BlendedTiling) else "exact" for member in members]
    return {
        "tile": one_or_list([member.tiling.tile for member in members]),
        "batch": one_or_list([member.batch for member in members]),
        **({"tiling": one_or_list(kinds)} if "blended" in kinds else {}),
    }
