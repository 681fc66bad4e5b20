"""Run jobs on a cluster: the same regions as on threads, as tasks of `dask.distributed`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

import sarcd
from sarcd.engine.tasks import RegionTask
from sarcd.errors import ClusterError
from sarcd.optional import require
from sarcd.store.regions import Region

T = TypeVar("T")

_WAIT_SECONDS = 60  # for a scheduler to answer, and for the first worker
_AHEAD = 2  # tasks submitted at a time per worker thread, which keeps the graph of the scheduler small
_LONGEST_RUN = 16  # maximum regions per task: neighbours share the chunks that they read
_RUNS_A_SLOT = 4  # minimum tasks per thread, so that no thread idles long at the end


@contextlib.contextmanager
def cluster(scheduler: str | None) -> Iterator[Any]:
    """Run the jobs in this context on a cluster.

    Parameters
    ----------
    scheduler : str or None
        Address of a `dask.distributed` scheduler, such as ``tcp://host:8786``. With None, jobs run on the active
        `distributed.Client` if there is one, otherwise on threads of this process.

    Yields
    ------
    distributed.Client or None

    Raises
    ------
    MissingPackageError
        If `dask.distributed` is not installed.
    ClusterError
        If no scheduler responds at this address.
    """
    if scheduler is None:
        yield active_client()
        return
    require("distributed", source=scheduler)
    from distributed import Client

    try:
        client = Client(scheduler, timeout=_WAIT_SECONDS)
    except (OSError, ValueError) as error:
        raise ClusterError(
            "no scheduler responds at this address",
            source=scheduler,
            hint="start one with 'dask scheduler' and pass its address",
        ) from error
    with client:
        yield client


def active_client() -> Any:
    """Return the active `distributed.Client`, or None."""
    if "distributed" not in sys.modules:  # not imported, so no client is active
        return None
    from distributed import default_client

    try:
        client = default_client()
    except ValueError:
        return None
    return client if client.status == "running" else None


def run_on_workers(
    client: Any,
    task: RegionTask,
    regions: Sequence[Region],
    advance: Callable[[int], None],
    *,
    device: bool,
    threads: int,
) -> None:
    """Compute and write regions on a cluster, a bounded number at a time.

    Regions are sent in short runs of neighbours. These share the chunks that their halos overlap, which the reader of a
    worker caches, while a single region reads nine chunks for one.

    Parameters
    ----------
    client : distributed.Client
        Client of a cluster whose workers can read the scene and the model under the same path.
    task : RegionTask
        Sent once to each worker, which opens scene and model and keeps them open while the job is running.
    regions : sequence of Region
        Regions in the order in which they are started.
    advance : callable
        Called with the number of pixels of each finished run of regions.
    device : bool
        Whether each run of regions needs a GPU, if workers declare them as resources.
    threads : int
        Threads that share a GPU, so that some regions are read while others are computed.

    Raises
    ------
    ClusterError
        If there are no workers, they have another version of sarcd, or several died on the same region.
    """
    from distributed import as_completed

    _check_workers(client)
    wanted = resources(client) if device else None
    options = {"resources": wanted, "pure": False}
    shared = client.submit(_same, task, **options)  # one key: a worker unpickles it once, and it is recomputed if lost
    slots = len(client.nthreads()) if wanted else sum(client.nthreads().values())
    runs = iter(in_runs(regions, slots))

    def submit() -> list[Any]:
        return [client.submit(_do, shared, run, threads if wanted else 1, **options) for run in islice(runs, 1)]

    running = as_completed([future for _ in range(_AHEAD * slots) for future in submit()])
    try:
        for future in running:
            with _explained():
                advance(future.result())
            running.update(submit())
    finally:
        client.cancel([*running.futures, shared])


def in_runs(regions: Sequence[Region], slots: int) -> list[Sequence[Region]]:
    """Split regions into runs of at most 16, short enough for each slot of a cluster to get several.

    Examples
    --------
    >>> [len(run) for run in in_runs(range(10), slots=1)]
    [2, 2, 2, 2, 2]
    """
    length = max(1, min(_LONGEST_RUN, len(regions) // (_RUNS_A_SLOT * max(1, slots))))
    return [regions[start : start + length] for start in range(0, len(regions), length)]


def ask_worker(client: Any, question: Callable[[], T], *, device: bool) -> T:
    """Return the result of a function on one of the workers, with a GPU if `device` is set and workers have any."""
    _check_workers(client)
    with _explained():
        answer: T = client.submit(question, pure=False, resources=resources(client) if device else None).result()
    return answer


def resources(client: Any) -> dict[str, int] | None:
    """Return the resources of a task that runs a network: one GPU, if any worker declares one."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return {"GPU": 1} if any(worker.get("resources", {}).get("GPU") for worker in workers) else None


def worker_threads() -> int | None:
    """Return the number of threads of the current worker; None outside of a worker."""
    if "distributed" not in sys.modules:
        return None
    from distributed import get_worker

    try:
        return int(get_worker().state.nthreads)
    except ValueError:
        return None


def _same(task: RegionTask) -> RegionTask:
    return task


def _do(task: RegionTask, regions: Sequence[Region], threads: int) -> int:
    if threads == 1:
        return sum(map(task, regions))
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(task, regions))


def _version() -> str:
    return sarcd.__version__


def _check_workers(client: Any) -> None:
    """Raise if there is no worker, or if one has another version of sarcd."""
    scheduler = client.scheduler.address
    try:
        client.wait_for_workers(1, timeout=_WAIT_SECONDS)
    except TimeoutError as error:
        raise ClusterError(
            "the scheduler has no worker", source=scheduler, hint=f"start one: dask worker {scheduler}"
        ) from error
    try:
        versions = set(client.run(_version).values())
    except ModuleNotFoundError as error:
        raise ClusterError(
            f"{error.name} is not installed on a worker", source=scheduler, hint="install sarcd there too"
        ) from error
    if versions != {sarcd.__version__}:
        theirs = ", ".join(sorted(versions - {sarcd.__version__}))
        raise ClusterError(
            f"workers have sarcd {theirs}, this is {sarcd.__version__}",
            source=scheduler,
            hint="install the same version",
        )


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    from distributed import KilledWorker

    try:
        yield
    except KilledWorker as error:
        raise ClusterError(
            "several workers died on the same region",
            hint="give them more memory, or use smaller tiles; finished regions are not computed again",
        ) from error
