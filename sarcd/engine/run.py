"""Run the regions of a job on threads or a cluster, and select its pairs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
import zarr

from sarcd import schema
from sarcd.engine.cluster import active_client, run_on_workers
from sarcd.engine.memory import cores
from sarcd.engine.tasks import Compute, Progress, RegionTask, silent
from sarcd.errors import SceneError
from sarcd.store.chunks import chunk_errors
from sarcd.store.pairs import pair_indices, select_pairs
from sarcd.store.regions import Region, Staging
from sarcd.store.scene import SceneStore

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobResult:
    """Result of a job.

    Parameters
    ----------
    variables : tuple of str
        Variables that are now complete for the requested pairs.
    pairs : int
        Number of those pairs.
    computed, kept : int
        Regions computed by this run, and by earlier runs.
    """

    variables: tuple[str, ...]
    pairs: int
    computed: int
    kept: int


def run_regions(
    staging: Staging,
    regions: Sequence[Region],
    compute: Compute,
    *,
    description: str,
    progress: Progress = silent,
    workers: int | None = None,
    device: bool = False,
) -> None:
    """Compute and write regions on the active cluster if there is one, otherwise on threads.

    Parameters
    ----------
    staging : Staging
        Variables to write.
    regions : sequence of Region
        Regions in the order in which they are started.
    compute : callable
        Returns the values of every variable of a region. It must be thread-safe and picklable.
    description : str
        Text of the progress bar.
    progress : callable
        See `Progress`.
    workers : int, optional
        Number of threads, by default one per core; on a cluster, the threads that share a GPU.
    device : bool
        Whether regions need a GPU, on a cluster whose workers declare them.
    """
    task = RegionTask(staging, compute)
    client = active_client()
    with progress(description, sum(region.pixels for region in regions)) as advance, chunk_errors(staging.store.path):
        threads = workers or cores()
        if client is None:
            _run_on_threads(task, regions, advance, threads)
        else:
            run_on_workers(client, task, regions, advance, device=device, threads=threads)


def _run_on_threads(task: RegionTask, regions: Sequence[Region], advance: Callable[[int], None], workers: int) -> None:
    """Start regions in order as threads become free; dask would start similar tasks in any order."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="sarcd-region")
    at_once = False
    # zarr starts its own threads for each of these
    with zarr.config.set({"async.concurrency": 4}):
        try:
            for future in as_completed([pool.submit(task, region) for region in regions]):
                advance(future.result())
        except KeyboardInterrupt:
            task.stop()  # regions that are still being computed are not written
            at_once = True
            raise
        finally:
            pool.shutdown(wait=not at_once, cancel_futures=True)


def in_bands(regions: Sequence[Region], grid: tuple[int, int], cache_bytes: int) -> list[Region]:
    """Order regions in bands of columns, narrow enough for the cache to hold the chunks of three rows of a band."""
    chunk_bytes = 2 * grid[0] * grid[1] * np.dtype("complex64").itemsize
    band = max(1, cache_bytes // (3 * chunk_bytes) - 2) * grid[1]
    return sorted(regions, key=lambda region: (region.pair, region.x.start // band, region.y.start, region.x.start))


def count_regions(staging: Staging, blocks: tuple[int, int] = (1, 1)) -> int:
    """Return the number of regions of a job; `blocks` is the size of a region in chunks."""
    steps = [chunk * block for chunk, block in zip(staging.grid, blocks, strict=True)]
    rows, columns = (-(-size // step) for size, step in zip(staging.store.shape, steps, strict=True))
    return len(staging.pairs) * rows * columns


def choose_pairs(store: SceneStore, pairs: str | None) -> list[int]:
    """Return the positions of the selected pairs in the list of the store; by default of all pairs."""
    times = store.dates("time")
    if len(times) < 2:
        raise SceneError(
            f"time has {len(times)} date; change needs 2",
            source=store.path,
            hint="add images with 'sarcd ingest --append'",
        )
    if pairs is None and len(store.dates("before")):
        _warn_of_unpaired_dates(store, times)
        return list(range(len(store.dates("before"))))
    return pair_indices(store, select_pairs(pairs or "consecutive", times))


def _warn_of_unpaired_dates(store: SceneStore, times: np.ndarray) -> None:
    """Log dates that are in no pair, for example because another program appended them."""
    alone = np.setdiff1d(times, np.concatenate([store.dates("before"), store.dates("after")]))
    if alone.size:
        more = f" and {alone.size - 1} more" if alone.size > 1 else ""
        _LOG.warning(
            "%s: no pair includes %s%s. Pass --pairs consecutive to add it.",
            store.path,
            schema.short_date(alone[0]),
            more,
        )


def pair_positions(store: SceneStore) -> list[tuple[int, int]]:
    """Return, for each pair of the store, the positions of its two dates along `time`."""
    index = {time: position for position, time in enumerate(store.dates("time"))}
    return [(index[b], index[a]) for b, a in zip(store.dates("before"), store.dates("after"), strict=True)]
