"""Coherence of a stored scene, kept in the store."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from sarcd import config, schema
from sarcd.config import CoherenceOptions
from sarcd.io.progress import Progress, silent
from sarcd.io.reader import SceneReader
from sarcd.io.regions import MadeBy, Region, stage
from sarcd.io.store import SceneStore, open_scene
from sarcd.jobs._run import (
    JobResult,
    choose_pairs,
    count_regions,
    grow,
    in_bands,
    inside,
    pair_positions,
    run_regions,
)
from sarcd.jobs._task import Opened
from sarcd.ops.coherence import coherence_with

_CACHE_BYTES = 2**29


def write_coherence(
    path: str | Path,
    options: CoherenceOptions | None = None,
    *,
    pairs: str | None = None,
    name: str = "coherence",
    overwrite: bool = False,
    progress: Progress = silent,
) -> JobResult:
    """Estimate coherence and keep it in the store.

    Parameters
    ----------
    path : str or Path
        Scene with `slc`.
    options : CoherenceOptions, optional
        Window and estimator.
    pairs : str, optional
        Policy or list as in `sarcd.io.pairs.select_pairs`; all pairs of the store by default. Pairs the store does not
        know lengthen its list.
    name : str
        Variable to write, `coherence` with or without a suffix.
    overwrite : bool
        Replace a result made with other options.
    progress : callable
        See `Progress`.

    Returns
    -------
    JobResult
        How much was computed now, and how much was there.

    Raises
    ------
    SceneError
        If the scene has no `slc`, or fewer than two dates.
    MismatchError
        If the store holds it with other options and `overwrite` is False.
    """
    options = options or CoherenceOptions()
    schema.variable(name)
    scene = open_scene(path, chunks=None)
    schema.require(scene, "slc")
    store = SceneStore(path)
    positions = choose_pairs(store, pairs)
    with stage(store, [name], positions, MadeBy("coherence", config.to_dict(options)), overwrite=overwrite) as staging:
        regions = in_bands(staging.missing(), staging.grid, _CACHE_BYTES)
        if regions:
            reader = Opened(partial(SceneReader, store.address, cache_bytes=_CACHE_BYTES))
            compute = _Coherence(reader, pair_positions(store), options, name)
            run_regions(staging, regions, compute, description="coherence", progress=progress)
        total = count_regions(staging)
        staging.finish()
    return JobResult((name,), len(positions), len(regions), total - len(regions))


@dataclass(frozen=True)
class _Coherence:
    """Computes the coherence of one region, from any thread."""

    reader: Opened[SceneReader]
    dates: list[tuple[int, int]]
    options: CoherenceOptions
    name: str

    def __call__(self, region: Region) -> dict[str, np.ndarray]:
        reader = self.reader()
        window = grow((region.y, region.x), self.options.window.halo, reader.shape)
        sub = reader.window(self.dates[region.pair], *window)
        values = coherence_with(sub, self.options).values[0]
        return {self.name: values[inside((region.y, region.x), window)]}
