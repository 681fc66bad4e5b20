"""Label-free change maps of two arrays and of the pairs of a scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.detection.kernels import REACH_PX
from sarcd.detection.self_trained.fit import FitOptions, fit
from sarcd.detection.self_trained.fitted import ReadPair, SelfTrained
from sarcd.engine.lazy import paired_array, stack
from sarcd.engine.tasks import Progress, Rectangle, silent
from sarcd.errors import OptionError
from sarcd.inference.predictor import decide
from sarcd.inference.tiling import Tiling


@dataclass(frozen=True)
class ChangeMap:
    """Change map of two images.

    Parameters
    ----------
    score : (Y, X) float32
        Probability of change in [0, 1], NaN where invalid.
    change : (Y, X) uint8
        1 at or above the threshold in `record`, 0 below, 255 where invalid.
    record : dict
        What was measured and chosen, and why.
    """

    score: np.ndarray
    change: np.ndarray
    record: dict[str, Any]


def map_pair(
    before: np.ndarray,
    after: np.ndarray,
    options: FitOptions | None = None,
    *,
    decibels: bool = False,
    progress: Progress = silent,
) -> ChangeMap:
    """Map the change between two amplitude images, without labels.

    Parameters
    ----------
    before, after : (Y, X) float or integer
        Linear amplitude on any scale, including 8-bit images; NaN where invalid.
    options : FitOptions, optional
        Options for fitting the network.
    decibels : bool
        Whether the values are in decibels, on any scale, rather than linear amplitudes.
    progress : callable
        Reports each training step.

    Returns
    -------
    ChangeMap
        Score, change map and record; identical for the same input, options and number of threads.

    Raises
    ------
    OptionError
        If the images are not two arrays of the same shape.
    SceneError
        If no pixel is valid at both dates.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> before, after = rng.gamma(4, 1, (2, 64, 64)) ** 0.5
    >>> after[16:48, 16:48] *= 4
    >>> found = map_pair(before, after, FitOptions(rounds=0))
    >>> int(found.change[20:44, 20:44].sum()), int(found.change[:10].sum())
    (576, 0)
    """
    before, after = np.asarray(before), np.asarray(after)
    if before.ndim != 2 or before.shape != after.shape or not before.size:
        raise OptionError(
            f"images of shapes {before.shape} and {after.shape}", option="before, after", hint="give two of one size"
        )

    def read(part: Rectangle) -> tuple[np.ndarray, np.ndarray]:
        return before[part], after[part]

    shape = before.shape[0], before.shape[1]
    fitted = fit(read, shape, options, decibels=decibels, progress=progress)
    score = fitted.score(read, (slice(0, shape[0]), slice(0, shape[1])))
    return ChangeMap(score, decide(score, fitted.threshold), fitted.record)


def fit_pairs(
    scene: xr.Dataset, chosen: Sequence[tuple[int, int]], options: FitOptions, *, progress: Progress = silent
) -> tuple[SelfTrained, ...]:
    """Fit a network to each pair, given by the positions of its dates along `time`.

    Each network is fitted immediately, on a sample of at most a million pixels of its pair.

    Raises
    ------
    SceneError
        If the scene has no images, or a pair has no pixel that is valid at both dates.
    """
    images = schema.images_of(scene)
    return tuple(fit(_reader(images, *dates), _shape(images), options, progress=progress) for dates in chosen)


def map_pairs(scene: xr.Dataset, chosen: Sequence[tuple[int, int]], fitted: Sequence[SelfTrained]) -> xr.Dataset:
    """Map the change of each pair with the network fitted to it.

    Returns
    -------
    xr.Dataset
        All (pair, y, x): `change_score` float32, probability in [0, 1], NaN where invalid; `change` uint8, 1 at or
        above the threshold of the pair, 255 where invalid; `uncertainty` float32, the spread over the eight views.
        Lazy if the images are.
    """
    images = schema.images_of(scene)
    layers = [_layer(one, images, *dates) for one, dates in zip(fitted, chosen, strict=True)]
    scores, spreads = [layer[0] for layer in layers], [layer[1] for layer in layers]
    changes = [_decided(score, one.threshold) for score, one in zip(scores, fitted, strict=True)]
    found = {"change_score": stack(scores), "change": stack(changes), "uncertainty": stack(spreads)}
    return xr.Dataset(
        {name: paired_array(scene, name, values, chosen, {}) for name, values in found.items()},
        attrs={key: value for key, value in scene.attrs.items() if key != "coordinates"},
    )


def _shape(images: xr.DataArray) -> tuple[int, int]:
    return images.sizes["y"], images.sizes["x"]


def _reader(images: xr.DataArray, before: int, after: int) -> ReadPair:
    def read(part: Rectangle) -> tuple[np.ndarray, np.ndarray]:
        return np.abs(images[before][part].values), np.abs(images[after][part].values)

    return read


def _layer(fitted: SelfTrained, images: xr.DataArray, before: int, after: int) -> Any:
    """Return score and spread (2, y, x) of a pair; for lazy images as a dask array with one task per region."""
    shape = _shape(images)
    if images.chunks is None:
        return fitted.score_and_spread(_reader(images, before, after), (slice(0, shape[0]), slice(0, shape[1])))
    import dask.array as da
    from dask.delayed import delayed

    tiling = Tiling(shape, int(fitted.network.stride), int(fitted.network.tile_halo), schema.CHUNK)
    work, network = delayed(_region, pure=True), delayed(fitted, pure=True)
    rows, columns = ([slice(at, min(at + schema.CHUNK, size)) for at in range(0, size, schema.CHUNK)] for size in shape)
    blocks = []
    for y in rows:
        row = []
        for x in columns:
            window = tiling.window((y, x))
            seen = tuple(
                slice(max(part.start - REACH_PX, 0), min(part.stop + REACH_PX, size))
                for part, size in zip(window, shape, strict=True)
            )
            sides = [np.abs(images[date].data[seen]) for date in (before, after)]
            parts = [side.rechunk(side.shape).to_delayed().ravel()[0] for side in sides]
            size = (2, y.stop - y.start, x.stop - x.start)
            row.append(da.from_delayed(work(network, *parts, seen, (y, x)), size, np.float32))
        blocks.append(row)
    return da.block(blocks)


def _decided(scores: Any, threshold: float) -> Any:
    if isinstance(scores, np.ndarray):
        return decide(scores, threshold)
    return scores.map_blocks(decide, threshold, dtype=np.uint8, meta=np.empty((0, 0), np.uint8))


def _region(
    fitted: SelfTrained, before: np.ndarray, after: np.ndarray, seen: Rectangle, region: Rectangle
) -> np.ndarray:
    def read(part: Rectangle) -> tuple[np.ndarray, np.ndarray]:
        inside = tuple(
            slice(one.start - around.start, one.stop - around.start) for one, around in zip(part, seen, strict=True)
        )
        return before[inside], after[inside]

    return fitted.score_and_spread(read, region)
