"""Warnings about pairs whose images do not match, and about implausible maps; neither stops a job."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.config import CoherenceOptions
from sarcd.engine.run import pair_positions
from sarcd.errors import StoreError
from sarcd.estimation.coherence_layers import magnitude
from sarcd.estimation.looks import calibrate, pair_sample
from sarcd.store.chunks import chunk_errors
from sarcd.store.scene import SceneStore

MUCH = 0.1
"""Fraction of a scene's valid pixels above which mapped change more likely means images that do not match."""

_SIDE = 128  # side in pixels of a block of the coherence sample, which has at most 16 blocks


def warn_of_misfits(
    store: SceneStore,
    scene: xr.Dataset,
    positions: Sequence[int],
    options: CoherenceOptions,
    note: Callable[[str], None],
) -> None:
    """Warn about each pair whose median coherence is below its expected value for decorrelated ground.

    Parameters
    ----------
    store : SceneStore
        Store of the scene.
    scene : xr.Dataset
        The same scene, with `slc`.
    positions : sequence of int
        Positions of the pairs in the store's list.
    options : CoherenceOptions
        How coherence is estimated. For this check it is estimated on a fixed sample of at most 16 blocks of 128 x 128
        pixels, without removing the bias.
    note : callable
        Called with one line per pair.
    """
    from sarcd.estimation.kernels.bias import mean_coherence

    options = replace(options, debias=False)
    dates, times = pair_positions(store), schema.dates_of(scene, "time")
    # The job itself reports unreadable data when it reaches them.
    with contextlib.suppress(ValueError, RuntimeError, StoreError):
        measured = calibrate(scene, options, [dates[position] for position in positions], always_looks=True)
        if measured.looks is None or not measured.looks.floor > 1:
            return
        floor = float(mean_coherence(np.zeros(1), measured.looks.floor)[0])
        for position in positions:
            before, after = dates[position]
            blocks = [_middle(np.asarray(block)) for block in pair_sample(scene, before, after)]
            half, ramp = len(blocks) // 2, measured.ramp(scene, before, after)
            found = [
                magnitude(*images, options, measured.looks, ramp).ravel()
                for images in zip(blocks[:half], blocks[half:], strict=True)
            ]
            values = np.concatenate(found)
            values = values[np.isfinite(values)]
            if values.size and float(np.median(values)) < floor:
                causes = "not coregistered, fringes not removed (--estimator fringe), or water or plants everywhere"
                if options.estimator == "fringe":
                    causes = "not coregistered, or water or plants everywhere"
                note(
                    f"{schema.day_of(times[before])} to {schema.day_of(times[after])}: median coherence "
                    f"{np.median(values):.2f} is below the {floor:.2f} of ground without any: {causes}"
                )


def _middle(block: np.ndarray) -> np.ndarray:
    """Return the middle of a block, at most 128 x 128 pixels."""
    y, x = (max((size - _SIDE) // 2, 0) for size in block.shape)
    return block[y : y + _SIDE, x : x + _SIDE]


def warn_of_much(store: SceneStore, name: str, positions: Sequence[int], note: Callable[[str], None]) -> None:
    """Warn, in one line, about the pairs of a finished map that show change in much of the scene.

    Parameters
    ----------
    store : SceneStore
        Store with the map, which is read chunk by chunk.
    name : str
        Name of the map (pair, y, x): 1 change, 255 unknown.
    positions : sequence of int
        Positions of the pairs in the store's list.
    note : callable
        Called with the line.
    """
    array, dates, times = store.array(name), pair_positions(store), store.dates("time")
    much = {}
    with chunk_errors(store.path):
        for position in positions:
            flagged = known = 0
            for y, x in _parts(array.shape[1:], (array.shards or array.chunks)[1:]):
                part = np.asarray(array[position, y, x])
                flagged += int((part == 1).sum())
                known += int((part != schema.NO_LABEL).sum())
            if flagged > MUCH * known:
                much[position] = flagged / known
    if much:
        worst = max(much, key=lambda position: much[position])
        before, after = (schema.day_of(times[date]) for date in dates[worst])
        where = f"{before} to {after}" if len(much) == 1 else f"{len(much)} pairs, most {before} to {after}"
        note(
            f"{where}: {100 * much[worst]:.0f} % of the known pixels are called changed, over {100 * MUCH:.0f} %: "
            "see whether the images fit each other and are calibrated alike"
        )


def _parts(shape: Sequence[int], steps: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    for y in range(0, shape[0], steps[0]):
        for x in range(0, shape[1], steps[1]):
            yield slice(y, min(y + steps[0], shape[0])), slice(x, min(x + steps[1], shape[1]))
