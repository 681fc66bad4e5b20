"""Amplitude statistics of a stored scene, kept in the store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import dask
import numpy as np
import xarray as xr
import zarr

from sarcd import schema
from sarcd._limits import cores
from sarcd.attributes import encode, parameters_of
from sarcd.io.chunks import chunk_errors, require_chunks
from sarcd.io.pairs import fit_pairs
from sarcd.io.progress import Progress, silent
from sarcd.io.store import SceneStore, open_scene, publish
from sarcd.jobs._memory import left, share_out
from sarcd.ops.statistics import ATTRIBUTE, AmplitudeStatistics, compute_statistics, iso

_HISTOGRAM_BYTES = 2**24  # half a megabyte each, some dozens until they are added up


def write_statistics(
    path: str | Path,
    *,
    per_date: bool = False,
    refresh: bool = False,
    memory_bytes: int | None = None,
    progress: Progress = silent,
) -> tuple[AmplitudeStatistics, bool]:
    """Compute median and MAD of the amplitude and keep them in the store.

    Parameters
    ----------
    path : str or Path
        Scene.
    per_date : bool
        One value a date instead of one for all together.
    refresh : bool
        Compute them again, for example after dates were appended, and mark what depends on the old ones stale.
    memory_bytes : int, optional
        Memory of the whole process. By default half of what is free, at most 1 GiB, beyond what it has.
    progress : callable
        See `Progress`.

    Returns
    -------
    statistics : AmplitudeStatistics
    computed : bool
        False if they were there already and are returned as they are.

    Raises
    ------
    StatisticsError
        If there is no valid pixel or the MAD is 0.
    StoreError
        If an image has lost a chunk.
    """
    scene = open_scene(path)
    kept = AmplitudeStatistics.stored(scene)
    if kept is not None and not refresh and kept.per_date == per_date:
        return kept, False
    store = SceneStore(path)
    images = schema.images_of(scene)
    require_chunks(store, str(images.name), range(images.sizes["time"]))
    workers = _workers(images, memory_bytes)
    with (
        _dask_progress(progress, "statistics"),
        chunk_errors(path),
        zarr.config.set({"async.concurrency": 4}),
        dask.config.set(num_workers=workers),
    ):
        statistics = compute_statistics(scene, per_date=per_date)
    stale = [name for name in store.published() if _depends_on_other(store, name, statistics)]
    for name in stale:
        fit_pairs(store, name, len(store.dates("before")))
        store.set_attrs(name, {"sarcd_stale": "amplitude statistics were renewed since"})
    publish(store, add=stale, attrs={ATTRIBUTE: encode(statistics.to_json())})
    return statistics, True


def _workers(images: xr.DataArray, memory_bytes: int | None) -> int:
    """Return how many chunks may be counted at a time: each lies there encoded, decoded and as amplitude."""
    chunk_bytes = int(np.prod(images.data.chunksize)) * images.dtype.itemsize
    region_bytes = 4 * chunk_bytes + _HISTOGRAM_BYTES
    return share_out(
        memory_bytes, left(memory_bytes), region_bytes=region_bytes, chunk_bytes=0, workers=cores()
    ).workers


def _depends_on_other(store: SceneStore, name: str, statistics: AmplitudeStatistics) -> bool:
    used = parameters_of(dict(store.array(name).attrs)).get("statistics")
    return isinstance(used, dict) and used.get("policy") == "scene" and used.get("median") != list(statistics.median)


def covers(statistics: AmplitudeStatistics, times: np.ndarray) -> bool:
    """Tell whether statistics came from all of the given dates."""
    return {iso(time) for time in times} <= set(statistics.dates)


@contextlib.contextmanager
def _dask_progress(progress: Progress, description: str) -> Iterator[None]:
    """Show the tasks of dask computations: four passes, of which each starts anew as the one before it ends."""
    from dask.callbacks import Callback

    with progress(description, 0) as advance, Callback(posttask=lambda *_: advance(1)):
        yield
