"""Change maps by trained networks, as lazy datasets."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.attributes import Json, parameters_of
from sarcd.config import PredictOptions
from sarcd.engine.lazy import made_by_attrs, paired_array
from sarcd.engine.tasks import Rectangle
from sarcd.errors import OptionError
from sarcd.estimation.channels import features
from sarcd.estimation.coherence_layers import pairs_of
from sarcd.inference.adabn import Statistics, digest_of
from sarcd.inference.plan import OPERATION, Member, Place, PredictionPlan, RegionTask, Survey, build_plan
from sarcd.inference.predictor import Ensemble, decide
from sarcd.inference.tiling import BlendedTiling, blocks_of
from sarcd.models.pretrained import MINES
from sarcd.store.openable import take
from sarcd.store.pairs import Pair

if TYPE_CHECKING:
    from sarcd.models.file import LoadedModel

_FORWARD_BYTES = 2**29  # per forward pass; other threads of dask hold chunks meanwhile
_RECORDED = ("model", "tile", "tiling", "threshold", "swap", "flips", "adapt_batchnorm", "rim")  # besides the features'


def predict(  # noqa: PLR0913  one argument per option, as in the command
    scene: xr.Dataset,
    *,
    model: str | Path | Sequence[str | Path] | None = None,
    tiles: int | Literal["auto", "whole"] = "auto",
    device: str = "auto",
    statistics: Any = None,
    threshold: float | None = None,
    pairs: str | Sequence[Pair] | None = None,
    swap: bool = False,
    flips: bool = False,
    adapt_batchnorm: bool = False,
    uncertainty: bool = False,
) -> xr.Dataset:
    """Map the changes of every pair with a network, the pretrained one or others.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc`, or with `amplitude` for networks that need no coherence.
    model : str or Path, or a sequence of them, optional
        Model files made by `sarcd train`; the probabilities of several are averaged. By default the network pretrained
        on simulated mines, `sarcd.models.pretrained.MINES`.
    tiles : int, "auto" or "whole"
        Side of a tile in pixels, rounded up to the network's stride. The map does not depend on it, unless the network
        cannot be tiled exactly; then tiles overlap by half and are blended.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    statistics : "scene", "model", AmplitudeStatistics or (median, mad), optional
        Statistics that normalise the amplitudes; by default as the model file specifies, usually the scene's own.
    threshold : float, optional
        Probability from which a pixel counts as changed; by default the model's, or the mean over several models.
    pairs : str or sequence of (before, after), optional
        As in `sarcd.estimation.coherence`.
    swap, flips : bool
        Test-time augmentation: mean over both orders of the dates; over images flipped along y, along x, and both.
    adapt_batchnorm : bool
        Re-estimate the network's batch-norm statistics (AdaBN) on a sample of the scene, which is read when the map is
        computed.
    uncertainty : bool
        Also return the standard deviation of the probability over models and test-time augmentations.

    Returns
    -------
    xr.Dataset
        `change_probability` (pair, y, x) float32 in [0, 1], NaN where the input is invalid and in the rim around holes
        (see `sarcd.inference.rim_of`), and `change` (pair, y, x) uint8, 255 there; lazy, in chunks of whole regions.
        With `uncertainty` also `uncertainty` (pair, y, x) float32 in [0, 0.5].

    Raises
    ------
    ModelError
        If a file is not a model, or does not match the others.
    SceneError
        If the scene lacks an input of the model.
    OptionError
        If an option cannot be used.

    See Also
    --------
    sarcd.detect : map by the method that suits the scene.
    sarcd.jobs.predict : the same, stored and resumable.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, Eq. 5-7.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> sorted(predict(sites.simulate("A", size=64), device="cpu"))
    ['change', 'change_probability']
    """
    scene = take(scene)
    options = PredictOptions(
        tiles=tiles,
        device=device,
        threshold=threshold,
        swap=swap,
        flips=flips,
        adapt_batchnorm=adapt_batchnorm,
        uncertainty=uncertainty,
    )

    def survey(loaded: LoadedModel, _known: Json) -> Survey:
        chosen = pairs_of(scene, pairs)
        return Survey(scene, chosen, list(range(len(chosen))), _statistics(statistics, loaded), _FORWARD_BYTES)

    plan, _ = build_plan(MINES if model is None else model, options, scene, _place(device), survey)
    source = features(scene, channels=plan.channels, statistics=plan.statistics, coherence=plan.coherence, pairs=pairs)
    layers = _lazy_layers(source, plan)
    recorded = {name: value for name, value in plan.parameters.items() if name in _RECORDED}
    if adapt_batchnorm:
        recorded["adapt_batchnorm"] = True  # to all pairs
    attrs = made_by_attrs(OPERATION, {**recorded, **parameters_of(source)})
    change = layers[0].map_blocks(decide, plan.threshold, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    found = {"change_probability": layers[0], "change": change}
    if uncertainty:
        found["uncertainty"] = layers[1]
    chosen = pairs_of(scene, pairs)
    return xr.Dataset(
        {name: paired_array(scene, name, values, chosen, attrs) for name, values in found.items()},
        attrs={key: value for key, value in scene.attrs.items() if key != "coordinates"},
    )


def _place(device: str) -> Place:
    """Return the device that a name refers to here; the number of torch threads is unchanged."""
    from sarcd.networks.devices import choose_device

    name = str(choose_device(device))
    return Place(name, 0, name)


def _statistics(statistics: Any, loaded: LoadedModel) -> Any:
    policy = loaded.card.statistics_policy if statistics is None else statistics
    if policy != "model":
        return policy
    if loaded.card.statistics is None:
        raise OptionError("the model file keeps no statistics", option="statistics", hint="use 'scene'")
    return loaded.card.statistics


def _lazy_layers(source: xr.DataArray, plan: PredictionPlan) -> list[Any]:
    """Return each layer (pair, y, x) as a dask array, with one task per region besides reading its window."""
    import dask.array as da
    from dask.delayed import delayed

    data = da.asarray(source.data)
    statistics = _lazy_statistics(data, plan) if plan.sampled else None
    rows, columns = _regions(plan)
    predict, count = delayed(functools.partial(_predict_region, plan), pure=True), 1 + plan.uncertainty
    blocks: list[list[list[Any]]] = [[[None] * len(columns) for _ in rows] for _ in range(data.shape[0])]
    for pair, (i, y), (j, x) in product(range(data.shape[0]), enumerate(rows), enumerate(columns)):
        values = _one_chunk(data[(pair, slice(None), *plan.window((y, x)))])
        shape = (count, y.stop - y.start, x.stop - x.start)
        blocks[pair][i][j] = da.from_delayed(predict(values, statistics, (y, x)), shape, np.float32)
    layers = da.block(blocks)  # (pair x layer, y, x)
    return [layers[number::count] for number in range(count)]


def _regions(plan: PredictionPlan) -> tuple[list[slice], list[slice]]:
    """Return the rows and columns of the regions, each as large as a chunk or the largest tile."""
    tilings = [member.tiling for member in plan.members]
    if any(isinstance(tiling, BlendedTiling) for tiling in tilings):
        steps = [schema.CHUNK * count for count in blocks_of(tilings, (schema.CHUNK, schema.CHUNK))]
    else:
        steps = [max(max(one.tile, schema.CHUNK // one.stride * one.stride) for one in tilings)] * 2
    rows, columns = (
        [slice(start, min(start + step, size)) for start in range(0, size, step)]
        for size, step in zip(tilings[0].shape, steps, strict=True)
    )
    return rows, columns


def _one_chunk(values: Any) -> Any:
    """Return an array as a single delayed value, so that a task receives it whole."""
    return values.rechunk(values.shape).to_delayed().ravel()[0]


def _predict_region(
    plan: PredictionPlan, values: np.ndarray, statistics: Sequence[Statistics] | None, region: Rectangle
) -> np.ndarray:
    """Return probability, and uncertainty if requested, (1 or 2, y, x), from the features of the window."""
    if statistics is not None:
        plan = plan.adapted(statistics)
    layers = RegionTask(plan, functools.partial(_kept_networks, plan))(values, region)
    return np.stack(layers[: 1 + plan.uncertainty])


def _kept_networks(plan: PredictionPlan) -> Ensemble:
    """Return the networks of a plan, each cached for other regions and plans of this process."""
    return plan.ensemble(_kept(_Key(member, plan)) for member in plan.members)


@dataclass(frozen=True)
class _Key:
    """Cache key of a network on a device, with the statistics it is adapted to; equal if the file is the same."""

    member: Member
    plan: PredictionPlan

    def __hash__(self) -> int:
        return hash(self._identity())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self._identity() == other._identity()

    def _identity(self) -> tuple[str, ...]:
        return self.member.path, self.member.digest, self.plan.device, digest_of(self.member.statistics)


@functools.lru_cache(maxsize=8)
def _kept(key: _Key) -> LoadedModel:
    """Load a network once per process and device, and prepare it for inference."""
    return key.plan.ready(key.member, _load(key.member, key.plan.device))


def _load(member: Member, device: str) -> LoadedModel:
    from sarcd.models.file import load_model

    loaded = load_model(member.path, device=device)
    if loaded.digest != member.digest:
        raise OptionError("the model file changed since detect() was called", source=member.path, hint="call it again")
    return loaded


def _lazy_statistics(data: Any, plan: PredictionPlan) -> Any:
    """Return the statistics that each network is adapted to, as a list of delayed values."""
    from dask.delayed import delayed

    estimates = []
    for member in plan.members:
        places = member.places(plan.sampled)
        values = [_one_chunk(data[(pair, slice(None), *rectangle)]) for pair, rectangle in places]
        estimates.append(delayed(_estimate, pure=True)(values, member, plan.device, len(plan.sampled)))
    return estimates


def _estimate(values: list[np.ndarray], member: Member, device: str, pairs: int) -> Statistics:
    return member.estimate(_load(member, device), values, pairs)
