"""The networks of a prediction: loaded, adapted to the scene, shown the ground in several ways, and averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcd.engine.tasks import Rectangle, grow, inside
from sarcd.errors import ModelError
from sarcd.inference.adabn import Statistics, adapted, reestimate, sample_places, take_sample, tiles_wanted
from sarcd.inference.forward import PLAIN, TTAView
from sarcd.inference.kernels import near_holes, rim_halo
from sarcd.inference.predictor import AnyTiling, Predictor, sigmoid

if TYPE_CHECKING:
    from sarcd.inference.scene_features import SceneFeatures
    from sarcd.models.file import LoadedModel


def blocks_of(tilings: Sequence[AnyTiling], grid: tuple[int, int]) -> tuple[int, int]:
    """Return how many stored chunks along y and x are predicted as one by several networks together."""
    counts = [tiling.blocks(grid) for tiling in tilings]
    return max(y for y, _ in counts), max(x for _, x in counts)


class Ensemble:
    """Networks that predict regions of one scene together; one network alone is the usual case.

    They work in turn, so that no more memory is taken than by one, and a few values a pixel besides.

    Parameters
    ----------
    predictors : sequence of Predictor
        All with the same channels, each with tiles of its own.
    groups : sequence of sequences of TTAView
        Ways to show each network its input; see `variants`.
    rim : (int, int)
        Pixels along y and x around a hole within which nothing is claimed; see `rim_of`. 0 for no rim.

    Notes
    -----
    The mean is of probabilities, not logits: it is calibrated where its members are, and `uncertainty` is the spread
    about it. Variants of a group are added first. So with both orders of the dates, which a group holds, a pair and the
    same pair reversed add the same two numbers, and their maps are equal to the last bit.
    """

    def __init__(
        self,
        predictors: Sequence[Predictor],
        groups: Sequence[Sequence[TTAView]] = ((PLAIN,),),
        *,
        rim: tuple[int, int] = (0, 0),
    ) -> None:
        self.predictors = list(predictors)
        self.groups = [list(group) for group in groups]
        self.rim = rim

    @property
    def passes(self) -> int:
        """Probabilities that the mean is taken over."""
        return len(self.predictors) * sum(len(group) for group in self.groups)

    def window(self, region: Rectangle) -> Rectangle:
        """Return the part of the scene that must be read to predict a region."""
        windows = [predictor.tiling.window(region) for predictor in self.predictors]
        if any(self.rim):
            windows.append(grow(region, rim_halo(self.rim), self.predictors[0].tiling.shape))
        y, x = (
            slice(min(window[axis].start for window in windows), max(window[axis].stop for window in windows))
            for axis in (0, 1)
        )
        return y, x

    def kept_share(self, grid: tuple[int, int]) -> float:
        """Return the pixels of the map by those that a network computes for one variant, over all networks."""
        return len(self.predictors) / sum(1 / predictor.tiling.kept_share(grid) for predictor in self.predictors)

    def predict(self, features: np.ndarray, region: Rectangle) -> tuple[np.ndarray, np.ndarray]:
        """Predict a region.

        Parameters
        ----------
        features : (C, h, w) float32
            Features of ``window(region)``, NaN where invalid.
        region : (slice, slice)
            Rectangle of the scene.

        Returns
        -------
        probability : float32
            Mean over networks and variants, NaN where any channel is invalid, and at the rim of holes.
        uncertainty : float32
            Standard deviation among them, from 0 to 0.5; 0 where there is but one.
        """
        found = self._mean(features, region)
        if any(self.rim):
            near = near_holes(~np.isnan(features).any(axis=0), self.rim)[inside(region, self.window(region))]
            for layer in found:
                layer[near] = np.nan
        return found

    def _mean(self, features: np.ndarray, region: Rectangle) -> tuple[np.ndarray, np.ndarray]:
        window = self.window(region)
        total = np.zeros((region[0].stop - region[0].start, region[1].stop - region[1].start))
        squares = np.zeros_like(total)
        for predictor in self.predictors:
            seen = tuple(
                slice(part.start - around.start, part.stop - around.start)
                for part, around in zip(predictor.tiling.window(region), window, strict=True)
            )
            part = features[(slice(None), *seen)]
            for group in self.groups:
                found = [sigmoid(predictor.logits(part, region, view=view)) for view in group]
                if self.passes == 1:
                    return found[0], np.where(np.isnan(found[0]), found[0], np.float32(0))
                total += np.sum(found, axis=0, dtype=np.float64)
                squares += np.sum(np.square(found, dtype=np.float64), axis=0)
        mean = total / self.passes
        spread = np.sqrt(np.maximum(squares / self.passes - mean**2, 0))
        return mean.astype(np.float32), spread.astype(np.float32)


Json = dict[str, Any]


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
