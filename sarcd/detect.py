"""Change maps as lazy datasets."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.errors import OptionError
from sarcd.io.pairs import Pair
from sarcd.jobs._prediction_settings import OPERATION, check_channels
from sarcd.ops._lazy import made_by_attrs, paired_array
from sarcd.ops.features import features
from sarcd.ops.pairs import pairs_of
from sarcd.predict import Predictor, Rectangle, Tiling, choose_batch, choose_tile, decide, sigmoid

if TYPE_CHECKING:
    from sarcd.model_file import LoadedModel

_FORWARD_BYTES = 2**29  # of one forward pass: dask's other threads hold chunks of their own meanwhile


def detect(
    scene: xr.Dataset,
    *,
    model: str | Path,
    tiles: int | Literal["auto", "whole"] = "auto",
    device: str = "auto",
    statistics: Any = None,
    threshold: float | None = None,
    pairs: str | Sequence[Pair] | None = None,
) -> xr.Dataset:
    """Map the changes of interest of every pair with a trained network.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc`, or with `amplitude` for a model without coherence.
    model : str or Path
        Model file made by `sarcd train`.
    tiles : int, "auto" or "whole"
        Side of a tile in pixels, rounded up to the network's stride; the map is the same for any.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    statistics : "scene", "model", AmplitudeStatistics or (median, mad), optional
        What normalises the amplitudes; by default what the model file says, the scene's own as a rule.
    threshold : float, optional
        Probability from which a pixel counts as changed; the model's by default.
    pairs : str or sequence of (before, after), optional
        As in `sarcd.ops.coherence`.

    Returns
    -------
    xr.Dataset
        `change_probability` (pair, y, x) float32 in [0, 1], NaN where the input is invalid, and `change` (pair, y, x)
        uint8, 255 there; lazy, in chunks of whole regions.

    Raises
    ------
    ModelError
        If the file is no model.
    SceneError
        If the scene lacks what the model looks at.
    OptionError
        If an option cannot be used.

    See Also
    --------
    sarcd.jobs.write_prediction : the same into the store, resumable.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, Eq. 5-7.
    """
    loaded = _load(str(model), device)
    check_channels(scene, loaded)
    card = loaded.card
    limit = card.threshold if threshold is None else threshold
    if not 0 < limit < 1:
        raise OptionError(f"threshold is {limit}", where="threshold", mend="use a value between 0 and 1")
    chosen = pairs_of(scene, pairs)
    source = features(
        scene,
        channels=card.channels,
        statistics=_statistics(statistics, loaded),
        coherence=card.coherence if "coherence" in card.channels else None,
        pairs=pairs,
    )
    shape = scene.sizes["y"], scene.sizes["x"]
    tile = choose_tile(tiles, loaded.network, shape, _FORWARD_BYTES, device=loaded.device.type)
    tiling = Tiling(shape, loaded.network.stride, loaded.network.tile_halo, tile)
    batch = choose_batch(0, loaded.network, tile, shape, _FORWARD_BYTES)
    probability = _lazy_probability(source, str(model), loaded, tiling, batch)
    parameters = {"model": loaded.digest, "tile": tile, "threshold": limit, **source.attrs["sarcd_parameters"]}
    attrs = made_by_attrs(OPERATION, parameters)
    change = probability.map_blocks(decide, limit, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    return xr.Dataset(
        {
            "change_probability": paired_array(scene, "change_probability", probability, chosen, attrs),
            "change": paired_array(scene, "change", change, chosen, attrs),
        },
        attrs={key: value for key, value in scene.attrs.items() if key != "coordinates"},
    )


def _statistics(statistics: Any, loaded: LoadedModel) -> Any:
    policy = loaded.card.statistics_policy if statistics is None else statistics
    if policy != "model":
        return policy
    if loaded.card.statistics is None:
        raise OptionError("the model file keeps no statistics", where="statistics", mend="use 'scene'")
    return loaded.card.statistics


@functools.lru_cache(maxsize=4)
def _load(path: str, device: str) -> LoadedModel:
    """Load a model once a process and device; the graph carries its path, never the network."""
    from sarcd.model_file import load_model

    return load_model(path, device=device).quick()


def _lazy_probability(source: xr.DataArray, path: str, loaded: LoadedModel, tiling: Tiling, batch: int) -> Any:
    """Return (pair, y, x) probabilities as a dask array, one task a region besides the reading of its window."""
    import dask.array as da
    from dask.delayed import delayed

    data = da.asarray(source.data)
    step = max(tiling.tile, schema.CHUNK // tiling.stride * tiling.stride)
    rows = [slice(y, min(y + step, tiling.shape[0])) for y in range(0, tiling.shape[0], step)]
    columns = [slice(x, min(x + step, tiling.shape[1])) for x in range(0, tiling.shape[1], step)]
    region_task = delayed(_predict_region, pure=True)
    layers: list[list[list[Any]]] = [[[None] * len(columns) for _ in rows] for _ in range(data.shape[0])]
    for pair, (i, y), (j, x) in product(range(data.shape[0]), enumerate(rows), enumerate(columns)):
        window = tiling.window((y, x))
        seen = data[(pair, slice(None), *window)]
        # one chunk: the task gets its window as one array
        values = seen.rechunk(seen.shape).to_delayed().ravel()[0]
        task = region_task(values, path, loaded.digest, str(loaded.device), tiling, batch, (y, x))
        shape = (1, y.stop - y.start, x.stop - x.start)
        layers[pair][i][j] = da.from_delayed(task, shape, np.float32)
    return da.block(layers)


def _predict_region(
    values: np.ndarray, path: str, digest: str, device: str, tiling: Tiling, batch: int, region: Rectangle
) -> np.ndarray:
    loaded = _load(path, device)
    if loaded.digest != digest:
        raise OptionError("the model file changed since detect() was called", where=path, mend="call it again")
    predictor = Predictor(loaded.network, loaded.card.channels, tiling, batch=batch, device=loaded.device)
    return sigmoid(predictor.logits(values, region))[None]
