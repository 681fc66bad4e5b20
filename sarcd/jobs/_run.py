"""What every job shares: regions run on threads, progress, the choice of pairs."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import zarr

from sarcd.errors import SceneError
from sarcd.io.pairs import pair_indices, select_pairs
from sarcd.io.progress import Progress, silent
from sarcd.io.regions import Region, Staging
from sarcd.io.store import SceneStore, chunk_errors

Rectangle = tuple[slice, slice]


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
    compute: Callable[[Region], dict[str, np.ndarray]],
    *,
    description: str,
    progress: Progress = silent,
    workers: int | None = None,
) -> None:
    """Compute regions on threads and write each as it comes.

    Parameters
    ----------
    staging : Staging
        Where they are written.
    regions : sequence of Region
        In the order in which they are to be started.
    compute : callable
        Returns the values of every variable of a region; safe to call from several threads.
    description : str
        For the progress bar.
    progress : callable
        See `Progress`.
    workers : int, optional
        Threads; one a core by default.
    """
    from dask.base import compute as dask_compute
    from dask.delayed import delayed

    with progress(description, sum(region.pixels for region in regions)) as advance:

        def work(region: Region) -> None:
            staging.write(region, compute(region))
            _return_memory()
            advance(region.pixels)

        tasks = [delayed(work, pure=False)(region) for region in regions]
        # zarr's own threads multiply those of dask
        with zarr.config.set({"async.concurrency": 4}), chunk_errors(staging.store.path):
            dask_compute(*tasks, scheduler="threads", num_workers=workers or os.cpu_count() or 1, optimize_graph=False)


def _return_memory() -> None:
    """Hand freed memory back to the system, where the C library keeps it (glibc).

    Each thread's arrays are freed into an arena of its own; without this, the arenas of a prediction grew by a third.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library has no malloc_trim, and needs none
            ctypes.CDLL(None).malloc_trim(0)


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


def grow(region: Rectangle, halo: tuple[int, int], shape: tuple[int, int]) -> Rectangle:
    """Return a rectangle with a halo, as far as the scene goes."""
    y, x = (
        slice(max(part.start - reach, 0), min(part.stop + reach, size))
        for part, reach, size in zip(region, halo, shape, strict=True)
    )
    return y, x


def inside(region: Rectangle, window: Rectangle) -> Rectangle:
    """Return where a rectangle lies within a window around it."""
    y, x = (
        slice(part.start - around.start, part.stop - around.start) for part, around in zip(region, window, strict=True)
    )
    return y, x


def choose_pairs(store: SceneStore, pairs: str | None) -> list[int]:
    """Return the positions of the wanted pairs in the store's list; all of them by default."""
    times = store.dates("time")
    if len(times) < 2:
        raise SceneError(
            f"time has {len(times)} date; change needs 2",
            where=store.path,
            mend="add images with 'sarcd ingest --append'",
        )
    if pairs is None and len(store.dates("before")):
        return list(range(len(store.dates("before"))))
    return pair_indices(store, select_pairs(pairs or "consecutive", times))


def pair_positions(store: SceneStore) -> list[tuple[int, int]]:
    """Return, for each pair of the store, the positions of its two dates along `time`."""
    index = {time: position for position, time in enumerate(store.dates("time"))}
    return [(index[b], index[a]) for b, a in zip(store.dates("before"), store.dates("after"), strict=True)]
