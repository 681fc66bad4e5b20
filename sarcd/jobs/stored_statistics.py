"""Amplitude statistics of a stored scene, kept in the store."""

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

_HISTOGRAM_BYTES = 2**24  # half a megabyte each, some dozens until they are added up


def statistics(
    path: str | Path,
    *,
    per_date: bool | None = None,
    refresh: bool = False,
    memory_bytes: int | None = None,
    progress: Progress = silent,
) -> tuple[AmplitudeStatistics, bool]:
    """Compute median and MAD of the amplitude and keep them in the store.

    Parameters
    ----------
    path : str or Path
        Scene.
    per_date : bool, optional
        One value a date, or one for all together. By default what is kept, or where nothing is: one a date if their
        medians differ by more than 1 dB, as where a gain differs, else one for all.
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
        False if they were there already and are returned as they are. Those kept per date get those of dates that were
        appended since; the others stay, and so does what was made with them.

    Raises
    ------
    StatisticsError
        If there is no valid pixel or the MAD is 0.
    StoreError
        If an image has lost a chunk.
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
    """Return how many chunks may be counted at a time: each lies there encoded, decoded and as amplitude."""
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
    """Return the statistics that normalise a scene for a network: the scene's own, computed and kept, or the model's.

    Parameters
    ----------
    path : str or Path
        Scene.
    scene : xr.Dataset
        The same, opened before.
    policy : {"scene", "model"}
        Whose statistics.
    of_model : AmplitudeStatistics or None
        Those of the model file.
    progress : callable
        See `Progress`.
    note : callable
        Called with a line about what was computed, and what does not fit the scene.

    Raises
    ------
    ModelError
        If the model's are wanted and it has none.
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
    """Return what a map records of the statistics that normalise it, where an earlier run recorded some already."""
    median = list(used.median)
    if earlier.get("policy") == policy and begins_with(median, earlier.get("median"), per_date=used.per_date):
        median = earlier["median"]  # of fewer dates: those of later ones are no other setting
    return {"policy": policy, "median": median, "mad": list(used.mad)[: len(median)]}


def begins_with(median: list[float], earlier: Any, *, per_date: bool) -> bool:
    """Tell whether medians are those that a result was made with, or go on from them with those of later dates."""
    if median == earlier:
        return True
    return per_date and isinstance(earlier, list) and len(earlier) > 1 and median[: len(earlier)] == earlier


def covers(statistics: AmplitudeStatistics, times: np.ndarray) -> bool:
    """Tell whether statistics came from all of the given dates."""
    return {iso(time) for time in times} <= set(statistics.dates)


@contextlib.contextmanager
def _dask_progress(progress: Progress, description: str) -> Iterator[None]:
    """Show the tasks of dask computations: four passes, of which each starts anew as the one before it ends."""
    from dask.callbacks import Callback

    with progress(description, 0) as advance, Callback(posttask=lambda *_: advance(1)):
        yield
