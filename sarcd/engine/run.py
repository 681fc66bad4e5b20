"""What every job shares: regions run on threads or a cluster, progress, the choice of pairs."""

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
    """What a job did.

    Parameters
    ----------
    variables : tuple of str
        Variables that are now whole for the pairs asked for.
    pairs : int
        Number of those pairs.
    computed, kept : int
        Regions computed now, and found done before.
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
    """Compute regions and write each as it comes: on the active cluster if there is one, else on threads.

    Parameters
    ----------
    staging : Staging
        Where they are written.
    regions : sequence of Region
        In the order in which they are to be started.
    compute : callable
        Returns the values of every variable of a region; safe to call from several threads, and picklable.
    description : str
        For the progress bar.
    progress : callable
        See `Progress`.
    workers : int, optional
        Threads, one a core by default; on a cluster, those that share a GPU.
    device : bool
        Whether regions want a GPU, on a cluster whose workers declare them.
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
    """Start regions in their order, as threads come free: dask would start tasks that are alike in any order."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="sarcd-region")
    at_once = False
    # zarr's own threads multiply these
    with zarr.config.set({"async.concurrency": 4}):
        try:
            for future in as_completed([pool.submit(task, region) for region in regions]):
                advance(future.result())
        except KeyboardInterrupt:
            task.stop()  # the regions that are being computed end unwritten, whenever that is
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
    """Return how many regions of so many chunks the pairs of a job have."""
    steps = [chunk * block for chunk, block in zip(staging.grid, blocks, strict=True)]
    rows, columns = (-(-size // step) for size, step in zip(staging.store.shape, steps, strict=True))
    return len(staging.pairs) * rows * columns


def choose_pairs(store: SceneStore, pairs: str | None) -> list[int]:
    """Return the positions of the wanted pairs in the store's list; all of them by default."""
    times = store.dates("time")
    if len(times) < 2:
        raise SceneError(
            f"time has {len(times)} date; change needs 2",
            source=store.path,
            hint="add images with 'sarcd ingest --append'",
        )
    if pairs is None and len(store.dates("before")):
        _tell_of_dates_without_pair(store, times)
        return list(range(len(store.dates("before"))))
    return pair_indices(store, select_pairs(pairs or "consecutive", times))


def _tell_of_dates_without_pair(store: SceneStore, times: np.ndarray) -> None:
    """Log dates that no pair compares, as others append them."""
    alone = np.setdiff1d(times, np.concatenate([store.dates("before"), store.dates("after")]))
    if alone.size:
        more = f" and {alone.size - 1} more" if alone.size > 1 else ""
        _LOG.warning(
            "%s: no pair compares %s%s: --pairs consecutive adds it", store.path, schema.short_date(alone[0]), more
        )


def pair_positions(store: SceneStore) -> list[tuple[int, int]]:
    """Return, for each pair of the store, the positions of its two dates along `time`."""
    index = {time: position for position, time in enumerate(store.dates("time"))}
    return [(index[b], index[a]) for b, a in zip(store.dates("before"), store.dates("after"), strict=True)]
