"""Amplitude statistics of a stored scene, written to its store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import xarray as xr
import zarr

from sarcd import schema
from sarcd.attributes import encode, parameters_of
from sarcd.config.ingest import LEVEL_JUMP_DB
from sarcd.engine.memory import cores, left, share_out
from sarcd.engine.tasks import Progress, silent
from sarcd.errors import ModelError
from sarcd.estimation.amplitudes import ATTRIBUTE, AmplitudeStatistics, completed, compute_statistics, iso
from sarcd.estimation.levels import largest_jump_db
from sarcd.store.chunks import chunk_errors, require_chunks
from sarcd.store.pairs import fit_pairs
from sarcd.store.scene import SceneStore, open_scene, publish

_HISTOGRAM_BYTES = 2**24  # histograms of half a megabyte each, a few dozen until they are summed


def statistics(
    path: str | Path,
    *,
    per_date: bool | None = None,
    refresh: bool = False,
    memory_bytes: int | None = None,
    progress: Progress = silent,
) -> tuple[AmplitudeStatistics, bool]:
    """Compute the median and MAD of the amplitude and write them to the store.

    Parameters
    ----------
    path : str or Path
        Scene.
    per_date : bool, optional
        True for one value per date, False for one for all dates together. By default as stored. If nothing is stored,
        per date if the medians of the dates differ by more than 1 dB, as after a change of gain, else for all.
    refresh : bool
        Compute them again, for example after dates were appended, and mark results that depend on the old ones as
        stale.
    memory_bytes : int, optional
        Memory of the whole process in bytes. The default is the memory in use plus half of the free memory, at most
        1 GiB.
    progress : callable
        Progress reporter; see `Progress`.

    Returns
    -------
    statistics : AmplitudeStatistics
    computed : bool
        False if the statistics were already stored and are returned unchanged. Statistics per date are extended to
        appended dates; those of the other dates, and results made with them, remain valid.

    Raises
    ------
    StatisticsError
        If there are no valid pixels or the MAD is 0.
    StoreError
        If a chunk of an image is missing.
    """
    scene = open_scene(path)
    kept = AmplitudeStatistics.stored(scene)
    keep = kept is not None and not refresh and per_date in (None, kept.per_date)
    if kept is not None and keep and (not kept.per_date or covers(kept, schema.dates_of(scene, "time"))):
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
        if kept is not None and keep:
            statistics = completed(kept, scene)
        else:
            statistics = compute_statistics(scene, per_date=per_date)
    stale = [name for name in store.published() if _depends_on_other(store, name, statistics)]
    for name in stale:
        fit_pairs(store, name, len(store.dates("before")))
        store.set_attrs(name, {"sarcd_stale": "amplitude statistics were renewed since"})
    publish(store, add=stale, attrs={ATTRIBUTE: encode(statistics.to_json())})
    return statistics, True


def _workers(images: xr.DataArray, memory_bytes: int | None) -> int:
    """Return how many chunks may be processed at a time; each is held encoded, decoded and as amplitude."""
    chunk_bytes = int(np.prod(images.data.chunksize)) * images.dtype.itemsize
    region_bytes = 4 * chunk_bytes + _HISTOGRAM_BYTES
    return share_out(
        memory_bytes, left(memory_bytes), region_bytes=region_bytes, chunk_bytes=0, workers=cores()
    ).workers


def _depends_on_other(store: SceneStore, name: str, statistics: AmplitudeStatistics) -> bool:
    used = parameters_of(dict(store.array(name).attrs)).get("statistics")
    if not isinstance(used, dict) or used.get("policy") != "scene":
        return False
    return not begins_with(list(statistics.median), used.get("median"), per_date=statistics.per_date)


def normalising_statistics(
    path: str | Path,
    scene: xr.Dataset,
    policy: str,
    of_model: AmplitudeStatistics | None,
    progress: Progress,
    note: Callable[[str], None],
) -> AmplitudeStatistics:
    """Return the statistics that normalise a scene for a network: the scene's, stored if they are new, or the model's.

    Parameters
    ----------
    path : str or Path
        Scene.
    scene : xr.Dataset
        The same scene, opened earlier.
    policy : {"scene", "model"}
        Whose statistics to use.
    of_model : AmplitudeStatistics or None
        Statistics in the model file.
    progress : callable
        Progress reporter; see `Progress`.
    note : callable
        Called with lines about statistics that were computed, and about statistics that do not suit the scene.

    Raises
    ------
    ModelError
        If the statistics of the model are requested and the file has none.
    """
    if policy == "model":
        if of_model is None:
            raise ModelError("the model file keeps no statistics", hint="use --statistics scene")
        return of_model
    had = AmplitudeStatistics.stored(scene)
    found, computed = statistics(path, progress=progress)
    if had is None:
        told = f"median {found.median[0]:.6g}, MAD {found.mad[0]:.6g}"
        if found.per_date:
            told = f"of each date, since their medians differ by {found.jump_db:.1f} dB"
        note(f"amplitude statistics computed and kept: {told}")
    elif computed:
        note("amplitude statistics of dates that were appended are computed and kept")
    covered, jump = covers(found, schema.dates_of(scene, "time")), found.jump_db
    if not covered:
        note("the kept amplitude statistics are older than the newest date; 'sarcd statistics --refresh' renews them")
    if not found.per_date and not (found.level and covered):
        jump = largest_jump_db(scene)
    if not found.per_date and jump > LEVEL_JUMP_DB:
        note(
            f"the median amplitudes of the dates differ by {jump:.1f} dB, and the kept statistics are of all dates "
            f"together; 'sarcd statistics --per-date --refresh' keeps those of each"
        )
    return found


def recorded_statistics(used: AmplitudeStatistics, policy: str, earlier: dict[str, Any]) -> dict[str, Any]:
    """Return what a map records about the statistics that normalise it, given the record of an earlier run."""
    median = list(used.median)
    if earlier.get("policy") == policy and begins_with(median, earlier.get("median"), per_date=used.per_date):
        median = earlier["median"]  # of fewer dates; statistics of later dates do not make it another setting
    return {"policy": policy, "median": median, "mad": list(used.mad)[: len(median)]}


def begins_with(median: list[float], earlier: Any, *, per_date: bool) -> bool:
    """Return whether medians are those that a result was made with, possibly continued by those of later dates."""
    if median == earlier:
        return True
    return per_date and isinstance(earlier, list) and len(earlier) > 1 and median[: len(earlier)] == earlier


def covers(statistics: AmplitudeStatistics, times: np.ndarray) -> bool:
    """Return whether statistics include all of the given dates."""
    return {iso(time) for time in times} <= set(statistics.dates)


@contextlib.contextmanager
def _dask_progress(progress: Progress, description: str) -> Iterator[None]:
    """Report the finished tasks of dask; their total is unknown, since four passes follow one another."""
    from dask.callbacks import Callback

    with progress(description, 0) as advance, Callback(posttask=lambda *_: advance(1)):
        yield
