"""Change maps by trained networks, as lazy datasets."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.attributes import parameters_of
from sarcd.config import PredictOptions
from sarcd.engine.lazy import made_by_attrs, paired_array
from sarcd.errors import OptionError
from sarcd.estimation.channels import features
from sarcd.estimation.coherence_layers import pairs_of
from sarcd.inference import (
    BlendedTiling,
    Ensemble,
    Rectangle,
    TTAView,
    blocks_of,
    choose_batch,
    choose_tile,
    decide,
    rim_of,
    tiling_of,
    trained_tile,
    tta_views,
)
from sarcd.inference.adabn import digest_of, reestimate, sample_places, take_sample, tiles_wanted
from sarcd.inference.plan import (
    OPERATION,
    Member,
    check_channels,
    check_uncertainty,
    load_members,
    mean_threshold,
    one_or_list,
    tile_parameters,
)
from sarcd.models.pretrained import MINES
from sarcd.store.openable import take
from sarcd.store.pairs import Pair

if TYPE_CHECKING:
    from sarcd.models.file import LoadedModel

_FORWARD_BYTES = 2**29  # of one forward pass: dask's other threads hold chunks of their own meanwhile


def predict(  # noqa: PLR0913  one knob a choice, as the command has them
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
        Model files made by `sarcd train`; of several the map is the mean of their probabilities. By default the
        network pretrained on simulated mines, `sarcd.models.pretrained.MINES`.
    tiles : int, "auto" or "whole"
        Side of a tile in pixels, rounded up to the network's stride; the map is the same for any, unless the network
        cannot be tiled exactly: then tiles overlap by half and are blended.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    statistics : "scene", "model", AmplitudeStatistics or (median, mad), optional
        What normalises the amplitudes; by default what the model file says, the scene's own as a rule.
    threshold : float, optional
        Probability from which a pixel counts as changed; the model's by default, of several the mean.
    pairs : str or sequence of (before, after), optional
        As in `sarcd.estimation.coherence`.
    swap, flips : bool
        Test-time augmentation: mean over both orders of the dates; over the ground flipped along y, along x, and both.
    adapt_batchnorm : bool
        Estimate the network's batch-norm statistics anew (AdaBN), on a sample of the scene that is read when the map is
        computed.
    uncertainty : bool
        Return the standard deviation of the probability among models and test-time augmentations as well.

    Returns
    -------
    xr.Dataset
        `change_probability` (pair, y, x) float32 in [0, 1], NaN where the input is invalid and at the rim of holes (see
        `sarcd.inference.rim_of`), and `change` (pair, y, x) uint8, 255 there; lazy, in chunks of whole regions. With
        `uncertainty` also that, (pair, y, x) float32, in [0, 0.5].

    Raises
    ------
    ModelError
        If a file is no model, or does not go with the others.
    SceneError
        If the scene lacks what the model looks at.
    OptionError
        If an option cannot be used.

    See Also
    --------
    sarcd.detect : by what suits the scene.
    sarcd.jobs.predict : the same into the store, resumable.

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
    model = MINES if model is None else model
    paths = [str(model)] if isinstance(model, (str, Path)) else [str(path) for path in model]
    loaded = load_members(paths, device)
    check_channels(scene, loaded[0])
    groups = tta_views(swap=swap, flips=flips)
    check_uncertainty(PredictOptions(swap=swap, flips=flips, uncertainty=uncertainty), len(paths))
    limit = mean_threshold([one.card for one in loaded]) if threshold is None else threshold
    if not 0 < limit < 1:
        raise OptionError(f"threshold is {limit}", option="threshold", hint="use a value between 0 and 1")
    chosen, card = pairs_of(scene, pairs), loaded[0].card
    source = features(
        scene,
        channels=card.channels,
        statistics=_statistics(statistics, loaded[0]),
        coherence=card.coherence if "coherence" in card.channels else None,
        pairs=pairs,
    )
    shape = scene.sizes["y"], scene.sizes["x"]
    members = [_member(one, tiles, shape) for one in loaded]
    rim = rim_of(card.channels, card.coherence)
    task = _RegionTask(members, str(loaded[0].device), groups, spread=uncertainty, rim=rim)
    layers = _lazy_layers(source, loaded, task, adapt_batchnorm=adapt_batchnorm)
    sizes = tile_parameters(members)
    view = {
        name: True for name, given in (("swap", swap), ("flips", flips), ("adapt_batchnorm", adapt_batchnorm)) if given
    }
    parameters = {
        "model": one_or_list([member.digest for member in members]),
        **{key: value for key, value in sizes.items() if key != "batch"},
        "threshold": limit,
        **view,
        **({"rim": list(rim)} if any(rim) else {}),
        **parameters_of(source),
    }
    attrs = made_by_attrs(OPERATION, parameters)
    change = layers[0].map_blocks(decide, limit, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    found = {"change_probability": layers[0], "change": change}
    if uncertainty:
        found["uncertainty"] = layers[1]
    return xr.Dataset(
        {name: paired_array(scene, name, values, chosen, attrs) for name, values in found.items()},
        attrs={key: value for key, value in scene.attrs.items() if key != "coordinates"},
    )


def _member(loaded: LoadedModel, tiles: int | Literal["auto", "whole"], shape: tuple[int, int]) -> Member:
    network, trained = loaded.network, trained_tile(loaded.card.training)
    tile = choose_tile(tiles, network, shape, _FORWARD_BYTES, device=loaded.device.type, trained=trained)
    batch = choose_batch(0, network, tile, shape, _FORWARD_BYTES)
    return Member(loaded.path, loaded.digest, tiling_of(network, shape, tile), batch)


def _statistics(statistics: Any, loaded: LoadedModel) -> Any:
    policy = loaded.card.statistics_policy if statistics is None else statistics
    if policy != "model":
        return policy
    if loaded.card.statistics is None:
        raise OptionError("the model file keeps no statistics", option="statistics", hint="use 'scene'")
    return loaded.card.statistics


@dataclass(frozen=True)
class _RegionTask:
    """Predicts a region; the graph carries the paths of the models, never the networks."""

    members: list[Member]
    device: str
    groups: list[list[TTAView]]
    spread: bool
    rim: tuple[int, int]

    def __call__(self, values: np.ndarray, statistics: Any, region: Rectangle) -> np.ndarray:
        """Return probability, and uncertainty if it is asked for, (1 or 2, y, x), of the features of the window."""
        members = self.members
        if statistics is not None:
            members = [replace(member, statistics=one) for member, one in zip(members, statistics, strict=True)]
        predictors = [member.predictor(_ready(_Key(member, self.device))) for member in members]
        found = Ensemble(predictors, self.groups, rim=self.rim).predict(values, region)
        return np.stack(found if self.spread else found[:1])


@dataclass(frozen=True)
class _Key:
    """A network on a device, with the statistics it was adapted to; equal to another of the same file."""

    member: Member
    device: str

    def __hash__(self) -> int:
        return hash(self._identity())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self._identity() == other._identity()

    def _identity(self) -> tuple[str, ...]:
        return self.member.path, self.member.digest, self.device, digest_of(self.member.statistics)


@functools.lru_cache(maxsize=8)
def _ready(key: _Key) -> LoadedModel:
    """Load a network once a process and device, and make it quick."""
    return key.member.prepare(_load(key.member, key.device), {"dtype": "float32"})


def _load(member: Member, device: str) -> LoadedModel:
    from sarcd.models.file import load_model

    loaded = load_model(member.path, device=device)
    if loaded.digest != member.digest:
        raise OptionError("the model file changed since detect() was called", source=member.path, hint="call it again")
    return loaded


def _lazy_layers(
    source: xr.DataArray, loaded: Sequence[LoadedModel], task: _RegionTask, *, adapt_batchnorm: bool
) -> list[Any]:
    """Return each layer (pair, y, x) as a dask array, one task a region besides the reading of its window."""
    import dask.array as da
    from dask.delayed import delayed

    data = da.asarray(source.data)
    statistics = _lazy_statistics(data, loaded, task) if adapt_batchnorm else None
    rows, columns = _regions(task.members)
    predictors = [member.predictor(one) for member, one in zip(task.members, loaded, strict=True)]
    ensemble = Ensemble(predictors, rim=task.rim)
    predict, count = delayed(task, pure=True), 1 + task.spread
    blocks: list[list[list[Any]]] = [[[None] * len(columns) for _ in rows] for _ in range(data.shape[0])]
    for pair, (i, y), (j, x) in product(range(data.shape[0]), enumerate(rows), enumerate(columns)):
        values = _one_chunk(data[(pair, slice(None), *ensemble.window((y, x)))])
        shape = (count, y.stop - y.start, x.stop - x.start)
        blocks[pair][i][j] = da.from_delayed(predict(values, statistics, (y, x)), shape, np.float32)
    layers = da.block(blocks)  # (pair x layer, y, x)
    return [layers[number::count] for number in range(count)]


def _regions(members: Sequence[Member]) -> tuple[list[slice], list[slice]]:
    """Return the rows and columns of the regions: of a chunk, or of the largest tile."""
    shape = members[0].tiling.shape
    if any(isinstance(member.tiling, BlendedTiling) for member in members):
        blocks = blocks_of([member.tiling for member in members], (schema.CHUNK, schema.CHUNK))
        steps = [schema.CHUNK * count for count in blocks]
    else:
        steps = [max(max(m.tiling.tile, schema.CHUNK // m.tiling.stride * m.tiling.stride) for m in members)] * 2
    rows, columns = (
        [slice(start, min(start + step, size)) for start in range(0, size, step)]
        for size, step in zip(shape, steps, strict=True)
    )
    return rows, columns


def _one_chunk(values: Any) -> Any:
    """Return an array as one delayed value, so that a task gets it as one."""
    return values.rechunk(values.shape).to_delayed().ravel()[0]


def _lazy_statistics(data: Any, loaded: Sequence[LoadedModel], task: _RegionTask) -> Any:
    """Return the statistics that each network is adapted to, as one delayed list."""
    from dask.delayed import delayed

    estimates = []
    for member, one in zip(task.members, loaded, strict=True):
        pairs = range(data.shape[0])
        places = sample_places(member.tiling.shape, member.tiling.stride, pairs)
        values = [_one_chunk(data[(pair, slice(None), *rectangle)]) for pair, rectangle in places]
        wanted = tiles_wanted(member.tiling.shape, member.tiling.stride, len(pairs))
        estimates.append(delayed(_estimate, pure=True)(values, member, task.device, one.card.channels, wanted))
    return estimates


def _estimate(
    values: list[np.ndarray], member: Member, device: str, channels: tuple[str, ...], wanted: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    loaded = _load(member, device)
    return reestimate(loaded.network, take_sample(values, channels, member.tiling.stride, wanted=wanted), loaded.device)
